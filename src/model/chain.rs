//! The chain of manifests, judged without any I/O: what is missing, doubled or out of order.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::fork::Fork;
use super::link::Link;
use super::mark::Mark;
use crate::base::time::UtcTime;

/// How far ahead of the reader's clock a manifest may be dated, in seconds.
const FUTURE_TOLERANCE: i64 = 300;

/// Judges verified manifests from sequence number `first` on, one per distinct digest, in any
/// order. Findings come in the order of the chain.
pub fn judge(
    links: &[Link],
    forks: &[Fork],
    first: u64,
    mark: Option<&Mark>,
    now: UtcTime,
) -> Vec<Finding> {
    let mut slots: BTreeMap<u64, Vec<&Link>> = BTreeMap::new();
    for link in links {
        slots.entry(link.seq).or_default().push(link);
    }
    let mut findings = Vec::new();
    let mut before: Option<(u64, &[&Link])> = None;
    for (seq, slot) in &slots {
        findings.extend(forks.iter().find(|fork| fork.seq == *seq).map(told));
        findings.extend(ahead(*seq, slot, now));
        judge_step(first, before, *seq, slot, &mut findings);
        before = Some((*seq, slot));
    }
    if let Some(mark) = mark {
        judge_mark(&slots, forks, mark, &mut findings);
    }
    findings
}

fn told(fork: &Fork) -> Finding {
    let seq = fork.seq;
    let claimants = fork.followed.iter().chain(&fork.others);
    let claimants: Vec<_> = claimants.map(ToString::to_string).collect();
    let claim = format!(
        "{} valid manifests claim sequence {seq}: {}",
        claimants.len(),
        claimants.join(" and ")
    );
    match fork.closed_by {
        None => Finding::violation("chain-fork", claim),
        Some(by) => {
            let message = format!("{claim}; manifest {by} goes on from the first one");
            Finding::note("chain-fork-closed", message)
        }
    }
}

fn ahead(seq: u64, slot: &[&Link], now: UtcTime) -> Option<Finding> {
    let mut slot = slot.iter();
    let link = slot.find(|link| link.created_at > now.plus(FUTURE_TOLERANCE))?;
    Some(Finding::violation(
        "future-manifest",
        format!(
            "manifest {seq} is dated {}, which has not come yet",
            link.created_at
        ),
    ))
}

fn judge_step(
    first: u64,
    before: Option<(u64, &[&Link])>,
    seq: u64,
    slot: &[&Link],
    findings: &mut Vec<Finding>,
) {
    let Some((last, predecessors)) = before else {
        if seq > first {
            findings.push(gap(first, seq - 1));
        }
        return;
    };
    if seq > last + 1 {
        findings.push(gap(last + 1, seq - 1));
        return;
    }
    for link in slot {
        let Some(predecessor) = predecessors.iter().find(|p| Some(p.digest) == link.prev) else {
            findings.push(Finding::violation(
                "chain-break",
                format!("manifest {seq} does not follow the manifest {last} that is there"),
            ));
            continue;
        };
        if predecessor.created_at > link.created_at {
            findings.push(Finding::violation(
                "time-runs-back",
                format!("manifest {seq} is dated before manifest {last}"),
            ));
        }
    }
}

fn gap(from: u64, to: u64) -> Finding {
    let which = if from == to {
        format!("manifest {from} is")
    } else {
        format!("manifests {from} to {to} are")
    };
    Finding::violation("chain-gap", format!("{which} missing, or not verifiable"))
}

fn judge_mark(
    slots: &BTreeMap<u64, Vec<&Link>>,
    forks: &[Fork],
    mark: &Mark,
    findings: &mut Vec<Finding>,
) {
    let head = slots.keys().next_back().copied().unwrap_or(0);
    match slots.get(&mark.seq) {
        // Whoever makes a fork can close it, too; who has seen the other way remembers.
        Some(_)
            if forks
                .iter()
                .any(|fork| fork.has_left(&mark.manifest_sha256)) =>
        {
            findings.push(Finding::violation(
                "history-rewritten",
                format!(
                    "the chain does not go on from manifest {}, which was seen before",
                    mark.seq
                ),
            ));
        }
        Some(slot) if slot.iter().any(|l| l.digest == mark.manifest_sha256) => {}
        Some(_) => findings.push(Finding::violation(
            "history-rewritten",
            format!("manifest {} is not the one that was seen before", mark.seq),
        )),
        None if head < mark.seq => findings.push(Finding::violation(
            "rollback",
            format!(
                "the newest manifest is {head}, but {} has been seen before",
                mark.seq
            ),
        )),
        None => findings.push(Finding::violation(
            "history-rewritten",
            format!("manifest {}, seen before, is gone", mark.seq),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::model::amend::Change;
    use crate::model::fork;
    use proptest::prelude::*;

    fn chain(length: u64) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        for seq in 1..=length {
            links.push(Link {
                seq,
                digest: Digest::of(&seq.to_be_bytes()),
                prev: links.last().map(|link| link.digest),
                created_at: UtcTime::from_unix(1_000 + seq as i64),
            });
        }
        links
    }

    fn ids(links: &[Link], mark: Option<Mark>) -> Vec<&'static str> {
        let now = UtcTime::from_unix(2_000);
        let forks = fork::forks(links, |_| &[]);
        judge(links, &forks, 1, mark.as_ref(), now)
            .iter()
            .map(|f| f.id)
            .collect()
    }

    fn mark(seq: u64, of: &[u8]) -> Option<Mark> {
        Some(Mark {
            seq,
            manifest_sha256: Digest::of(of),
        })
    }

    #[test]
    fn a_whole_chain_has_no_findings() {
        assert!(ids(&chain(9), mark(9, &9u64.to_be_bytes())).is_empty());
        assert!(ids(&[], None).is_empty());
    }

    #[test]
    fn a_missing_manifest_is_a_gap() {
        let mut links = chain(9);
        links.remove(4);
        assert_eq!(ids(&links, None), ["chain-gap"]);
        links.remove(0);
        assert_eq!(ids(&links, None), ["chain-gap", "chain-gap"]);
    }

    #[test]
    fn two_manifests_in_one_slot_are_a_fork() {
        let mut links = chain(3);
        links.push(Link {
            digest: Digest::of(b"other"),
            ..links[2]
        });
        assert_eq!(ids(&links, None), ["chain-fork"]);
    }

    #[test]
    fn a_manifest_that_follows_another_one_breaks_the_chain() {
        let mut links = chain(3);
        links[1].digest = Digest::of(b"other");
        assert_eq!(ids(&links, None), ["chain-break"]);
    }

    #[test]
    fn dates_never_run_back_nor_ahead() {
        let mut links = chain(3);
        links[1].created_at = UtcTime::from_unix(1_900);
        assert_eq!(ids(&links, None), ["time-runs-back"]);
        let mut links = chain(3);
        links[2].created_at = UtcTime::from_unix(2_301);
        assert_eq!(ids(&links, None), ["future-manifest"]);
    }

    #[test]
    fn the_mark_tells_a_rollback_from_a_rewrite() {
        assert_eq!(ids(&chain(3), mark(4, b"later")), ["rollback"]);
        assert_eq!(ids(&chain(3), mark(2, b"other")), ["history-rewritten"]);
    }

    #[test]
    fn who_has_seen_what_a_closed_fork_left_beside_the_chain_is_told() {
        let mut links = chain(3);
        links.push(Link {
            digest: Digest::of(b"other"),
            created_at: UtcTime::from_unix(1_500),
            ..links[1]
        });
        let closing = [Change::ForkClosed {
            seq: 2,
            followed: links[1].digest,
            others: vec![Digest::of(b"other")],
        }];
        let last = links[2].digest;
        let changes = |digest: &Digest| if *digest == last { &closing[..] } else { &[] };
        let forks = fork::forks(&links, changes);
        let found = |mark: Option<Mark>| -> Vec<&str> {
            let now = UtcTime::from_unix(2_000);
            let findings = judge(&links, &forks, 1, mark.as_ref(), now);
            findings.iter().map(|finding| finding.id).collect()
        };
        assert_eq!(found(mark(2, &2u64.to_be_bytes())), ["chain-fork-closed"]);
        let seen_the_other = ["chain-fork-closed", "history-rewritten"];
        assert_eq!(found(mark(2, b"other")), seen_the_other);
    }

    proptest! {
        #[test]
        fn any_removed_manifest_is_noticed_with_a_mark(length in 1u64..30, at: prop::sample::Index) {
            let mut links = chain(length);
            let at = at.index(links.len());
            links.remove(at);
            prop_assert!(!ids(&links, mark(length, &length.to_be_bytes())).is_empty());
        }

        #[test]
        fn order_of_the_input_does_not_matter(seed in 0usize..12) {
            let mut links = chain(12);
            links.rotate_left(seed);
            prop_assert!(ids(&links, None).is_empty());
        }
    }
}
