use proptest::prelude::*;

use super::verdict::reached;
use super::*;

/// The example of `docs/FORMAT.md`.
const WORKED: &str = include_str!("worked.json");

fn worked() -> DrillReport {
    DrillReport::parse(WORKED.as_bytes()).unwrap()
}

fn step(level: u8, outcome: Outcome) -> Step {
    Step {
        name: "step".to_owned(),
        subject: None,
        level: Some(level),
        outcome,
        seconds: Some(1),
        detail: String::new(),
    }
}

#[test]
fn the_worked_report_is_written_again_byte_for_byte() {
    let bytes = worked().to_bytes().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), WORKED);
    assert_eq!(
        Digest::of(WORKED.as_bytes()).to_string(),
        "7673612a1516226edbea541e65bb15e6f6ec82b1aac12001ac8409ec53e6fa5f"
    );
}

#[test]
fn the_worked_report_is_judged_as_it_says() {
    let report = worked();
    assert_eq!(report.judged(), report.outcome);
    assert_eq!(reached(&report.steps), report.level.reached);
}

#[test]
fn a_level_counts_only_above_proven_ones() {
    let [proven, failed] = [Outcome::Proven, Outcome::Failed];
    assert_eq!(reached(&[]), None);
    assert_eq!(reached(&[step(1, proven)]), None);
    assert_eq!(reached(&[step(0, proven), step(2, proven)]), Some(0));
    let steps = [step(0, proven), step(1, proven), step(1, failed)];
    assert_eq!(reached(&steps), Some(0));
    assert_eq!(reached(&steps[..2]), Some(1));
}

#[test]
fn one_failure_fails_a_drill() {
    let edits: [fn(&mut DrillReport); 5] = [
        |r| r.steps[0].outcome = Outcome::Failed,
        |r| r.subjects[0].sentinels[0].outcome = Outcome::Failed,
        |r| r.rto.limit = Some(1),
        |r| r.rpo.limit = Some(1),
        |r| r.failure = Some("no identity opens it".to_owned()),
    ];
    for edit in edits {
        let mut report = worked();
        edit(&mut report);
        assert_eq!(report.judged(), Outcome::Failed);
    }
}

#[test]
fn what_could_not_be_told_proves_nothing() {
    let edits: [fn(&mut DrillReport); 3] = [
        |r| r.level.reached = Some(3),
        |r| r.level.reached = None,
        |r| r.rpo.seconds = None,
    ];
    for edit in edits {
        let mut report = worked();
        edit(&mut report);
        assert_eq!(report.judged(), Outcome::Unknown);
    }
}

#[test]
fn other_formats_and_dates_are_refused() {
    let other = WORKED.replace("drill/1", "drill/2");
    assert!(matches!(
        DrillReport::parse(other.as_bytes()),
        Err(DrillReportError::UnknownFormat(_))
    ));
    let mut report = worked();
    report.ended_at = report.began_at.plus(-1);
    assert!(matches!(
        DrillReport::parse(&report.to_bytes().unwrap()),
        Err(DrillReportError::Misdated { .. })
    ));
}

#[test]
fn words_of_later_releases_prove_nothing() {
    let later = WORKED
        .replace("\"proven\"", "\"postponed\"")
        .replace("\"at-least\"", "\"resembles\"")
        .replace("\"cluster\"", "\"galaxy\"");
    let report = DrillReport::parse(later.as_bytes()).unwrap();
    assert_eq!(report.outcome, Outcome::Unknown);
    assert_eq!(reached(&report.steps), None);
}

#[test]
fn a_sentence_is_bounded_and_harmless() {
    assert_eq!(sentence("a\u{1b}[2J"), "a\\u{1b}[2J");
    assert!(sentence(&"x".repeat(9_000)).len() < 400);
}

proptest! {
    #[test]
    fn reports_round_trip(
        seconds in proptest::option::of(0..1u64 << 50),
        wanted in 0u8..6,
        detail in ".{0,40}",
        age in 0i64..1 << 30,
    ) {
        let mut report = worked();
        report.rto.seconds = seconds;
        report.level.wanted = wanted;
        report.steps[0].detail = detail;
        report.ended_at = report.began_at.plus(age);
        let bytes = report.to_bytes().unwrap();
        prop_assert_eq!(DrillReport::parse(&bytes).unwrap(), report);
    }

    #[test]
    fn other_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(DrillReport::parse(&bytes).is_err());
    }

    #[test]
    fn no_cut_or_changed_byte_makes_it_panic(at in 0..WORKED.len(), byte: u8) {
        let mut bytes = WORKED.as_bytes().to_vec();
        let _ = DrillReport::parse(&bytes[..at]);
        bytes[at] = byte;
        let _ = DrillReport::parse(&bytes);
    }
}
