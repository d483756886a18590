//! A drill's report: signed, and kept in every store beside the escrows.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::names::StoreName;
use crate::model::drill::DrillReport;
use crate::model::layout::Layout;
use crate::model::namespace::Namespace;
use crate::model::strict_json::StrictJsonError;
use crate::ops::deposit::Deposit;
use crate::ops::destination::Destination;
use crate::sealing::sshsig::{SigningKey, SigningKeyError};

/// Where a report lies now.
pub struct Kept {
    /// Its key in every store.
    pub key: String,
    /// Of its bytes.
    pub sha256: Digest,
    /// What each store did not take.
    pub lacking: BTreeMap<StoreName, String>,
}

/// A report was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It cannot be written down.
    #[error("the drill report cannot be written")]
    Document(#[from] StrictJsonError),
    /// It was not signed.
    #[error("the drill report cannot be signed")]
    Sign(#[from] SigningKeyError),
}

/// Signs a report, and puts it and its signature into every store, locked as manifests are.
pub fn keep(
    report: &DrillReport,
    key: &SigningKey,
    layout: &Layout,
    destinations: &[Destination],
) -> Result<Kept, KeepError> {
    let bytes = report.to_bytes()?;
    let signature = key.sign(Namespace::Drill, &bytes)?;
    let sha256 = Digest::of(&bytes);
    let place = layout.drill(&report.escrow_id, report.began_at);
    let deposit = Deposit {
        signer: &report.signer,
        key: &place,
        document: &bytes,
        signature: signature.as_bytes(),
        at: report.ended_at,
    };
    let lacking = deposit.put(layout, destinations);
    Ok(Kept {
        key: place,
        sha256,
        lacking,
    })
}
