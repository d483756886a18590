//! One escrow: opened, sealed to others, stored, and reported in a signed manifest.

use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::RekeyId;
use crate::base::time::UtcTime;
use crate::model::amend::{Change, Rekeyed};
use crate::model::finding::Finding;
use crate::model::layout::Sealed;
use crate::model::manifest::{Manifest, Payload};
use crate::model::mark::Mark;
use crate::model::policy::Policy;
use crate::model::quorum::Quorum;
use crate::ops::commit::{CommitError, Committer, Document, Reach};
use crate::ops::copies::{self, Copy};
use crate::ops::custodial::{self, Custodial};
use crate::ops::destination::{Lasting, stores};
use crate::ops::lock_probe;
use crate::ops::open::{self, OnBytes};
use crate::ops::state::{OpenRekey, OpenUpload};
use crate::ops::upload::FanOut;
use crate::sealing::parts::{PartWriter, VerifiedPart, VerifiedStream, part_size};
use crate::sealing::reseal::{ResealError, Unsealed, expect_end};
use crate::sealing::unpack::UnpackError;
use crate::store::Store;

use super::{RekeyError, Settings, Work};

/// By how many bytes a header for other recipients may be longer. The rest of a payload stays as
/// long as it was.
const HEADER_ROOM: u64 = 1 << 20;

/// Why an escrow was not sealed again.
pub(super) enum Refusal {
    /// The identities do not open it.
    Closed(UnpackError),
    /// Something is wrong with it, or with a store.
    Failed(String),
    /// No other escrow would fare better.
    Whole(RekeyError),
}

impl<E: Into<RekeyError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Whole(error.into())
    }
}

/// Seals an escrow again, and commits that; returns the manifest that says so.
pub(super) fn rekey(
    chain: &mut Committer<'_>,
    manifest: &Manifest,
    work: &Work<'_>,
) -> Result<Mark, Refusal> {
    let at = chain.ports().clock.now();
    let job = Job {
        manifest,
        work,
        settings: work.settings,
        at,
        rekey_id: RekeyId::new(at, rand::random()),
    };
    let resealed = job.reseal(chain)?;
    job.commit(chain, resealed)
}

struct Job<'a> {
    manifest: &'a Manifest,
    work: &'a Work<'a>,
    settings: &'a Settings<'a>,
    /// When it began.
    at: UtcTime,
    rekey_id: RekeyId,
}

/// What was sealed and stored, and is named by no manifest yet.
struct Resealed {
    payload: Payload,
    custodial: Custodial,
    copies: Vec<Copy>,
}

impl Job<'_> {
    fn sealed(&self) -> Sealed<'_> {
        Sealed {
            escrow: &self.manifest.escrow_id,
            rekey: Some(&self.rekey_id),
        }
    }

    /// Opens the payload, and passes on what is inside. Nothing is stored before it opens.
    fn reseal(&self, chain: &mut Committer<'_>) -> Result<Resealed, Refusal> {
        let ports = *chain.ports();
        let told = Arc::clone(self.work.on_bytes);
        let on_bytes: OnBytes = Box::new(move |count| told(count));
        let from = stores(ports.destinations);
        let fetcher = open::fetcher(self.manifest, &from, ports.cancel, on_bytes);
        let resealed = fetcher
            .parts()
            .map_err(|error| Refusal::Failed(error_chain(&error)))
            .and_then(|parts| {
                let mut stream = VerifiedStream::new(&self.manifest.payload, parts);
                self.pass_on(chain, &mut stream, &from)
            });
        let findings = fetcher.findings().into_iter();
        findings.for_each(|finding| chain.tell(finding));
        resealed
    }

    fn pass_on<I>(
        &self,
        chain: &Committer<'_>,
        stream: &mut VerifiedStream<I>,
        from: &[Arc<dyn Store>],
    ) -> Result<Resealed, Refusal>
    where
        I: Iterator<Item = std::io::Result<VerifiedPart>>,
    {
        let unsealed = self.open(stream, from)?;
        let custodial = Custodial::make(&custodial::Request {
            layout: chain.layout(),
            sealed: self.sealed(),
            recipients: self.settings.recipients,
            quorum: self.settings.quorum,
        })?;
        self.expect_openers(&custodial)?;
        self.remember(chain)?;
        let mut begun = Vec::new();
        let fan_out = self.begin(chain, &mut begun)?;
        let size = usize::try_from(self.part_size());
        let size = size.map_err(|error| Refusal::Failed(error_chain(&error)))?;
        let parts = PartWriter::new(fan_out, size);
        let parts = unsealed.seal_to(&custodial.recipients, parts);
        let parts = parts.map_err(failed)?;
        expect_end(stream).map_err(failed)?;
        let (fan_out, payload) = parts
            .finish()
            .map_err(|e| Refusal::Failed(error_chain(&e)))?;
        let outcomes = fan_out.finish();
        let mut copies = Copy::collect(chain.ports().destinations, outcomes, self.at);
        copies::verify(&mut copies, &payload);
        let ended = |upload: &OpenUpload| {
            let mut ended = copies.iter().filter(|copy| copy.is_uploaded());
            ended.any(|copy| *copy.name() == upload.store)
        };
        begun.retain(ended);
        chain.uploads().forget(&begun).map_err(CommitError::from)?;
        Ok(Resealed {
            payload,
            custodial,
            copies,
        })
    }

    fn open<'s, I>(
        &self,
        stream: &'s mut VerifiedStream<I>,
        from: &[Arc<dyn Store>],
    ) -> Result<Unsealed<'s, I>, Refusal>
    where
        I: Iterator<Item = std::io::Result<VerifiedPart>>,
    {
        let identities = self.settings.identities;
        let identities = identities.ok_or(Refusal::Closed(UnpackError::NoIdentity))?;
        open::with_identities(self.manifest, from, identities, |own| {
            Unsealed::open(stream, own)
        })
        .map_err(Refusal::Closed)
    }

    /// Whoever has not checked in may show with the canary made for them that the identity is here.
    fn expect_openers(&self, custodial: &Custodial) -> Result<(), RekeyError> {
        let takes = self.settings.quorum.map_or(1, Quorum::k);
        let mut proven = self.work.proven.clone();
        if proven.len() < takes as usize {
            let identities = self.settings.identities;
            proven.extend(
                identities
                    .into_iter()
                    .flat_map(|own| custodial.opened_by(own)),
            );
        }
        match proven.len() < takes as usize {
            false => Ok(()),
            true => Err(RekeyError::Unproven {
                takes,
                proven: proven.into_iter().collect(),
            }),
        }
    }

    fn part_size(&self) -> u64 {
        let payload = &self.manifest.payload;
        let needed = part_size(payload.size.saturating_add(HEADER_ROOM));
        needed.max(payload.part_size)
    }

    /// Whatever becomes of it, a later run knows whose it is.
    fn remember(&self, chain: &Committer<'_>) -> Result<(), CommitError> {
        let state = chain.ports().state;
        let mut open = state.open_rekeys(chain.slug())?;
        open.push(OpenRekey {
            escrow_id: self.manifest.escrow_id.clone(),
            rekey_id: self.rekey_id.clone(),
        });
        Ok(state.set_open_rekeys(chain.slug(), &open)?)
    }

    fn begin(&self, chain: &Committer<'_>, begun: &mut Vec<OpenUpload>) -> Result<FanOut, Refusal> {
        let uploads = chain.uploads();
        let mut record = |store: &dyn Store, ticket| {
            let upload = OpenUpload::of(store, ticket);
            begun.push(upload.clone());
            uploads.record(upload).map_err(std::io::Error::other)
        };
        let destinations = chain.ports().destinations.iter();
        let stores: Vec<_> = destinations.map(|to| to.for_payload(self.at)).collect();
        let key = chain.layout().payload(self.sealed());
        FanOut::start(&stores, &key, self.part_size(), &mut record)
            .map_err(|error| Refusal::Failed(error_chain(&error)))
    }

    /// Commits nothing unless every store that has to hold it does: from then on readers take the
    /// new payload, from whichever store is left to them.
    fn commit(&self, chain: &mut Committer<'_>, resealed: Resealed) -> Result<Mark, Refusal> {
        for finding in resealed.copies.iter().filter_map(Copy::finding) {
            chain.tell(finding);
        }
        let policy = Policy::new(
            self.settings.recipients_text.to_owned(),
            chain.allowed_signers().to_owned(),
        );
        let policy = policy.to_bytes().map_err(CommitError::from)?;
        let lacking = chain.put_documents(&self.documents(chain, &policy, &resealed.custodial));
        let whole = |copy: &&Copy| copy.failure().is_none() && !lacking.contains_key(copy.name());
        let holders = resealed.copies.iter().filter(whole).map(Copy::name);
        let failures = resealed.copies.iter().filter_map(Copy::failure);
        if !chain.are_enough(holders) {
            let told: Vec<String> = failures.chain(lacking.into_values()).collect();
            return Err(Refusal::Failed(told.join("; ")));
        }
        failures.for_each(|why| chain.tell(Finding::note("copy-missing", why)));
        let change = self.change(chain, resealed, Digest::of(&policy))?;
        let history = chain.read_history(Reach::SinceMark)?;
        let committed = chain.report(history, vec![Change::Rekeyed(Box::new(change))])?;
        for why in committed.lacking.into_values() {
            chain.tell(Finding::warning("manifest-missing", why));
        }
        Ok(committed.mark)
    }

    fn documents<'d>(
        &self,
        chain: &Committer<'_>,
        policy: &'d [u8],
        custodial: &'d Custodial,
    ) -> Vec<Document<'d>> {
        let policy = Document {
            key: chain.layout().policy(&Digest::of(policy)),
            bytes: policy,
            lasting: Lasting::Manifest,
        };
        std::iter::once(policy)
            .chain(custodial.documents())
            .collect()
    }

    fn change(
        &self,
        chain: &Committer<'_>,
        resealed: Resealed,
        policy_sha256: Digest,
    ) -> Result<Rekeyed, CommitError> {
        let ports = chain.ports();
        let probes = ports.state.lock_probes(chain.slug())?;
        let (key, now) = (chain.layout().payload(self.sealed()), ports.clock.now());
        let record = |copy: &Copy| {
            let probe = lock_probe::recorded(&probes, &copy.destination);
            copy.record(&key, now, probe)
        };
        Ok(Rekeyed {
            escrow_id: self.manifest.escrow_id.clone(),
            rekey_id: self.rekey_id.clone(),
            replaces: chain.layout().payload(self.manifest.sealed()),
            stores: resealed.copies.iter().map(record).collect(),
            payload: resealed.payload,
            recipients: custodial::recipient_records(self.settings.recipients),
            custody: resealed.custodial.custody,
            unlock: resealed.custodial.unlock,
            canaries: resealed.custodial.canaries,
            policy_sha256,
        })
    }
}

fn failed(error: ResealError) -> Refusal {
    Refusal::Failed(error_chain(&error))
}
