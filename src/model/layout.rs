//! Object keys of one instance in a store (FORMAT.md, "Keys in a store"). The store's own
//! prefix is not part of them.

use crate::base::digest::Digest;
use crate::base::names::{CustodianName, EscrowId, RekeyId, SignerName, Slug};
use crate::base::time::UtcTime;

/// Where the objects of one instance lie.
#[derive(Clone, Debug)]
pub struct Layout {
    root: String,
}

/// What the name of an object under `manifest/` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestKey {
    /// The sequence number it claims.
    pub seq: u64,
    /// The digest in the long form of the name, used where the short one was squatted behind a
    /// lock that nobody may lift.
    pub digest: Option<Digest>,
}

/// An escrow as it was sealed by its snapshot, or later to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// Which escrow.
    pub escrow: &'a EscrowId,
    /// The re-sealing; none for what the snapshot sealed.
    pub rekey: Option<&'a RekeyId>,
}

impl<'a> From<&'a EscrowId> for Sealed<'a> {
    fn from(escrow: &'a EscrowId) -> Self {
        Self {
            escrow,
            rekey: None,
        }
    }
}

impl Layout {
    /// The layout of instance `slug`.
    pub fn new(slug: &Slug) -> Self {
        Self {
            root: format!("{slug}/"),
        }
    }

    /// Prefix of everything this instance owns.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The sealed payload.
    pub fn payload<'a>(&self, of: impl Into<Sealed<'a>>) -> String {
        format!("{}payload.tar.zst.age", self.sealed(of.into()))
    }

    /// The wrapped identity of an escrow that these custodians open together, in this order.
    pub fn unlock<'a>(&self, of: impl Into<Sealed<'a>>, custodians: &[CustodianName]) -> String {
        let names: Vec<&str> = custodians.iter().map(CustodianName::as_str).collect();
        format!("{}unlock/{}.age", self.sealed(of.into()), names.join("+"))
    }

    /// A custodian's challenge in an escrow.
    pub fn canary<'a>(&self, of: impl Into<Sealed<'a>>, custodian: &CustodianName) -> String {
        format!("{}canary/{custodian}.age", self.sealed(of.into()))
    }

    fn sealed(&self, of: Sealed<'_>) -> String {
        let escrow = self.escrow(of.escrow);
        match of.rekey {
            None => escrow,
            Some(rekey) => format!("{escrow}rekeyed-{rekey}/"),
        }
    }

    /// A custodian's answer to a challenge.
    pub fn checkin(&self, custodian: &CustodianName, at: UtcTime) -> String {
        format!("{}{}.json", self.checkins_of(custodian), at.compact())
    }

    /// Prefix of all answers of a custodian.
    pub fn checkins_of(&self, custodian: &CustodianName) -> String {
        format!("{}checkin/{custodian}/", self.root)
    }

    /// Prefix of all answers.
    pub fn checkins(&self) -> String {
        format!("{}checkin/", self.root)
    }

    /// Whose answer a key is; none for a name this format does not know.
    pub fn parse_checkin(&self, key: &str) -> Option<CustodianName> {
        let (custodian, _) = key.strip_prefix(&self.checkins())?.split_once('/')?;
        custodian.parse().ok()
    }

    /// The report of a drill that began then.
    pub fn drill(&self, escrow: &EscrowId, began: UtcTime) -> String {
        format!("{}{escrow}-{}.json", self.drills(), began.compact())
    }

    /// Prefix of all drill reports.
    pub fn drills(&self) -> String {
        format!("{}drill/", self.root)
    }

    /// Of which escrow a drill reports, and when it began; none for a name this format does not
    /// know.
    pub fn parse_drill(&self, key: &str) -> Option<(EscrowId, UtcTime)> {
        let name = key.strip_prefix(&self.drills())?.strip_suffix(".json")?;
        let (escrow, began) = name.rsplit_once('-')?;
        Some((escrow.parse().ok()?, UtcTime::from_compact(began)?))
    }

    /// Prefix of one escrow's objects.
    pub fn escrow(&self, id: &EscrowId) -> String {
        format!("{}escrow/{id}/", self.root)
    }

    /// Prefix of all escrows' objects.
    pub fn escrows(&self) -> String {
        format!("{}escrow/", self.root)
    }

    /// Whose object a key below [`Layout::escrows`] is; none for a name this format does not know.
    pub fn parse_escrow(&self, key: &str) -> Option<EscrowId> {
        let rest = key.strip_prefix(self.root.as_str())?;
        let (id, _) = rest.strip_prefix("escrow/")?.split_once('/')?;
        id.parse().ok()
    }

    /// The re-sealing that a key below [`Layout::escrows`] belongs to; none for what a snapshot
    /// made, and for a name this format does not know.
    pub fn parse_rekey(&self, key: &str) -> Option<RekeyId> {
        let rest = key.strip_prefix(&self.escrows())?;
        let (_, inside) = rest.split_once('/')?;
        let (folder, _) = inside.split_once('/')?;
        folder.strip_prefix("rekeyed-")?.parse().ok()
    }

    /// The commit point of sequence number `seq`.
    pub fn manifest(&self, seq: u64) -> String {
        format!("{}manifest/{seq:010}.json", self.root)
    }

    /// The commit point where the ordinary key is squatted and locked.
    pub fn manifest_beside(&self, seq: u64, digest: &Digest) -> String {
        format!("{}manifest/{seq:010}-{digest}.json", self.root)
    }

    /// Prefix of all manifests.
    pub fn manifests(&self) -> String {
        format!("{}manifest/", self.root)
    }

    /// A key that sorts directly before every manifest of `seq` and after those below it.
    pub fn before_manifest(&self, seq: u64) -> String {
        format!("{}manifest/{seq:010}", self.root)
    }

    /// Reads a key under `manifest/`; none for a name this format does not know.
    pub fn parse_manifest(&self, key: &str) -> Option<ManifestKey> {
        let name = key
            .strip_prefix(self.root.as_str())?
            .strip_prefix("manifest/")?
            .strip_suffix(".json")?;
        let (digits, digest) = match name.split_once('-') {
            None => (name, None),
            Some((digits, digest)) => (digits, Some(digest.parse().ok()?)),
        };
        let canonical = digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit());
        let seq = digits.parse().ok()?;
        (canonical && seq > 0).then_some(ManifestKey { seq, digest })
    }

    /// The signature of a document by one signer.
    pub fn signature(&self, signed: &Digest, signer: &SignerName) -> String {
        format!("{}{signer}.sig", self.signatures_of(signed))
    }

    /// Prefix of all signatures of a document.
    pub fn signatures_of(&self, signed: &Digest) -> String {
        format!("{}sig/{signed}.", self.root)
    }

    /// Prefix of all signatures.
    pub fn signatures(&self) -> String {
        format!("{}sig/", self.root)
    }

    /// Reads a key under `sig/`.
    pub fn parse_signature(&self, key: &str) -> Option<(Digest, SignerName)> {
        let name = key.strip_prefix(self.root.as_str())?.strip_prefix("sig/")?;
        let (digest, signer) = name.strip_suffix(".sig")?.split_once('.')?;
        Some((digest.parse().ok()?, signer.parse().ok()?))
    }

    /// The recipients and signers in force, by the digest of the object's bytes.
    pub fn policy(&self, digest: &Digest) -> String {
        format!("{}policy/{digest}.json", self.root)
    }

    /// Break-glass instructions, by the digest of their bytes.
    pub fn restore_md(&self, digest: &Digest) -> String {
        format!("{}restore/{digest}.md", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout() -> Layout {
        Layout::new(&"heatwave-prod".parse().unwrap())
    }

    #[test]
    fn keys_are_those_of_the_format() {
        let layout = layout();
        let id = "20260612T020000Z-0123456789abcdef".parse().unwrap();
        assert_eq!(
            layout.payload(&id),
            "heatwave-prod/escrow/20260612T020000Z-0123456789abcdef/payload.tar.zst.age"
        );
        assert_eq!(layout.manifest(7), "heatwave-prod/manifest/0000000007.json");
        let [alice, bob] = ["alice", "bob"].map(|name| name.parse().unwrap());
        assert_eq!(
            layout.canary(&id, &alice),
            "heatwave-prod/escrow/20260612T020000Z-0123456789abcdef/canary/alice.age"
        );
        assert_eq!(
            layout.checkin(&alice, "2026-06-12T02:00:00Z".parse().unwrap()),
            "heatwave-prod/checkin/alice/20260612T020000Z.json"
        );
        assert_eq!(
            layout.unlock(&id, &[alice, bob]),
            "heatwave-prod/escrow/20260612T020000Z-0123456789abcdef/unlock/alice+bob.age"
        );
    }

    #[test]
    fn what_was_sealed_again_lies_beside_and_is_of_the_same_escrow() {
        let layout = layout();
        let id: EscrowId = "20260612T020000Z-0123456789abcdef".parse().unwrap();
        let rekey: RekeyId = "20260712T020000Z-aaaaaaaaaaaaaaaa".parse().unwrap();
        let sealed = Sealed {
            escrow: &id,
            rekey: Some(&rekey),
        };
        let bob = "bob".parse().unwrap();
        for (key, end) in [
            (layout.payload(sealed), "payload.tar.zst.age"),
            (layout.unlock(sealed, &[bob]), "unlock/bob.age"),
        ] {
            assert_eq!(
                key,
                format!("heatwave-prod/escrow/{id}/rekeyed-{rekey}/{end}")
            );
            assert_eq!(layout.parse_escrow(&key), Some(id.clone()));
            assert_eq!(layout.parse_rekey(&key), Some(rekey.clone()));
        }
        assert_eq!(layout.parse_rekey(&layout.payload(&id)), None);
    }

    #[test]
    fn the_key_of_a_drill_tells_escrow_and_time() {
        let layout = layout();
        let id: EscrowId = "20260612T020000Z-0123456789abcdef".parse().unwrap();
        let began = "2026-06-12T09:00:00Z".parse().unwrap();
        let key = layout.drill(&id, began);
        assert_eq!(
            key,
            "heatwave-prod/drill/20260612T020000Z-0123456789abcdef-20260612T090000Z.json"
        );
        assert_eq!(layout.parse_drill(&key), Some((id, began)));
        assert_eq!(
            layout.parse_drill("heatwave-prod/drill/x-20260612T090000Z.json"),
            None
        );
    }

    #[test]
    fn manifest_names_that_are_not_canonical_are_foreign() {
        let layout = layout();
        for foreign in [
            "heatwave-prod/manifest/7.json",
            "heatwave-prod/manifest/0000000000.json",
            "heatwave-prod/manifest/+000000007.json",
            "heatwave-prod/manifest/0000000007.json.bak",
            "heatwave-prod/manifest/0000000007-abc.json",
            "other/manifest/0000000007.json",
        ] {
            assert_eq!(layout.parse_manifest(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_listing_that_starts_before_a_manifest_sees_both_of_its_forms() {
        let layout = layout();
        let before = layout.before_manifest(7);
        assert!(layout.manifest(6) < before);
        assert!(before < layout.manifest(7));
        assert!(before < layout.manifest_beside(7, &Digest::of(b"x")));
    }

    proptest! {
        #[test]
        fn manifest_and_signature_keys_round_trip(seq in 1u64..=9_999_999_999, seed: [u8; 4]) {
            let layout = layout();
            let digest = Digest::of(&seed);
            prop_assert_eq!(
                layout.parse_manifest(&layout.manifest(seq)),
                Some(ManifestKey { seq, digest: None })
            );
            prop_assert_eq!(
                layout.parse_manifest(&layout.manifest_beside(seq, &digest)),
                Some(ManifestKey { seq, digest: Some(digest) })
            );
            let signer: SignerName = "escrow@host1.example".parse().unwrap();
            prop_assert_eq!(
                layout.parse_signature(&layout.signature(&digest, &signer)),
                Some((digest, signer))
            );
        }

        #[test]
        fn foreign_keys_never_panic(key in ".{0,80}") {
            let _ = layout().parse_manifest(&key);
            let _ = layout().parse_signature(&key);
            let _ = layout().parse_rekey(&key);
            let _ = layout().parse_drill(&key);
        }
    }
}
