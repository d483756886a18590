//! What an S3 service, or the way to it, said, and what a caller can do about it.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::base::text::printable;
use crate::store::StoreErrorKind;

/// A request that failed.
pub(super) struct Failure {
    pub(super) kind: StoreErrorKind,
    pub(super) answer: Answer,
}

/// What came back, in words: never the request, which is signed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Answer(String);

impl Failure {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|raw| raw.status().as_u16());
        match error {
            SdkError::ServiceError(_) => Self {
                kind: kind_of(error.code(), status.unwrap_or(0)),
                answer: service_answer(status, error.code(), error.message()),
            },
            SdkError::ConstructionFailure(_) => Self::because(StoreErrorKind::Unexpected, error),
            SdkError::DispatchFailure(failure) if failure.is_user() => {
                Self::because(StoreErrorKind::Unexpected, error)
            }
            _ => Self::because(StoreErrorKind::Transient, error),
        }
    }

    /// A call that took too long.
    pub(super) fn timeout(elapsed: tokio::time::error::Elapsed) -> Self {
        Self::because(StoreErrorKind::Transient, &elapsed)
    }

    /// A failure below HTTP.
    pub(super) fn because(kind: StoreErrorKind, error: &dyn Error) -> Self {
        let mut words = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            words = format!("{words}: {cause}");
            next = cause.source();
        }
        Self {
            kind,
            answer: Answer(printable(&words).into_owned()),
        }
    }
}

fn service_answer(status: Option<u16>, code: Option<&str>, message: Option<&str>) -> Answer {
    let status = status.map(|status| status.to_string());
    let words: Vec<&str> = [status.as_deref(), code, message]
        .into_iter()
        .flatten()
        .collect();
    Answer(printable(&words.join(" ")).into_owned())
}

/// By the service's code where it is one of S3's, else by the HTTP status (a HEAD's answer
/// has no body, and foreign implementations invent codes).
fn kind_of(code: Option<&str>, status: u16) -> StoreErrorKind {
    use StoreErrorKind as Kind;
    match code.unwrap_or("") {
        "PreconditionFailed" | "ConditionalRequestConflict" => Kind::AlreadyExists,
        "NoSuchBucket" => Kind::NoSuchStore,
        "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" | "NotFound" => Kind::NotFound,
        "AccessDenied" | "AccountProblem" | "AllAccessDisabled" => Kind::Denied,
        "ExpiredToken"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "NotSignedUp"
        | "SignatureDoesNotMatch"
        | "Unauthorized" => Kind::UnknownCredentials,
        "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "InvalidRegionName"
        | "PermanentRedirect"
        | "TemporaryRedirect" => Kind::Misdirected,
        "RequestTimeTooSkewed" | "RequestInTheFuture" => Kind::ClockSkew,
        "InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull" => Kind::OutOfSpace,
        "OperationAborted" | "RequestTimeout" | "SlowDown" => Kind::Transient,
        "NotImplemented" | "MethodNotAllowed" => Kind::Unsupported,
        _ => match status {
            301 | 307 => Kind::Misdirected,
            401 => Kind::UnknownCredentials,
            403 => Kind::Denied,
            404 => Kind::NotFound,
            412 => Kind::AlreadyExists,
            405 | 501 => Kind::Unsupported,
            507 => Kind::OutOfSpace,
            408 | 425 | 429 | 500..=599 => Kind::Transient,
            _ => Kind::Unexpected,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind as Kind;

    #[test]
    fn code_decides_before_the_status() {
        for (code, status, kind) in [
            ("PreconditionFailed", 412, Kind::AlreadyExists),
            ("ConditionalRequestConflict", 409, Kind::AlreadyExists),
            ("OperationAborted", 409, Kind::Transient),
            ("NoSuchBucket", 404, Kind::NoSuchStore),
            ("NoSuchKey", 404, Kind::NotFound),
            ("RequestTimeTooSkewed", 403, Kind::ClockSkew),
            ("AccessDenied", 403, Kind::Denied),
            ("InvalidAccessKeyId", 403, Kind::UnknownCredentials),
            ("SignatureDoesNotMatch", 403, Kind::UnknownCredentials),
            ("ExpiredToken", 400, Kind::UnknownCredentials),
            ("NotImplemented", 501, Kind::Unsupported),
            ("MethodNotAllowed", 405, Kind::Unsupported),
            ("PermanentRedirect", 301, Kind::Misdirected),
            ("AuthorizationHeaderMalformed", 400, Kind::Misdirected),
            ("InvalidArgument", 400, Kind::Unexpected),
        ] {
            assert_eq!(kind_of(Some(code), status), kind, "{status} {code}");
        }
    }

    #[test]
    fn status_decides_where_there_is_no_code() {
        for (status, kind) in [
            (301, Kind::Misdirected),
            (401, Kind::UnknownCredentials),
            (403, Kind::Denied),
            (404, Kind::NotFound),
            (409, Kind::Unexpected),
            (412, Kind::AlreadyExists),
            (429, Kind::Transient),
            (503, Kind::Transient),
            (507, Kind::OutOfSpace),
        ] {
            assert_eq!(kind_of(None, status), kind, "{status}");
        }
    }

    #[test]
    fn answer_is_harmless_on_a_terminal() {
        let answer = service_answer(Some(403), Some("AccessDenied"), Some("no\u{1b}[2J"));
        assert_eq!(answer.to_string(), "403 AccessDenied no\\u{1b}[2J");
    }
}
