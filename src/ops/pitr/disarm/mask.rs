//! Values of settings as they may be shown: without what looks like a secret.

/// What a secret is called, somewhere in its name.
const SECRET: [&str; 6] = ["passw", "secret", "token", "key", "credential", "pwd"];

const MASK: &str = "***";

/// Keys of a connection that are no secret; of any other, the value is masked.
const HARMLESS: [&str; 16] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "host",
    "hostaddr",
    "keepalives",
    "port",
    "replication",
    "sslcompression",
    "sslmode",
    "sslsni",
    "target_session_attrs",
    "user",
];

/// A connection string of libpq.
pub(super) fn connection(text: &str) -> String {
    if text.contains("://") {
        return words(text).split('?').next().unwrap_or_default().to_owned();
    }
    let pairs = split_pairs(text);
    let shown = pairs.iter().map(|(key, value)| {
        let is_harmless = HARMLESS.contains(&key.as_str());
        format!("{key}={}", if is_harmless { value } else { MASK })
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// `key = 'value with \' blanks'` and so on; what is not of that form is masked as a whole.
fn split_pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            pairs.push((MASK.to_owned(), MASK.to_owned()));
            break;
        };
        let (value, after) = value(after.trim_start());
        pairs.push((key.trim().to_owned(), value));
        rest = after.trim_start();
    }
    pairs
}

fn value(text: &str) -> (String, &str) {
    let is_quoted = text.starts_with('\'');
    let mut chars = text.strip_prefix('\'').unwrap_or(text).chars();
    let mut value = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.extend(chars.next()),
            '\'' if is_quoted => break,
            c if !is_quoted && c.is_whitespace() => break,
            c => value.push(c),
        }
    }
    (value, chars.as_str())
}

/// A command: assignments and options whose name speaks of a secret, and what stands before `@`
/// in an address.
pub(super) fn words(text: &str) -> String {
    let mut hides_next = false;
    let masked = text.split(' ').map(|word| {
        let hidden = std::mem::replace(&mut hides_next, is_secret_option(word));
        match hidden && !word.is_empty() {
            true => MASK.to_owned(),
            false => in_address(&assignment(word)),
        }
    });
    masked.collect::<Vec<_>>().join(" ")
}

fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|secret| name.contains(secret))
}

/// `--secret-key VALUE`
fn is_secret_option(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=') && names_a_secret(word)
}

/// `AWS_SECRET_ACCESS_KEY=value`
fn assignment(word: &str) -> String {
    match word.split_once('=') {
        Some((name, _)) if names_a_secret(name) => format!("{name}={MASK}"),
        _ => word.to_owned(),
    }
}

/// `scheme://user:password@host`
fn in_address(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let shown = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    format!("{scheme}://{shown}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn connections_keep_where_and_lose_how() {
        for (text, expected) in [
            (
                "host=db.example user=rep password='s e\\'cret' port = 5432",
                "host=db.example user=rep password=*** port=5432",
            ),
            (
                "sslkey=/k sslpassword=x dbname='a b'",
                "sslkey=*** sslpassword=*** dbname=a b",
            ),
            (
                "postgresql://rep:secret@db:5432/x?password=y",
                "postgresql://***@db:5432/x",
            ),
            ("nonsense", "***=***"),
            ("", ""),
        ] {
            assert_eq!(connection(text), expected, "{text}");
        }
    }

    #[test]
    fn commands_keep_what_they_do() {
        for (text, expected) in [
            ("cp %p /mnt/archive/%f", "cp %p /mnt/archive/%f"),
            (
                "AWS_SECRET_ACCESS_KEY=abc aws s3 cp %p s3://b/%f --sse-c-key xyz",
                "AWS_SECRET_ACCESS_KEY=*** aws s3 cp %p s3://b/%f --sse-c-key ***",
            ),
            (
                "curl -T %p https://u:p@host/w?a=b",
                "curl -T %p https://***@host/w?a=b",
            ),
            ("wal-g --token=abc x", "wal-g --token=*** x"),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_password_of_a_connection_is_shown(before in "(host|user)=[a-z]{1,9} ", secret in "[A-Z0-9]{8}", quoted: bool) {
            let secret = format!("{secret}!");
            let value = if quoted { format!("'{secret} x'") } else { secret.clone() };
            let shown = connection(&format!("{before}password={value} port=1"));
            prop_assert!(!shown.contains(&secret), "{shown}");
        }

        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,100}") {
            let _ = (connection(&text), words(&text));
        }
    }
}
