//! The house: which module may import which, and what may be used where. `ARCHITECTURE.md` says
//! why; nothing but this test holds it, for within one crate Rust allows every tangle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

mod tokens;

/// Every top module and its floor. An import may point to a lower floor, or within one where it
/// makes no circle.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("model", 1),
    ("sealing", 2),
    ("databasus", 2),
    ("postgres", 2),
    ("store", 3),
    ("source", 3),
    ("target", 3),
    ("ops", 4),
    ("cli", 5),
];

/// What begins with one of these paths (`*`: any word, or the rest of one) is used in these
/// modules and nowhere else.
struct Confined {
    paths: &'static [&'static str],
    to: &'static [&'static str],
    because: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        paths: &["async", "await", "tokio::*"],
        to: &["store/s3"],
        because: "everything else is synchronous: age, tar and zstd are std::io streams",
    },
    Confined {
        paths: &["aws_*::*"],
        to: &["store/s3"],
        because: "the SDK is one store's business, and the offline build has none",
    },
    Confined {
        paths: &["hmac::*"],
        to: &["store/s3/temporary", "databasus/api/token"],
        because: "one place signs R2's tokens and one Databasus'; the SDK signs requests",
    },
    Confined {
        paths: &["ureq::*"],
        to: &["ops/drill/application/http"],
        because: "a drill alone speaks HTTP by itself, and what it may say is in one type",
    },
    Confined {
        paths: &["postgres_protocol::*"],
        to: &["postgres"],
        because: "above floor 2 there are sessions, not messages",
    },
    Confined {
        paths: &["age::*"],
        to: &["sealing", "model/recipients"],
        because: "one place seals and opens; the model only names who can",
    },
    Confined {
        paths: &["ssh_key::*"],
        to: &["sealing", "model"],
        because: "one place signs and verifies; the model only names who may",
    },
    Confined {
        paths: &["aes_gcm::*", "pbkdf2::*"],
        to: &["databasus"],
        because: "one place knows Databasus' encryption; ours is age's",
    },
    Confined {
        paths: &["zstd::*"],
        to: &["sealing", "databasus/objects"],
        because: "one place knows the layers of a payload, and one what Databasus compresses",
    },
    Confined {
        paths: &["flate2::*"],
        to: &["databasus/objects"],
        because: "this tool writes no gzip and only looks into what Databasus stored",
    },
    Confined {
        paths: &["qrcode::*", "png::*"],
        to: &["ops/key"],
        because: "pictures are for the key's page in the safe alone",
    },
    Confined {
        paths: &["prometheus::*"],
        to: &["cli/render/metrics"],
        because: "metrics are one way to tell an audit",
    },
    Confined {
        paths: &["quick_junit::*"],
        to: &["cli/render/junit"],
        because: "cases and suites are one way to tell an audit",
    },
    Confined {
        paths: &["clap::*", "clap_complete::*", "clap_mangen::*"],
        to: &["cli"],
        because: "the library takes typed arguments",
    },
    Confined {
        paths: &["maud::*"],
        to: &["cli/render/html"],
        because: "pages are one room's business",
    },
    Confined {
        paths: &["indicatif::*", "tracing_subscriber::*"],
        to: &["cli"],
        because: "only the command line talks to a terminal",
    },
    Confined {
        paths: &[
            "std::env::args*",
            "std::env::current_dir",
            "std::env::temp_dir",
            "std::env::var*",
        ],
        to: &["cli"],
        because: "below, surroundings come in as arguments",
    },
    Confined {
        paths: &["std::process::exit"],
        to: &[],
        because: "destructors that wipe secrets must run: main returns an exit code",
    },
];

/// Longer than this, a file is no longer one idea.
const MAX_LINES: usize = 600;

#[test]
fn the_house_stands() {
    let mut found = Vec::new();
    let mut imports = BTreeMap::new();
    for (path, text) in sources() {
        let source = Source::parse(&path, &text);
        found.extend(source.judge());
        if text.lines().count() > MAX_LINES {
            found.push(format!("{path}: longer than {MAX_LINES} lines"));
        }
        imports
            .entry(source.top().to_owned())
            .or_insert_with(BTreeSet::new)
            .extend(source.imports());
    }
    assert!(
        imports["store"].contains("base"),
        "the checker sees nothing"
    );
    found.extend(circle(&imports).map(|modules| format!("a circle: {}", modules.join(" → "))));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Every file of `src` by its path below it, files for tests alone left out.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                found.push((name.to_owned(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

fn floor(module: &str) -> Option<u8> {
    let (_, floor) = FLOORS.iter().find(|(name, _)| *name == module)?;
    Some(*floor)
}

/// A file of the product, as the rules see it.
struct Source<'a> {
    /// Without `.rs` and `/mod`: `store/s3`.
    module: String,
    /// Every path of identifiers in it, `use` trees spread out.
    paths: Vec<Vec<&'a str>>,
}

impl<'a> Source<'a> {
    fn parse(path: &str, text: &'a str) -> Self {
        let module = path.trim_end_matches(".rs").trim_end_matches("/mod");
        Self {
            module: module.to_owned(),
            paths: paths(&tokens::without_tests(&tokens::tokens(text))),
        }
    }

    fn top(&self) -> &str {
        self.module.split('/').next().unwrap_or_default()
    }

    /// The top modules of this crate that it names.
    fn imports(&self) -> BTreeSet<String> {
        let depth = self.module.split('/').count();
        self.paths
            .iter()
            .filter_map(|path| match path[..] {
                ["crate" | "databasus_escrow", top, ..] => Some(top),
                ["super", ..] => {
                    let ups = path.iter().take_while(|part| **part == "super").count();
                    (ups >= depth).then(|| path.get(ups).copied()).flatten()
                }
                _ => None,
            })
            .map(str::to_owned)
            .collect()
    }

    fn judge(&self) -> Vec<String> {
        let mut found = self.wrong_imports();
        found.extend(CONFINED.iter().filter_map(|rule| self.breaks(rule)));
        found
    }

    fn wrong_imports(&self) -> Vec<String> {
        let module = &self.module;
        if module == "lib" {
            return Vec::new();
        }
        if module == "main" {
            let others = self.imports().into_iter().filter(|top| top != "cli");
            return others
                .map(|top| format!("main: imports {top}; it may only call cli"))
                .collect();
        }
        let Some(own) = floor(self.top()) else {
            return vec![format!("{module}: its top module stands on no floor")];
        };
        self.imports()
            .iter()
            .filter_map(|top| match floor(top) {
                Some(other) if other <= own => None,
                Some(_) => Some(format!("{module}: imports upward from {top}")),
                None => Some(format!("{module}: imports {top}, which stands on no floor")),
            })
            .collect()
    }

    fn breaks(&self, rule: &Confined) -> Option<String> {
        let module = &self.module;
        let at_home = |home: &&str| {
            let below = module.strip_prefix(*home);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if rule.to.iter().any(at_home) {
            return None;
        }
        let used = |wanted: &&&str| self.paths.iter().any(|path| names(path, wanted));
        let found: Vec<&str> = rule.paths.iter().filter(used).copied().collect();
        let Confined { to, because, .. } = rule;
        (!found.is_empty())
            .then(|| format!("{module}: uses {found:?}, allowed in {to:?} only: {because}"))
    }
}

/// Whether a path begins with the rule's; `std::` may have been imported away.
fn names(path: &[&str], rule: &str) -> bool {
    let begins = |rule: &str| {
        let parts: Vec<&str> = rule.split("::").collect();
        path.len() >= parts.len()
            && parts
                .iter()
                .zip(path)
                .all(|(want, have)| match want.strip_suffix('*') {
                    Some(stem) => have.starts_with(stem),
                    None => want == have,
                })
    };
    begins(rule) || rule.strip_prefix("std::").is_some_and(begins)
}

/// The paths in a token stream: `a::{b, c::d}` gives `a::b` and `a::c::d`, `.await` gives `await`.
fn paths<'a>(tokens: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at += path(&tokens[at..], &[], &mut found);
    }
    found
}

/// Reads the path, or the one token, that `tokens` begin with; returns its length.
fn path<'a>(tokens: &[&'a str], before: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> usize {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at).filter(|token| is_word(token)) {
        path.push(*token);
        at += 1;
        if !tokens[at..].starts_with(&[":", ":"]) {
            break;
        }
        at += 2;
        if tokens[at..].starts_with(&["{"]) {
            let length = tokens::group_length(&tokens[at..]);
            let mut inside = at + 1;
            while inside + 1 < at + length {
                inside += self::path(&tokens[inside..at + length - 1], &path, found);
            }
            return at + length;
        }
    }
    if path.len() > before.len() {
        found.push(path);
    }
    at.max(1)
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A circle among modules, if there is one: the way round it.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        way: &mut Vec<String>,
        imports: &BTreeMap<String, BTreeSet<String>>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|seen| seen == at) {
            return Some(way[start..].to_vec());
        }
        way.push(at.to_owned());
        let next = imports.get(at).into_iter().flatten();
        let found = next
            .filter(|other| *other != at)
            .find_map(|other| walk(other, way, imports));
        way.pop();
        found
    }
    imports
        .keys()
        .find_map(|start| walk(start, &mut Vec::new(), imports))
}

#[cfg(test)]
mod the_checker {
    use super::*;

    fn judged(path: &str, text: &str) -> String {
        Source::parse(path, text).judge().join("\n")
    }

    #[test]
    fn sees_an_import_upward_in_every_form() {
        for text in [
            "use crate::cli::render;",
            "use crate::{base::names, cli};",
            "use crate::{base::{names, time}, cli::{args, wire}};",
            "fn f() { crate::cli::run() }",
            "use super::super::cli;",
        ] {
            let found = judged("store/dir.rs", text);
            assert_eq!(found, "store/dir: imports upward from cli", "{text}");
        }
    }

    #[test]
    fn allows_imports_downward_and_within() {
        let text = "use crate::{base::text, model}; use super::key; use crate::store::Store;";
        assert_eq!(judged("store/dir/list.rs", text), "");
        assert_eq!(judged("store/mod.rs", "use super::base::text;"), "");
    }

    #[test]
    fn refuses_a_module_that_stands_on_no_floor() {
        let expected = "util: its top module stands on no floor";
        assert_eq!(judged("util.rs", ""), expected);
        let expected = "base/text: imports util, which stands on no floor";
        assert_eq!(judged("base/text.rs", "use crate::util;"), expected);
    }

    #[test]
    fn lets_main_call_cli_alone() {
        let text = "fn main() { databasus_escrow::cli::run(); databasus_escrow::ops::x(); }";
        let expected = "main: imports ops; it may only call cli";
        assert_eq!(judged("main.rs", text), expected);
    }

    #[test]
    fn keeps_async_in_the_one_store_that_needs_it() {
        let text = "async fn f() { g().await; tokio::spawn(h); aws_sdk_s3::x(); }";
        assert_eq!(judged("store/s3/worker.rs", text), "");
        assert_eq!(judged("store/s3.rs", text), "");
        let found = judged("store/s3x.rs", text);
        for word in ["async", "await", "tokio::*", "aws_*::*"] {
            assert!(found.contains(&format!("\"{word}\"")), "{word}: {found}");
        }
    }

    #[test]
    fn keeps_crates_and_the_environment_on_their_floors() {
        for (text, word) in [
            ("use clap::Parser;", "clap::*"),
            ("fn f() { ::age::x(); }", "age::*"),
            ("use std::{env::{self, var_os}, fs};", "std::env::var*"),
            ("use std::env; fn f() { env::args(); }", "std::env::args*"),
            ("fn f() { std::process::exit(1) }", "std::process::exit"),
        ] {
            let found = judged("ops/snapshot.rs", text);
            assert!(
                found.contains(&format!("uses [\"{word}\"]")),
                "{text}: {found}"
            );
        }
        assert_eq!(judged("cli/wire.rs", "fn f() { std::env::args(); }"), "");
    }

    #[test]
    fn is_not_misled_by_names_within_paths_or_by_tests() {
        let text = "use crate::sealing::age; fn f(x: u8) { x.age(); let age = 1; std::env::split_paths(p); }
            #[cfg(test)] mod tests { use crate::cli; use clap::Parser; }
            // use clap::Parser;";
        assert_eq!(judged("ops/snapshot.rs", text), "");
    }

    #[test]
    fn finds_circles_and_only_circles() {
        let graph = |edges: &[(&str, &str)]| {
            let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (from, to) in edges {
                graph
                    .entry((*from).to_owned())
                    .or_default()
                    .insert((*to).to_owned());
            }
            graph
        };
        assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
        assert_eq!(circle(&graph(&[("a", "a")])), None);
        let around = circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")]));
        assert_eq!(around, Some(vec!["b".to_owned(), "c".to_owned()]));
    }
}
