//! A manifest as a link of the chain.

use crate::base::digest::Digest;
use crate::base::time::UtcTime;

/// A verified manifest, as far as the chain is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its place.
    pub seq: u64,
    /// Its digest.
    pub digest: Digest,
    /// The digest it says its predecessor has.
    pub prev: Option<Digest>,
    /// When it was signed.
    pub created_at: UtcTime,
}

/// The newest verified manifest. Of a fork, the one dated first: its writer was first.
pub fn head(links: &[Link]) -> Option<&Link> {
    let newest = links.iter().map(|link| link.seq).max()?;
    let slot = links.iter().filter(|link| link.seq == newest);
    slot.min_by_key(|link| (link.created_at, link.digest))
}
