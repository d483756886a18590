//! Custodians join and leave.

use std::fs;

use predicates::str::contains;

use super::bed::{bash, document, host_of_three, newest_manifest};
use super::checkins::{admit, commands};
use crate::support::sandbox::Sandbox;

#[test]
fn a_newcomer_is_unproven_and_the_next_escrow_is_sealed_to_them() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    let dave = sandbox.recipient("dave");
    host.run(&format!("custody add dave={dave}"))
        .success()
        .stdout(contains("does not count yet"));
    host.snapshot();
    assert_eq!(
        newest_manifest(&sandbox)["unlock"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    let status = document(&host, "custody status");
    assert_eq!(status["custodians"][3]["name"], "dave");
    assert_eq!(
        status["custodians"][3]["proven_at"],
        serde_json::Value::Null
    );
    host.run(&format!("custody add dave={dave}")).code(2);
    host.run("custody add erin=age1x").code(2);
}

#[test]
fn nobody_leaves_below_k_and_the_last_one_to_spare_is_remarked_on() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    let file = host
        .config
        .with_file_name("policies")
        .join("recipients.toml");
    host.run("custody remove carol --unproven")
        .code(3)
        .stdout(contains("NOBODY who is left can be spared"));
    let left = fs::read_to_string(&file).unwrap();
    assert!(left.contains("alice") && !left.contains("carol"));
    host.run("custody remove bob --unproven").code(14);
    host.run("custody remove nobody").code(2);
    assert_eq!(fs::read_to_string(&file).unwrap(), left);
}

/// The accident: somebody joins with a key that nobody holds, and who could open leaves.
#[test]
fn nobody_leaves_before_those_who_are_left_have_shown_that_they_can_open() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    let file = host
        .config
        .with_file_name("policies")
        .join("recipients.toml");
    let before = fs::read_to_string(&file).unwrap();
    host.run("custody remove carol").code(14).stderr(contains(
        "must have shown that their identities open anything, and 0 have",
    ));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    admit(&sandbox, &host, "alice");
    host.snapshot();
    let desk = sandbox.folder("desk");
    bash(&desk, &commands(&sandbox, &host, "alice")).unwrap();
    host.run("custody checkin ../desk/checkin.json").success();
    host.run("custody remove carol").success();
}

#[test]
fn a_leaver_is_shown_with_what_they_can_still_open() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    let escrow = host.snapshot()["escrow_id"].clone();
    let file = host
        .config
        .with_file_name("policies")
        .join("recipients.toml");
    let before = fs::read_to_string(&file).unwrap();
    let shown = document(&host, "custody remove carol --dry-run");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(shown["exposure"][0]["escrow_id"], escrow);
    assert_eq!(shown["exposure"][0]["others_needed"], 1);
    assert_eq!(shown["exposure"][0]["copies"][0]["store"], "usb");
    host.run("custody remove carol --dry-run")
        .stdout(contains("with 1 more"));
}

#[test]
fn a_leaver_under_another_name_is_shown_with_what_was_sealed_before() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    let exposed = |who: &str| -> Vec<serde_json::Value> {
        let shown = document(&host, &format!("custody remove {who} --dry-run"));
        let exposure = shown["exposure"].as_array().unwrap().iter();
        exposure.map(|one| one["escrow_id"].clone()).collect()
    };
    let first = host.snapshot()["escrow_id"].clone();
    let file = host
        .config
        .with_file_name("policies")
        .join("recipients.toml");
    let text = fs::read_to_string(&file).unwrap();
    // Not yet in any manifest under the new name, and then in one.
    fs::write(&file, text.replace("\"carol\"", "\"carol.jones\"")).unwrap();
    assert_eq!(exposed("carol.jones"), std::slice::from_ref(&first));
    let second = host.snapshot()["escrow_id"].clone();
    assert_eq!(exposed("carol.jones"), [second.clone(), first.clone()]);
    // An identity that was replaced since opens what it did.
    let text = fs::read_to_string(&file).unwrap();
    let (old, new) = (sandbox.recipient("carol"), sandbox.recipient("carol-new"));
    fs::write(&file, text.replace(&old, &new)).unwrap();
    assert_eq!(exposed("carol.jones"), [second, first]);
}
