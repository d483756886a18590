//! Continues an existing chain on a host that has lost its signing key, its state, or both, and
//! after a key was stolen: a new key follows the old one, which is retired, so that what it
//! signed until now still verifies.

mod retire;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::Slug;
use crate::base::time::UtcTime;
use crate::model::allowed_signers::{AllowedSigners, AllowedSignersError, UnknownKey};
use crate::model::config::Answers;
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::model::mark::Mark;
use crate::model::namespace::Namespace;
use crate::model::policy::Policy;
use crate::model::recipients::Recipients;
use crate::model::trust::Trust;
use crate::sealing::sshsig::{SigningKey, SigningKeyError};
use crate::store::{Store, StoreError, StoreErrorKind};

use super::history::{self, Entry, History, HistoryError};
use super::init::{self, InitError, InitPlan, Written};
use super::state::{State, StateError};

use retire::retire;

/// Which chain is to be continued, and why it may be believed.
pub struct JoinRequest<'a> {
    /// The folder of the new configuration; its relative paths start there.
    pub dir: PathBuf,
    /// What goes into the configuration. The signer is the one whose key was lost.
    pub answers: Answers,
    /// None takes over the recipients that are in force.
    pub recipients: Option<Recipients>,
    /// Where the chain is.
    pub stores: &'a [Arc<dyn Store>],
    /// Whose signatures count: a file of the operator's own. May be empty beside `pinned`.
    pub allowed_signers: AllowedSigners,
    /// Whose signatures count: fingerprints from the trust card. May be empty beside
    /// `allowed_signers`.
    pub pinned: Vec<Fingerprint>,
    /// The newest manifest that the trust card knows of.
    pub mark: Option<Mark>,
    /// What to make of manifests after the head that no trusted key signed.
    pub newer: NewerManifests,
    /// What this host remembers, if anything is left of it.
    pub state: &'a State,
    /// The present.
    pub now: UtcTime,
    /// Looked at between requests.
    pub cancel: &'a Cancel,
}

/// What to make of manifests after the head that no trusted key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewerManifests {
    /// The trust card may be older than they are: a chain continued below them is a fork.
    Refuse,
    /// The operator knows that somebody planted them.
    Ignore,
}

/// How a chain is to be continued, checked but not done. Holds a new private key.
#[derive(Debug)]
pub struct JoinPlan {
    slug: Slug,
    files: InitPlan,
    head: Mark,
    retired: Vec<Fingerprint>,
    findings: Vec<Finding>,
}

/// The chain is not continued, and nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Anybody could have put a chain there.
    #[error("a chain is not joined without a fingerprint from its trust card, or its signers")]
    NoTrust,
    /// The stores that answered have nothing of this instance.
    #[error("no store holds a chain of instance {0}")]
    NoChain(Slug),
    /// Whatever is there, nobody that is trusted signed it.
    #[error("no manifest of instance {0} is signed by a key that is trusted")]
    Untrusted(Slug),
    /// The stores have less than was seen before, or something else.
    #[error("the chain is not the one that was seen before: {0}")]
    NotTheSame(String),
    /// The trust may be older than the chain.
    #[error(
        "manifest {newest} is there, but the newest that a trusted key signed is {head}: either \
         the trust card is an old one, or the newer manifest was planted"
    )]
    NewerManifests {
        /// The newest one that verifies.
        head: u64,
        /// The newest one there is.
        newest: u64,
    },
    /// Whether there are newer manifests cannot be told.
    #[error("cannot look for manifests after the newest that a trusted key signed")]
    Newer(#[source] StoreError),
    /// The whole chain reports, and commits nothing.
    #[error("the chain names no policy to continue with")]
    NoPolicy,
    /// The chain could not be read.
    #[error("cannot read the chain of manifests")]
    History(#[from] HistoryError),
    /// The signers in force are malformed.
    #[error("cannot use the signers in force")]
    AllowedSigners(#[from] AllowedSignersError),
    /// A key could not be retired.
    #[error("cannot retire the lost key")]
    Retire(#[from] UnknownKey),
    /// No key could be made.
    #[error("cannot make a signing key")]
    Key(#[from] SigningKeyError),
    /// The host's own memory is not usable, or a run holds it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The files could not be planned or written.
    #[error(transparent)]
    Init(#[from] InitError),
}

/// Reads the chain and plans how to continue it, with a new signing key. Writes nothing.
pub fn plan(request: JoinRequest<'_>) -> Result<JoinPlan, JoinError> {
    let mark = newest_mark(&request)?;
    let history = read_history(&request, mark)?;
    let slug = request.answers.instance.clone();
    let head = find_head(&history, &slug)?;
    refuse_another_past(&history)?;
    if request.newer == NewerManifests::Refuse {
        refuse_newer(&request, &history, head.link.seq)?;
    }
    let policy = policy_in_force(&history, head)?;
    let last = request.now.max(head.link.created_at);
    let (files, retired) = succeed(&request, &policy, last)?;
    let changed = mark.and_then(|mark| changed_policy(&history, &mark, &policy));
    Ok(JoinPlan {
        slug,
        files,
        head: head.mark(),
        retired,
        findings: history.findings.into_iter().chain(changed).collect(),
    })
}

/// Writes the files, and lets this host remember the chain's head in place of whatever it was
/// committing under the old key.
pub fn apply(plan: &JoinPlan, state: &State) -> Result<Written, JoinError> {
    let _lock = state.lock(&plan.slug)?;
    let written = plan.files.write()?;
    state.clear_pending(&plan.slug)?;
    state.key_was_replaced(&plan.slug)?;
    // Last: as long as the old key may still be in use here, a mark would silence the alarm that
    // manifests made with it elsewhere raise.
    state.raise_mark(&plan.slug, plan.head)?;
    Ok(written.keep())
}

impl JoinPlan {
    /// The files that would be written, and all that a trust card needs of them.
    pub fn files(&self) -> &InitPlan {
        &self.files
    }

    /// The manifest that the next one will follow.
    pub fn head(&self) -> Mark {
        self.head
    }

    /// The keys whose validity ends now.
    pub fn retired(&self) -> &[Fingerprint] {
        &self.retired
    }

    /// What was found in the chain; to be read before anything is applied.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

fn newest_mark(request: &JoinRequest<'_>) -> Result<Option<Mark>, StateError> {
    let own = request.state.mark(&request.answers.instance)?;
    let marks = [request.mark, own].into_iter().flatten();
    Ok(marks.max_by_key(|mark| mark.seq))
}

fn read_history(request: &JoinRequest<'_>, mark: Option<Mark>) -> Result<History, JoinError> {
    if request.pinned.is_empty() && request.allowed_signers.entries().next().is_none() {
        return Err(JoinError::NoTrust);
    }
    let trust = Trust::new(request.allowed_signers.clone(), request.pinned.clone());
    Ok(History::read(history::Request {
        slug: &request.answers.instance,
        stores: request.stores,
        trust,
        mark,
        since_mark: false,
        up_to: None,
        now: request.now,
        cancel: request.cancel,
    })?)
}

fn find_head<'a>(history: &'a History, slug: &Slug) -> Result<&'a Entry, JoinError> {
    let refused = |finding: &Finding| finding.id == "unverified-manifest";
    history
        .head()
        .ok_or_else(|| match history.findings.iter().any(refused) {
            true => JoinError::Untrusted(slug.clone()),
            false => JoinError::NoChain(slug.clone()),
        })
}

/// A chain that was rolled back must not grow again: readers elsewhere know more of it.
fn refuse_another_past(history: &History) -> Result<(), JoinError> {
    let other = history
        .findings
        .iter()
        .find(|finding| matches!(finding.id, "rollback" | "history-rewritten"));
    match other {
        Some(finding) => Err(JoinError::NotTheSame(finding.message.clone())),
        None => Ok(()),
    }
}

fn refuse_newer(request: &JoinRequest<'_>, history: &History, head: u64) -> Result<(), JoinError> {
    let layout = Layout::new(&request.answers.instance);
    let mut newest = head;
    for store in request.stores {
        let after = layout.before_manifest(head.saturating_add(1));
        let listed = store.list(&layout.manifests(), Some(&after), &mut |meta| {
            let claim = layout.parse_manifest(&meta.key);
            newest = newest.max(claim.map_or(0, |claim| claim.seq));
            ControlFlow::Continue(())
        });
        match listed {
            Err(error) if error.kind == StoreErrorKind::NotFound => {}
            // One that answered a moment ago may have held them.
            Err(error) if history.answered.contains(store.name()) => {
                return Err(JoinError::Newer(error));
            }
            // A store that failed then has been reported.
            _ => {}
        }
    }
    if newest > head {
        return Err(JoinError::NewerManifests { head, newest });
    }
    Ok(())
}

/// The policy of the head, or of the newest escrow below it where the head only reports.
fn policy_in_force(history: &History, head: &Entry) -> Result<Policy, JoinError> {
    let newest_escrow = || {
        history
            .followed_escrows()
            .next_back()
            .map(|(entry, _)| entry)
    };
    let entry = match head.escrow {
        Some(_) => head,
        None => newest_escrow().ok_or(JoinError::NoPolicy)?,
    };
    Ok(history.policy(entry)?)
}

/// A new key in the place of those that end at `last`, with the policy that goes with it.
fn succeed(
    request: &JoinRequest<'_>,
    policy: &Policy,
    last: UtcTime,
) -> Result<(InitPlan, Vec<Fingerprint>), JoinError> {
    let signer = &init::signing(&request.answers)?.signer;
    let mut signers = AllowedSigners::parse(&policy.allowed_signers)?;
    let retired = retire(&mut signers, signer, last)?;
    let key = SigningKey::generate()?;
    let signers = signers.with_signer(
        signer.clone(),
        key.public().clone(),
        &[Namespace::Manifest],
        init::valid_from(request.now)?,
    );
    let recipients = match &request.recipients {
        Some(anew) => init::dated(anew, request.now)?
            .to_toml()
            .map_err(InitError::from)?,
        None => policy.recipients.clone(),
    };
    let files = InitPlan::new(
        &request.dir,
        &request.answers,
        &key,
        signers.to_text(),
        recipients,
    )?;
    Ok((files, retired))
}

/// Whoever had the lost key could name recipients and signers of their own.
fn changed_policy(history: &History, mark: &Mark, in_force: &Policy) -> Option<Finding> {
    let mut entries = history.entries.iter();
    let seen = entries.find(|entry| entry.link.digest == mark.manifest_sha256)?;
    let before = history.policy(seen).ok()?;
    (before != *in_force).then(|| {
        Finding::warning(
            "policy-changed",
            format!(
                "recipients or signers have changed since manifest {}: read what is in force now",
                mark.seq
            ),
        )
    })
}
