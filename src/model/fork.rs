//! Forks: places in the chain that several verified manifests claim. The chain goes on from one of
//! them; a later manifest of it may say that somebody has looked into the others.

use std::collections::{BTreeMap, BTreeSet};

use super::amend::Change;
use super::link::{Link, head};
use crate::base::digest::Digest;

/// A place that several verified manifests claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The place.
    pub seq: u64,
    /// The one that the head descends from; none where manifests between them are missing.
    pub followed: Option<Digest>,
    /// The others.
    pub others: Vec<Digest>,
    /// The manifest that closes it. One of the chain itself, which names exactly these: another
    /// manifest in this place opens it again.
    pub closed_by: Option<u64>,
}

impl Fork {
    /// What a manifest says that closes it; none where nothing can.
    pub fn closing(&self) -> Option<Change> {
        Some(Change::ForkClosed {
            seq: self.seq,
            followed: self.followed?,
            others: self.others.clone(),
        })
    }

    /// Whether it is closed, and leaves this manifest beside the chain.
    pub fn has_left(&self, manifest: &Digest) -> bool {
        self.closed_by.is_some() && self.others.contains(manifest)
    }

    fn is_closed_by(&self, change: &Change) -> bool {
        let Change::ForkClosed {
            seq,
            followed,
            others,
        } = change
        else {
            return false;
        };
        let named: BTreeSet<&Digest> = others.iter().collect();
        *seq == self.seq
            && Some(*followed) == self.followed
            && named == self.others.iter().collect()
    }
}

/// The forks among verified manifests, one link per distinct digest, in the order of the chain.
/// `changes` are what manifests report.
pub fn forks<'c>(links: &[Link], changes: impl Fn(&Digest) -> &'c [Change]) -> Vec<Fork> {
    let mut slots: BTreeMap<u64, Vec<Digest>> = BTreeMap::new();
    for link in links {
        slots.entry(link.seq).or_default().push(link.digest);
    }
    slots.retain(|_, slot| slot.len() > 1);
    if slots.is_empty() {
        return Vec::new();
    }
    let line = line(links);
    let forks = slots.into_iter().map(|(seq, slot)| {
        let followed = line
            .get(&seq)
            .copied()
            .filter(|digest| slot.contains(digest));
        let others = slot.into_iter().filter(|digest| Some(*digest) != followed);
        let mut fork = Fork {
            seq,
            followed,
            others: others.collect(),
            closed_by: None,
        };
        let mut later = line.range(seq + 1..);
        let closing = later.find(|(_, digest)| {
            let mut changes = changes(digest).iter();
            changes.any(|change| fork.is_closed_by(change))
        });
        fork.closed_by = closing.map(|(seq, _)| *seq);
        fork
    });
    forks.collect()
}

/// The head and what it descends from, as far back as nothing is missing, by place.
fn line(links: &[Link]) -> BTreeMap<u64, Digest> {
    let by_digest: BTreeMap<Digest, &Link> = links.iter().map(|link| (link.digest, link)).collect();
    let mut line = BTreeMap::new();
    let mut next = head(links);
    while let Some(link) = next {
        line.insert(link.seq, link.digest);
        // A predecessor has the number before: what a writer claims can make no circle.
        let before = link.prev.and_then(|prev| by_digest.get(&prev).copied());
        next = before.filter(|before| before.seq + 1 == link.seq);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UtcTime;

    fn link(seq: u64, name: &str, prev: &str) -> Link {
        Link {
            seq,
            digest: Digest::of(name.as_bytes()),
            prev: Some(Digest::of(prev.as_bytes())),
            created_at: UtcTime::from_unix(1_000 + seq as i64),
        }
    }

    /// 1 ← 2a ← 3 ← 4, with 2b and its own follower 3b beside it.
    fn forked() -> Vec<Link> {
        vec![
            link(1, "1", "none"),
            link(2, "2a", "1"),
            link(2, "2b", "1"),
            link(3, "3", "2a"),
            link(4, "4", "3"),
        ]
    }

    fn closing(followed: &str, others: &[&str]) -> Vec<Change> {
        let others = others.iter().map(|name| Digest::of(name.as_bytes()));
        vec![Change::ForkClosed {
            seq: 2,
            followed: Digest::of(followed.as_bytes()),
            others: others.collect(),
        }]
    }

    /// The only fork, where manifest `of` reports these changes.
    fn only(links: &[Link], of: &str, changes: &[Change]) -> Fork {
        let of = Digest::of(of.as_bytes());
        let mut found = forks(links, |digest| if *digest == of { changes } else { &[] });
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    #[test]
    fn a_chain_without_doubles_has_no_fork() {
        let links = [link(1, "1", "none"), link(2, "2", "1")];
        assert!(forks(&links, |_| &[]).is_empty());
    }

    #[test]
    fn the_one_that_the_head_descends_from_is_followed() {
        let fork = only(&forked(), "", &[]);
        assert_eq!(fork.followed, Some(Digest::of(b"2a")));
        assert_eq!(fork.others, [Digest::of(b"2b")]);
        assert_eq!(fork.closed_by, None);
    }

    #[test]
    fn a_later_manifest_of_the_chain_closes_it() {
        let fork = only(&forked(), "4", &closing("2a", &["2b"]));
        assert_eq!(fork.closed_by, Some(4));
        let again = only(&forked(), "4", &[fork.closing().unwrap()]);
        assert_eq!(again.closed_by, Some(4));
    }

    #[test]
    fn a_third_manifest_in_its_place_opens_it_again() {
        let mut links = forked();
        links.push(link(2, "2c", "1"));
        assert_eq!(only(&links, "4", &closing("2a", &["2b"])).closed_by, None);
    }

    #[test]
    fn who_follows_another_one_closes_nothing() {
        assert_eq!(
            only(&forked(), "4", &closing("2b", &["2a"])).closed_by,
            None
        );
    }

    #[test]
    fn what_lies_beside_the_chain_closes_nothing() {
        let mut links = forked();
        links.push(link(3, "3b", "2b"));
        let closing = closing("2b", &["2a"]);
        let found = forks(&links, |digest| match *digest == Digest::of(b"3b") {
            true => &closing,
            false => &[],
        });
        assert!(found.iter().all(|fork| fork.closed_by.is_none()));
    }

    #[test]
    fn behind_a_gap_nothing_is_followed() {
        let mut links = forked();
        links.retain(|link| link.seq != 3);
        let fork = only(&links, "4", &closing("2a", &["2b"]));
        assert_eq!((fork.followed, fork.closed_by), (None, None));
        assert_eq!(fork.closing(), None);
    }
}
