//! Sealing and opening against stock `age` and keys made by stock tools.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use databasus_escrow::base::digest::Digest;
use databasus_escrow::model::recipients::Recipients;
use databasus_escrow::sealing::age_header::header_stanzas;
use databasus_escrow::sealing::identities::{Identities, IdentityProblem, age_recipients};
use zeroize::Zeroizing;

use crate::support;

const CONTENT: &[u8] = b"what must not be lost\n";

/// A folder where stock tools run.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Option<Self> {
        for (tool, argument) in [
            ("age", "--version"),
            ("age-keygen", "--version"),
            ("ssh-keygen", "-?"),
        ] {
            let found = Command::new(tool)
                .arg(argument)
                .stderr(Stdio::null())
                .output();
            if found.is_err() {
                support::skip(&format!("{tool} is not on PATH"));
                return None;
            }
        }
        Some(Self(tempfile::tempdir().unwrap()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, tool: &str, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(tool)
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool} {arguments:?}: {words}");
        output.stdout
    }

    /// Makes an age identity in `name` and returns its recipient.
    fn age_key(&self, name: &str) -> String {
        self.run("age-keygen", &["-o", name]);
        let recipient = self.run("age-keygen", &["-y", name]);
        String::from_utf8(recipient).unwrap().trim().to_owned()
    }

    /// Makes an SSH key in `name` and returns its public line.
    fn ssh_key(&self, name: &str, kind: &str, passphrase: &str) -> String {
        let arguments = ["-q", "-t", kind, "-N", passphrase, "-C", "a b", "-f", name];
        self.run("ssh-keygen", &arguments);
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    fn identities(&self, name: &str) -> Result<Identities, IdentityProblem> {
        let text = Zeroizing::new(fs::read_to_string(self.path(name)).unwrap());
        Identities::parse(name, text).map_err(|error| error.reason)
    }
}

fn seal(recipients: &[(&str, &str)]) -> Vec<u8> {
    let arguments: Vec<String> = recipients
        .iter()
        .map(|(custodian, recipient)| format!("{custodian}={recipient}"))
        .collect();
    let recipients = Recipients::from_arguments(&arguments).unwrap();
    let recipients = age_recipients(&recipients).unwrap();
    let encryptor = age::Encryptor::with_recipients(recipients.iter().map(|one| one.as_ref() as _));
    let mut file = Vec::new();
    let mut writer = encryptor.unwrap().wrap_output(&mut file).unwrap();
    writer.write_all(CONTENT).unwrap();
    writer.finish().unwrap();
    file
}

fn open(file: &[u8], identities: &Identities) -> Option<Vec<u8>> {
    let decryptor = age::Decryptor::new_buffered(file).unwrap();
    let mut reader = decryptor.decrypt(identities.iter()).ok()?;
    let mut content = Vec::new();
    reader.read_to_end(&mut content).unwrap();
    Some(content)
}

#[test]
fn stock_age_opens_what_we_seal_with_every_custodians_identity() {
    let Some(bench) = Bench::new() else { return };
    let alice = bench.age_key("alice");
    let bob = bench.ssh_key("bob", "ed25519", "");
    let carol = bench.ssh_key("carol", "rsa", "");
    let file = seal(&[("alice", &alice), ("bob", &bob), ("carol", &carol)]);
    fs::write(bench.path("payload"), &file).unwrap();
    for identity in ["alice", "bob", "carol"] {
        assert_eq!(
            bench.run("age", &["-d", "-i", identity, "payload"]),
            CONTENT
        );
    }
}

#[test]
fn we_open_what_stock_age_seals() {
    let Some(bench) = Bench::new() else { return };
    let alice = bench.age_key("alice");
    bench.age_key("mallory");
    bench.ssh_key("bob", "ed25519", "");
    bench.ssh_key("carol", "rsa", "");
    fs::write(bench.path("content"), CONTENT).unwrap();
    let arguments = [
        "-r",
        &alice,
        "-R",
        "bob.pub",
        "-R",
        "carol.pub",
        "-o",
        "payload",
        "content",
    ];
    bench.run("age", &arguments);
    let file = fs::read(bench.path("payload")).unwrap();
    for identity in ["alice", "bob", "carol"] {
        let identities = bench.identities(identity).unwrap();
        assert_eq!(open(&file, &identities).as_deref(), Some(CONTENT));
    }
    assert_eq!(open(&file, &bench.identities("mallory").unwrap()), None);
}

#[test]
fn the_header_of_a_stock_file_is_read_without_keys() {
    let Some(bench) = Bench::new() else { return };
    let alice = bench.age_key("alice");
    bench.ssh_key("bob", "ed25519", "");
    fs::write(bench.path("content"), CONTENT).unwrap();
    bench.run(
        "age",
        &["-r", &alice, "-R", "bob.pub", "-o", "payload", "content"],
    );
    let file = fs::read(bench.path("payload")).unwrap();
    let header = header_stanzas(&file).unwrap();
    let tags: Vec<&str> = header.stanzas.iter().map(|one| one.tag.as_str()).collect();
    assert_eq!(tags, ["X25519", "ssh-ed25519"]);
    // A nonce of 16 bytes and one chunk with a tag of 16 follow the header.
    assert_eq!(header.length, file.len() - 16 - CONTENT.len() - 16);
    assert_eq!(header.sha256, Digest::of(&file[..header.length]));
}

#[test]
fn identities_that_need_a_person_or_are_none_are_named() {
    let Some(bench) = Bench::new() else { return };
    bench.ssh_key("locked", "ed25519", "a passphrase");
    bench.ssh_key("ecdsa", "ecdsa", "");
    bench.age_key("alice");
    let refusal = |name: &str| bench.identities(name).unwrap_err();
    assert_eq!(refusal("locked"), IdentityProblem::EncryptedSsh);
    assert_eq!(refusal("ecdsa"), IdentityProblem::UnsupportedSsh);
    assert_eq!(refusal("locked.pub"), IdentityProblem::PublicKey(1));
    bench.run(
        "ssh-keygen",
        &["-q", "-p", "-m", "PKCS8", "-N", "", "-f", "ecdsa"],
    );
    assert_eq!(refusal("ecdsa"), IdentityProblem::UnsupportedPem);
}

#[test]
fn an_identity_given_as_a_recipient_is_refused_and_never_echoed() {
    let Some(bench) = Bench::new() else { return };
    bench.age_key("alice");
    bench.ssh_key("bob", "ed25519", "");
    for name in ["alice", "bob"] {
        let secret = fs::read_to_string(bench.path(name)).unwrap();
        let error = Recipients::from_arguments(&[format!("x={secret}")]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("private key"), "{shown}");
        assert!(secret.lines().all(|line| !shown.contains(line)), "{shown}");
    }
}
