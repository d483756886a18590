//! The signatures that one store claims to hold.
//!
//! Anybody who can write to a store can put thousands of names there. So they are listed all at
//! once only where a whole chain is read and they are not many more than its manifests; else those
//! of each manifest that is looked at, one by one.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::SignerName;
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::ops::noncurrent;
use crate::store::{Store, StoreError};

use super::is_missing;
use super::listing::Which;

/// Up to so many manifests their signatures are listed one by one. It costs two requests for each,
/// and listing all of a long chain's costs two for every thousand.
const FEW: usize = 16;

/// How many names there may be for each manifest: an honest one has one, or a few where several
/// hosts have signed, and check-ins are signed, too.
const NAMES_FOR_EACH: usize = 8;

/// An object that is named like a signature.
#[derive(Clone)]
pub(super) struct SignatureClaim {
    pub(super) signer: SignerName,
    pub(super) which: Which,
}

/// Signatures of one document.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) known: Vec<SignatureClaim>,
    /// Why there may be more.
    pub(super) failed: Option<StoreError>,
    unseen: Option<Finding>,
}

/// See the module.
pub(super) struct Signatures {
    /// All of them; none where each document's are asked for.
    all: Option<HashMap<Digest, Arc<Claims>>>,
    /// What kept versions of them from being seen.
    unseen: Option<Finding>,
    asked: Mutex<HashMap<Digest, Arc<Claims>>>,
}

impl Signatures {
    /// Prepares for a reading of so many manifests.
    pub(super) fn read(
        store: &dyn Store,
        layout: &Layout,
        manifests: usize,
    ) -> Result<Self, StoreError> {
        let mut signatures = Self {
            all: None,
            unseen: None,
            asked: Mutex::default(),
        };
        if manifests > FEW {
            let limit = manifests.saturating_mul(NAMES_FOR_EACH);
            if let Some((all, unseen)) = read_all(store, layout, limit)? {
                signatures.all = Some(all);
                signatures.unseen = unseen;
            }
        }
        Ok(signatures)
    }

    /// Those of one document.
    pub(super) fn of(&self, store: &dyn Store, layout: &Layout, digest: &Digest) -> Arc<Claims> {
        if let Some(all) = &self.all {
            return all.get(digest).cloned().unwrap_or_default();
        }
        if let Some(known) = self.asked().get(digest) {
            return known.clone();
        }
        let claims = Arc::new(ask(store, layout, digest));
        self.asked().insert(*digest, claims.clone());
        claims
    }

    /// What kept signatures, or versions of them, from being seen so far.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let asked = self.asked();
        let asked = asked.values().flat_map(|claims| {
            let failed = claims.failed.as_ref();
            let failed =
                failed.map(|error| Finding::warning("store-unreachable", error_chain(error)));
            failed.into_iter().chain(claims.unseen.clone())
        });
        self.unseen.iter().cloned().chain(asked).collect()
    }

    /// Whether all that were asked for were told.
    pub(super) fn are_complete(&self) -> bool {
        let asked = self.asked();
        asked.values().all(|claims| claims.failed.is_none())
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Claims>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type All = (HashMap<Digest, Arc<Claims>>, Option<Finding>);

/// Lists all signatures; none where there are more than `limit`.
fn read_all(store: &dyn Store, layout: &Layout, limit: usize) -> Result<Option<All>, StoreError> {
    let mut all: HashMap<Digest, Claims> = HashMap::new();
    let mut count = 0;
    let prefix = layout.signatures();
    list(store, &prefix, &mut |key| {
        if let Some((digest, signer)) = layout.parse_signature(key) {
            count += 1;
            let which = Which::Current;
            let claims = all.entry(digest).or_default();
            claims.known.push(SignatureClaim { signer, which });
        }
        match count <= limit {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    let mut wanted = |key: &str| {
        let is_one = count <= limit && layout.parse_signature(key).is_some();
        count += usize::from(is_one);
        is_one
    };
    let sight = noncurrent::look(store, &prefix, None, &mut wanted)?;
    if count > limit {
        return Ok(None);
    }
    for (key, noncurrent) in &sight.keys {
        if let Some((digest, signer)) = layout.parse_signature(key) {
            let claims = all.entry(digest).or_default();
            claims.add_beneath(&signer, noncurrent);
        }
    }
    let all = all.into_iter();
    let all = all.map(|(digest, claims)| (digest, Arc::new(claims)));
    Ok(Some((all.collect(), sight.finding)))
}

/// Lists the signatures of one document.
fn ask(store: &dyn Store, layout: &Layout, digest: &Digest) -> Claims {
    let mut claims = Claims::default();
    claims.failed = try_to_ask(store, layout, digest, &mut claims).err();
    claims
}

fn try_to_ask(
    store: &dyn Store,
    layout: &Layout,
    digest: &Digest,
    claims: &mut Claims,
) -> Result<(), StoreError> {
    let prefix = layout.signatures_of(digest);
    list(store, &prefix, &mut |key| {
        if let Some((_, signer)) = layout.parse_signature(key) {
            let which = Which::Current;
            claims.known.push(SignatureClaim { signer, which });
        }
        ControlFlow::Continue(())
    })?;
    let mut wanted = |key: &str| layout.parse_signature(key).is_some();
    let sight = noncurrent::look(store, &prefix, None, &mut wanted)?;
    for (key, noncurrent) in &sight.keys {
        if let Some((_, signer)) = layout.parse_signature(key) {
            claims.add_beneath(&signer, noncurrent);
        }
    }
    claims.unseen = sight.finding;
    Ok(())
}

impl Claims {
    fn add_beneath(&mut self, signer: &SignerName, noncurrent: &noncurrent::Noncurrent) {
        let beneath = Which::of(noncurrent).map(|which| SignatureClaim {
            signer: signer.clone(),
            which,
        });
        self.known.extend(beneath);
    }
}

/// Lists a prefix; a prefix under which there is nothing yet is empty, not an error.
fn list(
    store: &dyn Store,
    prefix: &str,
    visit: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    match store.list(prefix, None, &mut |meta| visit(&meta.key)) {
        Err(error) if is_missing(&error) => Ok(()),
        other => other,
    }
}
