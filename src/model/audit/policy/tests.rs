//! Policies that can be used, and those that cannot.

use super::*;
use proptest::prelude::*;

fn complaint(text: &str) -> String {
    AuditPolicy::parse(text).unwrap_err().to_string()
}

#[test]
fn a_rule_that_is_left_out_is_off() {
    let policy = AuditPolicy::parse("version = 1\n[freshness]\nmax_age = \"26h\"\n").unwrap();
    let freshness = policy.freshness.unwrap();
    assert_eq!(freshness.max_age, Some(Span::from_seconds(93_600)));
    assert!(freshness.next_due);
    assert_eq!(policy.drill, None);
    assert!(policy.stores.is_empty());
}

#[test]
fn unknown_keys_are_answered_with_the_one_that_was_meant() {
    assert_eq!(
        complaint("version = 1\n[freshness]\nmax_aeg = \"26h\"\n"),
        "line 3: unknown key `max_aeg`; did you mean `max_age`?"
    );
    assert_eq!(
        complaint("version = 1\n[checkin]\nfail = \"26h\"\n"),
        "line 2: unknown key `checkin`; did you mean `checkins`?"
    );
}

#[test]
fn values_out_of_range_are_refused() {
    for (body, says) in [
        ("[freshness]\nmax_age = 26", "a string"),
        ("[freshness]\nmax_age = \"26 h\"", "length of time"),
        ("[proof]\nmin_level = 9", "0, 1, 2 or 3"),
        ("[drill]\nmax_age = \"1d\"\nlevel = 6", "0 to 5"),
        ("[witness]\nmax_age = \"1d\"\nat_least = 0", "1 or more"),
        ("[parts]", "[parts] needs"),
        ("[checkins]\nwarn = \"9d\"\nfail = \"9d\"", "shorter"),
        ("[custody]\nmode = \"k-of-n\"", "needs `k`"),
        ("[custody]\nmode = \"any\"\nk = 2", "none in mode"),
        (
            "[[store]]\nname = \"a\"\n[[store]]\nname = \"a\"",
            "store a stands twice",
        ),
        ("", "demands nothing"),
    ] {
        let told = complaint(&format!("version = 1\n{body}\n"));
        assert!(told.contains(says), "{body:?}: {told}");
    }
}

#[test]
fn other_versions_are_refused_before_their_keys_are() {
    assert!(complaint("version = 2\n[colour]\n").contains("version 2"));
    assert!(complaint("[proof]\nmin_level = 1\n").contains("missing field `version`"));
}

#[test]
fn a_recipients_file_adds_its_fingerprints() {
    let text = "version = 1\n[custody]\nmode = \"any\"\nrecipients_file = \"r.toml\"\n";
    let mut policy = AuditPolicy::parse(text).unwrap();
    assert!(policy.recipients_file().is_some());
    let file = "[[recipient]]\ncustodian = \"alice\"\nrecipient = \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"\n";
    policy.add_recipients(&Recipients::parse(file).unwrap());
    let named = &policy.custody.unwrap().recipients;
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].custodian.as_str(), "alice");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(version = 1\n)?(\\[[a-z]{0,9}\\]\n)?.{0,80}") {
        let _ = AuditPolicy::parse(&text).map_err(|error| error.to_string());
    }
}
