//! Which backup is meant: by its name, by its id, or the newest of a database.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::base::text::printable;
use crate::databasus::objects::group::{BackupGroup, Layout};
use crate::databasus::objects::name::{BackupName, ObjectName, Role, sanitise};
use crate::databasus::objects::sidecar::Sidecar;
use crate::ops::bucket::{self, FoundSidecar};
use crate::store::{Store, StoreError};

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A backup by the name of any of its objects; its `.manifest` by that name.
    Name(ObjectName),
    /// A backup by its id.
    Id(Uuid),
    /// The newest committed backup of a database, by its name.
    Latest(String),
}

/// A stream of a backup that was chosen.
#[derive(Debug)]
pub struct Target {
    /// Which backup.
    pub name: BackupName,
    /// Which of its streams.
    pub stream: Stream,
    /// Its sidecar.
    pub sidecar: FoundSidecar,
    /// Objects of the same database that are newer, and that nothing commits.
    pub newer_uncommitted: Vec<String>,
}

/// The streams of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The backup itself.
    Content,
    /// PostgreSQL's `backup_manifest` of a physical one.
    Manifest,
}

/// No backup was chosen.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The storage could not be listed.
    #[error("cannot list the storage")]
    List(#[source] StoreError),
    /// A sidecar that decides could not be read.
    #[error("cannot read the sidecar of {}", printable(.name))]
    Sidecar {
        /// Whose.
        name: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Nothing has that id.
    #[error("there is no backup with the id {0}")]
    NoSuchId(Uuid),
    /// Several have it.
    #[error("several backups have the id {id}: {}", shown(names))]
    SameId {
        /// Which.
        id: Uuid,
        /// Their names.
        names: Vec<String>,
    },
    /// Nothing is named after the database.
    #[error("there is no backup of a database called {}", printable(.0))]
    NoSuchDatabase(String),
    /// Nothing of it is committed.
    #[error(
        "none of the {count} objects of a database called {} is committed",
        printable(database)
    )]
    NothingCommitted {
        /// Its name as it was given.
        database: String,
        /// How many backups are named after it.
        count: usize,
    },
    /// The name fits several databases.
    #[error(
        "{} is the name of several databases: {}",
        printable(database),
        shown(newest)
    )]
    Ambiguous {
        /// The name as it was given.
        database: String,
        /// The newest backup of each.
        newest: Vec<String>,
    },
}

fn shown(names: &[String]) -> String {
    printable(&names.join(", ")).into_owned()
}

/// A backup with its sidecar.
type Candidate = (BackupGroup, FoundSidecar);

/// Finds what is wanted. Only a name needs no listing.
pub fn find(
    store: &dyn Store,
    wanted: &Wanted,
    cancel: &Cancel,
    on_objects: &mut dyn FnMut(u64),
) -> Result<Target, FindError> {
    let list = |on_objects: &mut dyn FnMut(u64)| {
        let listed = bucket::list(store, cancel, on_objects).map_err(FindError::List)?;
        Ok(listed.backups)
    };
    match wanted {
        Wanted::Name(name) => by_name(store, name),
        Wanted::Id(id) => by_id(store, list(on_objects)?, *id),
        Wanted::Latest(database) => latest(store, list(on_objects)?, database),
    }
}

fn by_name(store: &dyn Store, name: &ObjectName) -> Result<Target, FindError> {
    let stream = match name.role {
        Role::Manifest(_) => Stream::Manifest,
        Role::Content(_) | Role::Sidecar => Stream::Content,
    };
    let sidecar = bucket::sidecar_of(store, &name.backup);
    target(name.backup.clone(), stream, sidecar)
}

fn target(name: BackupName, stream: Stream, sidecar: FoundSidecar) -> Result<Target, FindError> {
    match sidecar {
        FoundSidecar::Unread(source) => Err(FindError::Sidecar {
            name: name.to_string(),
            source,
        }),
        sidecar => Ok(Target {
            name,
            stream,
            sidecar,
            newer_uncommitted: Vec::new(),
        }),
    }
}

fn by_id(store: &dyn Store, groups: Vec<BackupGroup>, id: Uuid) -> Result<Target, FindError> {
    // Only the sidecars of WAL and history files know their ids.
    let (named, nameless): (Vec<_>, Vec<_>) = groups
        .into_iter()
        .partition(|group| group.name.id().is_some());
    let own = named
        .into_iter()
        .filter(|group| group.name.id() == Some(id));
    let mut found = with_sidecars(store, own.collect())?;
    if found.is_empty() {
        found = with_sidecars(store, nameless)?;
        found.retain(|(_, sidecar)| sidecar.get().map(Sidecar::id) == Some(id));
    }
    let names: Vec<String> = found
        .iter()
        .map(|(group, _)| group.name.to_string())
        .collect();
    match found.pop() {
        None => Err(FindError::NoSuchId(id)),
        Some((group, sidecar)) if found.is_empty() => target(group.name, Stream::Content, sidecar),
        Some(_) => Err(FindError::SameId { id, names }),
    }
}

/// Reads the sidecars of all of them; one that cannot be read is an error, for it may decide.
fn with_sidecars(store: &dyn Store, groups: Vec<BackupGroup>) -> Result<Vec<Candidate>, FindError> {
    let mut sidecars: Vec<FoundSidecar> = groups.iter().map(|_| FoundSidecar::Absent).collect();
    let mut failed = None;
    bucket::read_sidecars(store, &groups, |index, sidecar| {
        if let FoundSidecar::Unread(source) = sidecar {
            let name = groups.get(index).map(|group| group.name.to_string());
            let name = name.unwrap_or_default();
            failed = Some(FindError::Sidecar { name, source });
            return ControlFlow::Break(());
        }
        if let Some(place) = sidecars.get_mut(index) {
            *place = sidecar;
        }
        ControlFlow::Continue(())
    });
    failed.map_or(Ok(groups.into_iter().zip(sidecars).collect()), Err)
}

/// Whose backup one is, as far as sidecars tell databases apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// Dumps name no database but by their label.
    Dumps(String),
    /// By `databases.id`.
    Cluster(Uuid),
}

fn latest(
    store: &dyn Store,
    mut groups: Vec<BackupGroup>,
    database: &str,
) -> Result<Target, FindError> {
    let names = [database.to_owned(), sanitise(database)];
    groups.retain(|group| may_be_of(&group.name, &names));
    groups.sort_by_key(|group| std::cmp::Reverse(group.name.begun_at()));
    let candidates = with_sidecars(store, groups)?;
    let count = candidates.len();
    let mut newest: BTreeMap<Owner, BackupName> = BTreeMap::new();
    for (group, sidecar) in &candidates {
        if let Some(owner) = owner(group, sidecar, &names) {
            newest.entry(owner).or_insert_with(|| group.name.clone());
        }
    }
    let database = || database.to_owned();
    match (newest.len(), newest.pop_first()) {
        (_, None) if count == 0 => Err(FindError::NoSuchDatabase(database())),
        (_, None) => Err(FindError::NothingCommitted {
            database: database(),
            count,
        }),
        (1, Some((_, name))) => take_newest(candidates, name),
        (_, Some((_, first))) => Err(FindError::Ambiguous {
            database: database(),
            newest: std::iter::once(first)
                .chain(newest.into_values())
                .map(|name| name.to_string())
                .collect(),
        }),
    }
}

/// The candidate of that name, and what stands before it uncommitted.
fn take_newest(candidates: Vec<Candidate>, name: BackupName) -> Result<Target, FindError> {
    let mut newer_uncommitted = Vec::new();
    let mut own = FoundSidecar::Absent;
    for (group, sidecar) in candidates {
        if group.name == name {
            own = sidecar;
            break;
        }
        if sidecar.get().is_none() {
            newer_uncommitted.push(group.name.to_string());
        }
    }
    Ok(Target {
        newer_uncommitted,
        ..target(name, Stream::Content, own)?
    })
}

fn may_be_of(name: &BackupName, names: &[String; 2]) -> bool {
    let whole = name.label();
    let bare = name.label_without_kind().map(|(bare, _)| bare);
    let is = |label: Option<&str>| label.is_some_and(|label| names.iter().any(|n| n == label));
    is(whole) || is(bare)
}

/// Whose backup this is, if it is committed and really named after the database: `x-FULL` is a
/// cluster `x` or a database `x-FULL`, as its sidecar says.
fn owner(group: &BackupGroup, sidecar: &FoundSidecar, names: &[String; 2]) -> Option<Owner> {
    let is_there = matches!(
        group.content.layout(),
        Layout::Single { size: 1.. } | Layout::Chunked { .. }
    );
    let (label, owner) = match sidecar.get().filter(|_| is_there)? {
        Sidecar::Logical(_) => {
            let label = group.name.label()?;
            (label, Owner::Dumps(label.to_owned()))
        }
        Sidecar::Full(backup) => (
            group.name.label_without_kind()?.0,
            Owner::Cluster(backup.database),
        ),
        Sidecar::Incremental(incremental) => (
            group.name.label_without_kind()?.0,
            Owner::Cluster(incremental.backup.database),
        ),
        Sidecar::Wal(_) | Sidecar::History(_) => return None,
    };
    names.iter().any(|name| name == label).then_some(owner)
}

#[cfg(test)]
mod tests;
