//! A page of Markdown, as far as these tests read it: headings, links, fenced blocks.

use std::fs;
use std::path::{Path, PathBuf};

/// A page, or a section of one.
pub struct Page {
    /// Below the repository.
    pub name: String,
    pub text: String,
}

/// A fenced block.
pub struct Block<'a> {
    /// What stands behind the opening fence.
    pub info: &'a str,
    pub body: &'a str,
    /// The page behind the block.
    pub after: &'a str,
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Page {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(repository().join(name));
        Self {
            name: name.to_owned(),
            text: text.unwrap_or_else(|error| panic!("{name}: {error}")),
        }
    }

    /// Every page that people read.
    pub fn all() -> Vec<Self> {
        let folders = ["", "docs", "runbooks"];
        let mut names: Vec<PathBuf> = folders
            .iter()
            .flat_map(|folder| fs::read_dir(repository().join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "md"))
            .collect();
        names.sort();
        let below = |path: &PathBuf| path.strip_prefix(repository()).unwrap().to_owned();
        names
            .iter()
            .map(|path| Self::read(below(path).to_str().unwrap()))
            .collect()
    }

    /// From a heading of level 2 to the next one.
    pub fn section(&self, heading: &str) -> Self {
        let begin = format!("\n## {heading}\n");
        let (_, rest) = self
            .text
            .split_once(&begin)
            .unwrap_or_else(|| panic!("{} has no section {heading}", self.name));
        let end = rest.find("\n## ").map_or(rest.len(), |end| end + 1);
        Self {
            name: format!("{}, {heading}", self.name),
            text: rest[..end].to_owned(),
        }
    }

    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut rest = self.text.as_str();
        while let Some((_, opened)) = rest.split_once("\n```") {
            let (info, inside) = opened.split_once('\n').unwrap();
            let (body, after) = inside
                .split_once("```\n")
                .unwrap_or_else(|| panic!("{}: a block is not closed", self.name));
            blocks.push(Block { info, body, after });
            rest = after;
        }
        blocks
    }

    /// The page without its blocks.
    pub fn prose(&self) -> String {
        let mut open = false;
        let lines = self.text.lines().filter(|line| {
            let fence = line.starts_with("```");
            open ^= fence;
            !open && !fence
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Headings of a level, as they stand.
    pub fn headings(&self, level: usize) -> Vec<String> {
        let mark = format!("{} ", "#".repeat(level));
        let prose = self.prose();
        let headings = prose.lines().filter_map(|line| line.strip_prefix(&mark));
        headings.map(str::to_owned).collect()
    }

    /// What headings are reached by, in the manner of GitHub.
    pub fn anchors(&self) -> Vec<String> {
        (1..=4)
            .flat_map(|level| self.headings(level))
            .map(|heading| {
                let kept = heading.to_lowercase();
                let kept = kept.chars().filter_map(|c| match c {
                    ' ' => Some('-'),
                    c if c.is_alphanumeric() || "-_".contains(c) => Some(c),
                    _ => None,
                });
                kept.collect()
            })
            .collect()
    }

    /// Targets of `[text](target)`.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
        targets.collect()
    }

    /// The first cells of the rows of its tables, without code marks.
    pub fn first_cells(&self) -> Vec<String> {
        let prose = self.prose();
        let rows = prose.lines().filter_map(|line| line.strip_prefix("| "));
        rows.filter_map(|row| Some(row.split_once(" |")?.0.replace('`', "")))
            .collect()
    }
}

impl Block<'_> {
    /// Whether a person pastes it, and a test runs it.
    pub fn is_run(&self) -> bool {
        self.info == "sh"
    }

    /// The body with other values for the variables that it sets. `used` learns which.
    pub fn with(&self, values: &[(&str, String)], used: &mut Vec<String>) -> String {
        let set = |line: &str| -> String {
            let (export, assignment) = match line.strip_prefix("export ") {
                Some(rest) => ("export ", rest),
                None => ("", line),
            };
            for (name, value) in values {
                if assignment.starts_with(&format!("{name}=")) {
                    used.push((*name).to_owned());
                    return format!("{export}{name}={value}");
                }
            }
            line.to_owned()
        };
        self.body.lines().map(set).collect::<Vec<_>>().join("\n")
    }
}

/// Whether `line` reads like `pattern`, in which `…` stands for anything and blanks count as one.
pub fn reads_like(pattern: &str, line: &str) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (pattern, line) = (plain(pattern), plain(line));
    let mut pieces = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap()) else {
        return false;
    };
    let mut last = None;
    for piece in pieces {
        let Some(found) = rest.find(piece) else {
            return false;
        };
        rest = &rest[found + piece.len()..];
        last = Some(piece);
    }
    match last {
        None => rest.is_empty(),
        Some(last) => rest.is_empty() || last.is_empty() || line.ends_with(last),
    }
}

#[test]
fn three_dots_stand_for_anything() {
    assert!(reads_like("a  b …", "a b c d"));
    assert!(reads_like("… c …", "a b c d"));
    assert!(reads_like("…d", "a b c d"));
    assert!(reads_like("… a", "b a a"));
    assert!(reads_like("a", " a "));
    assert!(!reads_like("a", "a b"));
    assert!(!reads_like("… c", "a b c d"));
    assert!(!reads_like("b …", "a b"));
}
