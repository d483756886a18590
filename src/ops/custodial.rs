//! What an escrow holds for its custodians: unlock files where several have to come together,
//! and a canary for each.

use std::collections::BTreeSet;

use crate::base::digest::Digest;
use crate::base::names::CustodianName;
use crate::model::finding::Finding;
use crate::model::layout::{Layout, Sealed};
use crate::model::manifest::{Canary, Custody, CustodyMode, Recipient, Unlock};
use crate::model::quorum::Quorum;
use crate::model::recipients::{RecipientSpec, Recipients};
use crate::ops::commit::Document;
use crate::ops::destination::Lasting;
use crate::sealing::custody::{
    CustodySealError, EscrowIdentity, open_layer, seal_canary, seal_layers,
};
use crate::sealing::identities::{BoxedRecipient, Identities, age_recipients};

/// To whom the payload is sealed, what the manifest says of it, and the objects that it names.
pub(super) struct Custodial {
    /// Of the payload.
    pub(super) recipients: Vec<BoxedRecipient>,
    pub(super) custody: Custody,
    pub(super) unlock: Vec<Unlock>,
    pub(super) canaries: Vec<Canary>,
    /// Keys and bytes, to be in every store before a manifest names them.
    pub(super) objects: Vec<(String, Vec<u8>)>,
}

/// Who makes it, for which escrow.
pub(super) struct Request<'a> {
    pub(super) layout: &'a Layout,
    pub(super) sealed: Sealed<'a>,
    pub(super) recipients: &'a Recipients,
    pub(super) quorum: Option<&'a Quorum>,
}

impl Custodial {
    /// Where several custodians have to come together, the identity that the payload is sealed to
    /// exists in here alone, and is wiped when this returns.
    pub(super) fn make(request: &Request<'_>) -> Result<Self, CustodySealError> {
        let mut made = match request.quorum {
            None => Self::of_each(age_recipients(request.recipients)?),
            Some(quorum) => Self::of_a_quorum(request, quorum)?,
        };
        for spec in request.recipients.iter() {
            made.add_canary(request, spec)?;
        }
        Ok(made)
    }

    /// The objects, to be put before a manifest names them.
    pub(super) fn documents(&self) -> impl Iterator<Item = Document<'_>> {
        self.objects.iter().map(|(key, bytes)| Document {
            key: key.clone(),
            bytes,
            lasting: Lasting::Payload,
        })
    }

    /// Whose canaries these identities open.
    pub(super) fn opened_by(&self, identities: &Identities) -> BTreeSet<CustodianName> {
        let opens = |canary: &&Canary| {
            let mut objects = self.objects.iter();
            let object = objects.find(|(key, _)| *key == canary.key);
            object.is_some_and(|(_, bytes)| open_layer(bytes, identities).is_ok())
        };
        let opened = self.canaries.iter().filter(opens);
        opened.map(|canary| canary.custodian.clone()).collect()
    }

    fn of_each(recipients: Vec<BoxedRecipient>) -> Self {
        Self {
            recipients,
            custody: Custody {
                mode: CustodyMode::Any,
                k: None,
            },
            unlock: Vec::new(),
            canaries: Vec::new(),
            objects: Vec::new(),
        }
    }

    fn of_a_quorum(request: &Request<'_>, quorum: &Quorum) -> Result<Self, CustodySealError> {
        let identity = EscrowIdentity::generate();
        let mut made = Self {
            custody: Custody {
                mode: CustodyMode::KOfN,
                k: Some(quorum.k()),
            },
            ..Self::of_each(vec![identity.recipient()])
        };
        for set in quorum.sets() {
            made.add_unlock(request, &identity, set)?;
        }
        Ok(made)
    }

    fn add_unlock(
        &mut self,
        request: &Request<'_>,
        identity: &EscrowIdentity,
        set: &[RecipientSpec],
    ) -> Result<(), CustodySealError> {
        let layered = seal_layers(identity.text().as_bytes(), set)?;
        let custodians: Vec<CustodianName> = set.iter().map(|s| s.custodian.clone()).collect();
        let key = request.layout.unlock(request.sealed, &custodians);
        self.unlock.push(Unlock {
            custodians,
            key: key.clone(),
            size: layered.bytes.len() as u64,
            sha256: Digest::of(&layered.bytes),
            inner_sha256: layered.inner,
        });
        self.objects.push((key, layered.bytes));
        Ok(())
    }

    fn add_canary(
        &mut self,
        request: &Request<'_>,
        spec: &RecipientSpec,
    ) -> Result<(), CustodySealError> {
        let sealed = seal_canary(spec)?;
        let key = request.layout.canary(request.sealed, &spec.custodian);
        self.canaries.push(Canary {
            custodian: spec.custodian.clone(),
            key: key.clone(),
            sha256: Digest::of(&sealed.bytes),
            nonce_sha256: sealed.nonce_sha256,
        });
        self.objects.push((key, sealed.bytes));
        Ok(())
    }
}

/// The recipients as a manifest names them.
pub(super) fn recipient_records(recipients: &Recipients) -> Vec<Recipient> {
    let record = |spec: &RecipientSpec| Recipient {
        custodian: spec.custodian.clone(),
        kind: spec.kind.name(),
        recipient: spec.text.clone(),
        fingerprint: spec.fingerprint.to_string(),
    };
    recipients.iter().map(record).collect()
}

/// With nobody to spare, one lost identity closes every escrow for ever.
pub(super) fn nobody_to_spare(quorum: Option<&Quorum>) -> Option<Finding> {
    let quorum = quorum.filter(|quorum| quorum.spare() == 0)?;
    Some(Finding::note(
        "no-spare-custodian",
        format!(
            "all {} custodians are needed to open this escrow: if one identity is lost, nobody \
             opens it",
            quorum.k()
        ),
    ))
}
