//! Small secrets in layers of age: what is sealed to several custodians one after the other opens
//! with all of them, each in turn, and with stock age as well.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use super::CustodySealError;
use crate::base::digest::Digest;
use crate::model::recipients::RecipientSpec;
use crate::sealing::identities::{BoxedRecipient, Identities, age_recipient};

/// The largest layered file that is sealed and opened, in bytes. A layer of X25519 adds about 200, one of
/// a plugin as much as it likes.
pub const MAX_LAYER_BYTES: usize = 64 << 10;

/// What is sealed to several custodians, the outermost first.
pub struct Layered {
    /// The file.
    pub bytes: Vec<u8>,
    /// Of what each custodian but the last takes out of it, from the outermost on.
    pub inner: Vec<Digest>,
}

/// A layer that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// None of the identities opens it.
    #[error("no identity opens it")]
    NoIdentity,
    /// Too large for what it is said to be.
    #[error("larger than {MAX_LAYER_BYTES} bytes")]
    TooLarge,
    /// Not an age file, or damaged.
    #[error("cannot be decrypted")]
    Decrypt(#[source] age::DecryptError),
    /// The end is missing, or damaged.
    #[error("is cut short or damaged")]
    Read(#[from] io::Error),
}

/// Seals `secret` to the last of these custodians, the result to the one before, and so on: the
/// first one opens first.
pub fn seal_layers(
    secret: &[u8],
    custodians: &[RecipientSpec],
) -> Result<Layered, CustodySealError> {
    let mut bytes = Zeroizing::new(secret.to_vec());
    let mut inner = Vec::new();
    for (at, spec) in custodians.iter().enumerate().rev() {
        bytes = Zeroizing::new(seal(&bytes, &[age_recipient(spec)?])?);
        if at > 0 {
            inner.insert(0, Digest::of(&bytes));
        }
    }
    Ok(Layered {
        bytes: std::mem::take(&mut *bytes),
        inner,
    })
}

/// Seals a small secret to each of these recipients, as text that can be pasted and printed.
pub fn seal_armored(
    secret: &[u8],
    recipients: &[BoxedRecipient],
) -> Result<String, CustodySealError> {
    armored(&seal(secret, recipients)?)
}

/// An age file as text.
pub fn armored(file: &[u8]) -> Result<String, CustodySealError> {
    let format = age::armor::Format::AsciiArmor;
    let mut out = age::armor::ArmoredWriter::wrap_output(Vec::new(), format)?;
    out.write_all(file)?;
    let text = out.finish()?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The bytes of an age file that came as text, or as it is.
pub fn dearmored(file: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut bytes = Vec::new();
    age::armor::ArmoredReader::new(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What nobody could open again, for its size, is not sealed.
pub(super) fn seal(
    secret: &[u8],
    recipients: &[BoxedRecipient],
) -> Result<Vec<u8>, CustodySealError> {
    let recipients = recipients.iter().map(|one| one.as_ref() as _);
    let encryptor =
        age::Encryptor::with_recipients(recipients).map_err(CustodySealError::Encrypt)?;
    let mut out = encryptor.wrap_output(Vec::new())?;
    out.write_all(secret)?;
    let sealed = out.finish()?;
    match sealed.len() > MAX_LAYER_BYTES {
        true => Err(CustodySealError::TooLarge),
        false => Ok(sealed),
    }
}

/// Takes one layer off. Give it no file whose digest was not compared with a signed one: an
/// identity must not open what a stranger chose.
pub fn open_layer(file: &[u8], identities: &Identities) -> Result<Zeroizing<Vec<u8>>, LayerError> {
    open(file, file.len(), identities)
}

/// Takes one layer off a file that a person pasted.
pub fn open_armored(
    text: &[u8],
    identities: &Identities,
) -> Result<Zeroizing<Vec<u8>>, LayerError> {
    let reader = age::armor::ArmoredReader::new(text);
    open(reader, text.len(), identities)
}

fn open(
    file: impl Read,
    length: usize,
    identities: &Identities,
) -> Result<Zeroizing<Vec<u8>>, LayerError> {
    if length > MAX_LAYER_BYTES {
        return Err(LayerError::TooLarge);
    }
    let failed = |error| match error {
        age::DecryptError::NoMatchingKeys => LayerError::NoIdentity,
        other => LayerError::Decrypt(other),
    };
    let decryptor = age::Decryptor::new(file).map_err(failed)?;
    let mut plain = decryptor.decrypt(identities.iter()).map_err(failed)?;
    // What is inside is never longer: nothing grows, and leaves unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    plain.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::custody::EscrowIdentity;
    use age::secrecy::ExposeSecret;
    use proptest::prelude::*;

    /// Made with stock age 1.1.1: an identity for bob, and that for alice.
    const UNLOCK: &str = "\
        YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBKUEplT0dwVlluNktHNVBVaUorK3JWdC9y\
        eFZjV1dSSjUvY1NWekRkc1ZZCmNFNU9CanpEQklQODZxNXVCRWJUTGhRY05ZWU1KdHNNdldxeHJq\
        c1daclEKLS0tIFJkaldqeGxiVk42V3VjdEdReEFNbCtFdXNUOURhWHhPdHRBUk5Qa3NJOEUKC6Gh\
        VW1YM/nu6mgU5o3jwqCj33M65Zyhm1DlKFJ6gTQPfa2eyhQwxLqlfP2OLM9h3HhUTQdpqDV7lq4r\
        A8D8VN7s4S2A7FLAYcBpL1sJ/CExUNXoU+N+oROmyagvJH6zicgEzIuaAEzz5mkRbcND3hctK5su\
        Db2QDP1I2oSmQF4A42RjN4ERelOoTfdEzX1d0MvP926UA6kB5eRBJdUvwNsNil+gwK9XGDoyD+PT\
        lTIwQqQTS8zL1BoeCjXiPbdKPSuk5OH1OOfQj4wyB7WubmQnJFctk/ZxzR71Q4wVHLcXRhHynSyT\
        Y21Io5vmcsZjERdPuZeK+gn+SN9lDJ9ZFOfhP6c0SyW2LFfh4Jz65kZeD1baIv/L+gHy8IMCzohH\
        bS4AlN2198ffPodTj5+mMHwltA==";
    const INNER: &str = "b3834d5a77dfc14d0922a448eeb4a695675401d621d035b9fc6a61f109ae4bf9";
    const ALICE: &str =
        "AGE-SECRET-KEY-1Q7T80Q77UF0S584UGLEKD3UF67RWCLTAYFFZPLAXSFW4M2W83J8S3D09UJ";
    const BOB: &str = "AGE-SECRET-KEY-1K4VUM2763EMGV2CY696GN7E8R3QNQ34NPVUPTLKME63YKAS86PJSKA5AGC";
    const INSIDE: &str =
        "AGE-SECRET-KEY-1WEQAJ5JRT7G2L2JJ8AHTKZKLXHKNGA9ZL5ZKGVSEFC95DYRZ0Y5QD3V0ZN";

    #[test]
    fn an_unlock_file_of_stock_age_opens_as_it_always_did() {
        use base64::Engine as _;
        let file = base64::engine::general_purpose::STANDARD
            .decode(UNLOCK)
            .unwrap();
        let opened = |file: &[u8], identity: &str| {
            let identity = Identities::parse("known", identity.to_owned().into()).unwrap();
            open_layer(file, &identity).unwrap()
        };
        let inner = opened(&file, ALICE);
        assert_eq!(Digest::of(&inner).to_string(), INNER);
        let identity = EscrowIdentity::parse(&opened(&inner, BOB)).unwrap();
        assert_eq!(identity.text().trim_end(), INSIDE);
    }

    struct Custodian(RecipientSpec, Identities);

    fn custodian(name: &str) -> Custodian {
        let identity = age::x25519::Identity::generate();
        let text = identity.to_string().expose_secret().to_owned();
        Custodian(
            RecipientSpec::parse(name, &identity.to_public().to_string()).unwrap(),
            Identities::parse(name, text.into()).unwrap(),
        )
    }

    #[test]
    fn custodians_open_in_the_order_given_and_every_step_is_the_one_announced() {
        let people = ["alice", "bob", "carol"].map(custodian);
        let specs: Vec<RecipientSpec> = people.iter().map(|one| one.0.clone()).collect();
        let layered = seal_layers(b"secret", &specs).unwrap();
        assert_eq!(layered.inner.len(), 2);
        let mut file = Zeroizing::new(layered.bytes);
        for (at, person) in people.iter().enumerate() {
            file = open_layer(&file, &person.1).unwrap();
            if let Some(digest) = layered.inner.get(at) {
                assert_eq!(Digest::of(&file), *digest);
            }
        }
        assert_eq!(*file, b"secret");
    }

    #[test]
    fn nobody_opens_out_of_turn() {
        let [alice, bob] = ["alice", "bob"].map(custodian);
        let layered = seal_layers(b"secret", &[alice.0, bob.0]).unwrap();
        let refused = open_layer(&layered.bytes, &bob.1);
        assert!(matches!(refused, Err(LayerError::NoIdentity)));
        let inner = open_layer(&layered.bytes, &alice.1).unwrap();
        let refused = open_layer(&inner, &alice.1);
        assert!(matches!(refused, Err(LayerError::NoIdentity)));
    }

    #[test]
    fn what_was_pasted_is_opened_with_the_one_time_identity() {
        let one_time = EscrowIdentity::generate();
        let text = seal_armored(b"secret", &[one_time.recipient()]).unwrap();
        assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
        let opened = open_armored(text.as_bytes(), &one_time.into_identities("one-time"));
        assert_eq!(*opened.unwrap(), b"secret");
    }

    #[test]
    fn a_layer_that_was_cut_or_is_too_large_does_not_open() {
        let alice = custodian("alice");
        let layered = seal_layers(b"secret", &[alice.0]).unwrap();
        let cut = &layered.bytes[..layered.bytes.len() - 1];
        assert!(matches!(
            open_layer(cut, &alice.1),
            Err(LayerError::Read(_))
        ));
        let large = vec![0; MAX_LAYER_BYTES + 1];
        assert!(matches!(
            open_layer(&large, &alice.1),
            Err(LayerError::TooLarge)
        ));
    }

    #[test]
    fn what_would_be_too_large_to_open_is_not_sealed() {
        let alice = custodian("alice");
        let sealed = |length| seal_layers(&vec![0; length], std::slice::from_ref(&alice.0));
        let fits = sealed(MAX_LAYER_BYTES - 1000).unwrap();
        assert!(open_layer(&fits.bytes, &alice.1).is_ok());
        assert!(matches!(
            sealed(MAX_LAYER_BYTES),
            Err(CustodySealError::TooLarge)
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_damaged_layer_never_opens_to_something_else(at in 0_usize..200, flip in 1_u8..) {
            let alice = custodian("alice");
            let mut file = seal_layers(b"secret", std::slice::from_ref(&alice.0)).unwrap().bytes;
            let at = at % file.len();
            file[at] ^= flip;
            prop_assert!(open_layer(&file, &alice.1).is_err());
            let _ = open_armored(&file, &alice.1);
        }
    }
}
