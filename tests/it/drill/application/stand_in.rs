//! What answers in place of Databasus: nobody can run one here. It behaves as DATABASUS.md §6 says
//! that 3.42.0 and 3.49.0 do, lists what their fixtures hold, serves what it decrypted itself, and
//! does wrong what it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use databasus_escrow::base::time::{Clock as _, SystemClock};
use databasus_escrow::store::Store as _;
use databasus_escrow::store::s3::S3Store;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

use super::plain::decrypt;
use crate::support::fixture::Fixture;

/// What it does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Serves a byte that was not backed up.
    OtherByte,
    /// Serves one byte more.
    OneMore,
    /// Breaks off in the middle of a backup.
    BreaksOff,
    /// Lists one backup less.
    Missing,
    /// Lists one backup more.
    Surplus,
    /// Fails when asked for a list.
    Fails,
    /// Answers with a list that never ends.
    Huge,
    /// Sends whoever wants a list elsewhere.
    Redirects,
    /// Has another key.
    RefusesTokens,
    /// Is another release.
    OtherRelease,
    /// Was told no version.
    NoVersion,
    /// Is production: its databases are where they were.
    Unfenced,
}

/// A row of the catalogue.
struct Row {
    id: String,
    database: String,
    object: String,
    is_physical: bool,
    is_encrypted: bool,
    sha256: String,
}

/// What the threads of a stand-in share.
struct Inside {
    version: String,
    is_3_43: bool,
    key: Vec<u8>,
    /// `users.id`, and when the password was set.
    admin: (String, i64),
    rows: Vec<Row>,
    bucket: PathBuf,
    fault: Mutex<Fault>,
    /// Answers nothing until this exists.
    gate: Option<PathBuf>,
    calls: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
    tokens: Mutex<BTreeMap<String, String>>,
    /// What a clone without a fence would do when it is asked for a list.
    writes: Mutex<Option<Box<dyn Fn() + Send>>>,
    ended: AtomicBool,
}

pub struct StandIn {
    inside: Arc<Inside>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// On a fixture of this release; `admin` is an active administrator of its users table.
    pub fn start(fixture: &Fixture, admin: (String, i64), gate: Option<PathBuf>) -> Self {
        let truth = fixture.truth();
        let version = truth["facts"]["version"].as_str().unwrap_or("3.42.0");
        let inside = Arc::new(Inside {
            version: version.to_owned(),
            is_3_43: version != "3.42.0",
            key: fixture.secret_key_bytes(),
            admin,
            rows: rows(&truth),
            bucket: fixture.bucket_dir(),
            fault: Mutex::default(),
            gate,
            calls: Mutex::default(),
            wrong: Mutex::default(),
            tokens: Mutex::default(),
            writes: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = inside.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.ended.load(Ordering::SeqCst) {
                    return;
                }
                let _ = own.serve(stream.unwrap());
            }
        });
        Self {
            inside,
            port,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn does(&self, fault: Fault) {
        *self.inside.fault.lock().unwrap() = fault;
    }

    /// Has it write an object once, when it is asked for a list.
    pub fn writes(&self, store: Arc<S3Store>, name: &'static str) {
        let write = move || drop(store.put_if_absent(name, b"x"));
        *self.inside.writes.lock().unwrap() = Some(Box::new(write));
    }

    /// Every call so far, ids and tokens cut out, each kind once.
    pub fn calls(&self) -> Vec<String> {
        let mut calls = self.inside.calls.lock().unwrap().clone();
        calls.sort();
        calls.dedup();
        calls
    }

    /// Calls that no drill may make, and such as were made in a wrong way.
    pub fn wrong(&self) -> Vec<String> {
        self.inside.wrong.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.inside.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn rows(truth: &Value) -> Vec<Row> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let databases = truth["facts"]["databases"].as_object().unwrap();
    let id_of = |name: &str| {
        let mut all = databases.values();
        text(&all.find(|one| one["name"] == name).unwrap()["id"])
    };
    let objects = truth["objects"].as_array().unwrap().iter();
    objects
        .filter(|one| one["status_at_death"] == "COMPLETED")
        .map(|one| Row {
            id: text(&one["id"]),
            database: id_of(one["database"].as_str().unwrap()),
            object: text(&one["name"]),
            is_physical: one["table"].as_str().unwrap().starts_with("physical"),
            is_encrypted: one["encrypted"] == true,
            sha256: text(&one["plain_sha256"]),
        })
        .collect()
}

/// What is asked.
struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    authorization: Option<String>,
}

impl Asked {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next()?.ok()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut authorization = None;
        for line in lines {
            let line = line.ok()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("authorization")
            {
                authorization = Some(value.to_owned());
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Some(Self {
            method,
            path: path.to_owned(),
            query: pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
            authorization,
        })
    }

    fn number(&self, name: &str) -> usize {
        self.query[name].parse().unwrap()
    }
}

impl Inside {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(asked) = Asked::read(&stream) else {
            return Ok(());
        };
        if self.gate.as_ref().is_some_and(|gate| !gate.exists()) {
            return answer(&mut stream, 503, &json!({"error": "starting"}));
        }
        let parts: Vec<&str> = asked.path.split('/').skip(3).collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["system", "version"]) => {
                self.call("GET version");
                let version = match self.fault() {
                    Fault::OtherRelease => "9.9.9",
                    Fault::NoVersion => "3.26.0",
                    _ => &self.version,
                };
                answer(&mut stream, 200, &json!({"version": version}))
            }
            ("GET", ["databases"]) => {
                self.call("GET databases");
                self.databases(&mut stream, &asked)
            }
            ("GET", ["backups"]) => {
                self.call("GET backups");
                let database = asked.query["database_id"].clone();
                self.list(&mut stream, &asked, &database, false)
            }
            ("GET", ["backups", "physical", "database", database, "backups"]) if self.is_3_43 => {
                self.call("GET physical backups");
                let database = (*database).to_owned();
                self.list(&mut stream, &asked, &database, true)
            }
            ("POST", ["backups", id, "download-token"]) => {
                self.call("POST download-token");
                if !self.admits(&asked) {
                    return answer(&mut stream, 401, &json!({"error": "invalid token"}));
                }
                let token = format!("once-{}", self.tokens.lock().unwrap().len());
                let known = (token.clone(), (*id).to_owned());
                self.tokens.lock().unwrap().extend([known]);
                let answered = json!({"token": token, "filename": "x.dump", "backupId": id});
                answer(&mut stream, 200, &answered)
            }
            ("GET", ["backups", id, "file"]) => {
                self.call("GET file");
                self.file(&mut stream, &asked, id)
            }
            _ => {
                let call = format!("{} {}", asked.method, asked.path);
                self.wrong.lock().unwrap().push(call);
                answer(&mut stream, 404, &json!({"error": "not found"}))
            }
        }
    }

    fn call(&self, what: &str) {
        self.calls.lock().unwrap().push(what.to_owned());
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    /// Whatever the workspace is.
    fn databases(&self, stream: &mut TcpStream, asked: &Asked) -> std::io::Result<()> {
        if !self.admits(asked) {
            return answer(stream, 401, &json!({"error": "invalid token"}));
        }
        let own = match self.fault() {
            Fault::Unfenced => "db.internal",
            _ => "fenced.invalid",
        };
        let database = |engine: &str, host: &str| json!({"name": "x", engine: {"host": host}});
        let all = [
            database("postgresql", "fenced.invalid"),
            database("mysql", own),
        ];
        answer(stream, 200, &json!(all))
    }

    fn list(
        &self,
        stream: &mut TcpStream,
        asked: &Asked,
        database: &str,
        is_physical: bool,
    ) -> std::io::Result<()> {
        if !self.admits(asked) {
            return answer(stream, 401, &json!({"error": "invalid token"}));
        }
        if let Some(write) = self.writes.lock().unwrap().take() {
            write();
        }
        let fault = self.fault();
        match fault {
            Fault::Fails => return answer(stream, 500, &json!({"error": "out of order"})),
            Fault::Redirects => {
                return write!(
                    stream,
                    "HTTP/1.1 302 Found\r\nLocation: /api/v1/elsewhere\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                );
            }
            Fault::Huge => {
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                loop {
                    stream.write_all(&[b' '; 1 << 16])?;
                }
            }
            _ => {}
        }
        let own = self.rows.iter().filter(|row| {
            row.database == database && (row.is_physical && self.is_3_43) == is_physical
        });
        let mut listed: Vec<Value> = own
            .map(|row| json!({"id": row.id, "databaseId": row.database, "status": "COMPLETED"}))
            .collect();
        if fault == Fault::Missing {
            listed.pop();
        }
        if fault == Fault::Surplus {
            let id = "44444444-4444-4444-8444-444444444444";
            listed.push(json!({"id": id, "status": "IN_PROGRESS"}));
        }
        let (limit, offset) = (asked.number("limit"), asked.number("offset"));
        let page: Vec<&Value> = listed.iter().skip(offset).take(limit).collect();
        let total = listed.len();
        let body = json!({"backups": page, "total": total, "limit": limit, "offset": offset});
        answer(stream, 200, &body)
    }

    fn file(&self, stream: &mut TcpStream, asked: &Asked, id: &str) -> std::io::Result<()> {
        // A token is good for one backup, once.
        let backup = self.tokens.lock().unwrap().remove(&asked.query["token"]);
        if backup.as_deref() != Some(id) {
            self.wrong.lock().unwrap().push(format!("a token of {id}"));
            return answer(stream, 401, &json!({"error": "invalid token"}));
        }
        let row = self.rows.iter().find(|row| row.id == id).unwrap();
        let mut plain = self.plain(row);
        let fault = self.fault();
        match fault {
            Fault::OtherByte => {
                let middle = plain.len() / 2;
                plain[middle] ^= 1;
            }
            Fault::OneMore => plain.push(0),
            _ => {}
        }
        let length = plain.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        let sent = match fault {
            Fault::BreaksOff => length / 2,
            _ => length,
        };
        stream.write_all(&plain[..sent])
    }

    fn plain(&self, row: &Row) -> Vec<u8> {
        let at = |suffix: &str| self.bucket.join(format!("{}{suffix}", row.object));
        let mut stored = Vec::new();
        match at("").exists() {
            true => stored = std::fs::read(at("")).unwrap(),
            false => {
                for number in 1.. {
                    let part = at(&format!(".part{number:06}"));
                    let Ok(bytes) = std::fs::read(part) else {
                        break;
                    };
                    stored.extend(bytes);
                }
            }
        }
        let plain = match row.is_encrypted {
            true => decrypt(&stored, &self.key, &row.id),
            false => stored,
        };
        let sha256 = <sha2::Sha256 as sha2::Digest>::digest(&plain);
        assert_eq!(hex::encode(sha256), row.sha256);
        plain
    }

    /// Whether the token is one that Databasus would accept, and a short-lived one.
    fn admits(&self, asked: &Asked) -> bool {
        let refused = |why: &str| {
            self.wrong.lock().unwrap().push(why.to_owned());
            false
        };
        if self.fault() == Fault::RefusesTokens {
            return false;
        }
        let token = asked.authorization.as_deref().unwrap_or_default();
        let Some((signed, signature)) = token
            .strip_prefix("Bearer ")
            .and_then(|token| token.rsplit_once('.'))
        else {
            return refused("no token");
        };
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&self.key).unwrap();
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        if mac.verify_slice(&signature).is_err() {
            return refused("a token by another key");
        }
        let decode = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
            serde_json::from_slice::<Value>(&bytes).unwrap()
        };
        let (header, claims) = signed.split_once('.').unwrap();
        let claims = decode(claims);
        let now = SystemClock.now().unix();
        let holds = [
            decode(header)["alg"] == "HS256",
            claims["sub"] == self.admin.0.as_str(),
            claims["role"] == "ADMIN",
            claims["passwordCreationTime"] == self.admin.1,
            claims["iat"].as_i64().is_some_and(|iat| iat <= now),
            (now..=now + 600).contains(&claims["exp"].as_i64().unwrap()),
        ];
        match holds.iter().all(|holds| *holds) {
            true => true,
            false => refused(&format!("{claims}")),
        }
    }
}

fn answer(stream: &mut TcpStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
