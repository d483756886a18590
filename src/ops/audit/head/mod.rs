//! A look at the newest manifest alone, in few requests: a listing from the mark on, the manifest,
//! its signature. What monitoring asks every few minutes.

mod look;

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

/// How far ahead of the reader's clock a manifest may be dated, in seconds.
const FUTURE_TOLERANCE: i64 = 300;

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

/// A verified manifest, and the newest escrow at or before it.
struct Head {
    seen: HeadSeen,
    prev: Option<Digest>,
    escrow: Seen<Option<EscrowSeen>>,
}

/// Looks at the newest manifest of each store. What lies behind deletes and overwrites is left to
/// a whole audit.
pub fn look_at_head(request: &HeadRequest<'_>) -> Facts {
    let looked = in_every_store(request.stores, |store| Look::new(request, store).head());
    let (mut findings, mut verified, mut newest) = (Vec::new(), 0, None);
    for (name, (head, found)) in looked {
        findings.extend(found.into_iter().map(|finding| finding.about(&name)));
        verified += usize::from(head.is_some());
        newest = newer(newest, head);
    }
    findings.extend(newest.iter().filter_map(|head| head.ahead(request.now)));
    let is_silent = |finding: &Finding| finding.id == "store-unreachable";
    let chain = ChainFacts {
        mark: request.mark,
        is_complete: !findings.iter().any(is_silent),
        verified,
        findings,
        newest: newest
            .as_ref()
            .map_or(Seen::Known(None), |head| head.escrow.clone()),
        head: newest.map(|head| head.seen),
        retained: Vec::new(),
        secret_key_ids: Vec::new(),
        system_identifiers: Vec::new(),
        set_backs: Vec::new(),
    };
    Facts {
        chain: Seen::Known(chain),
        ..Facts::none(Scope::Head, request.now)
    }
}

fn newer(one: Option<Head>, other: Option<Head>) -> Option<Head> {
    let seq = |head: &Option<Head>| head.as_ref().map(|head| head.seen.mark.seq);
    match seq(&other) > seq(&one) {
        true => other,
        false => one,
    }
}

impl Head {
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
