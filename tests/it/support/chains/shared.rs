//! Chains that are made once, for every test that damages a copy of one or none.

use std::sync::OnceLock;

use super::chain::Chain;
use super::native::Native;
use super::source::Source;
use super::wal_v1::WalV1;

/// FULL, INCR, INCR and WAL of PostgreSQL 17 with segments of 1 MiB. One sentinel is in the full
/// backup, one is written between each two backups, and three behind the last, each in a segment
/// of its own.
///
/// | sentinel | 1 | | 2 | | 3 | | 4 | 5 | 6 |
/// |---|---|---|---|---|---|---|---|---|---|
/// | backup | | FULL | | INCR | | INCR | | | |
///
/// The WAL is seven segments: those of the five later sentinels, and those in which the
/// incremental backups were taken, as a backup finishes its segment.
pub fn native() -> Option<Chain> {
    static CHAIN: OnceLock<Option<Chain>> = OnceLock::new();
    CHAIN.get_or_init(make_native).clone()
}

fn make_native() -> Option<Chain> {
    let source = Source::start()?;
    let mut native = Native::of(&source, "shop cluster");
    let step = |native: &mut Native| {
        source.sentinel();
        source.switch_wal();
        native.wal(&source);
    };
    step(&mut native);
    let full = native.full(&source);
    step(&mut native);
    let first = native.incr(&source, &full);
    step(&mut native);
    native.incr(&source, &first);
    (0..3).for_each(|_| step(&mut native));
    Some(native.chain(&source))
}

/// A base and WAL by the agent, of PostgreSQL 17 with segments of 1 MiB: one sentinel is in the
/// base, and three behind it, each in a segment of its own.
pub fn wal_v1() -> Option<Chain> {
    static CHAIN: OnceLock<Option<Chain>> = OnceLock::new();
    CHAIN
        .get_or_init(|| Some(make_wal_v1(&Source::start()?)))
        .clone()
}

/// The same of PostgreSQL 18, where there is one.
pub fn wal_v1_of_18() -> Option<Chain> {
    static CHAIN: OnceLock<Option<Chain>> = OnceLock::new();
    CHAIN
        .get_or_init(|| Some(make_wal_v1(&Source::start_18()?)))
        .clone()
}

fn make_wal_v1(source: &Source) -> Chain {
    let mut agent = WalV1::of(source, "shop standby");
    let step = |agent: &mut WalV1| {
        source.sentinel();
        source.switch_wal();
        agent.wal(source);
    };
    step(&mut agent);
    agent.base(source);
    (0..3).for_each(|_| step(&mut agent));
    agent.chain(source)
}
