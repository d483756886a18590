//! `doctor stores`: whether credentials suffice for a role, and are not too wide for it.

mod text;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::base::cancel::Cancel;
use crate::base::names::Slug;
use crate::base::parallel;
use crate::base::time::SystemClock;
use crate::cli::args::{DoctorStores, Global};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::wire::{self, Haste};
use crate::model::config::Config;
use crate::model::store_spec::{CredentialsSource, Place, StoreSpec};
use crate::ops::access::{self, AccessReport, Fit, Request, Role};
use crate::ops::lock_probe;
use crate::ops::state::{RunLock, State};
use crate::store::Store;

use text::{hint, summary, text};

/// Stores that are tried at the same time.
const AT_ONCE: usize = 8;

/// R2 knows a new token after half a minute at the latest: pauses of 2, 4, 8 and 16 seconds.
const NEW_TOKEN_PAUSES: u32 = 4;

#[derive(Serialize)]
struct Document<'a> {
    instance: &'a Slug,
    role: Role,
    stores: &'a [AccessReport],
    exit: u8,
}

pub(super) fn run(
    args: &DoctorStores,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let subject = Subject::of(args, global)?;
    let role = Role::from(args.role);
    let specs = match args.names.as_slice() {
        [] => subject.specs.iter().collect(),
        names => super::named(&subject.specs, names)?,
    };
    let memory = Memory::of(&subject, &specs, role)?;
    let stores = subject.open(&specs, role, cancel)?;
    let trial = Trial {
        slug: &subject.slug,
        role,
        random: rand::random(),
        output,
        cancel,
    };
    let check = || trial.check_all(&specs, &stores);
    let reports = match memory {
        Some(memory) => memory.around(&stores, trial.random, check)?,
        None => check(),
    };
    cancel.check().map_err(CliError::failed)?;
    let exit = exit(&reports);
    let document = Document {
        instance: &subject.slug,
        role,
        stores: &reports,
        exit: exit.code(),
    };
    output.result(&document, || text(&reports))?;
    tell_more(&specs, &reports, output);
    if subject.config.is_none() {
        tell_left(&reports, output);
    }
    Ok(exit)
}

/// Whose stores are tried: those of the configuration, or of the command line.
struct Subject {
    slug: Slug,
    specs: Vec<StoreSpec>,
    config: Option<Config>,
}

impl Subject {
    fn of(args: &DoctorStores, global: &Global) -> Result<Self, CliError> {
        if let Some(slug) = &args.instance {
            return Ok(Self {
                slug: slug.clone(),
                specs: wire::parse_stores(&args.stores)?,
                config: None,
            });
        }
        let config = wire::need_config(global)?;
        Ok(Self {
            slug: config.instance.clone(),
            specs: config.stores.clone(),
            config: Some(config),
        })
    }

    fn open(
        &self,
        specs: &[&StoreSpec],
        role: Role,
        cancel: &Cancel,
    ) -> Result<Vec<Arc<dyn Store>>, CliError> {
        let base = |path: &Path| -> PathBuf {
            match &self.config {
                Some(config) => config.resolve(path),
                None => path.to_owned(),
            }
        };
        let specs = specs.iter();
        specs
            .map(|spec| wire::open_in(Haste::Look, spec, role.rights(), &base, cancel))
            .collect()
    }
}

/// What this host remembers of what was tried on locks. No other run is at work meanwhile.
struct Memory {
    slug: Slug,
    state: State,
    _lock: RunLock,
}

impl Memory {
    /// None where no lock is tried, or there is nowhere to remember it.
    fn of(subject: &Subject, specs: &[&StoreSpec], role: Role) -> Result<Option<Self>, CliError> {
        let tries_locks = role != Role::Auditor && specs.iter().any(|spec| spec.lock.is_some());
        let Some(config) = subject.config.as_ref().filter(|_| tries_locks) else {
            return Ok(None);
        };
        let state = State::new(config.resolve(&config.state.dir));
        Ok(Some(Self {
            slug: subject.slug.clone(),
            _lock: state.lock(&subject.slug).map_err(hints::state)?,
            state,
        }))
    }

    /// What earlier trials had to leave goes first; where these write is remembered before they
    /// do, and what came of them afterwards.
    fn around(
        &self,
        stores: &[Arc<dyn Store>],
        random: [u8; 8],
        check: impl FnOnce() -> Vec<AccessReport>,
    ) -> Result<Vec<AccessReport>, CliError> {
        let Self { slug, state, .. } = self;
        for store in stores {
            lock_probe::announce(slug, store.as_ref(), random, state).map_err(hints::state)?;
        }
        let reports = check();
        for (report, store) in reports.iter().zip(stores) {
            let kept = match &report.lock {
                Some(report) => lock_probe::keep_if_known(slug, store.as_ref(), report, state),
                None => lock_probe::sweep(slug, store.as_ref(), state).map(drop),
            };
            kept.map_err(hints::state)?;
        }
        Ok(reports)
    }
}

/// How every store is tried.
struct Trial<'a> {
    slug: &'a Slug,
    role: Role,
    /// Makes the names of what is written its own.
    random: [u8; 8],
    output: &'a Output,
    cancel: &'a Cancel,
}

impl Trial<'_> {
    fn check_all(&self, specs: &[&StoreSpec], stores: &[Arc<dyn Store>]) -> Vec<AccessReport> {
        let subjects: Vec<_> = specs.iter().zip(stores).collect();
        let mut reports = Vec::new();
        let job = |index: usize| {
            let (spec, store) = subjects.get(index)?;
            Some(self.check(spec, store.as_ref()))
        };
        parallel::for_each(subjects.len(), AT_ONCE, job, |index, report| {
            reports.extend(report.map(|report| (index, report)));
            ControlFlow::Continue(())
        });
        reports.sort_by_key(|(index, _)| *index);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    fn check(&self, spec: &StoreSpec, store: &dyn Store) -> AccessReport {
        access::check(&Request {
            slug: self.slug,
            store,
            role: self.role,
            is_directory: matches!(spec.place, Place::Dir { .. }),
            lock: spec.lock.map(|lock| lock.mode),
            clock: &SystemClock,
            random: self.random,
            try_again: &|times| self.waits(spec, times),
        })
    }

    /// Waits for R2 to know a token, if it is one.
    fn waits(&self, spec: &StoreSpec, times: u32) -> bool {
        let Place::S3(place) = &spec.place else {
            return false;
        };
        let is_token = matches!(place.credentials, CredentialsSource::R2Token { .. });
        if !is_token || times > NEW_TOKEN_PAUSES {
            return false;
        }
        if times == 1 {
            self.output.remark(&format!(
                "store {} does not know this token; one made a moment ago may need half a minute: \
                 trying again",
                spec.name
            ));
        }
        pause(Duration::from_secs(1 << times), self.cancel)
    }
}

/// Whether it was not told to stop meanwhile.
fn pause(length: Duration, cancel: &Cancel) -> bool {
    let end = Instant::now() + length;
    while Instant::now() < end && cancel.signal().is_none() {
        std::thread::sleep(Duration::from_millis(100));
    }
    cancel.signal().is_none()
}

fn exit(reports: &[AccessReport]) -> Exit {
    let worst = reports.iter().map(|report| report.fit).max();
    match worst.unwrap_or(Fit::Unknown) {
        Fit::Right => Exit::Done,
        Fit::Wider | Fit::Unknown => Exit::Partial,
        Fit::Missing => Exit::Failed,
        Fit::TooWide => Exit::Integrity,
    }
}

/// What there is to do, and what a trial cannot show.
fn tell_more(specs: &[&StoreSpec], reports: &[AccessReport], output: &Output) {
    for (spec, report) in specs.iter().zip(reports) {
        if report.fit != Fit::Right {
            output.complain(&summary(report));
        }
        if let Some(hint) = hint(report) {
            output.remark(&format!("hint: store {}: {hint}", report.store));
        }
        if matches!(&spec.place, Place::S3(place) if place.is_temporary()) {
            output.remark(&format!(
                "store {}: tried with temporary credentials; the token that signs them may do more",
                report.store
            ));
        }
    }
}

/// Without a configuration nothing remembers what stays under its lock.
fn tell_left(reports: &[AccessReport], output: &Output) {
    let locks = reports.iter().filter_map(|report| report.lock.as_ref());
    for left in locks.filter_map(|lock| lock.leftover()) {
        output.remark(&left);
    }
}
