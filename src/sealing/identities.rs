//! age's two sides: recipients to seal to, and identities to open with.

mod locked;

use age::NoCallbacks;
use zeroize::Zeroizing;

use super::person::{Asked, Nobody, Person};
use crate::base::names::CustodianName;
use crate::base::text::printable;
use crate::model::recipients::{RecipientKind, RecipientSpec, Recipients, holds_private_key};

/// A recipient that age can encrypt to.
pub type BoxedRecipient = Box<dyn age::Recipient + Send>;

/// A recipient that cannot be sealed to on this host.
#[derive(Debug, thiserror::Error)]
pub enum RecipientUseError {
    /// The recipient needs a program that is not there.
    #[error("sealing to {custodian} needs the program {program} on PATH")]
    MissingPlugin {
        /// Whose recipient it is.
        custodian: CustodianName,
        /// `age-plugin-` and a name.
        program: String,
    },
    /// The recipient was changed after it was read.
    #[error("the recipient of {0} is not usable")]
    Unusable(CustodianName),
}

/// Makes age's recipients of a whole set, in its order.
pub fn age_recipients(recipients: &Recipients) -> Result<Vec<BoxedRecipient>, RecipientUseError> {
    recipients.iter().map(age_recipient).collect()
}

/// Makes age's recipient of one custodian.
pub fn age_recipient(spec: &RecipientSpec) -> Result<BoxedRecipient, RecipientUseError> {
    match &spec.kind {
        RecipientKind::X25519 => boxed::<age::x25519::Recipient>(spec),
        RecipientKind::Tag => boxed::<age::tag::Recipient>(spec),
        RecipientKind::TagPq => boxed::<age::tagpq::Recipient>(spec),
        RecipientKind::SshEd25519 | RecipientKind::SshRsa => boxed::<age::ssh::Recipient>(spec),
        RecipientKind::Plugin(name) => plugin_recipient(spec, name),
    }
}

fn parsed<R: std::str::FromStr>(spec: &RecipientSpec) -> Result<R, RecipientUseError> {
    let unusable = |_| RecipientUseError::Unusable(spec.custodian.clone());
    spec.text.parse().map_err(unusable)
}

fn boxed<R>(spec: &RecipientSpec) -> Result<BoxedRecipient, RecipientUseError>
where
    R: std::str::FromStr + age::Recipient + Send + 'static,
{
    Ok(Box::new(parsed::<R>(spec)?))
}

fn plugin_recipient(spec: &RecipientSpec, name: &str) -> Result<BoxedRecipient, RecipientUseError> {
    let recipient: age::plugin::Recipient = parsed(spec)?;
    let plugin = age::plugin::RecipientPluginV1::new(name, &[recipient], &[], NoCallbacks);
    let plugin = plugin.map_err(|_| RecipientUseError::MissingPlugin {
        custodian: spec.custodian.clone(),
        program: format!("age-plugin-{name}"),
    })?;
    Ok(Box::new(plugin))
}

/// The identities of one file, ready to open escrows with.
pub struct Identities {
    name: String,
    identities: Vec<Box<dyn age::Identity + Send + Sync>>,
}

/// A file that holds no usable identities. It never holds text of the file.
#[derive(Debug, thiserror::Error)]
#[error("identity {}: {reason}", printable(.name))]
pub struct IdentityError {
    /// The file's name.
    pub name: String,
    /// What is wrong with it.
    pub reason: IdentityProblem,
}

/// Why a file holds no usable identities.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityProblem {
    /// Comments at most.
    #[error("holds no identity")]
    Empty,
    /// Under a passphrase, and nobody can be asked.
    #[error("is under a passphrase, and there is no terminal to ask for it")]
    EncryptedFile,
    /// An SSH key under a passphrase, and nobody can be asked.
    #[error("is an SSH key under a passphrase, and there is no terminal to ask for it")]
    EncryptedSsh,
    /// Another passphrase.
    #[error("does not open with that passphrase")]
    WrongPassphrase,
    /// Its passphrase was made to take longer than stock age would try, too.
    #[error("takes 2^{0} rounds of scrypt to open, and age does no more than 2^22")]
    ExcessiveWork(u8),
    /// An age file that is not whole any more.
    #[error("is an age file that is cut short or damaged")]
    Damaged,
    /// An age file, but not under a passphrase.
    #[error("is sealed to recipients itself; give what age -d makes of it on standard input")]
    SealedFile,
    /// An SSH key that age does not open files with.
    #[error("is an SSH key of a kind that age cannot use; ssh-ed25519 and ssh-rsa are")]
    UnsupportedSsh,
    /// PKCS#8 and the like.
    #[error("is a private key in a format other than OpenSSH's; ssh-keygen -p converts it")]
    UnsupportedPem,
    /// The public half.
    #[error("line {0} is a public recipient; the identity is the private half of it")]
    PublicKey(usize),
    /// `AGE-SECRET-KEY-PQ-1…`, which the `age` crate 0.12 does not know.
    #[error(
        "line {0} is a post-quantum identity, which needs the form of its plugin, age-plugin-pq"
    )]
    PostQuantum(usize),
    /// A plugin that is not there.
    #[error("line {line} needs the program {program} on PATH")]
    MissingPlugin {
        /// Counted from 1.
        line: usize,
        /// `age-plugin-` and a name.
        program: String,
    },
    /// Anything else.
    #[error("line {0} is not an identity")]
    NotAnIdentity(usize),
}

impl Identities {
    /// Adds the identities of another file.
    pub fn extend(&mut self, other: Self) {
        self.name = format!("{}, {}", self.name, other.name);
        self.identities.extend(other.identities);
    }

    /// Reads the text of an age identity file or of an OpenSSH private key. `name` is for
    /// messages. Nobody is asked for a passphrase, a PIN or a touch: see [`Identities::read`].
    pub fn parse(name: &str, text: Zeroizing<String>) -> Result<Self, IdentityError> {
        Self::read(name, text.as_bytes(), Nobody)
    }

    /// Reads a file of identities, which may be under a passphrase, with a person to be asked for
    /// that now, and by plugins later.
    pub fn read(name: &str, file: &[u8], person: impl Person) -> Result<Self, IdentityError> {
        let identities = parse_file(name, file, &person).map_err(|reason| IdentityError {
            name: name.to_owned(),
            reason,
        })?;
        Ok(Self {
            name: name.to_owned(),
            identities,
        })
    }

    /// A single identity that lies in no file.
    pub(super) fn of(name: &str, identity: Box<dyn age::Identity + Send + Sync>) -> Self {
        Self {
            name: name.to_owned(),
            identities: vec![identity],
        }
    }

    /// What the file was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identities in the file's order, as age takes them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.identities.iter().map(|one| one.as_ref() as _)
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identities")
            .field("name", &self.name)
            .field("count", &self.identities.len())
            .finish()
    }
}

type BoxedIdentity = Box<dyn age::Identity + Send + Sync>;

fn parse_file(
    name: &str,
    file: &[u8],
    person: &impl Person,
) -> Result<Vec<BoxedIdentity>, IdentityProblem> {
    if locked::is_age_file(file) {
        let text = locked::unlock_file(name, file, person)?;
        return parse_text(name, &text, person);
    }
    parse_text(name, file, person)
}

fn parse_text(
    name: &str,
    text: &[u8],
    person: &impl Person,
) -> Result<Vec<BoxedIdentity>, IdentityProblem> {
    let text = std::str::from_utf8(text).map_err(|_| IdentityProblem::NotAnIdentity(1))?;
    let start = text.trim_start();
    if start.starts_with("-----BEGIN") {
        return Ok(vec![parse_ssh(name, start, person)?]);
    }
    let callbacks = &Asked(person.clone());
    let mut identities = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            identities.push(parse_line(line, index + 1, callbacks)?);
        }
    }
    if identities.is_empty() {
        return Err(IdentityProblem::Empty);
    }
    Ok(identities)
}

fn parse_ssh(
    name: &str,
    text: &str,
    person: &impl Person,
) -> Result<BoxedIdentity, IdentityProblem> {
    let openssh = "-----BEGIN OPENSSH PRIVATE KEY-----";
    if !text.starts_with(openssh) && !text.starts_with("-----BEGIN RSA PRIVATE KEY-----") {
        return Err(if holds_private_key(text) {
            IdentityProblem::UnsupportedPem
        } else {
            IdentityProblem::NotAnIdentity(1)
        });
    }
    // The crate's parser knows line feeds only.
    let text = with_line_feeds(text);
    match age::ssh::Identity::from_buffer(text.as_bytes(), None) {
        Ok(age::ssh::Identity::Encrypted(key)) => {
            Ok(Box::new(locked::unlock_ssh(name, &key, person)?))
        }
        Ok(age::ssh::Identity::Unsupported(kind)) => Err(unsupported(&kind)),
        Ok(identity) => Ok(Box::new(identity)),
        Err(_) => Err(IdentityProblem::NotAnIdentity(1)),
    }
}

fn with_line_feeds(text: &str) -> Zeroizing<String> {
    // With room for all of it: a string that grows leaves unwiped copies behind.
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    for (at, piece) in text.split("\r\n").enumerate() {
        if at > 0 {
            out.push('\n');
        }
        out.push_str(piece);
    }
    out
}

fn unsupported(kind: &age::ssh::UnsupportedKey) -> IdentityProblem {
    use age::ssh::UnsupportedKey as K;
    match kind {
        K::EncryptedPem | K::EncryptedSsh(_) => IdentityProblem::UnsupportedPem,
        K::Hardware(_) | K::Type(_) => IdentityProblem::UnsupportedSsh,
    }
}

fn parse_line(
    line: &str,
    number: usize,
    callbacks: &impl age::Callbacks,
) -> Result<BoxedIdentity, IdentityProblem> {
    if let Ok(identity) = line.parse::<age::x25519::Identity>() {
        return Ok(Box::new(identity));
    }
    if line.starts_with("AGE-SECRET-KEY-PQ-1") {
        return Err(IdentityProblem::PostQuantum(number));
    }
    if let Ok(identity) = line.parse::<age::plugin::Identity>() {
        return plugin_identity(&identity, number, callbacks);
    }
    if line.starts_with("age1") || line.starts_with("ssh-") {
        return Err(IdentityProblem::PublicKey(number));
    }
    Err(IdentityProblem::NotAnIdentity(number))
}

fn plugin_identity(
    identity: &age::plugin::Identity,
    line: usize,
    callbacks: &impl age::Callbacks,
) -> Result<BoxedIdentity, IdentityProblem> {
    let name = identity.plugin();
    let identities = [identity.clone()];
    let plugin = age::plugin::IdentityPluginV1::new(name, &identities, callbacks.clone());
    let plugin = plugin.map_err(|_| IdentityProblem::MissingPlugin {
        line,
        program: format!("age-plugin-{name}"),
    })?;
    Ok(Box::new(plugin))
}

#[cfg(test)]
mod tests;
