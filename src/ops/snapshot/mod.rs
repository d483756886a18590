//! The nightly job: one pass from a running instance to committed, read-back escrows.
//!
//! # Order
//! Lock → remove what crashed runs left → finish a pending manifest → read the chain's head →
//! look at the source → seal into all stores at once → read copies back → policy, instructions
//! and signature → manifest (the commit point) → read back → remember the mark → give stores what
//! they lack of earlier nights. A failure before the manifest leaves nothing that looks committed.

mod risks;
mod seal;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::{EscrowId, SignerName, Slug, StoreName};
use crate::base::time::Clock;
use crate::databasus::restore_md::restore_md;
use crate::databasus::secret_key::SecretKeyId;
use crate::model::finding::Finding;
use crate::model::manifest::{self, Instance, Kind, Manifest, StoreRecord, Tool};
use crate::model::policy::Policy;
use crate::model::proof::Level;
use crate::model::quorum::Quorum;
use crate::model::recipients::Recipients;
use crate::model::strict_json::StrictJsonError;
use crate::postgres::restore_tool::RestoreTool;
use crate::sealing::custody::CustodySealError;
use crate::sealing::payload::SealError;
use crate::sealing::sshsig::SigningKey;
use crate::source::{Source, SourceError};
use crate::store::Store;

use super::commit::{self, Author, CommitError, Committer, Completeness, Document, Reach};
use super::copies::{self, Copy};
use super::custodial::{self, Custodial};
use super::destination::{Destination, Lasting};
use super::history::History;
use super::lock_probe;
use super::replicate::{self, Looking};
use super::state::{OpenUpload, State, StateError};
use super::storages::OpenStorage;
use super::upload::FanOut;

use seal::Sealed;

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
    /// What stores that had lacked something were given after the commit; none where none had.
    pub replicated: Option<replicate::Report>,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How this snapshot is to be taken.
    pub fn completeness(&self) -> Completeness {
        let lacks = |store: &StoreReport| store.failure.is_some();
        let missing = self.stores.iter().any(|one| one.required && lacks(one))
            || self.stores.iter().all(lacks);
        let replicated = self.replicated.as_ref();
        let older = replicated.is_some_and(replicate::Report::lacks_something_required);
        Completeness::of(&self.findings, missing || older)
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
    /// The chain could not be read or extended, or the run was stopped.
    #[error(transparent)]
    Commit(#[from] CommitError),
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
}

impl From<Interrupted> for SnapshotError {
    fn from(interrupted: Interrupted) -> Self {
        Self::Commit(interrupted.into())
    }
}

impl From<StateError> for SnapshotError {
    fn from(error: StateError) -> Self {
        Self::Commit(error.into())
    }
}

impl From<StrictJsonError> for SnapshotError {
    fn from(error: StrictJsonError) -> Self {
        Self::Commit(error.into())
    }
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
    chain: Committer<'a>,
}

impl<'a> Run<'a> {
    fn prepare(settings: &'a Settings, ports: Ports<'a>) -> Result<Self, SnapshotError> {
        let author = Author {
            slug: &settings.slug,
            signer: &settings.signer,
            signing_key: &settings.signing_key,
            allowed_signers: &settings.allowed_signers_text,
        };
        let chain = commit::Ports {
            destinations: ports.destinations,
            state: ports.state,
            clock: ports.clock,
            cancel: ports.cancel,
        };
        Ok(Self {
            settings,
            chain: Committer::new(author, chain)?,
            ports,
        })
    }

    fn snapshot(&mut self) -> Result<Report, SnapshotError> {
        self.chain
            .uploads()
            .remove_leftovers(self.ports.destinations)?;
        self.chain.finish_pending()?;
        let history = self.chain.read_history(Reach::SinceMark)?;
        self.remember_lacking(&history)?;
        let sealed = self.seal(&history)?;
        let copies = self.read_back(sealed)?;
        self.ports.cancel.check()?;
        let mut report = self.commit(history, copies)?;
        report.replicated = self.catch_up(&report.stores);
        report.findings = std::mem::take(&mut self.chain.findings);
        Ok(report)
    }

    /// What a run could not remember because it died, the newest manifest tells: stores that did
    /// not get its payload, or are new.
    fn remember_lacking(&self, history: &History) -> Result<(), StateError> {
        let Some((_, newest)) = history.followed_escrows().next_back() else {
            return Ok(());
        };
        let (state, slug) = (self.ports.state, &self.settings.slug);
        let mut lacking = state.lacking(slug)?;
        let names = self.ports.destinations.iter().map(|to| to.store.name());
        let without = names.filter(|name| !newest.stored_in.contains(name));
        lacking.extend(without.cloned());
        state.set_lacking(slug, &lacking)
    }

    /// Gives stores that lacked something of earlier nights, and answer tonight, what they lack.
    /// The escrow of tonight is committed: whatever fails here is told, and tried again.
    fn catch_up(&mut self, stores: &[StoreReport]) -> Option<replicate::Report> {
        let caught_up = self.try_to_catch_up(stores);
        caught_up.unwrap_or_else(|error| {
            let why = format!("older escrows were not replicated: {}", error_chain(&error));
            self.chain.tell(Finding::warning("not-replicated", why));
            None
        })
    }

    fn try_to_catch_up(
        &mut self,
        stores: &[StoreReport],
    ) -> Result<Option<replicate::Report>, CommitError> {
        let (state, slug) = (self.ports.state, &self.settings.slug);
        let mut lacking = state.lacking(slug)?;
        let failed = |name: &StoreName| {
            let mut failed = stores.iter().filter(|one| one.failure.is_some());
            failed.any(|one| one.name == *name)
        };
        if lacking.iter().any(|name| !failed(name)) {
            let report = replicate::catch_up(&mut self.chain, Looking::Listed, Arc::new(|_| {}));
            return report.map(Some);
        }
        let names = stores.iter().map(|one| one.name.clone());
        lacking.extend(names.filter(failed));
        state.set_lacking(slug, &lacking)?;
        Ok(None)
    }

    /// Seals the source into every store and completes the uploads.
    fn seal(&mut self, history: &History) -> Result<Uploaded, SnapshotError> {
        let snapshot_at = self.ports.clock.now();
        let escrow_id = EscrowId::new(snapshot_at, self.ports.random);
        let key = self.chain.layout().payload(&escrow_id);
        let draft = seal::Draft::examine(self, escrow_id, snapshot_at)?;
        let spare = custodial::nobody_to_spare(self.settings.quorum.as_ref());
        self.chain.findings.extend(spare);
        self.compare_key(history, draft.key_id());
        let uploads = self.chain.uploads();
        let mut begun = Vec::new();
        let mut record = |store: &dyn Store, ticket| {
            let upload = OpenUpload::of(store, ticket);
            begun.push(upload.clone());
            uploads.record(upload).map_err(std::io::Error::other)
        };
        let destinations = self.ports.destinations.iter();
        let stores: Vec<_> = destinations.map(|to| to.for_payload(snapshot_at)).collect();
        let fan_out =
            FanOut::start(&stores, &key, draft.part_size(), &mut record).map_err(SealError::Io)?;
        let (fan_out, sealed) = draft.write(self, fan_out)?;
        let copies = Copy::collect(self.ports.destinations, fan_out.finish(), snapshot_at);
        Ok((sealed, copies, begun))
    }

    /// A key that is another one than last night makes older backups unreadable.
    fn compare_key(&mut self, history: &History, key_id: SecretKeyId) {
        let last = history.followed_escrows().next_back();
        if let Some((entry, escrow)) = last
            && escrow.secret_key_id != key_id.to_string()
        {
            self.chain.tell(Finding::warning(
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
        (sealed, mut copies, mut begun): Uploaded,
    ) -> Result<Committable, SnapshotError> {
        copies::verify(&mut copies, &sealed.payload);
        // Of one that failed something may be left, for the next run to remove.
        begun.retain(|upload| {
            let mut ended = copies.iter().filter(|copy| copy.is_uploaded());
            ended.any(|copy| *copy.name() == upload.store)
        });
        self.chain.uploads().forget(&begun)?;
        if copies.iter().all(|copy| copy.failure().is_some()) {
            self.ports.cancel.check()?;
            return Err(copies::none_left(copies).into());
        }
        for finding in copies.iter().filter_map(Copy::finding) {
            self.chain.tell(finding);
        }
        Ok(Committable { sealed, copies })
    }

    fn commit(
        &mut self,
        history: History,
        committable: Committable,
    ) -> Result<Report, SnapshotError> {
        let policy = self.policy().to_bytes()?;
        let mut manifest = self.manifest(&committable, Digest::of(&policy))?;
        self.compare_policy(&history, manifest.policy_sha256);
        let documents = self.documents(&policy, &committable.sealed.custodial);
        let undocumented = self.chain.put_documents(&documents);
        let is_whole =
            |copy: &Copy| copy.failure().is_none() && !undocumented.contains_key(copy.name());
        if !committable.copies.iter().any(is_whole) {
            // What opens it exists nowhere else, and is wiped.
            self.ports.cancel.check()?;
            let told = undocumented.into_values().collect();
            return Err(CommitError::NoStore { told, first: None }.into());
        }
        let committed = self.chain.commit(&mut manifest, history)?;
        let lacks = |name| committed.lacking.get(name).or(undocumented.get(name));
        let copies = committable.copies.iter();
        let stores = copies.map(|copy| StoreReport {
            name: copy.name().clone(),
            required: copy.destination.required,
            failure: copy.failure().or_else(|| lacks(copy.name()).cloned()),
        });
        Ok(Report {
            stores: stores.collect(),
            manifest,
            digest: committed.mark.manifest_sha256,
            replicated: None,
            findings: Vec::new(),
        })
    }

    /// Recipients, signers and instructions, and what opens this escrow.
    fn documents<'d>(&self, policy: &'d [u8], custodial: &'d Custodial) -> Vec<Document<'d>> {
        let layout = self.chain.layout();
        let restore = restore_md().as_bytes();
        let lasting = [
            (layout.policy(&Digest::of(policy)), policy),
            (layout.restore_md(&Digest::of(restore)), restore),
        ];
        let lasting = lasting.into_iter().map(|(key, bytes)| Document {
            key,
            bytes,
            lasting: Lasting::Manifest,
        });
        lasting.chain(custodial.documents()).collect()
    }

    /// Recipients or signers that changed make the printed trust card an old one.
    fn compare_policy(&mut self, history: &History, policy: Digest) {
        let last = history.followed_escrows().next_back();
        let changed = last.filter(|(_, escrow)| escrow.policy_sha256 != policy);
        if let Some((entry, _)) = changed {
            let seq = entry.link.seq;
            self.chain.tell(Finding::note(
                "policy-changed",
                format!(
                    "recipients or signers have changed since manifest {seq}: print the trust card \
                     again"
                ),
            ));
        }
    }

    fn manifest(
        &self,
        committable: &Committable,
        policy: Digest,
    ) -> Result<Manifest, SnapshotError> {
        let sealed = &committable.sealed;
        Ok(Manifest {
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
            recipients: custodial::recipient_records(&self.settings.recipients),
            custody: sealed.custodial.custody.clone(),
            unlock: sealed.custodial.unlock.clone(),
            policy_sha256: policy,
            restore_md_sha256: Digest::of(restore_md().as_bytes()),
            stores: self.store_records(committable)?,
            canaries: sealed.custodial.canaries.clone(),
            proof: Some(sealed.proof.clone()),
            expires: Vec::new(),
            rekeyed: None,
        })
    }

    fn store_records(&self, committable: &Committable) -> Result<Vec<StoreRecord>, SnapshotError> {
        let probes = self.ports.state.lock_probes(&self.settings.slug)?;
        let now = self.ports.clock.now();
        let record = |copy: &Copy| {
            let probe = lock_probe::recorded(&probes, &copy.destination);
            copy.record(&committable.sealed.key, now, probe)
        };
        Ok(committable.copies.iter().map(record).collect())
    }

    fn policy(&self) -> Policy {
        Policy::new(
            self.settings.recipients_text.clone(),
            self.settings.allowed_signers_text.clone(),
        )
    }
}

/// A sealed payload, its copies, and the uploads that made them.
type Uploaded = (Sealed, Vec<Copy>, Vec<OpenUpload>);

/// A sealed payload and its copies: everything but the manifest.
struct Committable {
    sealed: Sealed,
    copies: Vec<Copy>,
}
