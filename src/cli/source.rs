//! The source that a configuration names, ready to be begun.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::time::SystemClock;
use crate::model::config::{Config, Reach, Source as SourceConfig, SourceMethod};
use crate::postgres::binaries::Docker;
use crate::postgres::netns::{NetnsError, container_netns};
use crate::postgres::socket::ServerAddress;
use crate::postgres::stopped::Container;
use crate::source::Source;
use crate::source::auto::auto;
use crate::source::cold::ColdSource;
use crate::source::frozen::{FrozenSettings, FrozenSource};
use crate::source::online::{OnlineSettings, OnlineSource};

use super::exit::{CliError, Exit};
use super::wire::environment;

/// Told how many bytes of the cluster have arrived.
type OnBytes = Arc<dyn Fn(u64) + Send + Sync>;

/// Builds the source of `[source]`.
pub(super) fn open(
    config: &Config,
    on_bytes: OnBytes,
    cancel: &Cancel,
) -> Result<Box<dyn Source>, CliError> {
    let source = config.source.as_ref().ok_or_else(|| {
        CliError::usage("the configuration has no [source]")
            .hint("snapshots are taken on the source's host; this box only reads")
    })?;
    let data_dir = config.resolve(&source.data_dir);
    match source.method {
        SourceMethod::Online => {
            let netns = netns(source).map_err(unreachable_namespace)?;
            Ok(online(config, source, netns, on_bytes, cancel))
        }
        SourceMethod::Cold => Ok(cold(data_dir, source, cancel)),
        SourceMethod::Frozen => Ok(frozen(data_dir, source, cancel)),
        SourceMethod::Auto => match netns(source) {
            // A stopped container has no namespace to reach a server in.
            Err(NetnsError::NotRunning(_)) => Ok(cold(data_dir, source, cancel)),
            Err(error) => Err(unreachable_namespace(error)),
            Ok(netns) => Ok(auto(
                online(config, source, netns, on_bytes, cancel),
                cold(data_dir, source, cancel),
            )),
        },
    }
}

/// The namespace, resolved anew for every run: that of a replaced container is dead.
fn netns(source: &SourceConfig) -> Result<Option<PathBuf>, NetnsError> {
    match &source.reach {
        None => Ok(None),
        Some(Reach::Netns(path)) => Ok(Some(path.clone())),
        Some(Reach::Container(name)) => container_netns(name).map(Some),
    }
}

fn unreachable_namespace(error: NetnsError) -> CliError {
    CliError::new(Exit::Failed, error).hint(
        "source.container needs root and the container engine's client; or run this in the \
         container's network namespace",
    )
}

fn online(
    config: &Config,
    source: &SourceConfig,
    netns: Option<PathBuf>,
    progress: OnBytes,
    cancel: &Cancel,
) -> Box<dyn Source> {
    let settings = OnlineSettings {
        data_dir: config.resolve(&source.data_dir),
        address: ServerAddress::Tcp {
            host: source.host.clone(),
            port: source.port.get(),
            netns,
        },
        user: source.user.clone(),
        database: source.database.clone(),
        pg_dump: source.pg_dump.as_ref().map(|path| config.resolve(path)),
        search_path: environment("PATH").unwrap_or_default().into(),
        progress,
    };
    Box::new(OnlineSource::new(
        settings,
        Arc::new(SystemClock),
        cancel.clone(),
    ))
}

fn cold(data_dir: PathBuf, source: &SourceConfig, cancel: &Cancel) -> Box<dyn Source> {
    let container = match &source.reach {
        Some(Reach::Container(name)) => docker().map(|docker| Container {
            docker,
            name: name.clone(),
        }),
        _ => None,
    };
    Box::new(ColdSource::new(
        data_dir,
        container,
        Arc::new(SystemClock),
        cancel.clone(),
    ))
}

fn frozen(data_dir: PathBuf, source: &SourceConfig, cancel: &Cancel) -> Box<dyn Source> {
    let commands = source.frozen.clone().unwrap_or_default();
    let settings = FrozenSettings {
        data_dir,
        prepare: commands.prepare.unwrap_or_default(),
        release: commands.release.unwrap_or_default(),
        environment: kept_environment(&["PATH", "HOME"]),
    };
    Box::new(FrozenSource::new(
        settings,
        Arc::new(SystemClock),
        cancel.clone(),
    ))
}

/// The container engine's client on PATH, docker before podman.
pub(super) fn docker() -> Option<Docker> {
    let path = environment("PATH")?;
    let programs = ["docker", "podman"].into_iter().flat_map(|name| {
        std::env::split_paths(&path)
            .map(move |folder| folder.join(name))
            .collect::<Vec<_>>()
    });
    let program = programs.into_iter().find(|program| program.is_file())?;
    Some(Docker {
        program,
        environment: kept_environment(&[
            "PATH",
            "HOME",
            "DOCKER_HOST",
            "DOCKER_CONTEXT",
            "DOCKER_CONFIG",
            "XDG_RUNTIME_DIR",
        ]),
    })
}

fn kept_environment(names: &[&str]) -> Vec<(OsString, OsString)> {
    let known = names
        .iter()
        .filter_map(|name| Some((name.into(), environment(name)?.into())));
    known.collect()
}
