//! What `docs/FORMAT.md` says of amends.

use databasus_escrow::base::digest::Digest;
use databasus_escrow::model::amend::Change;
use databasus_escrow::model::document::Document;
use databasus_escrow::model::lock::{LockMode, LockRecord};
use databasus_escrow::model::manifest::{StoreRecord, StoreState};
use databasus_escrow::model::strict_json;
use serde_json::Value;

use super::specification::{FORMAT, block, changed, lines};
use super::{REKEYED, V1, layout, stock_tools};

fn worked() -> Vec<Change> {
    let escrow_id = V1.manifest(1).escrow_id;
    let [first, second] = [1, 2].map(|seq| Digest::of(&V1.manifest_bytes(seq)));
    let time = |text: &str| text.parse().unwrap();
    vec![
        Change::Copied {
            store: StoreRecord {
                name: "second".parse().unwrap(),
                provider: "aws".to_owned(),
                bucket: Some("escrow-second".to_owned()),
                key: layout().payload(&escrow_id),
                version_id: Some("kq5lx0lHpYz4".to_owned()),
                etag: Some(V1.manifest(1).payload.md5_etag),
                state: StoreState::Stored,
                lock: Some(LockRecord {
                    mode: Some(LockMode::Compliance),
                    retain_until: Some(time("2026-07-13T02:00:02Z")),
                    read_back_at: Some(time("2026-06-13T02:00:09Z")),
                    probe: None,
                }),
            },
            escrow_id: escrow_id.clone(),
        },
        Change::Expired {
            escrow_ids: vec![escrow_id],
        },
        Change::ForkClosed {
            seq: 2,
            followed: first,
            others: vec![second],
        },
    ]
}

#[test]
fn the_worked_changes_are_read_and_written_as_they_stand() {
    let text = format!("{}\n", block("worked-changes"));
    assert_eq!(
        String::from_utf8(strict_json::to_vec(&worked()).unwrap()).unwrap(),
        text
    );
    let read: Vec<Change> = strict_json::from_slice(text.as_bytes()).unwrap();
    assert_eq!(read, worked());
}

#[test]
fn changes_are_refused_and_accepted_as_listed() {
    if !stock_tools(&["jq"]) {
        return;
    }
    let amend = |change: &str| {
        let with = format!(".kind = \"amend\" | .changes = [{change}] | del(.payload, .source)");
        Document::parse(&changed(&with))
    };
    for change in lines("refused-changes") {
        assert!(amend(change).is_err(), "{change} was accepted");
    }
    for change in lines("accepted-changes") {
        let outcome = amend(change);
        assert!(outcome.is_ok(), "{change}: {outcome:?}");
    }
}

#[test]
fn every_field_of_a_change_is_described_in_its_row() {
    let mut changes = serde_json::to_value(worked()).unwrap();
    let rekeyed: Value = strict_json::from_slice(&REKEYED.manifest_bytes(2)).unwrap();
    let all = changes.as_array_mut().unwrap();
    all.push(rekeyed["changes"][0].clone());
    for change in all {
        let kind = change["change"].as_str().unwrap();
        let row = format!("| `{kind}` | ");
        let row = FORMAT.lines().find(|line| line.starts_with(&row)).unwrap();
        let fields = change.as_object().unwrap().keys();
        for field in fields.filter(|field| *field != "change") {
            assert!(row.contains(&format!("`{field}`")), "{kind}: {field}");
        }
    }
}
