#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::*;
use proptest::prelude::*;

/// A key for tests only: its seed is 32 times the same byte, so that nobody can take it for a
/// secret.
fn test_key() -> SigningKey {
    SigningKey::new(PrivateKey::from(Ed25519Keypair::from_seed(&[0x42; 32]))).unwrap()
}

const DOCUMENT: &[u8] = b"a document to sign\n";

/// What OpenSSH 9.2 `ssh-keygen -Y sign -n escrow-manifest@databasus` makes of [`DOCUMENT`] with
/// the test key.
const SIGNATURE: &str = "-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgIVL40Zt5HSRFMkLhXy6rbLfP+n
tqXtMAl5YOBpiB2xIAAAAZZXNjcm93LW1hbmlmZXN0QGRhdGFiYXN1cwAAAAAAAAAGc2hh
NTEyAAAAUwAAAAtzc2gtZWQyNTUxOQAAAEAQFQGFeAhWvZY0b2Li25+iCqTbGAs+GE26Qa
cGyJjikmBMMX23VzXNCPZMWVorFmkN1KLtcY0UlYW6GgA4Lm4I
-----END SSH SIGNATURE-----
";

const RSA_SIGNATURE: &str = "-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAARcAAAAHc3NoLXJzYQAAAAMBAAEAAAEBAKD6WuC14cNR7OpcboIxlg
V81wureVWZVef5+ZLdgcTtP0A14GGK6WaX3bSdElHacSC/LbC55u7LdAf4Umd0Nwod8MGE
kckZzfsDqI2qHr3EwOV5JCulqLduG2m5RUXKgRt1KEyag3siCIrKQAzofXMda7pyOVsmAL
DjblP9W78g+QgZYBoice+Ixt8Tcn6TOyowCjC7Alz2bDzPdbv9t0YU7pudu6D8tYtSwDs3
4vudSKzOQVG+qOHnDUD2Lkfg1CLGwWik1FrT5eOZGJldM9SlGqcCJBcaNU54M9qacNMMC4
DF3Qzvi3PkxO+iHC3EEKSTVEuFekXw3FFQwR+waXMAAAAZZXNjcm93LW1hbmlmZXN0QGRh
dGFiYXN1cwAAAAAAAAAGc2hhNTEyAAABFAAAAAxyc2Etc2hhMi01MTIAAAEAXuvaKIWG5j
TnlY8K0TQSpmL8zO5eR9e6m/D+6ZvrLn8RbJqagmFHOM4+MaACMTHg9BeueTPrAw4afEZJ
Vix7WX/RPShid/p6R6MBzbuGFoCrn6N3rY5xbD20MphU2U9QUkRduA3gpRY9wRCnnNL16z
jGg5dpgwiYzkmWR8qcE+6RexlIgSZMGoib8s2IXKZaJ7G3z8IQ6O4dslpejVAxERSXOt5U
HdKwqZLbaq8CzTEAr2/q/J4HOwFy/755/cNNUUQuF4a+YBO+azVEoz2qucdHWMZrbEagFg
Zg5gA3wD4Vu63KR3yBJUwWLX0oWW3g0jF7bA/t43DoZllwveFu9w==
-----END SSH SIGNATURE-----
";

const ECDSA_SIGNATURE: &str = "-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAAGgAAAATZWNkc2Etc2hhMi1uaXN0cDI1NgAAAAhuaXN0cDI1NgAAAE
EELd55qi8PgXHG8NxA8KHhcOyoFKdd86z5tHDZ3CHYlUiuxSa7M4OKjkTeikwDIDfpTjar
MJuwGOaLNjjfipNdYQAAABllc2Nyb3ctbWFuaWZlc3RAZGF0YWJhc3VzAAAAAAAAAAZzaG
E1MTIAAABkAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAABJAAAAIQD2r6WuNjuSvLlCahga
5P2kk5/+VAEhcVORt2NGckUUSQAAACBTSFLMbGLUxWvAGnAiRxyYXm3XLWvTQYXj+AD1fX
rpug==
-----END SSH SIGNATURE-----
";

fn verify(armored: &str) -> Result<EmbeddedKey, SignatureError> {
    verify_sshsig(armored.as_bytes(), Namespace::Manifest, DOCUMENT)
}

#[test]
fn signature_is_the_one_ssh_keygen_makes() {
    let signature = test_key().sign(Namespace::Manifest, DOCUMENT).unwrap();
    assert_eq!(signature, SIGNATURE);
}

#[test]
fn public_half_and_fingerprint_are_those_of_ssh_keygen() {
    let key = test_key();
    assert_eq!(
        key.public_openssh(),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFS+NGbeR0kRTJC4V8uq2y3z/p7al7TAJeWDgaYgdsS"
    );
    assert_eq!(
        key.fingerprint().to_string(),
        "SHA256:ZsrOVCtcb1bouzun0GIHz5vL5oCjVhVIQ3jfIBIgZ8g"
    );
}

#[test]
fn a_good_signature_yields_the_key_that_made_it() {
    let embedded = verify(SIGNATURE).unwrap();
    assert_eq!(&embedded.key, test_key().public());
    assert_eq!(embedded.fingerprint, test_key().fingerprint());
    assert_eq!(embedded.presence, None);
}

#[test]
fn one_changed_byte_of_the_document_is_noticed() {
    let outcome = verify_sshsig(
        SIGNATURE.as_bytes(),
        Namespace::Manifest,
        b"a document to sigN\n",
    );
    assert!(matches!(outcome, Err(SignatureError::Mismatch)));
}

#[test]
fn a_signature_for_one_kind_of_document_is_none_for_another() {
    let outcome = verify_sshsig(SIGNATURE.as_bytes(), Namespace::Drill, DOCUMENT);
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "signed for escrow-manifest@databasus, not for escrow-drill@databasus"
    );
}

#[test]
fn other_kinds_of_key_are_refused_by_name() {
    for (signature, kind) in [
        (RSA_SIGNATURE, "ssh-rsa"),
        (ECDSA_SIGNATURE, "ecdsa-sha2-nistp256"),
    ] {
        match verify(signature) {
            Err(SignatureError::Key(SignerKeyError::Kind(found))) => assert_eq!(found, kind),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_oversized_signature_is_not_even_parsed() {
    let long = format!("{}{SIGNATURE}", "\n".repeat(MAX_SIGNATURE_BYTES));
    assert!(matches!(verify(&long), Err(SignatureError::TooLarge)));
}

#[test]
fn key_file_round_trips() {
    let key = SigningKey::generate().unwrap();
    let again = SigningKey::from_openssh_pem(&key.to_openssh_pem().unwrap()).unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(
        again.sign(Namespace::Drill, DOCUMENT).unwrap(),
        key.sign(Namespace::Drill, DOCUMENT).unwrap()
    );
}

#[test]
fn debug_shows_the_fingerprint_only() {
    assert_eq!(
        format!("{:?}", test_key()),
        format!("SigningKey({})", test_key().fingerprint())
    );
}

#[test]
fn a_key_file_that_cannot_sign_says_why_and_never_what_it_holds() {
    let pem = test_key().to_openssh_pem().unwrap();
    let cut = pem.replacen("QyNTUxOQ", "QyNTUxO", 1);
    let cases = [
        (test_key().public_openssh(), "public half"),
        (
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n".to_owned(),
            "not an OpenSSH",
        ),
        (String::new(), "not an OpenSSH"),
        (cut, "cannot be read"),
    ];
    for (text, expected) in cases {
        let error = SigningKey::from_openssh_pem(&text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        for line in text.lines().filter(|line| line.len() > 4) {
            assert!(!format!("{error:?} {error}").contains(line));
        }
    }
}

#[test]
fn a_signature_has_one_form_only() {
    let windows = SIGNATURE.replace('\n', "\r\n");
    assert!(verify(&windows).is_ok());
    let preamble = format!("to whom it may concern\n{SIGNATURE}");
    assert!(matches!(verify(&preamble), Err(SignatureError::Encoding)));
    // The length of the embedded key, 32, overwritten with 254 KiB.
    let inflated = SIGNATURE.replacen("MTkAAAAg", "MTkAA+Ag", 1);
    assert!(verify(&inflated).is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = verify_sshsig(&bytes, Namespace::Manifest, DOCUMENT);
        let _ = SigningKey::from_openssh_pem(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_damaged_signature_never_verifies(at in 0..SIGNATURE.len(), byte in b'!'..=b'~') {
        let mut damaged = SIGNATURE.as_bytes().to_vec();
        prop_assume!(damaged[at] != byte);
        damaged[at] = byte;
        let outcome = verify_sshsig(&damaged, Namespace::Manifest, DOCUMENT);
        prop_assert!(outcome.is_err());
    }
}
