//! What can be recovered from a storage: one row for each backup.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::error_chain::error_chain;
use crate::base::time::UtcTime;
use crate::databasus::backup_file;
use crate::databasus::objects::content::Content;
use crate::databasus::objects::group::{BackupGroup, Standing};
use crate::databasus::objects::name::BackupName;
use crate::databasus::objects::sidecar::{Encryption, Sidecar};
use crate::ops::backup_object::BackupObjectError;
use crate::ops::bucket::probe::{Opening, Probe, Prober, Subject, is_worth_probing};
use crate::ops::bucket::{self, FoundSidecar};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::keys::{KeyRing, KeySource};

/// All backups of a storage.
#[derive(Debug, Serialize)]
pub struct Inventory {
    /// In the order of their names: by database and then by time.
    pub backups: Vec<Row>,
    /// How many objects belong to somebody else.
    pub foreign_objects: u64,
    /// The first of their names.
    pub foreign_names: Vec<String>,
}

/// What is known of one backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its object's name without what marks a part.
    pub name: String,
    /// The database, as the name has it: sanitised, and as it was called then. Of WAL what the
    /// cluster's base backups are named after.
    pub database: Option<String>,
    /// `databases.id`, which only physical backups name.
    pub database_id: Option<Uuid>,
    /// The id of its row; none where only an unusable sidecar knew it.
    pub id: Option<Uuid>,
    /// When it was begun, or for WAL, when it was received.
    pub at: Option<UtcTime>,
    /// What it is.
    pub kind: Kind,
    /// Whether it can be relied on.
    pub state: State,
    /// As stored, in bytes.
    pub stored_size: Option<u64>,
    /// Its plaintext, in bytes.
    pub size: Option<u64>,
    /// Whether it is encrypted; none if neither sidecar nor content told.
    pub encrypted: Option<bool>,
    /// The key that opens it.
    pub opened_by: Option<KeySource>,
    /// The WAL segment it holds.
    pub segment: Option<String>,
    /// The first WAL position that it needs, or holds.
    pub start_lsn: Option<String>,
    /// Where a base backup is consistent, or a segment ends.
    pub stop_lsn: Option<String>,
    /// The database's own name, as the dump tells it.
    pub dumped_database: Option<String>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Kinds of backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A dump that was not looked into.
    Dump,
    /// `pg_dump -Fc`.
    PgDump,
    /// SQL text of MySQL or MariaDB.
    Sql,
    /// `mongodump --archive`.
    Mongo,
    /// A physical full backup.
    Full,
    /// A physical incremental backup.
    Incremental,
    /// A WAL segment.
    Wal,
    /// A timeline history file.
    History,
    /// A base backup of an agent of 3.17 to 3.42.
    WalV1Base,
    /// A WAL segment of such an agent.
    WalV1Segment,
    /// Not known.
    Unknown,
}

/// Whether a backup can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Databasus called it complete: its sidecar is there.
    Committed,
    /// `WAL_V1` wrote no sidecars; its content says what it is.
    ByContent,
    /// No sidecar, or an unusable one: nothing says that it is complete.
    Unproven,
    /// A dump that failed: there is nothing in it.
    FailedDump,
    /// Parts are missing, or their list.
    Incomplete,
    /// The backup itself is gone.
    ContentMissing,
    /// Its size or its beginning is not one that Databasus writes.
    Damaged,
    /// It could not be looked at.
    Unknown,
}

/// How far an inventory is.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// So many objects were listed.
    Listed(u64),
    /// So many backups are to be looked at: once for their sidecars, and once into them.
    Backups(u64),
    /// One was looked at.
    Looked,
}

/// Whether backups are looked into, which fetches a MiB of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Names, sizes and sidecars alone.
    Sidecars,
    /// The beginning of each.
    Beginnings,
}

/// Takes stock of a storage.
pub fn take(
    store: &Arc<dyn Store>,
    keys: &KeyRing,
    depth: Depth,
    cancel: &Cancel,
    on_step: &mut dyn FnMut(Step),
) -> Result<Inventory, StoreError> {
    let listed = bucket::list(store.as_ref(), cancel, &mut |seen| {
        on_step(Step::Listed(seen))
    })?;
    let groups = listed.backups;
    on_step(Step::Backups(groups.len() as u64));
    let mut sidecars: Vec<FoundSidecar> = groups.iter().map(|_| FoundSidecar::Absent).collect();
    bucket::read_sidecars(store.as_ref(), &groups, |index, found| {
        if let Some(place) = sidecars.get_mut(index) {
            *place = found;
        }
        on_step(Step::Looked);
        until(cancel)
    });
    let mut probes: BTreeMap<usize, Result<Probe, BackupObjectError>> = BTreeMap::new();
    if depth == Depth::Beginnings {
        probes = probe(store, keys, &groups, &sidecars, cancel, on_step);
    }
    if let Err(interrupted) = cancel.check() {
        let kind = StoreErrorKind::Interrupted;
        return Err(StoreError::new(store.name(), kind, "read", "").caused_by(interrupted));
    }
    let labels = labels(&groups, &sidecars);
    let rows = groups.iter().zip(&sidecars).enumerate();
    let rows = rows.map(|(place, (group, sidecar))| {
        let mut row = Row::of(group, sidecar, &labels);
        match probes.remove(&place) {
            Some(Ok(probe)) => row.look(&probe, keys, group, sidecar),
            Some(Err(error)) => row.unread(&error),
            None => {}
        }
        row
    });
    Ok(Inventory {
        backups: rows.collect(),
        foreign_objects: listed.foreign.count,
        foreign_names: listed.foreign.names,
    })
}

fn until(cancel: &Cancel) -> ControlFlow<()> {
    match cancel.check() {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

fn probe(
    store: &Arc<dyn Store>,
    keys: &KeyRing,
    groups: &[BackupGroup],
    sidecars: &[FoundSidecar],
    cancel: &Cancel,
    on_step: &mut dyn FnMut(Step),
) -> BTreeMap<usize, Result<Probe, BackupObjectError>> {
    let all = groups.iter().zip(sidecars).enumerate();
    let worth = all.filter(|(_, (group, _))| is_worth_probing(&group.content));
    let (places, subjects): (Vec<usize>, Vec<Subject<'_>>) = worth
        .map(|(place, (group, found))| {
            let sidecar = found.get();
            (place, Subject { group, sidecar })
        })
        .unzip();
    on_step(Step::Backups(subjects.len() as u64));
    let mut probes = BTreeMap::new();
    Prober::new(keys.keys()).probe_all(store, &subjects, |index, probe| {
        if let Some(place) = places.get(index) {
            probes.insert(*place, probe);
        }
        on_step(Step::Looked);
        until(cancel)
    });
    probes
}

/// What the base backups of each cluster are named after: its WAL names the id alone.
fn labels(groups: &[BackupGroup], sidecars: &[FoundSidecar]) -> BTreeMap<Uuid, String> {
    let both = groups.iter().zip(sidecars);
    let named = both.filter_map(|(group, sidecar)| {
        let (label, _) = group.name.label_without_kind()?;
        Some((sidecar.get()?.database()?, label.to_owned()))
    });
    named.collect()
}

impl Row {
    fn of(group: &BackupGroup, found: &FoundSidecar, labels: &BTreeMap<Uuid, String>) -> Self {
        let sidecar = found.get();
        let database_id = sidecar.and_then(Sidecar::database);
        let database_id = database_id.or(group.name.database());
        let is_cluster = database_id.is_some();
        let label = match (group.name.label_without_kind(), group.name.label()) {
            (Some((bare, _)), _) if is_cluster => Some(bare.to_owned()),
            (_, Some(label)) => Some(label.to_owned()),
            _ => database_id.and_then(|id| labels.get(&id).cloned()),
        };
        let encryption = sidecar.map(Sidecar::encryption);
        let stored = group.content.size();
        let size = match encryption {
            Some(Encryption::None) => stored,
            Some(_) => stored.and_then(|stored| backup_file::plain_size(stored).ok()),
            None => None,
        };
        let mut row = Self {
            name: group.name.to_string(),
            database: label,
            database_id,
            id: sidecar.map(Sidecar::id).or(group.name.id()),
            at: begun_at(&group.name, sidecar),
            kind: Kind::by_name(&group.name),
            state: State::of(group.standing(), found),
            stored_size: stored,
            size,
            encrypted: encryption.map(|encryption| *encryption != Encryption::None),
            opened_by: None,
            segment: None,
            start_lsn: None,
            stop_lsn: None,
            dumped_database: None,
            problem: match found {
                FoundSidecar::Unusable(error) => Some(error_chain(error)),
                FoundSidecar::Unread(error) => Some(error_chain(error)),
                FoundSidecar::Absent | FoundSidecar::Read(_) => None,
            },
        };
        if let BackupName::Wal { segment, .. } = &group.name {
            row.segment = Some(segment.to_string());
        }
        row.read(sidecar);
        row
    }

    /// Takes what the sidecar says of WAL.
    fn read(&mut self, sidecar: Option<&Sidecar>) {
        let (kind, positions) = match sidecar {
            None => return,
            Some(Sidecar::Logical(_)) => (Kind::Dump, None),
            Some(Sidecar::Full(backup)) => (Kind::Full, Some((backup.start_lsn, backup.stop_lsn))),
            Some(Sidecar::Incremental(incremental)) => {
                let backup = &incremental.backup;
                (Kind::Incremental, Some((backup.start_lsn, backup.stop_lsn)))
            }
            Some(Sidecar::Wal(wal)) => (Kind::Wal, Some((wal.start_lsn, wal.end_lsn))),
            Some(Sidecar::History(_)) => (Kind::History, None),
        };
        self.kind = kind;
        self.start_lsn = positions.map(|(start, _)| start.to_string());
        self.stop_lsn = positions.map(|(_, stop)| stop.to_string());
    }

    fn unread(&mut self, error: &BackupObjectError) {
        self.problem = Some(error_chain(error));
        self.state = match error {
            BackupObjectError::Store(_) => State::Unknown,
            BackupObjectError::NotFound(_) => State::ContentMissing,
            BackupObjectError::PartMissing(_) => State::Incomplete,
            _ => State::Damaged,
        };
    }

    /// Takes what the beginning of the backup says.
    fn look(&mut self, probe: &Probe, keys: &KeyRing, group: &BackupGroup, found: &FoundSidecar) {
        self.encrypted = match probe.opening {
            Opening::Plain => Some(false),
            _ => probe.header.map(|_| true).or(self.encrypted),
        };
        self.size = probe.plain_size.or(self.size);
        match &probe.opening {
            // As short as a header, but none: only its content told.
            Opening::Plain if self.state == State::FailedDump => self.state = State::Unproven,
            Opening::Plain => {}
            Opening::Key(place) => {
                self.opened_by = keys.get(*place).map(|(_, source)| source.clone());
            }
            Opening::NoKey if keys.keys().is_empty() => {}
            Opening::NoKey => self.add_problem(match group.name {
                BackupName::History { .. } => {
                    "none of the keys opens it; releases 3.43 to 3.45 encrypted history files \
                     under an id that is written nowhere"
                        .to_owned()
                }
                _ => "none of the keys opens it".to_owned(),
            }),
            Opening::NoId => self.add_problem("only its sidecar knew its id".to_owned()),
            Opening::FailedDump => self.state = State::FailedDump,
            Opening::Damaged(error) => {
                self.state = State::Damaged;
                self.add_problem(error_chain(error));
            }
        }
        if let Some(content) = &probe.content {
            self.recognise(content, found);
        }
    }

    fn add_problem(&mut self, problem: String) {
        self.problem = Some(match self.problem.take() {
            None => problem,
            Some(before) => format!("{before}; {problem}"),
        });
    }

    fn recognise(&mut self, content: &Content, found: &FoundSidecar) {
        let by_content = matches!(found, FoundSidecar::Absent) && self.state == State::Unproven;
        match content {
            Content::PgDump(header) => {
                self.kind = Kind::PgDump;
                self.dumped_database = Some(header.database.clone());
            }
            Content::UnreadPgDump(error) => {
                self.kind = Kind::PgDump;
                self.add_problem(error.to_string());
            }
            Content::Sql { database } => {
                self.kind = Kind::Sql;
                self.dumped_database.clone_from(database);
            }
            Content::MongoArchive => self.kind = Kind::Mongo,
            Content::WalSegment(page) if self.kind != Kind::Wal && by_content => {
                self.kind = Kind::WalV1Segment;
                self.state = State::ByContent;
                self.segment = Some(page.segment.to_string());
                self.start_lsn = Some(page.start.to_string());
            }
            Content::BaseBackup { label, .. } if by_content => {
                let label = label.as_ref();
                self.start_lsn = label.map(|label| label.start.to_string());
                // Physical backups are labelled with their object's name; without a sidecar they
                // are leftovers of runs that failed.
                self.kind = match label {
                    Some(label) if label.label != self.name => Kind::WalV1Base,
                    Some(label) if label.incremental_from.is_some() => Kind::Incremental,
                    Some(_) => Kind::Full,
                    None => Kind::Unknown,
                };
                if self.kind == Kind::WalV1Base {
                    self.state = State::ByContent;
                }
            }
            Content::Empty => self.state = State::FailedDump,
            Content::Unknown if self.state == State::Committed && self.kind == Kind::Dump => {
                self.kind = Kind::Unknown;
            }
            Content::WalSegment(_)
            | Content::TimelineHistory
            | Content::BaseBackup { .. }
            | Content::Unknown => {}
        }
    }
}

impl Kind {
    fn by_name(name: &BackupName) -> Self {
        match name {
            BackupName::Wal { .. } => Self::Wal,
            BackupName::History { .. } => Self::History,
            BackupName::Bare(_) | BackupName::Labelled { .. } => Self::Unknown,
        }
    }
}

impl State {
    fn of(standing: Standing, found: &FoundSidecar) -> Self {
        match standing {
            Standing::FailedDump => Self::FailedDump,
            Standing::Incomplete => Self::Incomplete,
            Standing::ContentMissing => Self::ContentMissing,
            Standing::Committed | Standing::Unproven => match found {
                FoundSidecar::Read(_) => Self::Committed,
                FoundSidecar::Absent | FoundSidecar::Unusable(_) => Self::Unproven,
                FoundSidecar::Unread(_) => Self::Unknown,
            },
        }
    }
}

fn begun_at(name: &BackupName, sidecar: Option<&Sidecar>) -> Option<UtcTime> {
    let exact = match sidecar {
        Some(Sidecar::Full(backup)) => backup.created_at,
        Some(Sidecar::Incremental(incremental)) => incremental.backup.created_at,
        Some(Sidecar::Wal(wal)) => wal.received_at,
        Some(Sidecar::History(history)) => history.created_at,
        Some(Sidecar::Logical(_)) | None => return name.begun_at(),
    };
    Some(UtcTime::from_unix(exact.as_second()))
}
