//! Single versions of objects in a bucket.

use std::ops::{ControlFlow, Range};

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{DeleteMarkerEntry, ObjectVersion};
use bytes::Bytes;

use super::read::Which;
use super::{S3Store, Shared, lock, unquoted};
use crate::base::time::UtcTime;
use crate::model::lock::Lock;
use crate::store::key::{Key, readable, writable};
use crate::store::versions::{BucketRules, Bypass, Version, VersionContent, VersionHead, Versions};
use crate::store::{Object, StoreError, StoreErrorKind};

const GET: &str = "get version of";
const GET_RANGE: &str = "get range of version of";
const HEAD: &str = "head version of";
const DELETE: &str = "delete version of";
const LOCK: &str = "lock version of";
const LIST: &str = "list versions under";

impl Versions for S3Store {
    fn list_versions(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.shared.list_versions(prefix, start_after, visit)
    }

    fn get_version(&self, key: &str, id: &str, max_bytes: u64) -> Result<Object, StoreError> {
        let which = self.which(GET, key, id)?;
        self.shared.get(GET, which, max_bytes)
    }

    fn get_version_range(
        &self,
        key: &str,
        id: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let which = self.which(GET_RANGE, key, id)?;
        let size = || Ok(self.head_version(key, id)?.meta.size);
        self.shared.get_range(GET_RANGE, which, range, size)
    }

    fn head_version(&self, key: &str, id: &str) -> Result<VersionHead, StoreError> {
        readable(&self.shared.name, HEAD, key)?;
        let request = self.shared.client().head_object();
        let request = request
            .bucket(&self.shared.settings.bucket)
            .key(self.shared.full(key))
            .version_id(id);
        let head = self.shared.call(HEAD, key, request.send())?;
        Ok(VersionHead {
            meta: self.shared.meta(HEAD, key, &head)?,
            lock: self.shared.lock_state(key, id, &head),
            legal_hold: lock::legal_hold(&head),
        })
    }

    fn delete_version(&self, key: &str, id: &str, bypass: Bypass) -> Result<(), StoreError> {
        readable(&self.shared.name, DELETE, key)?;
        let request = self.shared.client().delete_object();
        let request = request
            .bucket(&self.shared.settings.bucket)
            .key(self.shared.full(key))
            .version_id(id)
            .set_bypass_governance_retention(header(bypass));
        match self.shared.call(DELETE, key, request.send()) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }

    fn set_lock(&self, key: &str, id: &str, lock: Lock, bypass: Bypass) -> Result<(), StoreError> {
        writable(&self.shared.name, LOCK, key)?;
        let request = self.shared.client().put_object_retention();
        let request = request
            .bucket(&self.shared.settings.bucket)
            .key(self.shared.full(key))
            .version_id(id)
            .retention(lock::retention_of(lock))
            .set_bypass_governance_retention(header(bypass));
        self.shared.call(LOCK, key, request.send()).map(|_| ())
    }

    fn bucket_rules(&self) -> Result<BucketRules, StoreError> {
        Ok(BucketRules {
            versioning: self.shared.versioning()?,
            object_lock: self.shared.object_lock()?,
        })
    }
}

/// The header is left out rather than false: some stores take its presence for a yes.
fn header(bypass: Bypass) -> Option<bool> {
    (bypass == Bypass::Governance).then_some(true)
}

impl S3Store {
    fn which<'a>(
        &self,
        action: &'static str,
        key: &'a str,
        id: &'a str,
    ) -> Result<Which<'a>, StoreError> {
        Ok(Which {
            key: readable(&self.shared.name, action, key)?,
            version: Some(id),
        })
    }
}

impl Shared {
    fn list_versions(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if self.settings.temporary.is_some() {
            // R2 keeps none; its temporary credentials might be told so as a denial.
            return Err(self.error(StoreErrorKind::Unsupported, LIST, prefix));
        }
        let base = self.full("");
        let mut after = (start_after.map(|key| self.full(key)), None);
        loop {
            let request = self
                .client()
                .list_object_versions()
                .bucket(&self.settings.bucket)
                .prefix(self.full(prefix))
                .set_key_marker(after.0.take())
                .set_version_id_marker(after.1.take());
            let page = self.call(LIST, prefix, request.send())?;
            for version in sorted(&page, &base) {
                if visit(version).is_break() {
                    return Ok(());
                }
            }
            after = (
                page.next_key_marker().map(str::to_owned),
                page.next_version_id_marker().map(str::to_owned),
            );
            if after.0.is_none() || page.is_truncated() != Some(true) {
                return Ok(());
            }
        }
    }
}

/// The SDK hands versions and delete markers over apart; the sort is stable, so that versions of
/// the same moment keep the store's order.
fn sorted(page: &ListObjectVersionsOutput, base: &str) -> Vec<Version> {
    let written = page.versions().iter();
    let markers = page.delete_markers().iter();
    let mut listed: Vec<(Version, DateTime)> = written
        .filter_map(|one| version(one, base))
        .chain(markers.filter_map(|one| marker(one, base)))
        .collect();
    listed.sort_by(|(a, at_a), (b, at_b)| {
        a.key
            .cmp(&b.key)
            .then(b.is_latest.cmp(&a.is_latest))
            .then(at_b.as_nanos().cmp(&at_a.as_nanos()))
    });
    listed.into_iter().map(|(version, _)| version).collect()
}

fn version(listed: &ObjectVersion, base: &str) -> Option<(Version, DateTime)> {
    let content = VersionContent::Bytes {
        size: listed.size().and_then(|size| u64::try_from(size).ok())?,
        etag: listed.e_tag().map(unquoted),
    };
    told(
        (listed.key(), listed.version_id()),
        (listed.is_latest(), listed.last_modified()),
        content,
        base,
    )
}

fn marker(listed: &DeleteMarkerEntry, base: &str) -> Option<(Version, DateTime)> {
    told(
        (listed.key(), listed.version_id()),
        (listed.is_latest(), listed.last_modified()),
        VersionContent::DeleteMarker,
        base,
    )
}

/// What no key can name is not listed, as in a listing of objects.
fn told(
    (key, id): (Option<&str>, Option<&str>),
    (is_latest, modified): (Option<bool>, Option<&DateTime>),
    content: VersionContent,
    base: &str,
) -> Option<(Version, DateTime)> {
    let key = key?.strip_prefix(base)?;
    Key::to_read(key).ok()?;
    let modified = *modified?;
    let version = Version {
        key: key.to_owned(),
        id: id?.to_owned(),
        is_latest: is_latest.unwrap_or(false),
        modified: UtcTime::from_unix(modified.secs()),
        content,
    };
    Some((version, modified))
}
