//! What running Databasus instances wrote.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::Value;

use super::bed::Bed;
use crate::support::fixture::Fixture;
use crate::support::needed;

/// The numbers of all sentinels; their column has no one name.
const ALL: &str =
    "SELECT substring(s::text FROM '[0-9]+')::int AS number FROM sentinel s ORDER BY number";

struct Truth {
    bed: Bed,
    pitr: Value,
}

fn truth(name: &str, bin: Option<PathBuf>) -> Option<Truth> {
    let fixture = Fixture::named(name)?;
    let pitr = fixture.truth()["facts"]["pitr"].clone();
    let bed = Bed::of_fixture(&fixture, bin?);
    Some(Truth { bed, pitr })
}

fn of_18() -> Option<Truth> {
    truth("real-3.42.0", needed("ESCROW_TEST_PG18_BIN"))
}

fn of_17() -> Option<Truth> {
    truth("real-3.49.0", needed("ESCROW_TEST_PG_BIN"))
}

impl Truth {
    /// Rewinds to one of the times; the sentinel that must be absent is the next one.
    fn holds_at(&self, name: &str) {
        let time: Timestamp = self.pitr["times"][name].as_str().unwrap().parse().unwrap();
        let expect = &self.pitr["expect"][name];
        let [present, absent] = ["present", "absent"].map(|which| expect[which].as_u64().unwrap());
        assert_eq!(present + 1, absent);
        self.bed.rewind(time, u32::try_from(present).unwrap());
        let found = self.bed.serve().psql_in("shop", ALL);
        let expected: Vec<String> = (1..=present).map(|id| id.to_string()).collect();
        assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_agents_chain_of_postgresql_18_reaches_the_first_time() {
    if let Some(truth) = of_18() {
        truth.holds_at("T1");
    }
}

#[test]
fn an_agents_chain_of_postgresql_18_reaches_the_second_time() {
    if let Some(truth) = of_18() {
        truth.holds_at("T2");
    }
}

#[test]
fn a_native_chain_of_postgresql_17_reaches_the_first_time() {
    if let Some(truth) = of_17() {
        truth.holds_at("T1");
    }
}

#[test]
fn a_native_chain_of_postgresql_17_reaches_the_second_time() {
    if let Some(truth) = of_17() {
        truth.holds_at("T2");
    }
}

#[test]
fn an_agents_chain_reaches_the_end_of_its_log() {
    if let Some(truth) = of_18() {
        truth.bed.expect(&["--latest"], 12);
    }
}

#[test]
fn a_native_chain_reaches_the_end_of_its_log() {
    if let Some(truth) = of_17() {
        truth.bed.expect(&["--latest"], 20);
    }
}
