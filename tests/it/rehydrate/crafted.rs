//! Payloads that this tool would never write, sealed and indexed as if it had: a host that was
//! taken over can sign anything.

use std::io::Write;

use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::names::EscrowId;
use databasus_escrow::base::time::UtcTime;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::model::index::{self, EntryKind, Index, IndexEntry};
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::{
    self, Custody, CustodyMode, Instance, Kind, Manifest, Payload, Source, Tool,
};
use databasus_escrow::model::method::Method;
use databasus_escrow::sealing::parts::{PartSink, PartWriter, SealedPart};
use tar::EntryType;

use super::KEYS;
use crate::support::escrowing::Escrowing;

const PART: usize = 64 << 10;

/// A tar in the making, with an index that tells the truth about it.
pub struct Crafted {
    tar: Vec<u8>,
    pub index: Index,
    pub window_log: u32,
}

impl Crafted {
    /// What no payload can do without: a key, and a folder for the cluster.
    pub fn minimal() -> Self {
        let mut crafted = Self::empty();
        crafted.directory("databasus-data");
        crafted.file("databasus-data/secret.key", 0o600, KEYS[0]);
        crafted.directory("databasus-data/pgdata");
        crafted
    }

    /// Nothing at all.
    pub fn empty() -> Self {
        Self {
            tar: Vec::new(),
            index: Index {
                format: index::FORMAT.to_owned(),
                escrow_id: id(),
                entries: Vec::new(),
                catalogue_before: None,
                catalogue_after: None,
                warnings: Vec::new(),
            },
            window_log: 20,
        }
    }

    pub fn directory(&mut self, path: &str) {
        self.entry(EntryType::Directory, path, 0o700, b"");
    }

    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(EntryType::Regular, path, mode, content);
    }

    /// An entry of any kind; links point to `/etc/passwd`.
    pub fn entry(&mut self, kind: EntryType, path: &str, mode: u32, content: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        // Past the crate's own checks.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, EntryType::Link | EntryType::Symlink) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.tar.extend_from_slice(header.as_bytes());
        self.tar.extend_from_slice(content);
        self.tar.resize(self.tar.len().next_multiple_of(512), 0);
        let is_directory = kind == EntryType::Directory;
        self.index.entries.push(IndexEntry {
            path: path.to_owned(),
            kind: match is_directory {
                true => EntryKind::Directory,
                false => EntryKind::File,
            },
            size: content.len() as u64,
            mode: format!("{mode:04o}"),
            sha256: (!is_directory).then(|| Digest::of(content)),
        });
    }

    /// Seals it into every store, in small parts, and returns the manifest that names it.
    pub fn seal_into(mut self, escrows: &Escrowing) -> Manifest {
        let index = self.index.to_bytes().unwrap();
        self.file("escrow/index.json", 0o600, &index);
        self.tar.extend([0; 1024]);
        let recipient = escrows.recipient();
        let recipients = [&recipient as &dyn age::Recipient];
        let encryptor = age::Encryptor::with_recipients(recipients.into_iter()).unwrap();
        let parts = PartWriter::new(Collected::default(), PART);
        let mut compressor = zstd::Encoder::new(encryptor.wrap_output(parts).unwrap(), 1).unwrap();
        compressor.window_log(self.window_log).unwrap();
        compressor.write_all(&self.tar).unwrap();
        let parts = compressor.finish().unwrap().finish().unwrap();
        let (sealed, payload) = parts.finish().unwrap();
        let manifest = manifest_of(payload);
        let key = Layout::new(&manifest.instance.slug).payload(&manifest.escrow_id);
        for store in escrows.stores() {
            let path = escrows.object(store.name().as_str(), &key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &sealed.0).unwrap();
        }
        manifest
    }
}

#[derive(Default)]
struct Collected(Vec<u8>);

impl PartSink for Collected {
    fn part(&mut self, part: SealedPart) -> std::io::Result<()> {
        self.0.extend_from_slice(&part.bytes);
        Ok(())
    }
}

fn id() -> EscrowId {
    "20260612T020000Z-0123456789abcdef".parse().unwrap()
}

fn manifest_of(payload: Payload) -> Manifest {
    let slug = "heatwave".parse().unwrap();
    let time = UtcTime::from_unix(1_781_229_600);
    Manifest {
        format: manifest::FORMAT.to_owned(),
        kind: Kind::Snapshot,
        tool: Tool::this(),
        seq: 1,
        prev_sha256: None,
        escrow_id: id(),
        snapshot_at: time,
        created_at: time,
        next_due: time.plus(86_400),
        payload,
        source: Source {
            method: Method::Online,
            image: None,
            databasus_version: None,
            schema_version: None,
            pg_version: "17.10".to_owned(),
            system_identifier: "1".to_owned(),
            timeline: 1,
            start_lsn: None,
            stop_lsn: None,
            data_checksums: false,
        },
        secret_key_id: SecretKey::new(KEYS[0].to_vec())
            .unwrap()
            .key_id(&slug)
            .to_string(),
        instance: Instance { slug, id: None },
        recipients: Vec::new(),
        custody: Custody {
            mode: CustodyMode::Any,
            k: None,
        },
        unlock: Vec::new(),
        policy_sha256: Digest::of(b"policy"),
        restore_md_sha256: Digest::of(b"instructions"),
        stores: Vec::new(),
        canaries: Vec::new(),
        proof: None,
        expires: Vec::new(),
        rekeyed: None,
    }
}
