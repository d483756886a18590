//! The nightly job: one pass from a running instance to committed, read-back escrows.
//!
//! # Order
//! Lock → remove what crashed runs left → finish a pending manifest → read the chain's head →
//! look at the source → seal into all stores at once → read copies back → policy, instructions
//! and signature → manifest (the commit point) → read back → remember the mark. A failure
//! before the manifest leaves nothing that looks committed.

mod commit;
mod copies;
mod custody;
mod leftovers;
mod risks;
mod seal;
mod slot;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::{EscrowId, SignerName, Slug, StoreName};
use crate::base::time::{Clock, UtcTime};
use crate::databasus::restore_md::restore_md;
use crate::databasus::secret_key::SecretKeyId;
use crate::model::allowed_signers::AllowedSigners;
use crate::model::finding::{Finding, Severity};
use crate::model::layout::Layout;
use crate::model::manifest::{self, Instance, Kind, Manifest, Tool};
use crate::model::mark::Mark;
use crate::model::policy::Policy;
use crate::model::proof::Level;
use crate::model::quorum::Quorum;
use crate::model::recipients::Recipients;
use crate::model::strict_json::StrictJsonError;
use crate::model::trust::Trust;
use crate::postgres::restore_tool::RestoreTool;
use crate::sealing::custody::CustodySealError;
use crate::sealing::payload::SealError;
use crate::sealing::sshsig::{SigningKey, SigningKeyError};
use crate::source::{Source, SourceError};
use crate::store::{Store, StoreError, UploadTicket};

use super::history::{self, History, HistoryError};
use super::state::{OpenUpload, State, StateError};
use super::storages::OpenStorage;
use super::upload::FanOut;

use copies::Copy;
use seal::Sealed;

/// A store as a snapshot uses it.
#[derive(Clone)]
pub struct Destination {
    /// The store.
    pub store: Arc<dyn Store>,
    /// For the manifest: `r2`, `dir`, …
    pub provider: String,
    /// For the manifest: the bucket; none for a directory.
    pub bucket: Option<String>,
    /// How that bucket is reached, to tell whether Databasus reaches it in the same way.
    pub access: Option<BucketAccess>,
    /// Whether the run is partial without it.
    pub required: bool,
}

/// A bucket, and who asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAccess {
    /// With its scheme; none means AWS.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The public half of the credentials.
    pub access_key_id: String,
}

/// What a snapshot of this instance is made with.
pub struct Settings {
    /// Whose snapshot it is.
    pub slug: Slug,
    /// The principal that signs.
    pub signer: SignerName,
    /// Its key.
    pub signing_key: SigningKey,
    /// To whom it is sealed.
    pub recipients: Recipients,
    /// How many of them it takes to open it; none if each of them can alone.
    pub quorum: Option<Quorum>,
    /// The recipients file's text, for the policy object.
    pub recipients_text: String,
    /// The `allowed_signers` file's text, for the policy object.
    pub allowed_signers_text: String,
    /// Seconds from the snapshot to the moment the next one is overdue.
    pub due_after: i64,
    /// zstd level.
    pub level: i32,
    /// zstd worker threads.
    pub workers: u32,
    /// Container image, recorded for rehydrate.
    pub image: Option<String>,
    /// Databasus release, recorded for rehydrate.
    pub databasus_version: Option<String>,
    /// How far key, metadata and backups are proven to belong together before the commit.
    pub proof: ProofSettings,
}

/// See [`Settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofSettings {
    /// The highest level that is tried.
    pub level: Level,
    /// The level without which nothing is committed.
    pub required: Option<Level>,
    /// What reads tables of contents at level 3.
    pub restore_tool: Option<RestoreTool>,
}

impl Default for ProofSettings {
    fn default() -> Self {
        Self {
            level: Level::FirstChunks,
            required: None,
            restore_tool: None,
        }
    }
}

/// What a snapshot stands on.
pub struct Ports<'a> {
    /// Where the data comes from.
    pub source: &'a mut dyn Source,
    /// Where it goes, in the order in which manifests are written.
    pub destinations: &'a [Destination],
    /// The way to the backups that Databasus made, which are only looked at.
    pub storages: &'a dyn OpenStorage,
    /// What this host remembers.
    pub state: &'a State,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Whether to stop.
    pub cancel: &'a Cancel,
    /// Random bytes for the escrow's id.
    pub random: [u8; 8],
}

/// What one store has in the end.
pub struct StoreReport {
    /// The store.
    pub name: StoreName,
    /// Whether the run is partial without it.
    pub required: bool,
    /// None if it holds payload, signature and manifest, all read back, and the documents that
    /// the manifest names; else what is missing.
    pub failure: Option<String>,
}

/// A committed escrow.
pub struct Report {
    /// What was committed.
    pub manifest: Manifest,
    /// Digest of the manifest.
    pub digest: Digest,
    /// What each store has.
    pub stores: Vec<StoreReport>,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// How a committed snapshot is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Everywhere it is required, and somewhere at least. Warnings may need somebody.
    Whole,
    /// Committed, but a required copy is missing, or no store has everything.
    Partial,
    /// Committed, and something in the stores is not what a signer said it was.
    Alarm,
}

impl Report {
    /// How this snapshot is to be taken.
    pub fn completeness(&self) -> Completeness {
        let worst = crate::model::finding::worst(&self.findings);
        let lacks = |store: &StoreReport| store.failure.is_some();
        let missing = self.stores.iter().any(|one| one.required && lacks(one))
            || self.stores.iter().all(lacks);
        match worst {
            Some(Severity::Violation) => Completeness::Alarm,
            Some(Severity::Warning) => Completeness::Partial,
            _ if missing => Completeness::Partial,
            _ => Completeness::Whole,
        }
    }
}

/// The data directory holds no key that could be escrowed.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyProblem {
    /// There is none: Databasus makes it at the first sign-in.
    #[error("{} does not exist", .0.display())]
    Absent(PathBuf),
    /// It has no bytes, with which Databasus would encrypt nothing.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// It is not the one that was read before PostgreSQL's files were: whether it belongs to
    /// them cannot be told.
    #[error("{} was changed while the snapshot ran", .0.display())]
    Changed(PathBuf),
    /// It is there, and this process cannot read it.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why it cannot be read.
        why: String,
    },
}

/// No escrow was committed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The host's own memory is not usable, or another run holds it.
    #[error(transparent)]
    State(#[from] StateError),
    /// The chain could not be read.
    #[error("cannot read the chain of manifests")]
    History(#[from] HistoryError),
    /// The source said no.
    #[error("cannot take the snapshot")]
    Source(#[from] SourceError),
    /// The data directory holds no key that could be escrowed.
    #[error("cannot escrow secret.key")]
    SecretKey(#[from] SecretKeyProblem),
    /// Less is proven than was demanded.
    #[error("proof level {required} is required and not reached: {why}")]
    ProofTooLow {
        /// What was demanded.
        required: Level,
        /// What stood in the way.
        why: String,
    },
    /// A recipient cannot be encrypted to.
    #[error("cannot seal to the recipients")]
    Recipient(#[from] CustodySealError),
    /// The payload could not be written.
    #[error("cannot seal the payload")]
    Seal(#[from] SealError),
    /// Signing failed.
    #[error("cannot sign the manifest")]
    Sign(#[from] SigningKeyError),
    /// The signing key is not one that readers of the policy would accept.
    #[error("the signing key {fingerprint} of {signer} may not sign manifests at {at}")]
    SignerNotAllowed {
        /// The principal in the configuration.
        signer: SignerName,
        /// The key's.
        fingerprint: Fingerprint,
        /// The present.
        at: UtcTime,
    },
    /// `allowed_signers` is malformed.
    #[error("cannot use the allowed_signers file")]
    AllowedSigners(#[from] crate::model::allowed_signers::AllowedSignersError),
    /// A document could not be written.
    #[error("cannot write the manifest")]
    Document(#[from] StrictJsonError),
    /// Not one store took the payload, or not one the manifest.
    #[error("no store took the escrow: {}", told.join("; "))]
    NoStore {
        /// What each store said.
        told: Vec<String>,
        /// The first one's error.
        #[source]
        first: Option<StoreError>,
    },
    /// Other hosts were faster again and again.
    #[error("lost the race for the next place in the chain {0} times")]
    LostRace(u32),
}

/// Runs a snapshot to its end.
pub fn run<'a>(settings: &'a Settings, ports: Ports<'a>) -> Result<Report, SnapshotError> {
    let _lock = ports.state.lock(&settings.slug)?;
    let mut run = Run::prepare(settings, ports)?;
    let outcome = run.snapshot();
    // The source is released whatever happened; its own failure must not hide the first.
    let released = run.ports.source.finish();
    // What failed because of a signal is told as that.
    let outcome = outcome.map_err(|error| match run.ports.cancel.check() {
        Err(interrupted) => interrupted.into(),
        Ok(()) => error,
    });
    let Err(error) = released else {
        return outcome;
    };
    let why = format!("the source was not let go: {}", error_chain(&error));
    match outcome {
        Ok(mut report) => {
            report
                .findings
                .push(Finding::warning("source-not-released", why));
            Ok(report)
        }
        Err(first) => {
            tracing::warn!("{why}");
            Err(first)
        }
    }
}

struct Run<'a> {
    settings: &'a Settings,
    ports: Ports<'a>,
    layout: Layout,
    allowed: AllowedSigners,
    findings: Vec<Finding>,
}

impl<'a> Run<'a> {
    fn prepare(settings: &'a Settings, ports: Ports<'a>) -> Result<Self, SnapshotError> {
        let allowed = AllowedSigners::parse(&settings.allowed_signers_text)?;
        let run = Self {
            settings,
            layout: Layout::new(&settings.slug),
            ports,
            allowed,
            findings: Vec::new(),
        };
        run.check_signer()?;
        Ok(run)
    }

    /// A manifest that its own policy would not accept must never be written.
    fn check_signer(&self) -> Result<(), SnapshotError> {
        let now = self.ports.clock.now();
        let key = self.settings.signing_key.public();
        let trusted = Trust::new(self.allowed.clone(), Vec::new())
            .authenticate(
                key,
                crate::model::namespace::Namespace::Manifest,
                &self.settings.signer,
            )
            .and_then(|authentic| authentic.check_window(now));
        trusted.map_err(|_| SnapshotError::SignerNotAllowed {
            signer: self.settings.signer.clone(),
            fingerprint: key.fingerprint(),
            at: now,
        })
    }

    fn snapshot(&mut self) -> Result<Report, SnapshotError> {
        self.remove_leftovers()?;
        self.finish_pending()?;
        let history = self.read_history()?;
        let sealed = self.seal(&history)?;
        let copies = self.read_back(sealed)?;
        self.ports.cancel.check()?;
        self.commit(history, copies)
    }

    fn stores(&self) -> Vec<Arc<dyn Store>> {
        let destinations = self.ports.destinations.iter();
        destinations.map(|to| to.store.clone()).collect()
    }

    fn read_history(&mut self) -> Result<History, SnapshotError> {
        let mark = self.ports.state.mark(&self.settings.slug)?;
        let mut history = History::read(history::Request {
            slug: &self.settings.slug,
            stores: &self.stores(),
            trust: Trust::new(self.allowed.clone(), Vec::new()),
            mark,
            since_mark: true,
            now: self.ports.clock.now(),
            cancel: self.ports.cancel,
        })?;
        // Read again after a lost race, the chain shows the same once more.
        let told = std::mem::take(&mut history.findings);
        let fresh = told
            .into_iter()
            .map(noted)
            .filter(|one| !self.findings.contains(one));
        let fresh: Vec<Finding> = fresh.collect();
        self.findings.extend(fresh);
        if let Some(mark) = mark {
            self.look_for_own_manifest(&history, &mark);
        }
        Ok(history)
    }

    /// A store that answers and lacks the manifest which this host put there last is not the
    /// store it was: a directory whose disk is no longer mounted looks like that.
    fn look_for_own_manifest(&mut self, history: &History, mark: &Mark) {
        let mut entries = history.entries.iter();
        let last = entries.find(|entry| entry.link.digest == mark.manifest_sha256);
        let held_by = last.map_or(&[][..], |entry| &entry.held_by);
        let lacking = history
            .answered
            .iter()
            .filter(|name| !held_by.contains(name));
        let told: Vec<Finding> = lacking
            .map(|name| {
                let seq = mark.seq;
                let message = format!("store {name} has lost manifest {seq}, or is another store");
                Finding::warning("manifest-missing", message)
            })
            .filter(|finding| !self.findings.contains(finding))
            .collect();
        self.findings.extend(told);
    }

    /// Seals the source into every store and completes the uploads.
    fn seal(&mut self, history: &History) -> Result<(Sealed, Vec<Copy>), SnapshotError> {
        let snapshot_at = self.ports.clock.now();
        let escrow_id = EscrowId::new(snapshot_at, self.ports.random);
        let key = self.layout.payload(&escrow_id);
        let draft = seal::Draft::examine(self, escrow_id, snapshot_at)?;
        let spare = custody::nobody_to_spare(self.settings.quorum.as_ref());
        self.findings.extend(spare);
        self.compare_key(history, draft.key_id());
        let (state, slug) = (self.ports.state, &self.settings.slug);
        // What an earlier run left and could not be reached stays on record.
        let mut open: Vec<OpenUpload> = state.open_uploads(slug)?;
        let mut record = |store: &dyn Store, ticket: UploadTicket| {
            open.push(OpenUpload {
                store: store.name().clone(),
                ticket,
            });
            state
                .set_open_uploads(slug, &open)
                .map_err(std::io::Error::other)
        };
        let fan_out = FanOut::start(&self.stores(), &key, draft.part_size(), &mut record)
            .map_err(SealError::Io)?;
        let (fan_out, sealed) = draft.write(self, fan_out)?;
        let copies = Copy::collect(self.ports.destinations, fan_out.finish());
        Ok((sealed, copies))
    }

    /// A key that is another one than last night makes older backups unreadable.
    fn compare_key(&mut self, history: &History, key_id: SecretKeyId) {
        let last = history.escrows().next_back();
        if let Some((entry, escrow)) = last
            && escrow.secret_key_id != key_id.to_string()
        {
            self.findings.push(Finding::warning(
                "secret-key-changed",
                format!(
                    "secret.key is not the one of manifest {}: backups made under the old key open \
                     with escrow {} or older only",
                    entry.link.seq, escrow.id
                ),
            ));
        }
    }

    /// Compares every copy with what was sealed; a store whose copy differs has failed.
    fn read_back(
        &mut self,
        (sealed, mut copies): (Sealed, Vec<Copy>),
    ) -> Result<Committable, SnapshotError> {
        copies::verify(&mut copies, &sealed.payload);
        self.forget_uploads(&sealed.key, &copies)?;
        if copies.iter().all(|copy| copy.failure().is_some()) {
            self.ports.cancel.check()?;
            return Err(copies::none_left(copies));
        }
        Ok(Committable { sealed, copies })
    }

    /// Takes this run's uploads off the record, save those of stores that failed: something may
    /// be left of them, for the next run to remove.
    fn forget_uploads(&self, key: &str, copies: &[Copy]) -> Result<(), StateError> {
        let (state, slug) = (self.ports.state, &self.settings.slug);
        let mut open = state.open_uploads(slug)?;
        open.retain(|left| {
            let mut failed = copies.iter().filter(|copy| !copy.is_uploaded());
            left.ticket.key != key || failed.any(|copy| *copy.name() == left.store)
        });
        state.set_open_uploads(slug, &open)
    }

    fn manifest(&self, committable: &Committable, policy: Digest) -> Manifest {
        let sealed = &committable.sealed;
        let stores = committable.copies.iter();
        Manifest {
            format: manifest::FORMAT.to_owned(),
            kind: Kind::Snapshot,
            tool: Tool::this(),
            seq: 1,
            prev_sha256: None,
            instance: Instance {
                slug: self.settings.slug.clone(),
                id: sealed.instance_id.clone(),
            },
            escrow_id: sealed.escrow_id.clone(),
            snapshot_at: sealed.snapshot_at,
            created_at: self.ports.clock.now(),
            next_due: sealed.snapshot_at.plus(self.settings.due_after),
            payload: sealed.payload.clone(),
            source: sealed.source.clone(),
            secret_key_id: sealed.key_id.to_string(),
            recipients: self
                .settings
                .recipients
                .iter()
                .map(seal::recipient_record)
                .collect(),
            custody: sealed.custodial.custody.clone(),
            unlock: sealed.custodial.unlock.clone(),
            policy_sha256: policy,
            restore_md_sha256: Digest::of(restore_md().as_bytes()),
            stores: stores.map(|copy| copy.record(&sealed.key)).collect(),
            canaries: sealed.custodial.canaries.clone(),
            proof: Some(sealed.proof.clone()),
            expires: Vec::new(),
        }
    }

    fn policy(&self) -> Policy {
        Policy::new(
            self.settings.recipients_text.clone(),
            self.settings.allowed_signers_text.clone(),
        )
    }
}

/// What stores lack of earlier nights does not make this one partial: those of this run report
/// themselves, and `verify` reports the rest.
fn noted(finding: Finding) -> Finding {
    match finding.severity {
        Severity::Warning => Finding {
            severity: Severity::Note,
            ..finding
        },
        Severity::Note | Severity::Violation => finding,
    }
}

/// A sealed payload and its copies: everything but the manifest.
struct Committable {
    sealed: Sealed,
    copies: Vec<Copy>,
}
