//! What the configuration accepts, and how it says no.

use super::*;
use crate::model::proof::Level;
use crate::model::store_spec::Place;
use proptest::prelude::*;

const STORE: &str = "[[store]]\nname = \"usb\"\ntype = \"dir\"\npath = \"usb\"\n";
const SIGNING: &str = "[signing]\nkey_file = \"signing.key\"\nsigner = \"escrow-host\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/escrow"))
}

/// A configuration with a source, made of the given lines of `[source]`.
fn with_source(lines: &str) -> Result<Config, ConfigError> {
    parse(&format!(
        "instance = \"prod\"\n[source]\n{lines}\n{SIGNING}{STORE}"
    ))
}

fn complaint(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_reader_needs_an_instance_and_a_store() {
    let config = parse(&format!("instance = \"prod\"\n{STORE}")).unwrap();
    assert_eq!(config.instance.as_str(), "prod");
    assert_eq!(
        (config.source, config.signing, config.open),
        (None, None, None)
    );
    assert_eq!(
        config.schedule,
        Schedule {
            every_hours: 24,
            grace_hours: 2
        }
    );
    assert_eq!(config.compression.level, 3);
    assert_eq!(config.proof.level, Level::FirstChunks);
}

#[test]
fn a_source_is_databasus_own_layout_unless_told_otherwise() {
    let source = with_source("").unwrap().source.unwrap();
    assert_eq!(source, Source::default());
    assert_eq!(source.data_dir, Path::new("/databasus-data"));
    assert_eq!(
        (source.host.as_str(), source.port.get()),
        ("127.0.0.1", 5437)
    );
    assert_eq!(
        (source.user.as_str(), source.database.as_str()),
        ("postgres", "databasus")
    );
}

#[test]
fn relative_paths_start_at_the_configurations_folder() {
    let config = parse(&format!("instance = \"prod\"\n{STORE}")).unwrap();
    let path = config.resolve(&config.trust.allowed_signers);
    assert_eq!(path, Path::new("/etc/escrow/policies/allowed_signers"));
    assert_eq!(config.resolve(Path::new("/mnt/usb")), Path::new("/mnt/usb"));
}

#[test]
fn stores_keep_their_order() {
    let second = STORE.replace("usb", "disk");
    let config = parse(&format!("instance = \"prod\"\n{STORE}{second}")).unwrap();
    let names: Vec<&str> = config
        .stores
        .iter()
        .map(|store| store.name.as_str())
        .collect();
    assert_eq!(names, ["usb", "disk"]);
    assert_eq!(config.stores[0].place, Place::Dir { path: "usb".into() });
}

#[test]
fn a_container_or_a_namespace_leads_to_postgresql() {
    let reach = |line| with_source(line).unwrap().source.unwrap().reach;
    assert_eq!(
        reach("container = \"databasus\""),
        Some(Reach::Container("databasus".to_owned()))
    );
    assert_eq!(
        reach("netns = \"/proc/7/ns/net\""),
        Some(Reach::Netns("/proc/7/ns/net".into()))
    );
}

#[test]
fn unknown_keys_are_refused_with_line_and_remedy() {
    for (text, words) in [
        (
            "instance = \"prod\"\n\n[recipient]\nfile = \"x\"\n",
            "line 3: unknown key `recipient`; did you mean `recipients`?",
        ),
        (
            "instance = \"prod\"\n[source]\ndatadir = \"x\"\n",
            "line 3: unknown key `datadir`; did you mean `data_dir`?",
        ),
        (
            "instance = \"prod\"\n[source.frozen]\nprepares = []\n",
            "line 3: unknown key `prepares`; did you mean `prepare`?",
        ),
        (
            "instance = \"prod\"\n[[store]]\nname = \"a\"\nbuckte = \"b\"\n",
            "line 4: unknown key `buckte`; did you mean `bucket`?",
        ),
    ] {
        assert_eq!(complaint(text), words);
    }
}

#[test]
fn secrets_are_refused_and_not_repeated() {
    for key in ["secret_access_key", "token_value", "session_token"] {
        let text = format!("instance = \"prod\"\n[[store]]\nname = \"r2\"\n{key} = \"hunter2\"\n");
        assert_eq!(
            complaint(&text),
            format!(
                "line 4: `{key}` must not stand in the configuration; name a file with `{key}_file` or set the environment"
            )
        );
    }
    let broken = "instance = \"prod\"\n[[store]]\nsecret_access_key = hunter2\n";
    assert!(!complaint(broken).contains("hunter2"));
}

#[test]
fn a_source_never_lies_beside_an_identity() {
    let open = "[open]\nidentity_file = \"id.txt\"\n";
    let text = format!("instance = \"prod\"\n[source]\n{SIGNING}{open}{STORE}");
    let error = parse(&text).unwrap_err();
    assert!(
        matches!(error.problem, ConfigProblem::SourceAndOpen),
        "{error}"
    );
}

#[test]
fn a_source_is_always_signed_for() {
    let error = parse(&format!("instance = \"prod\"\n[source]\n{STORE}")).unwrap_err();
    assert!(
        matches!(error.problem, ConfigProblem::NothingToSignWith),
        "{error}"
    );
    assert_eq!(error.line, Some(2));
}

#[test]
fn contradictions_in_a_source_are_refused() {
    for (lines, words) in [
        ("container = \"a\"\nnetns = \"/b\"", "two ways"),
        (
            "[source.frozen]\nprepare = [\"zfs\"]",
            "method = \"frozen\"",
        ),
        (
            "method = \"frozen\"\n[source.frozen]\nprepare = []",
            "needs a program",
        ),
        ("method = \"hot\"", "unknown variant `hot`"),
        ("port = 0", "nonzero"),
        ("port = 70000", "70000"),
        ("host = \"127.0.0.1:5437\"", "the port has its own key"),
        ("container = \"a; rm -rf /\"", "`container` must begin"),
        ("image = \"\"", "`image` must begin"),
    ] {
        let complaint = with_source(lines).unwrap_err().to_string();
        assert!(complaint.contains(words), "{lines}: {complaint}");
        assert!(complaint.starts_with("line "), "{complaint}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (section, words) in [
        ("[compression]\nlevel = 22", "line 3: level must be 1 to 19"),
        (
            "[proof]\nlevel = 4",
            "line 3: a proof level is 0, 1, 2 or 3",
        ),
        (
            "[schedule]\nevery_hours = 0",
            "line 3: every_hours must be 1 to 8760",
        ),
        (
            "[schedule]\ngrace_hours = -1",
            "line 3: grace_hours must be 0 to 8760",
        ),
    ] {
        assert_eq!(
            complaint(&format!("instance = \"prod\"\n{section}\n{STORE}")),
            words
        );
    }
}

#[test]
fn a_quorum_is_asked_for_and_nobody_is_without() {
    let with = |lines: &str| parse(&format!("instance = \"prod\"\n{lines}{STORE}"));
    assert_eq!(with("").unwrap().custody.k, None);
    assert_eq!(with("[custody]\nk = 2\n").unwrap().custody.k, Some(2));
    assert!(with("[custody]\nk = -1\n").is_err());
    assert!(with("[custody]\nn = 3\n").is_err());
}

#[test]
fn stores_are_told_apart_by_name_and_variables() {
    for other in ["usb", "us-b", "us.b"] {
        let first = STORE.replace("usb", &other.replace(['-', '.'], "_"));
        let text = format!(
            "instance = \"prod\"\n{first}{}",
            STORE.replace("usb", other)
        );
        let error = parse(&text).unwrap_err();
        assert!(
            matches!(error.problem, ConfigProblem::StoresAlike { .. }),
            "{error}"
        );
        assert_eq!(error.line, Some(6));
    }
    assert!(complaint("instance = \"prod\"\n").contains("there is no store"));
}

#[test]
fn a_stores_error_has_line_and_name() {
    let text = "instance = \"prod\"\n[[store]]\nname = \"r2\"\ntype = \"s3\"\n";
    assert_eq!(
        complaint(text),
        "line 2: store r2: a store of type s3 needs `bucket`"
    );
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(instance|\\[source\\]|\\[\\[store\\]\\]|[a-z_]{1,9}| = |\"|\\n|.){0,20}") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }
}
