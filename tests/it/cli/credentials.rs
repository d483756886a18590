//! `doctor stores`: wrong credentials are named for what they are, and so are those that are too
//! wide. SeaweedFS knows administrators and readers; what its identities cannot be kept from, a
//! line in front of it refuses.

use std::sync::Arc;

use databasus_escrow::base::time::{Clock as _, SystemClock};
use databasus_escrow::model::lock::{Lock, LockMode};
use databasus_escrow::store::versions::list_all_versions;
use databasus_escrow::store::{Store as _, list_all};
use predicates::prelude::*;
use predicates::str::contains;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::faults::{Fault, Plan, endpoint};
use crate::support::sandbox::{Sandbox, json};
use crate::support::seaweed::{Credentials, Seaweed};

const MANIFEST: &str = "demo/manifest/0000000001.json";

/// A bucket of its own.
struct Bed {
    sandbox: Sandbox,
    server: Arc<Seaweed>,
    bucket: &'static str,
    endpoint: String,
}

impl Bed {
    fn new(bucket: &'static str, object_lock: bool) -> Option<Self> {
        let server = Seaweed::start()?;
        server.create_bucket(bucket, object_lock);
        let mut bed = Self {
            sandbox: Sandbox::new(),
            endpoint: server.endpoint(),
            server,
            bucket,
        };
        bed.sign_in(&bed.server.credentials());
        Some(bed)
    }

    fn sign_in(&mut self, who: &Credentials) {
        self.sandbox
            .set("ESCROW_LAT_ACCESS_KEY_ID", &who.access_key_id);
        let secret = who.secret_access_key.expose_secret();
        self.sandbox.set("ESCROW_LAT_SECRET_ACCESS_KEY", secret);
    }

    /// The same bucket over a line that answers these requests itself.
    fn behind(mut self, status: u16, code: &'static str, suits: fn(&str) -> bool) -> Self {
        let plan = Plan {
            fault: Fault::Answer(status, code),
            times: u32::MAX,
            suits,
        };
        self.endpoint = endpoint(self.server.port(), plan);
        self
    }

    fn line(&self, more: &str, arguments: &str) -> String {
        let Self {
            bucket, endpoint, ..
        } = self;
        format!(
            "doctor stores --instance demo {arguments} --store \
             lat=s3://{bucket}/p?endpoint={endpoint}&region=us-east-1{more}"
        )
    }

    fn run(&self, more: &str, arguments: &str) -> assert_cmd::assert::Assert {
        self.sandbox.run(&self.line(more, arguments))
    }

    fn put_something(&self) {
        let store = self.server.store(self.bucket, "p");
        store.put_if_absent(MANIFEST, b"{}").unwrap();
    }

    fn put_something_locked(&self) {
        let store = self.server.store(self.bucket, "p");
        let lock = Lock {
            mode: LockMode::Compliance,
            until: SystemClock.now().plus(600),
        };
        let locking = store.locking(lock).unwrap();
        locking.put_if_absent(MANIFEST, b"{}").unwrap();
    }

    /// Keys of the versions that trials left, locked ones apart.
    fn left(&self) -> Vec<String> {
        let store = self.server.store(self.bucket, "p");
        let versions = store.versions().unwrap();
        let listed = list_all_versions(versions, "demo/probe/").unwrap();
        let keys = listed.into_iter().map(|version| version.key);
        keys.filter(|key| !key.ends_with("/locked")).collect()
    }
}

/// A deletion of an object or a version: an upload is aborted in the same way.
fn deletes(head: &str) -> bool {
    head.starts_with("DELETE ") && !head.contains("uploadId=")
}

fn verdict(document: &Value, tried: &str) -> String {
    let tries = document["stores"][0]["tries"].as_array().unwrap();
    let found = tries.iter().find(|one| one["name"] == tried);
    let found = found.unwrap_or_else(|| panic!("{tried} was not tried: {document:#}"));
    found["fit"].as_str().unwrap().to_owned()
}

#[test]
fn writer_that_cannot_delete_fits_a_bucket_with_locks() {
    let Some(bed) = Bed::new("cred-writer", true) else {
        return;
    };
    let bed = bed.behind(403, "AccessDenied", deletes);
    let ran = bed.run("&lock=compliance:1:2", "--json").success();
    let document = json(&ran);
    assert_eq!(document["role"], "writer");
    assert_eq!(document["stores"][0]["fit"], "right", "{document:#}");
    for tried in ["write", "multipart", "delete", "locked-delete-bypassing"] {
        assert_eq!(verdict(&document, tried), "right", "{document:#}");
    }
}

#[test]
fn writer_that_can_delete_is_named_and_what_it_wrote_is_gone() {
    for (bucket, object_lock) in [("cred-deletes", false), ("cred-versions", true)] {
        let Some(bed) = Bed::new(bucket, object_lock) else {
            return;
        };
        bed.run("", "")
            .code(3)
            .stdout(contains("wider than a writer needs: delete"))
            .stderr(contains("hint: store lat: give the host credentials"));
        assert_eq!(bed.left(), [""; 0]);
    }
}

#[test]
fn writer_that_can_lift_a_lock_is_too_wide() {
    let Some(bed) = Bed::new("cred-governance", true) else {
        return;
    };
    let ran = bed.run("&lock=governance:1:2", "").code(13);
    ran.stdout(contains("TOO WIDE for a writer: locked-"))
        .stderr(contains("bypass governance"));
}

#[test]
fn writer_that_may_only_read_lacks_it() {
    let Some(mut bed) = Bed::new("cred-reading-writer", false) else {
        return;
    };
    bed.sign_in(&bed.server.read_only_credentials());
    bed.run("", "")
        .code(1)
        .stdout(contains("not enough for a writer: write"));
}

#[test]
fn writer_that_may_not_write_in_parts_lacks_it() {
    let Some(bed) = Bed::new("cred-parts", false) else {
        return;
    };
    let bed = bed.behind(403, "AccessDenied", |head| {
        head.starts_with("POST ") && head.lines().next().is_some_and(|l| l.contains("?uploads"))
    });
    bed.run("", "")
        .code(1)
        .stdout(contains("not enough for a writer: multipart"));
}

#[test]
fn service_that_does_not_know_conditional_writes_is_unknown() {
    let Some(bed) = Bed::new("cred-conditional", false) else {
        return;
    };
    let bed = bed.behind(501, "NotImplemented", |head| {
        head.to_ascii_lowercase().contains("if-none-match")
    });
    bed.run("", "")
        .code(3)
        .stdout(contains("unknown whether they fit a writer: write"));
}

#[test]
fn wrong_credentials_and_places_are_named_for_what_they_are() {
    let Some(bed) = Bed::new("cred-wrong", false) else {
        return;
    };
    let told = |bed: &Bed, code: i32, word: &str, hint: &str| {
        bed.run("", "")
            .code(code)
            .stdout(contains(word))
            .stderr(contains(hint));
    };
    let any = |_: &str| true;
    let skewed = bed.behind(403, "RequestTimeTooSkewed", any);
    told(&skewed, 1, "clock differs", "set this host's clock");
    let region = skewed.behind(301, "PermanentRedirect", any);
    told(&region, 1, "in another region", "`region` and `endpoint`");
    let expired = region.behind(400, "ExpiredToken", any);
    told(
        &expired,
        1,
        "ExpiredToken",
        "session token and when it ends",
    );

    let mut bed = expired;
    bed.endpoint = bed.server.endpoint();
    let right = bed.server.credentials();
    bed.sign_in(&Credentials {
        secret_access_key: "CANARY".to_owned().into(),
        ..right.clone()
    });
    told(&bed, 1, "SignatureDoesNotMatch", "key id, secret");
    bed.run("", "")
        .code(1)
        .stdout(contains("CANARY").not())
        .stderr(contains("CANARY").not());
    bed.sign_in(&Credentials {
        access_key_id: "nobody".to_owned(),
        ..right.clone()
    });
    told(&bed, 1, "InvalidAccessKeyId", "key id, secret");
    bed.sign_in(&right);
    bed.bucket = "cred-not-there";
    told(&bed, 1, "does not exist", "create the bucket");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    bed.endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    told(&bed, 3, "not reachable", "check the endpoint");
}

#[test]
fn auditor_reads_and_lists_and_no_more() {
    let Some(mut bed) = Bed::new("cred-auditor", true) else {
        return;
    };
    bed.put_something_locked();
    bed.sign_in(&bed.server.read_only_credentials());
    let ran = bed.run("&lock=compliance:1:2", "--as auditor --json");
    let document = json(&ran.success());
    for tried in [
        "reach",
        "read",
        "list-versions",
        "read-lock",
        "write",
        "delete",
    ] {
        assert_eq!(verdict(&document, tried), "right", "{document:#}");
    }
}

#[test]
fn auditor_that_can_write_and_delete_is_too_wide_and_leaves_nothing() {
    let Some(bed) = Bed::new("cred-wide-auditor", true) else {
        return;
    };
    bed.put_something();
    bed.run("", "--as auditor")
        .code(13)
        .stdout(contains("TOO WIDE for an auditor: write, delete"))
        .stderr(contains("can only read and list"));
    assert_eq!(bed.left(), [""; 0]);
    let store = bed.server.store(bed.bucket, "p");
    assert_eq!(list_all(&store, "", None).unwrap().len(), 1);
}

#[test]
fn auditor_that_can_write_and_not_delete_is_told_what_stays() {
    let Some(bed) = Bed::new("cred-dropping", false) else {
        return;
    };
    bed.put_something();
    let bed = bed.behind(403, "AccessDenied", deletes);
    bed.run("", "--as auditor")
        .code(13)
        .stdout(contains("TOO WIDE for an auditor: write\n"))
        .stdout(contains("what it wrote stays: demo/probe/"));
}

#[test]
fn auditor_that_cannot_list_or_read_lacks_it() {
    let Some(mut bed) = Bed::new("cred-blind", false) else {
        return;
    };
    bed.put_something();
    bed.sign_in(&bed.server.read_only_credentials());
    let unreading = bed.behind(403, "AccessDenied", |head| {
        head.starts_with("GET ") && head.to_ascii_lowercase().contains("\nrange: ")
    });
    unreading
        .run("", "--as auditor")
        .code(1)
        .stdout(contains("not enough for an auditor: read"));
    let unlisting = unreading.behind(403, "AccessDenied", |head| head.contains("list-type=2"));
    unlisting
        .run("", "--as auditor")
        .code(1)
        .stdout(contains("not enough for an auditor: reach"));
}

#[test]
fn pruner_needs_to_delete() {
    let Some(bed) = Bed::new("cred-pruner", true) else {
        return;
    };
    bed.run("&lock=compliance:1:2", "--as pruner")
        .success()
        .stdout(contains("credentials as a pruner should have them"));
    let bed = bed.behind(403, "AccessDenied", deletes);
    bed.run("", "--as pruner")
        .code(1)
        .stdout(contains("not enough for a pruner: delete"));
}

#[test]
fn token_of_r2_that_is_new_is_waited_for() {
    let Some(mut bed) = Bed::new("cred-token", false) else {
        return;
    };
    let token = bed.server.r2_token();
    bed.sandbox.set("ESCROW_LAT_TOKEN_VALUE", &token.value);
    let plan = Plan {
        fault: Fault::Answer(401, "Unauthorized"),
        times: 1,
        suits: |_| true,
    };
    bed.endpoint = endpoint(bed.server.port(), plan);
    let more = format!("&account_id=0123456789abcdef&token_id={}", token.id);
    bed.run(&more, "")
        .code(3)
        .stdout(contains("wider than a writer needs: delete"))
        .stderr(contains("one made a moment ago may need half a minute"));
}

#[test]
fn stores_of_the_configuration_are_tried_and_what_a_lock_keeps_is_remembered() {
    let Some(bed) = Bed::new("cred-configured", true) else {
        return;
    };
    let Some(data) = bed.sandbox.tiny_instance() else {
        return;
    };
    let bucket = format!(
        "lat=s3://cred-configured/p?endpoint={}&region=us-east-1&lock=compliance:1:2",
        bed.endpoint
    );
    let usb = format!("usb=dir:{}", bed.sandbox.folder("usb").display());
    let host = bed.sandbox.host_with(&data, &[bucket, usb], "--skip-probe");
    let document = json(&host.run("doctor stores --json").code(3));
    assert_eq!(document["stores"][0]["fit"], "wider", "{document:#}");
    assert_eq!(document["stores"][1]["fit"], "right", "{document:#}");
    let kept = std::fs::read_to_string(bed.sandbox.path("host/state/demo.lock-tries.json"));
    let kept: Value = serde_json::from_str(&kept.unwrap()).unwrap();
    assert_eq!(kept["lat"]["last"]["record"]["result"], "enforced");
    assert_eq!(kept["lat"]["folders"].as_array().unwrap().len(), 1);
    host.run("doctor stores usb").success();
    host.run("doctor stores nas")
        .code(2)
        .stderr(contains("has no store nas"));
}
