//! WAL for a server that replays: segments are fetched, decrypted, inflated and checked ahead of
//! it, on several threads, and handed over through the spool (`postgres::wal_spool`).
//!
//! The plan's order is followed, but what replay waits for comes first. What fails ahead of
//! replay is nobody's trouble yet, for the target may come before it: it is tried again once it is
//! asked for, and if it fails then, that is the failure of the run.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::error_chain::error_chain;
use crate::base::file_error::{FileError, failed};
use crate::databasus::backup_chain::facts::Segment;
use crate::databasus::backup_chain::plan::Plan;
use crate::postgres::history_file;
use crate::postgres::wal_spool::Spool;

use super::wal_fetch::{FetchError, Fetched, Fetcher};

/// How often the spool is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Segments on their way at the same time, at most. Each takes some threads and buffers, 16 MiB
/// or so where segments are of the usual size.
const THREADS: usize = 8;

/// What may lie ready ahead of replay, in bytes, within [`AHEAD`] segments.
const AHEAD_BYTES: u64 = 128 << 20;
const AHEAD: std::ops::RangeInclusive<u64> = 2..=32;

/// What a feed did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// How many segments replay took.
    pub segments: u64,
    /// Objects that were passed over because another one of the same segment was sound.
    pub passed_over: BTreeSet<String>,
    /// The segments in which no record ends, by their place in the plan.
    pub within_one_record: BTreeSet<usize>,
}

/// Feeds one server.
pub struct WalFeed<'a> {
    fetcher: &'a Fetcher<'a>,
    segments: &'a [Vec<Segment>],
    /// How many of them replay is expected to need.
    expected: usize,
    names: HashMap<String, usize>,
    spool: &'a Spool,
    ahead: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// How often anything was taken.
    taken: AtomicU64,
    /// For the names of files on their way.
    files: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The first segment of the plan that was not begun in its turn.
    next: usize,
    under_way: BTreeSet<usize>,
    ready: BTreeSet<usize>,
    taken: BTreeSet<usize>,
    /// What replay waits for and nobody has begun.
    wanted: Option<usize>,
    fed: Fed,
    failure: Option<FetchError>,
    done: bool,
}

impl State {
    fn is_over(&self) -> bool {
        self.done || self.failure.is_some()
    }
}

/// The names of all files that a plan feeds.
pub fn file_names(plan: &Plan) -> Vec<String> {
    let segments = plan.wal.iter().filter_map(|copies| copies.first());
    let segments = segments.map(|segment| segment.name.to_string());
    let histories = plan.histories.iter();
    let histories = histories.map(|history| history_file::file_name(history.timeline));
    segments.chain(histories).collect()
}

impl<'a> WalFeed<'a> {
    /// Puts the plan's history files into the spool, which they stay in.
    pub fn begin(
        fetcher: &'a Fetcher<'a>,
        plan: &'a Plan,
        spool: &'a Spool,
    ) -> Result<Self, FetchError> {
        let name = |(place, copies): (usize, &Vec<Segment>)| {
            let first = copies.first()?;
            Some((first.name.to_string(), place))
        };
        let segment_bytes = fetcher.cluster.segment_size.bytes();
        let ahead = (AHEAD_BYTES / segment_bytes).clamp(*AHEAD.start(), *AHEAD.end());
        let feed = Self {
            fetcher,
            segments: &plan.wal,
            expected: plan.expected,
            names: plan.wal.iter().enumerate().filter_map(name).collect(),
            spool,
            ahead: usize::try_from(ahead).unwrap_or(2),
            state: Mutex::default(),
            changed: Condvar::new(),
            taken: AtomicU64::new(0),
            files: AtomicU64::new(0),
        };
        for history in &plan.histories {
            let text = fetcher.history(history)?;
            let (path, mut file) = feed.new_file()?;
            file.write_all(&text).map_err(failed("write", &path))?;
            spool.publish(&path, &history_file::file_name(history.timeline))?;
        }
        Ok(feed)
    }

    /// Feeds as long as `work` runs, which is given a count of what replay has taken. A failure of
    /// the feed comes with whatever `work` made of it.
    pub fn during<T>(&self, work: impl FnOnce(&AtomicU64) -> T) -> (T, Result<Fed, FetchError>) {
        let worked = std::thread::scope(|scope| {
            for _ in 0..THREADS.min(self.ahead).min(self.segments.len()) {
                scope.spawn(|| self.fetch_ahead());
            }
            scope.spawn(|| self.look_after_replay());
            // However the work ends, the threads end too.
            let _done = Done(self);
            work(&self.taken)
        });
        let mut state = self.state();
        self.note_taken(&mut state);
        let mut fed = std::mem::take(&mut state.fed);
        fed.segments = state.taken.len() as u64;
        match state.failure.take() {
            Some(failure) => (worked, Err(failure)),
            None => (worked, Ok(fed)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_file(&self) -> Result<(PathBuf, File), FileError> {
        self.spool.begin(self.files.fetch_add(1, Ordering::Relaxed))
    }

    /// Sees what replay has taken and what it waits for.
    fn look_after_replay(&self) {
        let mut state = self.state();
        while !state.is_over() {
            self.note_taken(&mut state);
            match self.spool.wanted() {
                Ok(Some(name)) => self.note_wanted(&mut state, &name),
                Ok(None) => {}
                Err(error) => self.fail(&mut state, error.into()),
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note_taken(&self, state: &mut State) {
        let is_gone = |place: &usize| !self.spool.holds(&self.name(*place));
        let gone: Vec<usize> = state.ready.iter().copied().filter(is_gone).collect();
        for place in &gone {
            state.ready.remove(place);
            state.taken.insert(*place);
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        if !gone.is_empty() {
            self.changed.notify_all();
        }
    }

    fn note_wanted(&self, state: &mut State, name: &str) {
        let Some(&place) = self.names.get(name) else {
            return;
        };
        if state.wanted != Some(place) && !state.ready.contains(&place) {
            state.wanted = Some(place);
            self.changed.notify_all();
        }
    }

    fn fetch_ahead(&self) {
        while let Some(place) = self.next_job() {
            let copies = self.segments.get(place).map_or(&[][..], Vec::as_slice);
            let stopped = || self.state().is_over();
            let fetched = self
                .fetcher
                .segment(copies, || self.new_file(), &stopped)
                .and_then(|fetched| {
                    self.spool.publish(&fetched.file, &self.name(place))?;
                    Ok(fetched)
                });
            self.conclude(place, fetched);
        }
    }

    /// Waits until there is something to fetch; none once there is nothing any more.
    fn next_job(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.is_over() {
                return None;
            }
            if let Some(place) = self.choose(&mut state) {
                state.under_way.insert(place);
                return Some(place);
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn choose(&self, state: &mut State) -> Option<usize> {
        if let Some(wanted) = state
            .wanted
            .filter(|place| !state.under_way.contains(place))
        {
            self.pass_over_what_lies_before(state, wanted);
            state.next = state.next.max(wanted + 1);
            return Some(wanted);
        }
        let is_room = state.ready.len() + state.under_way.len() < self.ahead;
        let next = state.next;
        if !is_room || next >= self.limit(state) {
            return None;
        }
        state.next += 1;
        Some(next)
    }

    /// Nothing is fetched that is not expected to be needed, until replay goes beyond that.
    fn limit(&self, state: &State) -> usize {
        let beyond = state.taken.last().map(|last| last + 1);
        let beyond = beyond.filter(|count| *count >= self.expected);
        let limit = beyond.map_or(self.expected, |count| count + self.ahead);
        limit.min(self.segments.len())
    }

    /// What lies before the segment that replay waits for was fetched in vain, or once too often.
    fn pass_over_what_lies_before(&self, state: &mut State, wanted: usize) {
        let later = state.ready.split_off(&wanted);
        for place in std::mem::replace(&mut state.ready, later) {
            self.spool.withdraw(&self.name(place));
        }
    }

    fn conclude(&self, place: usize, fetched: Result<Fetched, FetchError>) {
        let mut state = self.state();
        state.under_way.remove(&place);
        let is_wanted = state.wanted == Some(place);
        match fetched {
            Ok(fetched) => {
                state.ready.insert(place);
                state.fed.passed_over.extend(fetched.passed_over);
                if fetched.sound.within_one_record {
                    state.fed.within_one_record.insert(place);
                }
                if is_wanted {
                    state.wanted = None;
                }
            }
            Err(error) if is_wanted => self.fail(&mut state, error),
            Err(FetchError::Stopped) => {}
            Err(error) => tracing::debug!(
                segment = self.name(place),
                error = error_chain(&error),
                "could not be fetched ahead of replay"
            ),
        }
        self.changed.notify_all();
    }

    fn fail(&self, state: &mut State, error: FetchError) {
        self.spool.fail();
        state.failure.get_or_insert(error);
        self.changed.notify_all();
    }

    fn name(&self, place: usize) -> String {
        let first = self.segments.get(place).and_then(|copies| copies.first());
        first.map_or_else(String::new, |segment| segment.name.to_string())
    }
}

/// Ends the threads of a feed when it is dropped.
struct Done<'a, 'b>(&'a WalFeed<'b>);

impl Drop for Done<'_, '_> {
    fn drop(&mut self) {
        self.0.state().done = true;
        self.0.changed.notify_all();
    }
}
