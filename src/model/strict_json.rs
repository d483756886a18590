//! JSON as signed documents use it: no duplicate keys, no floats, integers below 2^53, bounded
//! depth. What two parsers could read differently is not accepted at all (FORMAT.md, "Bytes").

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The largest integer that every JSON reader represents exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A document that is not strict JSON, or not of the expected shape.
#[derive(Debug, thiserror::Error)]
#[error("not a valid document")]
pub struct StrictJsonError(#[source] serde_json::Error);

/// Checks strictness of the whole document, unknown fields included, then reads it as `T`.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StrictJsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Strict
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(StrictJsonError)?;
    serde_json::from_slice(bytes).map_err(StrictJsonError)
}

/// Writes a document in its canonical layout: pretty-printed, LF, a final line feed.
pub fn to_vec<T: serde::Serialize>(document: &T) -> Result<Vec<u8>, StrictJsonError> {
    let mut bytes = serde_json::to_vec_pretty(document).map_err(StrictJsonError)?;
    bytes.push(b'\n');
    Ok(bytes)
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without floats, duplicate keys or integers of 2^53 and more")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        if number > MAX_INTEGER {
            return Err(E::custom("an integer is 2^53 or more"));
        }
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(E::custom("a negative number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom("a floating-point number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Strict)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(serde::de::Error::custom(format_args!(
                    "duplicate key {key:?}"
                )));
            }
            fields.next_value_seed(Strict)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn verdict(text: &str) -> Result<Value, StrictJsonError> {
        from_slice(text.as_bytes())
    }

    #[test]
    fn ambiguous_documents_are_refused() {
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"a":1}}"#,
            r#"{"a":1,"\u0061":2}"#,
            "1.0",
            "1e3",
            "-1",
            "9007199254740992",
            "{} {}",
            "",
            "{\"a\":1,}",
        ] {
            assert!(verdict(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn plain_documents_are_accepted() {
        assert!(verdict(r#"{"a":[1,null,true,"x"],"b":{"a":9007199254740991}}"#).is_ok());
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        assert!(verdict(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn canonical_layout_ends_with_one_line_feed() {
        let bytes = to_vec(&serde_json::json!({"a": 1})).unwrap();
        assert_eq!(bytes, b"{\n  \"a\": 1\n}\n");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = from_slice::<Value>(&bytes);
        }
    }
}
