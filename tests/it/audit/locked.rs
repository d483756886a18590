//! `audit` on a bucket that keeps versions and holds locks.

use databasus_escrow::store::Store as _;
use predicates::str::contains;
use secrecy::ExposeSecret as _;

use crate::support::sandbox::{Sandbox, json};
use crate::support::seaweed::Seaweed;

fn policy(remaining: &str) -> String {
    format!(
        "version = 1\n[freshness]\n[parts]\nsample = 2\n[clock]\nmax_skew = \"5m\"\n\
         [[store]]\nname = \"lat\"\n\
         lock = {{ mode = \"compliance\", remaining = \"{remaining}\" }}\n"
    )
}

#[test]
fn locks_are_read_back_and_what_is_hidden_is_told() {
    let Some(server) = Seaweed::start() else {
        return;
    };
    server.create_bucket("audited", true);
    let mut sandbox = Sandbox::new();
    let who = server.credentials();
    sandbox.set("ESCROW_LAT_ACCESS_KEY_ID", &who.access_key_id);
    sandbox.set(
        "ESCROW_LAT_SECRET_ACCESS_KEY",
        who.secret_access_key.expose_secret(),
    );
    let Some(data) = sandbox.tiny_instance() else {
        return;
    };
    let endpoint = server.endpoint();
    let store =
        format!("lat=s3://audited/p?endpoint={endpoint}&region=us-east-1&lock=compliance:1:2");
    let host = sandbox.host_with(&data, &[store], "--skip-probe");
    host.set_method("frozen");
    host.snapshot();
    let short = sandbox.file("short.toml", policy("12h"));
    let long = sandbox.file("long.toml", policy("7d"));
    let audit =
        |file: &std::path::Path| host.run(&format!("audit --json --policy {}", file.display()));
    let document = json(&audit(&short).success());
    assert_eq!(document["verdict"], "pass", "{document:#}");
    let document = json(&audit(&long).code(4));
    let ids = |document: &serde_json::Value| -> Vec<String> {
        let checks = document["checks"].as_array().unwrap().iter();
        let failed = checks.filter(|check| check["outcome"] == "fail");
        failed
            .map(|check| check["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&document), ["lock-weaker", "lock-weaker"]);

    let store = server.store("audited", "p");
    let keys = databasus_escrow::store::list_all(&store, "demo/escrow/", None).unwrap();
    let payload = keys
        .iter()
        .find(|meta| meta.key.ends_with("payload.tar.zst.age"))
        .unwrap();
    store.delete(&payload.key).unwrap();
    let document = json(&audit(&short).code(13));
    assert_eq!(
        ids(&document),
        ["copy-missing", "payload-hidden"],
        "{document:#}"
    );
    host.run("verify")
        .code(13)
        .stdout(contains("payload-hidden"));
}
