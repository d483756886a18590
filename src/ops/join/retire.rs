//! Ending a lost key's validity without undoing what it signed.

use crate::base::fingerprint::Fingerprint;
use crate::base::names::SignerName;
use crate::base::time::UtcTime;
use crate::model::allowed_signers::{AllowedSigners, Entry, UnknownKey};
use crate::model::namespace::Namespace;

/// Ends the validity of every key with which `signer` could sign manifests after `last`. That
/// second still belongs to them, for `ssh-keygen` as for [`crate::model::trust`].
pub(super) fn retire(
    signers: &mut AllowedSigners,
    signer: &SignerName,
    last: UtcTime,
) -> Result<Vec<Fingerprint>, UnknownKey> {
    let goes_on = |entry: &&Entry| {
        entry.principal() == signer
            && entry.permits(Namespace::Manifest)
            && entry.window().valid_before().is_none_or(|end| end > last)
    };
    let lost: Vec<Entry> = signers.entries().filter(goes_on).cloned().collect();
    let mut retired = Vec::new();
    for entry in lost {
        let print = entry.key().fingerprint();
        if retired.contains(&print) {
            continue;
        }
        // A window has two seconds at least.
        let began_then = entry.window().valid_after() == Some(last);
        signers.retire(print, last.plus(i64::from(began_then)))?;
        retired.push(print);
    }
    Ok(retired)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::allowed_signers::Window;
    use crate::sealing::sshsig::SigningKey;

    fn at(seconds: i64) -> UtcTime {
        UtcTime::from_unix(1_781_229_600 + seconds)
    }

    fn host() -> SignerName {
        "escrow-host".parse().unwrap()
    }

    fn signers(since: UtcTime) -> (AllowedSigners, Fingerprint) {
        let key = SigningKey::generate().unwrap();
        let window = Window::new(Some(since), None).unwrap();
        let signers = AllowedSigners::new().with_signer(
            host(),
            key.public().clone(),
            &[Namespace::Manifest],
            window,
        );
        (signers, key.fingerprint())
    }

    fn window(signers: &AllowedSigners) -> Option<Window> {
        signers.entries().next().map(Entry::window)
    }

    #[test]
    fn the_last_second_still_belongs_to_the_lost_key() {
        let (mut signers, print) = signers(at(0));
        let retired = retire(&mut signers, &host(), at(9)).unwrap();
        assert_eq!(retired, [print]);
        let window = window(&signers).unwrap();
        assert!(window.contains(at(9)) && !window.contains(at(10)));
    }

    #[test]
    fn a_key_that_began_in_the_last_second_keeps_what_it_signed() {
        let (mut signers, _) = signers(at(9));
        retire(&mut signers, &host(), at(9)).unwrap();
        assert!(window(&signers).unwrap().contains(at(9)));
        assert!(AllowedSigners::parse(&signers.to_text()).is_ok());
    }

    #[test]
    fn a_lost_key_that_was_to_begin_later_goes_away() {
        let (mut signers, _) = signers(at(20));
        retire(&mut signers, &host(), at(9)).unwrap();
        assert_eq!(window(&signers), None);
    }

    #[test]
    fn other_signers_and_retired_keys_stay_as_they_are() {
        let (mut signers, print) = signers(at(0));
        signers.retire(print, at(5)).unwrap();
        let other = SigningKey::generate().unwrap().public().clone();
        let name = "other-host".parse().unwrap();
        let mut signers =
            signers.with_signer(name, other, &[Namespace::Manifest], Window::default());
        let before = signers.clone();
        assert_eq!(retire(&mut signers, &host(), at(9)).unwrap(), []);
        assert_eq!(signers, before);
    }
}
