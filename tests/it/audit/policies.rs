//! `policy check`, and the policies that come with the program.

use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::names::SignerName;
use databasus_escrow::base::time::UtcTime;
use databasus_escrow::model::layout::Layout;
use predicates::str::contains;

use crate::support::sandbox::{Sandbox, json};

fn shipped(name: &str) -> String {
    format!("{}/policies/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_policies_that_come_along_can_be_used() {
    let sandbox = Sandbox::new();
    let (production, minimal) = (shipped("production.toml"), shipped("minimal.toml"));
    let ran = sandbox.run(&format!("policy check {production} {minimal}"));
    ran.success()
        .stdout(contains("production.toml: can be used\n"));
}

#[test]
fn a_policy_that_cannot_be_used_is_told_by_its_line() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("p.toml", "version = 1\n[freshness]\nmax_aeg = \"26h\"\n");
    let check = format!(
        "policy check {} {}",
        file.display(),
        shipped("minimal.toml")
    );
    sandbox
        .run(&check)
        .code(2)
        .stdout(contains(
            "line 3: unknown key `max_aeg`; did you mean `max_age`?",
        ))
        .stdout(contains("minimal.toml: can be used\n"));
    let document = json(&sandbox.run(&format!("{check} --json")).code(2));
    assert!(document[0]["error"].as_str().unwrap().contains("line 3"));
    assert_eq!(document[1]["error"], serde_json::Value::Null);
    sandbox
        .run(&format!("audit --policy {}", file.display()))
        .code(2)
        .stderr(contains("hint: "));
}

#[test]
fn a_recipients_file_is_read_from_the_policys_folder() {
    let sandbox = Sandbox::new();
    sandbox.folder("policies");
    let text = "version = 1\n[custody]\nmode = \"any\"\nrecipients_file = \"r.toml\"\n";
    let file = sandbox.file("policies/p.toml", text);
    let check = format!("policy check {}", file.display());
    sandbox.run(&check).code(2).stdout(contains("r.toml"));
    let alice = sandbox.recipient("alice");
    let recipients = format!("[[recipient]]\ncustodian = \"alice\"\nrecipient = \"{alice}\"\n");
    sandbox.file("policies/r.toml", recipients);
    sandbox.run(&check).success();
}

#[test]
fn only_those_who_write_may_write_to_a_bucket_of_r2() {
    for (role, permission) in [
        ("writer", "Write"),
        ("witness", "Write"),
        ("auditor", "Read"),
        ("restorer", "Read"),
    ] {
        let text = std::fs::read_to_string(shipped(&format!("r2/{role}.json"))).unwrap();
        let token: serde_json::Value = serde_json::from_str(&text).unwrap();
        let policies = token["policies"].as_array().unwrap();
        assert_eq!(policies.len(), 1);
        let groups = policies[0]["permission_groups"].as_array().unwrap();
        let name = format!("Workers R2 Storage Bucket Item {permission}");
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0]["name"], name, "{role}");
        let resources = policies[0]["resources"].as_object().unwrap();
        let mut buckets = resources.keys();
        assert!(buckets.all(|bucket| bucket.starts_with("com.cloudflare.edge.r2.bucket.")));
    }
}

#[test]
fn a_witness_writes_under_no_name_but_its_own() {
    let text = std::fs::read_to_string(shipped("s3/witness.json")).unwrap();
    let policy: serde_json::Value = serde_json::from_str(&text).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let resources: Vec<&str> = statements
        .flat_map(|one| one["Resource"].as_array().unwrap())
        .map(|resource| resource.as_str().unwrap())
        .collect();
    let signer: SignerName = "WITNESS-NAME".to_ascii_lowercase().parse().unwrap();
    let layout = Layout::new(&"demo".parse().unwrap());
    let now = UtcTime::from_unix(0);
    let keys = [
        layout.witness(&signer, now),
        layout.signature(&Digest::of(b""), &signer),
    ];
    assert_eq!(resources.len(), keys.len());
    for (resource, key) in resources.iter().zip(keys) {
        let pattern = resource.to_ascii_lowercase();
        let (_, pattern) = pattern.split_once("/prefix/*/").unwrap();
        let (begin, end) = pattern.split_once('*').unwrap();
        let (_, rest) = key.split_once('/').unwrap();
        assert!(
            rest.starts_with(begin) && rest.ends_with(end),
            "{key} {resource}"
        );
        assert!(resource.contains("WITNESS-NAME"), "{resource}");
    }
}

#[test]
fn no_role_in_a_bucket_may_delete() {
    for role in ["writer", "auditor", "witness", "restorer"] {
        let text = std::fs::read_to_string(shipped(&format!("s3/{role}.json"))).unwrap();
        let policy: serde_json::Value = serde_json::from_str(&text).unwrap();
        let statements = policy["Statement"].as_array().unwrap().iter();
        let actions = statements.flat_map(|one| one["Action"].as_array().unwrap());
        for action in actions.map(|action| action.as_str().unwrap()) {
            assert!(
                !action.contains("Delete") && !action.contains('*'),
                "{role}: {action}"
            );
            let writes = action.starts_with("s3:Put");
            assert!(
                !writes || ["writer", "witness"].contains(&role),
                "{role}: {action}"
            );
        }
    }
}
