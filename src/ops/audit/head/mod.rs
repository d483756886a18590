//! A look at the newest manifest alone, in few requests: a listing from the mark on, the manifest,
//! its signature. What monitoring asks every few minutes.

mod look;
mod newest;
mod trail;

use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::names::Slug;
use crate::base::time::UtcTime;
use crate::model::audit::facts::{ChainFacts, EscrowSeen, Facts, HeadSeen, Scope, Seen};
use crate::model::finding::Finding;
use crate::model::mark::Mark;
use crate::model::trust::Trust;
use crate::store::Store;

use super::in_every_store;
use look::Look;
use newest::Newest;

/// How far ahead of the reader's clock a manifest may be dated, in seconds.
const FUTURE_TOLERANCE: i64 = 300;

/// How many manifests are followed from the head back.
const FOLLOWED: u64 = 32;

/// What is looked at.
pub struct HeadRequest<'a> {
    /// Whose chain.
    pub slug: &'a Slug,
    /// The stores.
    pub stores: &'a [Arc<dyn Store>],
    /// Whose signatures count.
    pub trust: &'a Trust,
    /// The newest manifest that was known before.
    pub mark: Option<Mark>,
    /// The present.
    pub now: UtcTime,
}

/// A verified manifest, and the escrow that it commits, if it commits one.
struct Head {
    seen: HeadSeen,
    prev: Option<Digest>,
    escrow: Option<EscrowSeen>,
}

/// Looks at the newest manifest that any store holds. What lies behind deletes and overwrites is
/// left to a whole audit.
pub fn look_at_head(request: &HeadRequest<'_>) -> Facts {
    let looked = in_every_store(request.stores, |store| Look::new(request, store).newest());
    let mut newest = Newest::of(request, looked);
    let reached = newest.hold_against_mark();
    let escrow = newest.find_escrow();
    let chain = ChainFacts {
        mark: request.mark,
        is_complete: newest.is_complete(),
        verified: newest.heads.len(),
        findings: newest.findings,
        newest: escrow,
        head: newest.heads.into_iter().next().map(|head| head.seen),
        retained: Vec::new(),
        secret_key_ids: Vec::new(),
        system_identifiers: Vec::new(),
        set_backs: Vec::new(),
    };
    Facts {
        chain: Seen::Known(chain),
        reached,
        ..Facts::none(Scope::Head, request.now)
    }
}

impl Head {
    fn mark(&self) -> Mark {
        self.seen.mark
    }

    fn ahead(&self, now: UtcTime) -> Option<Finding> {
        let HeadSeen {
            mark, created_at, ..
        } = &self.seen;
        (*created_at > now.plus(FUTURE_TOLERANCE)).then(|| {
            let seq = mark.seq;
            let message = format!("manifest {seq} is dated {created_at}, which has not come yet");
            Finding::violation("future-manifest", message)
        })
    }
}
