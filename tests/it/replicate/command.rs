//! The command, over directories and a bucket.

use crate::support::sandbox::{Sandbox, json};

#[test]
fn a_disk_that_was_away_is_brought_up_to_date() {
    let sandbox = Sandbox::new();
    if sandbox.tiny_instance().is_none() {
        return;
    }
    let data = sandbox.path("databasus-data");
    let dir = |name: &str| format!("{name}=dir:{}", sandbox.folder(name).display());
    let host = sandbox.host_with(&data, &[dir("disk"), dir("usb")], "");
    host.set_method("frozen");
    host.run("snapshot").success();
    let usb = sandbox.path("usb");
    std::fs::rename(&usb, sandbox.path("away")).unwrap();
    std::fs::create_dir(&usb).unwrap();
    host.run("snapshot")
        .code(3)
        .stdout(predicates::str::contains(
            "store usb has lost manifest 1, or is another store",
        ));
    std::fs::remove_dir_all(&usb).unwrap();
    std::fs::rename(sandbox.path("away"), &usb).unwrap();

    // The second night's copy lay in the folder that stood in for it.
    let document = json(&host.run("replicate --json").code(3));
    assert_eq!(document["copied"].as_array().unwrap().len(), 1);
    let found = document["findings"].as_array().unwrap();
    let ids: Vec<&str> = found.iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids, ["store-changed", "copy-missing"]);
    host.run("verify --all").success();
    host.run("replicate --full")
        .success()
        .stdout(predicates::str::contains("Nothing had to be copied"));
}

#[test]
fn a_box_without_a_signing_key_cannot_replicate() {
    let sandbox = Sandbox::new();
    if sandbox.tiny_instance().is_none() {
        return;
    }
    let data = sandbox.path("databasus-data");
    let dir = format!("disk=dir:{}", sandbox.folder("disk").display());
    let host = sandbox.host_with(&data, &[dir], "");
    host.edit("[signing]", "[signing_not]");
    host.run("replicate").code(2);
}
