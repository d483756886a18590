//! A custodian's answer as it comes in: taken if it shows something new, and kept in every store
//! beside the escrows.

use std::collections::BTreeMap;

use super::challenge;
use super::checkin::{self, CheckinRefused, Verified};
use super::stored_checkins::Stored;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::layout::Layout;
use crate::ops::deposit::Deposit;
use crate::ops::destination::Destination;
use crate::ops::history::{History, HistoryError};

/// An answer to a canary older than this is not taken, in seconds: fourteen days. The newest one of
/// a custodian may be older.
const FRESH: i64 = 14 * 86_400;

/// An answer that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionRefused {
    /// It does not count.
    #[error(transparent)]
    Checkin(#[from] CheckinRefused),
    /// To a canary that says too little of today.
    #[error("it answers a canary of {0}, and there is a newer one")]
    OldCanary(UtcTime),
    /// What was in this canary is no secret any more.
    #[error("this canary was answered before, on {0}: naming it again proves nothing")]
    Answered(UtcTime),
}

impl From<HistoryError> for SubmissionRefused {
    fn from(error: HistoryError) -> Self {
        Self::Checkin(error.into())
    }
}

/// Verifies what a custodian sent in, and that it shows something: the canary is at most 14 days old
/// or the newest of theirs, and nobody named what was in it before. The very same answer may come
/// in again.
pub fn verify(
    document: &[u8],
    signature: &[u8],
    stored: Stored<'_>,
) -> Result<Verified, SubmissionRefused> {
    let verified = checkin::verify(document, signature, None, stored.history, stored.now)?;
    let is_fresh = verified.proven_at.plus(FRESH) >= stored.now;
    if !is_fresh && !answers_the_newest(&verified, stored.history)? {
        return Err(SubmissionRefused::OldCanary(verified.proven_at));
    }
    match answered_before(&verified, document, stored) {
        Some(at) => Err(SubmissionRefused::Answered(at)),
        None => Ok(verified),
    }
}

fn answers_the_newest(verified: &Verified, history: &History) -> Result<bool, HistoryError> {
    let checkin = &verified.checkin;
    let newest = challenge::newest_canary(history, &checkin.custodian)?;
    Ok(newest.is_some_and(|newest| newest.canary.nonce_sha256 == checkin.nonce.sha256()))
}

/// When another answer to the same canary was made, if one is in a store.
fn answered_before(verified: &Verified, document: &[u8], stored: Stored<'_>) -> Option<UtcTime> {
    let checkin = &verified.checkin;
    let who = &checkin.custodian;
    stored.stores.iter().find_map(|store| {
        // A store that cannot be listed takes no answer either.
        let names = stored.names(store.as_ref(), who).ok()?;
        let found = stored.find_all(store.as_ref(), who, &names.newest);
        let mut same = found
            .iter()
            .filter(|one| one.verified.checkin.nonce == checkin.nonce);
        let other = same.find(|one| one.document != document)?;
        Some(other.verified.checkin.created_at)
    })
}

/// Puts an answer and its signature into every store, locked as long as manifests; returns what
/// each did not take.
pub fn keep<'d>(
    verified: &Verified,
    document: &[u8],
    signature: &[u8],
    layout: &Layout,
    now: UtcTime,
    destinations: impl IntoIterator<Item = &'d Destination>,
) -> BTreeMap<StoreName, String> {
    let checkin = &verified.checkin;
    // A custodian's name is a signer's.
    let Ok(signer) = checkin.custodian.as_str().parse() else {
        return BTreeMap::new();
    };
    let deposit = Deposit {
        signer: &signer,
        key: &layout.checkin(&checkin.custodian, checkin.created_at),
        document,
        signature,
        at: now,
    };
    deposit.put(layout, destinations)
}
