//! Every encrypted field of a metadata database, and whether a key opens it.
//!
//! Which columns Databasus encrypts differs between releases (DATABASUS.md §2.3, §4.8), and some
//! values stand inside JSON: so every column that holds text is looked through.

use std::collections::BTreeMap;

use super::fields::{NONCE_BYTES, is_sealed, open_field};
use super::schema::{Column, Schema};
use super::secret_key::SecretKey;
use crate::postgres::sql::identifier;
use crate::postgres::wire::{Connection, PgError};

/// Rows in memory at a time.
const BATCH: usize = 100;

/// Columns that Databasus reads as encrypted. A value there that begins with `enc:` and goes on
/// otherwise is damage; elsewhere it is something that a person typed.
const ENCRYPTED: [&str; 22] = [
    "account_key",
    "bot_token",
    "channel_webhook_url",
    "client_secret",
    "config_content",
    "connection_string",
    "headers",
    "password",
    "power_automate_url",
    "private_key",
    "proxy_url",
    "s3_access_key",
    "s3_secret_key",
    "smtp_password",
    "ssh_password",
    "ssh_private_key",
    "ssh_private_key_passphrase",
    "ssl_client_cert",
    "ssl_client_key",
    "ssl_root_cert",
    "token_json",
    "webhook_url",
];

/// How many fields of a column open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldCount {
    /// They do.
    pub opened: u64,
    /// They do not.
    pub refused: u64,
}

/// The columns that hold encrypted fields, as `table.column`.
pub type FieldCounts = BTreeMap<String, FieldCount>;

/// Tries a key on every encrypted field in schema public. Values are counted, and go nowhere.
pub fn try_key(
    session: &mut Connection,
    schema: &Schema,
    key: &SecretKey,
) -> Result<FieldCounts, PgError> {
    let mut tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (table, name, column) in schema.columns() {
        if holds_text(column) {
            tables.entry(table).or_default().push(name);
        }
    }
    let mut counts = FieldCounts::new();
    session.simple_query("BEGIN READ ONLY")?;
    let mut tables = tables.iter();
    let tried = tables.try_for_each(|(table, columns)| {
        try_table(session, table, columns, &mut |column, value| {
            count(&mut counts, table, column, value, key);
        })
    });
    // After a fatal error there is no session left to be cleaned.
    let ended = session.simple_query("ROLLBACK");
    tried.and(ended).map(|_| counts)
}

/// Types with text in them: `text`, `character varying(255)`, `jsonb`, and arrays of these.
fn holds_text(column: &Column) -> bool {
    let scalar = column.data_type.trim_end_matches("[]");
    matches!(scalar, "text" | "json" | "jsonb" | "citext") || scalar.starts_with("character")
}

fn try_table(
    session: &mut Connection,
    table: &str,
    columns: &[&str],
    see: &mut dyn FnMut(&str, &str),
) -> Result<(), PgError> {
    let texts: Vec<String> = columns
        .iter()
        .map(|column| format!("{}::text", identifier(column)))
        .collect();
    let filters: Vec<String> = texts
        .iter()
        .map(|text| format!("{text} LIKE '%enc:%'"))
        .collect();
    session.simple_query(&format!(
        "DECLARE sealed_fields NO SCROLL CURSOR FOR SELECT {} FROM public.{} WHERE {}",
        texts.join(", "),
        identifier(table),
        filters.join(" OR "),
    ))?;
    loop {
        let rows = session.simple_query(&format!("FETCH {BATCH} FROM sealed_fields"))?;
        for row in &rows {
            for (column, value) in columns.iter().zip(row) {
                see(column, value.as_deref().unwrap_or_default());
            }
        }
        if rows.len() < BATCH {
            return session.simple_query("CLOSE sealed_fields").map(drop);
        }
    }
}

/// Tries a key on every encrypted field in a value.
pub(super) fn count(
    counts: &mut FieldCounts,
    table: &str,
    column: &str,
    value: &str,
    key: &SecretKey,
) {
    let mut found: Vec<bool> = sealed_in(value)
        .map(|field| open_field(field, key).is_ok())
        .collect();
    if found.is_empty() && is_sealed(value) && ENCRYPTED.contains(&column) {
        found.push(false);
    }
    if found.is_empty() {
        return;
    }
    let count = counts.entry(format!("{table}.{column}")).or_default();
    for opens in found {
        match opens {
            true => count.opened += 1,
            false => count.refused += 1,
        }
    }
}

/// Everything in a text that has the form of an encrypted field: `enc:`, twelve bytes in base64,
/// a colon, a tag or more in base64.
fn sealed_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("enc:").filter_map(|(start, _)| {
        let before = text.get(..start)?.chars().next_back();
        if before.is_some_and(is_base64) {
            return None;
        }
        let rest = text.get(start + 4..)?;
        let (nonce, after) = rest.split_at_checked(NONCE_LETTERS)?;
        let sealed = after.strip_prefix(':')?;
        let length = sealed.find(|letter| !is_base64(letter));
        let length = length.unwrap_or(sealed.len());
        let is_field = nonce.chars().all(is_base64) && length >= LEAST_LETTERS;
        is_field.then(|| text.get(start..start + 4 + NONCE_LETTERS + 1 + length))?
    })
}

/// A nonce in base64, which needs no padding.
const NONCE_LETTERS: usize = NONCE_BYTES / 3 * 4;

/// A tag in base64: what an empty text is sealed to.
const LEAST_LETTERS: usize = 24;

fn is_base64(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '=')
}

#[cfg(test)]
mod tests {
    use super::super::fields::seal_field;
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::new(vec![byte; 72]).unwrap()
    }

    fn counted(column: &str, value: &str) -> Option<FieldCount> {
        let mut counts = FieldCounts::new();
        count(&mut counts, "t", column, value, &key(b'k'));
        counts.into_values().next()
    }

    #[test]
    fn fields_inside_json_are_found() {
        let a = seal_field("secret \"quoted\"", &key(b'k'), [1; 12]);
        let b = seal_field("", &key(b'x'), [2; 12]);
        let json = format!(r#"[{{"key":"A","value":"{a}"}},{{"key":"B","value":"{b}"}}]"#);
        let both = FieldCount {
            opened: 1,
            refused: 1,
        };
        assert_eq!(counted("headers", &json), Some(both));
    }

    #[test]
    fn what_only_looks_like_a_field_is_not_one() {
        for text in ["enc:", "enc:of the day", "Authenc:AAAAAAAAAAAAAAAA:", "x"] {
            assert_eq!(counted("name", text), None, "{text}");
        }
    }

    #[test]
    fn a_damaged_field_is_refused_where_databasus_encrypts() {
        let whole = seal_field("AK", &key(b'k'), [1; 12]);
        for length in 4..whole.len() {
            let cut = counted("s3_access_key", &whole[..length]);
            let refused = FieldCount {
                opened: 0,
                refused: 1,
            };
            assert_eq!(cut, Some(refused), "{length}");
        }
    }

    #[test]
    fn text_is_looked_for_in_every_type_that_holds_it() {
        let column = |data_type: &str| Column {
            data_type: data_type.to_owned(),
            nullable: true,
        };
        let texts = [
            "text",
            "text[]",
            "character varying(255)",
            "jsonb",
            "json[]",
        ];
        assert!(texts.iter().all(|one| holds_text(&column(one))));
        let others = ["uuid", "boolean", "timestamp with time zone", "bytea"];
        assert!(!others.iter().any(|one| holds_text(&column(one))));
    }

    proptest! {
        #[test]
        fn every_sealed_text_is_found_whatever_stands_around_it(
            plain in ".*", before in "[^A-Za-z0-9+/=]*", after in "[^A-Za-z0-9+/=].*", nonce: [u8; 12],
        ) {
            let field = seal_field(&plain, &key(b'k'), nonce);
            let text = format!("{before}{field}{after}");
            prop_assert_eq!(sealed_in(&text).next(), Some(field.as_str()));
        }

        #[test]
        fn no_text_makes_looking_panic(text in ".*(enc:.*){0,3}") {
            let _ = sealed_in(&text).count();
        }
    }
}
