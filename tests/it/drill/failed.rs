//! Drills that do not bring back what the policy demands: each is told, stored, and leaves nothing.

use std::path::PathBuf;

use databasus_escrow::model::drill::{DrillReport, Outcome};
use predicates::str::contains;

use super::bed::{Bed, DATABASE, SECRET_ANSWER};
use crate::support::sandbox::{files, stdout};

const NOTHING: Vec<PathBuf> = Vec::new();

fn failed(report: &DrillReport, step: &str) -> String {
    assert_eq!(report.outcome, Outcome::Failed);
    let mut steps = report.steps.iter();
    let step = steps.find(|one| one.name == step).unwrap();
    assert_eq!(step.outcome, Outcome::Failed, "{step:?}");
    step.detail.clone()
}

#[test]
fn a_sentinel_that_does_not_hold_is_a_demand_that_is_not_met() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-sentinel") else {
        return;
    };
    let policy = format!("[drill]\n{DATABASE}");
    let policy = policy.replace("at_least = 4", "at_least = 4000000");
    let policy = policy.replace("SELECT who", "SELECT nothing_like_that");
    let ran = bed.drill(&policy, "");
    let text = stdout(&ran);
    ran.code(4).stdout(contains("The drill FAILED"));
    assert!(text.contains("PostgreSQL says 42703"), "{text}");
    assert!(!text.contains(SECRET_ANSWER), "{text}");
    let (report, _) = bed.report();
    assert_eq!(failed(&report, "sentinels"), "a sentinel does not hold");
    let sentinels = report.subjects[0].sentinels.iter();
    let outcomes: Vec<_> = sentinels.map(|one| one.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Failed]);
    assert_eq!(report.level.reached, Some(3));
    assert_eq!(bed.litter(), NOTHING);
}

#[test]
fn a_sentinel_can_change_nothing_and_see_nothing_of_the_host() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-reader") else {
        return;
    };
    let sentinel = |name: &str, sql: &str| {
        format!(
            "[[drill.database.sentinel]]\nname = \"{name}\"\nsql = \"{sql}\"\n\
             expect = {{ equals = \"x\" }}\n"
        )
    };
    let marker = bed.sandbox.path("marker");
    let policy = [
        "[drill]\n[[drill.database]]\nname = \"heatwave\"\n".to_owned(),
        sentinel("delete", "DELETE FROM invoices RETURNING 'x'"),
        sentinel(
            "write",
            "SET default_transaction_read_only = off; DELETE FROM invoices RETURNING 'x'",
        ),
        sentinel(
            "file",
            "SELECT CASE WHEN pg_read_file('/etc/hostname') > '' THEN 'x' END",
        ),
        sentinel(
            "program",
            &format!("COPY (SELECT 'x') TO PROGRAM 'touch {}'", marker.display()),
        ),
        sentinel("superuser", "SET ROLE postgres; SELECT 'x'"),
    ];
    bed.drill(&policy.concat(), "").code(4);
    let (report, _) = bed.report();
    for sentinel in &report.subjects[0].sentinels {
        assert_eq!(sentinel.outcome, Outcome::Failed, "{}", sentinel.name);
    }
    assert!(!marker.exists());
}

#[test]
fn a_drill_that_takes_longer_than_the_policy_allows_is_not_good_enough() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-limits") else {
        return;
    };
    let policy = format!("[drill]\nrto = \"0s\"\nrpo = \"1s\"\n{DATABASE}");
    bed.drill(&policy, "")
        .code(4)
        .stdout(contains("MORE than the 0 s of the policy"))
        .stdout(contains("MORE than the 1 s of the policy"));
    let (report, _) = bed.report();
    assert_eq!(report.level.reached, Some(4));
    assert!(report.rto.exceeds() && report.rpo.exceeds());
    assert_eq!(report.outcome, Outcome::Failed);
}

#[test]
fn an_identity_that_opens_nothing_is_a_failed_drill() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-identity") else {
        return;
    };
    let mallory = bed.sandbox.identity("mallory");
    let policy = format!("[drill]\n{DATABASE}");
    bed.drill(&policy, &format!("--identity {}", mallory.display()))
        .code(12);
    let (report, _) = bed.report();
    assert_eq!(failed(&report, "rehydrate"), "no key opens it");
    assert_eq!(report.failure.as_deref(), Some("no key opens it"));
    assert_eq!(report.level.reached, None);
    assert_eq!(report.rto.seconds, None);
    assert_eq!(bed.litter(), NOTHING);
}

#[test]
fn a_damaged_escrow_is_told_from_one_that_does_not_open() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-payload") else {
        return;
    };
    let escrows = bed.sandbox.path("usb/demo/escrow");
    for (path, bytes) in files(&escrows) {
        if path.ends_with("payload.tar.zst.age") {
            crate::support::sandbox::flip(&path, bytes.len() / 2);
        }
    }
    bed.drill(&format!("[drill]\n{DATABASE}"), "").code(13);
    let (report, _) = bed.report();
    assert_eq!(
        failed(&report, "rehydrate"),
        "the escrow is not what was signed"
    );
    assert_eq!(bed.litter(), NOTHING);
}

#[test]
fn a_damaged_backup_fails_the_drill_and_not_the_others() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-damaged") else {
        return;
    };
    // Its first chunk stands: a cheap look shows nothing.
    bed.edit(
        "media-20261123-031021-dd1c7d3f-5887-4cd7-863c-d7319cb296d6.part000001",
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
    );
    let policy = format!(
        "[drill]\n{DATABASE}[[drill.database]]\nname = \"heatwave_versions\"\nlabel = \"notes\"\n\
         [[drill.database.sentinel]]\nname = \"notes\"\nsql = \"SELECT count(*) FROM n\"\n\
         expect = {{ at_least = 4 }}\n"
    );
    let policy = policy.replace("\"heatwave\"", "\"media\"");
    bed.drill(&policy, "").code(13);
    let (report, text) = bed.report();
    assert_eq!(failed(&report, "fetch"), "the backup is damaged");
    assert_eq!(report.subjects[1].sentinels[0].outcome, Outcome::Proven);
    assert_eq!(report.subjects[0].as_of, None);
    assert_eq!(report.rpo.seconds, None);
    assert!(!text.contains("heatwave"), "{text}");
    assert_eq!(bed.litter(), NOTHING);
}

#[test]
fn what_databasus_does_not_know_does_not_come_back() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-unknown") else {
        return;
    };
    let policy = format!("[drill]\n{DATABASE}").replace("\"heatwave\"", "\"atlantis\"");
    bed.drill(&policy, "")
        .code(4)
        .stdout(contains("Databasus knows 0 databases called atlantis"));
    let (report, text) = bed.report();
    assert_eq!(failed(&report, "fetch"), "Databasus does not know it");
    assert!(!text.contains("atlantis"));
    let policy = format!("[drill]\n{DATABASE}").replace("\"heatwave\"", "\"pg17 cluster\"");
    bed.drill(&policy, "")
        .code(3)
        .stdout(contains("[[drill.cluster]]"));
    assert_eq!(bed.reports().len(), 2);
}
