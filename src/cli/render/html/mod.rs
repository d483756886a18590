//! An audit as one HTML file that needs nothing else: no script, no font, no picture from anywhere.
//!
//! Everything that somebody else can choose is escaped where it is put in (maud does), and made
//! printable in the one place through which the page leaves.

mod basis;
mod controls;
mod custodians;
mod drills;
mod exposure;
mod findings;
mod runbook;
mod timeline;
mod verdict;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::base::digest::Digest;
use crate::base::fingerprint::Fingerprint;
use crate::base::names::SignerName;
use crate::base::text::printable;
use crate::base::time::UtcTime;
use crate::model::audit::facts::Facts;
use crate::model::audit::policy::AuditPolicy;
use crate::model::audit::report::Report;

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What the audit came to.
    pub report: &'a Report,
    /// What it saw.
    pub facts: &'a Facts,
    /// What was demanded.
    pub policy: &'a AuditPolicy,
    /// Digest of the document that `audit --json` prints of the same run.
    pub document_sha256: Digest,
    /// Who signs the page; none where nobody does.
    pub signed_by: Option<SignedBy<'a>>,
}

/// Who signs a page.
#[derive(Clone, Copy, Debug)]
pub struct SignedBy<'a> {
    /// As allowed_signers names them.
    pub signer: &'a SignerName,
    /// With which key.
    pub key: Fingerprint,
}

impl Page<'_> {
    fn now(&self) -> UtcTime {
        self.report.audited_at
    }
}

/// Nothing is loaded from anywhere, and nothing runs. The style sheet and the drawings are inside.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

const STYLE: &str = include_str!("page.css");

/// A part of the page: anchor, heading, content.
type Section = (&'static str, &'static str, fn(&Page<'_>) -> Markup);

/// What comes below the verdict.
const SECTIONS: [Section; 7] = [
    ("findings", "Findings", findings::section),
    ("timeline", "Timeline", timeline::section),
    ("custodians", "Custodians", custodians::section),
    ("exposure", "Exposure", exposure::section),
    ("drills", "Drills", drills::section),
    ("controls", "Control mapping", controls::section),
    ("basis", "What this page rests on", basis::section),
];

/// The page. It depends on nothing but what it is given.
pub fn page(page: &Page<'_>) -> String {
    harmless(&document(page).into_string())
}

fn document(page: &Page<'_>) -> Markup {
    let title = format!(
        "{}: audit of {}",
        verdict::word(page.report.verdict),
        page.report.instance
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(CONTENT_POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (verdict::header(page))
                (contents())
                main {
                    @for (id, heading, content) in SECTIONS {
                        section id=(id) aria-labelledby={ "h-" (id) } {
                            h2 id={ "h-" (id) } { (heading) }
                            (content(page))
                        }
                    }
                }
            }
        }
    }
}

fn contents() -> Markup {
    html! {
        nav aria-label="Contents" {
            ul {
                @for (id, heading, _) in SECTIONS {
                    li { a href={ "#" (id) } { (heading) } }
                }
            }
        }
    }
}

/// Nothing of the page's own needs a character that deceives, so whatever has come in with a name
/// or a message is made visible here, and nowhere forgotten.
fn harmless(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for line in page.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        out.push_str(&printable(line));
        out.push_str(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_shown_for_what_it_is() {
        assert_eq!(
            harmless("<p>\n a\u{202e}b\r\n"),
            "<p>\n a\\u{202e}b\\u{d}\n"
        );
    }

    #[test]
    fn the_style_sheet_loads_nothing_and_cannot_end_its_element() {
        for foreign in ["url(", "@import", "</", "http"] {
            assert!(!STYLE.contains(foreign), "{foreign}");
        }
        assert_eq!(harmless(STYLE), STYLE);
    }
}
