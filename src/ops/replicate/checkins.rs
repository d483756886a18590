//! Custodians' answers, from a store that has them to one that lacks them: whoever is left with that
//! store alone should see who can open its escrows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::ops::custody::checkin::{self, LOOKED_AT, Stored};
use crate::ops::history::History;
use crate::ops::inventory::Holding;
use crate::store::Store;

/// Puts the newest answers of each custodian, those that verify, into every store that lacks them;
/// how many were put, and what was said by stores that did not take one.
pub(super) fn spread(
    history: &History,
    holdings: &[Holding<'_>],
    now: UtcTime,
) -> (usize, Vec<String>) {
    let stores: Vec<Arc<dyn Store>> = holdings.iter().map(|one| one.store().clone()).collect();
    let stored = Stored {
        history,
        stores: &stores,
        now,
    };
    let mut put = 0;
    let mut failed = Vec::new();
    for (custodian, keys) in newest(history, holdings) {
        for key in keys {
            let (holders, lacking): (Vec<_>, Vec<_>) =
                holdings.iter().partition(|one| one.holds(key));
            if lacking.is_empty() {
                continue;
            }
            let find = |one: &&Holding<'_>| {
                let found = checkin::find(stored, one.store().as_ref(), key, &custodian)?;
                let made_at = found.verified.checkin.created_at;
                (history.layout().checkin(&custodian, made_at) == key).then_some(found)
            };
            // What nobody signed is not spread.
            let Some(found) = holders.iter().find_map(find) else {
                continue;
            };
            let (verified, to) = (&found.verified, lacking.iter().map(|one| one.destination));
            let refused = checkin::keep(verified, &found.document, &found.signature, history, to);
            put += lacking.len() - refused.len();
            failed.extend(refused.into_values());
        }
    }
    (put, failed)
}

/// The newest answers that any store lists, by custodian.
fn newest<'h>(
    history: &History,
    holdings: &'h [Holding<'_>],
) -> BTreeMap<CustodianName, Vec<&'h str>> {
    let layout = history.layout();
    let prefix = layout.checkins();
    let mut all: BTreeMap<CustodianName, BTreeSet<&str>> = BTreeMap::new();
    for key in holdings.iter().flat_map(|one| one.keys_under(&prefix)) {
        if let Some(custodian) = layout.parse_checkin(key) {
            all.entry(custodian).or_default().insert(key);
        }
    }
    let newest = |keys: BTreeSet<&'h str>| keys.into_iter().rev().take(LOOKED_AT).collect();
    all.into_iter()
        .map(|(who, keys)| (who, newest(keys)))
        .collect()
}
