//! The strict reader of `allowed_signers`.

use super::super::signer_key::{SignerKey, SignerKeyError};
use super::{AllowedSigners, EmptyWindow, Entry, Line, Window};
use crate::base::names::{NameError, SignerName};
use crate::base::text::printable;
use crate::base::time::UtcTime;

/// A file that is not `allowed_signers`, or holds what this tool does not accept in one.
#[derive(Debug, thiserror::Error)]
#[error("allowed_signers, line {line}: {reason}")]
pub struct AllowedSignersError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: LineError,
}

/// Why a line is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A control character; most often the carriage return of a Windows editor.
    #[error("holds a control character; lines end in a line feed alone")]
    ControlCharacter,
    /// The line ends before the key.
    #[error("has no key; it must read: principal options key")]
    MissingKey,
    /// A wildcard or a negation, in principals or namespaces.
    #[error("patterns ('*', '?', '!') are not accepted: {}", shown(.0))]
    Pattern(String),
    /// More than one principal.
    #[error("names several principals; write one line for each")]
    SeveralPrincipals,
    /// Not a name.
    #[error("has no acceptable principal: {0}")]
    Principal(NameError),
    /// A quotation mark or a backslash where none belongs.
    #[error("option values stand in one pair of quotation marks, without backslashes")]
    Quoting,
    /// `cert-authority`.
    #[error("certificate authorities are not supported; name each key on its own line")]
    CertAuthority,
    /// An option that is not `namespaces`, `valid-after` or `valid-before`.
    #[error("unknown option {}", shown(.0))]
    UnknownOption(String),
    /// An option that stands twice.
    #[error("option {0} stands twice")]
    RepeatedOption(&'static str),
    /// Not a namespace.
    #[error("{} is not a namespace", shown(.0))]
    Namespace(String),
    /// A time without a zone.
    #[error(
        "time {} has no zone, and OpenSSH would read it in each reader's own; append Z for UTC",
        shown(.0)
    )]
    LocalTime(String),
    /// Not a time.
    #[error("{} is not a time; write YYYYMMDDHHMMSSZ", shown(.0))]
    Time(String),
    /// A window in which nothing is valid.
    #[error(transparent)]
    EmptyWindow(#[from] EmptyWindow),
    /// The key is none, or of another kind.
    #[error(transparent)]
    Key(#[from] SignerKeyError),
}

const BLANK: [char; 2] = [' ', '\t'];

/// OpenSSH matches namespaces through a buffer of 1024 bytes; no real one comes near it.
const MAX_NAMESPACE: usize = 255;

fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    format!("\"{}\"", printable(&start))
}

impl AllowedSigners {
    /// Reads a file, refusing all that this tool and `ssh-keygen` might not read alike.
    pub fn parse(text: &str) -> Result<Self, AllowedSignersError> {
        let numbered = text.split_terminator('\n').enumerate();
        let lines = numbered.map(|(index, line)| {
            parse_line(line).map_err(|reason| AllowedSignersError {
                line: index + 1,
                reason,
            })
        });
        let lines = lines.collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }
}

fn parse_line(line: &str) -> Result<Line, LineError> {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(LineError::ControlCharacter);
    }
    let trimmed = line.trim_matches(BLANK);
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok(Line::Remark(line.to_owned()));
    }
    let (principal, rest) = split_word(trimmed);
    let principal = parse_principal(principal)?;
    let (options, rest) = if is_key_kind(split_word(rest).0) {
        ("", rest)
    } else {
        split_options(rest)?
    };
    let options = Options::parse(options)?;
    let (key, comment) = parse_key(rest)?;
    Ok(Line::Entry(Box::new(Entry {
        principal,
        key,
        comment,
        namespaces: options.namespaces,
        window: Window::new(options.valid_after, options.valid_before)?,
    })))
}

fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(BLANK) {
        Some((word, rest)) => (word, rest.trim_start_matches(BLANK)),
        None => (text, ""),
    }
}

fn is_key_kind(word: &str) -> bool {
    let prefixes = ["ssh-", "sk-", "ecdsa-", "webauthn-"];
    prefixes.iter().any(|prefix| word.starts_with(prefix))
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '!'])
}

fn parse_principal(word: &str) -> Result<SignerName, LineError> {
    if is_pattern(word) {
        return Err(LineError::Pattern(word.to_owned()));
    }
    if word.contains(',') {
        return Err(LineError::SeveralPrincipals);
    }
    word.parse().map_err(LineError::Principal)
}

/// Splits off the options: they end at the first blank outside of quotation marks.
fn split_options(text: &str) -> Result<(&str, &str), LineError> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '\\' => return Err(LineError::Quoting),
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let (options, rest) = text.split_at(at);
                return Ok((options, rest.trim_start_matches(BLANK)));
            }
            _ => {}
        }
    }
    Err(if quoted {
        LineError::Quoting
    } else {
        LineError::MissingKey
    })
}

fn parse_key(text: &str) -> Result<(SignerKey, String), LineError> {
    let (kind, rest) = split_word(text);
    let (data, comment) = split_word(rest);
    let key = SignerKey::from_openssh(&format!("{kind} {data}"))?;
    Ok((key, comment.to_owned()))
}

#[derive(Default)]
struct Options {
    namespaces: Option<Vec<String>>,
    valid_after: Option<UtcTime>,
    valid_before: Option<UtcTime>,
}

impl Options {
    fn parse(text: &str) -> Result<Self, LineError> {
        let mut options = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (name, value, after) = split_option(rest)?;
            options.set(name, value)?;
            rest = match after.strip_prefix(',') {
                // A comma promises another option.
                Some("") => return Err(LineError::UnknownOption(String::new())),
                Some(more) => more,
                None if after.is_empty() => "",
                None => return Err(LineError::Quoting),
            };
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), LineError> {
        match name {
            "namespaces" => put(&mut self.namespaces, "namespaces", parse_namespaces(value)?),
            "valid-after" => put(&mut self.valid_after, "valid-after", parse_time(value)?),
            "valid-before" => put(&mut self.valid_before, "valid-before", parse_time(value)?),
            _ => Err(LineError::UnknownOption(name.to_owned())),
        }
    }
}

fn put<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), LineError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(LineError::RepeatedOption(name)),
    }
}

/// Splits `name="value"` and what follows it.
fn split_option(text: &str) -> Result<(&str, &str, &str), LineError> {
    let end = text.find(['=', ',', '"']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.eq_ignore_ascii_case("cert-authority") {
        return Err(LineError::CertAuthority);
    }
    let Some(quoted) = rest.strip_prefix('=') else {
        return Err(LineError::UnknownOption(name.to_owned()));
    };
    let quoted = quoted.strip_prefix('"').ok_or(LineError::Quoting)?;
    let (value, after) = quoted.split_once('"').ok_or(LineError::Quoting)?;
    Ok((name, value, after))
}

fn parse_namespaces(value: &str) -> Result<Vec<String>, LineError> {
    value.split(',').map(parse_namespace).collect()
}

fn parse_namespace(name: &str) -> Result<String, LineError> {
    if is_pattern(name) {
        return Err(LineError::Pattern(name.to_owned()));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._@+:/-".contains(&b);
    if name.is_empty() || name.len() > MAX_NAMESPACE || !name.bytes().all(plain) {
        return Err(LineError::Namespace(name.to_owned()));
    }
    Ok(name.to_owned())
}

fn parse_time(value: &str) -> Result<UtcTime, LineError> {
    let is_local = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    UtcTime::from_ssh(value).ok_or_else(|| match is_local {
        true => LineError::LocalTime(value.to_owned()),
        false => LineError::Time(value.to_owned()),
    })
}
