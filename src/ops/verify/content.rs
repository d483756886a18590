//! What is inside an escrow, read once: every hash of its index, its key, and what the key proves.

use std::io::{self, Read};

use crate::base::cancel::Interrupted;
use crate::base::entry_path::EntryPath;
use crate::base::error_chain::error_chain;
use crate::databasus::logical_copy::LogicalCopy;
use crate::databasus::secret_key::{EmptyKey, SecretKey};
use crate::model::manifest::Manifest;
use crate::model::proof::{Level, Outcome};
use crate::ops::proof::{self, Catalogue, Copied, Report};
use crate::postgres::archive_rows::ArchiveRows;
use crate::sealing::payload::{DATA_DIR, DUMP_DIR};
use crate::sealing::unpack::EntryVisitor;

use super::Ports;

/// Far more than any key has.
const MAX_KEY_BYTES: u64 = 64 << 10;

/// Reads everything, and keeps the key and what a proof needs: the unpacker compares hashes as it
/// goes. The logical copy goes through `pg_restore` on its way.
pub(super) struct Content<'a> {
    ports: &'a Ports<'a>,
    key: Option<SecretKey>,
    rows: Option<Result<ArchiveRows<LogicalCopy>, String>>,
}

impl<'a> Content<'a> {
    pub(super) fn new(ports: &'a Ports<'a>) -> Self {
        Self {
            ports,
            key: None,
            rows: None,
        }
    }

    /// What the key proves, after everything was read.
    pub(super) fn prove(self, manifest: &Manifest) -> Result<Report, Interrupted> {
        let ports = &self.ports;
        let wanted = ports.proof.wanted;
        let Some(key) = self.key else {
            return Ok(proof::without_key(wanted));
        };
        let found = key.key_id(&manifest.instance.slug).to_string();
        let request = proof::Request {
            key: &key,
            key_id: match found == manifest.secret_key_id {
                true => Outcome::Proven,
                false => Outcome::Failed,
            },
            storages: ports.proof.storages,
            wanted,
            catalogue: Catalogue::Past,
            restore_tool: ports.proof.restore_tool,
            cancel: ports.cancel,
        };
        let none = || Err("the escrow holds no logical copy to read the metadata from".to_owned());
        let rows = self.rows.unwrap_or_else(none);
        let copied = rows.and_then(|rows| copied(rows, ports));
        proof::prove_copy(copied, &request)
    }

    fn keep_key(&mut self, size: u64, content: &mut dyn Read) -> io::Result<()> {
        if size > MAX_KEY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // With room for all of it: a buffer that grows leaves unwiped copies behind.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        content.read_to_end(&mut bytes)?;
        self.key = SecretKey::new(bytes).ok();
        Ok(())
    }

    /// The way for the logical copy, begun with its first piece; none where nobody wants it.
    fn rows(&mut self) -> Option<&mut ArchiveRows<LogicalCopy>> {
        if self.rows.is_none() && self.ports.proof.wanted > Level::KeyId {
            self.rows = Some(self.start_rows());
        }
        self.rows.as_mut()?.as_mut().ok()
    }

    fn start_rows(&self) -> Result<ArchiveRows<LogicalCopy>, String> {
        let key = self
            .key
            .as_ref()
            .ok_or("there is no secret.key before it")?;
        let key = SecretKey::new(key.expose().to_vec());
        let key = key.map_err(|EmptyKey| EmptyKey.to_string())?;
        let tool = self.ports.proof.restore_tool;
        let tool = tool.ok_or("no pg_restore was found to read the logical copy with")?;
        ArchiveRows::start(tool, LogicalCopy::new(key)).map_err(|error| error_chain(&error))
    }
}

fn copied(rows: ArchiveRows<LogicalCopy>, ports: &Ports<'_>) -> Result<Copied, String> {
    let copy = rows.finish(ports.cancel);
    let copy = copy.map_err(|error| error_chain(&error))?;
    Ok(Copied {
        fields: copy.fields().clone(),
        storages: copy.storages().map_err(|error| error_chain(&error))?,
        backups: copy.backups().map_err(|error| error_chain(&error))?,
    })
}

impl EntryVisitor for Content<'_> {
    fn directory(&mut self, _: &EntryPath, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn file(
        &mut self,
        path: &EntryPath,
        _: u32,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        if path.below(DATA_DIR) == Some("secret.key") {
            return self.keep_key(size, content);
        }
        let copy = path.below(DUMP_DIR).and_then(|_| self.rows());
        match copy {
            Some(rows) => io::copy(content, rows).map(drop),
            None => io::copy(content, &mut io::sink()).map(drop),
        }
    }
}
