//! What a store really does, found out by trying: an accepted header proves nothing.

use std::error::Error;

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::versions::{Bypass, list_all_versions};
use super::{ObjectMeta, Part, Store, StoreError, StoreErrorKind};

/// The smallest part that S3 allows before the last one.
const PART_SIZE: usize = 5 << 20;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The store does it.
    Yes,
    /// The store does not.
    No,
    /// It could not be tried; the detail says why. Never to be taken for either.
    Unknown,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ProbeCheck {
    /// Stable, for machines.
    pub name: &'static str,
    /// What was found.
    pub outcome: Outcome,
    /// For people: why, or what it means.
    pub detail: String,
}

/// Everything that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ProbeReport {
    /// In the order of trying.
    pub checks: Vec<ProbeCheck>,
}

/// A new object can be written.
pub const WRITE: &str = "write";
/// What was written can be read back.
pub const READ: &str = "read";
/// A write with If-None-Match over an existing object is refused, and leaves it alone.
pub const CONDITIONAL_PUT: &str = "conditional-put";
/// A ranged read gives exactly the range.
pub const RANGED_GET: &str = "ranged-get";
/// What was written is listed at once.
pub const LIST: &str = "list";
/// An upload in two parts of 5 MiB completes.
pub const MULTIPART: &str = "multipart";
/// Its entity tag is the MD5 of the parts' MD5s and `-2`.
pub const MULTIPART_ETAG: &str = "multipart-etag";
/// These credentials may delete. Good news if not, where they are the writer's.
pub const DELETE: &str = "delete";
/// These credentials may delete versions for good. Only tried where a delete left some.
pub const DELETE_VERSIONS: &str = "delete-versions";

impl ProbeReport {
    /// Whether escrows can be written here: reading and writing work, and a conditional write
    /// holds (the sequence of manifests rests on it).
    pub fn usable(&self) -> bool {
        [WRITE, READ, CONDITIONAL_PUT, RANGED_GET, MULTIPART]
            .iter()
            .all(|name| self.outcome(name) == Outcome::Yes)
    }

    /// What was found about one thing; unknown if it was not tried.
    pub fn outcome(&self, name: &str) -> Outcome {
        let check = self.checks.iter().find(|check| check.name == name);
        check.map_or(Outcome::Unknown, |check| check.outcome)
    }

    fn add(&mut self, name: &'static str, outcome: Outcome, detail: impl Into<String>) {
        self.checks.push(ProbeCheck {
            name,
            outcome,
            detail: detail.into(),
        });
    }

    fn yes_if(&mut self, name: &'static str, holds: bool, otherwise: &str) {
        match holds {
            true => self.add(name, Outcome::Yes, ""),
            false => self.add(name, Outcome::No, otherwise),
        }
    }

    /// A denial is an answer; any other failure leaves the question open.
    fn failed(&mut self, name: &'static str, error: &StoreError) {
        let outcome = match error.kind {
            StoreErrorKind::Denied => Outcome::No,
            _ => Outcome::Unknown,
        };
        self.add(name, outcome, chain(error));
    }
}

/// Tries a store out with objects under `<prefix>/probe/<random>/`, about 10 MiB in all, and
/// removes them again if it may, with what a store with versions keeps of them.
pub fn probe(store: &dyn Store, prefix: &str) -> ProbeReport {
    let random = hex::encode(rand::random::<[u8; 8]>());
    let folder = match prefix {
        "" => format!("probe/{random}"),
        prefix => format!("{prefix}/probe/{random}"),
    };
    let mut report = ProbeReport::default();
    let small = format!("{folder}/small");
    let large = format!("{folder}/large");
    if small_objects(store, &small, &mut report) {
        multipart(store, &large, &mut report);
    }
    delete(store, &[&small, &large], &mut report);
    delete_versions(store, &format!("{folder}/"), &mut report);
    report
}

/// Whether it makes sense to go on.
fn small_objects(store: &dyn Store, key: &str, report: &mut ProbeReport) -> bool {
    let content = format!("databasus-escrow probe of {key}\n").into_bytes();
    if let Err(error) = store.put_if_absent(key, &content) {
        report.failed(WRITE, &error);
        return false;
    }
    report.add(WRITE, Outcome::Yes, "");
    match store.get(key, 4096) {
        Ok(object) => {
            let same = object.bytes == content;
            report.yes_if(READ, same, "what is read is not what was written");
        }
        Err(error) => report.failed(READ, &error),
    }
    ranged_get(store, key, &content, report);
    list(store, key, report);
    conditional_put(store, key, &content, report);
    true
}

fn ranged_get(store: &dyn Store, key: &str, content: &[u8], report: &mut ProbeReport) {
    match store.get_range(key, 4..10) {
        Ok(bytes) => {
            let exact = bytes.as_ref() == &content[4..10];
            report.yes_if(RANGED_GET, exact, "the range holds other bytes");
        }
        Err(error) => report.failed(RANGED_GET, &error),
    }
}

fn list(store: &dyn Store, key: &str, report: &mut ProbeReport) {
    match super::list_all(store, key, None) {
        Ok(found) => {
            let named = found.iter().any(|meta| meta.key == key);
            report.yes_if(LIST, named, "what was just written is not listed");
        }
        Err(error) => report.failed(LIST, &error),
    }
}

fn conditional_put(store: &dyn Store, key: &str, content: &[u8], report: &mut ProbeReport) {
    match store.put_if_absent(key, b"overwritten") {
        Ok(_) => report.add(
            CONDITIONAL_PUT,
            Outcome::No,
            "a write that must not replace an existing object was accepted",
        ),
        Err(error) if error.kind == StoreErrorKind::AlreadyExists => match store.get(key, 4096) {
            Ok(object) => report.yes_if(
                CONDITIONAL_PUT,
                object.bytes == content,
                "the write was refused, and still changed the object",
            ),
            Err(error) => report.add(CONDITIONAL_PUT, Outcome::Unknown, chain(&error)),
        },
        Err(error) => report.add(CONDITIONAL_PUT, Outcome::Unknown, chain(&error)),
    }
}

fn multipart(store: &dyn Store, key: &str, report: &mut ProbeReport) {
    let parts = [part(1, b'1'), part(2, b'2')];
    match upload(store, key, &parts) {
        Ok(meta) => {
            let whole = meta.size == 2 * PART_SIZE as u64;
            report.yes_if(MULTIPART, whole, "the object is not as large as its parts");
            etag(&parts, meta, report);
        }
        Err(error) => report.failed(MULTIPART, &error),
    }
}

fn upload(store: &dyn Store, key: &str, parts: &[Part]) -> Result<ObjectMeta, StoreError> {
    let upload = store.start_upload(key, PART_SIZE as u64)?;
    for part in parts {
        if let Err(error) = upload.put_part(part) {
            if let Err(error) = upload.abort() {
                tracing::warn!(%error, "a probe's upload is left behind");
            }
            return Err(error);
        }
    }
    let completed = upload.complete()?;
    let seen = store.head(key)?;
    Ok(ObjectMeta {
        etag: seen.etag.or(completed.etag),
        ..seen
    })
}

fn etag(parts: &[Part], meta: ObjectMeta, report: &mut ProbeReport) {
    let mut md5 = Md5::new();
    parts.iter().for_each(|part| md5.update(part.md5));
    let expected = format!("{}-{}", hex::encode(md5.finalize()), parts.len());
    match meta.etag {
        Some(etag) => report.yes_if(
            MULTIPART_ETAG,
            etag == expected,
            "audits must read payloads to compare them: the entity tag is of another kind",
        ),
        None => report.add(MULTIPART_ETAG, Outcome::Unknown, "there is no entity tag"),
    }
}

fn part(number: u32, fill: u8) -> Part {
    let bytes = Bytes::from(vec![fill; PART_SIZE]);
    Part {
        number,
        md5: Md5::digest(&bytes).into(),
        bytes,
    }
}

fn delete(store: &dyn Store, keys: &[&str], report: &mut ProbeReport) {
    let deleted = keys.iter().try_for_each(|key| store.delete(key));
    match (deleted, store.head(keys[0])) {
        (Err(error), _) if error.kind == StoreErrorKind::Denied => report.add(
            DELETE,
            Outcome::No,
            format!("the probe's objects stay: {}", keys.join(", ")),
        ),
        (Err(error), _) => report.failed(DELETE, &error),
        (Ok(()), Err(error)) if error.kind == StoreErrorKind::NotFound => {
            report.add(DELETE, Outcome::Yes, "");
        }
        (Ok(()), Ok(_)) => report.add(DELETE, Outcome::No, "deleted, and still there"),
        (Ok(()), Err(error)) => report.failed(DELETE, &error),
    }
}

fn delete_versions(store: &dyn Store, folder: &str, report: &mut ProbeReport) {
    let Some(versions) = store.versions() else {
        return;
    };
    let listed = match list_all_versions(versions, folder) {
        Ok(listed) if listed.is_empty() => return,
        Ok(listed) => listed,
        Err(error) if error.kind == StoreErrorKind::Unsupported => return,
        Err(error) => return report.failed(DELETE_VERSIONS, &error),
    };
    let stay: Vec<StoreError> = listed
        .iter()
        .filter_map(|one| {
            let deleted = versions.delete_version(&one.key, &one.id, Bypass::No);
            deleted.err()
        })
        .collect();
    match stay.first() {
        None => report.add(DELETE_VERSIONS, Outcome::Yes, ""),
        Some(error) if error.kind == StoreErrorKind::Denied => report.add(
            DELETE_VERSIONS,
            Outcome::No,
            format!("{} versions stay below {folder}", stay.len()),
        ),
        Some(error) => report.failed(DELETE_VERSIONS, error),
    }
}

fn chain(error: &StoreError) -> String {
    let mut words = error.to_string();
    let mut next = Error::source(error);
    while let Some(cause) = next {
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    words
}
