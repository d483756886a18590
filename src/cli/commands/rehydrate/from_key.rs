//! `rehydrate --from-key`: a catalogue from the key and the bucket alone.

use std::path::Path;

use secrecy::ExposeSecret;
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::import::text as import_text;
use super::Start;
use crate::base::cancel::Cancel;
use crate::base::names::StoreName;
use crate::cli::args::{FromKey, Global, Rehydrate};
use crate::cli::exit::{CliError, Exit};
use crate::cli::hints;
use crate::cli::output::Output;
use crate::cli::programs::Wanted;
use crate::cli::progress::Progress;
use crate::cli::wire::{self, environment};
use crate::databasus::compose::{Isolation, start_instructions};
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::S3Keys;
use crate::model::store_spec::{Place, S3Place, StoreSpec};
use crate::ops::from_key::{self, NewStorage, Request};
use crate::ops::import::ImportSettings;
use crate::ops::import::report::ImportReport;
use crate::ops::stopped_instance::StoppedInstance;
use crate::store::Rights;

/// Under which name the environment holds the bucket's credentials, where none is given.
const DEFAULT_NAME: &str = "storage";

/// How to make the directory that is needed: only Databasus itself has its schema.
const MAKE_A_FRESH_ONE: &str =
    "make one with the release that is wanted, with that key in it and without a network:

  mkdir -p /srv/databasus-data
  install -m 600 secret.key /srv/databasus-data/secret.key
  docker run --detach --name databasus-fresh --network none \\
    --env IS_DISABLE_ANONYMOUS_TELEMETRY=true \\
    --mount type=bind,source=/srv/databasus-data,target=/databasus-data databasus/databasus:v3.42.0
  until docker exec databasus-fresh psql -h 127.0.0.1 -p 5437 -U postgres -d databasus \\
    -Atc 'SELECT email FROM users' | grep -q admin; do sleep 2; done
  docker stop databasus-fresh

then give --fresh /srv/databasus-data --storage 's3://BUCKET/PREFIX?endpoint=URL'";

#[derive(Serialize)]
struct Document<'a> {
    fresh: &'a Path,
    dry_run: bool,
    import: &'a ImportReport,
    start: Start,
    exit: u8,
}

pub(super) fn run(
    args: &Rehydrate,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let FromKey {
        from_key: Some(key_file),
        fresh: Some(fresh),
        storage: Some(storage),
    } = &args.from_key
    else {
        return Err(CliError::usage(
            "--from-key needs a fresh data directory of Databasus and its bucket",
        )
        .hint(MAKE_A_FRESH_ONE));
    };
    let key = std::fs::read(key_file).map_err(|error| CliError::in_file(key_file, error))?;
    let key = SecretKey::new(key).map_err(|error| CliError::in_file(key_file, error))?;
    let (spec, storage) = new_storage(storage)?;
    let store = wire::open_store(&spec, Rights::Read, &|path| path.to_owned(), cancel)?;
    let instance = StoppedInstance::open(fresh, None).map_err(hints::stopped_instance)?;
    let wanted = Wanted {
        major: instance.major(),
        pg_bin: args.pg_bin.as_deref(),
        image: args.image.as_deref(),
    };
    let progress = Progress::count(global, "objects listed:");
    let report = from_key::run(Request {
        instance: &instance,
        key: &key,
        storage: &storage,
        store,
        launcher: &wanted.launcher()?,
        settings: ImportSettings {
            assign: args.importing.decisions.assign.clone(),
            dry_run: args.dry_run,
            ..ImportSettings::default()
        },
        cancel,
        on_progress: &|reached| progress.show(reached),
    });
    drop(progress);
    let report = report.map_err(hints::from_key)?;
    tell(args, fresh, &report, output)
}

fn tell(
    args: &Rehydrate,
    fresh: &Path,
    report: &ImportReport,
    output: &Output,
) -> Result<Exit, CliError> {
    let exit = super::super::import::exit(report);
    let place = std::path::absolute(fresh)?;
    let start = start_instructions(args.image.as_deref(), None, &place, Isolation::Inert);
    let document = Document {
        fresh,
        dry_run: args.dry_run,
        import: report,
        start: Start {
            compose: start.compose_yaml,
            docker_run: start.docker_run,
        },
        exit: exit.code(),
    };
    output.result(&document, || {
        let Start {
            compose,
            docker_run,
        } = &document.start;
        format!(
            "{}\nTo start Databasus on it, compose.yaml:\n\n{compose}\nor:\n\n{docker_run}\n",
            import_text::finished(report)
        )
    })?;
    Ok(exit)
}

/// The bucket as Databasus is going to know it.
fn new_storage(argument: &str) -> Result<(StoreSpec, NewStorage), CliError> {
    let name: StoreName = DEFAULT_NAME.parse().map_err(CliError::failed)?;
    let spec = StoreSpec::parse_argument(argument, &name)
        .map_err(|error| CliError::new(Exit::Usage, error))?;
    let Place::S3(place) = &spec.place else {
        return Err(
            CliError::usage("--storage is a directory, and Databasus is to have a bucket")
                .hint("--storage 's3://BUCKET/PREFIX?endpoint=URL'; `recover` reads directories"),
        );
    };
    let storage = NewStorage {
        name: "Recovered bucket".to_owned(),
        bucket: place.bucket.clone(),
        region: place.region.clone(),
        endpoint: place.endpoint_url(),
        prefix: place.prefix.clone(),
        virtual_hosted_style: false,
        keys: keys(&spec.name, place)?,
    };
    Ok((spec, storage))
}

fn keys(name: &StoreName, place: &S3Place) -> Result<S3Keys, CliError> {
    let read_file = |path: &Path| std::fs::read_to_string(path);
    let found = place.credentials.resolve(name, &environment, &read_file);
    let found = found.map_err(hints::credentials)?;
    Ok(S3Keys {
        access_key_id: Zeroizing::new(found.access_key_id),
        secret_access_key: Zeroizing::new(found.secret_access_key.expose_secret().to_owned()),
    })
}
