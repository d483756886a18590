//! Payloads: who holds them, whether they are what was signed, and copying sealed bytes.

use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::model::finding::Finding;
use crate::model::layout::Layout;
use crate::model::lock::{LockRecord, LockState};
use crate::model::manifest::{Manifest, StoreRecord, StoreState};
use crate::ops::destination::Destination;
use crate::ops::fetch::Fetcher;
use crate::ops::inventory::Holding;
use crate::ops::lock_probe;
use crate::ops::locks;
use crate::ops::open::{self, OnBytes};
use crate::ops::state::OpenUpload;
use crate::ops::stored_copy::{self, CopyError};
use crate::ops::upload::FanOut;
use crate::sealing::parts::PartSink;
use crate::store::Store;

use super::{Job, Looking, beneath};

/// What a store has of a payload.
pub(super) enum Copy {
    /// What was signed, as far as was looked.
    Whole,
    /// What was signed, beneath a delete marker or an overwrite.
    Beneath(Beneath),
    /// Nothing.
    Absent,
    /// Something else, and what.
    Differs(String),
    /// Nobody knows.
    Unread(String),
}

/// A copy that no plain read finds.
pub(super) struct Beneath {
    /// Whether a delete marker hides it, so that its key is free.
    pub(super) is_hidden: bool,
    /// Whether a lock keeps it there.
    pub(super) is_kept: bool,
}

/// Looks at a store's copy: its size and entity tag in the listing, and the bytes where these are
/// not those that were recorded, or all are to be read. Where what is current is not the copy,
/// the versions beneath are looked at.
pub(super) fn look(job: &Job<'_>, holding: &Holding<'_>, key: &str, manifest: &Manifest) -> Copy {
    let current = current(holding, key, manifest, job.looking);
    let is_hidden = match &current {
        Copy::Absent => true,
        Copy::Differs(_) | Copy::Unread(_) => false,
        Copy::Whole | Copy::Beneath(_) => return current,
    };
    let store = holding.store().as_ref();
    let Some(lock) = beneath::find(store, key, manifest, job.looking) else {
        return current;
    };
    let is_kept = matches!(lock, LockState::Locked(lock) if lock.until > job.now);
    Copy::Beneath(Beneath { is_hidden, is_kept })
}

fn current(holding: &Holding<'_>, key: &str, manifest: &Manifest, looking: Looking) -> Copy {
    let Some(listed) = holding.get(key) else {
        return Copy::Absent;
    };
    let payload = &manifest.payload;
    if listed.size == payload.size
        && looking == Looking::Listed
        && stored_copy::is_recorded(listed.etag.as_ref(), holding.name(), manifest)
    {
        return Copy::Whole;
    }
    match stored_copy::compare_whole(holding.store().as_ref(), key, payload) {
        Ok(()) => Copy::Whole,
        Err(CopyError::Differs(why)) => Copy::Differs(why),
        Err(error @ CopyError::Unread(_)) => Copy::Unread(error.to_string()),
    }
}

/// Copies a payload, part by part, each verified before it goes on. What was found wrong with the
/// copies that were read goes to `tell`.
pub(super) fn copy(
    job: &Job<'_>,
    manifest: &Manifest,
    from: &[Arc<dyn Store>],
    to: &Destination,
    tell: &mut dyn FnMut(Finding),
) -> Result<StoreRecord, String> {
    let key = &Layout::new(&manifest.instance.slug).payload(manifest.sealed());
    let on_bytes: OnBytes = Box::new({
        let told = Arc::clone(&job.on_bytes);
        move |bytes| told(bytes)
    });
    let fetcher = open::fetcher(manifest, from, job.cancel, on_bytes);
    let uploaded = upload(job, manifest, key, &fetcher, to);
    fetcher.findings().into_iter().for_each(tell);
    let begun = uploaded?;
    if let Err(error) = job.uploads.forget(&begun) {
        // The next run looks at it again.
        tracing::warn!(error = %error_chain(&error), "an upload stays on record");
    }
    record(job, manifest, key, to)
}

/// Reads a copy back; what a manifest is to say of it.
pub(super) fn record(
    job: &Job<'_>,
    manifest: &Manifest,
    key: &str,
    to: &Destination,
) -> Result<StoreRecord, String> {
    let meta = stored_copy::compare(to.store.as_ref(), key, &manifest.payload)
        .map_err(|error| error.to_string())?;
    let lock = locks::read_back(to.store.as_ref(), key, meta.version_id.as_deref());
    Ok(StoreRecord {
        name: to.store.name().clone(),
        provider: to.provider.clone(),
        bucket: to.bucket.clone(),
        key: key.to_owned(),
        version_id: meta.version_id,
        etag: meta.etag,
        state: StoreState::Stored,
        lock: to.lock.map(|_| LockRecord {
            probe: lock_probe::recorded(&job.probes, to),
            ..LockRecord::read_back(lock, job.now)
        }),
    })
}

fn upload(
    job: &Job<'_>,
    manifest: &Manifest,
    key: &str,
    fetcher: &Fetcher,
    to: &Destination,
) -> Result<Vec<OpenUpload>, String> {
    let mut begun = Vec::new();
    let mut record = |store: &dyn Store, ticket| {
        let upload = OpenUpload::of(store, ticket);
        begun.push(upload.clone());
        job.uploads.record(upload).map_err(std::io::Error::other)
    };
    let to = [to.for_payload(job.now)];
    let part_size = manifest.payload.part_size;
    let told = |error: std::io::Error| error_chain(&error);
    let mut fan_out = FanOut::start(&to, key, part_size, &mut record).map_err(told)?;
    for (part, number) in fetcher.parts().map_err(told)?.zip(1..) {
        job.cancel.check_io().map_err(told)?;
        let part = part.map_err(told)?;
        fan_out.part(part.forward(number)).map_err(told)?;
    }
    let outcomes = fan_out.finish().into_iter();
    let failed = outcomes.filter_map(|outcome| outcome.result.err()).next();
    failed.map_or(Ok(begun), |error| Err(error_chain(&error)))
}
