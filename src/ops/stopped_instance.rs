//! A data directory on which nothing runs, worked on with a private server: what `import`,
//! `unfence` and a rehydrate from the key alone have in common.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::text::printable;
use crate::databasus::secret_key::SecretKey;
use crate::postgres::binaries::Launcher;
use crate::postgres::control_file::ControlFile;
use crate::postgres::private_server::{PrivateServer, PrivateServerError};
use crate::postgres::stopped::{Container, NotStopped, prove_stopped};
use crate::postgres::wire::{Connection, PgError};
use crate::source::data_dir::SecretKeyFile;

/// Databasus' own database.
pub const DATABASE: &str = "databasus";

/// A Databasus data directory whose server is proven to be stopped.
pub struct StoppedInstance {
    data_dir: PathBuf,
    major: u32,
    key: SecretKey,
}

/// The directory cannot be worked on; nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoppedInstanceError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// It holds no cluster.
    #[error("{} is no data directory of Databasus: {why}", path.display())]
    NotADataDir {
        /// The directory.
        path: PathBuf,
        /// What it lacks.
        why: String,
    },
    /// Something runs on it, or nobody can tell.
    #[error("Databasus has to be stopped first")]
    Running(#[from] NotStopped),
    /// Its key is missing or cannot be read.
    #[error("{} cannot be used: {why}", path.display())]
    Key {
        /// Where the key should be.
        path: PathBuf,
        /// Why it cannot be used.
        why: String,
    },
    /// PostgreSQL did not start on it, or did not stop in good order.
    #[error("PostgreSQL cannot work on {}", path.display())]
    Server {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<PrivateServerError>,
    },
    /// A session failed.
    #[error("a session with the metadata database failed")]
    Session(#[from] PgError),
}

impl StoppedInstance {
    /// Looks at the directory, and proves that nothing runs on it: by the state of `container`
    /// where one is named, else by this machine's processes.
    pub fn open(
        data_dir: &Path,
        container: Option<&Container>,
    ) -> Result<Self, StoppedInstanceError> {
        let major = major(data_dir)?;
        prove_stopped(&data_dir.join("pgdata"), container)?;
        Ok(Self {
            data_dir: data_dir.to_owned(),
            major,
            key: key(data_dir)?,
        })
    }

    /// The directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The PostgreSQL major that made its cluster: the only one that can start it.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Its `secret.key`.
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Starts a private server on it.
    pub fn start(
        &self,
        launcher: &Launcher,
        cancel: &Cancel,
    ) -> Result<Served<'_>, StoppedInstanceError> {
        let server = PrivateServer::start(launcher, &self.data_dir.join("pgdata"), cancel);
        Ok(Served {
            server: server.map_err(|source| self.failed(source))?,
            instance: self,
        })
    }

    fn failed(&self, source: PrivateServerError) -> StoppedInstanceError {
        match source {
            PrivateServerError::Interrupted(signal) => signal.into(),
            source => StoppedInstanceError::Server {
                path: self.data_dir.clone(),
                source: Box::new(source),
            },
        }
    }
}

/// An instance's cluster behind a private socket; dropping it stops the server.
pub struct Served<'i> {
    server: PrivateServer,
    instance: &'i StoppedInstance,
}

impl Served<'_> {
    /// A session with the metadata database.
    pub fn session(&self) -> Result<Connection, PgError> {
        self.server.connect(DATABASE)
    }

    /// Shuts down in good order and proves it in `pg_control`.
    pub fn stop(self) -> Result<ControlFile, StoppedInstanceError> {
        let instance = self.instance;
        self.server.stop().map_err(|source| instance.failed(source))
    }
}

fn major(data_dir: &Path) -> Result<u32, StoppedInstanceError> {
    let refused = |why: String| StoppedInstanceError::NotADataDir {
        path: data_dir.to_owned(),
        why,
    };
    let text = fs::read_to_string(data_dir.join("pgdata/PG_VERSION"));
    let text = text.map_err(|error| refused(format!("pgdata/PG_VERSION: {error}")))?;
    let major = text.trim().parse();
    major.map_err(|_| {
        refused(format!(
            "pgdata/PG_VERSION says {:?}",
            printable(text.trim())
        ))
    })
}

fn key(data_dir: &Path) -> Result<SecretKey, StoppedInstanceError> {
    let refused = |why: String| StoppedInstanceError::Key {
        path: data_dir.join("secret.key"),
        why,
    };
    let file = SecretKeyFile::read(data_dir).map_err(|error| refused(error.to_string()))?;
    match file {
        SecretKeyFile::Present(bytes) => {
            let key = SecretKey::new(bytes.expose_secret().to_vec());
            key.map_err(|empty| refused(empty.to_string()))
        }
        SecretKeyFile::Absent => Err(refused("it does not exist".to_owned())),
        SecretKeyFile::Empty => Err(refused("it is empty".to_owned())),
        SecretKeyFile::Unreadable(why) => Err(refused(why.to_string())),
    }
}
