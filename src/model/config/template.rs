//! The `escrow.toml` that `init` writes: every option with one line about it, those that keep
//! their default commented out.

use std::fmt::Write as _;
use std::path::Path;

use toml::Value;

use super::{
    Compression, Config, Frozen, Open, Reach, Recipients, Schedule, Signing, Source, SourceMethod,
    State, Trust,
};
use crate::base::names::Slug;
use crate::model::store_spec::{Place, StoreSpec};

/// What `init` found out; everything else keeps its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The Databasus installation.
    pub instance: Slug,
    /// None on a box that only reads.
    pub source: Option<Source>,
    /// None on a box that signs nothing.
    pub signing: Option<Signing>,
    /// None beside a source.
    pub open: Option<Open>,
    /// When the next escrow is due.
    pub schedule: Schedule,
    /// In the order they are to be written.
    pub stores: Vec<StoreSpec>,
}

impl Config {
    /// A commented configuration that [`Config::parse`] reads back to these answers.
    pub fn template(answers: &Answers) -> String {
        let mut page = Page::new();
        page.line(
            true,
            "instance",
            text(answers.instance.as_str()),
            "names this Databasus in every store; never changes",
        );
        page.source(answers.source.as_ref());
        page.signing(answers.signing.as_ref());
        page.paths();
        page.schedule(answers.schedule);
        page.open(answers.open.as_ref());
        for store in &answers.stores {
            page.store(store);
        }
        if answers.stores.is_empty() {
            page.example_store();
        }
        page.0
    }
}

const INTRODUCTION: &str = "\
# Configuration of databasus-escrow. Relative paths start at this file's folder.
# Secrets do not belong here: they come from files (*_file) or from the environment.
# Lines that are commented out show the default, or an example.

";

struct Page(String);

impl Page {
    fn new() -> Self {
        Self(INTRODUCTION.to_owned())
    }

    fn section(&mut self, given: bool, heading: &str, about: &str) {
        let mark = if given { "" } else { "# " };
        let _ = writeln!(self.0, "\n# {about}\n{mark}{heading}");
    }

    fn line(&mut self, given: bool, key: &str, value: Value, about: &str) {
        let mark = if given { "" } else { "# " };
        let setting = format!("{mark}{key} = {value}");
        let _ = writeln!(self.0, "{setting:<44} # {about}");
    }

    fn source(&mut self, source: Option<&Source>) {
        let given = source.is_some();
        let default = Source::default();
        let source = source.unwrap_or(&default);
        self.section(
            given,
            "[source]",
            "The Databasus to make snapshots of. Absent on boxes that only read.",
        );
        self.line(
            given && source.method != default.method,
            "method",
            text(source.method.as_str()),
            "auto | online | cold | frozen",
        );
        self.line(
            given,
            "data_dir",
            path(&source.data_dir),
            "what the container mounts as /databasus-data",
        );
        self.line(
            given && source.host != default.host,
            "host",
            text(&source.host),
            "where its PostgreSQL listens",
        );
        self.line(
            given && source.port != default.port,
            "port",
            Value::from(i64::from(source.port.get())),
            "fixed in the Databasus image",
        );
        self.line(
            given && source.user != default.user,
            "user",
            text(&source.user),
            "a role that may replicate",
        );
        self.line(
            given && source.database != default.database,
            "database",
            text(&source.database),
            "the metadata database",
        );
        self.reach(source.reach.as_ref());
        let pg_dump = source.pg_dump.as_deref();
        let example = Path::new("/usr/lib/postgresql/17/bin/pg_dump");
        self.line(
            pg_dump.is_some(),
            "pg_dump",
            path(pg_dump.unwrap_or(example)),
            "for the logical copy; looked for where not given",
        );
        self.optional(
            &source.image,
            "image",
            "databasus/databasus:v3.42.0",
            "recorded, for whoever rehydrates",
        );
        self.optional(
            &source.version,
            "version",
            "3.42.0",
            "the release, likewise",
        );
        self.frozen(source);
    }

    fn reach(&mut self, reach: Option<&Reach>) {
        let (container, netns) = match reach {
            Some(Reach::Container(name)) => (Some(name.clone()), None),
            Some(Reach::Netns(file)) => (None, Some(file.as_path())),
            None => (None, None),
        };
        self.optional(
            &container,
            "container",
            "databasus",
            "as root on the host: go in through this container's network",
        );
        let example = Path::new("/proc/4711/ns/net");
        self.line(
            netns.is_some(),
            "netns",
            path(netns.unwrap_or(example)),
            "or through this network namespace",
        );
    }

    fn frozen(&mut self, source: &Source) {
        let given = source.frozen.is_some();
        let frozen = source.frozen.clone().unwrap_or_default();
        self.section(
            given,
            "[source.frozen]",
            "Commands around a frozen copy, run without a shell. Only with method = \"frozen\".",
        );
        let example = |verb: &str| {
            vec![
                "zfs".to_owned(),
                verb.to_owned(),
                "tank/databasus@escrow".to_owned(),
            ]
        };
        let Frozen { prepare, release } = frozen;
        self.line(
            prepare.is_some(),
            "prepare",
            prepare.unwrap_or_else(|| example("snapshot")).into(),
            "makes it",
        );
        self.line(
            release.is_some(),
            "release",
            release.unwrap_or_else(|| example("destroy")).into(),
            "lets it go, in every case",
        );
    }

    fn signing(&mut self, signing: Option<&Signing>) {
        self.section(
            signing.is_some(),
            "[signing]",
            "What this box signs with. Required beside [source].",
        );
        let file = signing.map_or(Path::new("signing.key"), |signing| &signing.key_file);
        let signer = signing.map_or("escrow-host", |signing| signing.signer.as_str());
        self.line(
            signing.is_some(),
            "key_file",
            path(file),
            "an OpenSSH private key (Ed25519)",
        );
        self.line(
            signing.is_some(),
            "signer",
            text(signer),
            "its name in allowed_signers",
        );
    }

    fn paths(&mut self) {
        self.section(true, "[trust]", "Whose signatures count.");
        self.line(
            true,
            "allowed_signers",
            path(&Trust::default().allowed_signers),
            "OpenSSH's format",
        );
        self.section(true, "[recipients]", "Who can open what is sealed here.");
        self.line(
            true,
            "file",
            path(&Recipients::default().file),
            "custodians and their age recipients",
        );
        self.section(
            true,
            "[state]",
            "Marks and pending manifests. Keep it on a persistent volume.",
        );
        self.line(
            true,
            "dir",
            path(&State::default().dir),
            "one folder per box",
        );
    }

    fn schedule(&mut self, schedule: Schedule) {
        self.section(
            true,
            "[schedule]",
            "When the next escrow is due: every manifest states it, audits hold it to that.",
        );
        self.line(
            true,
            "every_hours",
            i64::from(schedule.every_hours).into(),
            "hours between snapshots",
        );
        self.line(
            true,
            "grace_hours",
            i64::from(schedule.grace_hours).into(),
            "hours a snapshot may be late",
        );
        self.section(true, "[compression]", "How hard payloads are compressed.");
        self.line(
            false,
            "level",
            i64::from(Compression::default().level).into(),
            "of zstd, 1 to 19",
        );
    }

    fn open(&mut self, open: Option<&Open>) {
        self.section(
            open.is_some(),
            "[open]",
            "How escrows are opened. On drill boxes only: refused beside [source].",
        );
        let file = open.map_or(Path::new("identity.txt"), |open| &open.identity_file);
        self.line(
            open.is_some(),
            "identity_file",
            path(file),
            "an age identity",
        );
    }

    fn store(&mut self, store: &StoreSpec) {
        self.section(
            true,
            "[[store]]",
            "A place that holds escrows. One table for each, written in this order.",
        );
        let mut table = store.to_toml_table();
        let own = match store.place {
            Place::Dir { .. } => DIR_KEYS,
            Place::S3(_) => S3_KEYS,
        };
        for (key, example, about) in COMMON_KEYS.iter().chain(own) {
            let value = table.remove(*key);
            self.line(
                value.is_some(),
                key,
                value.unwrap_or_else(|| example_value(example)),
                about,
            );
        }
    }

    fn example_store(&mut self) {
        self.section(
            false,
            "[[store]]",
            "A place that holds escrows. One table for each, at least one, written in this order.",
        );
        self.line(false, "name", text("usb"), "what people call it");
        self.line(false, "type", text("dir"), "s3 | dir");
        self.line(false, "path", text("/mnt/usb/escrow"), "an existing folder");
    }

    fn optional(&mut self, value: &Option<String>, key: &str, example: &str, about: &str) {
        self.line(
            value.is_some(),
            key,
            text(value.as_deref().unwrap_or(example)),
            about,
        );
    }
}

/// Key, default or example, and explanation.
type Keys = &'static [(&'static str, &'static str, &'static str)];

const COMMON_KEYS: Keys = &[
    ("name", "", "what people call it"),
    ("type", "", "s3 | dir"),
    ("provider", "r2", "a label for the manifest"),
    ("required", "true", "whether a run that missed it exits 3"),
];

const DIR_KEYS: Keys = &[("path", "", "an existing folder")];

const S3_KEYS: Keys = &[
    ("bucket", "", "an existing bucket"),
    ("prefix", "escrow", "everything goes below it"),
    (
        "endpoint",
        "https://host:port",
        "none: R2 with a token, else AWS",
    ),
    ("region", "auto", "what requests are signed for"),
    (
        "path_style",
        "true",
        "the bucket's name in the path, not in the host name",
    ),
    (
        "access_key_id",
        "key-id",
        "else ESCROW_<NAME>_ACCESS_KEY_ID",
    ),
    (
        "secret_access_key_file",
        "secrets/s3.key",
        "else ESCROW_<NAME>_SECRET_ACCESS_KEY",
    ),
    (
        "account_id",
        "0123456789abcdef0123456789abcdef",
        "Cloudflare R2, instead of an access key",
    ),
    (
        "token_id",
        "0123456789abcdef0123456789abcdef",
        "of the R2 API token",
    ),
    (
        "token_value_file",
        "secrets/r2.token",
        "else ESCROW_<NAME>_TOKEN_VALUE",
    ),
];

fn example_value(example: &str) -> Value {
    example
        .parse::<bool>()
        .map_or_else(|_| text(example), Value::from)
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn path(path: &Path) -> Value {
    Value::from(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::ConfigProblem;

    fn answers() -> Answers {
        let store =
            |argument: &str| StoreSpec::parse_argument(argument, &"x".parse().unwrap()).unwrap();
        Answers {
            instance: "heatwave-prod".parse().unwrap(),
            source: Some(Source {
                data_dir: "/srv/data \"base\"".into(),
                reach: Some(Reach::Container("databasus".to_owned())),
                image: Some("databasus/databasus:v3.42.0".to_owned()),
                ..Source::default()
            }),
            signing: Some(Signing {
                key_file: "signing.key".into(),
                signer: "escrow@host1".parse().unwrap(),
            }),
            open: None,
            schedule: Schedule {
                every_hours: 12,
                grace_hours: 1,
            },
            stores: vec![
                store(
                    "r2=s3://b/p?account_id=0123456789abcdef0123456789abcdef&token_id=t&provider=r2",
                ),
                store(
                    "lat=s3://b?endpoint=https://h:1&path_style=false&access_key_id=A&secret_access_key_file=k",
                ),
                store("usb=dir:/mnt/usb?required=false"),
            ],
        }
    }

    fn reader() -> Answers {
        Answers {
            source: None,
            signing: None,
            open: Some(Open {
                identity_file: "drill.txt".into(),
            }),
            stores: answers().stores.split_off(2),
            ..answers()
        }
    }

    fn frozen() -> Answers {
        let mut answers = answers();
        answers.source = Some(Source {
            method: SourceMethod::Frozen,
            port: std::num::NonZeroU16::MIN,
            reach: Some(Reach::Netns("/proc/1/ns/net".into())),
            frozen: Some(Frozen {
                prepare: Some(vec!["zfs".to_owned(), "snapshot".to_owned()]),
                release: None,
            }),
            ..Source::default()
        });
        answers
    }

    #[test]
    fn templates_read_back_to_the_answers() {
        for answers in [answers(), reader(), frozen()] {
            let text = Config::template(&answers);
            let config = Config::parse(&text, Path::new("/etc/escrow"))
                .unwrap_or_else(|error| panic!("{error}\n{text}"));
            let read = Answers {
                instance: config.instance,
                source: config.source,
                signing: config.signing,
                open: config.open,
                schedule: config.schedule,
                stores: config.stores,
            };
            assert_eq!(read, answers);
            assert_eq!(config.trust, Trust::default());
        }
    }

    /// Uncomments one line, or the whole of a section whose heading is commented out.
    fn uncommented(text: &str) -> Vec<String> {
        let blocks: Vec<&str> = text.split("\n\n").collect();
        let is_setting = |line: &str| {
            let mut words = line.split(' ').skip(1);
            let first = words.next().unwrap_or_default();
            line.starts_with("# ") && (first.starts_with('[') || words.next() == Some("="))
        };
        let mut variants = Vec::new();
        for (at, block) in blocks.iter().enumerate().skip(1) {
            let lines: Vec<&str> = block.lines().collect();
            let whole = lines.iter().any(|line| line.starts_with("# ["));
            let settings = (0..lines.len()).filter(|index| is_setting(lines[*index]));
            let choices: Vec<Vec<usize>> = match whole {
                true => vec![settings.collect()],
                false => settings.map(|index| vec![index]).collect(),
            };
            for choice in choices {
                let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                for index in choice {
                    lines[index].drain(..2);
                }
                let mut blocks: Vec<String> =
                    blocks.iter().map(|block| (*block).to_owned()).collect();
                blocks[at] = lines.join("\n");
                variants.push(blocks.join("\n\n"));
            }
        }
        variants
    }

    #[test]
    fn every_line_that_is_commented_out_is_an_option() {
        let with_no_store = Answers {
            stores: Vec::new(),
            ..answers()
        };
        for text in
            [answers(), reader(), frozen(), with_no_store].map(|answers| Config::template(&answers))
        {
            let variants = uncommented(&text);
            assert!(!variants.is_empty());
            for variant in variants {
                let Err(error) = Config::parse(&variant, Path::new("")) else {
                    continue;
                };
                let conflict = match &error.problem {
                    ConfigProblem::Value(words) => {
                        words.contains("frozen") || words.contains("two ways")
                    }
                    problem => !matches!(problem, ConfigProblem::UnknownKey(_)),
                };
                assert!(conflict, "{error}\n{variant}");
            }
        }
    }
}
