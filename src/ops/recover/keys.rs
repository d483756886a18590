//! The keys at hand, and where each came from: an instance can hold backups under several.

use serde::Serialize;

use crate::base::names::Slug;
use crate::databasus::secret_key::{SecretKey, SecretKeyId};

/// Keys to try, in order. Two sources of the same key are one.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<SecretKey>,
    sources: Vec<KeySource>,
}

/// Where a key came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeySource {
    /// A file, or an escrow.
    pub source: String,
    /// Names the key without telling it; none where the instance is not named, for the id
    /// depends on it.
    pub key_id: Option<SecretKeyId>,
}

impl KeyRing {
    /// Takes a key, if it is not there yet.
    pub fn add(&mut self, key: SecretKey, source: String, instance: Option<&Slug>) {
        if self.keys.iter().any(|known| known.expose() == key.expose()) {
            return;
        }
        let key_id = instance.map(|instance| key.key_id(instance));
        self.keys.push(key);
        self.sources.push(KeySource { source, key_id });
    }

    /// The keys.
    pub fn keys(&self) -> &[SecretKey] {
        &self.keys
    }

    /// Where they came from, each in the place of its key.
    pub fn sources(&self) -> &[KeySource] {
        &self.sources
    }

    /// A key by its place.
    pub fn get(&self, place: usize) -> Option<(&SecretKey, &KeySource)> {
        self.keys.get(place).zip(self.sources.get(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_from_two_places_is_tried_once() {
        let mut ring = KeyRing::default();
        let key = |letter| SecretKey::new(vec![letter; 72]).unwrap();
        ring.add(key(b'a'), "live".to_owned(), None);
        ring.add(key(b'b'), "older".to_owned(), "prod".parse().ok().as_ref());
        ring.add(key(b'a'), "escrow".to_owned(), None);
        let names: Vec<&str> = ring.sources().iter().map(|s| s.source.as_str()).collect();
        assert_eq!(names, ["live", "older"]);
        assert_eq!(ring.keys().len(), 2);
        assert_eq!(ring.get(0).unwrap().1.key_id, None);
        assert!(ring.get(1).unwrap().1.key_id.is_some());
    }
}
