//! Three years of nights in two stores.

use std::time::Instant;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::Clock;
use databasus_escrow::model::audit::check::Verdict;
use databasus_escrow::model::audit::policy::AuditPolicy;
use databasus_escrow::model::audit::report::Report;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::ops::audit::{Request, Sampling, observe};

use crate::support::instance::{Bed, Host};

const NIGHTS: u64 = 1_000;

const POLICY: &str = "
version = 1
[freshness]
[parts]
sample = 20
[custody]
mode = \"any\"
[instance]
[[store]]
name = \"a\"
[[store]]
name = \"b\"
";

/// Puts an object into every store.
fn put(bed: &Bed, key: &str, bytes: &[u8]) {
    for store in &bed.stores {
        store.put_if_absent(key, bytes).unwrap();
    }
}

/// A later night, with the bytes of the one before.
fn next(bed: &Bed, host: &Host, before: &Manifest, digest: Digest) -> (Manifest, Digest) {
    let layout = Layout::new(&bed.slug);
    let mut manifest = before.clone();
    manifest.seq += 1;
    manifest.prev_sha256 = Some(digest);
    let at = before.created_at.plus(1);
    (manifest.created_at, manifest.snapshot_at) = (at, at);
    manifest.next_due = at.plus(86_400);
    let id = format!("{}-{:016x}", at.compact(), manifest.seq);
    manifest.escrow_id = id.parse().unwrap();
    let read = |key: &str| bed.stores[0].get(key, 64 << 20).unwrap().bytes;
    let payload = layout.payload(&manifest.escrow_id);
    put(bed, &payload, &read(&layout.payload(&before.escrow_id)));
    for record in &mut manifest.stores {
        record.key.clone_from(&payload);
    }
    for canary in &mut manifest.canaries {
        let bytes = read(&canary.key);
        canary.key = layout.canary(&manifest.escrow_id, &canary.custodian);
        put(bed, &canary.key, &bytes);
    }
    let bytes = manifest.to_bytes().unwrap();
    let digest = Digest::of(&bytes);
    let signature = host
        .settings
        .signing_key
        .sign(Namespace::Manifest, &bytes)
        .unwrap();
    let name = layout.signature(&digest, &host.settings.signer);
    put(bed, &name, signature.as_bytes());
    put(bed, &layout.manifest(manifest.seq), &bytes);
    (manifest, digest)
}

#[test]
fn a_thousand_escrows_in_two_stores_are_audited_in_one_go() {
    let bed = Bed::new();
    let host = bed.host("host-1");
    let first = bed.snapshot(&host).unwrap();
    let mut newest = (first.manifest, first.digest);
    for _ in 1..NIGHTS {
        newest = next(&bed, &host, &newest.0, newest.1);
    }
    bed.clock.advance(i64::try_from(NIGHTS).unwrap());
    let policy = AuditPolicy::parse(POLICY).unwrap();

    let began = Instant::now();
    let history = bed.read(None);
    let facts = observe(&Request {
        history: &history,
        stores: &bed.stores,
        mark: None,
        sampling: Sampling::Some(20),
        seed: 1,
        now: bed.clock.now(),
        cancel: &Cancel::new(),
    });
    let report = Report::of(&bed.slug, &policy, Digest::of(b""), &facts.unwrap());
    println!("{NIGHTS} escrows in two stores: {:?}", began.elapsed());

    assert_eq!(report.head.unwrap().seq, NIGHTS);
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.checks);
}
