//! Custodians' answers where they lie: in stores in which whoever may write can plant names, and
//! delete and write over what is there.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::checkin::{self, Verified};
use crate::base::digest::Digest;
use crate::base::names::{CustodianName, SignerName};
use crate::base::parallel::for_each;
use crate::base::time::UtcTime;
use crate::model::checkin::{MAX_BYTES, SKEW};
use crate::model::finding::Finding;
use crate::ops::history::History;
use crate::ops::noncurrent;
use crate::sealing::sshsig::MAX_SIGNATURE_BYTES;
use crate::store::{Store, StoreError};

/// How many answers of one custodian are looked at in one store, from the newest on. Whoever may
/// write there can plant any number.
pub const LOOKED_AT: usize = 64;

/// How many of them are read at a time.
const AT_A_TIME: usize = 8;

/// Where stored answers are looked for, and what they are held against.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// The chain, and whom it trusts.
    pub history: &'a History,
    /// Where signatures lie.
    pub stores: &'a [Arc<dyn Store>],
    /// The present.
    pub now: UtcTime,
}

/// A verified answer out of a store, as it was signed.
pub struct Found {
    /// What it says.
    pub verified: Verified,
    /// Its bytes.
    pub document: Vec<u8>,
    /// The signature over them.
    pub signature: Vec<u8>,
}

/// By their names, the newest answers of one custodian in one store. Names are anybody's to choose.
#[derive(Debug, Default)]
pub struct Names {
    /// When they are dated, [`LOOKED_AT`] at most.
    pub newest: BTreeSet<UtcTime>,
    /// Whether others are left out: older ones, and names that no answer has.
    pub left_out: bool,
    /// What kept deleted ones from being seen.
    pub finding: Option<Finding>,
}

impl Names {
    fn add(&mut self, at: Option<UtcTime>) {
        match at {
            None => self.left_out = true,
            Some(at) if self.newest.insert(at) && self.newest.len() > LOOKED_AT => {
                self.newest.pop_first();
                self.left_out = true;
            }
            Some(_) => {}
        }
    }
}

impl Stored<'_> {
    /// Lists a custodian's answers in a store, those behind deletes too. However many there are,
    /// the newest few are kept.
    pub fn names(&self, store: &dyn Store, custodian: &CustodianName) -> Result<Names, StoreError> {
        let layout = self.history.layout();
        let prefix = layout.checkins_of(custodian);
        let latest = self.now.plus(SKEW);
        let mut names = Names::default();
        names.finding = noncurrent::every_key(store, &prefix, &mut |key| {
            let at = layout.parse_checkin(key).map(|(_, at)| at);
            names.add(at.filter(|at| *at <= latest));
        })?;
        Ok(names)
    }

    /// Reads the answer of this date, also where it was deleted or written over. Its signature may
    /// be in any of the stores. None where nothing there verifies.
    pub fn find(&self, store: &dyn Store, custodian: &CustodianName, at: UtcTime) -> Option<Found> {
        let key = self.history.layout().checkin(custodian, at);
        let mut documents = noncurrent::contents(store, &key, MAX_BYTES);
        documents.find_map(|document| self.verified(custodian, at, document))
    }

    /// The same for several dates; in no order.
    pub fn find_all(
        &self,
        store: &dyn Store,
        custodian: &CustodianName,
        dates: &BTreeSet<UtcTime>,
    ) -> Vec<Found> {
        let dates: Vec<UtcTime> = dates.iter().rev().copied().collect();
        let look = |at: usize| self.find(store, custodian, *dates.get(at)?);
        let mut all = Vec::new();
        for_each(dates.len(), AT_A_TIME, look, |_, found| {
            all.extend(found);
            ControlFlow::Continue(())
        });
        all
    }

    fn verified(&self, custodian: &CustodianName, at: UtcTime, document: Vec<u8>) -> Option<Found> {
        let signer: SignerName = custodian.as_str().parse().ok()?;
        let layout = self.history.layout();
        let key = layout.signature(&Digest::of(&document), &signer);
        let most = MAX_SIGNATURE_BYTES as u64;
        let stores = self.stores.iter();
        let mut signatures =
            stores.flat_map(|store| noncurrent::contents(store.as_ref(), &key, most));
        let (verified, signature) = signatures.find_map(|signature| {
            let (history, signer) = (self.history, Some(&signer));
            let verified = checkin::verify(&document, &signature, signer, history, self.now);
            Some((verified.ok()?, signature))
        })?;
        (verified.checkin.created_at == at).then_some(Found {
            verified,
            document,
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_few_however_many_are_planted() {
        let mut names = Names::default();
        names.add(None);
        for at in 0..1000 {
            names.add(Some(UtcTime::from_unix(at)));
            names.add(Some(UtcTime::from_unix(at)));
        }
        assert_eq!(names.newest.len(), LOOKED_AT);
        assert_eq!(names.newest.last(), Some(&UtcTime::from_unix(999)));
        assert!(names.left_out);
    }
}
