//! What the page rests on, and how to check that nobody changed it.

use maud::{Markup, html};

use super::words::digest;
use super::{Page, SignedBy};
use crate::model::namespace::Namespace;

pub(super) fn section(page: &Page<'_>) -> Markup {
    html! {
        p {
            "The document that " code { "audit --json" } " and " code { "--report-json" } " give of this \
            run has the sha256 " (digest(&page.document_sha256)) ". It holds every check of this page; the \
            page shows more of what was seen, and nothing that contradicts it."
        }
        @match page.signed_by {
            Some(signed) => (signature(&signed)),
            None => p {
                b { "Not signed. " }
                "Whoever hands this page on can change it. " code { "audit --sign-report" } " signs it; the \
                chain and the stores can be audited again by anybody who may read them, with no key."
            }
        }
    }
}

fn signature(signed: &SignedBy<'_>) -> Markup {
    let SignedBy { signer, key } = signed;
    html! {
        p {
            "Signed by " b { (signer) } " with the key " code.digest { (key) } ", in a file beside this one \
            whose name ends in " code { ".sig" } ". Check it with the signers that you trust, not with a file \
            that came along with this page:"
        }
        pre tabindex="0" {
            code {
                "ssh-keygen -Y verify -f allowed_signers -I " (signer) " -n " (Namespace::Audit)
                " -s REPORT.html.sig < REPORT.html"
            }
        }
    }
}
