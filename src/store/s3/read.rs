//! Reading objects: bounded before the first byte, exact after the last.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use bytes::{Bytes, BytesMut};

use super::failure::Failure;
use super::worker::Worker;
use super::{Shared, unquoted};
use crate::store::key::Key;
use crate::store::{Object, StoreError, StoreErrorKind};

pub(super) const GET_RANGE: &str = "get range of";

/// How often a body that broke off is asked for again; the SDK retries only until the answer's
/// headers are there.
const BODY_ATTEMPTS: u32 = 4;

/// Why a body did not arrive.
enum Broken {
    /// Larger than the caller allows.
    TooLarge,
    /// Not the bytes that were asked for.
    WrongLength,
    /// Anything else.
    Failed(Failure),
}

/// What is read: the current version of an object, or one of its own.
#[derive(Clone, Copy)]
pub(super) struct Which<'a> {
    pub(super) key: Key<'a>,
    pub(super) version: Option<&'a str>,
}

impl<'a> From<Key<'a>> for Which<'a> {
    fn from(key: Key<'a>) -> Self {
        Self { key, version: None }
    }
}

/// How many bytes an answer may have.
#[derive(Clone, Copy)]
enum Expect {
    AtMost(u64),
    Exactly(u64),
}

impl Shared {
    pub(super) fn get(
        &self,
        action: &'static str,
        which: Which<'_>,
        max_bytes: u64,
    ) -> Result<Object, StoreError> {
        let (answer, bytes) = self.read(action, which, None, Expect::AtMost(max_bytes))?;
        Ok(Object {
            bytes: bytes.into(),
            etag: answer.e_tag().map(unquoted).unwrap_or_default(),
            version_id: answer.version_id().map(str::to_owned),
        })
    }

    /// `size` tells how large the object is, where nothing else can: HTTP cannot ask for no
    /// bytes.
    pub(super) fn get_range(
        &self,
        action: &'static str,
        which: Which<'_>,
        range: Range<u64>,
        size: impl FnOnce() -> Result<u64, StoreError>,
    ) -> Result<Bytes, StoreError> {
        if range.start >= range.end {
            return match range.start == range.end && range.end <= size()? {
                true => Ok(Bytes::new()),
                false => Err(self.broken(action, which.key, Broken::WrongLength)),
            };
        }
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let expect = Expect::Exactly(range.end - range.start);
        let (_, bytes) = self.read(action, which, Some(header), expect)?;
        Ok(bytes)
    }

    fn read(
        &self,
        action: &'static str,
        which: Which<'_>,
        range: Option<String>,
        expect: Expect,
    ) -> Result<(GetObjectOutput, Bytes), StoreError> {
        let key = which.key;
        let request = self
            .client()
            .get_object()
            .bucket(&self.settings.bucket)
            .key(self.full(key.as_str()))
            .set_version_id(which.version.map(str::to_owned))
            .set_range(range);
        let answer = self.run(action, key.as_str(), read_patiently(request, expect))?;
        self.note(match &answer {
            Err(Broken::Failed(failure)) => Some(failure),
            _ => None,
        });
        answer.map_err(|broken| self.broken(action, key, broken))
    }

    fn broken(&self, action: &'static str, key: Key<'_>, broken: Broken) -> StoreError {
        let key = key.as_str();
        match broken {
            Broken::TooLarge => self.error(StoreErrorKind::TooLarge, action, key),
            Broken::WrongLength => self
                .error(StoreErrorKind::Unexpected, action, key)
                .caused_by("the range lies outside of the object, or the store ignores ranges"),
            Broken::Failed(failure) => self.failed(action, key, failure),
        }
    }
}

async fn read_patiently(
    request: GetObjectFluentBuilder,
    expect: Expect,
) -> Result<(GetObjectOutput, Bytes), Broken> {
    let mut attempt = 1;
    loop {
        let sent = request.clone().send().await;
        let answer = sent.map_err(|error| Broken::Failed(Failure::of(&error)))?;
        match body(answer, expect).await {
            Err(Broken::Failed(failure)) if attempt < BODY_ATTEMPTS => {
                tracing::debug!(attempt, answer = %failure.answer, "a body broke off");
                Worker::pause(Duration::from_secs(1 << attempt)).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn body(
    mut answer: GetObjectOutput,
    expect: Expect,
) -> Result<(GetObjectOutput, Bytes), Broken> {
    let announced = answer
        .content_length()
        .and_then(|len| u64::try_from(len).ok());
    if let Some(announced) = announced {
        expect.allows(announced)?;
    }
    // Grown piece by piece, a part would take up twice its size.
    let size = announced.and_then(|len| usize::try_from(len).ok());
    let mut bytes = BytesMut::with_capacity(size.unwrap_or(0));
    while let Some(chunk) = answer.body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| {
            Broken::Failed(Failure::because(StoreErrorKind::Transient, &error))
        })?);
        expect.bounds(bytes.len() as u64)?;
    }
    expect.allows(bytes.len() as u64)?;
    Ok((answer, bytes.freeze()))
}

impl Expect {
    /// Whether a body of this length is what was asked for.
    fn allows(self, len: u64) -> Result<(), Broken> {
        match self {
            Self::Exactly(exact) if len != exact => Err(Broken::WrongLength),
            _ => self.bounds(len),
        }
    }

    /// Whether a body may have reached this length on its way.
    fn bounds(self, len: u64) -> Result<(), Broken> {
        match self {
            Self::AtMost(max) if len > max => Err(Broken::TooLarge),
            Self::Exactly(exact) if len > exact => Err(Broken::WrongLength),
            _ => Ok(()),
        }
    }
}
