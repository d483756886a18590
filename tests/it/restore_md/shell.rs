//! Verifying and opening an escrow by hand.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::block;
use crate::support::skip;

/// Runs bash in `folder`; its output if it succeeded.
fn bash(folder: &Path, script: &str) -> Result<String, String> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(format!("{}{}", said(&output.stdout), said(&output.stderr))),
    }
}

/// Makes, with stock tools alone, what the download leaves: one good escrow, and above it a
/// manifest that a stranger signed.
const DOWNLOADED: &str = r#"
    mkdir manifest sig policy unlock tree tree/databasus-data
    printf key > tree/databasus-data/secret.key
    for who in signer stranger; do ssh-keygen -q -t ed25519 -N '' -C '' -f "$who"; done
    for who in alice bob e; do age-keygen -o "$who.txt" 2>/dev/null; done
    recipient() { age-keygen -y "$1.txt"; }
    tar -c -C tree . | zstd -q > payload.tar.zst
    age -r "$(recipient alice)" -o payload.tar.zst.age payload.tar.zst
    age -r "$(recipient e)" -o shared.tar.zst.age payload.tar.zst
    age -r "$(recipient bob)" e.txt | age -r "$(recipient alice)" -o unlock/A+B.age
    mkdir stray; mv e.txt payload.tar.zst stray
    jq -n --arg keys "escrow-host namespaces=\"escrow-manifest@databasus\" $(cat signer.pub)" \
      '{recipients: "", allowed_signers: $keys}' > policy.json
    policy=$(sha256sum policy.json | cut -c 1-64); mv policy.json "policy/$policy.json"
    manifest() {
      jq -n --arg policy "$policy" --arg payload "$(sha256sum payload.tar.zst.age | cut -c 1-64)" --argjson seq "$1" \
        --arg unlock "$(sha256sum unlock/A+B.age | cut -c 1-64)" \
        '{kind: "snapshot", seq: $seq, escrow_id: "x", created_at: "2026-06-12T02:00:00Z",
          policy_sha256: $policy, payload: {sha256: $payload},
          unlock: [{key: "x/escrow/x/unlock/A+B.age", sha256: $unlock}]}' > "manifest/000000000$1.json"
      ssh-keygen -q -Y sign -n escrow-manifest@databasus -f "$2" "manifest/000000000$1.json" 2>/dev/null
      digest=$(sha256sum "manifest/000000000$1.json" | cut -c 1-64)
      mv "manifest/000000000$1.json.sig" "sig/$digest.escrow-host.sig"
    }
    manifest 1 signer; manifest 2 stranger
    touch "manifest/0000000009.json; rm -rf x"
    ssh-keygen -l -f signer.pub | cut -d ' ' -f 2"#;

/// A folder as part 2 leaves it, and the signer's fingerprint; none where tools are missing.
fn downloaded() -> Option<(tempfile::TempDir, String)> {
    let folder = tempfile::tempdir().unwrap();
    let tools = "command -v age age-keygen zstd tar sha256sum ssh-keygen jq";
    if let Err(found) = bash(folder.path(), tools) {
        skip(&format!("stock tools are missing; there are {found:?}"));
        return None;
    }
    let fingerprint = bash(folder.path(), DOWNLOADED).unwrap();
    Some((folder, fingerprint.trim().to_owned()))
}

/// A block of shell commands without the downloads.
fn offline(mark: &str) -> String {
    let body = block("sh", mark);
    let lines = body.lines().filter(|line| !line.starts_with("aws "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_newest_manifest_of_the_right_signer_stands_out() {
    let Some((folder, fingerprint)) = downloaded() else {
        return;
    };
    let said = bash(folder.path(), &offline("check-novalidate")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("0000000002.json  Good") && !lines[0].contains(&fingerprint));
    assert!(lines[1].starts_with("0000000001.json  Good") && lines[1].contains(&fingerprint));
}

#[test]
fn allowed_signers_of_the_policy_judge_name_and_time() {
    let Some((folder, _)) = downloaded() else {
        return;
    };
    let verify = offline("-Overify-time");
    let good = bash(
        folder.path(),
        &format!("M=manifest/0000000001.json\n{verify}"),
    )
    .unwrap();
    assert!(
        good.contains("Good \"escrow-manifest@databasus\" signature for escrow-host"),
        "{good}"
    );
    let forged = bash(
        folder.path(),
        &format!("M=manifest/0000000002.json\n{verify}"),
    )
    .unwrap();
    assert!(
        forged.ends_with("NOT BY escrow-host\n") && !forged.contains("Good"),
        "{forged}"
    );
}

#[test]
fn one_custodian_opens_a_payload_that_matches_its_manifest() {
    let Some((folder, _)) = downloaded() else {
        return;
    };
    let compare = format!("M=manifest/0000000001.json\n{}", offline(".payload.sha256"));
    let open = offline("KEY=/path").replace("/path/to/identity.txt", "alice.txt");
    assert_eq!(
        bash(folder.path(), &compare).unwrap(),
        "payload.tar.zst.age: OK\n"
    );
    assert_eq!(bash(folder.path(), &open).unwrap(), "COMPLETE\n");
    let key = fs::read(folder.path().join("restored/databasus-data/secret.key")).unwrap();
    assert_eq!(key, b"key");
}

#[test]
fn a_payload_that_was_cut_never_reads_complete() {
    let Some((folder, _)) = downloaded() else {
        return;
    };
    let payload = folder.path().join("payload.tar.zst.age");
    let bytes = fs::read(&payload).unwrap();
    fs::write(&payload, &bytes[..bytes.len() - 20]).unwrap();
    let compare = format!("M=manifest/0000000001.json\n{}", offline(".payload.sha256"));
    assert!(
        bash(folder.path(), &compare)
            .unwrap_err()
            .contains("FAILED")
    );
    let open = offline("KEY=/path").replace("/path/to/identity.txt", "alice.txt");
    assert!(!bash(folder.path(), &open).unwrap_err().contains("COMPLETE"));
}

#[test]
fn two_custodians_open_what_needs_two() {
    let Some((folder, _)) = downloaded() else {
        return;
    };
    fs::rename(
        folder.path().join("shared.tar.zst.age"),
        folder.path().join("payload.tar.zst.age"),
    )
    .unwrap();
    for (letter, name) in [("A", "alice"), ("B", "bob")] {
        let to = folder.path().join(format!("{letter}.txt"));
        fs::rename(folder.path().join(format!("{name}.txt")), to).unwrap();
    }
    let open = format!("M=manifest/0000000001.json\n{}", offline("A+B.age"));
    let said = bash(folder.path(), &open).unwrap();
    assert_eq!(said, "unlock/A+B.age: OK\nCOMPLETE\n");
    // A file that was put in its place is seen before anybody opens it.
    fs::remove_dir_all(folder.path().join("restored")).unwrap();
    fs::write(
        folder.path().join("unlock/A+B.age"),
        "age-encryption.org/v1\n",
    )
    .unwrap();
    assert!(bash(folder.path(), &open).unwrap_err().contains("FAILED"));
}
