//! An instance that a running Databasus left, its escrow in a folder, its backups in a bucket, and
//! the box that drills.

use std::path::PathBuf;
use std::sync::Arc;

use assert_cmd::assert::Assert;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::model::drill::DrillReport;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::sealing::sshsig::{SigningKey, verify_sshsig};
use databasus_escrow::store::s3::S3Store;
use databasus_escrow::store::{Part, Store as _, list_all};
use secrecy::ExposeSecret as _;

use crate::support::fixture::Fixture;
use crate::support::postgres::TestPg;
use crate::support::sandbox::{Running, Sandbox, objects};
use crate::support::seaweed::Seaweed;

/// What comes back in most drills.
pub const DATABASE: &str = r#"
[[drill.database]]
name = "heatwave"
label = "billing"

[[drill.database.sentinel]]
name = "invoices are there"
sql = "SELECT count(*) FROM invoices"
expect = { at_least = 4 }

[[drill.database.sentinel]]
name = "the first invoice"
sql = "SELECT who FROM invoices ORDER BY id LIMIT 1"
expect = { equals = "cust 1" }
"#;

pub const CLUSTER: &str = r#"
[[drill.cluster]]
name = "pg17 cluster"

[[drill.cluster.sentinel]]
name = "the last beat"
database = "shop"
sql = "SELECT max(substring(s::text FROM '[0-9]+')::int) FROM sentinel s"
expect = { equals = 20 }
"#;

/// Part of an answer that no report may hold.
pub const SECRET_ANSWER: &str = "cust 1";

pub struct Bed {
    pub sandbox: Sandbox,
    pub server: TestPg,
    signing_key: SigningKey,
    backups: Arc<S3Store>,
}

impl Bed {
    /// Of a fixture, with its backups in a bucket of this name. None where the machine lacks what
    /// is needed.
    pub fn new(fixture: &str, bucket: &str) -> Option<Self> {
        let fixture = Fixture::named(fixture)?;
        let seaweed = Seaweed::start()?;
        let server = fixture.serve()?;
        let backups = fill(&seaweed, &fixture, bucket);
        let who = seaweed.credentials();
        server.psql(&format!(
            "UPDATE s3_storages SET s3_endpoint = '{}', s3_bucket = '{bucket}',
             s3_access_key = '{}', s3_secret_key = '{}'",
            seaweed.endpoint(),
            who.access_key_id,
            who.secret_access_key.expose_secret()
        ));
        let mut sandbox = Sandbox::new();
        sandbox.set("PG_BIN", &server.bin().display().to_string());
        let bed = Self {
            sandbox,
            server,
            signing_key: SigningKey::generate().unwrap(),
            backups: Arc::new(backups),
        };
        bed.escrow(fixture.truth()["facts"]["version"].as_str());
        bed.drill_box();
        Some(bed)
    }

    fn escrow(&self, version: Option<&str>) {
        let port = self.server.port();
        let store = format!("usb=dir:{}", self.sandbox.folder("usb").display());
        let version = version.unwrap_or("3.42.0");
        let more = format!("--pg-port {port} --databasus-version {version}");
        let host = self
            .sandbox
            .host_with(&self.server.data_dir(), &[store], &more);
        host.set_method("online");
        host.snapshot();
    }

    /// Has a key of its own, which may sign drills and nothing else.
    fn drill_box(&self) {
        let sandbox = &self.sandbox;
        let folder = sandbox.folder("drill-box");
        let pem = self.signing_key.to_openssh_pem().unwrap();
        let key = sandbox.file("drill-box/drill.key", pem.as_bytes());
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(key, private).unwrap();
        let signers = std::fs::read_to_string(sandbox.path("host/policies/allowed_signers"));
        let own = format!(
            "drill@box namespaces=\"escrow-drill@databasus\" {}\n",
            self.signing_key.public_openssh()
        );
        sandbox.file("drill-box/allowed_signers", signers.unwrap() + &own);
        let usb = sandbox.path("usb");
        let config = format!(
            "instance = \"demo\"\n[signing]\nkey_file = \"drill.key\"\nsigner = \"drill@box\"\n\
             [trust]\nallowed_signers = \"allowed_signers\"\n[state]\ndir = \"state\"\n\
             [[store]]\nname = \"usb\"\ntype = \"dir\"\npath = \"{}\"\n",
            usb.display()
        );
        std::fs::write(folder.join("escrow.toml"), config).unwrap();
        sandbox.folder("scratch");
        sandbox.identity("alice");
    }

    /// The words of a drill by this policy, with alice's identity.
    pub fn line(&self, policy: &str, more: &str) -> String {
        let policy = format!("version = 1\n{policy}");
        let policy = self.sandbox.file("policy.toml", policy);
        let [config, identity, scratch] = ["drill-box/escrow.toml", "alice.key", "scratch"]
            .map(|name| self.sandbox.path(name).display().to_string());
        let identity = match more.contains("--identity") {
            true => String::new(),
            false => format!("--identity {identity}"),
        };
        format!(
            "--config {config} drill --policy {} {identity} --scratch {scratch} {more}",
            policy.display()
        )
    }

    pub fn drill(&self, policy: &str, more: &str) -> Assert {
        self.sandbox.run(&self.line(policy, more))
    }

    pub fn start(&self, policy: &str) -> Running {
        self.sandbox.start(&self.line(policy, ""))
    }

    /// Everything in the folder that throwaway places are made in.
    pub fn litter(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.sandbox.path("scratch")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The reports in the store, with their bytes; each was signed by this box for drills.
    pub fn reports(&self) -> Vec<(DrillReport, String)> {
        let store = self.sandbox.path("usb");
        let stored = objects(&store);
        let (drills, sigs) = (store.join("demo/drill"), store.join("demo/sig"));
        let reports = stored.iter().filter(|(path, _)| path.starts_with(&drills));
        reports
            .map(|(_, bytes)| {
                let name = format!("{}.drill@box.sig", Digest::of(bytes));
                let signature = std::fs::read(sigs.join(name)).unwrap();
                let key = verify_sshsig(&signature, Namespace::Drill, bytes).unwrap();
                assert_eq!(key.fingerprint, self.signing_key.fingerprint());
                let text = String::from_utf8(bytes.clone()).unwrap();
                (DrillReport::parse(bytes).unwrap(), text)
            })
            .collect()
    }

    /// The only one.
    pub fn report(&self) -> (DrillReport, String) {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1);
        reports.remove(0)
    }

    /// The bucket.
    pub fn backups(&self) -> Arc<S3Store> {
        self.backups.clone()
    }

    /// Changes the one object of the bucket whose name begins so.
    pub fn edit(&self, beginning: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let store = self.backups.as_ref();
        let listed = list_all(store, beginning, None).unwrap();
        let [one] = listed.as_slice() else {
            panic!("{listed:?}");
        };
        let key = one.key.clone();
        let mut bytes = store.get(&key, 64 << 20).unwrap().bytes;
        edit(&mut bytes);
        store.delete(&key).unwrap();
        put(store, &key, bytes);
    }
}

/// Puts the fixture's bucket into a real one.
fn fill(seaweed: &Seaweed, fixture: &Fixture, bucket: &str) -> S3Store {
    seaweed.create_bucket(bucket, false);
    let prefix = fixture.truth()["facts"]["prefix"].clone();
    let store = seaweed.store(bucket, prefix.as_str().unwrap());
    for entry in std::fs::read_dir(fixture.bucket_dir()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        put(&store, &name, std::fs::read(entry.path()).unwrap());
    }
    store
}

fn put(store: &S3Store, name: &str, bytes: Vec<u8>) {
    if bytes.len() < 5 << 20 {
        store.put_if_absent(name, &bytes).unwrap();
        return;
    }
    let upload = store.start_upload(name, 32 << 20).unwrap();
    let md5 = <md5::Md5 as md5::Digest>::digest(&bytes).into();
    let part = Part {
        number: 1,
        bytes: bytes.into(),
        md5,
    };
    upload.put_part(&part).unwrap();
    upload.complete().unwrap();
}
