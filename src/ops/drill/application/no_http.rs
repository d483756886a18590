//! A build without a network stack.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use crate::databasus::api::{AdminToken, Call};

use super::trouble::CallError;

/// Is never needed.
pub(super) struct Patience;

impl Patience {
    pub(super) const USUAL: Self = Self;
}

/// Speaks to nobody.
pub(super) struct Http;

/// Never given.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Box<dyn Read>,
}

impl Http {
    pub(super) fn new(_: SocketAddr, _: Patience) -> Self {
        Self
    }

    pub(super) fn send(
        &self,
        call: &Call<'_>,
        _: Option<&AdminToken>,
        _: Duration,
    ) -> Result<Answer, CallError> {
        Err(CallError::Silent {
            what: call.words(),
            source: io::Error::new(ErrorKind::Unsupported, "this build has no network stack"),
        })
    }
}
