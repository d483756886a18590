//! The instructions on escrows that the program itself has made: to several custodians, and sealed
//! again to others.

use std::path::Path;

use super::block;
use crate::custody::bed::{bash, host_of_three, without_source};
use crate::support::sandbox::{Host, SECRET_KEY, Sandbox};

/// What stands for the S3 client: a store that is a directory has the same folders.
const AWS: &str = r#"
    set -euo pipefail
    STORE=$HOME/usb/demo
    aws() { case $2 in cp) cp "$3" "$4" ;; sync) cp -r "$3" "$4" ;; esac; }"#;

/// Follows blocks of the instructions in a new folder, as far as they come.
struct Following<'s> {
    sandbox: &'s Sandbox,
    script: String,
}

impl<'s> Following<'s> {
    /// Up to the manifest that part 3 leads to.
    fn begin(sandbox: &'s Sandbox, manifest: &str) -> Self {
        let download = block("sh", "for folder in manifest");
        let download: Vec<&str> = download.lines().skip(2).collect();
        let script = format!(
            "{AWS}\nrm -rf by-hand; mkdir by-hand; cd by-hand\n{}\nM=manifest/{manifest}\n",
            download.join("\n")
        );
        Self { sandbox, script }
    }

    fn then(mut self, mark: &str, filled: &[(&str, &str)]) -> Self {
        let blank = block("sh", mark);
        let replace = |text: String, (from, to): &(&str, &str)| {
            assert!(text.contains(from), "{from} is not in\n{text}");
            text.replace(from, to)
        };
        self.script += &filled.iter().fold(blank, replace);
        self
    }

    fn run(self) -> Result<String, String> {
        bash(&self.sandbox.path(""), &self.script)
    }
}

/// `secret.key` of what was restored last.
fn restored_key(sandbox: &Sandbox) -> String {
    let key = sandbox.path("by-hand/restored/databasus-data/secret.key");
    std::fs::read_to_string(key).unwrap()
}

const SEALED_AGAIN: &str = ".change == \"rekeyed\" and .escrow_id == $e)' \\";
const IN_ITS_PLACE: &str = "sealed-again.json";
const HASH: &str = ".payload.sha256";

/// Bob left, and the one escrow was sealed again to those who stayed.
fn without_bob(host: &Host<'_>, sandbox: &Sandbox) {
    host.run("custody remove bob --unproven").success();
    let rekey = format!(
        "--config {} rekey --identity ../alice.key",
        without_source(host, None).display()
    );
    sandbox.run(&rekey).success();
}

/// A stranger who may write to the store says that the escrow was sealed once more.
fn plant_an_amend(store: &Path) {
    let plant = "set -euo pipefail
        ssh-keygen -q -t ed25519 -N '' -C '' -f ../../stranger
        sed 's/\"seq\": 2,/\"seq\": 3,/' manifest/0000000002.json > manifest/0000000003.json
        ssh-keygen -q -Y sign -n escrow-manifest@databasus -f ../../stranger manifest/0000000003.json
        digest=$(sha256sum manifest/0000000003.json | cut -c 1-64)
        mv manifest/0000000003.json.sig sig/$digest.escrow-host.sig";
    bash(store, plant).unwrap();
}

#[test]
fn what_was_sealed_again_opens_by_hand_for_who_stayed() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, None) else {
        return;
    };
    host.snapshot();
    without_bob(&host, &sandbox);
    plant_an_amend(&sandbox.path("usb/demo"));

    let begin = || Following::begin(&sandbox, "0000000001.json").then(SEALED_AGAIN, &[]);
    let said = begin().run().unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let card = host.fingerprint.clone();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("0000000003.json  Good") && !lines[0].contains(&card));
    assert!(lines[1].starts_with("0000000002.json  Good") && lines[1].contains(&card));

    let open = |who: &str| {
        begin()
            .then(IN_ITS_PLACE, &[("0000000000.json", "0000000002.json")])
            .then(HASH, &[])
            .then("KEY=/path", &[("/path/to/identity.txt", who)])
            .run()
    };
    let said = open("../carol.key").unwrap();
    assert!(
        said.ends_with("payload.tar.zst.age: OK\nCOMPLETE\n"),
        "{said}"
    );
    assert_eq!(restored_key(&sandbox), SECRET_KEY);
    assert!(open("../bob.key").is_err());
}

#[test]
fn what_takes_two_opens_by_hand_for_each_pair() {
    let sandbox = Sandbox::new();
    let Some(host) = host_of_three(&sandbox, Some(2)) else {
        return;
    };
    host.snapshot();
    for (outer, inner) in [("alice", "bob"), ("alice", "carol"), ("bob", "carol")] {
        let pair = format!("{outer}+{inner}.age");
        let [outer, inner] = [outer, inner].map(|who| format!("-i ../{who}.key"));
        let filled = [
            ("A+B.age", &*pair),
            ("-i A.txt", &*outer),
            ("-i B.txt", &*inner),
        ];
        let said = Following::begin(&sandbox, "0000000001.json")
            .then(SEALED_AGAIN, &[])
            .then(HASH, &[])
            .then("age -d -i A.txt unlock/A+B.age |", &filled)
            .run()
            .unwrap();
        let expected = format!("payload.tar.zst.age: OK\nunlock/{pair}: OK\nCOMPLETE\n");
        assert_eq!(said, expected);
        assert_eq!(restored_key(&sandbox), SECRET_KEY);
    }
}
