//! Custody in pieces: an escrow's own identity, wrapped for several custodians one after the
//! other, and the challenges that prove who can open what.

mod canary;
mod identity;
mod layers;
mod unlock;

pub use canary::{CANARY_NONCE, SealedCanary, seal_canary};
pub use identity::{EscrowIdentity, NotAnEscrowIdentity};
pub use layers::{
    LayerError, Layered, MAX_LAYER_BYTES, armored, dearmored, open_armored, open_layer,
    seal_armored, seal_layers,
};
pub use unlock::UnlockError;

use std::io;

use super::identities::RecipientUseError;

/// Something small could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum CustodySealError {
    /// A recipient cannot be used on this host.
    #[error(transparent)]
    Recipient(#[from] RecipientUseError),
    /// age refused, or its plugin did.
    #[error("cannot encrypt to the custodian's recipient")]
    Encrypt(#[source] age::EncryptError),
    /// Nobody could open it again.
    #[error("would take more than {MAX_LAYER_BYTES} bytes for these custodians")]
    TooLarge,
    /// The stream's end failed.
    #[error("cannot encrypt")]
    Io(#[from] io::Error),
}
