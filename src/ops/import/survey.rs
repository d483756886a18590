//! Looking into the storages: what each holds, backup by backup.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Uuid;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::error_chain::error_chain;
use crate::base::text::printable;
use crate::databasus::objects::group::{Grouped, Grouping};
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{Storage, StorageKind};
use crate::ops::storages::{OpenStorage, StorageUnavailable};
use crate::store::{Store, StoreError};

use super::{OnProgress, Progress};

/// A place, and everything in it. Several storages can be one place.
pub(super) struct Place {
    /// In ascending order; there is at least one.
    pub(super) storages: Vec<Storage>,
    pub(super) store: Arc<dyn Store>,
    pub(super) held: Grouped,
    pub(super) seen: Vec<Seen>,
}

/// An object of a listing.
pub(super) struct Seen {
    pub(super) key: Box<str>,
    pub(super) size: u64,
    pub(super) etag: Option<Box<str>>,
}

/// A storage of which nothing is known.
pub(super) struct Unlisted {
    pub(super) storage: Storage,
    pub(super) why: String,
    pub(super) advice: &'static str,
}

/// All storages.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) places: Vec<Place>,
    pub(super) unlisted: Vec<Unlisted>,
}

impl Place {
    /// The storage that stands for the place where nothing else decides.
    pub(super) fn first(&self) -> Uuid {
        self.storages
            .first()
            .map_or_else(Uuid::nil, |storage| storage.id)
    }

    /// Whether a storage is this place.
    pub(super) fn is(&self, storage: Uuid) -> bool {
        self.storages.iter().any(|one| one.id == storage)
    }
}

impl Survey {
    /// Lists every storage that can be. One that cannot be listed whole counts as not listed.
    pub(super) fn make(
        storages: Vec<Storage>,
        open: &dyn OpenStorage,
        key: &SecretKey,
        cancel: &Cancel,
        on_progress: OnProgress<'_>,
    ) -> Result<Self, Interrupted> {
        let mut survey = Self::default();
        for storages in by_place(storages) {
            cancel.check()?;
            match look_into(&storages, open, key, cancel, on_progress) {
                Ok(place) => survey.places.push(place),
                Err(error) => {
                    cancel.check()?;
                    survey.leave_out(storages, &error);
                }
            }
        }
        Ok(survey)
    }

    fn leave_out(&mut self, storages: Vec<Storage>, error: &StorageUnavailable) {
        let why = error_chain(error);
        self.unlisted
            .extend(storages.into_iter().map(|storage| Unlisted {
                storage,
                why: printable(&why).into_owned(),
                advice: advice(error),
            }));
    }
}

/// Storages by where they are: the same bucket and prefix can be entered twice.
fn by_place(storages: Vec<Storage>) -> Vec<Vec<Storage>> {
    let mut places: BTreeMap<Vec<String>, Vec<Storage>> = BTreeMap::new();
    for storage in storages {
        let place = match &storage.kind {
            StorageKind::Local => vec!["LOCAL".to_owned()],
            StorageKind::S3(s3) => vec![
                s3.endpoint_url().unwrap_or_default(),
                s3.bucket.clone(),
                s3.key_prefix(),
            ],
            StorageKind::Other(_) => vec![storage.id.to_string()],
        };
        places.entry(place).or_default().push(storage);
    }
    let mut places: Vec<Vec<Storage>> = places.into_values().collect();
    for storages in &mut places {
        storages.sort_by_key(|storage| storage.id);
    }
    places.sort_by_key(|storages| storages.first().map(|storage| storage.id));
    places
}

/// Opens with the first credentials that do: two entries of one place may have different ones.
fn look_into(
    storages: &[Storage],
    open: &dyn OpenStorage,
    key: &SecretKey,
    cancel: &Cancel,
    on_progress: OnProgress<'_>,
) -> Result<Place, StorageUnavailable> {
    let mut first_error = None;
    for storage in storages {
        let listed = open.open(storage, key).and_then(|store| {
            let (held, seen) = list(store.as_ref(), cancel, on_progress)?;
            Ok(Place {
                storages: storages.to_vec(),
                store,
                held,
                seen,
            })
        });
        match listed {
            Ok(place) => return Ok(place),
            Err(error) => first_error.get_or_insert(error),
        };
    }
    Err(first_error.unwrap_or(StorageUnavailable::NoFiles))
}

/// Lists a store whole: half a listing would make ghosts of what is there.
fn list(
    store: &dyn Store,
    cancel: &Cancel,
    on_progress: OnProgress<'_>,
) -> Result<(Grouped, Vec<Seen>), StoreError> {
    let (mut grouping, mut seen) = (Grouping::new(), Vec::new());
    let mut interrupted = None;
    store.list("", None, &mut |meta| {
        grouping.add(&meta.key, meta.size, meta.etag.as_deref());
        seen.push(Seen {
            key: meta.key.into_boxed_str(),
            size: meta.size,
            etag: meta.etag.map(String::into_boxed_str),
        });
        on_progress(Progress::Listed(seen.len()));
        match cancel.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(signal) => {
                interrupted = Some(signal);
                ControlFlow::Break(())
            }
        }
    })?;
    match interrupted {
        None => Ok((grouping.finish(), seen)),
        Some(signal) => {
            let kind = crate::store::StoreErrorKind::Interrupted;
            Err(StoreError::new(store.name(), kind, "list", "").caused_by(signal))
        }
    }
}

fn advice(error: &StorageUnavailable) -> &'static str {
    match error {
        StorageUnavailable::Unsupported(_) => {
            "fetch the objects into a directory with the storage's own tools, and read them with \
             `databasus-escrow recover --from DIR`; the catalogue's rows of this storage stay"
        }
        StorageUnavailable::Credentials(_) | StorageUnavailable::Blank => {
            "give credentials with --read-only-credentials, and import again"
        }
        StorageUnavailable::NoFiles => {
            "put the files of this storage into backups/ of the data directory, and import again"
        }
        StorageUnavailable::Store(_) => {
            "check the bucket, its credentials and the network, and import again"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(id: u128) -> Storage {
        Storage {
            id: Uuid::from_u128(id),
            name: String::new(),
            kind: StorageKind::Local,
        }
    }

    fn other(id: u128) -> Storage {
        Storage {
            kind: StorageKind::Other("NAS".to_owned()),
            ..local(id)
        }
    }

    #[test]
    fn storages_that_are_one_place_are_looked_into_once() {
        let places = by_place(vec![local(3), other(2), local(1), other(4)]);
        let ids: Vec<Vec<u128>> = places
            .iter()
            .map(|storages| storages.iter().map(|one| one.id.as_u128()).collect())
            .collect();
        assert_eq!(ids, [vec![1, 3], vec![2], vec![4]]);
    }
}
