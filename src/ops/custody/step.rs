//! One custodian's step where those who open an escrow are not in one place: the outermost layer
//! comes off an unlock file, and what is inside goes on to the next.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::unlock;
use crate::base::digest::Digest;
use crate::base::names::CustodianName;
use crate::model::manifest::{CustodyMode, Manifest, Unlock};
use crate::sealing::custody::{
    EscrowIdentity, LayerError, NotAnEscrowIdentity, UnlockError, open_layer,
};
use crate::sealing::identities::Identities;
use crate::store::Store;

/// A file that a verified manifest knows: an unlock file, or what somebody took out of one.
pub struct Signed<'m> {
    unlock: &'m Unlock,
    /// Layers that are off already.
    off: usize,
    bytes: Zeroizing<Vec<u8>>,
}

/// What a step gave.
pub enum Opened {
    /// The next layer, which only the next custodian opens.
    Layer {
        /// Whose turn it is now.
        next: CustodianName,
        /// The file to hand on.
        bytes: Vec<u8>,
    },
    /// All layers are off.
    Identity(EscrowIdentity),
}

/// A step that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Nobody has to come together for this one.
    #[error("escrow {0} is opened by each of its custodians alone")]
    NotShared(String),
    /// Opening what a stranger chose would make a custodian a decryption oracle.
    #[error(
        "this file belongs to no unlock file of escrow {0}: it was changed, is of another escrow, \
         or was planted; it was not decrypted"
    )]
    Unknown(String),
    /// No unlock file is for these people.
    #[error("no unlock file of escrow {escrow} begins with your identity{}", with(.others))]
    NotYours {
        /// Which escrow.
        escrow: String,
        /// Who was to take part.
        others: Vec<CustodianName>,
    },
    /// The unlock file could not be had.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// It is somebody else's turn.
    #[error("it is the turn of {0}, whose identity is not among those given")]
    OtherTurn(CustodianName),
    /// The layer does not open.
    #[error("the layer of {custodian} cannot be opened")]
    Layer {
        /// Whose it is.
        custodian: CustodianName,
        /// Why not.
        #[source]
        source: LayerError,
    },
    /// The innermost layer holds something else.
    #[error("the innermost layer holds something else")]
    Content(#[from] NotAnEscrowIdentity),
}

fn with(others: &[CustodianName]) -> String {
    match others {
        [] => String::new(),
        others => {
            let names: Vec<&str> = others.iter().map(CustodianName::as_str).collect();
            format!(" and goes on with {}", names.join(", "))
        }
    }
}

impl<'m> Signed<'m> {
    /// Takes a file only if the manifest names its digest.
    pub fn find(manifest: &'m Manifest, file: Vec<u8>) -> Result<Self, StepError> {
        refuse_unshared(manifest)?;
        let digest = Digest::of(&file);
        let place = |unlock: &Unlock| digests(unlock).position(|signed| *signed == digest);
        let mut unlocks = manifest.unlock.iter();
        let found = unlocks.find_map(|unlock| Some((unlock, place(unlock)?)));
        let (unlock, off) =
            found.ok_or_else(|| StepError::Unknown(manifest.escrow_id.to_string()))?;
        Ok(Self {
            unlock,
            off,
            bytes: Zeroizing::new(file),
        })
    }

    fn read(unlock: &'m Unlock, stores: &[Arc<dyn Store>]) -> Result<Self, StepError> {
        Ok(Self {
            unlock,
            off: 0,
            bytes: Zeroizing::new(unlock::read(unlock, stores)?),
        })
    }

    /// Which step it is, from 1.
    pub fn number(&self) -> usize {
        self.off + 1
    }

    /// Of how many.
    pub fn of(&self) -> usize {
        self.unlock.custodians.len()
    }

    /// Takes the next layer off.
    pub fn open(&self, identities: &Identities) -> Result<Opened, StepError> {
        let mut names = self.unlock.custodians.iter().skip(self.off);
        let Some(custodian) = names.next().cloned() else {
            return Err(NotAnEscrowIdentity.into());
        };
        let bytes = open_layer(&self.bytes, identities).map_err(|error| match error {
            LayerError::NoIdentity => StepError::OtherTurn(custodian.clone()),
            source => StepError::Layer { custodian, source },
        })?;
        match names.next() {
            Some(next) => Ok(Opened::Layer {
                next: next.clone(),
                bytes: bytes.to_vec(),
            }),
            None => Ok(Opened::Identity(EscrowIdentity::parse(&bytes)?)),
        }
    }
}

/// Takes the first step with an unlock file from the stores: the first that these identities open,
/// of those in which all of `others` take part. A file that is gone or damaged keeps nobody from
/// those behind it: its error is given where none of them opens either.
pub fn first<'m>(
    manifest: &'m Manifest,
    stores: &[Arc<dyn Store>],
    others: &[CustodianName],
    identities: &Identities,
) -> Result<(Signed<'m>, Opened), StepError> {
    refuse_unshared(manifest)?;
    let fits = |unlock: &&Unlock| {
        let mut others = others.iter();
        others.all(|name| unlock.custodians.contains(name))
    };
    let mut first_error = None;
    for unlock in manifest.unlock.iter().filter(fits) {
        let read = Signed::read(unlock, stores);
        match read.and_then(|signed| Ok((signed.open(identities)?, signed))) {
            Ok((opened, signed)) => return Ok((signed, opened)),
            Err(StepError::OtherTurn(_)) => {}
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| StepError::NotYours {
        escrow: manifest.escrow_id.to_string(),
        others: others.to_vec(),
    }))
}

fn refuse_unshared(manifest: &Manifest) -> Result<(), StepError> {
    match manifest.custody.mode {
        CustodyMode::KOfN => Ok(()),
        CustodyMode::Any => Err(StepError::NotShared(manifest.escrow_id.to_string())),
    }
}

/// Of the file, and of what each custodian but the last takes out.
fn digests(unlock: &Unlock) -> impl Iterator<Item = &Digest> {
    std::iter::once(&unlock.sha256).chain(&unlock.inner_sha256)
}
