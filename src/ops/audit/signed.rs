//! Documents beside the chain that somebody signed: who did, and whether they may.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::error_chain::error_chain;
use crate::base::names::SignerName;
use crate::base::time::UtcTime;
use crate::model::layout::Layout;
use crate::model::namespace::Namespace;
use crate::model::trust::{Authentic, Trust};
use crate::ops::history::History;
use crate::sealing::sshsig::{MAX_SIGNATURE_BYTES, verify_sshsig};
use crate::store::{Store, StoreError, StoreErrorKind};

/// How many signatures of one document are tried: anybody who can write to a store can plant any
/// number.
const TRIED: usize = 16;

/// A document with a good signature by somebody who may sign documents of its kind.
pub(super) struct Signed {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: Digest,
    pub(super) by: Authentic,
}

/// Why a document does not count.
pub(super) enum Refused {
    /// A store failed: it may be a good one.
    Unread(String),
    /// It is nobody's who may.
    Unsigned(String),
}

/// Where documents and their signatures are looked for.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) history: &'a History,
    pub(super) stores: &'a [Arc<dyn Store>],
    pub(super) namespace: Namespace,
    pub(super) max_bytes: u64,
}

impl Reading<'_> {
    /// Reads the document of this key. `signer` is who its key says has signed; where it does not
    /// say, every name is tried under which a signature lies.
    pub(super) fn read(
        &self,
        store: &dyn Store,
        key: &str,
        signer: Option<&SignerName>,
    ) -> Result<Signed, Refused> {
        let bytes = store
            .get(key, self.max_bytes)
            .map_err(|error| refused(&error))?
            .bytes;
        let sha256 = Digest::of(&bytes);
        let names = match signer {
            Some(signer) => vec![signer.clone()],
            None => self
                .names(store, &sha256)
                .map_err(|error| refused(&error))?,
        };
        let mut why = Refused::Unsigned("no signature lies beside it".to_owned());
        for name in &names {
            match self.authenticate(&bytes, &sha256, name) {
                Ok(by) => return Ok(Signed { bytes, sha256, by }),
                // What could not be read may have been the good one.
                Err(_) if matches!(why, Refused::Unread(_)) => {}
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    fn names(&self, store: &dyn Store, digest: &Digest) -> Result<Vec<SignerName>, StoreError> {
        let layout = self.history.layout();
        names_of(store, layout, digest)
    }

    fn authenticate(
        &self,
        bytes: &[u8],
        sha256: &Digest,
        name: &SignerName,
    ) -> Result<Authentic, Refused> {
        let key = self.history.layout().signature(sha256, name);
        let mut why = Refused::Unsigned("no signature lies beside it".to_owned());
        for store in self.stores {
            let trust = &self.history.trust;
            match authenticate(store.as_ref(), &key, bytes, name, trust, self.namespace) {
                Ok(by) => return Ok(by),
                Err(_) if matches!(why, Refused::Unread(_)) => {}
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }
}

/// Names under which a store holds signatures of a document.
pub(super) fn names_of(
    store: &dyn Store,
    layout: &Layout,
    digest: &Digest,
) -> Result<Vec<SignerName>, StoreError> {
    let mut names = Vec::new();
    let listed = store.list(&layout.signatures_of(digest), None, &mut |meta| {
        names.extend(layout.parse_signature(&meta.key).map(|(_, signer)| signer));
        match names.len() < TRIED {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    match listed {
        Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
        _ => Ok(names),
    }
}

/// Whether the signature under this key is good, and by somebody who may.
fn authenticate(
    store: &dyn Store,
    key: &str,
    bytes: &[u8],
    name: &SignerName,
    trust: &Trust,
    namespace: Namespace,
) -> Result<Authentic, Refused> {
    let signature = store
        .get(key, MAX_SIGNATURE_BYTES as u64)
        .map_err(|error| refused(&error))?;
    verify(&signature.bytes, bytes, name, trust, namespace).map_err(Refused::Unsigned)
}

/// Who made this signature, or why it does not count.
pub(super) fn verify(
    signature: &[u8],
    bytes: &[u8],
    name: &SignerName,
    trust: &Trust,
    namespace: Namespace,
) -> Result<Authentic, String> {
    let embedded =
        verify_sshsig(signature, namespace, bytes).map_err(|error| error_chain(&error))?;
    let by = trust.authenticate(&embedded.key, namespace, name);
    by.map_err(|error| error_chain(&error))
}

impl Signed {
    /// Whether the signer could sign at the document's own date, which has come.
    pub(super) fn check_date(&self, at: UtcTime, now: UtcTime) -> Result<(), Refused> {
        if at > now.plus(SKEW) {
            return Err(Refused::Unsigned(format!(
                "it is dated {at}, which has not come yet"
            )));
        }
        let inside = self.by.check_window(at);
        inside.map_err(|error| Refused::Unsigned(error_chain(&error)))
    }
}

/// How far another clock may be ahead, in seconds.
const SKEW: i64 = 300;

fn refused(error: &StoreError) -> Refused {
    match is_refusal(error.kind) {
        true => Refused::Unsigned(error_chain(error)),
        false => Refused::Unread(error_chain(error)),
    }
}

/// What a store's writer can bring about is not taken for a passing failure.
pub(super) fn is_refusal(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::NotFound | StoreErrorKind::TooLarge)
}
