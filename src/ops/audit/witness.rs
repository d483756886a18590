//! What others have seen of the chain, and a word of one's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::names::{SignerName, Slug, StoreName};
use crate::base::time::UtcTime;
use crate::model::audit::facts::{Fit, Seen, WitnessSeen, WitnessesSeen};
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::model::strict_json::StrictJsonError;
use crate::model::witness::{MAX_BYTES, Witness};
use crate::ops::deposit::Deposit;
use crate::ops::destination::Destination;
use crate::ops::history::{Entry, History};
use crate::sealing::sshsig::{SigningKey, SigningKeyError};
use crate::store::Store;

use super::drills::list_all;
use super::signed::{Reading, Refused, Signed};
use super::{Request, in_every_store};

/// How many words of one signer are looked at, from the newest on.
const LOOKED_AT: usize = 16;

/// How many signers' words are looked at: names are for everybody to choose.
const SIGNERS: usize = 64;

/// Where each word of a signer lies, by its date.
type BySigner<'a> = BTreeMap<SignerName, BTreeMap<(UtcTime, String), Vec<&'a Arc<dyn Store>>>>;

pub(super) fn read(request: &Request<'_>) -> Seen<WitnessesSeen> {
    let listed = match list(request) {
        Ok(listed) => listed,
        Err(why) => return Seen::Unknown(why),
    };
    let may = request.history.trust.signers_for(Namespace::Witness);
    let (known, strangers): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .partition(|(signer, _)| may.contains(signer));
    let mut seen = WitnessesSeen::default();
    for (signer, words) in known.iter().take(SIGNERS) {
        let before = seen.newest.len();
        for ((_, key), stores) in words.iter().rev().take(LOOKED_AT) {
            match read_one(request, stores, key, signer) {
                Ok(witness) => {
                    seen.newest.push(witness);
                    break;
                }
                Err(Refused::Unread(why)) => {
                    let message = format!("witness {key}: {why}");
                    seen.findings
                        .push(Finding::warning("witness-unreadable", message));
                }
                Err(Refused::Unsigned(why)) => {
                    let message = format!("{key} is no witness that counts: {why}");
                    seen.findings
                        .push(Finding::note("witness-unverified", message));
                }
            }
        }
        if seen.newest.len() == before && words.len() > LOOKED_AT {
            let message = format!("none of the newest {LOOKED_AT} words of {signer} counts");
            seen.findings
                .push(Finding::warning("witness-unreadable", message));
        }
    }
    seen.findings.extend(told_of(&strangers));
    Seen::Known(seen)
}

/// One finding for all names that may not: there may be thousands.
fn told_of<T>(strangers: &[(SignerName, T)]) -> Option<Finding> {
    let (first, _) = strangers.first()?;
    let count = strangers.len();
    let message = format!("{count} names without a witness's key have left words, {first} first");
    Some(Finding::note("witness-unverified", message))
}

fn list<'a>(request: &Request<'a>) -> Result<BySigner<'a>, String> {
    let layout = request.history.layout();
    let mut listed = BySigner::new();
    let prefix = layout.witnesses();
    let names = in_every_store(request.stores, |store| list_all(store.as_ref(), &prefix));
    for (store, (_, keys)) in request.stores.iter().zip(names) {
        for key in keys? {
            // A name of the future would keep the real ones from being looked at.
            let named = layout.parse_witness(&key);
            if let Some((signer, at)) = named.filter(|(_, at)| *at <= request.now) {
                let words = listed.entry(signer).or_default();
                words.entry((at, key)).or_default().push(store);
            }
        }
    }
    Ok(listed)
}

fn read_one(
    request: &Request<'_>,
    stores: &[&Arc<dyn Store>],
    key: &str,
    signer: &SignerName,
) -> Result<WitnessSeen, Refused> {
    let reading = Reading {
        history: request.history,
        stores: request.stores,
        namespace: Namespace::Witness,
        max_bytes: MAX_BYTES,
    };
    let mut why = Refused::Unsigned("no store has it".to_owned());
    for store in stores {
        let read = reading.read(store.as_ref(), key, Some(signer));
        match read.and_then(|signed| judged(request, key, &signed)) {
            Ok(witness) => return Ok(witness),
            Err(_) if matches!(why, Refused::Unread(_)) => {}
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

fn judged(request: &Request<'_>, key: &str, signed: &Signed) -> Result<WitnessSeen, Refused> {
    let unsigned = |why: &str| Err(Refused::Unsigned(why.to_owned()));
    let witness =
        Witness::parse(&signed.bytes).map_err(|error| Refused::Unsigned(error_chain(&error)))?;
    signed.check_date(witness.seen_at, request.now)?;
    if witness.signer != signed.by.signer {
        return unsigned("it names another signer");
    }
    let own = request.history.layout().root().trim_end_matches('/');
    if witness.instance.as_str() != own {
        return unsigned("it is of another instance");
    }
    // An older word under a newer name would keep a newer one from being looked at.
    if request
        .history
        .layout()
        .witness(&witness.signer, witness.seen_at)
        != key
    {
        return unsigned("it lies under another's name");
    }
    Ok(WitnessSeen {
        fits: fit(request.history, witness.mark()),
        mark: witness.mark(),
        at: witness.seen_at,
        signer: witness.signer,
    })
}

fn fit(history: &History, mark: Mark) -> Fit {
    let marks = || history.entries.iter().map(Entry::mark);
    if marks().any(|one| one == mark) {
        return Fit::Agrees;
    }
    match marks().any(|one| one.seq == mark.seq) {
        true => Fit::Contradicts,
        false => Fit::Missing,
    }
}

/// Who sees, and what is signed with.
pub struct Testimony<'a> {
    /// Whose chain.
    pub slug: &'a Slug,
    /// Who signs.
    pub signer: &'a SignerName,
    /// With what.
    pub key: &'a SigningKey,
    /// The head that was seen.
    pub head: Mark,
    /// When.
    pub now: UtcTime,
}

/// A word that could not be given.
#[derive(Debug, thiserror::Error)]
pub enum NotWitnessed {
    /// It could not be written.
    #[error("the witness cannot be written")]
    Unwritable(#[from] StrictJsonError),
    /// It could not be signed.
    #[error("the witness cannot be signed")]
    Unsigned(#[from] SigningKeyError),
}

/// Signs the head that was seen, and puts the word into every store, locked as manifests are
/// where the store locks. Returns its key, and what each store did not take.
pub fn testify(
    testimony: &Testimony<'_>,
    destinations: &[Destination],
) -> Result<(String, BTreeMap<StoreName, String>), NotWitnessed> {
    let Testimony {
        slug,
        signer,
        head,
        now,
        ..
    } = *testimony;
    let bytes = Witness::new(slug, signer, head, now).to_bytes()?;
    let signature = testimony.key.sign(Namespace::Witness, &bytes)?;
    let layout = Layout::new(slug);
    let key = layout.witness(signer, now);
    let deposit = Deposit {
        signer,
        key: &key,
        document: &bytes,
        signature: signature.as_bytes(),
        at: now,
    };
    let lacking = deposit.put(&layout, destinations);
    Ok((key, lacking))
}
