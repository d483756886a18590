//! A store as one word of a command line: `NAME=dir:/path`,
//! `NAME=s3://bucket/prefix?endpoint=https://…&region=auto`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use super::{
    Place, StoreFields, StoreProblem, StoreSpec, StoreSpecError, UnknownKey, fields, lock,
};
use crate::base::names::StoreName;
use crate::base::text::printable;

/// What [`StoreSpec::to_argument`] escapes: all that separates, and all that is not visible.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'+')
    .remove(b',');

impl StoreSpec {
    /// Reads a store from a command line. `default_name` is for addresses without `NAME=`.
    /// Keys of the query are those of `[[store]]`; values may be percent-encoded. No error
    /// repeats the argument, which may hold a secret where none belongs.
    pub fn parse_argument(text: &str, default_name: &StoreName) -> Result<Self, StoreSpecError> {
        let mut store = default_name.clone();
        let spec = table(text, &mut store).and_then(fields_of);
        match spec {
            Ok(fields) => fields.check(),
            Err(problem) => Err(StoreSpecError { store, problem }),
        }
    }

    /// The store as [`StoreSpec::parse_argument`] reads it back. Holds no secret; a shell
    /// needs quotes around it.
    pub fn to_argument(&self) -> String {
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut out = match &self.place {
            Place::Dir { path } => format!("{}=dir:{}", self.name, escape(&path.to_string_lossy())),
            Place::S3(place) => {
                let slash = if place.prefix.is_empty() { "" } else { "/" };
                let prefix = escape(&place.prefix);
                format!("{}=s3://{}{slash}{prefix}", self.name, place.bucket)
            }
        };
        let in_front = ["name", "type", "path", "bucket", "prefix"];
        let table = self.to_toml_table();
        let query = table
            .iter()
            .filter(|(key, _)| !in_front.contains(&key.as_str()));
        for (index, (key, value)) in query.enumerate() {
            let text = match (key.as_str(), &self.lock) {
                ("lock", Some(policy)) => lock::to_query(policy),
                _ => value.as_str().map_or_else(|| value.to_string(), escape),
            };
            out.push_str(&format!(
                "{}{key}={text}",
                if index == 0 { '?' } else { '&' }
            ));
        }
        out
    }
}

/// The argument as the table it stands for; `store` becomes the name as soon as it is known.
fn table(text: &str, store: &mut StoreName) -> Result<toml::Table, StoreProblem> {
    let bare = text.starts_with("dir:") || text.starts_with("s3://");
    let address = match text.split_once('=') {
        Some((name, address)) if !bare => {
            *store = name.parse().map_err(|_| StoreProblem::Name)?;
            address
        }
        _ => text,
    };
    let (place, query) = address.split_once('?').unwrap_or((address, ""));
    let mut table = toml::Table::new();
    insert(&mut table, "name", store.as_str().into())?;
    if let Some(path) = place.strip_prefix("dir:") {
        insert(&mut table, "type", "dir".into())?;
        insert(&mut table, "path", decoded("path", path)?.into())?;
    } else if let Some(place) = place.strip_prefix("s3://") {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.contains('@') {
            return Err(StoreProblem::UserInfo);
        }
        insert(&mut table, "type", "s3".into())?;
        insert(&mut table, "bucket", bucket.into())?;
        insert(&mut table, "prefix", decoded("prefix", prefix)?.into())?;
    } else {
        return Err(StoreProblem::Address);
    }
    read_query(query, &mut table)?;
    Ok(table)
}

fn read_query(query: &str, table: &mut toml::Table) -> Result<(), StoreProblem> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = decoded(key, value)?;
        let value = match (key, text.as_str()) {
            ("required" | "path_style" | "temporary_credentials", text) => match text {
                "true" => true.into(),
                "false" => false.into(),
                _ => return Err(malformed(key, "true or false")),
            },
            ("lock", text) => lock::from_query(text)?,
            _ => text.into(),
        };
        insert(table, key, value)?;
    }
    Ok(())
}

fn insert(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), StoreProblem> {
    if let Some(secret) = fields::secret_in_clear(key) {
        return Err(StoreProblem::SecretInClear(secret));
    }
    match table.insert(key.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(StoreProblem::Twice(shown(key))),
    }
}

fn decoded(key: &str, value: &str) -> Result<String, StoreProblem> {
    let text = percent_decode_str(value).decode_utf8();
    text.map(|text| text.into_owned())
        .map_err(|_| malformed(key, "UTF-8 once decoded"))
}

fn malformed(key: &str, expected: &'static str) -> StoreProblem {
    let key = shown(key);
    StoreProblem::Malformed { key, expected }
}

/// A key as errors show it: whoever wrote it may have written anything.
fn shown(key: &str) -> String {
    let start: String = key.chars().take(40).collect();
    printable(&start).into_owned()
}

fn fields_of(table: toml::Table) -> Result<StoreFields, StoreProblem> {
    StoreFields::deserialize(table).map_err(|error| {
        UnknownKey::from_serde(error.message()).map_or_else(
            || StoreProblem::Query(error.message().to_owned()),
            StoreProblem::UnknownKey,
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{CredentialsSource, S3Place, SecretPlace};
    use super::*;
    use crate::model::lock::{LockMode, LockPolicy};
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<StoreSpec, StoreSpecError> {
        StoreSpec::parse_argument(text, &"store1".parse().unwrap())
    }

    fn complaint(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    fn s3(spec: &StoreSpec) -> &S3Place {
        match &spec.place {
            Place::S3(place) => place,
            Place::Dir { .. } => panic!("not a bucket"),
        }
    }

    #[test]
    fn a_directory_is_a_word() {
        let spec = parse("usb=dir:/mnt/usb/escrow").unwrap();
        assert_eq!(spec.name.as_str(), "usb");
        assert!(spec.required);
        let path = PathBuf::from("/mnt/usb/escrow");
        assert_eq!(spec.place, Place::Dir { path });
    }

    #[test]
    fn an_address_without_a_name_takes_the_callers() {
        assert_eq!(parse("dir:/a=b").unwrap().name.as_str(), "store1");
        let spec = parse("s3://bucket?region=eu-west-1").unwrap();
        assert_eq!(
            (s3(&spec).bucket.as_str(), s3(&spec).prefix.as_str()),
            ("bucket", "")
        );
    }

    #[test]
    fn endpoints_may_be_escaped_or_not() {
        let plain = parse("r2=s3://b/p/q/?endpoint=https://host:8333&path_style=false").unwrap();
        let escaped = parse("r2=s3://b/p/q?endpoint=https%3A%2F%2Fhost%3A8333&path_style=false");
        assert_eq!(plain, escaped.unwrap());
        assert_eq!(s3(&plain).endpoint_url().unwrap(), "https://host:8333");
    }

    #[test]
    fn an_r2_token_brings_its_endpoint() {
        let spec =
            parse("r2=s3://b?account_id=0123456789abcdef0123456789abcdef&token_id=t").unwrap();
        assert_eq!(
            s3(&spec).endpoint_url().unwrap(),
            "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"
        );
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in [
            "r2=s3://b?region=x&secret_access_key=hunter2",
            "r2=s3://b?region=x&token_value=hunter2",
            "r2=s3://AK:hunter2@bucket/prefix",
            "r2=s3://b?endpoint=https://AK:hunter2@host",
            "r2=ftp://hunter2",
            "s3//AK:hunter2@bucket",
            "s3//AK:hunter2@bucket?region=x",
            "r2=s3://AK:hunter2/bucket",
        ] {
            let complaint = complaint(text);
            assert!(!complaint.contains("hunter2"), "{text}: {complaint}");
        }
    }

    #[test]
    fn complaints_say_what_to_do() {
        for (text, words) in [
            (
                "r2=s3://b?regoin=x",
                "store r2: unknown key `regoin`; did you mean `region`?",
            ),
            (
                "r2=s3://b?region=x&region=y",
                "store r2: `region` is given twice",
            ),
            ("r2=s3://b?bucket=c", "store r2: `bucket` is given twice"),
            (
                "r2=s3://b",
                "store r2: `region` must be an AWS region where no `endpoint` is given",
            ),
            (
                "r2=s3://b?required=no",
                "store r2: `required` must be true or false",
            ),
            (
                "r2=s3://b?region=x&token_id=t",
                "store r2: `token_id` needs `account_id` beside it",
            ),
            (
                "r2=s3://b?region=x&temporary_credentials=true",
                "store r2: `temporary_credentials` needs `token_id` beside it",
            ),
            (
                "s3=s3://b?region=x&session_token_file=t",
                "store s3: `session_token_file` needs `access_key_id` beside it",
            ),
            (
                "usb=dir:/x?region=y",
                "store usb: `region` means nothing to a store of type dir; remove it",
            ),
            (
                "usb=dir:",
                "store usb: `path` must be a path without control characters",
            ),
            (
                "r2=s3://b/a/../c?region=x",
                "store r2: `prefix` must be names separated by single slashes, none of them '.' or '..'",
            ),
        ] {
            assert_eq!(complaint(text), words);
        }
    }

    fn secret_place() -> impl Strategy<Value = SecretPlace> {
        prop_oneof![
            Just(SecretPlace::Environment),
            "[^\\p{C}]{1,20}".prop_map(|path| SecretPlace::File(path.into())),
        ]
    }

    fn credentials() -> impl Strategy<Value = CredentialsSource> {
        prop_oneof![
            Just(CredentialsSource::Environment),
            ("[!-~]{1,20}", secret_place(), secret_place()).prop_map(
                |(id, secret, session_token)| CredentialsSource::AccessKey {
                    id,
                    secret,
                    session_token,
                }
            ),
            ("[0-9a-f]{32}", "[!-~]{1,20}", secret_place(), any::<bool>()).prop_map(
                |(account_id, token_id, token_value, temporary)| {
                    CredentialsSource::R2Token {
                        account_id,
                        token_id,
                        token_value,
                        temporary,
                    }
                }
            ),
        ]
    }

    fn bucket() -> impl Strategy<Value = Place> {
        (
            "[A-Za-z0-9._-]{1,20}",
            "(x[^\\p{C}/]{0,10}(/x[^\\p{C}/]{0,10}){0,2})?",
            prop::option::of("https?://[a-z0-9.:-]{1,20}(/[a-z%&=+]{1,9})?"),
            "[a-z][a-z0-9-]{1,9}",
            any::<bool>(),
            credentials(),
        )
            .prop_map(
                |(bucket, prefix, endpoint, region, path_style, credentials)| {
                    Place::S3(S3Place {
                        bucket,
                        prefix,
                        endpoint,
                        region,
                        path_style,
                        credentials,
                    })
                },
            )
            .prop_filter("AWS needs a region", |place| match place {
                Place::S3(s3) => s3.endpoint_url().is_some() || s3.region != "auto",
                Place::Dir { .. } => true,
            })
    }

    fn lock() -> impl Strategy<Value = LockPolicy> {
        let modes = [LockMode::Compliance, LockMode::Governance];
        (
            prop::sample::select(modes.to_vec()),
            1..=400_u32,
            0..=36_100_u32,
        )
            .prop_map(|(mode, days, more)| LockPolicy {
                mode,
                days,
                manifest_days: days + more,
            })
    }

    #[test]
    fn lock_is_mode_and_days() {
        let spec = parse("lat=s3://b?endpoint=https://h&lock=compliance:30").unwrap();
        let policy = LockPolicy {
            mode: LockMode::Compliance,
            days: 30,
            manifest_days: 400,
        };
        assert_eq!(spec.lock, Some(policy));
        assert!(spec.to_argument().ends_with("lock=compliance:30:400"));
        let complaint = complaint("usb=dir:/mnt/usb?lock=compliance:30");
        assert_eq!(
            complaint,
            "store usb: `lock` means nothing to a store of type dir; remove it"
        );
    }

    fn spec() -> impl Strategy<Value = StoreSpec> {
        let dir = "[^\\p{C}]{1,40}".prop_map(|path| Place::Dir { path: path.into() });
        (
            "[a-z0-9][a-z0-9_-]{0,9}",
            any::<bool>(),
            prop::option::of("[a-z0-9]{1,9}"),
            prop::option::of(lock()),
            prop_oneof![dir, bucket()],
        )
            .prop_map(|(name, required, provider, lock, place)| StoreSpec {
                name: name.parse().unwrap(),
                required,
                provider,
                lock: lock.filter(|_| matches!(place, Place::S3(_))),
                place,
            })
    }

    proptest! {
        #[test]
        fn arguments_round_trip(spec in spec()) {
            let text = spec.to_argument();
            prop_assert_eq!(parse(&text).map_err(|e| e.to_string()), Ok(spec));
        }

        #[test]
        fn tables_round_trip(spec in spec()) {
            let text = spec.to_toml_table().to_string();
            let fields: StoreFields = toml::from_str(&text).unwrap();
            prop_assert_eq!(fields.check().map_err(|e| e.to_string()), Ok(spec));
        }

        #[test]
        fn any_argument_is_survived(text in "([a-z]{0,3}=)?(s3://|dir:)?.{0,60}") {
            let _ = parse(&text).map_err(|error| error.to_string());
        }

        #[test]
        fn any_query_is_survived(query in "([a-z_]{1,12}=[%a-f0-9/:?]{0,9}&?){0,4}") {
            let _ = parse(&format!("s3://b?{query}")).map_err(|error| error.to_string());
        }
    }
}
