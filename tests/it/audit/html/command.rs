//! `audit --html` and `--report-json` on directory stores.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use databasus_escrow::base::digest::Digest;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

use crate::custody::bed::{host_of_three, without_source};
use crate::support::sandbox::{Host, Sandbox, replace};

const POLICY: &str = "
version = 1
[freshness]
max_age = \"26h\"
[mark]
required = false
[[store]]
name = \"usb\"
[[store]]
name = \"nas\"
[custody]
mode = \"any\"
";

/// A host with two stores and one escrow, a policy, and a folder for reports.
struct Bed<'a> {
    sandbox: &'a Sandbox,
    host: Host<'a>,
}

impl<'a> Bed<'a> {
    fn new(sandbox: &'a Sandbox) -> Option<Self> {
        let host = sandbox.frozen_host(&["usb", "nas"])?;
        host.snapshot();
        sandbox.file("policy.toml", POLICY);
        sandbox.folder("out");
        Some(Self { sandbox, host })
    }

    /// Audits with `{out}` in the words for the folder of reports.
    fn audit(&self, words: &str) -> assert_cmd::assert::Assert {
        let out = self.sandbox.path("out");
        let words = words.replace("{out}", out.to_str().unwrap());
        let policy = self.sandbox.path("policy.toml");
        self.host
            .run(&format!("audit --policy {} {words}", policy.display()))
    }

    fn out(&self, name: &str) -> PathBuf {
        self.sandbox.path("out").join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.out(name)).unwrap()
    }

    /// What lies in the folder of reports.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.sandbox.path("out")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Lets the host's key sign reports, and gives the file that says so.
    fn permit(&self) -> PathBuf {
        let signers = self.host.config.with_file_name("policies/allowed_signers");
        let both = "escrow-manifest@databasus,escrow-audit@databasus";
        replace(&signers, "escrow-manifest@databasus", both);
        signers
    }
}

/// Whether `ssh-keygen` accepts the signature beside a report.
fn verifies(signers: &Path, report: &Path) -> bool {
    let mut signature = report.as_os_str().to_owned();
    signature.push(".sig");
    let status = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", "escrow-audit@databasus"])
        .args(["-I", "escrow-host", "-f"])
        .arg(signers)
        .arg("-s")
        .arg(signature)
        .stdin(std::fs::File::open(report).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

#[test]
fn reports_are_written_beside_the_usual_output() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let ran = bed
        .audit("--json --html {out}/a.html --report-json {out}/a.json")
        .success();
    let document = bed.text("a.json");
    assert_eq!(ran.get_output().stdout, document.as_bytes());
    let page = bed.text("a.html");
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("<title>Pass: audit of demo</title>"));
    assert!(page.contains(&Digest::of(document.as_bytes()).to_string()));
    assert!(page.contains("1 escrow kept, in 2 stores"));
    assert_eq!(bed.names(), ["a.html", "a.json"]);
    for name in bed.names() {
        let mode = std::fs::metadata(bed.out(&name)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o644, "{name}");
    }
    bed.audit("--html {out}/a.html")
        .success()
        .stdout(contains("PASS: everything"));
}

#[test]
fn an_audit_that_does_not_pass_is_written_all_the_same() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    bed.audit("--html {out}/a.html").code(3);
    let page = bed.text("a.html");
    assert!(page.contains("<title>Unknown: audit of demo</title>"));
    assert!(page.contains("findings.md#store-unreachable"));
}

#[test]
fn a_look_at_the_head_alone_says_what_it_left_out() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    bed.audit("--head --html {out}/a.html").success();
    let page = bed.text("a.html");
    assert!(page.contains("the newest manifest alone"));
    assert!(page.contains("it was not looked at"));
}

#[test]
fn stock_tools_verify_a_signed_report() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        crate::support::skip("ssh-keygen is not on PATH");
        return;
    }
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let signers = bed.permit();
    bed.audit("--html {out}/a.html --report-json {out}/a.json --sign-report")
        .success();
    assert_eq!(
        bed.names(),
        ["a.html", "a.html.sig", "a.json", "a.json.sig"]
    );
    for name in ["a.html", "a.json"] {
        assert!(verifies(&signers, &bed.out(name)), "{name}");
    }
    assert!(
        bed.text("a.html")
            .contains("-I escrow-host -n escrow-audit@databasus")
    );
    replace(&bed.out("a.html"), "Pass", "Fine");
    assert!(!verifies(&signers, &bed.out("a.html")));
}

#[test]
fn an_older_signature_does_not_stay_beside_a_new_report() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    sandbox.file("out/a.html.sig", "of another report");
    bed.audit("--html {out}/a.html").success();
    assert_eq!(bed.names(), ["a.html"]);
}

#[test]
fn a_key_that_may_not_sign_reports_signs_none() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    bed.audit("--html {out}/a.html --sign-report")
        .code(2)
        .stderr(contains("may not sign").and(contains("escrow-audit@databasus")));
    let signers = bed.permit();
    // A century from now.
    replace(&signers, "valid-after=\"20", "valid-after=\"21");
    bed.audit("--html {out}/a.html --sign-report")
        .code(2)
        .stderr(contains("was not valid"));
    bed.audit("--sign-report")
        .code(2)
        .stderr(contains("--html").and(contains("--report-json")));
    assert_eq!(bed.names(), [""; 0]);
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_anything_is_looked_at() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    for words in [
        "--html {out}/no/a.html",
        "--html {out}",
        "--html {out}/a --report-json {out}/a",
        "--html {out}/a --report-json {out}/../out/a",
        "--html {out}/a --report-json {out}/a.sig",
        "--junit {out}/a.sig --html {out}/a",
    ] {
        bed.audit(words).code(2).stdout("");
    }
    assert_eq!(bed.names(), [""; 0]);
}

#[test]
fn an_escrow_that_was_sealed_again_shows_who_could_open_it_before() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    host.run("custody remove bob --unproven").success();
    let config = without_source(&host, None);
    let rekey = format!(
        "--config {} rekey --identity ../alice.key",
        config.display()
    );
    sandbox.run(&rekey).success();
    let policy = sandbox.file("policy.toml", "version = 1\n[freshness]\n");
    let page = sandbox.path("a.html");
    let words = format!("--policy {} --html {}", policy.display(), page.display());
    host.run(&format!("audit {words}")).success();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<b>bob</b> can open 1 escrow."), "{page}");
    assert!(page.contains("Earlier sealings"));
    assert!(!page.contains("<b>alice</b> can open"));
}
