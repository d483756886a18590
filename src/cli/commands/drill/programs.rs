//! The PostgreSQLs of this host, one for each major that is brought back.

use std::path::{Path, PathBuf};

use crate::base::text::printable;
use crate::cli::exit::{CliError, Exit};
use crate::cli::programs::Wanted;
use crate::model::manifest::Manifest;
use crate::ops::drill::FindPrograms;
use crate::postgres::binaries::Launcher;

/// Where they are looked for: in these folders, then where they usually are.
pub(super) struct Programs<'a> {
    folders: &'a [PathBuf],
}

impl<'a> Programs<'a> {
    pub(super) fn new(folders: &'a [PathBuf]) -> Self {
        Self { folders }
    }

    /// The one that the metadata needs, without which there is no drill.
    pub(super) fn metadata(&self, manifest: &Manifest) -> Result<Launcher, CliError> {
        let recorded = &manifest.source.pg_version;
        let digits = recorded.split(|c: char| !c.is_ascii_digit()).next();
        let major = digits.and_then(|digits| digits.parse().ok());
        let major = major.ok_or_else(|| {
            let recorded = printable(recorded);
            CliError::usage(format!(
                "the manifest names PostgreSQL {recorded:?}, which is no version"
            ))
        })?;
        let image = manifest.source.image.as_deref();
        let found = self.first(|pg_bin| {
            let wanted = Wanted {
                major,
                pg_bin,
                image,
            };
            wanted.launcher()
        });
        found.map_err(|error| CliError {
            exit: Exit::Refused,
            ..error
        })
    }

    /// The first folder that has it, else the usual places.
    fn first(
        &self,
        find: impl Fn(Option<&Path>) -> Result<Launcher, CliError>,
    ) -> Result<Launcher, CliError> {
        let mut given = self.folders.iter();
        let found = given.find_map(|folder| find(Some(folder)).ok());
        found.map_or_else(|| find(None), Ok)
    }
}

impl FindPrograms for Programs<'_> {
    fn exactly(&self, major: u32) -> Result<Launcher, String> {
        let image = format!("postgres:{major}");
        let found = self.first(|pg_bin| {
            let wanted = Wanted {
                major,
                pg_bin,
                image: Some(&image),
            };
            wanted.launcher()
        });
        found.map_err(|error| error.message)
    }

    fn at_least(&self, major: u32) -> Result<Launcher, String> {
        let found = self.first(|pg_bin| {
            let wanted = Wanted {
                major,
                pg_bin,
                image: None,
            };
            wanted.launcher_or_later()
        });
        found.map_err(|error| error.message)
    }
}
