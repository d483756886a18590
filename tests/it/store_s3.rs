//! What only a store in S3 can show, against a real server and over a bad line.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::store::probe::{self, Outcome, probe};
use databasus_escrow::store::s3::{Patience, S3Settings, S3Store, Temporary};
use databasus_escrow::store::versions::list_all_versions;
use databasus_escrow::store::{Part, Rights, Store, StoreError, StoreErrorKind as Kind, list_all};
use md5::{Digest as _, Md5};
use secrecy::ExposeSecret as _;

use crate::support::faults::{self, Fault, Plan};
use crate::support::seaweed::{Seaweed, runtime};

const BUCKET: &str = "only-s3";

fn server() -> Option<Arc<Seaweed>> {
    let server = Seaweed::start()?;
    server.create_bucket(BUCKET, false);
    Some(server)
}

fn prefix() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

fn brief(settings: S3Settings) -> S3Store {
    let name = "seaweed".parse().unwrap();
    S3Store::open_with(name, settings, Patience::brief(), Cancel::new()).unwrap()
}

/// A store behind a line that fails as planned.
fn over_a_bad_line(server: &Seaweed, plan: Plan) -> S3Store {
    let settings = S3Settings {
        endpoint: Some(faults::endpoint(server.port(), plan)),
        ..server.settings(BUCKET, &prefix(), server.credentials())
    };
    brief(settings)
}

fn part(number: u32, bytes: &'static [u8]) -> Part {
    Part {
        number,
        bytes: Bytes::from_static(bytes),
        md5: Md5::digest(bytes).into(),
    }
}

fn chain(error: &StoreError) -> String {
    let source = error.source.as_ref().map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

fn is_completion(head: &str) -> bool {
    head.starts_with("POST ") && head.contains("uploadId=")
}

fn is_conditional_completion(head: &str) -> bool {
    is_completion(head) && head.to_ascii_lowercase().contains("if-none-match")
}

#[test]
fn missing_bucket_is_no_such_store() {
    let Some(server) = server() else { return };
    let store = server.store("not-there", "");
    for error in [
        store.put_if_absent("a", b"x").unwrap_err(),
        store.get("a", 10).unwrap_err(),
        list_all(&store, "", None).unwrap_err(),
        store.start_upload("a", 10).err().unwrap(),
    ] {
        assert_eq!(error.kind, Kind::NoSuchStore, "{}", chain(&error));
    }
}

#[test]
fn wrong_secret_and_unknown_key_id_are_told_from_a_lack_of_rights() {
    let Some(server) = server() else { return };
    let mut wrong_secret = server.settings(BUCKET, "", server.credentials());
    wrong_secret.secret_access_key = "wrong".into();
    let mut unknown = server.settings(BUCKET, "", server.credentials());
    unknown.access_key_id = "nobody".into();
    for settings in [wrong_secret, unknown] {
        let store = brief(settings);
        // The answer to a HEAD has no body to tell them apart in.
        assert_eq!(store.head("a").unwrap_err().kind, Kind::Denied);
        for error in [
            store.put_if_absent("a", b"x").unwrap_err(),
            list_all(&store, "", None).unwrap_err(),
        ] {
            assert_eq!(error.kind, Kind::UnknownCredentials, "{}", chain(&error));
        }
    }
}

#[test]
fn reader_reads_and_may_not_write() {
    let Some(server) = server() else { return };
    let prefix = prefix();
    let writer = server.store(BUCKET, &prefix);
    writer.put_if_absent("a", b"content").unwrap();
    let reader = brief(server.settings(BUCKET, &prefix, server.read_only_credentials()));
    assert_eq!(reader.get("a", 10).unwrap().bytes, b"content");
    assert_eq!(
        reader.put_if_absent("b", b"x").unwrap_err().kind,
        Kind::Denied
    );
    assert_eq!(reader.delete("a").unwrap_err().kind, Kind::Denied);
    let report = probe(&reader, "");
    assert_eq!(report.outcome(probe::WRITE), Outcome::No);
    assert_eq!(report.outcome(probe::CONDITIONAL_PUT), Outcome::Unknown);
    assert!(!report.usable());
}

#[test]
fn errors_quote_the_service_and_no_secret() {
    let Some(server) = server() else { return };
    let reader = server.read_only_credentials();
    let error = brief(server.settings(BUCKET, "", reader.clone()))
        .put_if_absent("b", b"x")
        .unwrap_err();
    let words = format!("{} {error:?}", chain(&error));
    assert!(words.contains("403 AccessDenied"), "{words}");
    assert!(!words.contains(reader.secret_access_key.expose_secret()));
    assert!(!words.to_ascii_lowercase().contains("signature="));
}

#[test]
fn unreachable_endpoint_is_transient() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = brief(somewhere(endpoint)).get("a", 10).unwrap_err();
    assert_eq!(error.kind, Kind::Transient, "{}", chain(&error));
    let report = probe(&brief(somewhere("http://no-such-host.invalid".into())), "");
    assert_eq!(report.outcome(probe::WRITE), Outcome::Unknown);
}

#[test]
fn stop_interrupts_a_call_that_waits() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let cancel = Cancel::new();
    let name = "silent".parse().unwrap();
    let store = S3Store::open(name, somewhere(endpoint), cancel.clone()).unwrap();
    let begun = Instant::now();
    let error = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.get("a", 10));
        let _connected = silent.accept().unwrap();
        cancel.raise(15);
        waiting.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind, Kind::Interrupted);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(store.head("a").unwrap_err().kind, Kind::Interrupted);
}

#[test]
fn upload_is_aborted_even_after_a_stop() {
    let Some(server) = server() else { return };
    let prefix = prefix();
    let cancel = Cancel::new();
    let settings = server.settings(BUCKET, &prefix, server.credentials());
    let store = S3Store::open("seaweed".parse().unwrap(), settings, cancel.clone()).unwrap();
    let upload = store.start_upload("payload", 5 << 20).unwrap();
    upload.put_part(&part(1, b"x")).unwrap();
    assert_eq!(unfinished_uploads(&server, &prefix), 1);
    cancel.raise(2);
    assert_eq!(upload.complete().unwrap_err().kind, Kind::Interrupted);
    assert_eq!(unfinished_uploads(&server, &prefix), 0);
}

#[test]
fn completion_whose_answer_got_lost_succeeds() {
    let Some(server) = server() else { return };
    let plan = Plan {
        fault: Fault::LoseAnswer,
        times: 1,
        suits: is_completion,
    };
    let store = over_a_bad_line(&server, plan);
    let upload = store.start_upload("payload", 5 << 20).unwrap();
    upload.put_part(&part(1, b"content")).unwrap();
    assert_eq!(upload.complete().unwrap().size, 7);
    assert_eq!(store.get("payload", 10).unwrap().bytes, b"content");
}

#[test]
fn store_without_conditional_completion_still_refuses_an_existing_key() {
    let Some(server) = server() else { return };
    for (status, code) in [(501, "NotImplemented"), (400, "InvalidArgument")] {
        let plan = Plan {
            fault: Fault::Answer(status, code),
            times: u32::MAX,
            suits: is_conditional_completion,
        };
        let store = over_a_bad_line(&server, plan);
        let upload = store.start_upload("payload", 5 << 20).unwrap();
        upload.put_part(&part(1, b"first")).unwrap();
        upload.complete().unwrap();
        let upload = store.start_upload("payload", 5 << 20).unwrap();
        upload.put_part(&part(1, b"second")).unwrap();
        assert_eq!(upload.complete().unwrap_err().kind, Kind::AlreadyExists);
        assert_eq!(store.get("payload", 10).unwrap().bytes, b"first");
    }
}

#[test]
fn put_whose_answer_got_lost_finds_its_own_bytes() {
    let Some(server) = server() else { return };
    let plan = Plan {
        fault: Fault::LoseAnswer,
        times: 1,
        suits: |head| head.starts_with("PUT "),
    };
    let store = over_a_bad_line(&server, plan);
    let error = store.put_if_absent("manifest", b"content").unwrap_err();
    assert_eq!(error.kind, Kind::AlreadyExists);
    assert_eq!(store.get("manifest", 10).unwrap().bytes, b"content");
}

#[test]
fn passing_failures_are_retried() {
    let Some(server) = server() else { return };
    for fault in [
        Fault::Answer(503, "SlowDown"),
        Fault::Answer(500, "InternalError"),
        Fault::CutAnswer,
    ] {
        let plan = Plan {
            fault,
            times: 1,
            suits: |head| head.starts_with("GET "),
        };
        let store = over_a_bad_line(&server, plan);
        let content = vec![b'x'; 100_000];
        store.put_if_absent("a", &content).unwrap();
        assert_eq!(store.get("a", 100_000).unwrap().bytes, content);
    }
}

#[test]
fn lasting_failures_are_named_transient_or_skewed() {
    let Some(server) = server() else { return };
    for (status, code, kind) in [
        (503, "SlowDown", Kind::Transient),
        (403, "RequestTimeTooSkewed", Kind::ClockSkew),
        (507, "InsufficientStorage", Kind::OutOfSpace),
        (409, "ConditionalRequestConflict", Kind::AlreadyExists),
    ] {
        let plan = Plan {
            fault: Fault::Answer(status, code),
            times: u32::MAX,
            suits: |head| head.starts_with("PUT "),
        };
        let store = over_a_bad_line(&server, plan);
        let error = store.put_if_absent("a", b"x").unwrap_err();
        assert_eq!(error.kind, kind, "{}", chain(&error));
    }
}

#[test]
fn prefixes_keep_stores_apart() {
    let Some(server) = server() else { return };
    let prefix = prefix();
    let (one, other) = (format!("{prefix}/one"), format!("{prefix}/one-more"));
    server.store(BUCKET, &one).put_if_absent("a", b"x").unwrap();
    assert_eq!(
        list_all(&server.store(BUCKET, &other), "", None).unwrap(),
        []
    );
    assert_eq!(
        list_all(&server.store(BUCKET, &one), "", None)
            .unwrap()
            .len(),
        1
    );
    let whole = server.store(BUCKET, "");
    assert_eq!(whole.get(&format!("{one}/a"), 10).unwrap().bytes, b"x");
}

#[test]
fn versions_are_reported_where_the_bucket_keeps_them() {
    let Some(server) = server() else { return };
    server.create_bucket("locked", true);
    let store = server.store("locked", &prefix());
    let put = store.put_if_absent("a", b"first").unwrap();
    assert!(put.version_id.is_some());
    assert_eq!(store.head("a").unwrap().version_id, put.version_id);
    assert_eq!(store.get("a", 10).unwrap().version_id, put.version_id);
    assert_eq!(
        store.put_if_absent("a", b"second").unwrap_err().kind,
        Kind::AlreadyExists
    );
}

#[test]
fn probe_takes_the_versions_it_wrote_away_again() {
    let Some(server) = server() else { return };
    server.create_bucket("locked", true);
    let store = server.store("locked", &prefix());
    let report = probe(&store, "demo");
    assert!(report.usable(), "{report:?}");
    assert_eq!(report.outcome(probe::DELETE_VERSIONS), Outcome::Yes);
    let left = list_all_versions(store.versions().unwrap(), "").unwrap();
    assert_eq!(left, []);
}

#[test]
fn probe_that_may_not_delete_says_what_stays() {
    let Some(server) = server() else { return };
    server.create_bucket("locked", true);
    let plan = Plan {
        fault: Fault::Answer(403, "AccessDenied"),
        times: u32::MAX,
        suits: |head| head.starts_with("DELETE "),
    };
    let store = brief(S3Settings {
        endpoint: Some(faults::endpoint(server.port(), plan)),
        ..server.settings("locked", &prefix(), server.credentials())
    });
    let report = probe(&store, "demo");
    assert!(report.usable(), "{report:?}");
    for name in [probe::DELETE, probe::DELETE_VERSIONS] {
        assert_eq!(report.outcome(name), Outcome::No, "{report:?}");
    }
    let mut told = report.checks.iter().map(|check| check.detail.as_str());
    assert!(told.any(|words| words.contains("stay below demo/probe/")));
}

#[test]
fn unusable_settings_are_refused_before_anything_is_sent() {
    let good = somewhere("https://s3.example.org".into());
    assert!(S3Store::open("r2".parse().unwrap(), good.clone(), Cancel::new()).is_ok());
    for bad in [
        S3Settings {
            bucket: String::new(),
            ..good.clone()
        },
        S3Settings {
            prefix: "/a".into(),
            ..good.clone()
        },
        S3Settings {
            prefix: "a/".into(),
            ..good.clone()
        },
        S3Settings {
            prefix: "a/../b".into(),
            ..good.clone()
        },
        S3Settings {
            endpoint: Some("s3.example.org".into()),
            ..good.clone()
        },
        S3Settings {
            endpoint: Some("https://key:secret@s3.example.org".into()),
            ..good.clone()
        },
    ] {
        let opened = S3Store::open("r2".parse().unwrap(), bad, Cancel::new());
        assert_eq!(opened.err().unwrap().kind, Kind::Unexpected);
    }
}

#[test]
fn location_says_where_and_no_secret() {
    let store = brief(somewhere("https://s3.example.org".into()));
    assert_eq!(
        store.location(),
        "s3://bucket/a/b at https://s3.example.org"
    );
}

/// The head of the first request that a store with these settings makes, and that is refused.
fn first_request(settings: impl FnOnce(S3Settings) -> S3Settings) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let answer = b"HTTP/1.1 403 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        client.write_all(answer).unwrap();
        String::from_utf8(head).unwrap()
    });
    let store = brief(settings(somewhere(endpoint)));
    assert_eq!(store.get("a", 10).unwrap_err().kind, Kind::Denied);
    server.join().unwrap()
}

fn session_token(head: &str) -> Option<&str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix("x-amz-security-token: "))
}

#[test]
fn session_token_is_sent_with_a_request_and_signed_with_it() {
    let head = first_request(|settings| S3Settings {
        session_token: Some("made-elsewhere".into()),
        ..settings
    });
    assert_eq!(session_token(&head), Some("made-elsewhere"), "{head}");
    let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
    assert!(head.contains(signed), "{head}");
    assert_eq!(session_token(&first_request(|settings| settings)), None);
}

#[test]
fn temporary_credentials_go_out_in_place_of_the_token() {
    let head = first_request(|settings| S3Settings {
        temporary: Some(Temporary {
            account_id: "0123456789abcdef".to_owned(),
            rights: Rights::Read,
        }),
        ..settings
    });
    let token = BASE64.decode(session_token(&head).unwrap()).unwrap();
    assert!(token.starts_with(b"jwt/ey"), "{head}");
    assert!(head.contains("Credential=id/"), "{head}");
}

#[test]
fn temporary_credentials_need_an_endpoint_and_no_session_token() {
    let temporary = Some(Temporary {
        account_id: "0123456789abcdef".to_owned(),
        rights: Rights::Read,
    });
    let good = S3Settings {
        temporary,
        ..somewhere("https://s3.example.org".into())
    };
    assert!(S3Store::open("r2".parse().unwrap(), good.clone(), Cancel::new()).is_ok());
    for bad in [
        S3Settings {
            endpoint: None,
            ..good.clone()
        },
        S3Settings {
            session_token: Some("made-elsewhere".into()),
            ..good.clone()
        },
    ] {
        assert!(S3Store::open("r2".parse().unwrap(), bad, Cancel::new()).is_err());
    }
}

fn somewhere(endpoint: String) -> S3Settings {
    S3Settings {
        bucket: "bucket".into(),
        prefix: "a/b".into(),
        endpoint: Some(endpoint),
        region: "auto".into(),
        path_style: true,
        access_key_id: "id".into(),
        secret_access_key: "secret".into(),
        session_token: None,
        temporary: None,
    }
}

fn unfinished_uploads(server: &Seaweed, prefix: &str) -> usize {
    let client = server.client();
    let request = client
        .list_multipart_uploads()
        .bucket(BUCKET)
        .prefix(prefix);
    let listed = runtime().block_on(request.send()).unwrap();
    listed.uploads().len()
}
