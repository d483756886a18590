//! Custodians' answers, from a store that has them to one that lacks them: whoever is left with that
//! store alone should see who can open its escrows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::names::CustodianName;
use crate::base::time::UtcTime;
use crate::model::namespace::Namespace;
use crate::ops::custody::stored_checkins::{Found, LOOKED_AT, Stored};
use crate::ops::custody::submission;
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
    let layout = history.layout();
    let mut put = 0;
    let mut failed = Vec::new();
    // Nobody else's answers can verify, whatever names were planted.
    let signers = history.trust.signers_for(Namespace::Checkin);
    let custodians = signers.iter().filter_map(|name| name.as_str().parse().ok());
    for custodian in custodians {
        for (at, holders) in newest(stored, holdings, &custodian) {
            let key = layout.checkin(&custodian, at);
            let lacking: Vec<_> = holdings.iter().filter(|one| !one.holds(&key)).collect();
            if lacking.is_empty() {
                continue;
            }
            // What nobody signed is not spread.
            let mut holders = holders.into_iter();
            let find = |one: &Holding<'_>| stored.find(one.store().as_ref(), &custodian, at);
            let Some(found) = holders.find_map(find) else {
                continue;
            };
            let Found {
                verified,
                document,
                signature,
            } = &found;
            let to = lacking.iter().map(|one| one.destination);
            let refused = submission::keep(verified, document, signature, layout, now, to);
            put += lacking.len() - refused.len();
            failed.extend(refused.into_values());
        }
    }
    (put, failed)
}

/// The newest answers of a custodian by the names in all stores, and who has each.
fn newest<'h, 'a>(
    stored: Stored<'_>,
    holdings: &'h [Holding<'a>],
    custodian: &CustodianName,
) -> Vec<(UtcTime, Vec<&'h Holding<'a>>)> {
    let mut all: BTreeMap<UtcTime, Vec<&Holding<'_>>> = BTreeMap::new();
    for holding in holdings {
        let names = stored.names(holding.store().as_ref(), custodian);
        let dates: BTreeSet<UtcTime> = names.map(|names| names.newest).unwrap_or_default();
        for at in dates {
            all.entry(at).or_default().push(holding);
        }
    }
    all.into_iter().rev().take(LOOKED_AT).collect()
}
