//! Keys that are nearly right: what editors and copies do to the end of a file.

use crate::databasus::secret_key::SecretKey;

/// Says what is wrong with a key that does not open a backup, if it is nothing but the newline
/// at its end; `opens` tries another.
pub(super) fn other_form(
    key: &SecretKey,
    opens: impl Fn(&SecretKey) -> bool,
) -> Option<&'static str> {
    let bytes = key.expose();
    let bare = bytes.trim_ascii_end();
    let opens = |bytes: Vec<u8>| SecretKey::new(bytes).is_ok_and(|key| opens(&key));
    if bare.len() < bytes.len() && opens(bare.to_vec()) {
        return Some(
            "secret.key ends with a newline or blank that is no part of the key: the backups open \
             without it",
        );
    }
    let newline = [bytes, b"\n"].concat();
    opens(newline).then_some(
        "secret.key lacks the newline at its end that is part of the key: the backups open with it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(key: &[u8], right: &[u8]) -> Option<&'static str> {
        let key = SecretKey::new(key.to_vec()).unwrap();
        other_form(&key, |tried| tried.expose() == right)
    }

    #[test]
    fn a_newline_too_many_is_told_from_one_too_few() {
        assert!(told(b"key\n", b"key").unwrap().contains("open without it"));
        assert!(
            told(b"key\r\n", b"key")
                .unwrap()
                .contains("open without it")
        );
        assert!(told(b"key", b"key\n").unwrap().contains("open with it"));
    }

    #[test]
    fn another_key_has_no_other_form() {
        assert_eq!(told(b"key\n", b"other"), None);
        assert_eq!(told(b"\n", b"other"), None);
    }
}
