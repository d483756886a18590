#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::*;
use age::secrecy::ExposeSecret;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Identities, IdentityError> {
    Identities::parse("key.txt", Zeroizing::new(text.to_owned()))
}

fn problem(text: &str) -> IdentityProblem {
    parse(text).unwrap_err().reason
}

fn generated() -> (String, String) {
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string().expose_secret().to_owned();
    (secret, identity.to_public().to_string())
}

fn opens(identities: &Identities, recipient: &str) -> bool {
    let recipients = Recipients::from_arguments(&[format!("a={recipient}")]).unwrap();
    let recipients = age_recipients(&recipients).unwrap();
    let encryptor = age::Encryptor::with_recipients(recipients.iter().map(|r| r.as_ref() as _));
    let mut file = Vec::new();
    let writer = encryptor.unwrap().wrap_output(&mut file).unwrap();
    writer.finish().unwrap();
    let decryptor = age::Decryptor::new_buffered(file.as_slice()).unwrap();
    decryptor.decrypt(identities.iter()).is_ok()
}

#[test]
fn a_file_may_hold_several_identities_and_comments() {
    let ((first, one), (second, two)) = (generated(), generated());
    let text = format!("# created: today\r\n# public key: {one}\r\n{first}\r\n\n  {second}\n");
    let identities = parse(&text).unwrap();
    assert!(opens(&identities, &one));
    assert!(opens(&identities, &two));
    assert!(!opens(&identities, &generated().1));
}

#[test]
fn what_is_no_identity_is_named() {
    let (_, public) = generated();
    let cases = [
        ("".to_owned(), IdentityProblem::Empty),
        ("# public key: x\n\n".to_owned(), IdentityProblem::Empty),
        (public, IdentityProblem::PublicKey(1)),
        (
            "#\nssh-ed25519 AAAA".to_owned(),
            IdentityProblem::PublicKey(2),
        ),
        (
            "AGE-SECRET-KEY-PQ-1QQ".to_owned(),
            IdentityProblem::PostQuantum(1),
        ),
        (
            "AGE-SECRET-KEY-1QQ".to_owned(),
            IdentityProblem::NotAnIdentity(1),
        ),
        (
            "age-encryption.org/v1\n-> scrypt".to_owned(),
            IdentityProblem::Damaged,
        ),
        (
            "-----BEGIN AGE ENCRYPTED FILE-----\n".to_owned(),
            IdentityProblem::Damaged,
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nMC4C\n".to_owned(),
            IdentityProblem::UnsupportedPem,
        ),
        (
            "-----BEGIN CERTIFICATE-----\nMC4C\n".to_owned(),
            IdentityProblem::NotAnIdentity(1),
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n".to_owned(),
            IdentityProblem::NotAnIdentity(1),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problem(&text), expected, "{text:?}");
    }
}

#[test]
fn a_missing_plugin_is_named() {
    let identity = age::plugin::Identity::default_for_plugin("nowhere-to-be-found").unwrap();
    let error = parse(&identity.to_string()).unwrap_err().to_string();
    assert_eq!(
        error,
        "identity key.txt: line 1 needs the program age-plugin-nowhere-to-be-found on PATH"
    );
}

#[test]
fn a_missing_plugin_of_a_recipient_is_named() {
    let recipient = "age1yubikey1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0jqmenk29";
    let recipients = Recipients::from_arguments(&[format!("bob={recipient}")]).unwrap();
    // No program has this name, wherever the tests run.
    let mut spec = recipients.iter().next().unwrap().clone();
    spec.kind = RecipientKind::Plugin("nowhere-to-be-found".to_owned());
    match age_recipient(&spec) {
        Err(error) => assert_eq!(
            error.to_string(),
            "sealing to bob needs the program age-plugin-nowhere-to-be-found on PATH"
        ),
        Ok(_) => panic!("a plugin that is not there was found"),
    }
}

#[test]
fn secrets_are_neither_in_errors_nor_in_debug() {
    let (secret, _) = generated();
    let identities = parse(&secret).unwrap();
    assert_eq!(
        format!("{identities:?}"),
        "Identities { name: \"key.txt\", count: 1 }"
    );
    let body = &secret["AGE-SECRET-KEY-1".len()..];
    for text in [
        format!("{secret}X"),
        format!("x{secret}"),
        secret.to_lowercase().replace('1', "2"),
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{secret}\n"),
    ] {
        let error = parse(&text).unwrap_err();
        let shown = format!("{error} {error:?}").to_uppercase();
        assert!(!shown.contains(&body[..10]), "{shown}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "(?s).{0,200}") {
        let _ = parse(&text);
        let _ = parse(&format!("AGE-PLUGIN-{text}"));
        let _ = parse(&format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{text}"));
    }
}
