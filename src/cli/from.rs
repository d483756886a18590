//! The storage of Databasus that `--from` names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::names::StoreName;
use crate::cli::exit::{CliError, Exit};
use crate::cli::wire;
use crate::model::store_spec::{Place, StoreSpec};
use crate::store::{Rights, Store};

/// Opens it. A path is a directory of objects, as the `backups` folder of
/// a data directory is.
pub(super) fn open(from: &str, cancel: &Cancel) -> Result<Arc<dyn Store>, CliError> {
    let default_name: StoreName = "from"
        .parse()
        .map_err(|error| CliError::new(Exit::Usage, error))?;
    let is_address = from.starts_with("dir:") || from.contains("s3://") || from.contains("=dir:");
    let spec = match is_address {
        true => StoreSpec::parse_argument(from, &default_name)
            .map_err(|error| CliError::new(Exit::Usage, error))?,
        false => StoreSpec {
            name: default_name,
            required: true,
            provider: None,
            lock: None,
            place: Place::Dir {
                path: PathBuf::from(from),
            },
        },
    };
    if let Place::Dir { path } = &spec.place
        && !path.is_dir()
    {
        return Err(
            CliError::usage(format!("there is no directory {}", path.display()))
                .hint("--from takes a directory of objects, or s3://BUCKET/PREFIX?endpoint=URL"),
        );
    }
    wire::open_store(&spec, Rights::Read, &Path::to_path_buf, cancel)
}
