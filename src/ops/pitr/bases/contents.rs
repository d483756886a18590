//! From a tar to files, each compared with the backup's manifest on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::base::entry_path::EntryPath;
use crate::base::file_error::{FileError, failed};
use crate::base::text::printable;
use crate::postgres::backup_manifest::{
    BackupManifest, ChecksumAlgorithm, Checksummer, FileRecord, MAX_MANIFEST_BYTES, ManifestError,
    Mismatch,
};
use crate::postgres::backup_tar::{BackupTar, BackupTarError, Member};
use crate::target::behind::{Syncs, WriteBehind};
use crate::target::ownership::{POSTGRES, give, new_file};

use super::BasesError;
use super::damage::Damage;

/// PostgreSQL's own list, in the tar of a base of `WAL_V1` alone.
pub(super) const MANIFEST_FILE: &str = "backup_manifest";

const TABLESPACE_MAP: &str = "tablespace_map";

/// The most of a `tablespace_map` that is read, in bytes: some hundred tablespaces.
const MAX_MAP_BYTES: u64 = 64 << 10;

/// What a tar is held against.
pub(super) enum Expected<'a> {
    /// The manifest that was read before.
    Listed(&'a BackupManifest),
    /// The manifest at its end. Until then files are summed with PostgreSQL's default.
    Inside,
}

impl Expected<'_> {
    fn algorithm(&self, path: &str) -> Result<ChecksumAlgorithm, Mismatch> {
        match self {
            Self::Listed(manifest) => {
                let listed = manifest.listed(path)?;
                Ok(listed.map_or(ChecksumAlgorithm::None, |file| file.checksum.algorithm()))
            }
            Self::Inside => Ok(ChecksumAlgorithm::Crc32c),
        }
    }
}

/// What was in a tar.
pub(super) struct Contents {
    /// Every file but the manifest.
    pub(super) files: BTreeMap<String, FileRecord>,
    /// Bytes of files that were written.
    pub(super) written: u64,
    /// The manifest, where it was in the tar.
    pub(super) manifest: Option<Vec<u8>>,
}

/// Reads a tar to its end and the stream below it to its own, and makes what is in it below
/// `folder`. Everything has been written when this returns.
pub(super) fn take(
    stream: impl Read,
    name: &str,
    folder: &Path,
    expected: &Expected<'_>,
    syncs: Syncs,
) -> Result<Contents, BasesError> {
    let behind = WriteBehind::start(folder, syncs).map_err(failed("write below", folder));
    let mut taker = Taker {
        name,
        folder,
        expected,
        behind: behind.map_err(|error| BasesError::writing(name, error))?,
        directories: BTreeSet::new(),
        contents: Contents {
            files: BTreeMap::new(),
            written: 0,
            manifest: None,
        },
    };
    let mut tar = BackupTar::new(stream);
    while let Some(member) = tar.next_member().map_err(|error| taker.tar(error))? {
        taker.member(&member, &mut tar)?;
    }
    taker.finish()
}

struct Taker<'a> {
    name: &'a str,
    folder: &'a Path,
    expected: &'a Expected<'a>,
    behind: WriteBehind,
    directories: BTreeSet<String>,
    contents: Contents,
}

impl Taker<'_> {
    fn member(
        &mut self,
        member: &Member,
        tar: &mut BackupTar<impl Read>,
    ) -> Result<(), BasesError> {
        let path = member.path.as_str();
        if path.starts_with("pg_tblspc/") {
            return Err(self.tablespaces(member.path.to_string()));
        }
        if self.contents.manifest.is_some() {
            return Err(self.damaged(Damage::NoManifest));
        }
        if self.contents.files.contains_key(path) || self.directories.contains(path) {
            return Err(self.damaged(Damage::Duplicate(member.path.clone())));
        }
        match (member.size, self.expected) {
            (None, _) => self.directory(path),
            (Some(size), Expected::Inside) if path == MANIFEST_FILE => self.manifest(size, tar),
            (Some(_), _) => self.file(&member.path, tar),
        }
    }

    fn directory(&mut self, path: &str) -> Result<(), BasesError> {
        let place = self.folder.join(path);
        let made = new_directory(&place).map_err(failed("make", &place));
        made.map_err(|error| self.writing(error))?;
        self.directories.insert(path.to_owned());
        Ok(())
    }

    fn file(&mut self, path: &EntryPath, tar: &mut BackupTar<impl Read>) -> Result<(), BasesError> {
        let algorithm = self.expected.algorithm(path.as_str());
        let algorithm = algorithm.map_err(|mismatch| self.mismatch(mismatch))?;
        let mut content = Content::new(tar, algorithm);
        if path.as_str() == TABLESPACE_MAP {
            self.tablespace_map(&mut content)?;
        } else {
            self.write(path.as_str(), &mut content)?;
        }
        let record = content.finish();
        if let Expected::Listed(manifest) = self.expected {
            let compared = manifest.compare_file(path.as_str(), &record);
            compared.map_err(|mismatch| self.mismatch(mismatch))?;
        }
        self.contents.written += record.size;
        self.contents.files.insert(path.as_str().to_owned(), record);
        Ok(())
    }

    fn write(
        &mut self,
        path: &str,
        content: &mut Content<'_, impl Read>,
    ) -> Result<(), BasesError> {
        let place = self.folder.join(path);
        let file = new_file(&place).map_err(failed("create", &place));
        let file = file.map_err(|error| self.writing(error))?;
        let settle = Box::new(|file: &File| give(file, POSTGRES));
        let written = self.behind.file(&place, file, content, settle);
        written.map_err(|error| match content.failed {
            true => self.content(error),
            false => self.writing(failed("write", &place)(error)),
        })
    }

    /// It is checked and not written: an empty one says nothing, and a server that finds one
    /// looks for tablespaces.
    fn tablespace_map(&mut self, content: &mut Content<'_, impl Read>) -> Result<(), BasesError> {
        let mut map = Vec::new();
        let read = content.take(MAX_MAP_BYTES).read_to_end(&mut map);
        read.map_err(|error| self.content(error))?;
        if map.is_empty() {
            return Ok(());
        }
        // `16385 /srv/fast`, one on each line.
        let text = String::from_utf8_lossy(&map);
        let lines: Vec<_> = text.lines().map(printable).collect();
        Err(self.tablespaces(lines.join(", ")))
    }

    fn manifest(&mut self, size: u64, tar: &mut BackupTar<impl Read>) -> Result<(), BasesError> {
        if size > MAX_MANIFEST_BYTES {
            return Err(BasesError::Manifest {
                name: self.name.to_owned(),
                source: ManifestError::TooLarge,
            });
        }
        let mut bytes = Vec::new();
        let read = tar.read_to_end(&mut bytes);
        read.map_err(|error| self.content(error))?;
        self.contents.manifest = Some(bytes);
        Ok(())
    }

    fn finish(mut self) -> Result<Contents, BasesError> {
        let written = self.behind.finish();
        written.map_err(|error| self.writing(failed("write below", self.folder)(error)))?;
        Ok(self.contents)
    }

    fn tablespaces(&self, which: String) -> BasesError {
        BasesError::Tablespaces {
            name: self.name.to_owned(),
            which,
        }
    }

    fn mismatch(&self, source: Mismatch) -> BasesError {
        BasesError::Mismatch {
            name: self.name.to_owned(),
            source,
        }
    }

    fn damaged(&self, source: Damage) -> BasesError {
        BasesError::Damaged {
            name: self.name.to_owned(),
            source,
        }
    }

    fn tar(&self, error: BackupTarError) -> BasesError {
        match error {
            BackupTarError::ForbiddenKind { path, .. } if path.below("pg_tblspc").is_some() => {
                self.tablespaces(path.to_string())
            }
            error => self.damaged(error.into()),
        }
    }

    /// Of a failed read of a member: the tar is cut, or what is below it failed.
    fn content(&self, error: io::Error) -> BasesError {
        let error = match error.downcast::<BackupTarError>() {
            Ok(error) => error,
            Err(error) => BackupTarError::Read(error),
        };
        self.damaged(error.into())
    }

    fn writing(&self, error: FileError) -> BasesError {
        BasesError::writing(self.name, error)
    }
}

/// Makes a directory that was not there, for PostgreSQL's user alone.
pub(super) fn new_directory(place: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(place)?;
    give(&File::open(place)?, POSTGRES)
}

/// The content of a member, summed as it goes by.
struct Content<'a, R> {
    tar: &'a mut BackupTar<R>,
    checksummer: Checksummer,
    size: u64,
    /// Whether reading failed, and not what was done with it.
    failed: bool,
}

impl<'a, R: Read> Content<'a, R> {
    fn new(tar: &'a mut BackupTar<R>, algorithm: ChecksumAlgorithm) -> Self {
        Self {
            tar,
            checksummer: Checksummer::new(algorithm),
            size: 0,
            failed: false,
        }
    }

    fn finish(self) -> FileRecord {
        FileRecord {
            size: self.size,
            checksum: self.checksummer.finish(),
        }
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.tar.read(out);
        match &read {
            Ok(count) => {
                self.checksummer.update(&out[..*count]);
                self.size += *count as u64;
            }
            Err(_) => self.failed = true,
        }
        read
    }
}

/// Sums files that lie in `folder` once more, where the manifest names another kind of checksum
/// than was expected.
pub(super) fn sum_again(
    manifest: &BackupManifest,
    files: &mut BTreeMap<String, FileRecord>,
    folder: &Path,
) -> Result<(), FileError> {
    for (path, found) in files.iter_mut() {
        let listed = manifest.files.get(path);
        let algorithm = listed.map_or(ChecksumAlgorithm::None, |file| file.checksum.algorithm());
        if algorithm == ChecksumAlgorithm::None || algorithm == found.checksum.algorithm() {
            continue;
        }
        if path == TABLESPACE_MAP {
            // It was empty, and is not there.
            found.checksum = Checksummer::new(algorithm).finish();
            continue;
        }
        let place = folder.join(path);
        *found = sum(&place, algorithm).map_err(failed("read", &place))?;
    }
    Ok(())
}

fn sum(place: &Path, algorithm: ChecksumAlgorithm) -> io::Result<FileRecord> {
    let mut file = File::open(place)?;
    let mut checksummer = Checksummer::new(algorithm);
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => {
                checksummer.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
    let checksum = checksummer.finish();
    Ok(FileRecord { size, checksum })
}
