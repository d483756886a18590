//! Which backups stand on which, and which of them can be used.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::cluster::Cluster;
use super::facts::{Base, BaseKind, Spoilt};
use crate::base::text::printable;

/// Why a base backup cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The manifest that it is checked against, and combined by, is not there.
    #[error("{} has no manifest beside it", printable(.0))]
    NoManifest(String),
    /// It is of no use itself.
    #[error("{} cannot be used: {why}", printable(.name))]
    Spoilt {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: Spoilt,
    },
    /// What it stands on is not there.
    #[error("{} stands on {missing}, which is not there", printable(.of))]
    Missing {
        /// The backup that needs it.
        of: String,
        /// The id of the backup that is needed.
        missing: Uuid,
    },
    /// It was begun before what it stands on, or stands on itself in the end.
    #[error("{} does not follow on what it stands on", printable(.0))]
    Disordered(String),
}

/// The base backups of a cluster by what they stand on. They are named by their places.
pub(super) struct Family<'c> {
    bases: &'c [Base],
    by_id: BTreeMap<Uuid, usize>,
    members: BTreeMap<usize, Vec<usize>>,
    obstacles: Vec<Option<Obstacle>>,
}

impl<'c> Family<'c> {
    pub(super) fn new(cluster: &'c Cluster) -> Self {
        let bases = cluster.bases.as_slice();
        let ids = bases.iter().enumerate().rev();
        let by_id = ids.filter_map(|(place, base)| Some((base.id()?, place)));
        let mut family = Self {
            bases,
            by_id: by_id.collect(),
            members: BTreeMap::new(),
            obstacles: bases.iter().map(|base| own(base, cluster)).collect(),
        };
        family.inherit();
        for (place, _) in bases.iter().enumerate() {
            if let Some(root) = family.root(place) {
                family.members.entry(root).or_default().push(place);
            }
        }
        family
    }

    /// The full backup that one stands on in the end, and a full one itself.
    pub(super) fn root(&self, place: usize) -> Option<usize> {
        match self.bases.get(place)?.kind {
            BaseKind::Full | BaseKind::WalV1 => Some(place),
            BaseKind::Incremental { root, .. } => {
                let root = *self.by_id.get(&root)?;
                (self.bases.get(root)?.kind == BaseKind::Full).then_some(root)
            }
        }
    }

    /// The full backups, each with all that stand on it, itself first or in the order of time.
    pub(super) fn trees(&self) -> impl Iterator<Item = (usize, &[usize])> {
        let trees = self.members.iter();
        trees.map(|(root, members)| (*root, members.as_slice()))
    }

    pub(super) fn obstacle(&self, place: usize) -> Option<&Obstacle> {
        self.obstacles.get(place)?.as_ref()
    }

    /// The incremental backups up to this one, the first first. Only of one without an obstacle.
    pub(super) fn steps(&self, place: usize) -> Vec<usize> {
        let mut steps = Vec::new();
        let mut at = place;
        // One without an obstacle is no circle; the bound is for the compiler's peace and ours.
        while let Some(Ok(Some(below))) = self.below(at).filter(|_| steps.len() < self.bases.len())
        {
            steps.push(at);
            at = below;
        }
        steps.reverse();
        steps
    }

    /// What a backup stands on: nothing, another, or what is not there.
    fn below(&self, place: usize) -> Option<Result<Option<usize>, Obstacle>> {
        let base = self.bases.get(place)?;
        let BaseKind::Incremental { root, parent } = base.kind else {
            return Some(Ok(None));
        };
        let wanted = parent.unwrap_or(root);
        let found = self.by_id.get(&wanted).copied();
        let found = found.and_then(|place| Some((place, self.bases.get(place)?)));
        let Some((place, below)) = found else {
            return Some(Err(Obstacle::Missing {
                of: base.stored.name().to_string(),
                missing: wanted,
            }));
        };
        let fits = match below.kind {
            BaseKind::Full => parent.is_none(),
            BaseKind::Incremental { root: other, .. } => parent.is_some() && other == root,
            BaseKind::WalV1 => false,
        };
        let follows = fits && below.start < base.start;
        Some(match follows {
            true => Ok(Some(place)),
            false => Err(Obstacle::Disordered(base.stored.name().to_string())),
        })
    }

    /// Gives every backup the obstacles of those that it stands on. A child begins behind its
    /// parent, so there are no circles, and by their starts parents come first.
    fn inherit(&mut self) {
        let mut order: Vec<usize> = (0..self.bases.len()).collect();
        order.sort_by_key(|place| self.bases.get(*place).map(|base| base.start));
        for place in order {
            let found = match self.below(place) {
                Some(Err(obstacle)) => Some(obstacle),
                Some(Ok(Some(below))) => self.obstacles.get(below).cloned().flatten(),
                _ => None,
            };
            if let (Some(own @ None), Some(found)) = (self.obstacles.get_mut(place), found) {
                *own = Some(found);
            }
        }
    }

    /// Backups that stand on no full one, with the reason.
    pub(super) fn strays(&self) -> impl Iterator<Item = (usize, &Obstacle)> {
        let kept: BTreeSet<usize> = self.members.values().flatten().copied().collect();
        let all = (0..self.bases.len()).filter(move |place| !kept.contains(place));
        all.filter_map(|place| Some((place, self.obstacle(place)?)))
    }
}

fn own(base: &Base, cluster: &Cluster) -> Option<Obstacle> {
    let name = base.stored.name();
    if let Some(why) = cluster.spoilt.bases.get(name) {
        return Some(Obstacle::Spoilt {
            name: name.to_string(),
            why: why.clone(),
        });
    }
    let has_manifest = base.kind == BaseKind::WalV1 || base.stored.group.manifest.size().is_some();
    (!has_manifest).then(|| Obstacle::NoManifest(name.to_string()))
}
