//! Looking, for an audit: what the stores hold and tell, without any identity.
//!
//! The chain comes verified; everything else is asked for here, a few requests at a time, and
//! becomes [`Facts`]. Nothing is judged here, and what could not be seen is said to be unknown.

pub mod backups;
mod chain;
mod copies;
mod drills;
mod head;
mod locks;
mod newest;
mod parts;
mod past;
mod signed;
mod witness;

use std::sync::Arc;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::audit::facts::{Facts, Scope, Seen};
use crate::model::mark::Mark;
use crate::ops::history::{Entry, EscrowSummary, History};
use crate::store::Store;

pub use head::{HeadRequest, look_at_head};
pub use witness::{NotWitnessed, Testimony, testify};

/// Requests that are under way at once.
const CONCURRENCY: usize = 16;

/// How many parts are read and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// None.
    None,
    /// So many, at least one of the newest escrow in every store.
    Some(u32),
    /// All.
    Full,
}

/// What is looked at.
pub struct Request<'a> {
    /// The chain, read from all stores.
    pub history: &'a History,
    /// The stores.
    pub stores: &'a [Arc<dyn Store>],
    /// The newest manifest that was known before the chain was read.
    pub mark: Option<Mark>,
    /// How many parts are read.
    pub sampling: Sampling,
    /// What parts are chosen by: nobody who could damage others may guess it.
    pub seed: u64,
    /// The present.
    pub now: UtcTime,
    /// Looked at between requests.
    pub cancel: &'a Cancel,
}

/// An escrow that has to be there, with its manifest.
type Kept<'h> = (&'h Entry, &'h EscrowSummary);

impl<'a> Request<'a> {
    /// Every escrow that is on the chain and that retention keeps, oldest first.
    fn retained(&self) -> Vec<Kept<'a>> {
        let escrows = self.history.followed_escrows();
        escrows.filter(|(_, escrow)| !escrow.is_let_go()).collect()
    }

    fn newest(&self) -> Option<Kept<'a>> {
        self.history.followed_escrows().next_back()
    }
}

/// Looks at everything that the rules rest on.
pub fn observe(request: &Request<'_>) -> Result<Facts, Interrupted> {
    let retained = request.retained();
    let mut facts = Facts {
        chain: Seen::Known(chain::of(request, &retained)),
        reached: reached(request),
        past: Seen::Known(past::of(request, &retained)),
        copies: copies::look(request, &retained),
        ..Facts::none(Scope::Full, request.now)
    };
    request.cancel.check()?;
    facts.parts = parts::read(request, &retained);
    request.cancel.check()?;
    facts.weakened = locks::weakened(request, &retained);
    newest::look(request, &mut facts);
    request.cancel.check()?;
    facts.witnesses = witness::read(request);
    facts.drills = drills::read(request);
    request.cancel.check()?;
    Ok(facts)
}

/// Whether the manifest that was known before is among those that verify.
fn reached(request: &Request<'_>) -> Seen<()> {
    let Some(mark) = &request.mark else {
        return Seen::unknown("nothing was known before");
    };
    match request.history.entry_of(mark) {
        Some(_) => Seen::Known(()),
        None => Seen::unknown("no manifest with a good signature is that one"),
    }
}

/// Does the same in every store at once.
fn in_every_store<T: Send>(
    stores: &[Arc<dyn Store>],
    look: impl Fn(&Arc<dyn Store>) -> T + Sync,
) -> Vec<(StoreName, T)> {
    let look = &look;
    std::thread::scope(|scope| {
        let running: Vec<_> = stores
            .iter()
            .map(|store| (store.name().clone(), scope.spawn(move || look(store))))
            .collect();
        let joined = running.into_iter().map(|(name, handle)| {
            // A panic goes on here: what it was to look at must not count as looked at.
            let seen = handle.join();
            (
                name,
                seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            )
        });
        joined.collect()
    })
}
