//! A store in an S3 bucket: AWS, Cloudflare R2, and whatever else speaks the protocol.
//!
//! The AWS SDK is asynchronous; this module alone knows. Each store owns a small runtime, and
//! every call blocks its thread until the answer is there, the SDK has given up retrying, or
//! the run is told to stop. Methods may be called from several threads at once, but never from
//! inside of another runtime's tasks.

use std::future::Future;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::key::{Key, readable, writable};
use super::versions::Versions;
use super::{
    Object, ObjectMeta, Store, StoreError, StoreErrorKind, UnfinishedUpload, Upload, UploadTicket,
};
use crate::base::cancel::Cancel;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::lock::Lock;

mod failure;
mod list;
mod lock;
mod read;
mod settings;
mod temporary;
mod upload;
mod versions;
mod worker;

pub use settings::{Patience, S3Settings};
pub use temporary::Temporary;

use failure::Failure;
use upload::S3Upload;
use worker::Worker;

/// A bucket, or a prefix in one, that holds escrows.
pub struct S3Store {
    shared: Arc<Shared>,
    /// What it writes is locked so; none where it is not.
    lock: Option<Lock>,
}

/// What a store and its uploads have in common.
struct Shared {
    name: StoreName,
    settings: S3Settings,
    patience: Patience,
    patient: Client,
    brief: Client,
    /// Whether the last call was given up.
    given_up: AtomicBool,
    worker: Worker,
}

impl S3Store {
    /// Prepares a store; nothing is sent before the first call.
    pub fn open(name: StoreName, settings: S3Settings, cancel: Cancel) -> Result<Self, StoreError> {
        Self::open_with(name, settings, Patience::default(), cancel)
    }

    /// Prepares a store that gives up sooner, or later, than the usual one.
    pub fn open_with(
        name: StoreName,
        settings: S3Settings,
        patience: Patience,
        cancel: Cancel,
    ) -> Result<Self, StoreError> {
        let fail = |why: Box<dyn std::error::Error + Send + Sync>| {
            StoreError::new(&name, StoreErrorKind::Unexpected, "open", &settings.bucket)
                .caused_by(why)
        };
        settings.check().map_err(|why| fail(why.into()))?;
        let worker = Worker::start(cancel).map_err(|why| fail(why.into()))?;
        let client = |patience: &Patience| {
            let client = settings.client(&name, patience);
            client.map_err(|why| fail(why.into()))
        };
        let (patient, brief) = (client(&patience)?, client(&Patience::brief())?);
        Ok(Self {
            shared: Arc::new(Shared {
                name,
                settings,
                patience,
                patient,
                brief,
                given_up: AtomicBool::new(false),
                worker,
            }),
            lock: None,
        })
    }
}

impl S3Store {
    fn put(
        &self,
        action: &'static str,
        key: &str,
        bytes: &[u8],
        condition: Condition<'_>,
    ) -> Result<ObjectMeta, StoreError> {
        writable(&self.shared.name, action, key)?;
        let request = self.shared.client().put_object();
        let request = request
            .bucket(&self.shared.settings.bucket)
            .key(self.shared.full(key))
            // A bucket with locks refuses what comes without a digest.
            .content_md5(content_md5(&Md5::digest(bytes).into()))
            .set_object_lock_mode(self.lock.map(lock::mode_of))
            .set_object_lock_retain_until_date(self.lock.map(lock::date_of))
            .body(ByteStream::from(bytes.to_vec()));
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(etag) => request.if_match(format!("\"{etag}\"")),
        };
        let put = self.shared.call(action, key, request.send())?;
        Ok(ObjectMeta {
            key: key.to_owned(),
            size: bytes.len() as u64,
            etag: put.e_tag().map(unquoted),
            version_id: put.version_id().map(str::to_owned),
        })
    }
}

impl Shared {
    /// A store that was waited for in vain is not waited for as long again until it answers:
    /// one that is down must not hold up, call by call, a run that other stores are enough for.
    fn client(&self) -> &Client {
        match self.given_up.load(Ordering::Relaxed) {
            true => &self.brief,
            false => &self.patient,
        }
    }

    /// Remembers how the last call ended.
    fn note(&self, failure: Option<&Failure>) {
        let given_up = failure.is_some_and(|failure| failure.kind == StoreErrorKind::Transient);
        self.given_up.store(given_up, Ordering::Relaxed);
    }

    /// A key, or the beginning of one, as the bucket knows it.
    fn full(&self, key: &str) -> String {
        match self.settings.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    fn error(&self, kind: StoreErrorKind, action: &'static str, key: &str) -> StoreError {
        StoreError::new(&self.name, kind, action, key)
    }

    fn failed(&self, action: &'static str, key: &str, failure: Failure) -> StoreError {
        self.error(failure.kind, action, key)
            .caused_by(failure.answer)
    }

    /// Runs something of this store's to its end, or until the run is told to stop.
    fn run<F: Future>(
        &self,
        action: &'static str,
        key: &str,
        future: F,
    ) -> Result<F::Output, StoreError> {
        self.worker.run(future).map_err(|interrupted| {
            self.error(StoreErrorKind::Interrupted, action, key)
                .caused_by(interrupted)
        })
    }

    /// Sends one request, which the SDK retries on its own.
    fn call<T, E>(
        &self,
        action: &'static str,
        key: &str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let answer = self.run(action, key, request)?;
        let answer = answer.map_err(|error| Failure::of(&error));
        self.note(answer.as_ref().err());
        answer.map_err(|failure| self.failed(action, key, failure))
    }

    fn head(&self, key: Key<'_>) -> Result<ObjectMeta, StoreError> {
        let head = self.head_object(key)?;
        self.meta("head", key.as_str(), &head)
    }

    fn head_object(&self, key: Key<'_>) -> Result<HeadObjectOutput, StoreError> {
        let key = key.as_str();
        let request = self.client().head_object();
        let request = request.bucket(&self.settings.bucket).key(self.full(key));
        self.call("head", key, request.send())
    }

    fn meta(
        &self,
        action: &'static str,
        key: &str,
        head: &HeadObjectOutput,
    ) -> Result<ObjectMeta, StoreError> {
        let size = head.content_length();
        let size = size.and_then(|len| u64::try_from(len).ok());
        Ok(ObjectMeta {
            key: key.to_owned(),
            size: size.ok_or_else(|| {
                self.error(StoreErrorKind::Unexpected, action, key)
                    .caused_by("the store does not say how large the object is")
            })?,
            etag: head.e_tag().map(unquoted),
            version_id: head.version_id().map(str::to_owned),
        })
    }

    fn abort(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        const ACTION: &str = "abort upload of";
        let request = self.client().abort_multipart_upload();
        let request = request
            .bucket(&self.settings.bucket)
            .key(self.full(&ticket.key))
            .upload_id(&ticket.upload_id);
        let answer = self.worker.run_regardless(request.send());
        let failure = match answer {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => Failure::of(&error),
            Err(elapsed) => Failure::timeout(elapsed),
        };
        match failure.kind {
            StoreErrorKind::NotFound => Ok(()),
            _ => Err(self.failed(ACTION, &ticket.key, failure)),
        }
    }
}

/// What must hold for a write to happen.
enum Condition<'a> {
    Absent,
    Unchanged(&'a str),
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn content_md5(md5: &[u8; 16]) -> String {
    BASE64.encode(md5)
}

impl Store for S3Store {
    fn name(&self) -> &StoreName {
        &self.shared.name
    }

    fn location(&self) -> String {
        self.shared.settings.location()
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<ObjectMeta, StoreError> {
        self.put("put", key, bytes, Condition::Absent)
    }

    fn replace(&self, key: &str, bytes: &[u8], etag: &str) -> Result<ObjectMeta, StoreError> {
        self.put("replace", key, bytes, Condition::Unchanged(etag))
    }

    fn get(&self, key: &str, max_bytes: u64) -> Result<Object, StoreError> {
        let key = readable(&self.shared.name, "get", key)?;
        self.shared.get("get", key.into(), max_bytes)
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let key = readable(&self.shared.name, read::GET_RANGE, key)?;
        let size = || Ok(self.shared.head(key)?.size);
        self.shared
            .get_range(read::GET_RANGE, key.into(), range, size)
    }

    fn head(&self, key: &str) -> Result<ObjectMeta, StoreError> {
        self.shared.head(readable(&self.shared.name, "head", key)?)
    }

    fn modified(&self, key: &str) -> Result<Option<UtcTime>, StoreError> {
        let key = readable(&self.shared.name, "head", key)?;
        let head = self.shared.head_object(key)?;
        let modified = head.last_modified().map(|at| UtcTime::from_unix(at.secs()));
        Ok(modified)
    }

    fn list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        visit: &mut dyn FnMut(ObjectMeta) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.shared.list(prefix, start_after, visit)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        readable(&self.shared.name, "delete", key)?;
        let request = self.shared.client().delete_object();
        let request = request
            .bucket(&self.shared.settings.bucket)
            .key(self.shared.full(key));
        match self.shared.call("delete", key, request.send()) {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }

    fn start_upload(&self, key: &str, part_size: u64) -> Result<Box<dyn Upload>, StoreError> {
        let key = writable(&self.shared.name, "upload", key)?;
        let upload = S3Upload::start(Arc::clone(&self.shared), key, part_size, self.lock)?;
        Ok(Box::new(upload))
    }

    fn abort_upload(&self, ticket: &UploadTicket) -> Result<(), StoreError> {
        writable(&self.shared.name, "abort upload of", &ticket.key)?;
        self.shared.abort(ticket)
    }
    fn unfinished_uploads(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(UnfinishedUpload) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.shared.list_uploads(prefix, visit)
    }

    fn locking(&self, lock: Lock) -> Option<Arc<dyn Store>> {
        Some(Arc::new(Self {
            shared: Arc::clone(&self.shared),
            lock: Some(lock),
        }))
    }

    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }
}
