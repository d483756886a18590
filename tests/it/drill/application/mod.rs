//! Level 5 against a stand-in for Databasus: nobody can run the real one here.

use databasus_escrow::model::drill::{DrillReport, Outcome, Step};
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;

use super::bed::{Bed, DATABASE};
use crate::support::fixture::Fixture;
use crate::support::sandbox::{json, stdout};
use crate::support::write_program;

mod plain;
mod stand_in;

use stand_in::{Fault, StandIn};

/// The quickest drill there is.
const ESCROW_ALONE: &str = "[drill]\nlevel = 3\n";

/// A bed, and what answers in place of the Databasus that its fixture is of.
fn beside(fixture: &str, bucket: &str, gate: Option<&str>) -> Option<(Bed, StandIn)> {
    let bed = Bed::new(fixture, bucket)?;
    let admin = bed.server.psql(
        "SELECT id || ' ' || floor(extract(epoch FROM password_creation_time))::bigint FROM users
         WHERE role = 'ADMIN' AND status = 'ACTIVE' ORDER BY created_at LIMIT 1",
    );
    let (id, seconds) = admin.trim().split_once(' ').unwrap();
    let admin = (id.to_owned(), seconds.parse().unwrap());
    let gate = gate.map(|name| bed.sandbox.path(name));
    let stand_in = StandIn::start(&Fixture::named(fixture)?, admin, gate);
    Some((bed, stand_in))
}

fn step<'a>(report: &'a DrillReport, name: &str) -> &'a Step {
    let mut steps = report.steps.iter();
    let found = steps.find(|one| one.name == name);
    found.unwrap_or_else(|| panic!("{name} in {:#?}", report.steps))
}

fn outcome(report: &DrillReport, name: &str) -> Outcome {
    step(report, name).outcome
}

#[test]
fn databasus_is_started_on_what_came_back_asked_and_stopped() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-349", Some("started")) else {
        return;
    };
    let place = |name: &str| bed.sandbox.path(name);
    let start = format!(
        "#!/bin/sh\nset -e\ncmp \"$DRILL_DATA_DIR/secret.key\" {}\ntest -d \"$DRILL_DATA_DIR/pgdata\"\n\
         env | grep ESCROW_ && exit 9\n(cd \"$DRILL_DATA_DIR/pgdata\" && exec sleep 1000) &\nprintf %s \"$DRILL_URL\" >{}\n",
        bed.server.data_dir().join("secret.key").display(),
        place("started").display()
    );
    write_program(&place("start"), &start);
    let stop = format!("#!/bin/sh\ntouch {}\n", place("stopped").display());
    write_program(&place("stop"), &stop);
    let more = format!(
        "--json --application {} --application-start {} --application-stop {}",
        stand_in.url(),
        place("start").display(),
        place("stop").display()
    );
    let ran = bed.drill(&format!("[drill]\nlevel = 5\n{DATABASE}"), &more);
    let document = json(&ran);
    ran.success();

    let (report, text) = bed.report();
    assert_eq!(report.outcome, Outcome::Proven, "{document:#}");
    assert_eq!((report.level.wanted, report.level.reached), (5, Some(5)));
    let url = std::fs::read_to_string(place("started")).unwrap();
    assert_eq!(url, stand_in.url());
    assert!(place("stopped").exists());
    assert_eq!(outcome(&report, "compare storages"), Outcome::Proven);
    assert_eq!(stand_in.wrong(), Vec::<String>::new());
    assert_eq!(
        stand_in.calls(),
        [
            "GET backups",
            "GET file",
            "GET physical backups",
            "GET version",
            "POST download-token"
        ]
    );
    // It lies in the open, and no token is anywhere.
    for confidential in ["media", "heatwave", "once-", "eyJ", "127.0.0.1"] {
        assert!(!text.contains(confidential), "{confidential} in {text}");
    }
    let told = document.to_string();
    assert!(!told.contains("once-") && !told.contains("eyJ"), "{told}");
    // The newest encrypted one of the last second.
    assert!(told.contains("c2728f6cd3a624973dfa736e74e583d3a41a98db0c6752c9c48172236a65c0a1"));
    assert_eq!(bed.litter(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_databasus_that_ran_before_the_drill_is_asked_too() {
    let Some((bed, stand_in)) = beside("real-3.42.0", "drill-app-342", None) else {
        return;
    };
    let policy = format!("[drill]\nlevel = 5\n{DATABASE}");
    let ran = bed.drill(&policy, &format!("--application {}", stand_in.url()));
    let told = stdout(&ran);
    ran.success();
    assert!(told.contains("it says that it is 3.42.0"), "{told}");
    let (report, _) = bed.report();
    assert_eq!(report.level.reached, Some(5));
    assert_eq!(stand_in.wrong(), Vec::<String>::new());
    assert_eq!(
        stand_in.calls(),
        [
            "GET backups",
            "GET databases",
            "GET file",
            "GET version",
            "POST download-token"
        ]
    );
}

#[test]
fn production_that_answers_in_the_place_of_a_clone_proves_nothing_and_is_asked_for_no_token() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-production", Some("up")) else {
        return;
    };
    stand_in.does(Fault::Unfenced);
    let gate = bed.sandbox.path("up");
    let url = format!("--application {}", stand_in.url());
    let start = bed.sandbox.path("start");
    write_program(&start, &format!("#!/bin/sh\ntouch {}\n", gate.display()));
    let started = format!("{url} --application-start {}", start.display());
    // The gate stays open: it answers before the second drill begins.
    for more in [started, url] {
        bed.drill(&format!("[drill]\nlevel = 5\n{DATABASE}"), &more)
            .code(3)
            .stdout(contains("1 of 2 hosts of its databases are fenced"));
    }
    for (report, _) in bed.reports() {
        assert_eq!(report.level.reached, Some(4));
        assert_eq!(outcome(&report, "recognise"), Outcome::Unknown);
        assert_eq!(outcome(&report, "list backups"), Outcome::NotDone);
        assert_eq!(outcome(&report, "download"), Outcome::NotDone);
    }
    assert_eq!(stand_in.calls(), ["GET databases", "GET version"]);
    assert_eq!(stand_in.wrong(), Vec::<String>::new());
}

#[test]
fn whatever_databasus_does_wrong_is_told_and_stored() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-wrong", None) else {
        return;
    };
    let cases = [
        (
            Fault::OtherByte,
            13,
            "download",
            "it serves something else than was backed up",
        ),
        (
            Fault::OneMore,
            13,
            "download",
            "Databasus does not answer as it should",
        ),
        (
            Fault::BreaksOff,
            4,
            "download",
            "Databasus does not answer as it should",
        ),
        (
            Fault::Fails,
            4,
            "list backups",
            "Databasus does not answer as it should",
        ),
        (
            Fault::Huge,
            4,
            "list backups",
            "Databasus does not answer as it should",
        ),
        (
            Fault::Redirects,
            4,
            "list backups",
            "Databasus does not answer as it should",
        ),
        (
            Fault::RefusesTokens,
            4,
            "recognise",
            "Databasus does not accept the rehydrated key",
        ),
    ];
    for (number, (fault, code, name, detail)) in cases.into_iter().enumerate() {
        stand_in.does(fault);
        let more = format!("--application {}", stand_in.url());
        bed.drill(ESCROW_ALONE, &more).code(code);
        let reports = bed.reports();
        assert_eq!(reports.len(), number + 1, "{fault:?}");
        let newest = reports.iter().map(|(report, _)| report);
        let report = newest.max_by_key(|report| report.began_at).unwrap();
        let step = step(report, name);
        assert_eq!(
            (step.outcome, step.detail.as_str()),
            (Outcome::Failed, detail),
            "{fault:?}"
        );
        assert_eq!(report.outcome, Outcome::Failed);
    }
    assert_eq!(stand_in.wrong(), Vec::<String>::new());
}

#[test]
fn another_list_is_a_failure_unless_databasus_ran_before_the_drill() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-list", Some("started")) else {
        return;
    };
    let gate = bed.sandbox.path("started");
    let start = format!("#!/bin/sh\ntouch {}\n", gate.display());
    write_program(&bed.sandbox.path("start"), &start);
    for (fault, told) in [
        (Fault::Missing, "Databasus does not list"),
        (Fault::Surplus, "44444444-4444-4444-8444-444444444444"),
    ] {
        stand_in.does(fault);
        let script = bed.sandbox.path("start");
        let url = stand_in.url();
        let of_ours = format!(
            "--application {url} --application-start {}",
            script.display()
        );
        bed.drill(ESCROW_ALONE, &of_ours)
            .code(4)
            .stdout(contains(told));
        // The gate is open now: it answers before the next drill begins.
        bed.drill(ESCROW_ALONE, &format!("--application {url}"))
            .code(3)
            .stdout(contains(told));
        std::fs::remove_file(&gate).unwrap();
    }
    let reports = bed.reports();
    let outcomes = reports
        .iter()
        .map(|(report, _)| outcome(report, "list backups"));
    let failed = outcomes.filter(|outcome| *outcome == Outcome::Failed);
    assert_eq!((reports.len(), failed.count()), (4, 2));
}

#[test]
fn another_release_is_another_release_and_a_build_without_a_version_says_nothing() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-release", None) else {
        return;
    };
    let more = format!("--application {}", stand_in.url());
    stand_in.does(Fault::OtherRelease);
    bed.drill(ESCROW_ALONE, &more)
        .code(4)
        .stdout(contains("it is 9.9.9, and 3.49.0 was escrowed"));
    stand_in.does(Fault::NoVersion);
    bed.drill(ESCROW_ALONE, &more)
        .success()
        .stdout(contains("every build says that was told no version"));
}

#[test]
fn a_databasus_that_nobody_starts_is_told() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-late", Some("never")) else {
        return;
    };
    let url = format!("--application {}", stand_in.url());
    bed.drill(ESCROW_ALONE, &format!("{url} --application-wait 1s"))
        .code(4)
        .stdout(contains("did not answer within"))
        .stderr(contains("Start Databasus on").and(contains("/databasus-data now")));
    bed.drill(
        ESCROW_ALONE,
        &format!("{url} --application-start /bin/false"),
    )
    .code(4)
    .stdout(contains("the command failed"));
    let reports = bed.reports();
    for (report, _) in &reports {
        assert_eq!(outcome(report, "start Databasus"), Outcome::Failed);
        assert_eq!(outcome(report, "list backups"), Outcome::NotDone);
    }
    assert_eq!(reports.len(), 2);
    assert_eq!(stand_in.wrong(), Vec::<String>::new());
}

#[test]
fn nothing_is_started_where_something_answers_already() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-occupied", None) else {
        return;
    };
    let marker = bed.sandbox.path("marker");
    let start = format!("#!/bin/sh\ntouch {}\n", marker.display());
    write_program(&bed.sandbox.path("start"), &start);
    let script = bed.sandbox.path("start");
    let url = stand_in.url();
    let more = format!(
        "--application {url} --application-start {}",
        script.display()
    );
    bed.drill(ESCROW_ALONE, &more)
        .code(3)
        .stdout(contains("something answers there already"));
    assert!(!marker.exists());
}

#[test]
fn a_storage_that_changed_meanwhile_is_told_with_its_new_objects() {
    let Some((bed, stand_in)) = beside("real-3.49.0", "drill-app-change", None) else {
        return;
    };
    stand_in.writes(bed.backups(), "written-meanwhile");
    bed.drill(ESCROW_ALONE, &format!("--application {}", stand_in.url()))
        .success()
        .stdout(contains("the clone wrote: new: written-meanwhile"));
    let (report, text) = bed.report();
    assert_eq!(outcome(&report, "compare storages"), Outcome::Unknown);
    assert!(!text.contains("written-meanwhile"));
}

#[test]
fn tokens_go_to_no_host_far_away() {
    let Some((bed, _)) = beside("real-3.49.0", "drill-app-far", None) else {
        return;
    };
    bed.drill(ESCROW_ALONE, "--application http://192.0.2.1:4005")
        .code(2)
        .stderr(contains("would go there in clear"));
    bed.drill(ESCROW_ALONE, "--application https://127.0.0.1:4005")
        .code(2)
        .stderr(contains("https is not spoken here"));
    assert_eq!(bed.reports().len(), 0);
}

#[test]
fn level_5_without_a_databasus_is_not_done() {
    let Some(bed) = Bed::new("real-3.49.0", "drill-app-none") else {
        return;
    };
    bed.drill(&format!("[drill]\nlevel = 5\n{DATABASE}"), "")
        .code(3)
        .stdout(contains("no Databasus was named"));
    let (report, _) = bed.report();
    assert_eq!(report.level.reached, Some(4));
    assert_eq!(outcome(&report, "start Databasus"), Outcome::NotDone);
}
