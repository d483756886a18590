//! One blocking connection that speaks PostgreSQL's protocol, version 3.0.
//!
//! A connection opened with `replication=database` accepts replication commands and plain SQL
//! alike, which no client crate offers; the messages themselves are read and written by
//! `postgres-protocol`. There is no password and no TLS on purpose: the only servers this tool
//! talks to are Databasus' own, which trusts its loopback, and its private ones.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{
    DataRowBody, ErrorFields, Header, Message, ParameterStatusBody,
};
use postgres_protocol::message::frontend;

use super::netns::NetnsError;
use super::socket::{ServerAddress, Socket};
use crate::base::cancel::{Cancel, Interrupted};
use crate::base::text::printable;

/// One row of a result, every value in its text form.
pub type Row = Vec<Option<String>>;

/// Asked of the kernel at once. `BASE_BACKUP` sends messages of 32 KiB: fewer system calls than
/// messages.
const CHUNK: usize = 256 << 10;

/// No message this tool asks for is longer; what is longer was not sent by PostgreSQL.
const LONGEST_MESSAGE: i32 = 64 << 20;

/// How long a server may take from the first byte to "ready", the fork of its process included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// A server could not be reached or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// Nothing accepts connections there, or what does never answers.
    #[error("cannot reach PostgreSQL at {address}")]
    Unreachable {
        /// Where it was sought.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server's network namespace could not be entered.
    #[error("cannot reach PostgreSQL at {address}")]
    Namespace {
        /// Where it was sought.
        address: String,
        /// Why not.
        #[source]
        source: Box<NetnsError>,
    },
    /// The server asks for a password or another proof, so it is not configured as Databasus does.
    #[error("PostgreSQL at {0} demands authentication; Databasus' own server trusts its loopback")]
    AuthenticationDemanded(String),
    /// The server refused or failed.
    #[error("PostgreSQL says {severity} {sqlstate}: {message}")]
    Server {
        /// `ERROR`, `FATAL` or `PANIC`.
        severity: String,
        /// Five characters; appendix A of PostgreSQL's manual.
        sqlstate: String,
        /// The server's words, printable.
        message: String,
    },
    /// What came is not what the protocol allows at this point.
    #[error("the server does not speak PostgreSQL's protocol: {0}")]
    Protocol(String),
    /// The cluster keeps data outside of its directory.
    #[error("the cluster has a tablespace of its own at {0}, which Databasus never makes")]
    Tablespace(String),
    /// A signal arrived.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The connection ended too early.
    #[error("PostgreSQL closed the connection")]
    Closed(#[source] io::Error),
}

impl PgError {
    fn is_fatal(&self) -> bool {
        !matches!(self, Self::Server { severity, .. } if severity == "ERROR")
    }
}

/// A session with a server; dropping it ends the session.
pub struct Connection {
    socket: Socket,
    inbox: BytesMut,
    cancel: Cancel,
    deadline: Option<Instant>,
    reported: BTreeMap<String, String>,
}

impl Connection {
    /// Opens a session. `parameters` are those of the startup message: `user`, `database`,
    /// `replication`, and any setting of the session.
    pub fn connect(
        address: &ServerAddress,
        parameters: &[(&str, &str)],
        cancel: &Cancel,
    ) -> Result<Self, PgError> {
        let socket = Socket::open(address).map_err(|source| PgError::Namespace {
            address: address.to_string(),
            source: Box::new(source),
        })?;
        let mut connection = Self {
            socket: socket.map_err(|source| unreachable_at(address, source))?,
            inbox: BytesMut::with_capacity(2 * CHUNK),
            cancel: cancel.clone(),
            deadline: Some(Instant::now() + HANDSHAKE_TIMEOUT),
            reported: BTreeMap::new(),
        };
        match connection.start_session(address, parameters) {
            Err(PgError::Closed(source)) => Err(unreachable_at(address, source)),
            other => other.map(|()| connection),
        }
    }

    fn start_session(
        &mut self,
        address: &ServerAddress,
        parameters: &[(&str, &str)],
    ) -> Result<(), PgError> {
        let all = parameters
            .iter()
            .copied()
            .chain([("client_encoding", "UTF8")]);
        self.send(|buffer| frontend::startup_message(all, buffer))?;
        loop {
            match self.receive()? {
                Message::AuthenticationOk | Message::BackendKeyData(_) => {}
                Message::ReadyForQuery(_) => break,
                Message::AuthenticationCleartextPassword
                | Message::AuthenticationGss
                | Message::AuthenticationKerberosV5
                | Message::AuthenticationMd5Password(_)
                | Message::AuthenticationSasl(_)
                | Message::AuthenticationScmCredential
                | Message::AuthenticationSspi => {
                    return Err(PgError::AuthenticationDemanded(address.to_string()));
                }
                _ => return Err(unexpected("a message out of turn at the start")),
            }
        }
        self.deadline = None;
        Ok(())
    }

    /// A setting that the server reports by itself, such as `server_version`.
    pub fn reported(&self, parameter: &str) -> Option<&str> {
        self.reported.get(parameter).map(String::as_str)
    }

    /// Runs SQL, or a replication command, and returns the rows of all its results in order.
    pub fn simple_query(&mut self, sql: &str) -> Result<Vec<Row>, PgError> {
        self.send_query(sql)?;
        let mut rows = Vec::new();
        loop {
            match self.receive()? {
                Message::DataRow(body) => rows.push(row_of(&body)?),
                Message::ReadyForQuery(_) => return Ok(rows),
                Message::RowDescription(_)
                | Message::CommandComplete(_)
                | Message::EmptyQueryResponse => {}
                _ => return Err(unexpected("a message out of turn in a result")),
            }
        }
    }

    /// Sends a query whose answer the caller takes message by message.
    pub(super) fn send_query(&mut self, sql: &str) -> Result<(), PgError> {
        self.send(|buffer| frontend::query(sql, buffer))
    }

    /// The rows of the one result that comes next.
    pub(super) fn result_set(&mut self) -> Result<Vec<Row>, PgError> {
        let mut rows = Vec::new();
        loop {
            match self.receive()? {
                Message::RowDescription(_) => {}
                Message::DataRow(body) => rows.push(row_of(&body)?),
                Message::CommandComplete(_) => return Ok(rows),
                _ => return Err(unexpected("a message out of turn in a result")),
            }
        }
    }

    /// The next message that is an answer. An error of the server comes as such, after what
    /// follows it up to "ready", so that the session can be used again.
    pub(super) fn receive(&mut self) -> Result<Message, PgError> {
        match self.next_answer()? {
            Message::ErrorResponse(body) => {
                let error = server_error(body.fields())?;
                while !error.is_fatal() {
                    if let Message::ReadyForQuery(_) = self.next_answer()? {
                        break;
                    }
                }
                Err(error)
            }
            answer => Ok(answer),
        }
    }

    fn next_answer(&mut self) -> Result<Message, PgError> {
        loop {
            match self.next_message()? {
                Message::ParameterStatus(body) => self.note_parameter(&body)?,
                Message::NoticeResponse(body) => {
                    tracing::debug!("PostgreSQL notes: {}", server_error(body.fields())?);
                }
                Message::NotificationResponse(_) => {}
                answer => return Ok(answer),
            }
        }
    }

    fn note_parameter(&mut self, body: &ParameterStatusBody) -> Result<(), PgError> {
        let name = body.name().map_err(malformed)?.to_owned();
        let value = body.value().map_err(malformed)?.to_owned();
        self.reported.insert(name, value);
        Ok(())
    }

    fn next_message(&mut self) -> Result<Message, PgError> {
        loop {
            if let Some(header) = Header::parse(&self.inbox).map_err(malformed)?
                && !(0..=LONGEST_MESSAGE).contains(&header.len())
            {
                return Err(unexpected("a message of impossible length"));
            }
            if let Some(message) = Message::parse(&mut self.inbox).map_err(malformed)? {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), PgError> {
        let filled = self.inbox.len();
        self.inbox.resize(filled + CHUNK, 0);
        let outcome = self.read_at(filled);
        let count = outcome.as_ref().copied().unwrap_or(0);
        self.inbox.truncate(filled + count);
        outcome.map(|_| ())
    }

    fn read_at(&mut self, offset: usize) -> Result<usize, PgError> {
        loop {
            self.cancel.check()?;
            match self.socket.read(&mut self.inbox[offset..]) {
                Ok(0) => return Err(PgError::Closed(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => return Ok(count),
                Err(error) if is_wait(&error) => self.check_deadline()?,
                Err(error) => return Err(PgError::Closed(error)),
            }
        }
    }

    fn check_deadline(&self) -> Result<(), PgError> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => {
                Err(PgError::Closed(io::ErrorKind::TimedOut.into()))
            }
            _ => Ok(()),
        }
    }

    fn send(
        &mut self,
        message: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<(), PgError> {
        let mut buffer = BytesMut::new();
        message(&mut buffer).map_err(malformed)?;
        self.socket.write_all(&buffer).map_err(PgError::Closed)
    }
}

impl Drop for Connection {
    /// Says goodbye where that is still possible; the server ends the session in any case.
    fn drop(&mut self) {
        let _ = self.send(|buffer| {
            frontend::terminate(buffer);
            Ok(())
        });
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

fn unreachable_at(address: &ServerAddress, source: io::Error) -> PgError {
    PgError::Unreachable {
        address: address.to_string(),
        source,
    }
}

/// A message that the protocol does not allow where it came.
pub(super) fn unexpected(what: &str) -> PgError {
    PgError::Protocol(what.to_owned())
}

/// A message that cannot be decoded.
pub(super) fn malformed(error: io::Error) -> PgError {
    PgError::Protocol(printable(&error.to_string()).into_owned())
}

fn row_of(body: &DataRowBody) -> Result<Row, PgError> {
    let values = body.ranges().map(|range| {
        let Some(range) = range else { return Ok(None) };
        let bytes = body.buffer().get(range).unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        Ok(Some(text.to_owned()))
    });
    values.collect().map_err(malformed)
}

/// Fields of an error or notice: section "Error and Notice Message Fields" of the manual.
fn server_error(mut fields: ErrorFields<'_>) -> Result<PgError, PgError> {
    let (mut severity, mut sqlstate, mut message) = Default::default();
    while let Some(field) = fields.next().map_err(malformed)? {
        let place: &mut String = match field.type_() {
            b'V' => &mut severity,
            b'C' => &mut sqlstate,
            b'M' => &mut message,
            _ => continue,
        };
        *place = printable(&String::from_utf8_lossy(field.value_bytes())).into_owned();
    }
    Ok(PgError::Server {
        severity,
        sqlstate,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// A session whose server has said `bytes` and then closed the connection.
    fn after(bytes: &[u8]) -> Connection {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let limit = Some(Duration::from_millis(100));
        theirs.set_write_timeout(limit).unwrap();
        theirs.write_all(bytes).unwrap();
        Connection {
            socket: Socket::Unix(ours),
            inbox: BytesMut::new(),
            cancel: Cancel::new(),
            deadline: None,
            reported: BTreeMap::new(),
        }
    }

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    #[test]
    fn an_error_comes_after_what_follows_it_and_is_printable() {
        let error = message(b'E', b"SFEHLER\0VERROR\0C42P01\0Mno \x1b[2J table\0\0");
        let stream = [error, message(b'Z', b"I"), message(b'C', b"SELECT 1\0")].concat();
        let mut connection = after(&stream);
        let told = connection.receive().map(|_| ()).unwrap_err().to_string();
        assert_eq!(told, "PostgreSQL says ERROR 42P01: no \\u{1b}[2J table");
        assert!(matches!(
            connection.receive(),
            Ok(Message::CommandComplete(_))
        ));
    }

    #[test]
    fn a_fatal_error_is_told_although_nothing_follows_it() {
        let mut connection = after(&message(b'E', b"VFATAL\0C57P01\0Mgone\0\0"));
        assert!(matches!(connection.receive(), Err(PgError::Server { .. })));
        assert!(matches!(connection.receive(), Err(PgError::Closed(_))));
    }

    #[test]
    fn a_message_longer_than_any_is_refused_before_it_is_awaited() {
        for length in [u32::MAX, 1 << 31, (64 << 20) + 1] {
            let mut connection = after(&[&b"d"[..], &length.to_be_bytes()].concat());
            assert!(matches!(connection.receive(), Err(PgError::Protocol(_))));
        }
    }

    #[test]
    fn a_silent_server_is_left_when_a_signal_arrives() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let mut connection = after(b"");
        connection.socket = Socket::Unix(ours);
        let cancel = connection.cancel.clone();
        let waiting = std::thread::spawn(move || connection.receive().map(|_| ()));
        cancel.raise(2);
        assert!(matches!(waiting.join(), Ok(Err(PgError::Interrupted(_)))));
    }

    proptest::proptest! {
        #[test]
        fn no_server_makes_the_client_panic(
            messages in proptest::collection::vec(
                (proptest::sample::select(b"RSKZTDCEHdcNAI".as_slice()), proptest::prelude::any::<Vec<u8>>()),
                0..8,
            )
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|(tag, body)| message(*tag, body)).collect();
            let _ = after(&stream).simple_query("SELECT 1");
            let mut connection = after(&stream);
            while connection.receive().is_ok() {}
        }
    }
}
