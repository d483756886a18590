//! Drills that bring back what the policy demands.

use assert_cmd::assert::Assert;
use databasus_escrow::model::drill::{Outcome, SubjectKind};
use databasus_escrow::model::layout::Layout;
use predicates::str::contains;

use super::bed::{Bed, CLUSTER, DATABASE, SECRET_ANSWER};
use crate::support::sandbox::json;

#[test]
fn a_database_and_a_cluster_come_back_are_asked_and_are_gone_afterwards() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-proven") else {
        return;
    };
    let policy = format!("[drill]\nrto = \"2h\"\nrpo = \"20000d\"\n{DATABASE}{CLUSTER}");
    let ran = bed.drill(&policy, "--json");
    let document = json(&ran);
    ran.success();
    assert_eq!(bed.litter(), Vec::<std::path::PathBuf>::new());

    let (report, text) = bed.report();
    assert_eq!(report.outcome, Outcome::Proven, "{document:#}");
    assert_eq!((report.level.wanted, report.level.reached), (4, Some(4)));
    assert!(report.rto.seconds.unwrap() >= 1);
    assert_eq!(report.rpo.seconds, oldest(&report));
    let kinds: Vec<_> = report.subjects.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [SubjectKind::Database, SubjectKind::Cluster]);
    // The newest dump was made after the escrow, and nothing but the bucket knows it.
    let as_of = report.subjects[0].as_of.unwrap().to_string();
    assert_eq!(as_of, "2026-11-23T03:10:21Z");
    let sentinels = report.subjects.iter().flat_map(|one| &one.sentinels);
    assert!(sentinels.clone().all(|one| one.outcome == Outcome::Proven));
    assert_eq!(sentinels.count(), 3);

    // It lies in the open.
    for confidential in [
        SECRET_ANSWER,
        "heatwave",
        "pg17",
        "shop",
        "invoices\"",
        "drill-proven",
    ] {
        assert!(!text.contains(confidential), "{confidential} in {text}");
    }
    assert_eq!(document["exit"], 0);
    assert_eq!(document["report"]["outcome"], "proven");
    let told = document["told"].to_string();
    assert!(told.contains("SHA-256 c2728f6cd3a6"), "{told}");
    assert!(!told.contains(SECRET_ANSWER), "{told}");
    counts_for_readers(&bed, &policy);
}

fn oldest(report: &databasus_escrow::model::drill::DrillReport) -> Option<u64> {
    report
        .subjects
        .iter()
        .filter_map(|one| one.rpo_seconds)
        .max()
}

/// As whoever audits reads it; under another name it is none.
fn counts_for_readers(bed: &Bed, policy: &str) {
    let policy = policy.replace("[drill]\n", "version = 1\n[drill]\nmax_age = \"1d\"\n");
    let policy = bed.sandbox.file("audit.toml", policy);
    let config = bed.sandbox.path("drill-box/escrow.toml");
    let line = format!(
        "--config {} audit --policy {} --json",
        config.display(),
        policy.display()
    );
    let told = |ran: &Assert| {
        let document = json(ran);
        let checks = document["checks"].as_array().unwrap().iter();
        let own = checks.filter(|check| check["rule"] == "drill" && check["outcome"] != "pass");
        own.map(|check| check["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&bed.sandbox.run(&line)), [""; 0]);
    let (report, _) = bed.report();
    let layout = Layout::new(&report.instance);
    let place = |began| {
        let key = layout.drill(&report.escrow_id, began);
        bed.sandbox.path(&format!("usb/{key}"))
    };
    let other = place(report.began_at.plus(1));
    std::fs::copy(place(report.began_at), &other).unwrap();
    assert_eq!(told(&bed.sandbox.run(&line)), ["drill-unverified"]);
    std::fs::remove_file(other).unwrap();
}

#[test]
fn an_agents_cluster_goes_back_to_a_time_and_is_measured_against_the_newest() {
    let Some(bed) = Bed::new("real-3.42.0", "drill-wal-v1") else {
        return;
    };
    let Some(bin) = crate::support::needed("ESCROW_TEST_PG18_BIN") else {
        return;
    };
    // `facts.pitr` of the fixture: at T1 there are eight sentinels.
    let policy = CLUSTER
        .replace(
            "\"pg17 cluster\"",
            "\"pg18 standby\"\nto = \"2026-11-23T03:12:24Z\"",
        )
        .replace("equals = 20", "equals = 8");
    let ran = bed.drill(
        &format!("[drill]\n{policy}"),
        &format!("--pg-bin {}", bin.display()),
    );
    ran.success().stdout(contains("The drill is proven"));
    let (report, _) = bed.report();
    let cluster = &report.subjects[0];
    let as_of = cluster.as_of.unwrap();
    let text = as_of.to_string();
    assert!(("2026-11-23T03:12:09Z"..="2026-11-23T03:12:24Z").contains(&text.as_str()));
    let age = i64::try_from(cluster.rpo_seconds.unwrap()).unwrap();
    assert!(report.began_at.unix() - age >= as_of.unix() + 30);
}

#[test]
fn below_level_4_nothing_but_the_escrow_comes_back() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-level-3") else {
        return;
    };
    bed.drill("[drill]\nlevel = 3\n", "").success();
    let (report, _) = bed.report();
    assert_eq!((report.level.wanted, report.level.reached), (3, Some(3)));
    assert!(report.subjects.is_empty());
    assert_eq!(report.rpo.seconds, None);
}
