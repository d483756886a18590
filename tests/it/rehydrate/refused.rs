//! What cannot work is refused before anything is fetched, and changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::ops::rehydrate::{self, Mode, RehydrateError, Unable};
use databasus_escrow::postgres::binaries::{Docker, Launcher};
use databasus_escrow::sealing::unpack::UnpackError;
use databasus_escrow::target::TargetError;
use databasus_escrow::target::access::NoAccess;

use super::crafted::Crafted;
use super::is_root;
use crate::support::escrowing::{Escrowing, identities, live, local};
use crate::support::{needed, omit};

/// Expects a refusal without a single byte fetched.
fn refusal(escrows: &Escrowing, manifest: &Manifest, target: &Path, mode: &Mode) -> RehydrateError {
    let ports = rehydrate::Ports {
        stores: &escrows.stores(),
        identities: &escrows.identities(),
        handover: &live(),
        cancel: &Cancel::new(),
        on_bytes: Box::new(|_| panic!("something was fetched")),
    };
    let outcome = rehydrate::run(manifest, target, mode, ports);
    outcome.err().expect("it was not refused")
}

fn escrow() -> (Escrowing, Manifest) {
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = Crafted::minimal().seal_into(&escrows);
    (escrows, manifest)
}

#[test]
fn a_target_that_holds_anything_is_refused_and_not_touched() {
    let (escrows, manifest) = escrow();
    let target = escrows.place("databasus-data");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("theirs"), "precious").unwrap();
    let error = refusal(&escrows, &manifest, &target, &Mode::FilesOnly);
    assert!(matches!(
        error,
        RehydrateError::Target(TargetError::NotEmpty(_))
    ));
    assert_eq!(
        std::fs::read_to_string(target.join("theirs")).unwrap(),
        "precious"
    );
    assert_eq!(escrows.litter(), ["databasus-data"]);
}

#[test]
fn an_identity_that_does_not_open_it_is_refused_and_leaves_nothing() {
    let (escrows, manifest) = escrow();
    let stranger = identities(&age::x25519::Identity::generate());
    let target = escrows.place("databasus-data");
    let ports = rehydrate::Ports {
        stores: &escrows.stores(),
        identities: &stranger,
        handover: &live(),
        cancel: &Cancel::new(),
        on_bytes: Box::new(|_| {}),
    };
    let error = rehydrate::run(&manifest, &target, &Mode::FilesOnly, ports).err();
    assert!(matches!(
        error,
        Some(RehydrateError::Unpack(UnpackError::NoIdentity))
    ));
    assert_eq!(escrows.litter(), Vec::<String>::new());
}

fn image(major: u32) -> Launcher {
    Launcher::Docker {
        docker: Docker {
            program: "/nonexistent/docker".into(),
            environment: Vec::new(),
        },
        image: "databasus/databasus:v3.42.0".to_owned(),
        major,
    }
}

#[test]
fn a_release_that_cannot_run_it_is_refused() {
    let (escrows, manifest) = escrow();
    let target = escrows.place("databasus-data");
    let full = |major| refusal(&escrows, &manifest, &target, &Mode::Full(image(major)));
    for major in [16, 18] {
        let error = full(major);
        assert!(
            matches!(error, RehydrateError::Unable(Unable::Major { .. })),
            "{error}"
        );
    }
    let error = refusal(&escrows, &manifest, &target, &Mode::FromLogical(image(17)));
    assert!(
        matches!(error, RehydrateError::Unable(Unable::Image)),
        "{error}"
    );
    assert_eq!(escrows.litter(), Vec::<String>::new());
}

#[test]
fn an_older_release_is_refused_for_the_logical_copy() {
    let Some(bin) = needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    let (escrows, mut manifest) = escrow();
    manifest.source.pg_version = "18.6".to_owned();
    let target = escrows.place("databasus-data");
    let mode = Mode::FromLogical(local(&bin));
    let error = refusal(&escrows, &manifest, &target, &mode);
    assert!(
        matches!(error, RehydrateError::Unable(Unable::Older { .. })),
        "{error}"
    );
}

#[test]
fn a_directory_that_postgresql_cannot_enter_is_named() {
    let Some(bin) = needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    if !is_root() {
        return omit("only root runs PostgreSQL as somebody else");
    }
    let (escrows, manifest) = escrow();
    let closed = escrows.place("closed");
    std::fs::create_dir_all(closed.join("open")).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let target = closed.join("open/databasus-data");
    for mode in [Mode::Full(local(&bin)), Mode::FromLogical(local(&bin))] {
        let error = refusal(&escrows, &manifest, &target, &mode);
        let RehydrateError::Unable(Unable::Access(NoAccess::Directory { directory, uid, .. })) =
            error
        else {
            panic!("{error}");
        };
        assert_eq!((directory, uid), (closed.clone(), 999));
    }
    assert_eq!(std::fs::read_dir(closed.join("open")).unwrap().count(), 0);
}

/// A filesystem of its own, with this much room.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .status();
        if !status.is_ok_and(|status| status.success()) {
            omit("this user cannot mount a small filesystem");
            return None;
        }
        Some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a child that a parallel test has just forked may still hold it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_place_with_too_little_room_is_refused() {
    let escrows = Escrowing::into_stores(&["first"]);
    let mut crafted = Crafted::minimal();
    let noise: Vec<u8> = (0..200_000).map(|_| rand::random()).collect();
    crafted.file("databasus-data/pgdata/noise", 0o600, &noise);
    let manifest = crafted.seal_into(&escrows);
    let Some(small) = Mounted::at(escrows.place("small"), "64k") else {
        return;
    };
    let target = small.0.join("databasus-data");
    let error = refusal(&escrows, &manifest, &target, &Mode::FilesOnly);
    assert!(
        matches!(error, RehydrateError::Unable(Unable::Room { .. })),
        "{error}"
    );
}

#[test]
fn a_place_that_gets_full_on_the_way_is_left_empty() {
    let escrows = Escrowing::into_stores(&["first"]);
    let mut crafted = Crafted::minimal();
    crafted.file("databasus-data/pgdata/zeros", 0o600, &vec![0; 4 << 20]);
    let manifest = crafted.seal_into(&escrows);
    let Some(small) = Mounted::at(escrows.place("small"), "1m") else {
        return;
    };
    let target = small.0.join("databasus-data");
    let outcome = escrows.rehydrate(&manifest, &target, &Mode::FilesOnly);
    let error = outcome.err().expect("four mebibytes fit into one");
    let text = error_chain(&error);
    assert!(text.contains("No space left on device"), "{text}");
    assert_eq!(std::fs::read_dir(&small.0).unwrap().count(), 0);
}
