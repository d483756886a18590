//! What stands on a page.

use databasus_escrow::model::audit::check::Verdict;
use databasus_escrow::model::audit::controls::{CONTROLS, Evidence, LIMITS};
use databasus_escrow::model::audit::facts::Scope;
use databasus_escrow::model::finding::Finding;

use super::example::{bad, good, known, nothing, store, thousand};

#[test]
fn the_verdict_is_the_first_thing_that_is_said() {
    for (example, word) in [
        (good(), "Pass"),
        (bad(), "Tampering"),
        (nothing(Scope::Full), "Unknown"),
    ] {
        let page = example.page();
        let title = format!("<title>{word}: audit of heatwave-prod</title>");
        assert!(page.contains(&title), "{word}");
        let (_, heading) = page.split_once("<h1>").unwrap();
        assert!(
            heading.split_once("</h1>").unwrap().0.ends_with(word),
            "{word}"
        );
    }
}

#[test]
fn every_check_is_on_the_page() {
    for example in [good(), bad(), nothing(Scope::Full), nothing(Scope::Head)] {
        let page = example.page();
        let checks = example.report().checks;
        for check in &checks {
            assert!(page.contains(&check.message), "{check:?}");
        }
        let told = format!("{} checks: ", checks.len());
        assert!(page.contains(&told));
    }
}

#[test]
fn a_finding_leads_into_the_runbook_and_repeats_it() {
    let page = bad().page();
    assert!(page.contains("<a href=\"runbooks/findings.md#first-contact\">first-contact</a>"));
    assert!(page.contains("<dt>Means</dt>"));
    let at = |id: &str| page.find(&format!("findings.md#{id}\"")).unwrap();
    assert!(
        at("unverified-manifest") < at("copy-missing"),
        "the worst comes first"
    );
    assert!(at("copy-missing") < at("first-contact"));
}

#[test]
fn the_first_contact_is_said_aloud() {
    assert!(!good().page().contains("First contact"));
    assert!(bad().page().contains("<b>First contact</b>"));
}

#[test]
fn what_strangers_write_is_shown_and_does_nothing() {
    let mut example = good();
    let evil = "</p><script>alert(1)</script>\"'&\u{202e}\u{1b}[2J\u{0}";
    let chain = known(&mut example.facts.chain);
    chain.findings.push(Finding::violation("rollback", evil));
    example.facts.copies.insert(
        store("usb"),
        databasus_escrow::model::audit::facts::Seen::unknown(evil),
    );
    let page = example.page();
    assert!(!page.contains("<script"), "escaped");
    assert!(page.contains("&lt;script&gt;alert(1)"), "and shown");
    assert!(page.contains("\\u{202e}\\u{1b}[2J\\u{0}"));
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn the_page_refers_to_nothing_outside_itself() {
    for page in [good().signed_page(), bad().page()] {
        assert!(page.contains(
            "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
             'unsafe-inline'; img-src data:\""
        ));
        for outside in [
            "<script", "<link", "<img", "<iframe", "src=", "http://", "https://", "@import",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
        let places = page
            .split("href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap());
        for place in places {
            let inside = place.starts_with('#') || place.starts_with("runbooks/findings.md#");
            assert!(inside, "{place}");
        }
    }
}

#[test]
fn what_was_not_seen_is_unknown_and_never_blank() {
    let page = nothing(Scope::Full).page();
    for section in ["timeline", "custodians", "exposure", "drills"] {
        let (_, below) = page
            .split_once(&format!("<section id=\"{section}\""))
            .unwrap();
        let (content, _) = below.split_once("</section>").unwrap();
        assert!(content.contains("unknown"), "{section}: {content}");
        assert!(content.contains("it was not looked at"), "{section}");
    }
    assert!(!page.contains("> evidenced<"), "nothing is evidence");
    assert!(!page.contains("First contact"), "that is not known either");
}

#[test]
fn a_thousand_escrows_make_a_page_of_a_bounded_size() {
    let page = thousand().page();
    assert!(page.len() < 400_000, "{}", page.len());
    let marks = page.matches("class=\"escrow ").count();
    assert!((100..400).contains(&marks), "{marks}");
    assert!(page.contains("1000 escrows kept, in 2 stores"));
    assert!(page.contains("several, as the worst of them"));
}

#[test]
fn leavers_are_named_with_what_they_can_open() {
    let page = good().page();
    let told = "<b>carol</b> can open 10 escrows";
    assert!(page.contains(told), "{page}");
    assert!(page.contains("no longer"));
}

#[test]
fn a_custodian_is_held_against_the_policy() {
    let page = bad().page();
    assert!(page.contains("within, soon too old"));
    assert!(page.contains("any of whom opens it alone"));
}

#[test]
fn every_control_is_mapped_with_its_limits() {
    let example = bad();
    let page = example.page();
    let escaped = |text: &str| text.replace('&', "&amp;");
    for control in CONTROLS {
        assert!(page.contains(&escaped(control.ids)), "{}", control.ids);
        assert!(
            page.contains(&escaped(control.limits)),
            "{}",
            control.limits
        );
    }
    assert!(LIMITS.iter().all(|limit| page.contains(&escaped(limit))));
    assert!(page.contains("id not verified against the licensed text"));
    let report = example.report();
    assert_eq!(report.verdict, Verdict::Tampering);
    let judged = |control: &databasus_escrow::model::audit::controls::Control| {
        control.evidence_in(&report.checks, &example.facts)
    };
    assert!(
        CONTROLS
            .iter()
            .any(|control| judged(control) == Evidence::NotEvidenced)
    );
}

#[test]
fn a_signed_page_says_by_whom_and_how_to_check_it() {
    let page = good().signed_page();
    assert!(page.contains(
        "ssh-keygen -Y verify -f allowed_signers -I auditor -n escrow-audit@databasus \
         -s REPORT.html.sig &lt; REPORT.html"
    ));
    assert!(good().page().contains("Not signed."));
}

#[test]
fn the_same_audit_makes_the_same_page() {
    assert_eq!(bad().page(), bad().page());
}
