//! What running Databasus instances wrote, and composed cases beside it. None of it is in the
//! repository: `ESCROW_TEST_FIXTURES` names the folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::store::Store;
use databasus_escrow::store::dir::DirStore;

use super::optional;
use super::postgres::TestPg;

/// Written by running instances.
pub const REAL: [&str; 2] = ["real-3.42.0", "real-3.49.0"];

/// Made for what a healthy instance does not produce.
pub const COMPOSED: [&str; 2] = ["databasus-3.42.0", "databasus-3.49.0"];

/// One instance's key, metadata and bucket.
pub struct Fixture {
    folder: PathBuf,
}

impl Fixture {
    /// A folder of the fixtures; none, and said so, where there are none.
    pub fn named(name: &str) -> Option<Self> {
        let folder = optional("ESCROW_TEST_FIXTURES")?.join(name);
        Some(Self { folder })
    }

    pub fn secret_key_bytes(&self) -> Vec<u8> {
        std::fs::read(self.folder.join("secret.key")).unwrap()
    }

    pub fn secret_key(&self) -> SecretKey {
        SecretKey::new(self.secret_key_bytes()).unwrap()
    }

    pub fn metadata_sql(&self) -> PathBuf {
        self.folder.join("metadata.sql")
    }

    /// The objects below the storage's prefix.
    pub fn bucket_dir(&self) -> PathBuf {
        self.folder.join("r2")
    }

    /// The same as a store. It must only be read.
    pub fn bucket(&self) -> Arc<dyn Store> {
        Arc::new(DirStore::open("fixture".parse().unwrap(), self.bucket_dir()).unwrap())
    }

    pub fn truth(&self) -> serde_json::Value {
        let file = File::open(self.folder.join("truth.json")).unwrap();
        serde_json::from_reader(file).unwrap()
    }

    /// A running server with the metadata database, and the key in its data directory.
    pub fn serve(&self) -> Option<TestPg> {
        let server = TestPg::start()?;
        server.write_secret_key(&self.secret_key_bytes());
        load(&server, &self.metadata_sql());
        Some(server)
    }
}

/// Runs an SQL file in the server's database `databasus`.
pub fn load(server: &TestPg, sql: &Path) {
    let (port, socket) = (server.port().to_string(), server.socket_dir());
    let output = server
        .command("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-p", &port])
        .args(["-U", "postgres", "-d", "databasus", "-h"])
        .arg(socket)
        .stdin(File::open(sql).unwrap())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}
