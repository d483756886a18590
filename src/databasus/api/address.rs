//! Where a Databasus is that a drill speaks to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// `http://HOST:PORT`. There is no TLS: the token of an administrator goes this way, so the host
/// must be this one or of a private network ([`is_near`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

/// A text that is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// Of another kind.
    #[error("write http://HOST:PORT, as in http://127.0.0.1:4005")]
    Form,
    /// There is no TLS here.
    #[error(
        "https is not spoken here: forward the port, as in `ssh -L 4005:127.0.0.1:4005 HOST`, and \
         name http://127.0.0.1:4005"
    )]
    Https,
}

impl Address {
    /// A name or an address, without the brackets of version 6.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if text.starts_with("https://") {
            return Err(NotAnAddress::Https);
        }
        let rest = text.strip_prefix("http://").ok_or(NotAnAddress::Form)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = authority.rsplit_once(':').ok_or(NotAnAddress::Form)?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(NotAnAddress::Form),
            Ok(port) => port,
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bare {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            None if is_name(host) => host,
            _ => return Err(NotAnAddress::Form),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn is_name(host: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(is_letter)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "http://[{host}]:{port}"),
            false => write!(f, "http://{host}:{port}"),
        }
    }
}

/// Whether an address is this host's own, or of a private network (RFC 1918, RFC 4193).
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in [
            "http://127.0.0.1:4005",
            "http://localhost:4005",
            "http://databasus-drill:80",
            "http://[::1]:4005",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(format!("{text}/").parse(), Ok(address));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "127.0.0.1:4005",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:4005/api",
            "http://127.0.0.1:4005/?x",
            "http://user:pass@127.0.0.1:4005",
            "http://[localhost]:4005",
            "http://::1:4005",
            "http://a b:1",
            "ftp://127.0.0.1:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress::Form), "{text}");
        }
        let https = "https://127.0.0.1:4005".parse::<Address>();
        assert_eq!(https, Err(NotAnAddress::Https));
    }

    #[test]
    fn near_is_this_host_and_private_networks() {
        let near = |text: &str| is_near(text.parse().unwrap());
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.17.0.2",
            "192.168.0.9",
        ] {
            assert!(near(text), "{text}");
        }
        for text in ["::1", "fd00::1", "::ffff:127.0.0.1"] {
            assert!(near(text), "{text}");
        }
        for text in [
            "0.0.0.0",
            "8.8.8.8",
            "172.32.0.1",
            "169.254.169.254",
            "100.64.0.1",
        ] {
            assert!(!near(text), "{text}");
        }
        for text in ["::", "2001:db8::1", "::ffff:8.8.8.8", "fe80::1"] {
            assert!(!near(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "(http://)?.{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
