//! What commands on a stopped data directory are told.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// A data directory on which nothing runs, and what it takes to work on it.
#[derive(Clone, Debug, ClapArgs)]
pub struct StoppedDirectory {
    /// A data directory of Databasus, on which nothing runs
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Credentials for Databasus' storages, where those in its metadata are blank or no longer
    /// valid: from `ESCROW_<NAME>_ACCESS_KEY_ID` and `ESCROW_<NAME>_SECRET_ACCESS_KEY`; for one
    /// storage alone: STORAGE=NAME; repeatable
    #[arg(long, value_name = "[STORAGE=]NAME")]
    pub read_only_credentials: Vec<String>,
    /// The container that mounts the directory: that it has exited proves that nothing runs
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Folder of PostgreSQL's programs, of the directory's major
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Databasus image to run PostgreSQL from
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
}
