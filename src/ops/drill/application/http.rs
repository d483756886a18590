//! HTTP to a Databasus nearby: no redirect is followed, no proxy asked, no TLS spoken, and nothing
//! waits for ever.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use ureq::http::header::AUTHORIZATION;
use ureq::{Agent, Body, http::Response};

use crate::databasus::api::{AdminToken, Call, Method};

use super::trouble::CallError;

/// To be connected.
const CONNECT: Duration = Duration::from_secs(5);

/// Until an answer begins: Databasus reads the storage before it answers with a backup.
const BEGIN: Duration = Duration::from_secs(60);

/// Until the next bytes of it.
const STALL: Duration = Duration::from_secs(30);

/// Largest header that is read, in bytes.
const HEADER: usize = 16 << 10;

/// A connection's settings, and where it leads.
pub(super) struct Http {
    agent: Agent,
    to: SocketAddr,
}

/// An answer whose body is still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Box<dyn Read>,
}

impl Http {
    pub(super) fn new(to: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEADER)
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(STALL))
            .timeout_recv_response(Some(BEGIN))
            .timeout_per_read(Some(STALL))
            .user_agent(concat!("databasus-escrow/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: Agent::new_with_config(config),
            to,
        }
    }

    /// Makes a call. Whatever the status, there is an answer.
    pub(super) fn send(
        &self,
        call: &Call<'_>,
        admin: Option<&AdminToken>,
    ) -> Result<Answer, CallError> {
        let url = format!("http://{}{}", self.to, call.path());
        let bearer = admin.map(|token| format!("Bearer {}", token.expose()));
        let bearer = bearer.map(zeroize::Zeroizing::new);
        let answered = match call.method() {
            Method::Get => {
                let request = self.agent.get(&url);
                match &bearer {
                    Some(bearer) => request.header(AUTHORIZATION, bearer.as_str()).call(),
                    None => request.call(),
                }
            }
            Method::Post => {
                let request = self.agent.post(&url);
                match &bearer {
                    Some(bearer) => request.header(AUTHORIZATION, bearer.as_str()).send_empty(),
                    None => request.send_empty(),
                }
            }
        };
        answered.map(answer).map_err(|error| CallError::Silent {
            what: call.words(),
            source: std::io::Error::other(error),
        })
    }
}

fn answer(response: Response<Body>) -> Answer {
    Answer {
        status: response.status().as_u16(),
        body: Box::new(response.into_body().into_reader()),
    }
}
