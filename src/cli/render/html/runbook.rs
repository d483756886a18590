//! What the runbook says of a finding, so that the page can be read without it.

use maud::{Markup, html};

const FINDINGS: &str = include_str!("../../../../runbooks/findings.md");

/// Where the runbook lies, from the top folder of the program's source.
pub(super) const PATH: &str = "runbooks/findings.md";

/// What a finding means, and what to do; nothing for an id without a heading.
pub(super) fn entry(id: &str) -> Markup {
    let (means, act) = (paragraph(id, "Means:"), paragraph(id, "Do:"));
    html! {
        @if means.is_some() || act.is_some() {
            dl.runbook {
                @for (word, text) in [("Means", means), ("Do", act)] {
                    @if let Some(text) = text {
                        div { dt { (word) } dd { (inline(text)) } }
                    }
                }
            }
        }
    }
}

/// The paragraph below the finding's heading that begins with this word.
fn paragraph<'t>(id: &str, word: &str) -> Option<&'t str> {
    let heading = format!("\n### {id}\n");
    let (_, below) = FINDINGS.split_once(&heading)?;
    let body = below.split("\n#").next()?;
    let mut paragraphs = body.split("\n\n").map(str::trim);
    let found = paragraphs.find_map(|text| text.strip_prefix(word))?;
    Some(found.trim())
}

/// Code in backticks, and links as their words alone.
fn inline(text: &str) -> Markup {
    html! {
        @for (at, piece) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (piece) } } @else { (without_links(piece)) }
        }
    }
}

/// `[words](place)` as `words`.
fn without_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let link = after.split_once("](");
        let Some((words, (_, behind))) = link.and_then(|(w, a)| Some((w, a.split_once(')')?)))
        else {
            out.push('[');
            rest = after;
            continue;
        };
        out.push_str(words);
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_explained_in_the_runbooks_words() {
        let told = entry("rollback").into_string();
        assert!(
            told.contains("Means") && told.contains("older than one that this box"),
            "{told}"
        );
        assert!(
            told.contains("<code>--store</code>") || told.contains("<code>"),
            "{told}"
        );
        assert_eq!(entry("no-such-finding").into_string(), "");
    }

    #[test]
    fn links_become_their_words() {
        assert_eq!(without_links("see [a](b.md), [c"), "see a, [c");
        assert_eq!(without_links("[a](b"), "[a](b");
    }
}
