//! `audit` for programs: Prometheus, CI, Nagios. Their own parsers read what it writes.

use std::path::Path;
use std::process::Command;

use predicates::prelude::*;
use predicates::str::{contains, starts_with};

use super::command::Bed;
use crate::support::needed;
use crate::support::sandbox::{Sandbox, flip, stdout, the_file};

/// Prints each sample in a form of its own.
const READ_METRICS: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    assert family.type == 'gauge' and family.documentation, family
    for sample in family.samples:
        labels = ' '.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))
        print(sample.name.removeprefix('databasus_escrow_'), labels, int(sample.value))
";

/// Prints each case: what it is, its names, and the message.
const READ_CASES: &str = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
for suite in root:
    cases = suite.findall('testcase')
    assert len(cases) == int(suite.get('tests'))
    for case in cases:
        kinds = [one.tag for one in case] or ['pass']
        told = [one.get('message') or one.text for one in case]
        print(*kinds, case.get('classname'), case.get('name'), *told, sep=' | ')
";

/// What one of these says of a file; none where there is no Python.
fn read(script: &str, file: &Path) -> Option<String> {
    let python = needed("ESCROW_TEST_PYTHON")?;
    let output = Command::new(python).args(["-c", script]).arg(file).output();
    let output = output.unwrap();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn assert_told(said: &str, line: &str) {
    assert!(said.lines().any(|one| one == line), "{line}\n{said}");
}

#[test]
fn prometheus_reads_the_metrics() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let file = sandbox.path("escrow.prom");
    let ask = format!("--prometheus {}", file.display());
    bed.audit(&ask).success();
    let Some(said) = read(READ_METRICS, &file) else {
        return;
    };
    for line in [
        "audit_verdict databasus=demo verdict=pass 1",
        "audit_verdict databasus=demo verdict=tampering 0",
        "checks databasus=demo outcome=fail rule=stores 0",
        "unknown databasus=demo rule=stores 0",
        "copies databasus=demo state=present store=nas 1",
        "copies databasus=demo state=missing store=usb 0",
        "parts databasus=demo state=whole store=usb 1",
        "head_sequence databasus=demo 1",
        "custodians_proven databasus=demo 0",
    ] {
        assert_told(&said, line);
    }
    std::fs::remove_file(the_file(&sandbox.path("usb"), "payload.tar.zst.age")).unwrap();
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    bed.audit(&ask).code(4);
    let said = read(READ_METRICS, &file).unwrap();
    assert_told(&said, "audit_verdict databasus=demo verdict=fail 1");
    assert_told(
        &said,
        "findings databasus=demo id=copy-missing rule=stores store=usb 1",
    );
    assert_told(&said, "unknown databasus=demo rule=stores 1");
    assert!(
        !said.contains("copies databasus=demo state=present store=nas"),
        "{said}"
    );
}

#[test]
fn ci_reads_the_cases() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let hostile = "a <b> &amp; ]]> \"q\" | é";
    std::fs::write(sandbox.path("usb/demo/manifest").join(hostile), "").unwrap();
    bed.demand("[proof]\nmin_level = 3\n");
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    let file = sandbox.path("audit.xml");
    bed.audit(&format!("--junit {}", file.display())).code(4);
    let Some(said) = read(READ_CASES, &file) else {
        return;
    };
    for begin in [
        "pass | demo.freshness | freshness",
        "failure | demo.proof | proof-low | ",
        "error | demo.stores | not-seen in nas | ",
        "skipped | demo.drill | drill | ",
    ] {
        assert!(
            said.lines().any(|line| line.starts_with(begin)),
            "{begin}\n{said}"
        );
    }
    let warned = said
        .lines()
        .find(|line| line.starts_with("system-out | demo.chain | foreign-object"));
    assert!(warned.is_some_and(|line| line.contains(hostile)), "{said}");
}

#[test]
fn a_file_that_cannot_be_written_hides_no_verdict_but_a_pass() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    // A folder in which nobody makes a file, root neither.
    let ask = "--html /proc/a.html";
    let refused = || contains("write /proc/a.html");
    bed.audit(ask).code(1).stderr(refused());
    bed.audit(&format!("{ask} --nagios"))
        .code(3)
        .stdout(starts_with("ESCROW UNKNOWN - ").and(refused()));
    bed.demand("[proof]\nmin_level = 3\n");
    bed.audit(ask).code(4).stderr(refused());
    bed.audit(&format!("{ask} --nagios"))
        .code(2)
        .stdout(starts_with("ESCROW CRITICAL - demo: proof-low: "))
        .stderr(refused());
    flip(&the_file(&sandbox.path("nas"), "payload.tar.zst.age"), 40);
    bed.audit(&format!("{ask} --full"))
        .code(13)
        .stderr(refused());
}

#[test]
fn storages_that_cannot_be_opened_are_told_before_anything_is_looked_at() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    let there = sandbox.folder("backups");
    let there = there.display();
    for more in [
        "--backups prod=dir:/nowhere/at/all".to_owned(),
        format!("--backups prod=dir:{there} --backups prod=dir:{there}"),
    ] {
        bed.audit(&more).code(2).stdout("");
    }
}

#[test]
fn a_plugin_says_one_line_and_ends_as_nagios_demands() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let line = |more: &str, code: i32, begin: &str| {
        let ran = bed.audit(&format!("--nagios {more}")).code(code);
        let said = stdout(&ran.stdout(starts_with(begin.to_owned())));
        assert_eq!(said.matches('\n').count(), 1, "{said}");
        assert!(said.matches('|').count() <= 1, "{said}");
    };
    line(
        "",
        0,
        "ESCROW OK - demo: everything demanded holds; the newest escrow is ",
    );
    line("--head", 0, "ESCROW OK - ");
    std::fs::write(sandbox.path("usb/demo/manifest/a|b"), "").unwrap();
    line("", 1, "ESCROW WARNING - demo: foreign-object: ");
    std::fs::rename(sandbox.path("nas"), sandbox.path("away")).unwrap();
    line("", 3, "ESCROW UNKNOWN - demo: ");
    std::fs::rename(sandbox.path("away"), sandbox.path("nas")).unwrap();
    bed.demand("[proof]\nmin_level = 3\n");
    line("", 2, "ESCROW CRITICAL - demo: proof-low: ");
    let payload = the_file(&sandbox.path("nas"), "payload.tar.zst.age");
    flip(&payload, 40);
    line("--full", 2, "ESCROW CRITICAL - demo: copy-damaged: ");
}

#[test]
fn a_plugin_that_could_not_look_is_unknown() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    let unknown = |more: &str, why: &str| {
        let ran = bed.audit(&format!("--nagios {more}")).code(3);
        let ran = ran.stdout(starts_with("ESCROW UNKNOWN - ").and(contains(why.to_owned())));
        assert_eq!(stdout(&ran).matches('\n').count(), 1);
    };
    unknown("--policee", "unexpected argument");
    unknown("--json", "cannot be used with");
    unknown("--sample", "a value is required for '--sample <N>'");
    unknown("--prometheus /nowhere/x.prom", "its folder is not there");
    bed.demand("[nonsense]\n");
    unknown("", "nonsense");
}

#[test]
fn files_are_refused_before_anything_is_looked_at() {
    let sandbox = Sandbox::new();
    let Some(bed) = Bed::new(&sandbox) else {
        return;
    };
    for place in ["/dev/null", "/nowhere/audit.xml"] {
        bed.audit(&format!("--junit {place}"))
            .code(2)
            .stdout("")
            .stderr(contains("cannot write"));
    }
}
