//! The `escrow.toml` that `init` writes: every option with one line about it, those that keep
//! their default commented out. The page itself is `template.toml`; answers are put into it.

use std::path::Path;

use toml::{Table, Value};

use super::{Config, Frozen, Open, Reach, Schedule, Signing, Source};
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

/// Blocks separated by empty lines: an introduction, the instance, then one section each.
const PAGE: &str = include_str!("template.toml");

impl Config {
    /// A commented configuration that [`Config::parse`] reads back to these answers.
    pub fn template(answers: &Answers) -> String {
        let mut blocks = Vec::new();
        for block in PAGE
            .trim_end()
            .split("\n\n")
            .filter(|block| !is_store(block))
        {
            blocks.push(filled(block, answers.table(heading(block)).as_ref()));
        }
        for store in &answers.stores {
            blocks.push(filled(store_block(store), Some(&store.to_toml_table())));
        }
        if answers.stores.is_empty() {
            blocks.extend(
                PAGE.trim_end()
                    .split("\n\n")
                    .filter(|b| is_store(b))
                    .map(str::to_owned),
            );
        }
        blocks.join("\n\n") + "\n"
    }
}

impl Answers {
    /// What the answers say about a section; none where it stays as it is on the page.
    fn table(&self, heading: &str) -> Option<Table> {
        match heading {
            "" => Some(table([("instance", Some(text(self.instance.as_str())))])),
            "[source]" => self.source.as_ref().map(source_table),
            "[source.frozen]" => Some(frozen_table(self.source.as_ref()?.frozen.as_ref()?)),
            "[signing]" => self.signing.as_ref().map(|signing| {
                let signer = text(signing.signer.as_str());
                table([
                    ("key_file", Some(path(&signing.key_file))),
                    ("signer", Some(signer)),
                ])
            }),
            "[open]" => {
                let file = self.open.as_ref().map(|open| path(&open.identity_file))?;
                Some(table([("identity_file", Some(file))]))
            }
            "[schedule]" => Some(table([
                (
                    "every_hours",
                    Some(i64::from(self.schedule.every_hours).into()),
                ),
                (
                    "grace_hours",
                    Some(i64::from(self.schedule.grace_hours).into()),
                ),
            ])),
            _ => None,
        }
    }
}

/// Everything that differs from the default.
fn source_table(source: &Source) -> Table {
    let usual = Source::default();
    let unusual = |is: &str, usually: &str| (is != usually).then(|| text(is));
    let (container, netns) = match &source.reach {
        Some(Reach::Container(name)) => (Some(text(name)), None),
        Some(Reach::Netns(file)) => (None, Some(path(file))),
        None => (None, None),
    };
    let port = (source.port != usual.port).then(|| i64::from(source.port.get()).into());
    table([
        (
            "method",
            unusual(source.method.as_str(), usual.method.as_str()),
        ),
        ("data_dir", Some(path(&source.data_dir))),
        ("host", unusual(&source.host, &usual.host)),
        ("port", port),
        ("user", unusual(&source.user, &usual.user)),
        ("database", unusual(&source.database, &usual.database)),
        ("container", container),
        ("netns", netns),
        ("pg_dump", source.pg_dump.as_deref().map(path)),
        ("image", source.image.as_deref().map(text)),
        ("version", source.version.as_deref().map(text)),
    ])
}

fn frozen_table(frozen: &Frozen) -> Table {
    table([
        ("prepare", frozen.prepare.clone().map(Value::from)),
        ("release", frozen.release.clone().map(Value::from)),
    ])
}

fn table<const N: usize>(entries: [(&str, Option<Value>); N]) -> Table {
    let given = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    given.collect()
}

fn text(text: &str) -> Value {
    Value::from(text)
}

fn path(path: &Path) -> Value {
    Value::from(path.to_string_lossy().into_owned())
}

/// A line of the page without the mark that comments it out.
fn bare(line: &str) -> &str {
    line.strip_prefix("# ").unwrap_or(line)
}

fn heading(block: &str) -> &str {
    let mut lines = block.lines().map(bare);
    lines.find(|line| line.starts_with('[')).unwrap_or_default()
}

fn is_store(block: &str) -> bool {
    heading(block) == "[[store]]"
}

/// The block of the page for a store's kind.
fn store_block(store: &StoreSpec) -> &'static str {
    let own_key = match store.place {
        Place::Dir { .. } => "# path = ",
        Place::S3(_) => "# bucket = ",
    };
    let mut blocks = PAGE.trim_end().split("\n\n");
    blocks
        .find(|block| block.contains(own_key))
        .unwrap_or_default()
}

/// A block with its heading and the given values in force; without values as it is.
fn filled(block: &str, values: Option<&Table>) -> String {
    let Some(values) = values else {
        return block.to_owned();
    };
    let lines: Vec<String> = block
        .lines()
        .map(|line| filled_line(line, values))
        .collect();
    lines.join("\n")
}

fn filled_line(line: &str, values: &Table) -> String {
    let setting = bare(line);
    if setting.starts_with('[') {
        return setting.to_owned();
    }
    let key = setting.split(" = ").next().unwrap_or_default();
    match (values.get(key), setting.rsplit_once(" # ")) {
        (Some(value), Some((_, about))) => format!("{:<44} # {about}", format!("{key} = {value}")),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::{ConfigProblem, SourceMethod, Trust};

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

    /// The keys that parsing knows in a section, asked for by a key that it does not know.
    fn known(heading: &str) -> Vec<String> {
        let text = format!("{heading}\nno_such_key = 1\n");
        match Config::parse(&text, Path::new("")).unwrap_err().problem {
            ConfigProblem::UnknownKey(unknown) => unknown.known,
            problem => panic!("{heading}: {problem}"),
        }
    }

    #[test]
    fn every_option_is_on_the_page() {
        let headings: Vec<&str> = PAGE
            .lines()
            .map(bare)
            .filter(|line| line.starts_with('['))
            .collect();
        for name in known("").iter().filter(|name| *name != "instance") {
            let found = headings
                .iter()
                .any(|heading| heading.trim_matches(['[', ']']) == name);
            assert!(found, "there is no section {name}");
        }
        for heading in headings {
            let blocks = PAGE
                .split("\n\n")
                .filter(|block| super::heading(block) == heading);
            let lines: Vec<&str> = blocks.flat_map(str::lines).map(bare).collect();
            for key in known(heading).iter().filter(|key| *key != "frozen") {
                let setting = format!("{key} = ");
                assert!(
                    lines.iter().any(|line| line.starts_with(&setting)),
                    "{heading} {key}"
                );
            }
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
