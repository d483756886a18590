//! Who can open the escrows: the recipients file, a list of custodians and their age recipients.

pub mod edit;
mod kind;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::fingerprint::Fingerprint;
use crate::base::names::{CustodianName, NameError};
use crate::base::text::printable;
use crate::base::time::UtcTime;

pub use kind::{RecipientError, RecipientKind};
pub(crate) use kind::{holds_private_key, parse_recipient};

/// At least one custodian, each with one recipient of their own, all of which age encrypts to
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipients {
    specs: Vec<RecipientSpec>,
}

/// One custodian's recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientSpec {
    /// Who holds the identity.
    pub custodian: CustodianName,
    /// Which of age's recipient types it is.
    pub kind: RecipientKind,
    /// The recipient as age takes it; an SSH key stands without its comment.
    pub text: String,
    /// Of an SSH key what `ssh-keygen -l` prints; of others the SHA-256 of the text.
    pub fingerprint: Fingerprint,
    /// Since when they hold it.
    pub since: Option<UtcTime>,
    /// For people.
    pub note: Option<String>,
}

/// A file or an argument that names no usable set of recipients. It never holds text of a
/// private key.
#[derive(Debug, thiserror::Error)]
pub enum RecipientsError {
    /// A private key stands where its public half belongs.
    #[error(
        "{place}: this looks like a private key; remove it from there, and consider it disclosed"
    )]
    PrivateKey {
        /// `line 3`, or which argument.
        place: String,
    },
    /// Not TOML, or not with these keys.
    #[error("line {line}: {}", printable(.message))]
    Toml {
        /// Counted from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// Not `custodian=recipient`.
    #[error("recipient argument {0} must read custodian=recipient")]
    Argument(usize),
    /// Not a name.
    #[error(transparent)]
    Custodian(#[from] NameError),
    /// Not a recipient.
    #[error("recipient of {custodian}")]
    Recipient {
        /// Whose.
        custodian: CustodianName,
        /// Why.
        #[source]
        source: RecipientError,
    },
    /// Nobody could open an escrow.
    #[error("no recipients: nobody could open an escrow")]
    Empty,
    /// A custodian stands twice.
    #[error("custodian {0} stands twice")]
    RepeatedCustodian(CustodianName),
    /// Two custodians share an identity.
    #[error("{first} and {second} have the same recipient; each custodian needs one of their own")]
    RepeatedRecipient {
        /// The first to name it.
        first: CustodianName,
        /// The other.
        second: CustodianName,
    },
    /// age refuses to weaken post-quantum recipients by others.
    #[error(
        "{post_quantum} has a post-quantum recipient and {classic} has none; age does not mix \
         them, so all custodians must change together"
    )]
    MixedPostQuantum {
        /// One with a post-quantum recipient.
        post_quantum: CustodianName,
        /// One without.
        classic: CustodianName,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    recipient: Vec<RawRecipient>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecipient {
    custodian: String,
    recipient: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<UtcTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Recipients {
    /// Takes a list that names everybody once and that age can encrypt to as a whole.
    pub fn new(specs: Vec<RecipientSpec>) -> Result<Self, RecipientsError> {
        if specs.is_empty() {
            return Err(RecipientsError::Empty);
        }
        check_repeats(&specs)?;
        check_post_quantum(&specs)?;
        Ok(Self { specs })
    }

    /// Reads the recipients file.
    pub fn parse(text: &str) -> Result<Self, RecipientsError> {
        // First of all, so that no parser's message can quote it.
        if let Some(line) = text.lines().position(holds_private_key) {
            let place = format!("line {}", line + 1);
            return Err(RecipientsError::PrivateKey { place });
        }
        let file: RawFile = toml::from_str(text).map_err(|error| refused(text, &error))?;
        let specs = file.recipient.into_iter().map(RecipientSpec::from_raw);
        Self::new(specs.collect::<Result<_, _>>()?)
    }

    /// Reads `alice=age1…`, one argument for each custodian.
    pub fn from_arguments<S: AsRef<str>>(arguments: &[S]) -> Result<Self, RecipientsError> {
        let specs = arguments.iter().enumerate().map(|(index, argument)| {
            let argument = argument.as_ref();
            if holds_private_key(argument) {
                let place = format!("recipient argument {}", index + 1);
                return Err(RecipientsError::PrivateKey { place });
            }
            let (custodian, recipient) = argument
                .split_once('=')
                .ok_or(RecipientsError::Argument(index + 1))?;
            RecipientSpec::parse(custodian, recipient)
        });
        Self::new(specs.collect::<Result<_, _>>()?)
    }

    /// The custodians in the file's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RecipientSpec> {
        self.specs.iter()
    }

    /// The file's text.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let recipient = self.specs.iter().map(RawRecipient::from).collect();
        let body = toml::to_string(&RawFile { recipient })?;
        Ok(format!(
            "# Who can open the escrows of this instance.\n\n{body}"
        ))
    }
}

impl RecipientSpec {
    /// Checks a custodian's name and recipient.
    pub fn parse(custodian: &str, recipient: &str) -> Result<Self, RecipientsError> {
        let custodian: CustodianName = custodian.trim().parse()?;
        let parsed = parse_recipient(recipient);
        let (kind, text, fingerprint) = parsed.map_err(|source| RecipientsError::Recipient {
            custodian: custodian.clone(),
            source,
        })?;
        Ok(Self {
            custodian,
            kind,
            text,
            fingerprint,
            since: None,
            note: None,
        })
    }

    fn from_raw(raw: RawRecipient) -> Result<Self, RecipientsError> {
        // TOML escapes can hide from the scan of the raw text.
        if [&raw.custodian, &raw.recipient]
            .into_iter()
            .any(|text| holds_private_key(text))
        {
            let place = "a recipient".to_owned();
            return Err(RecipientsError::PrivateKey { place });
        }
        Ok(Self {
            since: raw.since,
            note: raw.note,
            ..Self::parse(&raw.custodian, &raw.recipient)?
        })
    }
}

impl From<&RecipientSpec> for RawRecipient {
    fn from(spec: &RecipientSpec) -> Self {
        Self {
            custodian: spec.custodian.to_string(),
            recipient: spec.text.clone(),
            since: spec.since,
            note: spec.note.clone(),
        }
    }
}

fn refused(text: &str, error: &toml::de::Error) -> RecipientsError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let message: String = error.message().chars().take(200).collect();
    if holds_private_key(error.message()) {
        let place = "a recipient".to_owned();
        return RecipientsError::PrivateKey { place };
    }
    RecipientsError::Toml {
        line: before.matches('\n').count() + 1,
        message,
    }
}

fn check_repeats(specs: &[RecipientSpec]) -> Result<(), RecipientsError> {
    let mut holders: BTreeMap<Fingerprint, &CustodianName> = BTreeMap::new();
    for spec in specs {
        if holders.values().any(|name| **name == spec.custodian) {
            let name = spec.custodian.clone();
            return Err(RecipientsError::RepeatedCustodian(name));
        }
        if let Some(first) = holders.insert(spec.fingerprint, &spec.custodian) {
            return Err(RecipientsError::RepeatedRecipient {
                first: first.clone(),
                second: spec.custodian.clone(),
            });
        }
    }
    Ok(())
}

fn check_post_quantum(specs: &[RecipientSpec]) -> Result<(), RecipientsError> {
    let holder = |wanted| {
        specs
            .iter()
            .find(|spec| spec.kind.is_post_quantum() == Some(wanted))
    };
    match (holder(true), holder(false)) {
        (Some(yes), Some(no)) => Err(RecipientsError::MixedPostQuantum {
            post_quantum: yes.custodian.clone(),
            classic: no.custodian.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
