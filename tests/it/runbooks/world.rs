//! A Databasus on a host, a store, and the empty box of the day after.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use databasus_escrow::databasus::backup_file::Header;
#[cfg(feature = "s3")]
use databasus_escrow::databasus::{fields::seal_field, secret_key::SecretKey};

use super::page::{Page, reads_like};
use crate::recover::bed::{sealed_with, sidecar};
use crate::support::chains::{self, Chain};
use crate::support::postgres::TestPg;
use crate::support::skip;

/// What the instance's backups are encrypted with, those of clusters too.
pub const SECRET_KEY: &[u8] = chains::KEY.as_bytes();

const INSTANCE_SQL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/instance.sql");

/// Everything that a page needs to be followed.
pub struct World {
    dir: tempfile::TempDir,
    server: TestPg,
    /// For `--store`.
    pub store: String,
    /// Of the store.
    credentials: (String, String),
    /// The bucket that Databasus keeps its backups in.
    backups: String,
    rows: String,
    /// As Databasus calls the database that is wanted.
    database: String,
    /// The last one to keep.
    moment: String,
}

impl World {
    /// With a store that is a folder; none where the machine lacks what is needed.
    pub fn with_folder() -> Option<Self> {
        let world = Self::new()?;
        fs::create_dir(world.path("store")).unwrap();
        world.server.psql("UPDATE storages SET type = 'LOCAL'");
        let store = format!("primary=dir:{}", world.path("store").display());
        Some(Self { store, ..world })
    }

    /// With a store that is a bucket of this name.
    #[cfg(feature = "s3")]
    pub fn with_bucket(bucket: &str) -> Option<Self> {
        use secrecy::ExposeSecret as _;
        let server = crate::support::seaweed::Seaweed::start()?;
        server.create_bucket(bucket, false);
        let endpoint = server.endpoint();
        let who = server.credentials();
        // Databasus keeps its own backups there too; it has made none yet.
        let backups = format!("{bucket}-backups");
        server.create_bucket(&backups, false);
        let world = Self::new()?;
        world.server.psql(&format!(
            "UPDATE s3_storages SET s3_bucket = '{backups}', s3_endpoint = '{endpoint}',
                 s3_access_key = '{}', s3_secret_key = '{}'",
            who.access_key_id,
            who.secret_access_key.expose_secret()
        ));
        Some(Self {
            store: format!("primary=s3://{bucket}/databasus?endpoint={endpoint}&region=us-east-1"),
            credentials: (
                who.access_key_id,
                who.secret_access_key.expose_secret().to_owned(),
            ),
            backups,
            ..world
        })
    }

    /// The build without a network stack knows folders only.
    #[cfg(not(feature = "s3"))]
    pub fn with_bucket(_: &str) -> Option<Self> {
        Self::with_folder()
    }

    fn new() -> Option<Self> {
        let tools = ["age", "age-keygen", "zstd", "tar", "ssh-keygen", "jq"];
        if let Some(tool) = tools.iter().find(|tool| !is_there(tool)) {
            skip(&format!("{tool} is not there"));
            return None;
        }
        let server = TestPg::start()?;
        let dir = tempfile::tempdir().unwrap();
        // As root PostgreSQL runs as somebody else, who has to get through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["bin", "box"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let tool = env!("CARGO_BIN_EXE_databasus-escrow");
        // A copy: the next build may exchange the file while this test runs.
        fs::copy(tool, dir.path().join("bin/databasus-escrow")).unwrap();
        let mut world = Self {
            dir,
            server,
            store: String::new(),
            credentials: ("nobody".to_owned(), "nothing".to_owned()),
            backups: String::new(),
            rows: String::new(),
            database: "shop-1".to_owned(),
            moment: String::new(),
        };
        world.fill();
        Some(world)
    }

    fn fill(&mut self) {
        let sql = fs::read_to_string(INSTANCE_SQL).unwrap();
        self.server.psql(&sql);
        self.server.write_secret_key(SECRET_KEY);
        self.server
            .write_instance_json(r#"{"instanceID":"b0b0","installedAt":"2026-01-28"}"#);
        self.rows = rows(&self.server);
        for who in ["alice", "bob", "carol"] {
            self.bash("box", &format!("age-keygen -o {who}.key"), "");
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the variables of the pages hold here.
    pub fn values<'a>(&self, names: &[&'a str]) -> Vec<(&'a str, String)> {
        let path = |name: &str| format!("'{}'", self.path(name).display());
        let public = |who: &str| format!("$(age-keygen -y {})", path(&format!("box/{who}.key")));
        let value = |name: &str| match name {
            "ETC" => path("etc"),
            "DATA" => format!("'{}'", self.server.data_dir().display()),
            "CLONE" => path("box/restored"),
            "PORT" => self.server.port().to_string(),
            "TOOL" => path("bin/databasus-escrow"),
            "ALICE" => public("alice"),
            "BOB" => public("bob"),
            "CAROL" => public("carol"),
            "IDENTITY" => path("box/alice.key"),
            "SECOND" => path("box/bob.key"),
            "TARGET" => path("box/restored"),
            "STORE" => format!("'{}'", self.store),
            "COPY" => path("store/heatwave-prod"),
            "TRUST" | "FINGERPRINT" => self.on_card("signer fingerprint  "),
            "MARK" => self.on_card("1:"),
            "RESTORE" => self.on_card_last("    h="),
            name if name.ends_with("_ACCESS_KEY_ID") => self.credentials.0.clone(),
            name if name.ends_with("_SECRET_ACCESS_KEY") => self.credentials.1.clone(),
            "KEY" => path("box/secret.key"),
            "FRESH" => format!("'{}'", self.server.data_dir().display()),
            #[cfg(feature = "s3")]
            "BUCKET" => self.backups_url(),
            "LOG" => path("log"),
            "CRON" => path("cron"),
            "UNITS" => path("box"),
            "FROM" => path("bucket"),
            "DATABASE" => format!("'{}'", self.database),
            "LABEL" => self.database.replace(' ', "_"),
            "MOMENT" => format!("'{}'", self.moment),
            "TABLE" => "sentinel".to_owned(),
            "REWOUND" | "RESTORED" => path("box/rewound"),
            "WORK" => path("box/rewind"),
            "PGBIN" => format!("'{}'", self.server.bin().display()),
            "SOCKET" => path("socket"),
            "NEWPORT" => crate::support::postgres::free_port().to_string(),
            "RUNAS" => match is_root() {
                true => "'setpriv --reuid=999 --regid=999 --clear-groups --'".to_owned(),
                false => "''".to_owned(),
            },
            "INSTANCE" => "heatwave-prod".to_owned(),
            name => panic!("no value for {name}"),
        };
        names.iter().map(|name| (*name, value(name))).collect()
    }

    /// Sets the host up as the README does, without its page.
    pub fn init(&self) {
        let values = self.values(&["ETC", "DATA", "PORT", "ALICE", "BOB", "STORE"]);
        let set = values.iter().map(|(name, value)| format!("{name}={value}"));
        let set: Vec<String> = set.collect();
        self.bash(
            "box",
            &format!(
                "{}
                 databasus-escrow init --dir \"$ETC\" --instance heatwave-prod --store \"$STORE\" \\
                   --data-dir \"$DATA\" --pg-port \"$PORT\" \\
                   --recipient \"alice=$ALICE\" --recipient \"bob=$BOB\"",
                set.join("\n")
            ),
            "",
        );
        self.snapshot();
    }

    /// Takes a snapshot, and prints the card that people keep.
    pub fn snapshot(&self) {
        let script = "databasus-escrow snapshot && databasus-escrow card > ../box/trust-card.txt";
        self.bash("etc", script, "");
    }

    /// A line of the card, behind what it begins with.
    fn on_card(&self, begins: &str) -> String {
        self.lines_on_card(begins).remove(0)
    }

    fn on_card_last(&self, begins: &str) -> String {
        self.lines_on_card(begins).pop().unwrap()
    }

    fn lines_on_card(&self, begins: &str) -> Vec<String> {
        let card = fs::read_to_string(self.path("box/trust-card.txt")).unwrap();
        let keep = if begins.ends_with(':') { begins } else { "" };
        let found = card.lines().filter_map(|line| line.strip_prefix(begins));
        let found: Vec<String> = found.map(|rest| format!("{keep}{rest}")).collect();
        assert!(!found.is_empty(), "no {begins:?} on the card:\n{card}");
        found
    }

    /// What Databasus would have stored: a dump of its own metadata under its own key.
    pub fn fill_bucket(&self) {
        let name = "shop-1-20261123-031158-7a4faa4c-adf4-4cf2-b5d3-7d537474402e";
        fs::create_dir(self.path("bucket")).unwrap();
        let port = self.server.port();
        let dump = format!("pg_dump -Fc -h 127.0.0.1 -p {port} -U postgres databasus > ../dump");
        self.bash("box", &dump, "");
        let dump = fs::read(self.path("dump")).unwrap();
        let header = Header::random();
        let (key, id) = (
            str::from_utf8(SECRET_KEY).unwrap(),
            &name[name.len() - 36..],
        );
        let object = self.path("bucket").join(name);
        fs::write(&object, sealed_with(&dump, key, id, &header)).unwrap();
        let sidecar = sidecar(id, Some(&header)).to_string();
        fs::write(object.with_extension("metadata"), sidecar).unwrap();
    }

    /// What Databasus stored of a cluster. Somebody made a mistake behind its sentinel `last`.
    pub fn fill_with_chain(&mut self, chain: &Chain, last: u32) {
        for name in ["bucket", "socket"] {
            fs::create_dir(self.path(name)).unwrap();
        }
        let anybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(self.path("socket"), anybody).unwrap();
        chain.write_to(&self.path("bucket"));
        fs::write(self.path("box/secret.key"), SECRET_KEY).unwrap();
        self.database = chain.name.clone();
        self.moment = chain.sentinel(last).newest_at.to_string();
    }

    /// What a server on that directory answers, which is then stopped.
    pub fn last_words(&self, data: &str, port: &str, sql: &str) -> String {
        let _running = Running(self.path(data));
        let socket = self.path("socket");
        let ask = format!(
            "psql -X -At -h '{}' -p {port} -U postgres -d shop -c \"{sql}\"",
            socket.display()
        );
        self.bash("box", &ask, "")
    }

    /// The same, in the bucket that the metadata names.
    #[cfg(feature = "s3")]
    pub fn fill_storage(&self) {
        use databasus_escrow::store::Store as _;
        self.fill_bucket();
        let server = crate::support::seaweed::Seaweed::start().unwrap();
        let store = server.store(&self.backups, "demo");
        for entry in fs::read_dir(self.path("bucket")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            store.put_if_absent(&name, &bytes).unwrap();
        }
    }

    /// Databasus has made these backups itself, and knows them.
    #[cfg(feature = "s3")]
    pub fn catalogue_storage(&mut self) {
        let key = SecretKey::new(SECRET_KEY.to_vec()).unwrap();
        let sealed = seal_field(&self.credentials.1, &key, [7; 12]);
        self.server.psql(&format!(
            "UPDATE s3_storages SET s3_secret_key = '{sealed}'"
        ));
        self.server.stop_cleanly();
        let data = self.server.data_dir();
        let import = format!("databasus-escrow import --data-dir '{}'", data.display());
        self.bash("box", &import, "");
        self.server.start_again();
    }

    #[cfg(feature = "s3")]
    fn backups_url(&self) -> String {
        let server = crate::support::seaweed::Seaweed::start().unwrap();
        let (bucket, endpoint) = (&self.backups, server.endpoint());
        format!("'s3://{bucket}/demo?endpoint={endpoint}&region=us-east-1'")
    }

    /// What is left when Databasus was started once with the key, and stopped.
    pub fn forget_everything(&mut self) {
        self.server.psql(
            "DO $$ DECLARE tables text; BEGIN
               SELECT string_agg(format('public.%I', tablename), ', ') INTO tables FROM pg_tables
               WHERE schemaname = 'public' AND tablename NOT IN ('users', 'goose_db_version');
               EXECUTE 'TRUNCATE ' || tables;
             END $$;
             DELETE FROM users;
             INSERT INTO users (email, role, name, status) VALUES ('admin', 'ADMIN', 'Admin', 'ACTIVE')",
        );
        self.server.stop_cleanly();
        fs::write(self.path("box/secret.key"), SECRET_KEY).unwrap();
    }

    /// The server dies, and the host's disk with it: data, configuration, signing key.
    pub fn destroy(&mut self) {
        self.server.stop();
        fs::remove_dir_all(self.server.data_dir()).unwrap();
        self.destroy_configuration();
    }

    pub fn destroy_configuration(&self) {
        fs::remove_dir_all(self.path("etc")).unwrap();
    }

    /// Follows a page in `folder`: runs its blocks in one shell, with these values and this to
    /// read, and compares what each says with the block of text that stands behind it. What they
    /// all said comes back.
    pub fn follow(
        &self,
        page: &Page,
        folder: &str,
        values: &[(&str, String)],
        input: &str,
    ) -> String {
        follow(page, values, |script| self.bash(folder, script, input))
    }

    /// Runs bash in a folder of this world; what it said, if it succeeded.
    pub fn bash(&self, folder: &str, script: &str, input: &str) -> String {
        let output = self.try_bash(folder, script, input);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{script}\n{said}");
        said
    }

    /// The same; how it ended is for the caller.
    pub fn try_bash(&self, folder: &str, script: &str, input: &str) -> Output {
        let file = self.path("script.sh");
        let text = format!("set -euo pipefail; exec 2>&1\nhash -r\n{script}\n");
        fs::write(&file, text).unwrap();
        let system = std::env::var("PATH").unwrap();
        let here = self.path("bin");
        let path = format!(
            "{}:{}:{system}",
            here.display(),
            self.server.bin().display()
        );
        let mut child = Command::new("bash")
            .arg(&file)
            .current_dir(self.path(folder))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("box"))
            .env("LC_ALL", "C")
            .env("ESCROW_PRIMARY_ACCESS_KEY_ID", &self.credentials.0)
            .env("ESCROW_PRIMARY_SECRET_ACCESS_KEY", &self.credentials.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// The credentials as `env` on the host holds them.
    pub fn environment_file(&self) -> String {
        let (id, secret) = &self.credentials;
        format!("ESCROW_PRIMARY_ACCESS_KEY_ID={id}\nESCROW_PRIMARY_SECRET_ACCESS_KEY={secret}\n")
    }

    /// A restored folder has the same key, and a PostgreSQL that starts on it the same rows.
    pub fn assert_same_instance(&self, restored: &Path) {
        assert_eq!(fs::read(restored.join("secret.key")).unwrap(), SECRET_KEY);
        let mut server = TestPg::prepare().unwrap();
        fs::remove_dir_all(server.data_dir()).unwrap();
        fs::rename(restored, server.data_dir()).unwrap();
        server.give_to_server(&server.data_dir());
        let pgdata = fs::Permissions::from_mode(0o700);
        fs::set_permissions(server.pgdata(), pgdata).unwrap();
        server.start_again();
        assert_eq!(rows(&server), self.rows);
    }
}

/// Follows a page in a shell of any kind; see [`World::follow`].
pub fn follow(page: &Page, values: &[(&str, String)], run: impl FnOnce(&str) -> String) -> String {
    let blocks = page.blocks();
    let mut used = Vec::new();
    let mut script = String::new();
    for (number, block) in blocks.iter().enumerate().filter(|(_, b)| b.is_run()) {
        let body = block.with(values, &mut used);
        script.push_str(&format!("echo '@@ {number}'\n{body}\n"));
    }
    for (name, _) in values {
        assert!(
            used.iter().any(|u| u == name),
            "{} sets no {name}",
            page.name
        );
    }
    let said = run(&script);
    let mut last = "";
    for (number, block) in blocks.iter().enumerate() {
        match block.info {
            "sh" => last = output_of(&said, number),
            "text" => compare(page, block.body, last),
            _ => {}
        }
    }
    said
}

/// A server that a page started.
pub struct Running(pub PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        let lock = fs::read_to_string(self.0.join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = lock.lines().next() {
            let _ = Command::new("kill").args(["-INT", pid]).status();
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn is_there(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", tool])
        .status();
    found.unwrap().success()
}

/// Every table and how many rows it has, save the one that an import adds to.
fn rows(server: &TestPg) -> String {
    let counts = server.psql(
        "SELECT string_agg(format('SELECT %L, count(*) FROM %I', tablename, tablename),
                           ' UNION ALL ' ORDER BY tablename)
         FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'backups'",
    );
    server.psql(&format!("{counts} ORDER BY 1"))
}

fn output_of(said: &str, number: usize) -> &str {
    let begin = format!("@@ {number}\n");
    let (_, rest) = said.split_once(&begin).unwrap();
    rest.split("@@ ").next().unwrap()
}

/// Every line of `expected` is among the lines of `said`, in this order.
fn compare(page: &Page, expected: &str, said: &str) {
    let mut lines = said.lines();
    for pattern in expected.lines().filter(|line| !line.trim().is_empty()) {
        assert!(
            lines.any(|line| reads_like(pattern, line)),
            "{}: no line {pattern:?} (in this order) in what the commands say:\n{said}",
            page.name
        );
    }
}
