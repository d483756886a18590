//! Listing: pages of a thousand keys, in order; and uploads that have not ended.

use std::ops::ControlFlow;

use aws_sdk_s3::types::{MultipartUpload, Object as Listed};

use super::{Shared, unquoted};
use crate::base::time::UtcTime;
use crate::store::key::Key;
use crate::store::{LIST_UPLOADS, ObjectMeta, StoreError, UnfinishedUpload, UploadTicket};

impl Shared {
    pub(super) fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let base = self.full("");
        let mut token = None;
        loop {
            let request = self
                .client()
                .list_objects_v2()
                .bucket(&self.settings.bucket)
                .prefix(self.full(prefix))
                .set_start_after(start_after.map(|key| self.full(key)))
                .set_continuation_token(token);
            let page = self.call("list", prefix, request.send())?;
            for meta in sorted(page.contents(), &base) {
                if visit(meta).is_break() {
                    return Ok(());
                }
            }
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() || page.is_truncated() != Some(true) {
                return Ok(());
            }
        }
    }
}

impl Shared {
    pub(super) fn list_uploads(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(UnfinishedUpload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let base = self.full("");
        let mut after: (Option<String>, Option<String>) = (None, None);
        loop {
            let request = self
                .client()
                .list_multipart_uploads()
                .bucket(&self.settings.bucket)
                .prefix(self.full(prefix))
                .set_key_marker(after.0.take())
                .set_upload_id_marker(after.1.take());
            let page = self.call(LIST_UPLOADS, prefix, request.send())?;
            for upload in page.uploads().iter().filter_map(|u| unfinished(u, &base)) {
                if visit(upload).is_break() {
                    return Ok(());
                }
            }
            after = (
                page.next_key_marker().map(str::to_owned),
                page.next_upload_id_marker().map(str::to_owned),
            );
            if after.0.is_none() || page.is_truncated() != Some(true) {
                return Ok(());
            }
        }
    }
}

/// An upload without a date is left alone: it may be one that is under way.
fn unfinished(listed: &MultipartUpload, base: &str) -> Option<UnfinishedUpload> {
    let key = listed.key()?.strip_prefix(base)?;
    Key::to_read(key).ok()?;
    Some(UnfinishedUpload {
        ticket: UploadTicket {
            key: key.to_owned(),
            upload_id: listed.upload_id()?.to_owned(),
        },
        since: UtcTime::from_unix(listed.initiated()?.secs()),
    })
}

/// Sorted again, since SeaweedFS lists `a/b` before `a.c`.
fn sorted(page: &[Listed], base: &str) -> Vec<ObjectMeta> {
    let mut metas: Vec<_> = page.iter().filter_map(|o| meta(o, base)).collect();
    metas.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    metas
}

/// What no key can name is not listed: folder markers of web consoles, above all.
fn meta(listed: &Listed, base: &str) -> Option<ObjectMeta> {
    let key = listed.key()?.strip_prefix(base)?;
    Key::to_read(key).ok()?;
    Some(ObjectMeta {
        key: key.to_owned(),
        size: listed.size().and_then(|size| u64::try_from(size).ok())?,
        etag: listed.e_tag().map(unquoted),
        version_id: None,
    })
}
