//! How to start Databasus on a rehydrated directory: the same thing as a compose file and as a
//! command line, without a network unless it is fenced.

use std::path::Path;

/// Stands where the image is not known. Docker refuses upper case, so nobody starts the wrong
/// release by accident.
const UNKNOWN_IMAGE: &str = "FILL_IN_THE_IMAGE";

/// What keeps a rehydrated Databasus from touching production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing in its metadata: it must not have a network.
    NoNetwork,
    /// The fence, as far as this tool knows the schema; the rest only the network can do.
    PartlyFenced,
    /// The fence.
    Fenced,
    /// It knows no source, no notifier and no schedule: it was made from a key and a bucket.
    Inert,
}

impl Isolation {
    /// Says what a careless start costs; goes into both forms.
    fn warning(self) -> &'static str {
        match self {
            Self::NoNetwork => {
                "\
# UNFENCED, and so without a network. An unfenced clone was seen deleting production's backups
# within two seconds of its start. Give it a network only when its metadata is fenced, or when
# production is dead and stays dead.
"
            }
            Self::PartlyFenced => {
                "\
# PARTLY FENCED, and so without a network: its schema is newer than this tool. What the fence does
# not know is listed in the report. Give it a network that leads to the backups' bucket alone.
"
            }
            Self::Fenced => {
                "\
# FENCED: it lists, downloads and restores backups, and starts nothing by itself. Do not delete
# backups, databases or storages in it. Its users' passwords and sessions are production's: it
# listens on this host alone. Best is a network that leads to the backups' bucket and nowhere else.
"
            }
            Self::Inert => {
                "\
# Made from the key and the bucket: it lists, downloads and restores backups, and has nothing else to
# do. Do not delete backups in it while they are needed. Whoever opens its page first sets the
# admin's password: it listens on this host alone.
"
            }
        }
    }

    fn has_network(self) -> bool {
        matches!(self, Self::Fenced | Self::Inert)
    }
}

/// Databasus' own port, on this host's loopback only.
const PORT: &str = "127.0.0.1:4005:4005";

const IMAGE_IS_UNKNOWN: &str = "\
# The image is not recorded. Put the release that production ran in place of FILL_IN_THE_IMAGE:
# another release may change the database for good.
";

/// Two ways to start a rehydrated Databasus, ready to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartInstructions {
    /// A compose file.
    pub compose_yaml: String,
    /// Comments and one command for a POSIX shell.
    pub docker_run: String,
}

/// How to start Databasus on `target`, an absolute path, in the recorded image, else in the
/// official image of the recorded version. A path that is not UTF-8 is shown with replacements.
pub fn start_instructions(
    image: Option<&str>,
    version: Option<&str>,
    target: &Path,
    isolation: Isolation,
) -> StartInstructions {
    let known = image
        .map(str::to_owned)
        .or_else(|| version.map(official_image));
    let unknown = if known.is_none() {
        IMAGE_IS_UNKNOWN
    } else {
        ""
    };
    let image = known.unwrap_or_else(|| UNKNOWN_IMAGE.to_owned());
    let target = target.to_string_lossy();
    StartInstructions {
        compose_yaml: compose_yaml(isolation, unknown, &image, &target),
        docker_run: docker_run(isolation, unknown, &image, &target),
    }
}

fn official_image(version: &str) -> String {
    format!("databasus/databasus:v{}", version.trim_start_matches('v'))
}

/// Long volume syntax: the short one splits at colons and makes a missing folder, in which
/// Databasus would quietly make a new key.
fn compose_yaml(isolation: Isolation, unknown: &str, image: &str, target: &str) -> String {
    let warning = isolation.warning();
    let network = match isolation.has_network() {
        true => format!("ports:\n      - \"{PORT}\""),
        false => "network_mode: none".to_owned(),
    };
    format!(
        "{warning}{unknown}services:
  databasus:
    image: {image}
    container_name: databasus-rehydrated
    restart: \"no\"
    {network}
    environment:
      IS_DISABLE_ANONYMOUS_TELEMETRY: \"true\"
    volumes:
      - type: bind
        source: {target}
        target: /databasus-data
        bind:
          create_host_path: false
",
        image = yaml(image),
        target = yaml(target),
    )
}

/// `--mount` rather than `--volume`, for the same reasons.
fn docker_run(isolation: Isolation, unknown: &str, image: &str, target: &str) -> String {
    let source = csv_field(&format!("source={target}"));
    let mount = shell(&format!("type=bind,{source},target=/databasus-data"));
    let warning = isolation.warning();
    let network = match isolation.has_network() {
        true => format!("--publish {PORT}"),
        false => "--network none".to_owned(),
    };
    format!(
        "{warning}{unknown}docker run --detach --name databasus-rehydrated --restart no {network} \\
  --env IS_DISABLE_ANONYMOUS_TELEMETRY=true \\
  --mount {mount} \\
  {image}
",
        image = shell(image),
    )
}

/// One word of a POSIX shell, in quotes where it needs them.
fn shell(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@=,+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One field of the comma-separated list that `--mount` is.
fn csv_field(text: &str) -> String {
    if !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A double-quoted YAML scalar in which compose interpolates nothing.
fn yaml(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '$' => out.push_str("$$"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start(image: Option<&str>, version: Option<&str>, target: &str) -> StartInstructions {
        start_instructions(image, version, Path::new(target), Isolation::NoNetwork)
    }

    #[test]
    fn a_plain_path_reads_plainly() {
        let start = start(None, Some("3.42.0"), "/srv/restored");
        assert_eq!(
            start.docker_run.replace(Isolation::NoNetwork.warning(), ""),
            "docker run --detach --name databasus-rehydrated --restart no --network none \\
  --env IS_DISABLE_ANONYMOUS_TELEMETRY=true \\
  --mount type=bind,source=/srv/restored,target=/databasus-data \\
  databasus/databasus:v3.42.0
"
        );
        assert!(start.compose_yaml.contains("    network_mode: none\n"));
        assert!(
            start
                .compose_yaml
                .contains("        source: \"/srv/restored\"\n")
        );
    }

    #[test]
    fn the_recorded_image_wins_over_the_version() {
        let start = start(Some("registry:5000/db@sha256:ab"), Some("3.42.0"), "/x");
        assert!(start.docker_run.ends_with("  registry:5000/db@sha256:ab\n"));
        assert!(
            start
                .compose_yaml
                .contains("image: \"registry:5000/db@sha256:ab\"\n")
        );
    }

    #[test]
    fn a_version_may_bring_its_own_v() {
        let start = start(None, Some("v3.49.0"), "/x");
        assert!(start.docker_run.contains("databasus/databasus:v3.49.0\n"));
    }

    #[test]
    fn an_unknown_image_has_to_be_filled_in() {
        let start = start(None, None, "/x");
        for text in [start.compose_yaml, start.docker_run] {
            assert!(text.contains("# The image is not recorded."), "{text}");
            assert!(text.contains("FILL_IN_THE_IMAGE"), "{text}");
        }
    }

    #[test]
    fn both_forms_warn_and_have_no_network() {
        let start = start(None, Some("3.42.0"), "/x");
        assert!(start.compose_yaml.starts_with("# UNFENCED"));
        assert!(start.docker_run.starts_with("# UNFENCED"));
        assert!(start.docker_run.contains("--network none"));
    }

    #[test]
    fn only_a_whole_fence_gives_it_a_network() {
        let start =
            |isolation| start_instructions(None, Some("3.49.0"), Path::new("/x"), isolation);
        let fenced = start(Isolation::Fenced);
        assert!(fenced.docker_run.contains("--publish 127.0.0.1:4005:4005"));
        assert!(
            fenced
                .compose_yaml
                .contains("    ports:\n      - \"127.0.0.1:4005:4005\"\n")
        );
        let partly = start(Isolation::PartlyFenced);
        assert!(partly.docker_run.contains("--network none"));
        assert!(partly.compose_yaml.contains("network_mode: none"));
    }

    #[test]
    fn hostile_paths_stay_one_word() {
        let start = start(None, Some("1"), "/a b/it's/$HOME/\"q\",c\\");
        let mount = r#"  --mount 'type=bind,"source=/a b/it'\''s/$HOME/""q"",c\",target=/databasus-data' \"#;
        assert!(start.docker_run.contains(mount), "{}", start.docker_run);
        let source = r#"        source: "/a b/it's/$$HOME/\"q\",c\\""#;
        assert!(
            start.compose_yaml.contains(source),
            "{}",
            start.compose_yaml
        );
    }

    /// What a POSIX shell makes of a word that is single-quoted or plain.
    fn unquoted(word: &str) -> String {
        match word
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
        {
            Some(inner) => inner.replace(r"'\''", "'"),
            None => word.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn shell_words_mean_what_they_held(text in "[^\\x00]{0,30}") {
            prop_assert_eq!(unquoted(&shell(&text)), text);
        }

        #[test]
        fn yaml_scalars_stay_on_their_line(text in any::<String>()) {
            let scalar = yaml(&text);
            prop_assert!(!scalar.contains(char::is_control));
            let inner = &scalar[1..scalar.len() - 1];
            prop_assert!(!inner.replace("\\\\", "").replace("\\\"", "").contains('"'));
        }
    }
}
