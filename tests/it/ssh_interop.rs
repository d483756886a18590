//! Signatures and `allowed_signers` against stock `ssh-keygen`: both must come to one verdict.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use databasus_escrow::base::time::UtcTime;
use databasus_escrow::model::allowed_signers::{AllowedSigners, Window};
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::signer_key::SignerKey;
use databasus_escrow::model::trust::Trust;
use databasus_escrow::sealing::sshsig::{Presence, SigningKey, SigningKeyError, verify_sshsig};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::support;

const DOCUMENT: &[u8] = b"{\n  \"format\": \"a manifest, as far as signatures care\"\n}\n";
const SIGNED_AT: &str = "2026-06-12T02:00:00Z";

/// A folder with a document, where `ssh-keygen` runs in a time zone far from UTC.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Option<Self> {
        if Command::new("ssh-keygen")
            .arg("-?")
            .stderr(Stdio::null())
            .output()
            .is_err()
        {
            support::skip("ssh-keygen is not on PATH");
            return None;
        }
        let bench = Self(tempfile::tempdir().unwrap());
        bench.write("document", DOCUMENT);
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(self.path(name), bytes).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn ssh_keygen(&self, arguments: &[&str], input: &Path) -> (bool, String) {
        let output = Command::new("ssh-keygen")
            .args(arguments)
            .current_dir(self.0.path())
            .env("TZ", "Pacific/Auckland")
            .stdin(fs::File::open(input).unwrap())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn run(&self, arguments: &[&str]) -> String {
        let (ok, text) = self.ssh_keygen(arguments, Path::new("/dev/null"));
        assert!(ok, "ssh-keygen {arguments:?}: {text}");
        text
    }

    fn make_key(&self, name: &str, kind: &str, passphrase: &str) {
        self.run(&["-q", "-t", kind, "-N", passphrase, "-C", "x", "-f", name]);
    }

    /// Verifies `signature` as a person would, with stock tools only.
    fn stock_verdict(&self, case: &Case<'_>) -> bool {
        self.write("allowed_signers", case.allowed.as_bytes());
        self.write("signature", case.signature.as_bytes());
        self.write("claimed", case.document);
        let time = format!("-Overify-time={}", case.at.ssh());
        let arguments = [
            "-Y",
            "verify",
            "-f",
            "allowed_signers",
            "-I",
            case.signer,
            "-n",
            case.namespace.as_str(),
            "-s",
            "signature",
            &time,
        ];
        self.ssh_keygen(&arguments, &self.path("claimed")).0
    }
}

struct Case<'a> {
    allowed: &'a str,
    signature: &'a str,
    document: &'a [u8],
    signer: &'a str,
    namespace: Namespace,
    at: UtcTime,
}

impl<'a> Case<'a> {
    fn manifest(allowed: &'a str, signature: &'a str) -> Self {
        Self {
            allowed,
            signature,
            document: DOCUMENT,
            signer: "escrow@host1",
            namespace: Namespace::Manifest,
            at: time(SIGNED_AT),
        }
    }

    fn our_verdict(&self) -> bool {
        let allowed = AllowedSigners::parse(self.allowed).unwrap();
        let trust = Trust::new(allowed, vec![]);
        let signature = self.signature.as_bytes();
        let Ok(embedded) = verify_sshsig(signature, self.namespace, self.document) else {
            return false;
        };
        trust
            .authenticate(&embedded.key, self.namespace, &self.signer.parse().unwrap())
            .and_then(|signer| signer.check_window(self.at))
            .is_ok()
    }

    fn verdict_of_both(&self, bench: &Bench) -> bool {
        let ours = self.our_verdict();
        assert_eq!(
            bench.stock_verdict(self),
            ours,
            "at {}:\n{}",
            self.at,
            self.allowed
        );
        ours
    }
}

fn time(text: &str) -> UtcTime {
    text.parse().unwrap()
}

fn allowed(key: &SignerKey, namespaces: &[Namespace], window: Window) -> String {
    AllowedSigners::new()
        .with_signer(
            "escrow@host1".parse().unwrap(),
            key.clone(),
            namespaces,
            window,
        )
        .to_text()
}

#[test]
fn stock_ssh_keygen_accepts_what_we_sign_in_every_namespace() {
    let Some(bench) = Bench::new() else { return };
    let key = SigningKey::generate().unwrap();
    let text = allowed(key.public(), &Namespace::ALL, Window::default());
    for namespace in Namespace::ALL {
        let signature = key.sign(namespace, DOCUMENT).unwrap();
        let case = Case {
            namespace,
            ..Case::manifest(&text, &signature)
        };
        assert!(case.verdict_of_both(&bench));
    }
}

#[test]
fn both_refuse_a_changed_byte_another_namespace_and_another_name() {
    let Some(bench) = Bench::new() else { return };
    let key = SigningKey::generate().unwrap();
    let text = allowed(key.public(), &[Namespace::Manifest], Window::default());
    let signature = key.sign(Namespace::Manifest, DOCUMENT).unwrap();
    let drill = key.sign(Namespace::Drill, DOCUMENT).unwrap();
    let changed = [DOCUMENT, b"\n"].concat();
    let good = || Case::manifest(&text, &signature);
    assert!(good().verdict_of_both(&bench));
    let bad = [
        Case {
            document: &changed,
            ..good()
        },
        Case {
            signer: "alice",
            ..good()
        },
        Case {
            namespace: Namespace::Drill,
            ..good()
        },
        // A good signature that the key may not make.
        Case {
            namespace: Namespace::Drill,
            signature: &drill,
            ..good()
        },
    ];
    for case in bad {
        assert!(!case.verdict_of_both(&bench));
    }
}

#[test]
fn we_accept_what_stock_ssh_keygen_signs() {
    let Some(bench) = Bench::new() else { return };
    bench.make_key("key", "ed25519", "");
    let key = SignerKey::from_openssh(&bench.read("key.pub")).unwrap();
    for hash in ["sha256", "sha512"] {
        let option = format!("hashalg={hash}");
        let name = Namespace::Checkin.as_str();
        bench.run(&[
            "-Y", "sign", "-O", &option, "-f", "key", "-n", name, "document",
        ]);
        let signature = bench.read("document.sig");
        fs::remove_file(bench.path("document.sig")).unwrap();
        let embedded = verify_sshsig(signature.as_bytes(), Namespace::Checkin, DOCUMENT).unwrap();
        assert_eq!(embedded.key, key);
        assert!(verify_sshsig(signature.as_bytes(), Namespace::Drill, DOCUMENT).is_err());
    }
}

#[test]
fn key_files_are_read_both_ways_with_one_fingerprint() {
    let Some(bench) = Bench::new() else { return };
    let key = SigningKey::generate().unwrap();
    bench.write("ours", key.to_openssh_pem().unwrap().as_bytes());
    assert_eq!(
        bench.run(&["-y", "-f", "ours"]).trim(),
        key.public_openssh()
    );
    let listed = bench.run(&["-l", "-f", "ours"]);
    assert!(listed.contains(&key.fingerprint().to_string()), "{listed}");

    bench.make_key("theirs", "ed25519", "");
    let theirs = SigningKey::from_openssh_pem(&bench.read("theirs")).unwrap();
    assert!(
        bench
            .read("theirs.pub")
            .starts_with(&theirs.public_openssh())
    );
}

#[test]
fn keys_that_cannot_sign_unattended_are_refused_and_never_echoed() {
    let Some(bench) = Bench::new() else { return };
    bench.make_key("encrypted", "ed25519", "a passphrase");
    bench.make_key("rsa", "rsa", "");
    bench.make_key("ecdsa", "ecdsa", "");
    let refusal = |name: &str| {
        let text = bench.read(name);
        let error = SigningKey::from_openssh_pem(&text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(text.lines().skip(1).all(|line| !shown.contains(line)));
        error
    };
    assert!(matches!(refusal("encrypted"), SigningKeyError::Encrypted));
    assert!(matches!(refusal("rsa"), SigningKeyError::Kind(kind) if kind == "ssh-rsa"));
    assert!(matches!(refusal("ecdsa"), SigningKeyError::Malformed));
    assert!(matches!(refusal("rsa.pub"), SigningKeyError::PublicKey));
}

#[test]
fn both_count_both_ends_of_a_window() {
    let Some(bench) = Bench::new() else { return };
    let key = SigningKey::generate().unwrap();
    let (first, last) = (time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"));
    let window = Window::new(Some(first), Some(last)).unwrap();
    let text = allowed(key.public(), &[Namespace::Manifest], window);
    let signature = key.sign(Namespace::Manifest, DOCUMENT).unwrap();
    let verdict = |at| {
        let case = Case {
            at,
            ..Case::manifest(&text, &signature)
        };
        case.verdict_of_both(&bench)
    };
    let seconds = [
        first.plus(-1),
        first,
        first.plus(1),
        last.plus(-1),
        last,
        last.plus(1),
    ];
    assert_eq!(seconds.map(verdict), [false, true, true, true, true, false]);
}

/// One line about one of a few keys, with options chosen at random.
fn random_line(random: &mut rand::rngs::StdRng, keys: &[SignerKey]) -> String {
    let principal = ["host", "host", "host", "alice"].choose(random).unwrap();
    let namespaces = [
        "",
        "namespaces=\"escrow-manifest@databasus\"",
        "namespaces=\"git,escrow-manifest@databasus\"",
        "namespaces=\"escrow-drill@databasus\"",
    ];
    let mut options = vec![(*namespaces.choose(random).unwrap()).to_owned()];
    for (name, range) in [("valid-after", 10..22), ("valid-before", 14..30)] {
        if random.random_bool(0.5) {
            let hour = random.random_range(range);
            let at = time("2026-06-11T00:00:00Z").plus(hour * 3600);
            options.push(format!("{name}=\"{}\"", at.ssh()));
        }
    }
    options.retain(|option| !option.is_empty());
    let key = keys.choose(random).unwrap().openssh();
    format!("{principal}\t{}  {key} a comment\n", options.join(","))
}

#[test]
fn forty_generated_files_get_one_verdict_from_both() {
    let Some(bench) = Bench::new() else { return };
    let mut random = rand::rngs::StdRng::seed_from_u64(20_260_612);
    let key = SigningKey::generate().unwrap();
    let other = SigningKey::generate().unwrap();
    let keys = [
        key.public().clone(),
        key.public().clone(),
        other.public().clone(),
    ];
    let signature = key.sign(Namespace::Manifest, DOCUMENT).unwrap();
    let (mut files, mut accepted) = (0, 0);
    while files < 40 {
        let lines = random.random_range(1..4);
        let mut text = String::from("# signers\n\n");
        text.extend((0..lines).map(|_| random_line(&mut random, &keys)));
        if AllowedSigners::parse(&text).is_err() {
            continue; // an empty window
        }
        let case = Case {
            signer: "host",
            at: time("2026-06-11T00:00:00Z").plus(random.random_range(10..30) * 3600),
            ..Case::manifest(&text, &signature)
        };
        accepted += u32::from(case.verdict_of_both(&bench));
        files += 1;
    }
    assert!((5..35).contains(&accepted), "{accepted} of 40 accepted");
}

/// Signs as a FIDO token would (PROTOCOL.u2f): over the hash of the application, the flags, a
/// counter and the hash of the message.
fn token_signature(flags: u8) -> (SignerKey, String) {
    use ssh_key::private::Ed25519Keypair;
    use ssh_key::sha2::{Digest as _, Sha256};
    use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, Signature, SshSig};

    fn raw(key: &impl ssh_key::SigningKey, bytes: &[u8]) -> Vec<u8> {
        key.try_sign(bytes).unwrap().as_bytes().to_vec()
    }

    let pair = Ed25519Keypair::from_seed(&[7; 32]);
    let public = ssh_key::public::SkEd25519::new(pair.public, "ssh:");
    let namespace = Namespace::Checkin.as_str();
    let message = SshSig::signed_data(namespace, HashAlg::Sha512, DOCUMENT).unwrap();
    let trailer = [flags, 0, 0, 0, 9];
    let signed = [
        Sha256::digest("ssh:").to_vec(),
        trailer.to_vec(),
        Sha256::digest(&message).to_vec(),
    ];
    let mut data = raw(&PrivateKey::from(pair), &signed.concat());
    data.extend(trailer);
    let signature = Signature::new(Algorithm::SkEd25519, data).unwrap();
    let key: ssh_key::public::KeyData = public.into();
    let armored = SshSig::new(key.clone(), namespace, HashAlg::Sha512, signature)
        .and_then(|signature| signature.to_pem(LineEnding::LF));
    (SignerKey::new(key).unwrap(), armored.unwrap())
}

#[test]
fn a_tokens_signature_verifies_with_both_and_shows_its_flags() {
    let Some(bench) = Bench::new() else { return };
    for (flags, touched, verified) in [
        (0x00, false, false),
        (0x01, true, false),
        (0x05, true, true),
    ] {
        let (key, signature) = token_signature(flags);
        let text = allowed(&key, &[Namespace::Checkin], Window::default());
        let case = Case {
            namespace: Namespace::Checkin,
            ..Case::manifest(&text, &signature)
        };
        assert!(case.verdict_of_both(&bench));
        let embedded = verify_sshsig(signature.as_bytes(), Namespace::Checkin, DOCUMENT).unwrap();
        assert_eq!(embedded.presence, Some(Presence { touched, verified }));
    }
}
