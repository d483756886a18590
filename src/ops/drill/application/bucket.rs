//! What the storages hold before Databasus starts and after it was stopped.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::ops::drill::trouble::Trouble;
use crate::store::Store;

/// Objects that are told.
const TOLD: usize = 5;

/// Every object, by storage and name, with its size and its entity tag: a store gives an object
/// that is written again another tag, unless it is the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents(BTreeMap<(Uuid, String), (u64, Option<String>)>);

impl Contents {
    pub(super) fn read(
        storages: &[(Uuid, Arc<dyn Store>)],
        cancel: &Cancel,
    ) -> Result<Self, Trouble> {
        let mut found = BTreeMap::new();
        for (id, store) in storages {
            let listed = store.list("", None, &mut |one| {
                found.insert((*id, one.key), (one.size, one.etag));
                match cancel.signal() {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            });
            cancel.check()?;
            listed.map_err(Trouble::List)?;
        }
        Ok(Self(found))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// What came, went or changed; none where nothing did.
    pub(super) fn changes(&self, after: &Self) -> Option<String> {
        let came = after.0.keys().filter(|key| !self.0.contains_key(key));
        let gone = self.0.keys().filter(|key| !after.0.contains_key(key));
        let changed = self.0.iter().filter(|(key, what)| {
            let now = after.0.get(key);
            now.is_some_and(|now| now != *what)
        });
        let parts = [
            named("new", came),
            named("gone", gone),
            named("changed", changed.map(|(key, _)| key)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn named<'a>(what: &str, keys: impl Iterator<Item = &'a (Uuid, String)>) -> Option<String> {
    let names: Vec<&str> = keys.map(|(_, name)| name.as_str()).collect();
    let shown: Vec<&str> = names.iter().copied().take(TOLD).collect();
    let more = match names.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| format!("{what}: {}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(objects: &[(&str, u64, &str)]) -> Contents {
        let objects = objects.iter().map(|(name, size, etag)| {
            let key = (Uuid::nil(), (*name).to_owned());
            (key, (*size, Some((*etag).to_owned())))
        });
        Contents(objects.collect())
    }

    #[test]
    fn nothing_new_is_nothing_to_tell() {
        let before = contents(&[("a", 1, "x"), ("b", 2, "y")]);
        let after = contents(&[("b", 2, "y"), ("a", 1, "x")]);
        assert_eq!(before.changes(&after), None);
    }

    #[test]
    fn what_came_went_or_was_written_again_is_named() {
        let before = contents(&[("a", 1, "x"), ("b", 2, "y"), ("c", 3, "z")]);
        let after = contents(&[("a", 1, "x"), ("b", 2, "other"), ("d", 4, "w")]);
        let told = before.changes(&after).unwrap();
        assert_eq!(told, "new: d; gone: c; changed: b");
    }
}
