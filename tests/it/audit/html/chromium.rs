#[test]
fn write_pages() {
    use super::example::*;
    std::fs::create_dir_all("/tmp/shots").unwrap();
    for (name, page) in [
        ("good", good().signed_page()),
        ("bad", bad().page()),
        ("thousand", thousand().page()),
        (
            "nothing",
            nothing(databasus_escrow::model::audit::facts::Scope::Head).page(),
        ),
    ] {
        std::fs::write(format!("/tmp/shots/{name}.html"), page).unwrap();
    }
}
