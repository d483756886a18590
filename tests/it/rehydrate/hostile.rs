//! Signed payloads that try to do harm: nothing of them reaches the disk outside of the target,
//! and nothing of the target remains.

use std::os::unix::fs::MetadataExt;

use databasus_escrow::base::error_chain::error_chain;
use databasus_escrow::base::names::EscrowId;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::ops::rehydrate::{Mode, RehydrateError};
use databasus_escrow::sealing::unpack::UnpackError;
use tar::EntryType;

use super::crafted::Crafted;
use crate::support::escrowing::Escrowing;

/// Rehydrates files only, expects a refusal, and finds that nothing is left of it.
fn refusal_of(escrows: &Escrowing, manifest: &Manifest) -> RehydrateError {
    let target = escrows.place("databasus-data");
    let outcome = escrows.rehydrate(manifest, &target, &Mode::FilesOnly);
    let error = outcome.err().expect("the payload was accepted");
    assert_eq!(escrows.litter(), Vec::<String>::new());
    error
}

fn refusal(craft: impl FnOnce(&mut Crafted)) -> RehydrateError {
    let escrows = Escrowing::into_stores(&["first"]);
    let mut crafted = Crafted::minimal();
    craft(&mut crafted);
    let manifest = crafted.seal_into(&escrows);
    refusal_of(&escrows, &manifest)
}

/// A refusal of the payload itself.
fn unpack_refusal(craft: impl FnOnce(&mut Crafted)) -> UnpackError {
    match refusal(craft) {
        RehydrateError::Unpack(error) => error,
        other => panic!("{}", error_chain(&other)),
    }
}

#[test]
fn the_crafted_payload_is_otherwise_sound() {
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = Crafted::minimal().seal_into(&escrows);
    let target = escrows.place("databasus-data");
    escrows
        .rehydrate(&manifest, &target, &Mode::FilesOnly)
        .unwrap();
    assert_eq!(
        std::fs::read(target.join("secret.key")).unwrap(),
        super::KEYS[0]
    );
}

#[test]
fn links_devices_and_pipes_are_refused() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ] {
        let error = unpack_refusal(|crafted| {
            crafted.entry(kind, "databasus-data/pgdata/pg_wal", 0o600, b"");
        });
        assert!(
            matches!(error, UnpackError::ForbiddenKind { .. }),
            "{kind:?}: {error}"
        );
    }
}

#[test]
fn paths_out_of_the_target_are_refused() {
    for path in [
        "/tmp/databasus-escrow-hostile",
        "../hostile",
        "databasus-data/../../hostile",
        "databasus-data/./hostile",
        "databasus-data//hostile",
    ] {
        let error = unpack_refusal(|crafted| crafted.file(path, 0o600, b"x"));
        assert!(
            matches!(error, UnpackError::UnsafePath(_)),
            "{path}: {error}"
        );
    }
}

#[test]
fn a_file_that_comes_twice_is_refused_and_the_first_is_not_changed() {
    let error = unpack_refusal(|crafted| {
        crafted.file("databasus-data/secret.key", 0o600, b"another");
    });
    let text = error_chain(&error);
    assert!(
        text.contains("cannot restore databasus-data/secret.key"),
        "{text}"
    );
}

#[test]
fn a_file_cannot_become_a_directory_nor_the_reverse() {
    let clashes: [fn(&mut Crafted); 3] = [
        |crafted| crafted.file("databasus-data/secret.key/x", 0o600, b"x"),
        |crafted| crafted.directory("databasus-data/secret.key"),
        |crafted| crafted.file("databasus-data/pgdata", 0o600, b"x"),
    ];
    for clash in clashes {
        let error = unpack_refusal(clash);
        assert!(matches!(error, UnpackError::Entry { .. }), "{error}");
    }
}

#[test]
fn the_name_of_our_own_temporary_file_cannot_be_taken() {
    let Some(bin) = crate::support::needed("ESCROW_TEST_PG_BIN") else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    let mut crafted = Crafted::minimal();
    crafted.file("databasus-data/.metadata.dump", 0o600, b"another copy, ");
    crafted.file("escrow/metadata.dump/000001", 0o600, b"this copy");
    let manifest = crafted.seal_into(&escrows);
    let mode = Mode::FromLogical(crate::support::escrowing::local(&bin));
    let target = escrows.place("databasus-data");
    let error = escrows.rehydrate(&manifest, &target, &mode).err().unwrap();
    assert!(matches!(
        error,
        RehydrateError::Unpack(UnpackError::Entry { .. })
    ));
    assert_eq!(escrows.litter(), Vec::<String>::new());
}

#[test]
fn special_mode_bits_are_dropped_and_owners_can_always_read() {
    let escrows = Escrowing::into_stores(&["first"]);
    let mut crafted = Crafted::minimal();
    for (name, mode) in [("setuid", 0o6755), ("sticky", 0o1644), ("none", 0o000)] {
        crafted.file(&format!("databasus-data/pgdata/{name}"), mode, b"x");
    }
    let manifest = crafted.seal_into(&escrows);
    let target = escrows.place("databasus-data");
    escrows
        .rehydrate(&manifest, &target, &Mode::FilesOnly)
        .unwrap();
    let mode = |name: &str| {
        let metadata = target.join("pgdata").join(name).metadata().unwrap();
        metadata.mode() & 0o7777
    };
    assert_eq!(
        (mode("setuid"), mode("sticky"), mode("none")),
        (0o755, 0o644, 0o600)
    );
}

#[test]
fn an_index_that_does_not_describe_the_payload_is_refused() {
    let lies: [fn(&mut Crafted); 4] = [
        |crafted| {
            crafted.index.entries.pop();
        },
        |crafted| crafted.index.entries[1].size += 1,
        |crafted| crafted.index.entries[1].sha256 = crafted.index.entries[0].sha256,
        |crafted| {
            let mut more = crafted.index.entries[1].clone();
            more.path.push('2');
            crafted.index.entries.push(more);
        },
    ];
    for lie in lies {
        let error = unpack_refusal(lie);
        assert!(
            matches!(error, UnpackError::IndexMismatch { .. }),
            "{error}"
        );
    }
    let other: EscrowId = "20260613T020000Z-0123456789abcdef".parse().unwrap();
    let error = unpack_refusal(|crafted| crafted.index.escrow_id = other);
    assert!(matches!(error, UnpackError::ForeignIndex(_)), "{error}");
}

#[test]
fn a_frame_that_wants_too_much_memory_is_refused() {
    let error = unpack_refusal(|crafted| {
        crafted.window_log = 27;
        crafted.file("databasus-data/pgdata/large", 0o600, &vec![7; 10 << 20]);
    });
    let text = error_chain(&error);
    assert!(text.contains("requires too much memory"), "{text}");
}

#[test]
fn another_key_than_the_manifest_names_is_refused() {
    let escrows = Escrowing::into_stores(&["first"]);
    let mut manifest = Crafted::minimal().seal_into(&escrows);
    manifest.secret_key_id = "0".repeat(32);
    let error = refusal_of(&escrows, &manifest);
    assert!(matches!(error, RehydrateError::WrongKey { .. }), "{error}");
}

#[test]
fn a_payload_without_a_key_is_refused() {
    let escrows = Escrowing::into_stores(&["first"]);
    let mut crafted = Crafted::empty();
    crafted.directory("databasus-data");
    crafted.directory("databasus-data/pgdata");
    let manifest = crafted.seal_into(&escrows);
    let error = refusal_of(&escrows, &manifest);
    assert!(matches!(error, RehydrateError::NoKey), "{error}");
}

#[test]
fn a_signed_payload_that_ends_too_early_is_refused() {
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = Crafted::minimal().seal_into(&escrows);
    let key = format!("heatwave/escrow/{}/payload.tar.zst.age", manifest.escrow_id);
    let path = escrows.object("first", &key);
    let whole = std::fs::read(&path).unwrap();
    let cut = &whole[..whole.len() - 1];
    std::fs::write(&path, cut).unwrap();
    let mut manifest = manifest;
    manifest.payload.size = cut.len() as u64;
    manifest.payload.sha256 = databasus_escrow::base::digest::Digest::of(cut);
    manifest.payload.parts = vec![manifest.payload.sha256];
    let error = refusal_of(&escrows, &manifest);
    assert!(
        matches!(error, RehydrateError::Unpack(UnpackError::Read(_))),
        "{error}"
    );
}
