//! A catalogue from the key and the bucket alone, for the day on which no escrow can be opened:
//! a fresh Databasus gets the storage, a placeholder for every database that has backups there,
//! and the backups.
//!
//! The schema exists only inside Databasus, so the directory is one that the wanted release made
//! itself, started once with that key and without a network.

use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Builder;

use crate::base::cancel::Cancel;
use crate::databasus::fields::seal_field;
use crate::databasus::schema::{Schema, SchemaError};
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{S3Keys, Storage};
use crate::postgres::binaries::Launcher;
use crate::postgres::sql::{literal, nullable};
use crate::postgres::wire::{Connection, PgError};
use crate::store::{Store, StoreError};

use super::import::report::ImportReport;
use super::import::{self, ImportError, ImportSettings, OnProgress};
use super::stopped_instance::{Served, StoppedInstance, StoppedInstanceError};
use super::storages::{OpenStorage, StorageUnavailable};

/// Tables that a fresh Databasus has no rows in.
const EMPTY_WHEN_FRESH: [&str; 4] = ["databases", "storages", "notifiers", "workspaces"];

/// The bucket, as it is going to be known to Databasus.
pub struct NewStorage {
    /// What people will see.
    pub name: String,
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// With its scheme; none means AWS.
    pub endpoint: Option<String>,
    /// What stands before every object's name.
    pub prefix: String,
    /// Whether the bucket is part of the host name.
    pub virtual_hosted_style: bool,
    /// What Databasus is going to open it with; best ones that can only read.
    pub keys: S3Keys,
}

/// What the catalogue is made from, and in.
pub struct Request<'a> {
    /// A fresh Databasus, stopped.
    pub instance: &'a StoppedInstance,
    /// The key at hand.
    pub key: &'a SecretKey,
    /// The bucket.
    pub storage: &'a NewStorage,
    /// The same, opened.
    pub store: Arc<dyn Store>,
    /// What starts PostgreSQL.
    pub launcher: &'a Launcher,
    /// Decisions about single backups.
    pub settings: ImportSettings,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// Hears how far it has come.
    pub on_progress: OnProgress<'a>,
}

/// No catalogue was made.
#[derive(Debug, thiserror::Error)]
pub enum FromKeyError {
    /// Databasus was started with another key: it would open nothing.
    #[error("the fresh directory's secret.key is not the key that was given")]
    AnotherKey,
    /// Somebody has worked with it.
    #[error("the directory is not of a fresh Databasus: table {0} has rows")]
    NotFresh(&'static str),
    /// It was stopped before Databasus had made its first user.
    #[error("the directory's database has no user yet: Databasus was stopped too early")]
    TooEarly,
    /// It is no database of Databasus.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// It cannot be worked on.
    #[error(transparent)]
    Instance(#[from] StoppedInstanceError),
    /// A session failed.
    #[error("a session with the metadata database failed")]
    Session(#[from] PgError),
    /// The bucket cannot be read.
    #[error("cannot read the bucket")]
    Bucket(#[from] StoreError),
    /// There is nothing in it.
    #[error("there is no object in {0}")]
    Empty(String),
    /// The backups could not be imported.
    #[error("cannot import the backups")]
    Import(#[from] ImportError),
}

/// Makes the catalogue, and leaves the directory cleanly shut down.
pub fn run(request: Request<'_>) -> Result<ImportReport, FromKeyError> {
    if request.instance.key().expose() != request.key.expose() {
        return Err(FromKeyError::AnotherKey);
    }
    let (instance, launcher, cancel) = (request.instance, request.launcher, request.cancel);
    let served = instance.start(launcher, cancel)?;
    let made = make(&served, request);
    // Its end is in good order whatever came of it.
    served.stop()?;
    made
}

fn make(served: &Served<'_>, request: Request<'_>) -> Result<ImportReport, FromKeyError> {
    let mut session = served.session()?;
    let schema = Schema::read(&mut session)?;
    schema.generation()?;
    let admin = fresh_admin(&mut session, &schema)?;
    // The import's own COMMIT, at its end, would commit this too: what cannot be listed must not
    // get so far.
    list(request.store.as_ref())?;
    session.simple_query("BEGIN")?;
    session.simple_query(&insert(&admin, request.storage, request.key))?;
    let dry_run = request.settings.dry_run;
    let report = import::run(
        import::Ports {
            session: &mut session,
            schema: &schema,
            keys: &[request.key],
            storages: &OneStorage(request.store),
            cancel: request.cancel,
            on_progress: request.on_progress,
        },
        &ImportSettings {
            create_placeholders: true,
            ..request.settings
        },
    );
    let end = if report.is_ok() && !dry_run {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    session.simple_query(end)?;
    Ok(report?)
}

/// Sees that the bucket answers, and that there is something in it.
fn list(store: &dyn Store) -> Result<(), FromKeyError> {
    let mut found = false;
    store.list("", None, &mut |_| {
        found = true;
        ControlFlow::Break(())
    })?;
    match found {
        true => Ok(()),
        false => Err(FromKeyError::Empty(store.location())),
    }
}

/// The user that Databasus makes itself; refuses a database that has been worked with.
fn fresh_admin(session: &mut Connection, schema: &Schema) -> Result<String, FromKeyError> {
    for table in EMPTY_WHEN_FRESH {
        let some = format!("SELECT FROM public.{table} LIMIT 1");
        if schema.has_table(table) && !session.simple_query(&some)?.is_empty() {
            return Err(FromKeyError::NotFresh(table));
        }
    }
    let sql = "SELECT id::text FROM public.users WHERE role = 'ADMIN' ORDER BY created_at LIMIT 1";
    let rows = session.simple_query(sql)?;
    let admin = rows.into_iter().flatten().flatten().next();
    admin.ok_or(FromKeyError::TooEarly)
}

/// A workspace that the admin owns, and the storage in it.
fn insert(admin: &str, storage: &NewStorage, key: &SecretKey) -> String {
    let random = || Builder::from_random_bytes(rand::random()).into_uuid();
    let (workspace, id) = (random(), random());
    let sealed = |text: &str| literal(&seal_field(text, key, rand::random()));
    format!(
        "INSERT INTO public.workspaces (id, name) VALUES ('{workspace}', 'Recovered');\
         INSERT INTO public.workspace_memberships (user_id, workspace_id, role) \
         VALUES ({admin}, '{workspace}', 'WORKSPACE_OWNER');\
         INSERT INTO public.storages (id, type, name, workspace_id) \
         VALUES ('{id}', 'S3', {name}, '{workspace}');\
         INSERT INTO public.s3_storages (storage_id, s3_bucket, s3_region, s3_access_key, \
         s3_secret_key, s3_endpoint, s3_prefix, s3_use_virtual_hosted_style) \
         VALUES ('{id}', {bucket}, {region}, {access}, {secret}, {endpoint}, {prefix}, {virtual_hosted})",
        admin = literal(admin),
        name = literal(&storage.name),
        bucket = literal(&storage.bucket),
        region = literal(&storage.region),
        access = sealed(&storage.keys.access_key_id),
        secret = sealed(&storage.keys.secret_access_key),
        endpoint = nullable(storage.endpoint.as_deref()),
        prefix = literal(&storage.prefix),
        virtual_hosted = storage.virtual_hosted_style,
    )
}

/// The one bucket there is.
struct OneStorage(Arc<dyn Store>);

impl OpenStorage for OneStorage {
    fn open(&self, _: &Storage, _: &SecretKey) -> Result<Arc<dyn Store>, StorageUnavailable> {
        Ok(self.0.clone())
    }
}
