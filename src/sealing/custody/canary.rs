//! A canary: random bytes that one custodian alone can read. Who names them holds the identity.

use zeroize::Zeroizing;

use super::CustodySealError;
use super::layers::seal;
use crate::base::digest::Digest;
use crate::model::recipients::RecipientSpec;
use crate::sealing::identities::age_recipient;

/// Length of a canary's secret in bytes. A custodian's answer is checked for it before it goes
/// anywhere.
pub const CANARY_NONCE: usize = 32;

/// A custodian's challenge in one escrow.
pub struct SealedCanary {
    /// The age file.
    pub bytes: Vec<u8>,
    /// Of the secret inside, which nobody but the custodian knows from now on.
    pub nonce_sha256: Digest,
}

/// Makes a challenge for one custodian.
pub fn seal_canary(spec: &RecipientSpec) -> Result<SealedCanary, CustodySealError> {
    let nonce = Zeroizing::new(rand::random::<[u8; CANARY_NONCE]>());
    Ok(SealedCanary {
        bytes: seal(nonce.as_slice(), &[age_recipient(spec)?])?,
        nonce_sha256: Digest::of(nonce.as_slice()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::custody::{EscrowIdentity, open_layer};

    #[test]
    fn its_custodian_alone_can_read_it() {
        let identity = EscrowIdentity::generate();
        let spec = RecipientSpec::parse("alice", &identity.recipient_text()).unwrap();
        let canary = seal_canary(&spec).unwrap();
        let other = EscrowIdentity::generate().into_identities("bob");
        assert!(open_layer(&canary.bytes, &other).is_err());
        let nonce = open_layer(&canary.bytes, &identity.into_identities("alice")).unwrap();
        assert_eq!(nonce.len(), CANARY_NONCE);
        assert_eq!(Digest::of(&nonce), canary.nonce_sha256);
    }

    #[test]
    fn no_two_are_alike() {
        let identity = EscrowIdentity::generate();
        let spec = RecipientSpec::parse("alice", &identity.recipient_text()).unwrap();
        let [one, other] = [(); 2].map(|()| seal_canary(&spec).unwrap().nonce_sha256);
        assert_ne!(one, other);
    }
}
