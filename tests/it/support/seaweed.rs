//! A real S3 server for the tests of one run: SeaweedFS on this machine's loopback.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::{BehaviorVersion, Config, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::store::s3::{S3Settings, S3Store};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// Keeps the server until its standard input closes, which is when the test process ends, in
/// whatever way; then nothing of it is left. `$0` is the program, `$DIR` holds its files.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
"$0" "$@" </dev/null >"$DIR/log" 2>&1 &
server=$!
cat >/dev/null
kill -9 "$server"
wait "$server" 2>/dev/null
rm -rf "$DIR"
"#;

/// The server of this process.
pub struct Seaweed {
    port: u16,
    admin: Credentials,
    reader: Credentials,
    token: R2Token,
    // Dropped with the process: closes the watchdog's input.
    _watchdog: Child,
}

/// Who may ask.
#[derive(Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: SecretString,
}

/// A token of R2, as this server knows one: by what its S3 credentials are.
#[derive(Clone)]
pub struct R2Token {
    pub id: String,
    pub value: String,
}

impl R2Token {
    fn random() -> Self {
        Self {
            id: hex::encode(rand::random::<[u8; 16]>()),
            value: hex::encode(rand::random::<[u8; 20]>()),
        }
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            access_key_id: self.id.clone(),
            secret_access_key: hex::encode(Sha256::digest(&self.value)).into(),
        }
    }
}

impl Credentials {
    fn random() -> Self {
        Self {
            access_key_id: hex::encode(rand::random::<[u8; 10]>()),
            secret_access_key: hex::encode(rand::random::<[u8; 20]>()).into(),
        }
    }
}

impl Seaweed {
    /// The one server of this process, started at the first call; absent where
    /// `ESCROW_TEST_WEED` names no program, which the test says.
    pub fn start() -> Option<Arc<Seaweed>> {
        static SERVER: OnceLock<Arc<Seaweed>> = OnceLock::new();
        let program = super::needed("ESCROW_TEST_WEED")?;
        let server = SERVER.get_or_init(|| {
            let started = (0..3).find_map(|_| Self::try_start(&program));
            Arc::new(started.expect("SeaweedFS does not start"))
        });
        Some(Arc::clone(server))
    }

    fn try_start(program: &Path) -> Option<Seaweed> {
        // The watchdog removes it, since this process keeps nothing to drop at its end.
        let folder = TempDir::with_prefix("seaweed-").unwrap().keep();
        let (admin, reader) = (Credentials::random(), Credentials::random());
        let token = R2Token::random();
        let config = folder.join("users.json");
        std::fs::write(&config, users(&admin, &reader, &token).to_string()).unwrap();
        let ports: [u16; 4] = std::array::from_fn(|_| free_port());
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG])
            .arg(program)
            .args(arguments(&folder, &config, ports))
            .env("DIR", &folder)
            // A new bucket's first object waits for its volumes: one is enough, not seven.
            .env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1")
            // Signals to the tests' group must not end the watchdog before its work is done.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Seaweed {
            port: ports[3],
            admin,
            reader,
            token,
            _watchdog: watchdog,
        };
        if server.becomes_ready() {
            return Some(server);
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        eprintln!("SeaweedFS did not become ready; its last words:\n{tail:#?}");
        None
    }

    /// It accepts connections some seconds before it can create buckets.
    fn becomes_ready(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if self.try_create_bucket("ready", false).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        false
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of somebody who may do everything.
    pub fn credentials(&self) -> Credentials {
        self.admin.clone()
    }

    /// Of somebody who may read and list only.
    pub fn read_only_credentials(&self) -> Credentials {
        self.reader.clone()
    }

    /// Of a token that may do everything.
    pub fn r2_token(&self) -> R2Token {
        self.token.clone()
    }

    /// Makes a bucket, with versions and object locks where asked for; one that is there stays.
    pub fn create_bucket(&self, name: &str, object_lock: bool) {
        self.try_create_bucket(name, object_lock).unwrap();
    }

    /// Settings for a place in a bucket.
    pub fn settings(&self, bucket: &str, prefix: &str, who: Credentials) -> S3Settings {
        S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.endpoint()),
            region: "us-east-1".to_owned(),
            path_style: true,
            access_key_id: who.access_key_id,
            secret_access_key: who.secret_access_key,
            session_token: None,
            temporary: None,
        }
    }

    /// A store in a bucket, for somebody who may do everything.
    pub fn store(&self, bucket: &str, prefix: &str) -> S3Store {
        let settings = self.settings(bucket, prefix, self.credentials());
        S3Store::open("seaweed".parse().unwrap(), settings, Cancel::new()).unwrap()
    }

    /// The SDK's own client, for what stores do not do.
    pub fn client(&self) -> aws_sdk_s3::Client {
        let credentials = aws_sdk_s3::config::Credentials::new(
            &self.admin.access_key_id,
            self.admin.secret_access_key.expose_secret(),
            None,
            None,
            "tests",
        );
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(credentials)
            .region(Region::new("us-east-1"))
            .endpoint_url(self.endpoint())
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    fn try_create_bucket(&self, name: &str, object_lock: bool) -> Result<(), String> {
        let request = self.client().create_bucket().bucket(name);
        let request = request.object_lock_enabled_for_bucket(object_lock);
        match runtime().block_on(request.send()) {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            Err(error) if error.code() == Some("BucketAlreadyExists") => Ok(()),
            Err(error) => Err(format!("{error:?}")),
        }
    }
}

/// For tests that use [`Seaweed::client`].
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn users(admin: &Credentials, reader: &Credentials, token: &R2Token) -> serde_json::Value {
    let identity = |name: &str, who: &Credentials, actions: &[&str]| {
        serde_json::json!({
            "name": name,
            "credentials": [{
                "accessKey": who.access_key_id,
                "secretKey": who.secret_access_key.expose_secret(),
            }],
            "actions": actions,
        })
    };
    let all = ["Admin", "Read", "List", "Tagging", "Write"];
    serde_json::json!({ "identities": [
        identity("admin", admin, &all),
        identity("reader", reader, &["Read", "List"]),
        identity("token", &token.credentials(), &all),
    ]})
}

fn arguments(folder: &Path, config: &Path, ports: [u16; 4]) -> Vec<String> {
    let folder = folder.display();
    let [master, volume, filer, s3] = ports;
    let mut arguments = vec!["server".to_owned(), "-s3".to_owned()];
    arguments.extend([
        format!("-dir={folder}"),
        "-ip=127.0.0.1".to_owned(),
        "-ip.bind=127.0.0.1".to_owned(),
        format!("-master.port={master}"),
        format!("-volume.port={volume}"),
        format!("-filer.port={filer}"),
        format!("-filer.localSocket={folder}/filer.sock"),
        format!("-s3.port={s3}"),
        format!("-s3.localSocket={folder}/s3.sock"),
        format!("-s3.config={}", config.display()),
        "-s3.autoCreateBucket=false".to_owned(),
        "-s3.port.iceberg=0".to_owned(),
        "-s3.port.lance=0".to_owned(),
        "-master.volumeSizeLimitMB=256".to_owned(),
        "-master.telemetry=false".to_owned(),
        "-volume.max=200".to_owned(),
    ]);
    arguments
}

/// A port that is free, and 10000 above it as well: SeaweedFS takes both.
fn free_port() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..1000)
        .map(|_| rand::random_range(12_000..45_000))
        .find(|port| free(*port) && free(port + 10_000))
        .expect("no free ports")
}
