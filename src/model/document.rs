//! A manifest of either kind, as its bytes are read.

use serde::Deserialize;

use super::amend::Change;
use super::manifest::{FORMAT, Head, Kind, Manifest, ManifestError};
use super::strict_json;

/// A parsed manifest of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its place in the chain.
    pub head: Head,
    /// The escrow it commits; none for an amend.
    pub escrow: Option<Box<Manifest>>,
    /// What an amend reports.
    pub changes: Vec<Change>,
}

impl Document {
    /// Reads the bytes of a manifest whose signature has been verified. Unknown fields are
    /// tolerated, an unknown format is not.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Probe {
            format: String,
        }
        #[derive(Deserialize)]
        struct Changes {
            changes: Vec<Change>,
        }
        let probe: Probe = strict_json::from_slice(bytes)?;
        if probe.format != FORMAT {
            return Err(ManifestError::UnknownFormat(
                probe.format.chars().take(80).collect(),
            ));
        }
        let head: Head = strict_json::from_slice(bytes)?;
        head.check()?;
        match head.kind {
            Kind::Amend => {
                let Changes { changes } = strict_json::from_slice(bytes)?;
                changes.iter().try_for_each(Change::check)?;
                Ok(Self {
                    head,
                    escrow: None,
                    changes,
                })
            }
            Kind::Snapshot => {
                let manifest: Manifest = strict_json::from_slice(bytes)?;
                manifest.payload.check()?;
                manifest.custody.check(&manifest.unlock)?;
                Ok(Self {
                    head,
                    escrow: Some(Box::new(manifest)),
                    changes: Vec::new(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::model::manifest::tests::example;
    use proptest::prelude::*;

    fn edited(edit: impl FnOnce(&mut serde_json::Value)) -> Result<Document, ManifestError> {
        let mut value = serde_json::to_value(example()).unwrap();
        edit(&mut value);
        Document::parse(&serde_json::to_vec(&value).unwrap())
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let manifest = example();
        let document = Document::parse(&manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(document.escrow.as_deref(), Some(&manifest));
    }

    #[test]
    fn unknown_fields_are_tolerated_and_unknown_formats_are_not() {
        assert!(edited(|m| m["future"] = 1.into()).is_ok());
        assert!(matches!(
            edited(|m| m["format"] = "databasus-escrow-manifest/2".into()),
            Err(ManifestError::UnknownFormat(_))
        ));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(edited(|m| m["seq"] = 2.into()).is_err());
        assert!(edited(|m| m["payload"]["size"] = 25.into()).is_err());
        assert!(edited(|m| m["payload"]["part_size"] = 0.into()).is_err());
        assert!(edited(|m| m["payload"]["size"] = 0.into()).is_err());
    }

    #[test]
    fn custody_of_several_names_as_many_custodians_as_it_takes() {
        let shared = |k: u32, custodians: &[&str], inner: usize| {
            edited(|m| {
                m["custody"] = serde_json::json!({"mode": "k-of-n", "k": k});
                m["unlock"] = serde_json::json!([{
                    "custodians": custodians,
                    "key": "x",
                    "size": 1,
                    "sha256": Digest::of(b"x"),
                    "inner_sha256": vec![Digest::of(b"y"); inner],
                }]);
            })
        };
        assert!(shared(2, &["alice", "bob"], 1).is_ok());
        assert!(shared(2, &["alice", "bob", "carol"], 2).is_err());
        assert!(shared(2, &["alice", "bob"], 0).is_err());
        assert!(shared(1, &["alice"], 0).is_err());
        assert!(edited(|m| m["custody"]["k"] = 2.into()).is_err());
        assert!(edited(|m| m["custody"]["mode"] = "k-of-n".into()).is_err());
    }

    #[test]
    fn an_amend_needs_its_head_only() {
        let document = Document::parse(
            br#"{"format":"databasus-escrow-manifest/1","kind":"amend","seq":1,
                "prev_sha256":null,"instance":{"slug":"x","id":null},"changes":[],
                "created_at":"2026-06-12T02:00:09Z","next_due":"2026-06-13T04:00:00Z"}"#,
        )
        .unwrap();
        assert_eq!(document.escrow, None);
    }

    #[test]
    fn a_change_of_a_known_kind_says_what_it_must_say() {
        let amend = |change: &str| {
            let text = format!(
                r#"{{"format":"databasus-escrow-manifest/1","kind":"amend","seq":1,
                    "prev_sha256":null,"instance":{{"slug":"x","id":null}},
                    "created_at":"2026-06-12T02:00:09Z","next_due":"2026-06-13T04:00:00Z",
                    "changes":[{change}]}}"#
            );
            Document::parse(text.as_bytes())
        };
        assert!(amend(r#"{"change":"of-a-later-version","x":1}"#).is_ok());
        assert!(amend(r#"{"change":"expired"}"#).is_err());
        assert!(amend(r#"{"change":"rekeyed","escrow_id":"?"}"#).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = Document::parse(&bytes);
        }

        #[test]
        fn a_damaged_manifest_never_panics(at in 0usize..4000, byte: u8) {
            let mut bytes = example().to_bytes().unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Document::parse(&bytes);
        }
    }
}
