//! What lies beside the cluster: the secret key, `instance.json`, and whatever else is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretSlice};

use super::tree::{self, Keep, Node, Sender, refuse_special};
use super::{EntrySink, SourceError};
use crate::base::cancel::Cancel;

/// Databasus' master key.
const SECRET_KEY: &str = "secret.key";

/// The telemetry id, where telemetry is on.
const INSTANCE: &str = "instance.json";

/// A key has 72 bytes; a file of more than this is something else, and is not read into memory.
const LARGEST_KEY: u64 = 64 << 10;

/// What `secret.key` turned out to be. Which of these refuses a snapshot is not for here.
#[derive(Debug)]
pub enum SecretKeyFile {
    /// The exact bytes: Databasus trims nothing, so a newline at the end is part of the key.
    Present(SecretSlice<u8>),
    /// There is none; Databasus would make a new one at its next start.
    Absent,
    /// It has no bytes, with which Databasus would work silently.
    Empty,
    /// It is there, and this process cannot read it.
    Unreadable(io::Error),
}

/// Files left out of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub files: u64,
    /// In bytes.
    pub bytes: u64,
}

/// What a snapshot leaves out of the data directory. None stands for what could not be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Backups on a LOCAL storage: lost with the host.
    pub backups: Option<Tally>,
    /// Log segments of physical backups which wait for their upload and exist nowhere else.
    pub wal_queue: Option<Tally>,
    /// Scratch files, emptied by every start of Databasus.
    pub temp: Option<Tally>,
}

/// The data directory without its cluster.
pub struct DataDir {
    root: PathBuf,
    nodes: Vec<Node>,
    secret_key_mode: u32,
    /// The key, or what is wrong with it.
    pub secret_key: SecretKeyFile,
    /// What stays behind.
    pub left_out: LeftOut,
}

impl SecretKeyFile {
    /// Reads the key of the data directory `root` alone, as it is now.
    pub fn read(root: &Path) -> Result<Self, SourceError> {
        Ok(read_secret_key(&root.join(SECRET_KEY))?.0)
    }
}

impl DataDir {
    /// Reads the key and lists the rest. Links and special files are refused by name.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        let mut nodes = tree::list(root, &keep)?;
        nodes.sort_by_key(|node| node.path != INSTANCE);
        let (secret_key, secret_key_mode) = read_secret_key(&root.join(SECRET_KEY))?;
        Ok(Self {
            nodes,
            secret_key,
            secret_key_mode,
            left_out: LeftOut {
                backups: tally(&root.join("backups"), "wal-queue").ok(),
                wal_queue: tally(&root.join("backups/wal-queue"), "").ok(),
                temp: tally(&root.join("temp"), "").ok(),
            },
            root: root.to_owned(),
        })
    }

    /// Bytes in all files that [`DataDir::copy`] sends.
    pub fn bytes(&self) -> u64 {
        let key = match &self.secret_key {
            SecretKeyFile::Present(key) => key.expose_secret().len() as u64,
            _ => 0,
        };
        let files = self.nodes.iter().filter_map(|node| node.file);
        key + files.map(|file| file.size).sum::<u64>()
    }

    /// Sends the key first, as it was read by [`DataDir::open`], then `instance.json`, then the
    /// rest. A file that has changed since it was listed fails the copy.
    pub fn copy(&self, sink: &mut dyn EntrySink, cancel: &Cancel) -> Result<(), SourceError> {
        let mut sender = Sender {
            root: &self.root,
            prefix: "",
            sink,
            cancel,
        };
        if let SecretKeyFile::Present(key) = &self.secret_key {
            let node = Node {
                path: SECRET_KEY.to_owned(),
                mode: self.secret_key_mode,
                file: None,
            };
            sender.send_bytes(&node, key.expose_secret())?;
        }
        for node in &self.nodes {
            sender.send(node)?;
        }
        Ok(())
    }
}

fn keep(path: &str) -> Keep {
    match path {
        SECRET_KEY | "backups" | "pgdata" | "temp" => Keep::Nothing,
        _ if path.starts_with("postmaster.") => Keep::Nothing,
        _ => Keep::Whole,
    }
}

fn read_secret_key(path: &Path) -> Result<(SecretKeyFile, u32), SourceError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((SecretKeyFile::Absent, 0));
        }
        Err(error) => return Ok((SecretKeyFile::Unreadable(error), 0)),
    };
    refuse_special(path, metadata.file_type())?;
    let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777;
    let key = match metadata.len() {
        0 => SecretKeyFile::Empty,
        1..=LARGEST_KEY => match fs::read(path) {
            Ok(bytes) => SecretKeyFile::Present(bytes.into()),
            Err(error) => SecretKeyFile::Unreadable(error),
        },
        _ => SecretKeyFile::Unreadable(io::ErrorKind::FileTooLarge.into()),
    };
    Ok((key, mode))
}

/// Counts the files under a directory, or none where it is absent; `except` is the name of an
/// entry that is counted elsewhere. Links are not followed, save `directory` itself.
fn tally(directory: &Path, except: &str) -> io::Result<Tally> {
    let mut total = Tally::default();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(total),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == except {
            continue;
        }
        // Databasus goes on working in here: what vanishes is not counted.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let more = if metadata.is_dir() {
            tally(&entry.path(), "")?
        } else {
            Tally {
                files: 1,
                bytes: metadata.len(),
            }
        };
        total.files += more.files;
        total.bytes += more.bytes;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::source::{EntryReceipt, SinkError, SourceContent, SourceEntry};

    /// Two UUIDs and a newline that somebody's editor added.
    const KEY: &[u8] =
        b"11111111-1111-4111-8111-11111111111122222222-2222-4222-8222-222222222222\n";

    /// Path, mode and content of every entry.
    #[derive(Default)]
    struct Taken(Vec<(String, u32, Vec<u8>)>);

    impl EntrySink for Taken {
        fn entry(&mut self, entry: SourceEntry<'_>) -> Result<EntryReceipt, SinkError> {
            let mut bytes = Vec::new();
            if let SourceContent::File { size, reader } = entry.content {
                reader.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes.len() as u64, size);
            }
            let sha256 = Digest::of(&bytes);
            self.0.push((entry.path, entry.mode, bytes));
            Ok(EntryReceipt { sha256 })
        }
    }

    fn data_dir(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    fn copy(root: &Path) -> Taken {
        let mut taken = Taken::default();
        let data_dir = DataDir::open(root).unwrap();
        data_dir.copy(&mut taken, &Cancel::new()).unwrap();
        let sent: usize = taken.0.iter().map(|(_, _, bytes)| bytes.len()).sum();
        assert_eq!(data_dir.bytes(), sent as u64);
        taken
    }

    #[test]
    fn the_key_comes_first_byte_by_byte_and_scratch_stays_behind() {
        let root = data_dir(&[
            ("certs/ca.pem", b"ca"),
            ("instance.json", b"{}"),
            ("another", b"a"),
            ("secret.key", KEY),
            ("pgdata/PG_VERSION", b"17\n"),
            ("temp/x", b"123"),
            ("backups/one", b"12345"),
            ("backups/wal-queue/db/0001", b"12"),
            ("postmaster.pid", b"1"),
        ]);
        let taken = copy(root.path());
        let paths: Vec<_> = taken.0.iter().map(|(path, _, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "secret.key",
                "instance.json",
                "another",
                "certs",
                "certs/ca.pem"
            ]
        );
        assert_eq!(taken.0[0].2, KEY);
        let left_out = DataDir::open(root.path()).unwrap().left_out;
        assert_eq!(left_out.backups, Some(Tally { files: 1, bytes: 5 }));
        assert_eq!(left_out.wal_queue, Some(Tally { files: 1, bytes: 2 }));
        assert_eq!(left_out.temp, Some(Tally { files: 1, bytes: 3 }));
    }

    #[test]
    fn a_missing_and_an_empty_key_are_told_apart() {
        let (none, empty) = (data_dir(&[]), data_dir(&[("secret.key", b"")]));
        let key = |root: &tempfile::TempDir| DataDir::open(root.path()).unwrap().secret_key;
        assert!(matches!(key(&none), SecretKeyFile::Absent));
        assert!(matches!(key(&empty), SecretKeyFile::Empty));
        let large = data_dir(&[("secret.key", &[b'x'; 70_000])]);
        assert!(matches!(key(&large), SecretKeyFile::Unreadable(_)));
    }

    #[test]
    fn the_key_does_not_show_in_debug_output() {
        let root = data_dir(&[("secret.key", KEY)]);
        let text = format!("{:?}", DataDir::open(root.path()).unwrap().secret_key);
        assert!(!text.contains("1111") && !text.contains("49, 49"), "{text}");
    }

    #[test]
    fn a_link_beside_the_cluster_is_refused_by_name_but_not_one_left_out() {
        for name in ["secret.key", "elsewhere", "certs/link"] {
            let root = data_dir(&[("certs/ca.pem", b"ca")]);
            std::os::unix::fs::symlink("/etc/passwd", root.path().join(name)).unwrap();
            let error = DataDir::open(root.path()).err().unwrap().to_string();
            assert!(
                error.contains(&format!("{name} is a symbolic link")),
                "{error}"
            );
        }
        let (root, disk) = (data_dir(&[]), data_dir(&[("one", b"1")]));
        std::os::unix::fs::symlink(disk.path(), root.path().join("backups")).unwrap();
        let left_out = DataDir::open(root.path()).unwrap().left_out;
        assert_eq!(left_out.backups, Some(Tally { files: 1, bytes: 1 }));
    }
}
