//! Who may sign what, and when: OpenSSH's `allowed_signers` format, in a strict subset.
//!
//! The same file serves `ssh-keygen -Y verify`, and both must come to the same verdict. So what
//! OpenSSH would read differently from one host to the next, or more widely than it looks, is
//! refused: patterns, times without a zone, certificate authorities, options nobody knows.
//! Times ending in `Z` need OpenSSH 9.1 or later.

mod parse;

use std::fmt;

use super::namespace::Namespace;
use super::signer_key::SignerKey;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::SignerName;
use crate::base::time::UtcTime;

pub use parse::{AllowedSignersError, LineError};

/// A parsed `allowed_signers` file. Comments and blank lines are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedSigners {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Remark(String),
    Entry(Box<Entry>),
}

/// One line: a principal's key, what it may sign, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    principal: SignerName,
    key: SignerKey,
    comment: String,
    namespaces: Option<Vec<String>>,
    window: Window,
}

/// When a key's signatures count. Both ends belong to it, as `ssh-keygen` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    valid_after: Option<UtcTime>,
    valid_before: Option<UtcTime>,
}

/// A window that ends before it begins, or within the same second, or begins at the epoch:
/// `ssh-keygen` takes such a line for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("valid-before must be later than valid-after, and both later than 1970-01-01T00:00:00Z")]
pub struct EmptyWindow;

/// A signature that was made while its key was not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signed at {at}, but the key is valid {window}")]
pub struct WindowError {
    /// When the document says it was signed.
    pub at: UtcTime,
    /// When the key is valid.
    pub window: Window,
}

/// No line names this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed_signers names no key {0}")]
pub struct UnknownKey(pub Fingerprint);

impl Window {
    /// A window between two seconds, each of which may be left open.
    pub fn new(
        valid_after: Option<UtcTime>,
        valid_before: Option<UtcTime>,
    ) -> Result<Self, EmptyWindow> {
        let window = Self {
            valid_after,
            valid_before,
        };
        let epoch = UtcTime::from_unix(0);
        let begins = valid_after.unwrap_or(epoch);
        if valid_after == Some(epoch) || valid_before.is_some_and(|end| end <= begins) {
            return Err(EmptyWindow);
        }
        Ok(window)
    }

    /// The first second.
    pub fn valid_after(&self) -> Option<UtcTime> {
        self.valid_after
    }

    /// The last second.
    pub fn valid_before(&self) -> Option<UtcTime> {
        self.valid_before
    }

    /// Whether `at` lies inside.
    pub fn contains(&self, at: UtcTime) -> bool {
        self.valid_after.is_none_or(|first| at >= first)
            && self.valid_before.is_none_or(|last| at <= last)
    }

    /// This window, ending at `before` if it would end later; none if nothing is left of it.
    fn ending(&self, before: UtcTime) -> Option<Self> {
        let end = self.valid_before.map_or(before, |end| end.min(before));
        Self::new(self.valid_after, Some(end)).ok()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.valid_after, self.valid_before) {
            (None, None) => f.write_str("at any time"),
            (Some(first), None) => write!(f, "from {first}"),
            (None, Some(last)) => write!(f, "until {last}"),
            (Some(first), Some(last)) => write!(f, "from {first} until {last}"),
        }
    }
}

impl Entry {
    /// Whose key it is.
    pub fn principal(&self) -> &SignerName {
        &self.principal
    }

    /// The key.
    pub fn key(&self) -> &SignerKey {
        &self.key
    }

    /// When its signatures count.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Whether the key may sign documents of this kind. A line without namespaces permits all.
    pub fn permits(&self, namespace: Namespace) -> bool {
        match &self.namespaces {
            None => true,
            Some(list) => list.iter().any(|name| name == namespace.as_str()),
        }
    }

    /// Whether a signature made at `at` counts.
    pub fn valid_at(&self, at: UtcTime) -> Result<(), WindowError> {
        if self.window.contains(at) {
            return Ok(());
        }
        let window = self.window;
        Err(WindowError { at, window })
    }

    fn options(&self) -> String {
        let namespaces = self.namespaces.as_ref().map(|list| list.join(","));
        let time = |time: Option<UtcTime>| time.map(UtcTime::ssh);
        let options = [
            ("namespaces", namespaces),
            ("valid-after", time(self.window.valid_after)),
            ("valid-before", time(self.window.valid_before)),
        ];
        let written: Vec<String> = options
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}=\"{}\"", value?)))
            .collect();
        written.join(",")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options();
        let words = [
            self.principal.as_str(),
            &options,
            self.key.openssh(),
            &self.comment,
        ];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        f.write_str(&words.join(" "))
    }
}

impl AllowedSigners {
    /// A file that names nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lines that name a key, in the file's order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().filter_map(|line| match line {
            Line::Entry(entry) => Some(&**entry),
            Line::Remark(_) => None,
        })
    }

    /// The lines that permit this key to sign documents of this kind.
    pub fn find(&self, key: &SignerKey, namespace: Namespace) -> impl Iterator<Item = &Entry> {
        self.entries()
            .filter(move |entry| entry.key == *key && entry.permits(namespace))
    }

    /// Adds a line that permits `key` to sign for these namespaces; none for an empty list.
    pub fn with_signer(
        mut self,
        principal: SignerName,
        key: SignerKey,
        namespaces: &[Namespace],
        window: Window,
    ) -> Self {
        if namespaces.is_empty() {
            return self;
        }
        let names = namespaces.iter().map(|name| name.as_str().to_owned());
        let entry = Entry {
            principal,
            key,
            comment: String::new(),
            namespaces: Some(names.collect()),
            window,
        };
        self.lines.push(Line::Entry(Box::new(entry)));
        self
    }

    /// Ends a key's validity at `before`: what it signed earlier still verifies. A line whose
    /// validity would begin later than that goes away.
    pub fn retire(&mut self, fingerprint: Fingerprint, before: UtcTime) -> Result<(), UnknownKey> {
        let is_key = |entry: &Entry| entry.key.fingerprint() == fingerprint;
        if !self.entries().any(is_key) {
            return Err(UnknownKey(fingerprint));
        }
        self.lines.retain_mut(|line| match line {
            Line::Entry(entry) if is_key(entry) => match entry.window.ending(before) {
                Some(window) => {
                    entry.window = window;
                    true
                }
                None => false,
            },
            _ => true,
        });
        Ok(())
    }

    /// The file's text, one line each.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Remark(remark) => text.push_str(remark),
                Line::Entry(entry) => text.push_str(&entry.to_string()),
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests;
