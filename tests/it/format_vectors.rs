//! The sealed format, held in place: archives of released formats that must open for ever, and a
//! specification whose examples are true.

use std::path::{Path, PathBuf};
use std::process::Command;

use databasus_escrow::base::names::Slug;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::sealing::sshsig::SigningKey;

use crate::support;

mod amends;
mod archive;
mod custody;
mod specification;
mod writer;

/// An archive of a released format, below `tests/golden`.
struct Archive {
    folder: &'static str,
    /// SHA-256 over the lines that `sha256sum` prints for every file of it, sorted by path:
    /// `find store listing trust keys -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`
    tree: &'static str,
    /// Places of its escrows in the chain, and the identities that open each together.
    openers: &'static [(u64, &'static [&'static str])],
}

/// Two escrows, each of whose custodians opens it alone; one of them joined on the second night.
const V1: Archive = Archive {
    folder: "v1",
    tree: "df14cbbe95a1bbeb81bb3980eb3f31f1b3142cb4d646a983a0ccfdf159786132",
    openers: &[
        (1, &["keys/alice.age"]),
        (2, &["keys/alice.age"]),
        (2, &["keys/bob"]),
    ],
};

/// An escrow that any two of three custodians open together, one of whom has checked in.
const TWO_OF_THREE: Archive = Archive {
    folder: "v1-two-of-three",
    tree: "947ddbd69d39b7f9830cffe841f91c9634651c186b2a7085e9e7ad89ce2bf8af",
    openers: &[
        (1, &["keys/alice.age", "keys/bob"]),
        (1, &["keys/alice.age", "keys/carol.age"]),
        (1, &["keys/bob", "keys/carol.age"]),
    ],
};

/// An escrow that was sealed again, to a custodian who was not there before.
const REKEYED: Archive = Archive {
    folder: "v1-rekeyed",
    tree: "9fb170033d65e871271250547fd0e9d388ae14521ba678954a76eac5189ff7a3",
    openers: &[(1, &["keys/alice.age"]), (1, &["keys/carol.age"])],
};

impl Archive {
    fn path(&self, name: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        root.join(self.folder).join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The key that signed it; it is public, and signs nothing else.
    fn signing_key(&self) -> SigningKey {
        SigningKey::from_openssh_pem(&self.text("keys/escrow-demo")).unwrap()
    }

    fn manifest_bytes(&self, seq: u64) -> Vec<u8> {
        std::fs::read(self.path("store").join(layout().manifest(seq))).unwrap()
    }

    /// The manifest as it was signed.
    fn manifest(&self, seq: u64) -> Manifest {
        serde_json::from_slice(&self.manifest_bytes(seq)).unwrap()
    }

    /// The listing of one escrow's files.
    fn listing(&self, manifest: &Manifest) -> PathBuf {
        self.path(&format!("listing/{}.sha256", manifest.escrow_id))
    }
}

fn slug() -> Slug {
    "demo".parse().unwrap()
}

fn layout() -> Layout {
    Layout::new(&slug())
}

/// Whether these programs are on PATH; says so and skips where one is not.
fn stock_tools(tools: &[&str]) -> bool {
    let absent = |tool: &&&str| {
        let found = Command::new("sh")
            .args(["-c", "command -v \"$0\" >/dev/null", tool])
            .status();
        !found.unwrap().success()
    };
    match tools.iter().find(absent) {
        None => true,
        Some(tool) => {
            support::skip(&format!("{tool} is not on PATH"));
            false
        }
    }
}
