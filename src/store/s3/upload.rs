//! Multipart uploads: equal parts, each with its MD5, joined only where the key is free.

use std::sync::Arc;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadError;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder as Completion;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use md5::{Digest as _, Md5};

use super::failure::Failure;
use super::{Shared, content_md5, unquoted};
use crate::model::lock::Lock;
use crate::store::key::{Key, writable};
use crate::store::parts::{PartTable, PartsError};
use crate::store::{ObjectMeta, Part, StoreError, StoreErrorKind, Upload, UploadTicket};

const COMPLETE: &str = "complete";
const PUT_PART: &str = "put part of";

pub(super) struct S3Upload {
    shared: Arc<Shared>,
    ticket: UploadTicket,
    parts: PartTable<PutPart>,
}

/// What completing needs to know of a part.
#[derive(Clone)]
struct PutPart {
    number: i32,
    etag: Option<String>,
    md5: [u8; 16],
}

impl S3Upload {
    pub(super) fn start(
        shared: Arc<Shared>,
        key: Key<'_>,
        part_size: u64,
        lock: Option<Lock>,
    ) -> Result<Self, StoreError> {
        let request = shared.client().create_multipart_upload();
        // The lock applies to the object that is joined in the end.
        let request = request
            .bucket(&shared.settings.bucket)
            .key(shared.full(key.as_str()))
            .set_object_lock_mode(lock.map(super::lock::mode_of))
            .set_object_lock_retain_until_date(lock.map(super::lock::date_of));
        let created = shared.call("upload", key.as_str(), request.send())?;
        let Some(upload_id) = created.upload_id() else {
            let error = shared.error(StoreErrorKind::Unexpected, "upload", key.as_str());
            return Err(error.caused_by("the store gave the upload no id"));
        };
        Ok(Self {
            ticket: UploadTicket {
                key: key.as_str().to_owned(),
                upload_id: upload_id.to_owned(),
            },
            shared,
            parts: PartTable::new(part_size),
        })
    }

    fn bad(&self, action: &'static str, why: PartsError) -> StoreError {
        self.shared
            .error(StoreErrorKind::Unexpected, action, &self.ticket.key)
            .caused_by(why)
    }

    fn join(&self) -> Result<ObjectMeta, StoreError> {
        let key = writable(&self.shared.name, COMPLETE, &self.ticket.key)?;
        let (size, parts) = self.parts.whole().map_err(|why| self.bad(COMPLETE, why))?;
        let completion = self.completion(&parts);
        let mut answer = self.send(completion.clone().if_none_match("*"))?;
        if answer.as_ref().is_err_and(lacks_the_condition) {
            self.refuse_existing(key)?;
            answer = self.send(completion)?;
        }
        match answer {
            Ok(meta) => Ok(ObjectMeta { size, ..meta }),
            Err(error) => self.find_own(key, size, &joined_etag(&parts), Failure::of(&error)),
        }
    }

    fn completion(&self, parts: &[PutPart]) -> Completion {
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number)
                .set_e_tag(part.etag.clone())
                .build()
        });
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts.collect()));
        let request = self.shared.client().complete_multipart_upload();
        request
            .bucket(&self.shared.settings.bucket)
            .key(self.shared.full(&self.ticket.key))
            .upload_id(&self.ticket.upload_id)
            .multipart_upload(upload.build())
    }

    #[allow(
        clippy::type_complexity,
        reason = "both failures are told apart by the only caller"
    )]
    fn send(
        &self,
        completion: Completion,
    ) -> Result<Result<ObjectMeta, SdkError<CompleteMultipartUploadError, HttpResponse>>, StoreError>
    {
        let request = completion
            .customize()
            .config_override(self.shared.patience.transfer_config());
        let answer = self
            .shared
            .run(COMPLETE, &self.ticket.key, request.send())?;
        let failure = answer.as_ref().err().map(Failure::of);
        self.shared.note(failure.as_ref());
        Ok(answer.map(|done| ObjectMeta {
            key: self.ticket.key.clone(),
            size: 0,
            etag: done.e_tag().map(unquoted),
            version_id: done.version_id().map(str::to_owned),
        }))
    }

    /// Stands in for the condition where a store does not know it. Not free of races, which
    /// only a key that nobody can guess makes up for.
    fn refuse_existing(&self, key: Key<'_>) -> Result<(), StoreError> {
        match self.shared.head(key) {
            Ok(_) => Err(self
                .shared
                .error(StoreErrorKind::AlreadyExists, COMPLETE, key.as_str())),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A completion whose answer got lost fails when it is sent again. What then lies at the
    /// key is this upload's own object if it consists of the same parts.
    fn find_own(
        &self,
        key: Key<'_>,
        size: u64,
        etag: &str,
        failure: Failure,
    ) -> Result<ObjectMeta, StoreError> {
        use StoreErrorKind::{AlreadyExists, NotFound, Transient};
        if matches!(failure.kind, AlreadyExists | NotFound | Transient)
            && let Ok(meta) = self.shared.head(key)
            && meta.size == size
            && meta.etag.as_deref() == Some(etag)
        {
            return Ok(meta);
        }
        Err(self.shared.failed(COMPLETE, key.as_str(), failure))
    }
}

/// Some stores answer 400 or 501 to a condition they do not know here.
fn lacks_the_condition(error: &SdkError<CompleteMultipartUploadError, HttpResponse>) -> bool {
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    matches!(status, Some(400 | 501))
}

/// The entity tag that S3 gives an object made of parts: MD5 of the parts' MD5s, and their
/// number (documented by R2; AWS and others do the same where no KMS key is involved).
fn joined_etag(parts: &[PutPart]) -> String {
    let mut md5 = Md5::new();
    parts.iter().for_each(|part| md5.update(part.md5));
    format!("{}-{}", hex::encode(md5.finalize()), parts.len())
}

impl Upload for S3Upload {
    fn ticket(&self) -> UploadTicket {
        self.ticket.clone()
    }

    fn put_part(&self, part: &Part) -> Result<(), StoreError> {
        self.parts
            .offset(part)
            .map_err(|why| self.bad(PUT_PART, why))?;
        let number = i32::try_from(part.number)
            .map_err(|_| self.bad(PUT_PART, PartsError::Number(part.number)))?;
        let request = self.shared.client().upload_part();
        let request = request
            .bucket(&self.shared.settings.bucket)
            .key(self.shared.full(&self.ticket.key))
            .upload_id(&self.ticket.upload_id)
            .part_number(number)
            .content_md5(content_md5(&part.md5))
            .body(ByteStream::from(part.bytes.clone()))
            .customize()
            .config_override(self.shared.patience.transfer_config());
        let put = self
            .shared
            .call(PUT_PART, &self.ticket.key, request.send())?;
        let kept = PutPart {
            number,
            etag: put.e_tag().map(str::to_owned),
            md5: part.md5,
        };
        self.parts.record(part, kept);
        Ok(())
    }

    fn complete(self: Box<Self>) -> Result<ObjectMeta, StoreError> {
        self.join().inspect_err(|_| {
            if let Err(error) = self.shared.abort(&self.ticket) {
                tracing::warn!(%error, "an upload is left behind");
            }
        })
    }

    fn abort(self: Box<Self>) -> Result<(), StoreError> {
        self.shared.abort(&self.ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_etag_is_the_md5_of_the_parts_md5s() {
        // `printf a | openssl md5 -binary`, twice, `| openssl md5`.
        let part = PutPart {
            number: 1,
            etag: None,
            md5: Md5::digest(b"a").into(),
        };
        assert_eq!(
            joined_etag(&[part.clone(), part]),
            "7b3c799ee8b11a11c798c8b41bed8502-2"
        );
    }
}
