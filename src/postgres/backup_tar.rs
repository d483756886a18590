//! The tar that `pg_basebackup` writes (PostgreSQL's `src/port/tar.c`), read more strictly than
//! any tar program does: directories and files only, no way out of the folder, and an end that
//! was really written.

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::base::entry_path::{EntryPath, UnsafePath};

const BLOCK: usize = 512;

/// Reads a tar member by member, and as [`Read`] the content of the current one.
pub struct BackupTar<R> {
    source: R,
    /// What the current member is, for errors.
    path: String,
    /// Bytes of its content that were not read yet.
    left: u64,
    /// Bytes that fill its last block.
    padding: u64,
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path below the cluster's directory.
    pub path: EntryPath,
    /// In bytes; none of a directory.
    pub size: Option<u64>,
}

/// A tar that no base backup has.
#[derive(Debug, thiserror::Error)]
pub enum BackupTarError {
    /// The stream below it failed.
    #[error("cannot read the tar")]
    Read(#[source] io::Error),
    /// It ends within a member.
    #[error("the tar ends in the middle of {0}")]
    Cut(String),
    /// It ends behind a member, without the two blocks of zeros that mark its end.
    #[error("the tar ends after {0} without its end mark")]
    NoEnd(String),
    /// Something follows the end.
    #[error("there is data behind the tar's end")]
    Behind,
    /// A header is not one.
    #[error("the header after {after} in the tar is damaged: {what}")]
    Header {
        /// The member before.
        after: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A path that could leave the folder.
    #[error(transparent)]
    UnsafePath(#[from] UnsafePath),
    /// A link, a device, or anything else that is neither file nor directory.
    #[error("{path} is a {kind}; a base backup holds files and directories only")]
    ForbiddenKind {
        /// Its path.
        path: EntryPath,
        /// What it claims to be.
        kind: &'static str,
    },
}

impl<R: Read> BackupTar<R> {
    /// Reads a tar from its beginning.
    pub fn new(source: R) -> Self {
        Self {
            source,
            path: "its beginning".to_owned(),
            left: 0,
            padding: 0,
        }
    }

    /// The next member, whatever was read of the one before; none where the tar and the stream
    /// below it have come to their end.
    pub fn next_member(&mut self) -> Result<Option<Member>, BackupTarError> {
        self.skip_rest()?;
        let Some(block) = self.block()? else {
            return Err(BackupTarError::NoEnd(self.path.clone()));
        };
        if is_zero(&block) {
            self.check_end()?;
            return Ok(None);
        }
        let member = self.member(&block)?;
        let size = member.size.unwrap_or(0);
        self.path = member.path.to_string();
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(Some(member))
    }

    fn member(&self, block: &[u8; BLOCK]) -> Result<Member, BackupTarError> {
        let damaged = |what| BackupTarError::Header {
            after: self.path.clone(),
            what,
        };
        let header = Header::from_byte_slice(block);
        if header.as_ustar().is_none() && header.as_gnu().is_none() {
            return Err(damaged("it is no ustar header"));
        }
        if header.cksum().ok() != Some(checksum(block)) {
            return Err(damaged("its checksum is wrong"));
        }
        let raw = header.path_bytes();
        let is_slashed = raw.ends_with(b"/");
        // `pg_basebackup` names the folders within pg_wal so.
        let path = EntryPath::parse(raw.strip_prefix(b"./").unwrap_or(&raw))?;
        let size = header.entry_size().map_err(|_| damaged("its size"))?;
        let size = match header.entry_type() {
            EntryType::Regular if !is_slashed => Some(size),
            EntryType::Directory if size == 0 => None,
            EntryType::Regular | EntryType::Directory => {
                return Err(damaged("neither file nor directory"));
            }
            other => {
                let kind = kind_name(other);
                return Err(BackupTarError::ForbiddenKind { path, kind });
            }
        };
        if size.is_some_and(|size| size > u64::MAX - BLOCK as u64) {
            return Err(damaged("its size"));
        }
        Ok(Member { path, size })
    }

    fn skip_rest(&mut self) -> Result<(), BackupTarError> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut self.source.by_ref().take(rest), &mut io::sink());
        if skipped.map_err(BackupTarError::Read)? < rest {
            return Err(BackupTarError::Cut(self.path.clone()));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next block; none where there is not a byte more.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, BackupTarError> {
        let mut bytes = Vec::with_capacity(BLOCK);
        let mut bounded = self.source.by_ref().take(BLOCK as u64);
        bounded
            .read_to_end(&mut bytes)
            .map_err(BackupTarError::Read)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        match bytes.try_into() {
            Ok(block) => Ok(Some(block)),
            Err(_) => Err(BackupTarError::NoEnd(self.path.clone())),
        }
    }

    /// Behind the first block of zeros there is a second one, and then nothing but zeros.
    fn check_end(&mut self) -> Result<(), BackupTarError> {
        let mut blocks = 0_u64;
        while let Some(block) = self.block()? {
            if !is_zero(&block) {
                return Err(BackupTarError::Behind);
            }
            blocks += 1;
        }
        match blocks {
            0 => Err(BackupTarError::NoEnd(self.path.clone())),
            _ => Ok(()),
        }
    }
}

/// The content of the current member. Where the tar is cut in it, that is an error.
impl<R: Read> Read for BackupTar<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(out.len(), |left| left.min(out.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut out[..wanted])?;
        if read == 0 {
            let cut = BackupTarError::Cut(self.path.clone());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// The sum of a header's bytes, its own field taken for blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let (before, rest) = block.split_at(148);
    let (_, after) = rest.split_at(8);
    let bytes = before.iter().chain(after);
    bytes.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ')
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "hard link",
        EntryType::Symlink => "symbolic link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "named pipe",
        _ => "member of an unknown kind",
    }
}

#[cfg(test)]
mod tests;
