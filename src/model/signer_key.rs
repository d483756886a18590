//! Public keys that can sign: an SSH key of a kind this tool verifies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;

use crate::base::fingerprint::Fingerprint;
use crate::base::text::printable;

/// The two kinds of key whose signatures are accepted, by their OpenSSH names.
pub const KINDS: [&str; 2] = ["ssh-ed25519", "sk-ssh-ed25519@openssh.com"];

/// An Ed25519 public key, plain or held by a FIDO token (`sk-`). Two values are equal if they
/// are the same key; the comment of its line is no part of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SignerKey {
    key: PublicKey,
    text: String,
    fingerprint: Fingerprint,
}

/// A text or a key that cannot serve as a signer's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerKeyError {
    /// Another kind of SSH key.
    #[error(
        "keys of kind {} are not supported; use ssh-ed25519 or sk-ssh-ed25519@openssh.com",
        printable(.0)
    )]
    Kind(String),
    /// Not `kind base64`.
    #[error("not an OpenSSH public key")]
    Malformed,
}

impl SignerKey {
    /// Reads `ssh-ed25519 AAAA…`, the form of a `.pub` file. A comment after it is dropped.
    ///
    /// Only the canonical encoding is accepted: the `ssh-key` crate (0.6.7) does not compare all
    /// inner lengths with what it read, and `ssh-keygen` does.
    pub fn from_openssh(line: &str) -> Result<Self, SignerKeyError> {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default();
        if !KINDS.contains(&kind) {
            return Err(refused(kind));
        }
        let given = format!("{kind} {}", words.next().unwrap_or_default());
        let key = PublicKey::from_openssh(&given).map_err(|_| SignerKeyError::Malformed)?;
        let key = Self::new(key.key_data().clone())?;
        if key.text != given {
            return Err(SignerKeyError::Malformed);
        }
        Ok(key)
    }

    /// Takes a key that was decoded elsewhere, such as the one embedded in a signature.
    pub fn new(key: KeyData) -> Result<Self, SignerKeyError> {
        let kind = key.algorithm().as_str().to_owned();
        if !KINDS.contains(&kind.as_str()) {
            return Err(SignerKeyError::Kind(kind));
        }
        let key = PublicKey::from(key);
        let wire = key.to_bytes().map_err(|_| SignerKeyError::Malformed)?;
        Ok(Self {
            text: format!("{kind} {}", STANDARD.encode(&wire)),
            fingerprint: Fingerprint::of(&wire),
            key,
        })
    }

    /// The key itself.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// `ssh-ed25519 AAAA…`, without a comment.
    pub fn openssh(&self) -> &str {
        &self.text
    }

    /// What `ssh-keygen -l` prints for this key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether a FIDO token holds the private half.
    pub fn is_hardware(&self) -> bool {
        self.key.key_data().is_sk_ed25519()
    }
}

fn refused(kind: &str) -> SignerKeyError {
    let known = ["ssh-", "sk-", "ecdsa-", "webauthn-"];
    if known.iter().any(|prefix| kind.starts_with(prefix)) && kind.len() <= 64 {
        SignerKeyError::Kind(kind.to_owned())
    } else {
        SignerKeyError::Malformed
    }
}

impl std::fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SignerKey").field(&self.fingerprint).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn comment_is_no_part_of_the_key() {
        let bare = SignerKey::from_openssh(KEY).unwrap();
        let named = SignerKey::from_openssh(&format!("{KEY} root@host\n")).unwrap();
        assert_eq!(bare, named);
        assert_eq!(named.openssh(), KEY);
    }

    #[test]
    fn fingerprint_is_the_one_of_ssh_keygen() {
        assert_eq!(
            SignerKey::from_openssh(KEY)
                .unwrap()
                .fingerprint()
                .to_string(),
            "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"
        );
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=";
        assert_eq!(
            SignerKey::from_openssh(ecdsa),
            Err(SignerKeyError::Kind("ecdsa-sha2-nistp256".to_owned()))
        );
        for bad in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "hello"] {
            assert_eq!(SignerKey::from_openssh(bad), Err(SignerKeyError::Malformed));
        }
    }

    #[test]
    fn a_key_has_one_encoding_only() {
        let inflated = KEY.replacen("NTE5AAAAI", "NTE5AA+AI", 1);
        assert_ne!(inflated, KEY);
        let outcome = SignerKey::from_openssh(&inflated);
        assert_eq!(outcome, Err(SignerKeyError::Malformed));
    }
}
