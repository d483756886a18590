//! From configuration and arguments to ports: stores, trust, the source.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::digest::{Digest, HashingWriter};
use crate::base::names::Slug;
use crate::base::time::{Clock, SystemClock};
use crate::model::allowed_signers::AllowedSigners;
use crate::model::audit::facts::{Facts, Seen};
use crate::model::config::Config;
use crate::model::finding::{Severity, worst};
use crate::model::mark::Mark;
#[cfg(feature = "s3")]
use crate::model::store_spec::{CredentialsSource, S3Place};
use crate::model::store_spec::{Place, StoreSpec};
use crate::model::trust::Trust;
use crate::ops::audit::{HeadRequest, look_at_head};
use crate::ops::card;
use crate::ops::destination::{BucketAccess, Destination};
use crate::ops::history::{History, Request};
use crate::ops::state::State;
use crate::store::absent::AbsentStore;
use crate::store::dir::DirStore;
#[cfg(feature = "s3")]
use crate::store::s3::{Patience, S3Settings, S3Store, Temporary};
use crate::store::{Rights, Store};

use super::args::{Global, Reading};
use super::exit::{CliError, Exit};
use super::hints;
use super::output::Output;

/// Where a configuration is looked for when none is named.
const CONFIG_PLACES: [&str; 2] = ["escrow.toml", "/etc/databasus-escrow/escrow.toml"];

/// The environment, which nothing below this floor looks at.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration that is named or found; none where there is none to be found.
pub(super) fn find_config(global: &Global) -> Result<Option<Config>, CliError> {
    let found = CONFIG_PLACES.iter().map(Path::new);
    let path = match &global.config {
        Some(path) => Some(path.as_path()),
        None => found.into_iter().find(|path| path.exists()),
    };
    path.map(read_config).transpose()
}

/// The configuration, which must exist.
pub(super) fn need_config(global: &Global) -> Result<Config, CliError> {
    find_config(global)?.ok_or_else(|| {
        CliError::usage(format!(
            "there is no configuration: neither {}",
            CONFIG_PLACES.join(" nor ")
        ))
        .hint("name it with --config, or make one with `databasus-escrow init`")
    })
}

fn read_config(path: &Path) -> Result<Config, CliError> {
    let text = read_text(path)?;
    let base = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Config::parse(&text, base).map_err(|error| {
        CliError::in_file(path, error).hint(
            "every key, its default and its meaning stand in the escrow.toml that \
             `databasus-escrow init` writes",
        )
    })
}

/// Reads a file of the configuration.
pub(super) fn read_text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| {
        CliError::usage(format!("cannot read {}: {error}", path.display()))
            .hint("check the path and its permissions; the configuration may name it")
    })
}

/// How long a place is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// It is looked at, and what it holds is not needed.
    Look,
    /// It holds what the work is about, or is to hold it.
    Need,
}

#[cfg(feature = "s3")]
impl Haste {
    pub(super) fn patience(self) -> Patience {
        match self {
            Self::Look => Patience::brief(),
            Self::Need => Patience::default(),
        }
    }
}

/// Opens a store, for no more than these rights where its credentials can be narrowed.
pub(super) fn open_store(
    spec: &StoreSpec,
    rights: Rights,
    base: &dyn Fn(&Path) -> PathBuf,
    cancel: &Cancel,
) -> Result<Arc<dyn Store>, CliError> {
    open_in(Haste::Need, spec, rights, base, cancel)
}

/// The same, waited for so long.
pub(super) fn open_in(
    haste: Haste,
    spec: &StoreSpec,
    rights: Rights,
    base: &dyn Fn(&Path) -> PathBuf,
    cancel: &Cancel,
) -> Result<Arc<dyn Store>, CliError> {
    let place = match &spec.place {
        Place::Dir { path } => return Ok(open_dir(spec, base(path))),
        Place::S3(place) => place,
    };
    #[cfg(feature = "s3")]
    {
        let settings = settings(spec, place, rights, base)?;
        let name = spec.name.clone();
        let store = S3Store::open_with(name, settings, haste.patience(), cancel.clone());
        Ok(Arc::new(store.map_err(hints::store)?))
    }
    #[cfg(not(feature = "s3"))]
    {
        let _ = (haste, place, rights, cancel);
        Err(no_buckets(spec))
    }
}

/// A directory that is not there counts as a bucket that does not answer: the others may be
/// enough.
fn open_dir(spec: &StoreSpec, root: PathBuf) -> Arc<dyn Store> {
    match DirStore::open(spec.name.clone(), root.clone()) {
        Ok(store) => Arc::new(store),
        Err(error) => Arc::new(AbsentStore::new(root.display().to_string(), &error)),
    }
}

#[cfg(feature = "s3")]
fn settings(
    spec: &StoreSpec,
    place: &S3Place,
    rights: Rights,
    base: &dyn Fn(&Path) -> PathBuf,
) -> Result<S3Settings, CliError> {
    let read_file = |path: &Path| std::fs::read_to_string(base(path));
    let credentials = place
        .credentials
        .resolve(&spec.name, &environment, &read_file)
        .map_err(hints::credentials)?;
    Ok(S3Settings {
        bucket: place.bucket.clone(),
        prefix: place.prefix.clone(),
        endpoint: place.endpoint_url(),
        region: place.region.clone(),
        path_style: place.path_style,
        access_key_id: credentials.access_key_id,
        secret_access_key: credentials.secret_access_key,
        session_token: credentials.session_token,
        temporary: match &place.credentials {
            CredentialsSource::R2Token {
                account_id,
                temporary: true,
                ..
            } => Some(Temporary {
                account_id: account_id.clone(),
                rights,
            }),
            _ => None,
        },
    })
}

#[cfg(not(feature = "s3"))]
fn no_buckets(spec: &StoreSpec) -> CliError {
    CliError::usage(format!(
        "store {} is a bucket, and this build knows directories only",
        spec.name
    ))
    .hint("copy the bucket into a directory and name it as dir:/PATH")
}

/// The stores of a configuration, for writing, or for deleting too.
pub(super) fn destinations(
    config: &Config,
    rights: Rights,
    cancel: &Cancel,
) -> Result<Vec<Destination>, CliError> {
    let base = |path: &Path| config.resolve(path);
    config
        .stores
        .iter()
        .map(|spec| {
            Ok(Destination {
                store: open_store(spec, rights, &base, cancel)?,
                provider: provider(spec),
                bucket: bucket(spec),
                access: access(spec, &base),
                required: spec.required,
                lock: spec.lock,
            })
        })
        .collect()
}

fn provider(spec: &StoreSpec) -> String {
    let kind = match spec.place {
        Place::Dir { .. } => "dir",
        Place::S3(_) => "s3",
    };
    spec.provider.clone().unwrap_or_else(|| kind.to_owned())
}

fn bucket(spec: &StoreSpec) -> Option<String> {
    match &spec.place {
        Place::Dir { .. } => None,
        Place::S3(place) => Some(place.bucket.clone()),
    }
}

/// Who asks for a bucket, and where; none for a directory, and where no credentials are found:
/// opening the store says so.
fn access(spec: &StoreSpec, base: &dyn Fn(&Path) -> PathBuf) -> Option<BucketAccess> {
    let Place::S3(place) = &spec.place else {
        return None;
    };
    let read_file = |path: &Path| std::fs::read_to_string(base(path));
    let credentials = place
        .credentials
        .resolve(&spec.name, &environment, &read_file);
    Some(BucketAccess {
        endpoint: place.endpoint_url(),
        bucket: place.bucket.clone(),
        access_key_id: credentials.ok()?.access_key_id,
    })
}

/// Stores from the command line.
pub(super) fn parse_stores(arguments: &[String]) -> Result<Vec<StoreSpec>, CliError> {
    let mut specs: Vec<StoreSpec> = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        let default_name = format!("store{}", index + 1)
            .parse()
            .map_err(|error| CliError::new(Exit::Usage, error))?;
        let spec = StoreSpec::parse_argument(argument, &default_name)
            .map_err(|error| CliError::new(Exit::Usage, error))?;
        if specs.iter().any(|other| other.name == spec.name) {
            return Err(
                CliError::usage(format!("two stores are named {}", spec.name))
                    .hint("give each a name of its own: --store NAME=s3://…"),
            );
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// A reader's view of one instance.
pub(super) struct Reader {
    /// Whose chain.
    pub(super) slug: Slug,
    /// Stores that could be opened.
    pub(super) stores: Vec<Arc<dyn Store>>,
    /// The configuration, where there is one.
    pub(super) config: Option<Config>,
    /// The same stores as somebody on another box gives them to `--store`.
    pub(super) store_arguments: Vec<String>,
    trust: Trust,
    given_mark: Option<Mark>,
    up_to: Option<u64>,
    state: Option<State>,
}

impl Reader {
    /// Puts together what the arguments and the configuration give; arguments win.
    pub(super) fn open(
        reading: &Reading,
        global: &Global,
        cancel: &Cancel,
    ) -> Result<Self, CliError> {
        // Stores on the command line are for boxes without a configuration; one that happens
        // to lie around must not mix into them.
        let config = match (&global.config, reading.stores.is_empty()) {
            (None, false) => None,
            _ => find_config(global)?,
        };
        let slug = instance(reading, config.as_ref())?;
        let specs = match reading.stores.as_slice() {
            [] => config.as_ref().map_or_else(Vec::new, |c| c.stores.clone()),
            arguments => parse_stores(arguments)?,
        };
        if specs.is_empty() {
            return Err(no_configuration());
        }
        // A path on the command line starts where the command is typed.
        let base = |path: &Path| match &config {
            Some(config) if reading.stores.is_empty() => config.resolve(path),
            _ => path.to_owned(),
        };
        let stores = specs
            .iter()
            .map(|spec| open_store(spec, Rights::Read, &base, cancel))
            .collect::<Result<_, _>>()?;
        let store_arguments = match (reading.stores.as_slice(), &config) {
            ([], Some(config)) => card::store_arguments(config),
            (given, _) => given.to_vec(),
        };
        Ok(Self {
            slug,
            stores,
            store_arguments,
            trust: trust(reading, config.as_ref())?,
            given_mark: reading.mark,
            up_to: reading.up_to,
            state: config
                .as_ref()
                .map(|config| State::new(config.resolve(&config.state.dir))),
            config,
        })
    }

    /// Reads and judges the chain; checks first, then remembers the mark.
    pub(super) fn history(&self, output: &Output, cancel: &Cancel) -> Result<History, CliError> {
        Ok(self.history_since(output, cancel)?.0)
    }

    /// The same, with the newest manifest that was known before; none at first contact.
    pub(super) fn history_since(
        &self,
        output: &Output,
        cancel: &Cancel,
    ) -> Result<(History, Option<Mark>), CliError> {
        let marks = self.marks()?;
        let mark = marks.iter().max_by_key(|mark| mark.seq).copied();
        let mut history = History::read(Request {
            slug: &self.slug,
            stores: &self.stores,
            trust: self.trust.clone(),
            mark,
            since_mark: false,
            up_to: self.up_to,
            now: SystemClock.now(),
            cancel,
        })
        .map_err(hints::history)?;
        for mark in &marks {
            history.hold_against(mark);
        }
        if mark.is_none() {
            say_first_contact(output);
        }
        if worst(&history.findings) < Some(Severity::Violation) {
            self.remember(history.mark(), output);
        }
        Ok((history, mark))
    }

    /// A look at the newest manifest alone; checks first, then remembers the mark.
    pub(super) fn head(&self, output: &Output) -> Result<Facts, CliError> {
        let mark = self.marks()?.into_iter().max_by_key(|mark| mark.seq);
        if mark.is_none() {
            say_first_contact(output);
        }
        let facts = look_at_head(&HeadRequest {
            slug: &self.slug,
            stores: &self.stores,
            trust: &self.trust,
            mark,
            now: SystemClock.now(),
        });
        if let Seen::Known(chain) = &facts.chain
            && worst(&chain.findings) < Some(Severity::Violation)
            && (mark.is_none() || facts.reached == Seen::Known(()))
        {
            self.remember(chain.head.as_ref().map(|head| head.mark), output);
        }
        Ok(facts)
    }

    fn remember(&self, seen: Option<Mark>, output: &Output) {
        if let (Some(state), Some(mark)) = (&self.state, seen)
            && let Err(error) = state.raise_seen(&self.slug, mark)
        {
            output.remark(&format!("the mark could not be kept: {error}"));
        }
    }

    /// What was given, what this host committed, and what was seen from here.
    fn marks(&self) -> Result<Vec<Mark>, CliError> {
        let (committed, seen) = match &self.state {
            None => (None, None),
            Some(state) => (
                state.mark(&self.slug).map_err(CliError::failed)?,
                state.seen(&self.slug).map_err(CliError::failed)?,
            ),
        };
        let marks = [self.given_mark, committed, seen].into_iter().flatten();
        Ok(marks.collect())
    }
}

fn say_first_contact(output: &Output) {
    output.remark(
        "first contact: nothing known here protects against a rollback; compare the newest \
         sequence number with the trust card, or give it as --mark",
    );
}

pub(super) fn instance(reading: &Reading, config: Option<&Config>) -> Result<Slug, CliError> {
    match (&reading.instance, config) {
        (Some(slug), _) => Ok(slug.clone()),
        (None, Some(config)) => Ok(config.instance.clone()),
        (None, None) if reading.stores.is_empty() => Err(no_configuration()),
        (None, None) => Err(CliError::usage("--instance is missing")
            .hint("the trust card names the instance; it is also the first folder in the store")),
    }
}

fn no_configuration() -> CliError {
    CliError::usage("there is neither a configuration nor a --store")
        .hint("on an empty box give --instance, --store and --trust as the trust card has them")
}

fn trust(reading: &Reading, config: Option<&Config>) -> Result<Trust, CliError> {
    let from_config = config.map(|config| config.resolve(&config.trust.allowed_signers));
    let named = reading.allowed_signers.clone();
    let file = match (named, from_config) {
        (Some(file), _) => Some(file),
        // A drill box may have a configuration and a card, but no file of signers.
        (None, Some(file)) if reading.trust.is_empty() || file.exists() => Some(file),
        _ => None,
    };
    let allowed = match &file {
        None => AllowedSigners::default(),
        Some(file) => AllowedSigners::parse(&read_text(file)?)
            .map_err(|error| hints::allowed_signers(file, error))?,
    };
    if file.is_none() && reading.trust.is_empty() {
        return Err(
            CliError::usage("it is not said whose signatures to trust").hint(
                "give --trust SHA256:… with the signer fingerprint on the trust card, or \
                 --allowed-signers FILE",
            ),
        );
    }
    Ok(Trust::new(allowed, reading.trust.clone()))
}

/// Says so when a private file is readable by others.
pub(super) fn warn_if_shared(file: &Path) {
    use std::os::unix::fs::MetadataExt;
    let shared = std::fs::metadata(file).is_ok_and(|meta| meta.mode() & 0o077 != 0);
    if shared {
        let file = file.display();
        tracing::warn!("{file} is open to others than its owner; chmod 600 closes it");
    }
}

/// Digest of the running program, for the trust card; none where it cannot be read.
pub(super) fn own_digest() -> Option<Digest> {
    let mut program = std::fs::File::open(std::env::current_exe().ok()?).ok()?;
    let mut hashing = HashingWriter::new(std::io::sink());
    std::io::copy(&mut program, &mut hashing).ok()?;
    Some(hashing.finish().1)
}
