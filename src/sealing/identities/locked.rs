//! Identities under a passphrase, which is asked for once, when their file is read.

use std::io::Read;

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use super::IdentityProblem;
use crate::sealing::person::Person;

/// The most scrypt work that is done for a passphrase, as a power of two: what stock age does, 4 GiB
/// of memory. The crate's own bound depends on how fast this machine is.
const MAX_WORK_FACTOR: u8 = 22;

/// Whether a file is an age file itself, as text or as it is.
pub(super) fn is_age_file(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    start.starts_with(b"age-encryption.org/") || start.starts_with(b"-----BEGIN AGE ENCRYPTED")
}

/// What is inside a file that `age -p` made.
pub(super) fn unlock_file(
    name: &str,
    bytes: &[u8],
    person: &impl Person,
) -> Result<Zeroizing<Vec<u8>>, IdentityProblem> {
    let reader = age::armor::ArmoredReader::new(bytes.trim_ascii_start());
    let decryptor = age::Decryptor::new(reader).map_err(|_| IdentityProblem::Damaged)?;
    if !decryptor.is_scrypt() {
        return Err(IdentityProblem::SealedFile);
    }
    let passphrase = ask(name, person).ok_or(IdentityProblem::EncryptedFile)?;
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let mut plain = decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .map_err(|error| not_opened(&error))?;
    // What is inside is never longer: nothing grows, and leaves unwiped copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let read = plain.read_to_end(&mut text);
    // The header's MAC was good: the passphrase is right.
    read.map_err(|_| IdentityProblem::Damaged)?;
    Ok(text)
}

fn not_opened(error: &age::DecryptError) -> IdentityProblem {
    match error {
        age::DecryptError::ExcessiveWork { required, .. } => {
            IdentityProblem::ExcessiveWork(*required)
        }
        age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::NoMatchingKeys => IdentityProblem::WrongPassphrase,
        _ => IdentityProblem::Damaged,
    }
}

/// An SSH key without the passphrase that it was kept under.
pub(super) fn unlock_ssh(
    name: &str,
    key: &age::ssh::EncryptedKey,
    person: &impl Person,
) -> Result<age::ssh::Identity, IdentityProblem> {
    let passphrase = ask(name, person).ok_or(IdentityProblem::EncryptedSsh)?;
    let unlocked = key.decrypt(passphrase);
    let unlocked = unlocked.map_err(|_| IdentityProblem::WrongPassphrase)?;
    Ok(unlocked.into())
}

fn ask(name: &str, person: &impl Person) -> Option<SecretString> {
    person.passphrase(&format!("Passphrase of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::identities::{Identities, IdentityError};
    use crate::sealing::person::Nobody;
    use age::secrecy::ExposeSecret;
    use std::io::Write;

    /// Somebody who types one passphrase, whatever the question is.
    #[derive(Clone)]
    struct Types(&'static str);

    impl Person for Types {
        fn show(&self, _: &str) {}

        fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
            None
        }

        fn line(&self, _: &str) -> Option<String> {
            None
        }

        fn passphrase(&self, question: &str) -> Option<SecretString> {
            assert_eq!(question, "Passphrase of alice.key");
            Some(self.0.to_owned().into())
        }
    }

    fn under(passphrase: &str, text: &str) -> Vec<u8> {
        let mut recipient = age::scrypt::Recipient::new(passphrase.to_owned().into());
        recipient.set_work_factor(2);
        sealed(&recipient, text)
    }

    fn sealed(recipient: &dyn age::Recipient, text: &str) -> Vec<u8> {
        let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient));
        let mut file = Vec::new();
        let mut writer = encryptor.unwrap().wrap_output(&mut file).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap();
        file
    }

    fn read(file: &[u8], person: impl Person) -> Result<Identities, IdentityProblem> {
        let read = Identities::read("alice.key", file, person);
        read.map_err(|error: IdentityError| error.reason)
    }

    fn identity() -> String {
        let identity = age::x25519::Identity::generate();
        identity.to_string().expose_secret().to_owned()
    }

    #[test]
    fn a_file_under_a_passphrase_opens_with_it_and_with_no_other() {
        let text = identity();
        let file = under("correct horse", &text);
        assert!(read(&file, Types("correct horse")).is_ok());
        let wrong = read(&file, Types("battery staple")).unwrap_err();
        assert_eq!(wrong, IdentityProblem::WrongPassphrase);
        let nobody = read(&file, Nobody).unwrap_err();
        assert_eq!(nobody, IdentityProblem::EncryptedFile);
        assert!(nobody.to_string().contains("no terminal"));
    }

    #[test]
    fn a_damaged_file_and_one_that_takes_too_much_work_are_told_as_what_they_are() {
        let file = under("x", &identity());
        let mut damaged = file.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let header = |from: &str, to: &str| {
            let end = file.windows(4).position(|four| four == b"\n---").unwrap();
            let text = std::str::from_utf8(&file[..end]).unwrap();
            assert!(text.contains(from));
            [text.replace(from, to).as_bytes(), &file[end..]].concat()
        };
        for damaged in [
            damaged,
            file[..file.len() - 1].to_vec(),
            file[..50].to_vec(),
            header("-> scrypt", "-> X25519 AA\nAA\n-> scrypt"),
        ] {
            let refused = read(&damaged, Types("x")).unwrap_err();
            assert_eq!(refused, IdentityProblem::Damaged);
        }
        let mut mac = file.clone();
        let end = mac.windows(4).position(|four| four == b"--- ").unwrap();
        mac[end + 4] = if mac[end + 4] == b'A' { b'B' } else { b'A' };
        let refused = read(&mac, Types("x")).unwrap_err();
        assert_eq!(refused, IdentityProblem::Damaged);
        let refused = read(&header(" 2\n", " 23\n"), Types("x")).unwrap_err();
        assert_eq!(refused, IdentityProblem::ExcessiveWork(23));
    }

    #[test]
    fn what_is_inside_must_be_an_identity_and_no_further_layer() {
        let twice = under("x", &String::from_utf8_lossy(&under("x", &identity())));
        for file in [under("x", ""), under("x", "hello"), twice] {
            assert!(read(&file, Types("x")).is_err());
        }
    }

    #[test]
    fn a_file_for_recipients_is_no_identity() {
        let recipient = age::x25519::Identity::generate().to_public();
        let refused = read(&sealed(&recipient, &identity()), Types("x")).unwrap_err();
        assert_eq!(refused, IdentityProblem::SealedFile);
    }
}
