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

/// Finds what is wanted. Only a name needs no listing.
pub fn find(
    store: &dyn Store,
    wanted: &Wanted,
    cancel: &Cancel,
    on_objects: &mut dyn FnMut(u64),
) -> Result<Target, FindError> {
    if let Wanted::Name(name) = wanted {
        let stream = match name.role {
            Role::Manifest(_) => Stream::Manifest,
            Role::Content(_) | Role::Sidecar => Stream::Content,
        };
        let sidecar = bucket::sidecar_of(store, &name.backup);
        return target(name.backup.clone(), stream, sidecar);
    }
    let listed = bucket::list(store, cancel, on_objects).map_err(FindError::List)?;
    match wanted {
        Wanted::Latest(database) => latest(store, listed.backups, database),
        Wanted::Id(id) => by_id(store, listed.backups, *id),
        Wanted::Name(name) => target(name.backup.clone(), Stream::Content, FoundSidecar::Absent),
    }
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
    let named = groups.iter().filter(|group| group.name.id() == Some(id));
    let mut found: Vec<&BackupGroup> = named.collect();
    let streamed: Vec<BackupGroup>;
    if found.is_empty() {
        // Only the sidecars of WAL and history files know their ids.
        let nameless = |group: &BackupGroup| group.name.id().is_none();
        streamed = groups.into_iter().filter(nameless).collect();
        let sidecars = sidecars(store, &streamed)?;
        let all = streamed.iter().zip(&sidecars);
        let own = all.filter(|(_, sidecar)| sidecar.get().map(Sidecar::id) == Some(id));
        found = own.map(|(group, _)| group).collect();
    }
    match found.as_slice() {
        [] => Err(FindError::NoSuchId(id)),
        [one] => {
            let sidecar = bucket::read_sidecar(store, one);
            target(one.name.clone(), Stream::Content, sidecar)
        }
        several => Err(FindError::SameId {
            id,
            names: several.iter().map(|one| one.name.to_string()).collect(),
        }),
    }
}

fn sidecars(store: &dyn Store, groups: &[BackupGroup]) -> Result<Vec<FoundSidecar>, FindError> {
    let mut found: Vec<FoundSidecar> = groups.iter().map(|_| FoundSidecar::Absent).collect();
    let mut failed = None;
    bucket::read_sidecars(store, groups, |index, sidecar| {
        if let FoundSidecar::Unread(source) = sidecar {
            let name = groups.get(index).map(|group| group.name.to_string());
            let name = name.unwrap_or_default();
            failed = Some(FindError::Sidecar { name, source });
            return ControlFlow::Break(());
        }
        if let Some(place) = found.get_mut(index) {
            *place = sidecar;
        }
        ControlFlow::Continue(())
    });
    failed.map_or(Ok(found), Err)
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
    groups: Vec<BackupGroup>,
    database: &str,
) -> Result<Target, FindError> {
    let names = [database.to_owned(), sanitise(database)];
    let mut groups: Vec<BackupGroup> = groups
        .into_iter()
        .filter(|group| may_be_of(&group.name, &names))
        .collect();
    if groups.is_empty() {
        return Err(FindError::NoSuchDatabase(database.to_owned()));
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.name.begun_at()));
    let sidecars = sidecars(store, &groups)?;
    let mut committed: BTreeMap<Owner, usize> = BTreeMap::new();
    for (place, (group, sidecar)) in groups.iter().zip(&sidecars).enumerate() {
        if let Some(owner) = owner(group, sidecar, &names) {
            committed.entry(owner).or_insert(place);
        }
    }
    let places: Vec<usize> = committed.into_values().collect();
    let name = |place: usize| groups.get(place).map(|group| group.name.to_string());
    match places.as_slice() {
        [] => Err(FindError::NothingCommitted {
            database: database.to_owned(),
            count: groups.len(),
        }),
        [place] => {
            let before = groups.iter().zip(&sidecars).take(*place);
            let unproven = before.filter(|(_, sidecar)| sidecar.get().is_none());
            let newer = unproven.map(|(group, _)| group.name.to_string()).collect();
            chosen(groups, sidecars, *place, newer)
        }
        several => Err(FindError::Ambiguous {
            database: database.to_owned(),
            newest: several.iter().filter_map(|place| name(*place)).collect(),
        }),
    }
}

fn chosen(
    groups: Vec<BackupGroup>,
    sidecars: Vec<FoundSidecar>,
    place: usize,
    newer_uncommitted: Vec<String>,
) -> Result<Target, FindError> {
    let mut both = groups.into_iter().zip(sidecars);
    let nothing = || FindError::NoSuchDatabase(String::new());
    let (group, sidecar) = both.nth(place).ok_or_else(nothing)?;
    Ok(Target {
        newer_uncommitted,
        ..target(group.name, Stream::Content, sidecar)?
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
