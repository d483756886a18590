//! Bringing everything back, one after the other.

use std::path::Path;

use crate::base::cancel::Cancel;
use crate::base::time::UtcTime;
use crate::databasus::schema::Schema;
use crate::databasus::secret_key::SecretKey;
use crate::model::audit::drill_demands::SubjectDemand;
use crate::model::drill::{Subject, SubjectKind};
use crate::model::proof::Level;
use crate::ops::import::ImportSettings;
use crate::ops::recover::keys::KeyRing;
use crate::ops::rehydrate::{self, Credentials, Handover, Mode};
use crate::ops::stopped_instance::StoppedInstance;
use crate::postgres::binaries::Launcher;
use crate::postgres::private_server::PrivateServer;

use super::application::{self, Asked, Expected, Proving, Surroundings};
use super::catalogue::Catalogue;
use super::journal::Journal;
use super::opened::Opened;
use super::trouble::Trouble;
use super::work::Work;
use super::{FIRST_STEP, Ports, Request, age, cluster, database, proofs, sentinels};

/// The level of everything that is brought back out of backups.
const RESTORED: u8 = 4;

/// A drill at work.
pub(super) struct Drill<'a> {
    pub(super) request: Request<'a>,
    pub(super) place: &'a Path,
    pub(super) began: UtcTime,
    pub(super) application: Option<&'a Asked<'a>>,
    pub(super) ports: Ports<'a>,
}

impl Drill<'_> {
    /// Notes every step, and gives what came back.
    pub(super) fn bring_back(self, journal: &mut Journal<'_>) -> Vec<Subject> {
        let (request, place, began) = (self.request, self.place, self.began);
        let demands = &request.demands.subjects;
        let opened = Opened::new(self.ports.storages);
        let (programs, cancel) = (self.ports.programs, self.ports.cancel);
        let (asked, surroundings) = (self.application, Surroundings::of(&self.ports));
        let data_dir = place.join("databasus-data");
        let Some(report) = self.rehydrate(&data_dir, &opened, journal) else {
            return nothing(&request, "the escrow could not be rehydrated", journal);
        };
        proofs::note(&report.proofs, journal);
        if demands.is_empty() && asked.is_none() {
            return nothing(&request, "no Databasus was named", journal);
        }
        let level = match demands.is_empty() {
            true => application::LEVEL,
            false => RESTORED,
        };
        let read = journal.time("catalogue", None, Some(level), || {
            let instance = StoppedInstance::open(&data_dir, None)?;
            let read = read(&instance, request.launcher, cancel)?;
            Ok((read, keys(&instance)))
        });
        let Some(((catalogue, expected), keys)) = read else {
            return nothing(&request, "the metadata could not be read", journal);
        };
        let work = Work {
            place,
            began,
            keys,
            catalogue,
            opened: &opened,
            programs,
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cancel,
        };
        let mut subjects = Vec::with_capacity(demands.len());
        for demand in demands {
            subjects.push(work.subject(demand, journal));
        }
        journal.all_back();
        match asked {
            Some(asked) => {
                let proving = Proving {
                    asked,
                    request: &request,
                    ports: surroundings,
                    data_dir: &data_dir,
                    expected: &expected,
                    work: &work,
                };
                proving.prove(journal);
            }
            None => without_databasus(&request, "no Databasus was named", journal),
        }
        subjects
    }

    fn rehydrate(
        self,
        data_dir: &Path,
        opened: &Opened<'_>,
        journal: &mut Journal<'_>,
    ) -> Option<rehydrate::Report> {
        let Self {
            request,
            began,
            ports,
            ..
        } = self;
        journal.time(FIRST_STEP, None, None, || {
            let handover = handover(&request, &ports, opened, began);
            let mode = Mode::Full(request.launcher.clone());
            let ports = rehydrate::Ports {
                stores: ports.stores,
                identities: ports.identities,
                handover: &handover,
                cancel: ports.cancel,
                on_bytes: ports.on_bytes,
            };
            Ok(rehydrate::run(request.manifest, data_dir, &mode, ports)?)
        })
    }
}

/// Fenced, and its catalogue brought up to what the storages hold now: the newest backup of a
/// database may be newer than the escrow.
fn handover<'a>(
    request: &Request<'_>,
    ports: &Ports<'a>,
    opened: &'a Opened<'a>,
    began: UtcTime,
) -> Handover<'a> {
    let levels = Level::ALL.into_iter();
    let mut wanted = levels.filter(|level| level.number() <= request.demands.level);
    Handover {
        proof: wanted.next_back().unwrap_or(Level::KeyId),
        restore_tool: ports.restore_tool,
        fence: Some(Credentials::ReadOnlyOrBlank),
        head: request.head,
        storages: opened,
        import: Some(ImportSettings {
            // They are in no escrow.
            local_files_left_out: true,
            ..ImportSettings::default()
        }),
        on_progress: &|_| {},
        now: began,
    }
}

/// Starts a private server on the rehydrated directory, and stops it again: Databasus may be next.
fn read(
    instance: &StoppedInstance,
    launcher: &Launcher,
    cancel: &Cancel,
) -> Result<(Catalogue, Expected), Trouble> {
    let served = instance.start(launcher, cancel)?;
    let mut session = served.session()?;
    let schema = Schema::read(&mut session)?;
    let generation = schema.generation()?;
    let catalogue = Catalogue::read(&mut session, &schema, generation)?;
    let known = catalogue.databases();
    let expected = Expected::read(&mut session, &schema, generation, known)?;
    drop(session);
    served.stop()?;
    Ok((catalogue, expected))
}

fn keys(instance: &StoppedInstance) -> KeyRing {
    let mut keys = KeyRing::default();
    let bytes = instance.key().expose().to_vec();
    if let Ok(key) = SecretKey::new(bytes) {
        keys.add(key, "the escrow".to_owned(), None);
    }
    keys
}

/// None of them can come back.
fn nothing(request: &Request<'_>, why: &str, journal: &mut Journal<'_>) -> Vec<Subject> {
    let left_out = request.demands.subjects.iter().map(|demand| {
        journal.leave_out("restore", Some(&demand.label), RESTORED, why);
        empty(demand)
    });
    let left_out = left_out.collect();
    without_databasus(request, why, journal);
    left_out
}

/// Notes it where somebody asked for it.
fn without_databasus(request: &Request<'_>, why: &str, journal: &mut Journal<'_>) {
    if request.demands.level >= application::LEVEL || request.application.is_some() {
        journal.leave_out("start Databasus", None, application::LEVEL, why);
    }
}

fn empty(demand: &SubjectDemand) -> Subject {
    Subject {
        name: demand.label.clone(),
        kind: demand.kind,
        as_of: None,
        rto_seconds: None,
        rpo_seconds: None,
        sentinels: Vec::new(),
    }
}

impl Work<'_> {
    fn subject(&self, demand: &SubjectDemand, journal: &mut Journal<'_>) -> Subject {
        let before = journal.entries().len();
        let mut subject = empty(demand);
        if self.cancel.signal().is_some() {
            return subject;
        }
        let came_back = match demand.kind {
            SubjectKind::Cluster => self.cluster(demand, &mut subject, journal),
            SubjectKind::Database | SubjectKind::Unknown => {
                self.database(demand, &mut subject, journal)
            }
        };
        let own = journal.entries().iter().skip(before);
        let seconds = own.filter_map(|entry| entry.step.seconds).sum();
        subject.rto_seconds = came_back.map(|()| seconds);
        subject
    }

    fn database(
        &self,
        demand: &SubjectDemand,
        subject: &mut Subject,
        journal: &mut Journal<'_>,
    ) -> Option<()> {
        let label = Some(demand.label.as_str());
        let (dump, begun) = journal.time("fetch", label, Some(RESTORED), || {
            let known = self.catalogue.find(&demand.name)?;
            let newest = self.catalogue.newest_dump(known)?;
            Ok((database::fetch(self, &known.name, newest)?, newest.begun))
        })?;
        let recovered = dump.recovered;
        let (size, sha256) = (recovered.size, recovered.sha256);
        journal.say(&format!("{size} bytes, SHA-256 {sha256}"));
        let restored = journal.time("restore", label, Some(RESTORED), || {
            database::restore(self, &dump)
        })?;
        subject.as_of = Some(begun);
        subject.rpo_seconds = Some(age(self.began, begun));
        drop(dump);
        let server = &restored.server;
        self.ask(demand, Some(database::RESTORED), server, subject, journal);
        Some(())
    }

    fn cluster(
        &self,
        demand: &SubjectDemand,
        subject: &mut Subject,
        journal: &mut Journal<'_>,
    ) -> Option<()> {
        let label = Some(demand.label.as_str());
        let found = journal.time("survey", label, Some(RESTORED), || {
            cluster::survey(self, self.catalogue.find(&demand.name)?)
        })?;
        let rewound = journal.time("rewind", label, Some(RESTORED), || {
            cluster::rewind(self, &found, demand.to)
        })?;
        journal.say(&rewound.words);
        subject.as_of = rewound.as_of;
        subject.rpo_seconds = rewound.newest.map(|newest| age(self.began, newest));
        let server = journal.time("start", label, Some(RESTORED), || rewound.start(self))?;
        self.ask(demand, None, &server, subject, journal);
        Some(())
    }

    fn ask(
        &self,
        demand: &SubjectDemand,
        database: Option<&str>,
        server: &PrivateServer,
        subject: &mut Subject,
        journal: &mut Journal<'_>,
    ) {
        let label = Some(demand.label.as_str());
        let mut words = String::new();
        journal.time("sentinels", label, Some(RESTORED), || {
            let asked = sentinels::ask(server, database, &demand.sentinels, self.began)?;
            let trouble = asked.trouble();
            subject.sentinels = asked.results;
            words = asked.words;
            trouble.map_or(Ok(()), Err)
        });
        if !words.is_empty() {
            journal.say(words.trim_end_matches("; "));
        }
    }
}
