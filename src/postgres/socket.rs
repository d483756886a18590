//! Where a server is, and the socket to it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::netns::{self, NetnsError};
use crate::base::text::printable;

/// How long a server may take to accept a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a read waits before the caller looks whether the run has been told to stop.
const READ_SLICE: Duration = Duration::from_millis(250);

/// Where a PostgreSQL server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// A TCP port, possibly inside another network namespace.
    Tcp {
        /// Name or address, resolved inside the namespace.
        host: String,
        /// The port.
        port: u16,
        /// `/proc/PID/ns/net` or a bind mount of it; none for this process' own.
        netns: Option<PathBuf>,
    },
    /// The Unix socket `.s.PGSQL.<port>` in a directory.
    Unix {
        /// `unix_socket_directories` of the server.
        directory: PathBuf,
        /// `port` of the server.
        port: u16,
    },
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, netns } => {
                write!(f, "{}:{port}", printable(host))?;
                match netns {
                    Some(path) => write!(f, " in {}", path.display()),
                    None => Ok(()),
                }
            }
            Self::Unix { directory, port } => {
                write!(
                    f,
                    "{}",
                    directory.join(format!(".s.PGSQL.{port}")).display()
                )
            }
        }
    }
}

/// A connected socket; a read that finds nothing for a quarter of a second fails with
/// [`io::ErrorKind::WouldBlock`].
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects. The outer error is this host's, the inner one the server's or the network's.
    pub(super) fn open(address: &ServerAddress) -> Result<io::Result<Self>, NetnsError> {
        let opened = match address {
            ServerAddress::Tcp { host, port, netns } => match netns {
                Some(path) => netns::inside(path, || connect_tcp(host, *port))?,
                None => connect_tcp(host, *port),
            }
            .and_then(Self::from_tcp),
            ServerAddress::Unix { directory, port } => {
                UnixStream::connect(directory.join(format!(".s.PGSQL.{port}")))
                    .and_then(Self::from_unix)
            }
        };
        Ok(opened)
    }

    fn from_tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_SLICE))?;
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        Ok(Self::Tcp(stream))
    }

    fn from_unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(READ_SLICE))?;
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        Ok(Self::Unix(stream))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}

/// Connects to the first of the host's addresses that accepts.
fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_people_write_it() {
        let tcp = |netns| ServerAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 5437,
            netns,
        };
        assert_eq!(tcp(None).to_string(), "127.0.0.1:5437");
        assert_eq!(
            tcp(Some("/proc/7/ns/net".into())).to_string(),
            "127.0.0.1:5437 in /proc/7/ns/net"
        );
        let unix = ServerAddress::Unix {
            directory: "/run/pg".into(),
            port: 5432,
        };
        assert_eq!(unix.to_string(), "/run/pg/.s.PGSQL.5432");
    }
}
