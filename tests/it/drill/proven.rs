//! Drills that bring back what the policy demands.

use databasus_escrow::base::time::{Clock, SystemClock};
use databasus_escrow::model::drill::{Outcome, SubjectKind};
use databasus_escrow::ops::drill;
use databasus_escrow::store::Store;
use predicates::str::contains;
use std::sync::Arc;

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
    counts_for_readers(&bed);
}

fn oldest(report: &databasus_escrow::model::drill::DrillReport) -> Option<u64> {
    report
        .subjects
        .iter()
        .filter_map(|one| one.rpo_seconds)
        .max()
}

/// As whoever audits reads it.
fn counts_for_readers(bed: &Bed) {
    use databasus_escrow::model::allowed_signers::AllowedSigners;
    use databasus_escrow::model::trust::Trust;
    use databasus_escrow::ops::history::{History, Request};
    use databasus_escrow::store::dir::DirStore;

    let place = bed.sandbox.path("usb");
    let store: Arc<dyn Store> = Arc::new(DirStore::open("usb".parse().unwrap(), place).unwrap());
    let stores = [store];
    let signers = std::fs::read_to_string(bed.sandbox.path("drill-box/allowed_signers")).unwrap();
    let now = SystemClock.now();
    let history = History::read(Request {
        slug: &"demo".parse().unwrap(),
        stores: &stores,
        trust: Trust::new(AllowedSigners::parse(&signers).unwrap(), Vec::new()),
        mark: None,
        since_mark: false,
        up_to: None,
        now,
        cancel: &Default::default(),
    })
    .unwrap();
    let (report, _) = bed.report();
    let key = history.layout().drill(&report.escrow_id, report.began_at);
    let find = |key: &str, now| drill::find(&history, &stores, stores[0].as_ref(), key, now);
    assert_eq!(find(&key, now).unwrap().unwrap().report, report);
    // Under another name, or before its time, it is none.
    let other = history
        .layout()
        .drill(&report.escrow_id, report.began_at.plus(1));
    let bytes = stores[0].get(&key, 1 << 20).unwrap().bytes;
    stores[0].put_if_absent(&other, &bytes).unwrap();
    assert!(find(&other, now).unwrap().is_err());
    assert!(find(&key, report.began_at.plus(-3600)).unwrap().is_err());
    assert!(find("demo/drill/nothing.json", now).is_none());
    stores[0].delete(&other).unwrap();
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
