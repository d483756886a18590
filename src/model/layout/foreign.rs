//! Which names are this format's, and which are somebody else's.

use crate::base::digest::Digest;
use crate::base::names::CustodianName;
use crate::base::time::UtcTime;

use super::Layout;

impl Layout {
    /// Whether this format has such a key. Whoever may write into a store may put any number of
    /// others there, which nobody is to remember.
    pub fn knows(&self, key: &str) -> bool {
        let rest = key.strip_prefix(self.root.as_str());
        let Some((kind, name)) = rest.and_then(|rest| rest.split_once('/')) else {
            return false;
        };
        match kind {
            "escrow" => self.parse_escrow(key).is_some() && is_of_an_escrow(name),
            "manifest" => self.parse_manifest(key).is_some(),
            "sig" => self.parse_signature(key).is_some(),
            "policy" => is_digest(name, ".json"),
            "restore" => is_digest(name, ".md"),
            "checkin" => is_checkin(name),
            _ => false,
        }
    }
}

/// What follows an escrow's id, and the folder of a later sealing.
fn is_of_an_escrow(name: &str) -> bool {
    let inside = name.split_once('/').map_or("", |(_, inside)| inside);
    let again = inside.strip_prefix("rekeyed-");
    let again = again.and_then(|again| again.split_once('/'));
    let inside = again.map_or(inside, |(_, inside)| inside);
    match inside.split_once('/') {
        None => inside == "payload.tar.zst.age",
        Some(("unlock", names)) => {
            let names = names.strip_suffix(".age");
            names.is_some_and(|names| names.split('+').all(is_custodian))
        }
        Some(("canary", name)) => name.strip_suffix(".age").is_some_and(is_custodian),
        Some(_) => false,
    }
}

fn is_custodian(name: &str) -> bool {
    name.parse::<CustodianName>().is_ok()
}

fn is_digest(name: &str, end: &str) -> bool {
    let digest = name.strip_suffix(end);
    digest.is_some_and(|digest| digest.parse::<Digest>().is_ok())
}

fn is_checkin(name: &str) -> bool {
    let (custodian, time) = name.split_once('/').unwrap_or_default();
    let time = time.strip_suffix(".json").and_then(UtcTime::from_compact);
    is_custodian(custodian) && time.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::{EscrowId, RekeyId};
    use crate::model::layout::Sealed;

    #[test]
    fn every_key_of_the_format_is_known() {
        let layout = Layout::new(&"demo".parse().unwrap());
        let escrow: EscrowId = "20260612T020000Z-0123456789abcdef".parse().unwrap();
        let rekey: RekeyId = "20260712T020000Z-aaaaaaaaaaaaaaaa".parse().unwrap();
        let [alice, bob] = ["alice", "bob"].map(|name| name.parse::<CustodianName>().unwrap());
        let digest = Digest::of(b"x");
        let again = Sealed {
            escrow: &escrow,
            rekey: Some(&rekey),
        };
        for sealed in [Sealed::from(&escrow), again] {
            for key in [
                layout.payload(sealed),
                layout.unlock(sealed, &[alice.clone(), bob.clone()]),
                layout.canary(sealed, &alice),
            ] {
                assert!(layout.knows(&key), "{key}");
            }
        }
        for key in [
            layout.manifest(7),
            layout.manifest_beside(7, &digest),
            layout.signature(&digest, &"host-1".parse().unwrap()),
            layout.policy(&digest),
            layout.restore_md(&digest),
            layout.checkin(&bob, "2026-06-12T02:00:00Z".parse().unwrap()),
        ] {
            assert!(layout.knows(&key), "{key}");
        }
    }

    #[test]
    fn other_names_are_not() {
        let layout = Layout::new(&"demo".parse().unwrap());
        let digest = Digest::of(b"x");
        for name in [
            "",
            "x",
            "manifest/7.json",
            "sig/x.sig",
            "policy/x.json",
            "escrow/x/payload.tar.zst.age",
            "escrow/20260612T020000Z-0123456789abcdef/payload",
            "escrow/20260612T020000Z-0123456789abcdef/x/alice.age",
            "escrow/20260612T020000Z-0123456789abcdef/unlock/alice",
            "checkin/alice/now.json",
            "probe/0123/locked",
        ] {
            assert!(!layout.knows(&format!("demo/{name}")), "{name}");
        }
        assert!(!layout.knows(&layout.policy(&digest).replace("demo", "other")));
    }
}
