//! Opening the storages of an instance: buckets by the credentials in their rows or by those
//! that the operator gives, local ones by the folder they are in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::base::cancel::Cancel;
use crate::base::names::StoreName;
use crate::cli::exit::CliError;
use crate::cli::hints;
use crate::cli::wire::environment;
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{S3Keys, S3Storage, Storage, StorageKind};
use crate::model::store_spec::CredentialsSource;
use crate::ops::storages::{OpenStorage, StorageUnavailable, store_name};
use crate::store::Store;
use crate::store::dir::DirStore;

pub(super) use crate::cli::wire::Haste;

/// The storages as this host reaches them.
#[cfg_attr(
    not(feature = "s3"),
    expect(dead_code, reason = "directories are opened at once")
)]
pub(super) struct Storages {
    haste: Haste,
    local: Option<PathBuf>,
    given: Vec<GivenCredentials>,
    cancel: Cancel,
    /// Those that were opened: one that was waited for in vain is not waited for again.
    opened: Mutex<BTreeMap<Uuid, Arc<dyn Store>>>,
}

/// Credentials for a storage, instead of those in its row.
struct GivenCredentials {
    /// Its name or id; none means any.
    storage: Option<String>,
    keys: S3Keys,
}

impl GivenCredentials {
    /// Reads `[STORAGE=]NAME`: for which storage, and the name under which the environment holds
    /// them, as `ESCROW_<NAME>_ACCESS_KEY_ID` and `ESCROW_<NAME>_SECRET_ACCESS_KEY`.
    fn parse(argument: &str) -> Result<Self, CliError> {
        // A storage's name may hold the sign, a name of variables may not.
        let (storage, name) = match argument.rsplit_once('=') {
            Some((storage, name)) => (Some(storage.to_owned()), name),
            None => (None, argument),
        };
        let name: StoreName = name.parse().map_err(|error| {
            CliError::new(crate::cli::exit::Exit::Usage, error).hint(
                "give [STORAGE=]NAME; the variables ESCROW_<NAME>_… then hold the credentials",
            )
        })?;
        let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::Unsupported.into());
        let found = CredentialsSource::Environment
            .resolve(&name, &environment, &no_files)
            .map_err(hints::credentials)?;
        let secret = found.secret_access_key.expose_secret();
        Ok(Self {
            storage,
            keys: S3Keys {
                access_key_id: Zeroizing::new(found.access_key_id),
                secret_access_key: Zeroizing::new(secret.to_owned()),
            },
        })
    }

    fn is_for(&self, storage: &Storage) -> bool {
        let wanted = self.storage.as_deref();
        wanted.is_none_or(|wanted| wanted == storage.name || wanted == storage.id.to_string())
    }
}

impl Storages {
    /// `local` is where the files of LOCAL storages are, none where nobody knows; `given` are
    /// arguments `[STORAGE=]NAME`, see [`GivenCredentials::parse`].
    pub(super) fn new(
        haste: Haste,
        local: Option<PathBuf>,
        given: &[String],
        cancel: &Cancel,
    ) -> Result<Self, CliError> {
        let given = given
            .iter()
            .map(|argument| GivenCredentials::parse(argument));
        Ok(Self {
            haste,
            local,
            given: given.collect::<Result<_, _>>()?,
            cancel: cancel.clone(),
            opened: Mutex::default(),
        })
    }

    /// What the operator gave for this storage; what names it wins over what is for any.
    fn given(&self, storage: &Storage) -> Option<&S3Keys> {
        let mut fitting = self.given.iter().filter(|one| one.is_for(storage));
        let found = fitting.clone().find(|one| one.storage.is_some());
        found.or_else(|| fitting.next()).map(|one| &one.keys)
    }

    fn bucket(
        &self,
        storage: &Storage,
        place: &S3Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let name = store_name(storage);
        if let Some(keys) = self.given(storage) {
            return self.open_bucket(name, place, keys);
        }
        let keys = place.keys(key)?.ok_or(StorageUnavailable::Blank)?;
        self.open_bucket(name, place, &keys)
    }
}

impl OpenStorage for Storages {
    fn open(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(&storage.id) {
            return Ok(store.clone());
        }
        let store = self.open_anew(storage, key)?;
        opened.insert(storage.id, store.clone());
        Ok(store)
    }

    fn read_only(&self, storage: &Storage) -> Option<S3Keys> {
        let is_bucket = matches!(storage.kind, StorageKind::S3(_));
        is_bucket.then(|| self.given(storage).cloned()).flatten()
    }
}

impl Storages {
    fn open_anew(
        &self,
        storage: &Storage,
        key: &SecretKey,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        match (&storage.kind, &self.local) {
            (StorageKind::S3(place), _) => self.bucket(storage, place, key),
            (StorageKind::Local, None) => Err(StorageUnavailable::NoFiles),
            (StorageKind::Local, Some(files)) => Ok(Arc::new(DirStore::open(
                store_name(storage),
                files.clone(),
            )?)),
            (StorageKind::Other(kind), _) => Err(StorageUnavailable::Unsupported(kind.clone())),
        }
    }
}

/// What an S3 server takes where a user left the region out.
#[cfg(feature = "s3")]
const DEFAULT_REGION: &str = "us-east-1";

impl Storages {
    #[cfg(feature = "s3")]
    fn open_bucket(
        &self,
        name: StoreName,
        place: &S3Storage,
        keys: &S3Keys,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        use crate::store::s3::{S3Settings, S3Store};

        let region = match place.region.as_str() {
            "" => DEFAULT_REGION,
            region => region,
        };
        let (endpoint, prefix) = (place.endpoint_url(), place.key_prefix());
        let of_aws = |url: &str| url.contains("amazonaws.com");
        let settings = S3Settings {
            bucket: place.bucket.clone(),
            // One slash alone: names with empty parts are refused below rather than misread.
            prefix: prefix.strip_suffix('/').unwrap_or(&prefix).to_owned(),
            // As Databasus' client chooses by itself: the bucket is in AWS' host names alone.
            path_style: !place.virtual_hosted_style
                && endpoint.as_deref().is_some_and(|url| !of_aws(url)),
            endpoint,
            region: region.to_owned(),
            access_key_id: keys.access_key_id.to_string(),
            secret_access_key: keys.secret_access_key.as_str().into(),
            session_token: None,
            temporary: None,
        };
        let patience = self.haste.patience();
        let store = S3Store::open_with(name, settings, patience, self.cancel.clone())?;
        Ok(Arc::new(store))
    }

    #[cfg(not(feature = "s3"))]
    fn open_bucket(
        &self,
        _: StoreName,
        _: &S3Storage,
        _: &S3Keys,
    ) -> Result<Arc<dyn Store>, StorageUnavailable> {
        let kind = "S3, which this build lacks,".to_owned();
        Err(StorageUnavailable::Unsupported(kind))
    }
}
