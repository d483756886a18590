//! One recipient: which of age's types it is, and whether it is one at all.

use age_core::primitives::bech32_decode;

use crate::base::fingerprint::Fingerprint;
use crate::base::text::printable;

/// The types of recipient that age 0.12 encrypts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientKind {
    /// `age1…`, age's own.
    X25519,
    /// `age1tag1…`: P-256 on a hardware token, encrypted to without its plugin.
    Tag,
    /// `age1tagpq1…`: the same with ML-KEM-768, post-quantum.
    TagPq,
    /// An `ssh-ed25519` key.
    SshEd25519,
    /// An `ssh-rsa` key of 2048 bits or more.
    SshRsa,
    /// `age1name1…`, for the program `age-plugin-name`. `age1pq1…` is one of these as long as
    /// the `age` crate lacks it.
    Plugin(String),
}

/// A text that is not a recipient. It never holds the text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// Not `age1…` or `ssh-…`.
    #[error("not an age recipient; it begins with age1, ssh-ed25519 or ssh-rsa")]
    Unknown,
    /// A typing error, most likely.
    #[error("damaged: the checksum or the content is wrong ({0})")]
    Damaged(&'static str),
    /// age writes them in lower case.
    #[error("recipients are written in lower case")]
    UpperCase,
    /// A point that gives the same secret to everybody.
    #[error("not a key: everybody could open what is sealed to it")]
    LowOrder,
    /// Another kind of SSH key.
    #[error("age cannot encrypt to SSH keys of kind {}", printable(.0))]
    SshKind(String),
    /// An RSA key of less than 2048 bits, or of more than 4096.
    #[error("RSA keys must have 2048 to 4096 bits")]
    RsaSize,
}

impl RecipientKind {
    /// The name in the manifest: `x25519`, `tag`, `tagpq`, `ssh-ed25519`, `ssh-rsa`, or
    /// `plugin-` and the plugin's name.
    pub fn name(&self) -> String {
        match self {
            Self::X25519 => "x25519".to_owned(),
            Self::Tag => "tag".to_owned(),
            Self::TagPq => "tagpq".to_owned(),
            Self::SshEd25519 => "ssh-ed25519".to_owned(),
            Self::SshRsa => "ssh-rsa".to_owned(),
            Self::Plugin(name) => format!("plugin-{name}"),
        }
    }

    /// Whether it resists a quantum computer; none for plugins this tool does not know. age
    /// refuses to encrypt one file to both kinds.
    pub fn is_post_quantum(&self) -> Option<bool> {
        match self {
            Self::TagPq => Some(true),
            Self::Plugin(name) if name == "pq" => Some(true),
            Self::Plugin(_) => None,
            Self::X25519 | Self::Tag | Self::SshEd25519 | Self::SshRsa => Some(false),
        }
    }
}

/// Whether a text holds, or seems to hold, a private key of age, a plugin or OpenSSH, in
/// whatever case. Such a text must not be shown.
pub(crate) fn holds_private_key(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let pem = lower.contains("-----begin") && lower.contains("private key");
    // "openssh-key-v1" in Base64: the first line of a key whose header was left out.
    let headless = lower.contains("b3blbnnzac1rzxktdje");
    pem || headless || lower.contains("age-secret-key-") || holds_plugin_identity(&lower)
}

/// `age-plugin-name-1` and Bech32 after it; the mere name of a plugin is no secret.
fn holds_plugin_identity(lower: &str) -> bool {
    let bech32 = |b: u8| b.is_ascii_alphanumeric();
    lower.match_indices("age-plugin-").any(|(at, _)| {
        let word: &str = lower[at..].split_whitespace().next().unwrap_or_default();
        word.rmatch_indices("-1")
            .any(|(dash, _)| word[dash + 2..].bytes().take_while(|b| bech32(*b)).count() >= 6)
    })
}

/// Reads one recipient into its type, its canonical text and its fingerprint.
pub(crate) fn parse_recipient(
    text: &str,
) -> Result<(RecipientKind, String, Fingerprint), RecipientError> {
    let text = text.trim();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
        return parse_ssh(text);
    }
    if !text
        .get(..4)
        .is_some_and(|t| t.eq_ignore_ascii_case("age1"))
    {
        return Err(RecipientError::Unknown);
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(RecipientError::UpperCase);
    }
    let kind = parse_bech32(text)?;
    Ok((kind, text.to_owned(), Fingerprint::of(text.as_bytes())))
}

fn parse_bech32(text: &str) -> Result<RecipientKind, RecipientError> {
    let (prefix, data) = bech32_decode(
        text,
        |_| RecipientError::Damaged("not Bech32"),
        |_| Ok(()),
        |prefix, data| Ok((prefix.to_string(), data.collect::<Vec<u8>>())),
    )?;
    match prefix.as_str() {
        "age" => parse_x25519(&data),
        "age1tag" => parsed::<age::tag::Recipient>(text).map(|()| RecipientKind::Tag),
        "age1tagpq" => parsed::<age::tagpq::Recipient>(text).map(|()| RecipientKind::TagPq),
        _ => parse_plugin(text),
    }
}

fn parsed<T: std::str::FromStr<Err = &'static str>>(text: &str) -> Result<(), RecipientError> {
    let parsed: Result<T, _> = text.parse();
    parsed.map(|_| ()).map_err(RecipientError::Damaged)
}

/// Refuses the points of small order, on which the `age` crate (0.12) panics while it encrypts.
fn parse_x25519(data: &[u8]) -> Result<RecipientKind, RecipientError> {
    let point: [u8; 32] = data
        .try_into()
        .map_err(|_| RecipientError::Damaged("incorrect length"))?;
    if is_low_order(point) {
        return Err(RecipientError::LowOrder);
    }
    Ok(RecipientKind::X25519)
}

/// The seven u-coordinates of small order below 2^255, of Curve25519 and its twist, as
/// <https://cr.yp.to/ecdh.html> lists them. The top bit of a coordinate is ignored (RFC 7748).
fn is_low_order(mut point: [u8; 32]) -> bool {
    const ORDER_8: [&str; 2] = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    point[31] &= 0x7f;
    let small = |low: u8| point[0] == low && point[1..].iter().all(|b| *b == 0);
    // p - 1, p and p + 1, where p = 2^255 - 19.
    let near_p = matches!(point[0], 0xec..=0xee)
        && point[31] == 0x7f
        && point[1..31].iter().all(|b| *b == 0xff);
    small(0) || small(1) || near_p || ORDER_8.contains(&hex::encode(point).as_str())
}

fn parse_plugin(text: &str) -> Result<RecipientKind, RecipientError> {
    let plugin: age::plugin::Recipient = text.parse().map_err(RecipientError::Damaged)?;
    Ok(RecipientKind::Plugin(plugin.plugin().to_owned()))
}

fn parse_ssh(text: &str) -> Result<(RecipientKind, String, Fingerprint), RecipientError> {
    let mut words = text.split_ascii_whitespace();
    let kind = match words.next() {
        Some("ssh-ed25519") => RecipientKind::SshEd25519,
        Some("ssh-rsa") => RecipientKind::SshRsa,
        other => {
            let name: String = other.unwrap_or_default().chars().take(40).collect();
            return Err(RecipientError::SshKind(name));
        }
    };
    let text = format!("{} {}", kind.name(), words.next().unwrap_or_default());
    let recipient: age::ssh::Recipient = text.parse().map_err(ssh_refused)?;
    // age reads as far as it needs; what it would write again must be all there is.
    if recipient.to_string() != text {
        return Err(RecipientError::Damaged("more than a key"));
    }
    let key = ssh_key::PublicKey::from_openssh(&text)
        .and_then(|key| key.to_bytes())
        .map_err(|_| RecipientError::Damaged("not an SSH key"))?;
    Ok((kind, text, Fingerprint::of(&key)))
}

fn ssh_refused(error: age::ssh::ParseRecipientKeyError) -> RecipientError {
    use age::ssh::ParseRecipientKeyError as E;
    match error {
        E::RsaModulusTooLarge | E::RsaModulusTooSmall => RecipientError::RsaSize,
        _ => RecipientError::Damaged("not an SSH key"),
    }
}
