//! The choice of what reaches a target.

use jiff::Timestamp;
use uuid::Uuid;

use super::cluster::Cluster;
use super::facts::{Base, History, Segment};
use super::family::Family;
use super::plan::{Plan, Target};
use super::reach::{Start, starts};
use super::unreachable::{Nearest, Unreachable, Why};
use crate::base::text::printable;
use crate::postgres::lsn::Lsn;

/// Segments that are expected to be needed behind the first that arrived after the target:
/// clocks differ, and a commit may lie in the next one.
const MORE: usize = 2;

/// Chooses the newest full backup before a target, the newest incremental one on it, and the WAL
/// that follows without a hole.
///
/// `timeline` is the one to follow; without it, the newest that leads on from the full backup and
/// reaches the target. `without` leaves out objects by their names or ids.
pub fn plan(
    cluster: &Cluster,
    target: Target,
    timeline: Option<u32>,
    without: &[String],
) -> Result<Plan, Box<Unreachable>> {
    let rest;
    let cluster = match without {
        [] => cluster,
        some => {
            rest = cluster.without(some);
            &rest
        }
    };
    let family = Family::new(cluster);
    let starts = starts(cluster, &family);
    let choice = Choice {
        cluster,
        family,
        starts,
        target,
        timeline,
    };
    choice.make()
}

struct Choice<'c> {
    cluster: &'c Cluster,
    family: Family<'c>,
    starts: Vec<Start>,
    target: Target,
    timeline: Option<u32>,
}

/// What the better choice has more of.
type Rank = (Option<Timestamp>, Timestamp, u32, Lsn, Timestamp, usize);

impl Choice<'_> {
    fn make(&self) -> Result<Plan, Box<Unreachable>> {
        if let Target::Backup(id) = self.target {
            return self.backup(id);
        }
        match self.best(|start| start.obstacle.is_none()) {
            Some(start) => Ok(self.plan(start)),
            None => Err(self.unreachable()),
        }
    }

    fn best(&self, also: impl Fn(&Start) -> bool) -> Option<&Start> {
        let fitting = self.starts.iter().filter(|start| self.reaches(start));
        let fitting = fitting.filter(|start| also(start));
        fitting.max_by_key(|start| self.rank(start))
    }

    fn rank(&self, start: &Start) -> Rank {
        let full = self.cluster.bases.get(start.full).map(Base::moment);
        let latest = match self.target {
            Target::Latest => {
                let until = start.until(self.cluster).map(|until| until.at);
                until.max(Some(start.ready.at))
            }
            _ => None,
        };
        (
            latest,
            full.unwrap_or(Timestamp::MIN),
            start.timeline,
            start.stop,
            start.ready.at,
            start.base,
        )
    }

    fn is_on_timeline(&self, start: &Start) -> bool {
        self.timeline.is_none_or(|wanted| wanted == start.timeline)
    }

    /// Whether a base and what follows it reach the target. For a time, what arrived later is
    /// taken to hold it, unless the WAL itself was read.
    fn reaches(&self, start: &Start) -> bool {
        let reached = match self.target {
            Target::Time(time) => {
                let until = start.until(self.cluster);
                let holds = until.is_some_and(|until| match until.exact {
                    true => time < until.at,
                    false => time <= until.at,
                });
                start.ready.at <= time && holds
            }
            Target::Lsn(lsn) => start.stop <= lsn && lsn < start.end(&self.cluster.log),
            Target::Latest | Target::Backup(_) => true,
        };
        reached && self.is_on_timeline(start)
    }

    fn plan(&self, start: &Start) -> Plan {
        let wal: Vec<Vec<Segment>> = (start.reach.first..start.reach.end)
            .map(|number| {
                let timeline = start.path.timeline_of(number);
                self.cluster.log.copies(timeline, number).to_vec()
            })
            .collect();
        let histories = self.histories(start);
        let mut plan = self.bare(start.full, start.base, start.timeline);
        plan.expected = self.expected(start, &wal);
        plan.wal = wal;
        plan.histories = histories;
        plan.remarks = self.remarks(start);
        plan
    }

    fn bare(&self, full: usize, last: usize, timeline: u32) -> Plan {
        let cluster = self.cluster;
        let base = |place: &usize| cluster.bases.get(*place).cloned();
        let steps = self.family.steps(last);
        let no_wal = cluster.log.count() == 0;
        Plan {
            target: self.target,
            system_identifier: cluster.system_identifier,
            pg_major: cluster.pg_major,
            segment_size: (!no_wal).then(|| cluster.log.segment_size()),
            full: cluster.bases[full].clone(),
            incrementals: steps.iter().filter_map(base).collect(),
            wal: Vec::new(),
            expected: 0,
            histories: Vec::new(),
            timeline,
            remarks: Vec::new(),
        }
    }

    fn histories(&self, start: &Start) -> Vec<History> {
        let mut entered: Vec<u32> = start.path.timelines().collect();
        entered.sort_unstable();
        let all = self.cluster.histories.iter();
        let entered = all.filter(|file| entered.binary_search(&file.timeline).is_ok());
        entered.cloned().collect()
    }

    fn expected(&self, start: &Start, wal: &[Vec<Segment>]) -> usize {
        let after = match self.target {
            Target::Time(time) => {
                let late = |copies: &Vec<Segment>| {
                    let mut times = copies.iter().filter_map(|copy| copy.received);
                    times.any(|received| received >= time)
                };
                wal.iter().position(late).map(|at| at + 1 + MORE)
            }
            Target::Lsn(lsn) => {
                let log = &self.cluster.log;
                let offset = log.number(lsn).saturating_sub(start.reach.first);
                // A record may end in the next segment.
                usize::try_from(offset).ok().map(|at| at + 2)
            }
            Target::Latest | Target::Backup(_) => None,
        };
        after.unwrap_or(wal.len()).min(wal.len())
    }

    /// What was passed over, and what is not certain.
    fn remarks(&self, start: &Start) -> Vec<String> {
        let mut remarks = Vec::new();
        let better = |other: &&Start| {
            other.obstacle.is_some() && self.reaches(other) && self.rank(other) > self.rank(start)
        };
        for other in self.starts.iter().filter(better) {
            let obstacle = other.obstacle.as_ref();
            let remark = obstacle.map(|obstacle| format!("passed over: {obstacle}"));
            remarks.extend(remark.filter(|remark| !remarks.contains(remark)));
        }
        if let Some(hole) = &start.reach.hole {
            let gap = self.cluster.gap(start, hole.clone(), true);
            remarks.push(format!("{gap}, unless the base backup brings them along"));
        }
        if self.target == Target::Latest {
            remarks.extend(self.more_behind(start));
        }
        remarks.extend(self.other_timelines(start));
        remarks
    }

    /// What there is behind the end of the WAL that can be replayed.
    fn more_behind(&self, start: &Start) -> Option<String> {
        let end = start.reach.end;
        let numbers = end..start.reach.next.unwrap_or(end + 1);
        let gap = self.cluster.gap(start, numbers, false);
        if let Some((name, why)) = gap.spoilt.first() {
            let name = name.to_string();
            let name = printable(&name);
            return Some(format!("this is not the end: {name} cannot be used: {why}"));
        }
        let more = start.reach.next.is_some();
        more.then(|| format!("this is not the end: {gap}, and there is WAL behind"))
    }

    fn other_timelines(&self, chosen: &Start) -> Option<String> {
        let usable = self.starts.iter().filter(|start| start.obstacle.is_none());
        let fitting = usable.filter(|start| self.reaches(start));
        let mut others: Vec<u32> = fitting
            .map(|start| start.timeline)
            .filter(|timeline| *timeline != chosen.timeline)
            .collect();
        others.sort_unstable();
        others.dedup();
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        (!others.is_empty()).then(|| {
            format!(
                "timeline {} is followed; others that reach it: {}",
                chosen.timeline,
                others.join(", ")
            )
        })
    }

    fn backup(&self, id: Uuid) -> Result<Plan, Box<Unreachable>> {
        let place = self
            .cluster
            .bases
            .iter()
            .position(|base| base.id() == Some(id));
        let found = place.and_then(|place| Some((place, self.cluster.bases.get(place)?)));
        let Some((place, base)) = found else {
            return Err(self.nearest().unreachable(Some(Why::NoSuchBackup(id))));
        };
        if let Some(obstacle) = self.family.obstacle(place) {
            let why = Why::Obstacle(obstacle.clone());
            return Err(self.nearest().unreachable(Some(why)));
        }
        let root = self.family.root(place);
        let root = root.filter(|_| self.timeline.is_none_or(|wanted| wanted == base.timeline));
        let Some(full) = root else {
            let wanted = self.timeline.unwrap_or(base.timeline);
            let why = Why::NoSuchTimeline(wanted);
            return Err(self.nearest().unreachable(Some(why)));
        };
        Ok(self.bare(full, place, base.timeline))
    }

    fn nearest(&self) -> Nearest<'_> {
        let mut chains = self.cluster.chains();
        chains.retain(|chain| self.timeline.is_none_or(|wanted| wanted == chain.timeline));
        Nearest {
            cluster: self.cluster,
            chains,
            target: self.target,
        }
    }

    fn unreachable(&self) -> Box<Unreachable> {
        if let Some(timeline) = self.timeline
            && !self.starts.iter().any(|start| start.timeline == timeline)
        {
            let why = Why::NoSuchTimeline(timeline);
            return self.nearest().unreachable(Some(why));
        }
        // What would reach it, if it could be used.
        let wanted = self.best(|_| true).and_then(|start| start.obstacle.clone());
        let stray = || self.stray();
        let needed = wanted.or_else(stray).map(Why::Obstacle);
        self.nearest().unreachable(needed)
    }

    /// An incremental backup without its full one that is the last before the target, where no
    /// chain is.
    fn stray(&self) -> Option<super::family::Obstacle> {
        if self.starts.iter().any(|start| start.obstacle.is_none()) {
            return None;
        }
        let before = self.family.strays().filter(|(place, _)| {
            let base = self.cluster.bases.get(*place);
            base.is_some_and(|base| match self.target {
                Target::Time(time) => base.moment() <= time,
                Target::Lsn(lsn) => base.start <= lsn,
                _ => true,
            })
        });
        before.last().map(|(_, obstacle)| obstacle.clone())
    }
}
