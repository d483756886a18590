//! Unknown keys, answered with the nearest known one.

use std::fmt;

use crate::base::text::printable;

/// A key that nothing reads: a typing error, or an option of another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// What was written.
    pub key: String,
    /// What can be written in that place.
    pub known: Vec<String>,
}

impl UnknownKey {
    /// Reads the message of serde's `unknown_field` (``unknown field `x`, expected one of `a`,
    /// `b` ``), the only place where serde tells which keys a struct has.
    pub(super) fn from_serde(message: &str) -> Option<Self> {
        let rest = message.strip_prefix("unknown field `")?;
        let mut quoted = rest.split('`').step_by(2).map(str::to_owned);
        let key = quoted.next()?;
        let known = quoted.filter(|name| !name.is_empty()).collect();
        Some(Self { key, known })
    }

    fn nearest(&self) -> Option<&str> {
        let allowed = (self.key.chars().count() / 3).clamp(1, 4);
        let distance = |name: &str| strsim::damerau_levenshtein(&self.key, name);
        let nearest = self.known.iter().min_by_key(|name| distance(name))?;
        (distance(nearest) <= allowed).then_some(nearest)
    }
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown key `{}`; ", printable(&self.key))?;
        match self.nearest() {
            Some(name) => write!(f, "did you mean `{name}`?"),
            None => write!(f, "known here: {}", self.known.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its keys matter")]
    struct Sample {
        region: Option<String>,
        endpoint: Option<String>,
    }

    fn complaint(text: &str) -> String {
        let error = toml::from_str::<Sample>(text).unwrap_err();
        UnknownKey::from_serde(error.message()).unwrap().to_string()
    }

    #[test]
    fn a_typing_error_is_answered_with_the_key_that_was_meant() {
        assert_eq!(
            complaint("regoin = 1"),
            "unknown key `regoin`; did you mean `region`?"
        );
    }

    #[test]
    fn a_key_like_no_other_is_answered_with_all_of_them() {
        assert_eq!(
            complaint("colour = 1"),
            "unknown key `colour`; known here: region, endpoint"
        );
    }

    proptest! {
        #[test]
        fn any_message_is_survived(message in "(unknown field `)?.{0,60}") {
            let _ = UnknownKey::from_serde(&message).map(|unknown| unknown.to_string());
        }
    }
}
