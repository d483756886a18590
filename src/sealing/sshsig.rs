//! Signatures as `ssh-keygen -Y sign` makes them (PROTOCOL.sshsig), over exact bytes.
//!
//! Verifying here is arithmetic only: it tells which key signed, never whether that key may.
//! That is for [`crate::model::trust`].

use ssh_key::private::Ed25519Keypair;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, SshSig};
use zeroize::Zeroizing;

use crate::base::fingerprint::Fingerprint;
use crate::base::text::printable;
use crate::model::namespace::Namespace;
use crate::model::signer_key::{SignerKey, SignerKeyError};

/// Largest armoured signature that is read, in bytes. An Ed25519 one has about 300.
pub const MAX_SIGNATURE_BYTES: usize = 16 << 10;

/// The private half of an Ed25519 key that signs on this host. Wiped from memory when dropped.
pub struct SigningKey {
    private: PrivateKey,
    public: SignerKey,
}

/// A file that holds no key this host can sign with. No text of the file is ever part of it.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// A public key.
    #[error("this is the public half; the private half lies beside it, without .pub")]
    PublicKey,
    /// Another format: PEM, PKCS#8, PuTTY, or no key at all.
    #[error("not an OpenSSH private key; make one with ssh-keygen -t ed25519")]
    NotOpenSsh,
    /// Needs a passphrase, and a nightly run has nobody to ask.
    #[error("the key has a passphrase; a signing key must work unattended")]
    Encrypted,
    /// Not Ed25519.
    #[error("keys of kind {0} cannot sign here; make one with ssh-keygen -t ed25519")]
    Kind(String),
    /// Damaged, or of a kind that is not even recognised.
    #[error("the key cannot be read; an unencrypted Ed25519 key is needed")]
    Malformed,
    /// The key could not be written or used.
    #[error("the key cannot be used")]
    Unusable(#[source] ssh_key::Error),
}

impl SigningKey {
    /// Makes a new key from the system's random numbers.
    pub fn generate() -> Result<Self, SigningKeyError> {
        Self::new(PrivateKey::from(Ed25519Keypair::random(&mut OsRng)))
    }

    /// Reads an unencrypted Ed25519 key in OpenSSH's own format.
    pub fn from_openssh_pem(text: &str) -> Result<Self, SigningKeyError> {
        let text = text.trim_start();
        if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
            return Err(SigningKeyError::PublicKey);
        }
        if !text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
            return Err(SigningKeyError::NotOpenSsh);
        }
        let key = PrivateKey::from_openssh(text).map_err(|_| SigningKeyError::Malformed)?;
        Self::new(key)
    }

    fn new(mut private: PrivateKey) -> Result<Self, SigningKeyError> {
        if private.is_encrypted() {
            return Err(SigningKeyError::Encrypted);
        }
        if private.algorithm() != Algorithm::Ed25519 {
            let kind = private.algorithm().as_str().to_owned();
            return Err(SigningKeyError::Kind(kind));
        }
        private.set_comment("");
        let public = SignerKey::new(private.public_key().key_data().clone())
            .map_err(|_| SigningKeyError::Malformed)?;
        Ok(Self { private, public })
    }

    /// The key file's text.
    pub fn to_openssh_pem(&self) -> Result<Zeroizing<String>, SigningKeyError> {
        self.private
            .to_openssh(LineEnding::LF)
            .map_err(SigningKeyError::Unusable)
    }

    /// The public half.
    pub fn public(&self) -> &SignerKey {
        &self.public
    }

    /// The public half as `ssh-ed25519 AAAA…`.
    pub fn public_openssh(&self) -> String {
        self.public.openssh().to_owned()
    }

    /// What `ssh-keygen -l` prints for this key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint()
    }

    /// Signs these very bytes for one kind of document: an armoured SSHSIG over their SHA-512.
    /// Ed25519 is deterministic, so the same bytes give the same signature.
    pub fn sign(&self, namespace: Namespace, bytes: &[u8]) -> Result<String, SigningKeyError> {
        let signature = self
            .private
            .sign(namespace.as_str(), HashAlg::Sha512, bytes)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(SigningKeyError::Unusable)?;
        Ok(signature.trim_end().to_owned() + "\n")
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let print = self.public.fingerprint();
        f.debug_tuple("SigningKey").field(&print).finish()
    }
}

/// The key inside a signature that verified. It is only as good as the trust in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedKey {
    /// The key.
    pub key: SignerKey,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// What a FIDO token says of the moment of signing; none for plain keys.
    pub presence: Option<Presence>,
}

/// The flags a FIDO token signs along. OpenSSH does not enforce them and neither does
/// [`verify_sshsig`]: they are evidence for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Somebody touched the token (UP, bit 0).
    pub touched: bool,
    /// Somebody proved who they are, by PIN or finger (UV, bit 2).
    pub verified: bool,
}

/// Bytes that are no valid signature over the document.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Longer than [`MAX_SIGNATURE_BYTES`].
    #[error("the signature is larger than {MAX_SIGNATURE_BYTES} bytes")]
    TooLarge,
    /// Not an armoured SSHSIG.
    #[error("not an SSH signature")]
    Malformed(#[source] ssh_key::Error),
    /// Not encoded as `ssh-keygen` would.
    #[error("the SSH signature is encoded in an unusual way")]
    Encoding,
    /// A format this tool does not know.
    #[error("SSH signature of version {0}; only version 1 is known")]
    Version(u32),
    /// Fields that version 1 leaves empty.
    #[error("the signature carries reserved data that this version does not know")]
    Reserved,
    /// Made for another kind of document.
    #[error("signed for {}, not for {expected}", printable(.found))]
    Namespace {
        /// What was to be verified.
        expected: Namespace,
        /// What the signature says.
        found: String,
    },
    /// By a kind of key that is not accepted.
    #[error("signed by a key that is not accepted")]
    Key(#[from] SignerKeyError),
    /// The signature's algorithm is not the key's.
    #[error("a signature of kind {} cannot come from this key", printable(.0))]
    Algorithm(String),
    /// The document or the signature was changed.
    #[error("the signature does not match the document")]
    Mismatch,
}

/// Checks an armoured SSHSIG over `bytes` and returns the key that made it.
///
/// Both of the format's hashes (SHA-256, SHA-512) are accepted. The key is not judged: anybody
/// can make a signature that passes here.
pub fn verify_sshsig(
    armored: &[u8],
    namespace: Namespace,
    bytes: &[u8],
) -> Result<EmbeddedKey, SignatureError> {
    if armored.len() > MAX_SIGNATURE_BYTES {
        return Err(SignatureError::TooLarge);
    }
    let signature = SshSig::from_pem(armored).map_err(|source| refused(armored, source))?;
    check_encoding(armored, &signature)?;
    check_frame(&signature, namespace)?;
    let key = SignerKey::new(signature.public_key().clone())?;
    if signature.algorithm() != key.public_key().algorithm() {
        let algorithm = signature.algorithm().as_str().to_owned();
        return Err(SignatureError::Algorithm(algorithm));
    }
    key.public_key()
        .verify(namespace.as_str(), bytes, &signature)
        .map_err(|_| SignatureError::Mismatch)?;
    Ok(EmbeddedKey {
        fingerprint: key.fingerprint(),
        presence: key.is_hardware().then(|| presence(&signature)),
        key,
    })
}

/// Refuses every spelling of a signature but the one that `ssh-keygen` writes, save for blank
/// lines around it and Windows line ends. The `ssh-key` crate (0.6.7) does not compare all inner
/// lengths with what it read, and a signature must not have two forms, one of which stock tools
/// would refuse.
fn check_encoding(armored: &[u8], signature: &SshSig) -> Result<(), SignatureError> {
    let canonical = signature
        .to_pem(LineEnding::LF)
        .map_err(SignatureError::Malformed)?;
    let given = String::from_utf8_lossy(armored).replace("\r\n", "\n");
    if given.trim() != canonical.trim() {
        return Err(SignatureError::Encoding);
    }
    Ok(())
}

fn check_frame(signature: &SshSig, namespace: Namespace) -> Result<(), SignatureError> {
    if signature.version() != SshSig::VERSION {
        return Err(SignatureError::Version(signature.version()));
    }
    if !signature.reserved().is_empty() {
        return Err(SignatureError::Reserved);
    }
    if signature.namespace() != namespace.as_str() {
        return Err(SignatureError::Namespace {
            expected: namespace,
            found: signature.namespace().chars().take(80).collect(),
        });
    }
    Ok(())
}

/// Reads the flags byte, which follows the 64 bytes of the signature proper (PROTOCOL.u2f).
fn presence(signature: &SshSig) -> Presence {
    let flags = signature.signature_bytes().get(64).copied().unwrap_or(0);
    Presence {
        touched: flags & 0x01 != 0,
        verified: flags & 0x04 != 0,
    }
}

/// Names the kind of key where that is why the signature could not be decoded.
fn refused(armored: &[u8], source: ssh_key::Error) -> SignatureError {
    let kind = embedded_kind(armored).map(|kind| SignerKey::from_openssh(&kind));
    match kind {
        Some(Err(kind @ SignerKeyError::Kind(_))) => SignatureError::Key(kind),
        _ => SignatureError::Malformed(source),
    }
}

/// The name of the embedded key's kind: the first string of the key, which is the first field
/// after the preamble `SSHSIG` and the version.
fn embedded_kind(armored: &[u8]) -> Option<String> {
    use base64::Engine as _;
    let text = std::str::from_utf8(armored).ok()?;
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with('-'))
        .map(str::trim)
        .collect();
    let blob = base64::engine::general_purpose::STANDARD
        .decode(body)
        .ok()?;
    let key = blob.strip_prefix(b"SSHSIG")?.get(8..)?;
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let name = rest.get(..length.min(64))?;
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests;
