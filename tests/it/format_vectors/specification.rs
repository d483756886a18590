//! `docs/FORMAT.md` says what is so: its examples are recomputed, its commands run.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use databasus_escrow::base::digest::Digest;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::model::allowed_signers::AllowedSigners;
use databasus_escrow::model::checkin::STATEMENT;
use databasus_escrow::model::document::Document;
use databasus_escrow::model::drill::DrillReport;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::policy::Policy;
use databasus_escrow::model::strict_json;
use databasus_escrow::sealing::parts::{PartSink, PartWriter, SealedPart};
use serde_json::Value;

use super::archive::index_of;
use super::{Archive, REKEYED, TWO_OF_THREE, V1, layout, slug, stock_tools};

pub(super) const FORMAT: &str = include_str!("../../../docs/FORMAT.md");

/// The contents of the fenced blocks of this name.
fn blocks(name: &str) -> Vec<&'static str> {
    let fences = FORMAT.split("\n```").skip(1).step_by(2);
    let named: Vec<_> = fences
        .filter_map(|block| {
            let (info, body) = block.split_once('\n')?;
            (info.split(' ').nth(1) == Some(name)).then_some(body)
        })
        .collect();
    assert!(!named.is_empty(), "FORMAT.md has no block {name}");
    named
}

pub(super) fn block(name: &str) -> &'static str {
    blocks(name)[0]
}

pub(super) fn lines(name: &str) -> std::str::Lines<'static> {
    block(name).lines()
}

/// Compares lines `name = value` with what they should be, so that a failure shows what to write.
pub(super) fn assert_values(name: &str, values: &[(&str, String)]) {
    let expected: Vec<String> = values.iter().map(|(n, v)| format!("{n} = {v}")).collect();
    assert_eq!(block(name), expected.join("\n"), "block {name}");
}

#[test]
fn the_statement_of_a_check_in_stands_in_the_specification_word_for_word() {
    assert!(FORMAT.contains(&format!("\n{STATEMENT}\n")));
}

#[test]
fn the_worked_manifest_is_the_archives_first() {
    let text = format!("{}\n", block("worked-manifest"));
    assert_eq!(text.as_bytes(), V1.manifest_bytes(1));
    let document = Document::parse(text.as_bytes()).unwrap();
    assert_eq!(document.escrow.as_deref(), Some(&V1.manifest(1)));
}

#[test]
fn the_worked_values_follow_from_the_manifest() {
    let (layout, manifest, digest) = (layout(), V1.manifest(1), Digest::of(&V1.manifest_bytes(1)));
    let signer = "escrow@demo-host".parse().unwrap();
    let key = SecretKey::new(block("worked-secret-key").into()).unwrap();
    let mark = Mark {
        seq: 1,
        manifest_sha256: digest,
    };
    assert_values(
        "worked-values",
        &[
            ("manifest_sha256", digest.to_string()),
            ("mark", mark.to_string()),
            (
                "signer_fingerprint",
                V1.signing_key().fingerprint().to_string(),
            ),
            ("manifest_key", layout.manifest(1)),
            ("long_manifest_key", layout.manifest_beside(1, &digest)),
            ("signature_key", layout.signature(&digest, &signer)),
            ("payload_key", layout.payload(&manifest.escrow_id)),
            ("policy_key", layout.policy(&manifest.policy_sha256)),
            (
                "restore_key",
                layout.restore_md(&manifest.restore_md_sha256),
            ),
            ("secret_key_id", key.key_id(&slug()).to_string()),
        ],
    );
    assert_eq!(manifest.secret_key_id, key.key_id(&slug()).to_string());
}

#[test]
fn the_worked_policy_is_the_object_that_the_manifest_names() {
    let text = format!("{}\n", block("worked-policy"));
    let policy = Policy::parse(text.as_bytes(), &V1.manifest(1).policy_sha256).unwrap();
    assert_eq!(policy.recipients, V1.text("trust/recipients-1.toml"));
    assert_eq!(policy.allowed_signers, V1.text("trust/allowed_signers"));
    assert_eq!(policy.to_bytes().unwrap(), text.as_bytes());
}

/// Ed25519 is deterministic: whoever has the key gets these very bytes.
#[test]
fn the_worked_signature_is_made_again() {
    let signature = V1
        .signing_key()
        .sign(Namespace::Manifest, &V1.manifest_bytes(1));
    assert_eq!(
        signature.unwrap(),
        format!("{}\n", block("worked-signature"))
    );
}

#[test]
fn the_parts_of_the_example_are_cut_as_it_says() {
    struct Ignore;
    impl PartSink for Ignore {
        fn part(&mut self, _: SealedPart) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = PartWriter::new(Ignore, 16);
    writeln!(writer, "{}", block("parts-object")).unwrap();
    let (_, payload) = writer.finish().unwrap();
    assert_values(
        "parts-values",
        &[
            ("size", payload.size.to_string()),
            ("sha256", payload.sha256.to_string()),
            ("parts[0]", payload.parts[0].to_string()),
            ("parts[1]", payload.parts[1].to_string()),
            ("parts[2]", payload.parts[2].to_string()),
            ("md5_etag", payload.md5_etag.clone()),
            ("age_header_sha256", payload.age_header_sha256.to_string()),
        ],
    );
}

#[test]
fn documents_are_refused_and_accepted_as_listed() {
    let read = |line: &str| strict_json::from_slice::<Value>(line.as_bytes());
    for line in lines("refused-documents") {
        assert!(read(line).is_err(), "{line} was accepted");
    }
    for line in lines("accepted-documents") {
        assert!(read(line).is_ok(), "{line} was refused");
    }
}

#[test]
fn documents_nest_127_levels_at_most() {
    let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
    let read = |depth| strict_json::from_slice::<Value>(nested(depth).as_bytes());
    assert!(read(127).is_ok());
    assert!(read(128).is_err());
}

#[test]
fn manifests_are_refused_and_accepted_as_listed() {
    if !stock_tools(&["jq"]) {
        return;
    }
    assert!(Document::parse(&changed(".")).is_ok());
    for change in lines("refused-manifests") {
        let outcome = Document::parse(&changed(change));
        assert!(outcome.is_err(), "{change} was accepted");
    }
    for change in lines("accepted-manifests") {
        let outcome = Document::parse(&changed(change));
        assert!(outcome.is_ok(), "{change}: {outcome:?}");
    }
}

/// The worked manifest after a change in jq's language.
pub(super) fn changed(change: &str) -> Vec<u8> {
    let mut jq = Command::new("jq")
        .arg(change)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = jq.stdin.take().unwrap();
    input.write_all(&V1.manifest_bytes(1)).unwrap();
    drop(input);
    let output = jq.wait_with_output().unwrap();
    assert!(output.status.success(), "jq does not understand {change}");
    output.stdout
}

#[test]
fn signers_are_refused_and_accepted_as_listed() {
    let key = V1.signing_key().public_openssh();
    let read = |line: &str| AllowedSigners::parse(&line.replace("KEY", &key));
    for line in lines("refused-signers") {
        assert!(read(line).is_err(), "{line} was accepted");
    }
    for line in lines("accepted-signers") {
        assert!(read(line).is_ok(), "{line} was refused");
    }
}

#[test]
fn every_field_of_manifest_and_index_is_described() {
    let index = serde_json::to_value(index_of(2)).unwrap();
    let mut fields = BTreeSet::new();
    for bytes in [V1.manifest_bytes(2), TWO_OF_THREE.manifest_bytes(1)] {
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        collect(&manifest, "", &mut fields);
    }
    collect(&index, "", &mut fields);
    let described = |field: &&String| {
        let field = field.replace("_before.", "_*.").replace("_after.", "_*.");
        FORMAT.contains(&format!("\n| `{field}` | "))
    };
    let missing: Vec<_> = fields.iter().filter(|field| !described(field)).collect();
    assert_eq!(missing, [""; 0], "fields that FORMAT.md does not describe");
}

#[test]
fn the_worked_drill_report_is_what_a_writer_writes() {
    let text = format!("{}\n", block("worked-drill"));
    let report = DrillReport::parse(text.as_bytes()).unwrap();
    assert_eq!(report.to_bytes().unwrap(), text.as_bytes());
    assert_eq!(report.judged(), report.outcome);
    assert!(FORMAT.contains(&Digest::of(text.as_bytes()).to_string()));
    let mut fields = BTreeSet::new();
    collect(&serde_json::to_value(report).unwrap(), "", &mut fields);
    let parents = ["tool", "level", "rto", "rpo"];
    fields.retain(|field| !parents.contains(&field.as_str()));
    let missing = fields
        .iter()
        .filter(|field| !FORMAT.contains(&format!("`{field}`")));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
}

/// The paths of all fields: `payload.size`, `stores[].name`. Keys of `row_counts` are data.
fn collect(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if !path.ends_with(".row_counts") => {
            for (key, value) in object {
                let field = [path, key].join(if path.is_empty() { "" } else { "." });
                collect(value, &field, fields);
                fields.insert(field);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, &format!("{path}[]"), fields);
            }
        }
        _ => {}
    }
}

/// Every command of the section, one after the other, in the archive's folder.
#[test]
fn the_commands_by_hand_work_as_written() {
    if !stock_tools(&["age", "jq", "ssh-keygen", "tar", "zstd"]) {
        return;
    }
    let told = by_hand(&V1, "by-hand");
    assert!(told.contains("Good \"escrow-manifest@databasus\" signature for escrow@demo-host"));
    assert!(told.contains(&V1.signing_key().fingerprint().to_string()));
    let told = by_hand(&TWO_OF_THREE, "by-hand-two-of-three");
    assert!(told.contains("Good \"escrow-checkin@databasus\" signature for bob"));
    let told = by_hand(&REKEYED, "by-hand-rekeyed");
    assert!(told.contains("/payload.tar.zst.age: OK"));
}

fn by_hand(archive: &Archive, name: &str) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &blocks(name).join("\n")])
        .current_dir(archive.path("."))
        .env("TMPDIR", scratch.path())
        .env("TZ", "Pacific/Auckland")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{failed}");
    assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
    told.into_owned()
}
