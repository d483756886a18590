//! How answers are read. All of them come over the network: nothing in them is taken for granted.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::base::text::{printable, shortened};

/// A version has at most so many letters.
const LONGEST_VERSION: usize = 40;

/// A token has at most so many letters; Databasus' own have 64.
const LONGEST_TOKEN: usize = 512;

/// An answer that is not what such a call is answered with.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not JSON of this form.
    #[error("it is not what Databasus answers: {0}")]
    Malformed(String),
    /// A version that is none.
    #[error("it names no version")]
    Version,
    /// A token that cannot stand in a path.
    #[error("it holds no usable token")]
    Token,
}

/// A page of what Databasus lists.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Page {
    /// What is on it; null where there is nothing.
    #[serde(deserialize_with = "or_nothing")]
    pub backups: Vec<ListedBackup>,
    /// How many there are on all pages.
    pub total: u64,
}

/// A backup as Databasus lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ListedBackup {
    /// Its id.
    pub id: Uuid,
    /// Its state, in Databasus' words.
    pub status: String,
}

/// Fetches one backup, once.
#[derive(Clone)]
pub struct DownloadToken(Zeroizing<String>);

impl ListedBackup {
    /// Whether it can be restored, by what Databasus says.
    pub fn is_completed(&self) -> bool {
        self.status == "COMPLETED"
    }
}

impl DownloadToken {
    /// The token, for the path of a request alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DownloadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DownloadToken")
    }
}

/// Go writes an empty list as null where it never made one.
fn or_nothing<'de, D>(deserializer: D) -> Result<Vec<ListedBackup>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads the answer to [`super::Call::Version`]; without the `v` that some put before it.
pub fn version(bytes: &[u8]) -> Result<String, AnswerError> {
    #[derive(Deserialize)]
    struct Answer {
        version: String,
    }
    let answer: Answer = read(bytes)?;
    let version = answer.version.trim_start_matches('v');
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte);
    let is_version = (1..=LONGEST_VERSION).contains(&version.len());
    match is_version && version.bytes().all(is_letter) {
        true => Ok(version.to_owned()),
        false => Err(AnswerError::Version),
    }
}

/// Reads the answer to [`super::Call::Backups`].
pub fn page(bytes: &[u8]) -> Result<Page, AnswerError> {
    read(bytes)
}

/// Reads the answer to [`super::Call::Databases`]: the host of each database that has one. What
/// holds it is called otherwise for each engine and release.
pub fn hosts(bytes: &[u8]) -> Result<Vec<String>, AnswerError> {
    let databases: Option<Vec<serde_json::Map<String, Value>>> = read(bytes)?;
    let databases = databases.unwrap_or_default();
    let settings = databases.iter().flat_map(|database| database.values());
    let hosts = settings.filter_map(|setting| setting.get("host")?.as_str());
    Ok(hosts.map(str::to_owned).collect())
}

/// Reads the answer to [`super::Call::DownloadToken`].
pub fn download_token(bytes: &[u8]) -> Result<DownloadToken, AnswerError> {
    #[derive(Deserialize)]
    struct Answer {
        token: String,
    }
    // What serde says could quote it.
    let answer = serde_json::from_slice::<Answer>(bytes).map_err(|_| AnswerError::Token)?;
    let token = Zeroizing::new(answer.token);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_token = (1..=LONGEST_TOKEN).contains(&token.len());
    match is_token && token.bytes().all(is_letter) {
        true => Ok(DownloadToken(token)),
        false => Err(AnswerError::Token),
    }
}

/// What a refusal says of itself: one short line, printable; empty where it says nothing.
pub fn said(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(alias = "message")]
        error: String,
    }
    let answer = serde_json::from_slice::<Answer>(bytes);
    answer.map_or_else(
        |_| String::new(),
        |answer| shortened(&printable(&answer.error)),
    )
}

fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let words = error.to_string();
        AnswerError::Malformed(shortened(&printable(&words)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_are_read_with_and_without_their_letter() {
        assert_eq!(version(br#"{"version":"3.49.0"}"#).unwrap(), "3.49.0");
        assert_eq!(version(br#"{"version":"v3.42.0"}"#).unwrap(), "3.42.0");
        for other in [r#"{"version":""}"#, r#"{"version":"a b"}"#, "{}", "<html>"] {
            assert!(version(other.as_bytes()).is_err(), "{other}");
        }
    }

    /// As 3.49.0 answers, cut to one row.
    #[test]
    fn a_page_is_read_for_ids_and_states() {
        let answer = br#"{"backups":[{"id":"dd1c7d3f-5887-4cd7-863c-d7319cb296d6",
            "fileName":"media-20261123-031021-dd1c7d3f-5887-4cd7-863c-d7319cb296d6",
            "databaseId":"ed9bfc34-5a56-4882-bd7d-0f2b2c6eebbf","status":"COMPLETED",
            "failMessage":null,"backupSizeMb":38.5,"createdAt":"2026-11-23T03:10:21Z"}],
            "total":7,"limit":1,"offset":0}"#;
        let page = page(answer).unwrap();
        assert_eq!(page.total, 7);
        let id = page.backups[0].id.to_string();
        assert_eq!(id, "dd1c7d3f-5887-4cd7-863c-d7319cb296d6");
        assert!(page.backups[0].is_completed());
    }

    #[test]
    fn a_list_that_was_never_made_is_empty() {
        let page = page(br#"{"backups":null,"total":0}"#).unwrap();
        assert_eq!(page.backups, []);
    }

    /// As 3.42 and 3.49 answer, cut to what matters.
    #[test]
    fn hosts_are_read_whatever_the_engine_is() {
        let answer = br#"[{"name":"host","postgresql":{"host":"db.internal","port":5432}},
            {"postgresqlPhysical":{"host":"fenced.invalid"},"mongodb":null},
            {"postgresql":{"host":null},"notifiers":[{"host":"mail"}]}]"#;
        assert_eq!(hosts(answer).unwrap(), ["db.internal", "fenced.invalid"]);
        assert_eq!(hosts(b"null").unwrap(), [""; 0]);
        assert!(hosts(br#"{"error":"x"}"#).is_err());
    }

    #[test]
    fn a_token_that_could_change_the_path_is_none() {
        assert!(download_token(br#"{"token":"Ab-9_x"}"#).is_ok());
        for other in [
            r#"{"token":"a&b=c"}"#,
            r#"{"token":"../x"}"#,
            r#"{"token":""}"#,
        ] {
            let refused = download_token(other.as_bytes()).unwrap_err();
            assert!(!refused.to_string().contains("b=c"));
        }
    }

    #[test]
    fn refusals_speak_in_one_printable_line() {
        assert_eq!(
            said(br#"{"error":"no\u001b[2J access"}"#),
            "no\\u{1b}[2J access"
        );
        assert_eq!(said(b"<html>"), "");
    }

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (version(&bytes), page(&bytes), download_token(&bytes), said(&bytes));
            let _ = hosts(&bytes);
        }

        #[test]
        fn what_is_read_stays_within_bounds(text in ".{0,700}") {
            let answer = serde_json::json!({"version": text, "token": text, "error": text});
            let bytes = answer.to_string().into_bytes();
            prop_assert!(version(&bytes).map_or(0, |v| v.len()) <= LONGEST_VERSION);
            prop_assert!(download_token(&bytes).map_or(0, |t| t.expose().len()) <= LONGEST_TOKEN);
            prop_assert!(said(&bytes).len() < 2_000);
        }
    }
}
