//! Paths inside an archive: parsed once, so that nothing can be written outside the target.

use std::fmt;

use crate::base::text::printable;

/// A relative, normal path: `/`-separated names, none of them `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryPath(String);

/// A path that no honest archive contains.
#[derive(Debug, thiserror::Error)]
#[error("unsafe path {:?} in the archive: {reason}", printable(path))]
pub struct UnsafePath {
    path: String,
    reason: &'static str,
}

/// Longest path that is accepted, in bytes: Linux' PATH_MAX.
const MAX_LENGTH: usize = 4096;

impl EntryPath {
    /// Accepts a path as it stands in a tar header. A directory's final slash is dropped.
    pub fn parse(raw: &[u8]) -> Result<Self, UnsafePath> {
        let refuse = |reason| UnsafePath {
            path: String::from_utf8_lossy(raw).chars().take(200).collect(),
            reason,
        };
        let text = std::str::from_utf8(raw).map_err(|_| refuse("not UTF-8"))?;
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.starts_with('/') {
            return Err(refuse("absolute"));
        }
        if text.len() > MAX_LENGTH {
            return Err(refuse("too long"));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse("control characters"));
        }
        for name in text.split('/') {
            match name {
                "" => return Err(refuse("an empty name")),
                "." | ".." => return Err(refuse("'.' or '..'")),
                long if long.len() > 255 => return Err(refuse("a name of more than 255 bytes")),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows `folder/`, if it lies below it.
    pub fn below(&self, folder: &str) -> Option<&str> {
        self.0.strip_prefix(folder)?.strip_prefix('/')
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn unsafe_paths_are_refused() {
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/../b",
            "./a",
            "a/./b",
            "a//b",
            "a/..",
            "a\nb",
            "a\0b",
        ] {
            assert!(
                EntryPath::parse(bad.as_bytes()).is_err(),
                "{bad:?} was accepted"
            );
        }
        assert!(EntryPath::parse(b"\xff").is_err());
    }

    #[test]
    fn a_directory_loses_its_final_slash() {
        assert_eq!(EntryPath::parse(b"a/b/").unwrap().as_str(), "a/b");
        assert!(EntryPath::parse(b"a//").is_err());
    }

    #[test]
    fn below_needs_a_whole_name() {
        let path = EntryPath::parse(b"pgdata2/x").unwrap();
        assert_eq!(path.below("pgdata"), None);
        assert_eq!(path.below("pgdata2"), Some("x"));
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_inside(raw in "[a./\\\\ ]{0,12}") {
            if let Ok(path) = EntryPath::parse(raw.as_bytes()) {
                prop_assert!(Path::new(path.as_str())
                    .components()
                    .all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
