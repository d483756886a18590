#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::*;

const HOST: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const DRILL: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";

fn key(line: &str) -> SignerKey {
    SignerKey::from_openssh(line).unwrap()
}

fn name(text: &str) -> SignerName {
    text.parse().unwrap()
}

fn at(text: &str) -> UtcTime {
    text.parse().unwrap()
}

fn file(text: &str) -> AllowedSigners {
    AllowedSigners::parse(text).unwrap()
}

fn host_file(options: &str) -> AllowedSigners {
    file(&format!(
        "host namespaces=\"escrow-manifest@databasus\"{options} {HOST}\n"
    ))
}

fn manifest_by_host(trust: &Trust) -> Result<Authentic, TrustError> {
    trust.authenticate(&key(HOST), Namespace::Manifest, &name("host"))
}

#[test]
fn a_listed_key_is_trusted_for_its_namespace_only() {
    let trust = Trust::new(host_file(""), vec![]);
    assert_eq!(manifest_by_host(&trust).unwrap().signer, name("host"));
    assert!(matches!(
        trust.authenticate(&key(HOST), Namespace::Drill, &name("host")),
        Err(TrustError::NotPermitted { .. })
    ));
}

#[test]
fn an_unknown_key_is_named_by_its_fingerprint() {
    let error = manifest_by_host(&Trust::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "signed by the unknown key SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"
    );
}

#[test]
fn nobody_signs_in_anothers_name() {
    let trust = Trust::new(host_file(""), vec![]);
    assert!(matches!(
        trust.authenticate(&key(HOST), Namespace::Manifest, &name("alice")),
        Err(TrustError::OtherSigner { .. })
    ));
}

#[test]
fn a_window_is_judged_at_the_documents_date() {
    let trust = Trust::new(host_file(",valid-before=\"20260101000000Z\""), vec![]);
    let host = manifest_by_host(&trust).unwrap();
    assert_eq!(host.check_window(at("2026-01-01T00:00:00Z")), Ok(()));
    let late = host.check_window(at("2026-01-01T00:00:01Z")).unwrap_err();
    let cause = std::error::Error::source(&late).unwrap().to_string();
    assert_eq!(
        cause,
        "signed at 2026-01-01T00:00:01Z, but the key is valid until 2026-01-01T00:00:00Z"
    );
}

#[test]
fn two_lines_of_one_key_add_up() {
    let both = format!(
        "host valid-before=\"20250101000000Z\" {HOST}\nhost valid-after=\"20260101000000Z\" {HOST}\n"
    );
    let host = manifest_by_host(&Trust::new(file(&both), vec![])).unwrap();
    assert!(host.check_window(at("2024-06-01T00:00:00Z")).is_ok());
    assert!(host.check_window(at("2025-06-01T00:00:00Z")).is_err());
    assert!(host.check_window(at("2026-06-01T00:00:00Z")).is_ok());
}

#[test]
fn a_pinned_fingerprint_stands_for_manifests_alone() {
    let trust = Trust::new(AllowedSigners::new(), vec![key(HOST).fingerprint()]);
    assert!(manifest_by_host(&trust).is_ok());
    for other in Namespace::ALL.into_iter().skip(1) {
        assert!(matches!(
            trust.authenticate(&key(HOST), other, &name("host")),
            Err(TrustError::NotPermitted { .. })
        ));
    }
}

#[test]
fn a_policy_introduces_its_signers() {
    let mut trust = Trust::new(AllowedSigners::new(), vec![key(HOST).fingerprint()]);
    let drill = |trust: &Trust| trust.authenticate(&key(DRILL), Namespace::Drill, &name("box"));
    assert!(drill(&trust).is_err());
    trust.learn(&file(&format!("box {DRILL}\n")), 1);
    assert!(drill(&trust).is_ok());
}

#[test]
fn a_retired_key_stays_retired_in_whatever_order_policies_are_read() {
    let retired = host_file(",valid-before=\"20260101000000Z\"");
    for order in [[7, 3], [3, 7]] {
        let mut trust = Trust::default();
        for seq in order {
            let policy = if seq == 7 { &retired } else { &host_file("") };
            trust.learn(policy, seq);
        }
        let host = manifest_by_host(&trust).unwrap();
        assert!(host.check_window(at("2025-06-01T00:00:00Z")).is_ok());
        assert!(host.check_window(at("2026-06-01T00:00:00Z")).is_err());
    }
}

#[test]
fn the_readers_own_file_has_the_last_word() {
    let mut trust = Trust::new(host_file(",valid-before=\"20260101000000Z\""), vec![]);
    trust.learn(&host_file(""), 99);
    let host = manifest_by_host(&trust).unwrap();
    assert!(host.check_window(at("2026-06-01T00:00:00Z")).is_err());
}

#[test]
fn no_later_policy_takes_a_retired_keys_end_away() {
    let retired = host_file(",valid-before=\"20260601000000Z\"");
    let everlasting = host_file("");
    for order in [
        [(&retired, 3), (&everlasting, 4)],
        [(&everlasting, 4), (&retired, 3)],
    ] {
        let mut trust = Trust::default();
        for (policy, seq) in order {
            trust.learn(policy, seq);
        }
        let authentic = manifest_by_host(&trust).unwrap();
        assert!(authentic.check_window(at("2026-05-31T00:00:00Z")).is_ok());
        assert!(authentic.check_window(at("2026-07-01T00:00:00Z")).is_err());
    }
}
