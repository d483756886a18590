//! The identity that one escrow is sealed to where it takes several custodians to open it.

use age::secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::sealing::identities::{BoxedRecipient, Identities};

/// An X25519 identity of a single escrow. It exists in memory while the escrow is sealed, and
/// again where k custodians have opened its unlock file. Wiped when dropped.
pub struct EscrowIdentity(age::x25519::Identity);

/// Bytes that are no identity of an escrow. They are not shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an escrow's identity: one line AGE-SECRET-KEY-1… is expected, and nothing else")]
pub struct NotAnEscrowIdentity;

impl EscrowIdentity {
    /// Makes one from the system's random numbers.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// What its escrow is sealed to.
    pub fn recipient(&self) -> BoxedRecipient {
        Box::new(self.0.to_public())
    }

    /// The recipient as text, for a person to pass on.
    pub fn recipient_text(&self) -> String {
        self.0.to_public().to_string()
    }

    /// The file that stock age takes: one line.
    pub fn text(&self) -> Zeroizing<String> {
        let line = self.0.to_string();
        let line = line.expose_secret();
        // With room for all of it: a string that grows leaves unwiped copies behind.
        let mut text = Zeroizing::new(String::with_capacity(line.len() + 1));
        text.push_str(line);
        text.push('\n');
        text
    }

    /// Reads what [`EscrowIdentity::text`] gave, and nothing that merely holds it.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAnEscrowIdentity> {
        let text = std::str::from_utf8(bytes).map_err(|_| NotAnEscrowIdentity)?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        let identity: age::x25519::Identity = line.parse().map_err(|_| NotAnEscrowIdentity)?;
        let is_plain = identity.to_string().expose_secret() == line;
        is_plain
            .then_some(Self(identity))
            .ok_or(NotAnEscrowIdentity)
    }

    /// As what opens escrows.
    pub fn into_identities(self, name: &str) -> Identities {
        Identities::of(name, Box::new(self.0))
    }
}

impl std::fmt::Debug for EscrowIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EscrowIdentity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_is_one_line_that_reads_back() {
        let identity = EscrowIdentity::generate();
        let text = identity.text();
        assert!(text.starts_with("AGE-SECRET-KEY-1") && text.ends_with('\n'));
        assert_eq!(text.lines().count(), 1);
        let again = EscrowIdentity::parse(text.as_bytes()).unwrap();
        assert_eq!(again.recipient_text(), identity.recipient_text());
    }

    #[test]
    fn anything_around_the_line_makes_it_something_else() {
        let line = EscrowIdentity::generate().text();
        for other in [
            format!("# created today\n{}", *line),
            format!("{}\n", *line),
            format!(" {}", *line),
            line.to_lowercase(),
            String::new(),
        ] {
            let refused = EscrowIdentity::parse(other.as_bytes());
            assert_eq!(refused.err(), Some(NotAnEscrowIdentity));
        }
    }

    proptest! {
        #[test]
        fn other_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(EscrowIdentity::parse(&bytes).is_err());
        }
    }
}
