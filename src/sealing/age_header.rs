//! What the header of an age file tells without any key: how many recipients, of which types.

use std::cell::RefCell;
use std::io;

use age::{DecryptError, Decryptor};
use age_core::format::{FileKey, Stanza};

use crate::base::digest::Digest;

/// Bytes of the nonce that follows the header (age-encryption.org/v1, "Payload").
const NONCE_BYTES: usize = 16;

/// The header of an age file.
///
/// It proves little: stanzas of type `X25519` are anonymous, and none shows that it wraps the
/// real file key. An auditor can compare number and types with what the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgeHeader {
    /// One for each recipient, without the random ones that age adds as grease.
    pub stanzas: Vec<StanzaKind>,
    /// From the first byte up to the line feed after the MAC, in bytes.
    pub length: usize,
    /// SHA-256 of these bytes.
    pub sha256: Digest,
}

/// The public part of a recipient stanza. Its text comes from whoever wrote the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaKind {
    /// The type: `X25519`, `ssh-ed25519`, `scrypt`, `p256tag`, `mlkem768p256tag`, …
    pub tag: String,
    /// For SSH keys the first is the start of the key's fingerprint, in Base64.
    pub args: Vec<String>,
}

/// Bytes that do not begin with a whole age header.
#[derive(Debug, thiserror::Error)]
pub enum AgeHeaderError {
    /// More bytes are needed; 64 KiB suffice for every sensible number of recipients.
    #[error("the age header is longer than the bytes at hand")]
    Incomplete,
    /// Not an age file, or one that breaks the format's rules.
    #[error("not an age file")]
    Invalid(#[source] DecryptError),
}

/// Reads the header at the beginning of an age file that is not armoured. `prefix` must reach
/// at least 16 bytes beyond it.
pub fn header_stanzas(prefix: &[u8]) -> Result<AgeHeader, AgeHeaderError> {
    let mut rest = prefix;
    let decryptor = Decryptor::new_buffered(&mut rest).map_err(refused)?;
    let recorder = Recorder::default();
    // Fails by design: the recorder opens nothing.
    let _ = decryptor.decrypt(std::iter::once(&recorder as &dyn age::Identity));
    let length = prefix.len() - rest.len() - NONCE_BYTES;
    Ok(AgeHeader {
        stanzas: recorder.0.into_inner(),
        length,
        sha256: Digest::of(&prefix[..length]),
    })
}

fn refused(error: DecryptError) -> AgeHeaderError {
    match error {
        DecryptError::Io(io) if io.kind() == io::ErrorKind::UnexpectedEof => {
            AgeHeaderError::Incomplete
        }
        other => AgeHeaderError::Invalid(other),
    }
}

/// An identity that opens nothing and remembers what it was shown.
#[derive(Default)]
struct Recorder(RefCell<Vec<StanzaKind>>);

impl age::Identity for Recorder {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        // The name that the `age` crate and the specification give to grease.
        if !stanza.tag.ends_with("-grease") {
            self.0.borrow_mut().push(StanzaKind {
                tag: stanza.tag.clone(),
                args: stanza.args.clone(),
            });
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn sealed(recipients: &[&dyn age::Recipient]) -> Vec<u8> {
        let encryptor = age::Encryptor::with_recipients(recipients.iter().copied()).unwrap();
        let mut file = Vec::new();
        let mut writer = encryptor.wrap_output(&mut file).unwrap();
        writer.write_all(b"content").unwrap();
        writer.finish().unwrap();
        file
    }

    fn x25519() -> age::x25519::Recipient {
        age::x25519::Identity::generate().to_public()
    }

    fn ssh() -> age::ssh::Recipient {
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti"
            .parse()
            .unwrap()
    }

    fn tags(header: &AgeHeader) -> Vec<&str> {
        header.stanzas.iter().map(|one| one.tag.as_str()).collect()
    }

    #[test]
    fn stanzas_come_in_order_and_without_grease() {
        let file = sealed(&[&x25519(), &ssh(), &x25519()]);
        let header = header_stanzas(&file).unwrap();
        assert_eq!(tags(&header), ["X25519", "ssh-ed25519", "X25519"]);
    }

    #[test]
    fn an_ssh_stanza_carries_the_start_of_the_fingerprint() {
        // The fingerprint begins 50 25 22 2e, SHA256:UCUiLr7P…
        let header = header_stanzas(&sealed(&[&ssh()])).unwrap();
        assert_eq!(header.stanzas[0].args[0], "UCUiLg");
    }

    #[test]
    fn a_passphrase_is_visible() {
        let mut recipient = age::scrypt::Recipient::new("x".to_owned().into());
        recipient.set_work_factor(1);
        let header = header_stanzas(&sealed(&[&recipient])).unwrap();
        assert_eq!(tags(&header), ["scrypt"]);
    }

    #[test]
    fn length_ends_after_the_mac() {
        let file = sealed(&[&x25519()]);
        let header = header_stanzas(&file).unwrap();
        let text = std::str::from_utf8(&file[..header.length]).unwrap();
        let last = text.strip_suffix('\n').unwrap().lines().last().unwrap();
        assert!(last.starts_with("--- "), "{last:?}");
        assert_eq!(header.sha256, Digest::of(text.as_bytes()));
    }

    #[test]
    fn a_short_prefix_is_incomplete_and_other_files_are_invalid() {
        let file = sealed(&[&x25519()]);
        let length = header_stanzas(&file).unwrap().length;
        for end in [0, 10, 60, length, length + 15] {
            let outcome = header_stanzas(&file[..end]);
            assert!(matches!(outcome, Err(AgeHeaderError::Incomplete)), "{end}");
        }
        assert!(header_stanzas(&file[..length + 16]).is_ok());
        let other = header_stanzas(b"PK\x03\x04 not age at all, but long enough\n\n\n");
        assert!(matches!(other, Err(AgeHeaderError::Invalid(_))));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = header_stanzas(&bytes);
            let mut versioned = b"age-encryption.org/v1\n".to_vec();
            versioned.extend(&bytes);
            let _ = header_stanzas(&versioned);
        }

        #[test]
        fn a_damaged_header_never_panics(at in 0..200_usize, byte in any::<u8>()) {
            let mut file = sealed(&[&x25519()]);
            let at = at % file.len();
            file[at] = byte;
            let _ = header_stanzas(&file);
        }
    }
}
