//! Which keys a store takes: none that could reach outside of it.

use super::{StoreError, StoreErrorKind};
use crate::base::names::StoreName;

/// Where directory stores keep unfinished writes; no key begins with it in any store.
pub(super) const UPLOADS: &str = ".uploads";

/// The bound of S3's keys, in bytes.
const MAX_BYTES: usize = 1024;

/// A key that no store takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a key: 1 to 1024 bytes of names joined by '/'; new objects use A-Z, a-z, 0-9 and ._@+- only"
)]
pub(super) struct BadKey;

/// A key that stays inside of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    /// A key of an object that this program writes: portable characters only, so that every store,
    /// file system and shell agrees on it.
    pub(super) fn to_write(text: &'a str) -> Result<Self, BadKey> {
        let portable = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+-/".contains(&byte);
        Self::to_read(text).and_then(|key| text.bytes().all(portable).then_some(key).ok_or(BadKey))
    }

    /// A key that is only read or deleted: any name another program may have chosen, without
    /// control characters.
    pub(super) fn to_read(text: &'a str) -> Result<Self, BadKey> {
        let segment = |name: &str| !matches!(name, "" | "." | "..") && name.len() <= 255;
        let inside = text.len() <= MAX_BYTES
            && text.split('/').all(segment)
            && text.split('/').next() != Some(UPLOADS)
            && !text.chars().any(char::is_control);
        inside.then_some(Self(text)).ok_or(BadKey)
    }

    /// The whole key.
    pub(super) fn as_str(self) -> &'a str {
        self.0
    }

    /// The names of the directories on the way to the object, outermost first.
    pub(super) fn parents(self) -> impl Iterator<Item = &'a str> {
        let parents = self.0.rsplit_once('/').map(|(parents, _)| parents);
        parents.into_iter().flat_map(|parents| parents.split('/'))
    }

    /// The last name.
    pub(super) fn leaf(self) -> &'a str {
        self.0.rsplit_once('/').map_or(self.0, |(_, leaf)| leaf)
    }
}

/// [`Key::to_write`] on behalf of a store's action.
pub(super) fn writable<'k>(
    store: &StoreName,
    action: &'static str,
    key: &'k str,
) -> Result<Key<'k>, StoreError> {
    Key::to_write(key).map_err(|why| refused(store, action, key, why))
}

/// [`Key::to_read`] on behalf of a store's action.
pub(super) fn readable<'k>(
    store: &StoreName,
    action: &'static str,
    key: &'k str,
) -> Result<Key<'k>, StoreError> {
    Key::to_read(key).map_err(|why| refused(store, action, key, why))
}

fn refused(store: &StoreName, action: &'static str, key: &str, why: BadKey) -> StoreError {
    StoreError::new(store, StoreErrorKind::Unexpected, action, key).caused_by(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_leave_the_store_are_refused() {
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            "a\0",
            "a\nb",
            ".uploads/x",
            ".uploads",
        ] {
            assert_eq!(Key::to_read(bad), Err(BadKey), "{bad:?} was accepted");
            assert_eq!(Key::to_write(bad), Err(BadKey), "{bad:?} was accepted");
        }
        assert!(Key::to_read(&"a".repeat(256)).is_err());
        assert!(Key::to_read(&"a/".repeat(600)).is_err());
    }

    #[test]
    fn foreign_names_are_read_and_never_written() {
        for foreign in ["Kunden_München-20260612.dump", "a b", "a\\b", "x%2e"] {
            assert!(Key::to_read(foreign).is_ok());
            assert!(Key::to_write(foreign).is_err());
        }
        assert!(Key::to_write("heatwave/escrow/20260612T020000Z-00/a@b+c.age").is_ok());
    }

    #[test]
    fn key_has_parents_and_a_leaf() {
        let key = Key("a/b/c.json");
        assert_eq!(key.parents().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(key.leaf(), "c.json");
        assert_eq!(Key("c").parents().count(), 0);
    }

    proptest! {
        #[test]
        fn accepted_keys_never_climb(text in "[./a-c]{0,12}") {
            if let Ok(key) = Key::to_read(&text) {
                let names: Vec<&str> = key.parents().chain([key.leaf()]).collect();
                prop_assert!(names.iter().all(|name| !["", ".", ".."].contains(name)));
                prop_assert_eq!(names.join("/"), text);
            }
        }
    }
}
