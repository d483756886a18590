//! Temporary credentials of R2: what each command signs for itself, as a service sees it that
//! refuses everything. No R2 took part.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::support::sandbox::Sandbox;

/// A service that refuses everything, and remembers the session tokens it was shown.
struct Refusing {
    address: String,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Refusing {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tokens: Arc<Mutex<Vec<String>>> = Arc::default();
        let shown = Arc::clone(&tokens);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let token = refuse(client);
                shown.lock().unwrap().extend(token);
            }
        });
        Self { address, tokens }
    }

    /// What was signed since the last look, each once.
    fn claims(&self) -> Vec<Value> {
        let mut tokens = std::mem::take(&mut *self.tokens.lock().unwrap());
        tokens.sort();
        tokens.dedup();
        tokens.iter().map(|token| claims(token)).collect()
    }
}

fn refuse(mut client: TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    let xml = "<Error><Code>AccessDenied</Code></Error>";
    let answer = format!(
        "HTTP/1.1 403 x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{xml}",
        xml.len()
    );
    let _ = client.write_all(answer.as_bytes());
    let head = String::from_utf8(head).ok()?;
    let token = head
        .lines()
        .find_map(|line| line.strip_prefix("x-amz-security-token: "));
    token.map(str::to_owned)
}

fn claims(token: &str) -> Value {
    let token = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
    let claims = token.strip_prefix("jwt/").unwrap().split('.').nth(1);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.unwrap()).unwrap()).unwrap()
}

#[test]
fn commands_sign_for_what_they_do_in_their_bucket_and_prefix() {
    let service = Refusing::start();
    let mut sandbox = Sandbox::new();
    sandbox.set("ESCROW_R2_TOKEN_VALUE", "CANARY");
    let store = format!(
        "r2=s3://escrow/databasus?endpoint=http://{}&account_id=0123456789abcdef&\
         token_id=token-id&temporary_credentials=true",
        service.address
    );
    let host = sandbox.host_with(&sandbox.path("none"), &[store], "--skip-probe");
    let seen = |writes: bool, deletes: bool, command: &str| {
        let claims = service.claims();
        assert!(!claims.is_empty(), "{command} asked nothing");
        for claims in claims {
            let actions = claims["actions"].to_string();
            assert!(actions.contains("GetObject"), "{command}: {claims}");
            assert_eq!(actions.contains("Put"), writes, "{command}: {claims}");
            assert_eq!(actions.contains("Delete"), deletes, "{command}: {claims}");
            assert_eq!(claims["bucket"], "escrow");
            assert_eq!(claims["paths"]["prefixPaths"][0], "databasus/");
            assert_eq!(claims["aud"], Value::from(service.address.as_str()));
        }
    };
    seen(true, false, "init");
    for (command, writes, deletes) in [
        ("list", false, false),
        ("verify", false, false),
        ("replicate", true, false),
        ("prune --dry-run", false, false),
        ("prune", true, true),
        ("doctor stores --as auditor", false, false),
        ("doctor stores --as writer", true, false),
        ("doctor stores --as pruner", true, true),
    ] {
        let ran = host.run(command);
        let output = ran.get_output();
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(stream);
            assert!(!text.contains("CANARY") && !text.contains("jwt/"), "{text}");
        }
        seen(writes, deletes, command);
    }
}
