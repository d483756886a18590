//! The newest escrow more closely: its custodians, the header of its payload, and what keeps it
//! from being deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::audit::facts::{CheckinsSeen, CustodySeen, Facts, HeaderSeen, LocksSeen, Seen};
use crate::model::finding::Finding;
use crate::model::lock::{LockRecord, LockState};
use crate::model::manifest::{CustodyMode, Manifest};
use crate::model::quorum::Quorum;
use crate::model::recipients::{RecipientSpec, Recipients};
use crate::ops::custody::status::{self, Status};
use crate::ops::history::{Entry, EscrowSummary};
use crate::ops::{locks, verify};
use crate::sealing::age_header::{AgeHeaderError, header_stanzas};
use crate::store::Store;

use super::{Kept, Request, in_every_store};

/// Enough of a payload for its header, with every sensible number of recipients.
const HEADER: u64 = 64 << 10;

/// Fills in what rests on the newest escrow.
pub(super) fn look(request: &Request<'_>, facts: &mut Facts) {
    let Some(newest) = request.newest() else {
        return;
    };
    facts.clocks = clocks(request, request.history.head());
    let manifest = match request.history.load(newest.0) {
        Ok(manifest) => manifest,
        Err(error) => return all_unknown(facts, &error_chain(&error)),
    };
    facts.locks = locks_on(request, newest);
    facts.custody = custody(&manifest);
    facts.header = header(request, &manifest);
    facts.custody_objects = Seen::Known(custody_objects(request, newest.1, &manifest));
    facts.checkins = checkins(request, newest.0, &manifest);
}

fn all_unknown(facts: &mut Facts, why: &str) {
    facts.custody = Seen::unknown(why);
    facts.header = Seen::unknown(why);
    facts.custody_objects = Seen::unknown(why);
    facts.checkins = Seen::unknown(why);
}

fn locks_on(
    request: &Request<'_>,
    (entry, escrow): Kept<'_>,
) -> BTreeMap<StoreName, Seen<LocksSeen>> {
    let looked = in_every_store(request.stores, |store| {
        let record = escrow.record_in(store.name());
        let lock = record.and_then(|record| record.lock.as_ref());
        Seen::Known(LocksSeen {
            payload: record.map_or(LockState::Unknown, |record| {
                locks::read_back(store.as_ref(), &record.key, record.version_id.as_deref())
            }),
            manifest: locks::read_back(store.as_ref(), &entry.key, None),
            probe: lock.and_then(|lock: &LockRecord| lock.probe),
        })
    });
    looked.into_iter().collect()
}

/// The fingerprint is made from the recipient itself, to which the payload was sealed.
fn custody(manifest: &Manifest) -> Seen<CustodySeen> {
    let recipients = manifest.recipients.iter().map(|one| {
        let spec = RecipientSpec::parse(one.custodian.as_str(), &one.recipient);
        spec.map(|spec| (spec.custodian, spec.fingerprint))
    });
    match recipients.collect::<Result<Vec<_>, _>>() {
        Ok(recipients) => Seen::Known(CustodySeen {
            custody: manifest.custody.clone(),
            recipients,
        }),
        Err(error) => Seen::unknown(error_chain(&error)),
    }
}

/// Of each store's copy: one that is not as signed stands for all.
fn header(request: &Request<'_>, manifest: &Manifest) -> Seen<HeaderSeen> {
    let key = request.history.layout().payload(manifest.sealed());
    let range = 0..manifest.payload.size.min(HEADER);
    let looked = in_every_store(request.stores, |store| {
        match store.get_range(&key, range.clone()) {
            Ok(bytes) => judged_header(manifest, &bytes),
            Err(error) => Seen::unknown(error_chain(&error)),
        }
    });
    let worst_first = |seen: &Seen<HeaderSeen>| match seen {
        Seen::Known(header) => u8::from(header.is_as_signed),
        Seen::Unknown(_) => 2,
    };
    let all = looked.into_iter().map(|(_, seen)| seen);
    let worst = all.min_by_key(worst_first);
    worst.unwrap_or_else(|| Seen::unknown("there is no store"))
}

fn judged_header(manifest: &Manifest, bytes: &[u8]) -> Seen<HeaderSeen> {
    let (stanzas, is_as_signed) = match header_stanzas(bytes) {
        Ok(header) => {
            let is_as_signed = header.sha256 == manifest.payload.age_header_sha256;
            (header.stanzas, is_as_signed)
        }
        Err(error @ AgeHeaderError::Incomplete) if bytes.len() as u64 == HEADER => {
            return Seen::unknown(error_chain(&error));
        }
        // Not even the whole of it would be a header.
        Err(_) => (Vec::new(), false),
    };
    Seen::Known(HeaderSeen {
        is_as_signed,
        stanzas: stanzas.into_iter().map(|stanza| stanza.tag).collect(),
        expected: expected(manifest),
    })
}

/// In k-of-n custody the payload is sealed to an identity of its own, which is age's own type.
fn expected(manifest: &Manifest) -> Vec<Option<&'static str>> {
    match manifest.custody.mode {
        CustodyMode::KOfN => vec![Some("X25519")],
        CustodyMode::Any => {
            let kinds = manifest.recipients.iter();
            kinds.map(|one| stanza_of(&one.kind)).collect()
        }
    }
}

/// The type of the stanza for a type of recipient (age-encryption.org/v1, C2SP age-tag).
fn stanza_of(kind: &str) -> Option<&'static str> {
    match kind {
        "x25519" => Some("X25519"),
        "ssh-ed25519" => Some("ssh-ed25519"),
        "ssh-rsa" => Some("ssh-rsa"),
        "tag" => Some("p256tag"),
        "tagpq" => Some("mlkem768p256tag"),
        _ => None,
    }
}

/// In the stores that hold the escrow, as signed manifests say.
fn custody_objects(
    request: &Request<'_>,
    escrow: &EscrowSummary,
    manifest: &Manifest,
) -> Vec<Finding> {
    let stores = request.stores.iter();
    let holding = stores.filter(|store| escrow.stored_in.contains(store.name()));
    let holding: Vec<_> = holding.cloned().collect();
    let wrong = verify::wrong_custody_objects(manifest, &holding);
    wrong.iter().map(|object| object.finding()).collect()
}

fn checkins(request: &Request<'_>, entry: &Entry, manifest: &Manifest) -> Seen<CheckinsSeen> {
    let (recipients, quorum) = match in_force(request, entry, manifest) {
        Ok(in_force) => in_force,
        Err(why) => return Seen::Unknown(why),
    };
    let status = Status::gather(&status::Request {
        recipients: &recipients,
        quorum: quorum.as_ref(),
        history: request.history,
        stores: request.stores,
        now: request.now,
    });
    let custodians = status.custodians.into_iter();
    // How old a proof may be is the policy's word here.
    let by_age = ["custodian-unproven", "checkin-old"];
    let findings = status.findings.into_iter();
    Seen::Known(CheckinsSeen {
        proven: custodians.map(|one| (one.name, one.proven_at)).collect(),
        takes: status.takes,
        findings: findings
            .filter(|finding| !by_age.contains(&finding.id))
            .collect(),
    })
}

fn in_force(
    request: &Request<'_>,
    entry: &Entry,
    manifest: &Manifest,
) -> Result<(Recipients, Option<Quorum>), String> {
    let policy = request
        .history
        .policy(entry)
        .map_err(|error| error_chain(&error))?;
    let recipients = Recipients::parse(&policy.recipients).map_err(|error| error_chain(&error))?;
    let quorum = manifest.custody.k.map(|k| Quorum::new(k, &recipients));
    let quorum = quorum.transpose().map_err(|error| error_chain(&error))?;
    Ok((recipients, quorum))
}

/// By how much each store's clock was ahead of the signer's, by the date of the newest manifest.
fn clocks(request: &Request<'_>, head: Option<&Entry>) -> BTreeMap<StoreName, Seen<i64>> {
    let Some(head) = head else {
        return BTreeMap::new();
    };
    let key_in = |store: &Arc<dyn Store>| store.modified(&head.key);
    let looked = in_every_store(request.stores, key_in).into_iter();
    let skews = looked.map(|(name, modified)| {
        let skew = match modified {
            Ok(Some(at)) => Seen::Known(at.unix() - head.link.created_at.unix()),
            Ok(None) => Seen::unknown("the store keeps no dates"),
            Err(error) => Seen::unknown(error_chain(&error)),
        };
        (name, skew)
    });
    skews.collect()
}
