//! Listing: pages of a thousand keys, in order.

use std::ops::ControlFlow;

use aws_sdk_s3::types::Object as Listed;

use super::{Shared, unquoted};
use crate::store::key::Key;
use crate::store::{ObjectMeta, StoreError};

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
