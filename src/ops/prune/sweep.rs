//! What crashed runs left behind: payloads that no manifest names, and uploads that never ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::Serialize;

use crate::base::error_chain::error_chain;
use crate::base::names::{EscrowId, RekeyId, StoreName};
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::ops::commit::{Committer, Ports};
use crate::ops::destination::Destination;
use crate::ops::history::History;
use crate::ops::inventory::Holding;
use crate::ops::noncurrent;
use crate::store::UploadTicket;

use super::delete::{self, State};

/// How old something must be, in seconds, before nobody can be at work on it any more: 48 hours.
const AGE: i64 = 48 * 3600;

/// Something that a crashed run left.
#[derive(Debug, Serialize)]
pub struct Swept {
    /// Where.
    pub store: StoreName,
    /// What it is.
    #[serde(flatten)]
    pub what: Left,
    /// What became of it; null in a dry run.
    pub outcome: Option<State>,
}

/// See [`Swept`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "left", rename_all = "kebab-case")]
pub enum Left {
    /// Objects of an escrow, or of a later sealing of one, that was never committed.
    Orphan {
        /// Which.
        escrow: EscrowId,
        /// The sealing; none for all of the escrow.
        rekey: Option<RekeyId>,
    },
    /// An upload that never ended.
    Upload {
        /// Of which object.
        key: String,
        /// How to abort it.
        #[serde(skip)]
        ticket: UploadTicket,
        /// Since when it has lain there.
        since: UtcTime,
    },
}

/// Findings after which an object may be named by a manifest that does not count here: one of a
/// host that joined, by a key that is not known yet.
const UNCLEAR: [&str; 9] = [
    "unverified-manifest",
    "manifest-unreadable",
    "manifest-hidden",
    "manifest-overwritten",
    "misplaced-manifest",
    "signer-window",
    "policy-missing",
    "versions-unseen",
    "versions-left-out",
];

/// Looks for what nobody is at work on any more.
pub(super) fn find(
    chain: &mut Committer<'_>,
    history: &History,
    holdings: &[Holding<'_>],
    now: UtcTime,
) -> Vec<Swept> {
    let mut found: Vec<Swept> = holdings
        .iter()
        .flat_map(|holding| uploads(holding, history.layout(), now))
        .collect();
    let is_unclear = |finding: &Finding| UNCLEAR.contains(&finding.id);
    let hidden = |holding: &Holding<'_>| hides_manifests(holding, history.layout());
    let unclear = chain.findings.iter().any(is_unclear) || history.reports_unknown();
    if unclear || holdings.iter().any(hidden) {
        let why =
            "payloads that no manifest names were not looked for: not every manifest is clear";
        chain.tell(Finding::note("orphans-unknown", why));
    } else {
        let named = Named::by(history);
        let orphans = holdings.iter();
        found.extend(orphans.flat_map(|one| orphans_in(one, &named, history.layout(), now)));
    }
    found
}

/// Whether a manifest lies behind a delete marker or beneath something else, whoever signed it.
fn hides_manifests(holding: &Holding<'_>, layout: &Layout) -> bool {
    let mut is_manifest = |key: &str| layout.parse_manifest(key).is_some();
    let (store, prefix) = (holding.store().as_ref(), layout.manifests());
    let sight = noncurrent::look(store, &prefix, None, &mut is_manifest);
    sight.map_or(true, |sight| !sight.keys.is_empty())
}

/// What manifests name.
struct Named<'a> {
    escrows: BTreeSet<&'a EscrowId>,
    rekeys: BTreeSet<(&'a EscrowId, &'a RekeyId)>,
}

impl<'a> Named<'a> {
    fn by(history: &'a History) -> Self {
        let escrows = || history.escrows().map(|(_, escrow)| escrow);
        let rekeys = escrows().flat_map(|escrow| &escrow.rekeyed);
        let rekeys = rekeys.map(|one| (&one.rekeyed.escrow_id, &one.rekeyed.rekey_id));
        Self {
            escrows: escrows().map(|escrow| &escrow.id).collect(),
            rekeys: rekeys.collect(),
        }
    }

    /// What an object belongs to that no manifest names, and for long enough.
    fn orphan(&self, layout: &Layout, key: &str, now: UtcTime) -> Option<Orphan> {
        let escrow = layout.parse_escrow(key)?;
        if !self.escrows.contains(&escrow) {
            return (escrow.at().plus(AGE) < now).then_some((escrow, None));
        }
        let rekey = layout.parse_rekey(key)?;
        let is_left = !self.rekeys.contains(&(&escrow, &rekey)) && rekey.at().plus(AGE) < now;
        is_left.then_some((escrow, Some(rekey)))
    }
}

/// See [`Left::Orphan`].
type Orphan = (EscrowId, Option<RekeyId>);

fn orphans_in(
    holding: &Holding<'_>,
    named: &Named<'_>,
    layout: &Layout,
    now: UtcTime,
) -> Vec<Swept> {
    let prefix = layout.escrows();
    let orphans = holding.keys_under(&prefix);
    let orphans: BTreeSet<Orphan> = orphans
        .filter_map(|key| named.orphan(layout, key, now))
        .collect();
    let swept = orphans.into_iter().map(|(escrow, rekey)| Swept {
        store: holding.name().clone(),
        what: Left::Orphan { escrow, rekey },
        outcome: None,
    });
    swept.collect()
}

/// Uploads below this instance's own prefix. A store that cannot list them has none that could be
/// told.
fn uploads(holding: &Holding<'_>, layout: &Layout, now: UtcTime) -> Vec<Swept> {
    let mut found = Vec::new();
    let listed = holding
        .store()
        .unfinished_uploads(layout.root(), &mut |upload| {
            if upload.since.plus(AGE) < now && upload.ticket.key.starts_with(layout.root()) {
                found.push(Swept {
                    store: holding.name().clone(),
                    what: Left::Upload {
                        key: upload.ticket.key.clone(),
                        since: upload.since,
                        ticket: upload.ticket,
                    },
                    outcome: None,
                });
            }
            ControlFlow::Continue(())
        });
    if let Err(error) = listed {
        let store = holding.name();
        tracing::info!(%store, error = %error_chain(&error), "unfinished uploads cannot be listed");
    }
    found
}

/// Removes what was found.
pub(super) fn sweep(found: &mut [Swept], ports: Ports<'_>, layout: &Layout) {
    let mut orphans: BTreeMap<StoreName, BTreeSet<Orphan>> = BTreeMap::new();
    for swept in found.iter_mut() {
        match &swept.what {
            Left::Orphan { escrow, rekey } => {
                let in_store = orphans.entry(swept.store.clone()).or_default();
                in_store.insert((escrow.clone(), rekey.clone()));
            }
            Left::Upload { ticket, .. } => {
                let mut stores = ports.destinations.iter().map(|to| &to.store);
                let store = stores.find(|store| *store.name() == swept.store);
                let aborted = store.map(|store| store.abort_upload(ticket));
                swept.outcome = Some(match aborted {
                    Some(Err(error)) => State::Failed {
                        why: error_chain(&error),
                    },
                    _ => State::Gone,
                });
            }
        }
    }
    for (name, orphans) in orphans {
        let here = ports.destinations.iter();
        let here: Vec<Destination> = here
            .filter(|to| *to.store.name() == name)
            .cloned()
            .collect();
        let wanted = |key: &str| {
            let escrow = layout.parse_escrow(key)?;
            let whole = (escrow, None);
            if orphans.contains(&whole) {
                return Some(whole.0);
            }
            let part = (whole.0, Some(layout.parse_rekey(key)?));
            orphans.contains(&part).then_some(part.0)
        };
        for deleted in delete::delete_objects(&here, layout, &wanted, ports.cancel) {
            let of = |swept: &&mut Swept| {
                let is_it = matches!(&swept.what, Left::Orphan { escrow, .. } if Some(escrow) == deleted.escrow.as_ref());
                swept.store == name && (is_it || deleted.escrow.is_none())
            };
            let told = found.iter_mut().filter(of);
            told.for_each(|swept| swept.outcome = Some(deleted.state.clone()));
        }
    }
}
