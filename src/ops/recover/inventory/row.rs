//! What a listing, a sidecar and a backup's own beginning say of it together.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::base::error_chain::error_chain;
use crate::base::text::shortened;
use crate::base::time::UtcTime;
use crate::databasus::backup_file;
use crate::databasus::objects::content::Content;
use crate::databasus::objects::group::{BackupGroup, Standing};
use crate::databasus::objects::name::BackupName;
use crate::databasus::objects::sidecar::{Encryption, Sidecar};
use crate::ops::backup_object::BackupObjectError;
use crate::ops::bucket::FoundSidecar;
use crate::ops::bucket::probe::{Opening, Probe};
use crate::ops::recover::keys::{KeyRing, KeySource};
use crate::ops::recover::size;
use crate::postgres::backup_label::BackupLabel;

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
    /// Its size or its beginning is not one that Databasus writes, or not what its sidecar says.
    Damaged,
    /// It could not be looked at.
    Unknown,
}

impl Row {
    pub(super) fn of(
        group: &BackupGroup,
        found: &FoundSidecar,
        labels: &BTreeMap<Uuid, String>,
    ) -> Self {
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
                // It quotes what anybody may have written there.
                FoundSidecar::Unusable(error) => Some(shortened(&error_chain(error))),
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

    pub(super) fn unread(&mut self, error: &BackupObjectError) {
        self.problem = Some(error_chain(error));
        self.state = match error {
            BackupObjectError::Store(_) => State::Unknown,
            BackupObjectError::NotFound(_) => State::ContentMissing,
            BackupObjectError::PartMissing(_) => State::Incomplete,
            _ => State::Damaged,
        };
    }

    /// Takes what the beginning of the backup says.
    pub(super) fn look(
        &mut self,
        probe: &Probe,
        keys: &KeyRing,
        group: &BackupGroup,
        found: &FoundSidecar,
    ) {
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
            Opening::FailedDump => self.fail(),
            Opening::Damaged(error) => {
                self.state = State::Damaged;
                self.add_problem(error_chain(error));
            }
        }
        if let Some(content) = &probe.content {
            self.recognise(content, found);
        }
    }

    /// Compares its length with what its sidecar says, once all is known that can be.
    pub(super) fn check_size(&mut self, found: &FoundSidecar) {
        let (Some(sidecar), Some(stored)) = (found.get(), self.stored_size) else {
            return;
        };
        if self.state != State::Committed {
            return;
        }
        if let Err(differs) = size::check(sidecar, self.size, stored) {
            self.state = State::Damaged;
            self.add_problem(differs.to_string());
        }
    }

    fn fail(&mut self) {
        self.state = State::FailedDump;
        self.size = Some(0);
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
            Content::WalSegment(page) if by_content && self.kind != Kind::Wal => {
                self.kind = Kind::WalV1Segment;
                self.state = State::ByContent;
                self.segment = Some(page.segment.to_string());
                self.start_lsn = Some(page.start.to_string());
            }
            Content::BaseBackup { label, .. } if by_content => self.base_backup(label.as_ref()),
            Content::Empty => self.fail(),
            Content::Unknown if self.kind == Kind::Dump => self.kind = Kind::Unknown,
            Content::WalSegment(_)
            | Content::TimelineHistory
            | Content::BaseBackup { .. }
            | Content::Unknown => {}
        }
    }

    /// A base backup without a sidecar: one of `WAL_V1`, or what a physical run left that failed.
    /// The latter are labelled with their object's name.
    fn base_backup(&mut self, label: Option<&BackupLabel>) {
        self.start_lsn = label.map(|label| label.start.to_string());
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
