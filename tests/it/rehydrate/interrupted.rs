//! An interruption at any moment leaves neither target nor leftovers nor processes, and a second
//! run succeeds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use databasus_escrow::base::cancel::{Cancel, Interrupted};
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::ops::rehydrate::{self, Mode, RehydrateError};

use super::{bloat, instance};
use crate::support::escrowing::{Escrowing, live, local};

/// No process has its working directory below the escrows' folder, or the folder among its
/// arguments.
pub fn assert_nothing_runs_below(escrows: &Escrowing) {
    let home = escrows.place("");
    let home = home.to_str().unwrap().trim_end_matches('/');
    for entry in std::fs::read_dir("/proc").unwrap() {
        let process = entry.unwrap().path();
        let cwd = std::fs::read_link(process.join("cwd")).unwrap_or_default();
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        assert!(
            !cwd.to_string_lossy().starts_with(home) && !arguments.contains(home),
            "{} still runs: {arguments}",
            process.display()
        );
    }
}

/// A moment of a rehydrate, told by what is in the half-made target.
type Moment = fn(&Path) -> bool;

fn postmaster_says(partial: &Path, word: &str) -> bool {
    let lock = std::fs::read_to_string(partial.join("pgdata/postmaster.pid"));
    let status = lock.unwrap_or_default();
    status.lines().nth(7).map(str::trim) == Some(word)
}

/// Interrupts a rehydrate as soon as the moment has come; none if it never came.
fn interrupt(
    escrows: &Escrowing,
    manifest: &Manifest,
    mode: &Mode,
    moment: Moment,
) -> Option<RehydrateError> {
    let (cancel, over) = (Cancel::new(), AtomicBool::new(false));
    let target = escrows.place("databasus-data");
    let partial = escrows.place(".databasus-data.databasus-escrow-partial");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if moment(&partial) {
                    return cancel.raise(15);
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let outcome = escrows.rehydrate_until(manifest, &target, mode, &cancel);
        over.store(true, Ordering::Relaxed);
        outcome.err()
    })
}

fn assert_leaves_nothing(
    escrows: &Escrowing,
    manifest: &Manifest,
    mode: &Mode,
    moments: &[Moment],
) {
    for (number, moment) in moments.iter().enumerate() {
        let error = interrupt(escrows, manifest, mode, *moment);
        assert!(
            matches!(
                error,
                Some(RehydrateError::Interrupted(Interrupted { signal: 15 }))
            ),
            "moment {number}: {error:?}"
        );
        assert_eq!(escrows.litter(), Vec::<String>::new(), "moment {number}");
        assert_nothing_runs_below(escrows);
    }
    let target = escrows.place("databasus-data");
    assert!(
        escrows
            .rehydrate(manifest, &target, mode)
            .unwrap()
            .is_whole()
    );
}

#[test]
fn an_interrupted_recovery_leaves_nothing_and_can_be_repeated() {
    let Some(server) = instance() else { return };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let moments: [Moment; 6] = [
        |_| true,
        |partial| partial.exists(),
        |partial| partial.join("pgdata/base").exists(),
        |partial| partial.join("pgdata/backup_manifest").exists(),
        |partial| partial.join("pgdata/postmaster.pid").exists(),
        |partial| postmaster_says(partial, "ready"),
    ];
    let mode = Mode::Full(local(server.bin()));
    assert_leaves_nothing(&escrows, &manifest, &mode, &moments);
}

#[test]
fn an_interrupted_rebuild_leaves_nothing_and_can_be_repeated() {
    let Some(server) = instance() else { return };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let moments: [Moment; 5] = [
        |partial| partial.join(".metadata.dump").exists(),
        |partial| partial.join("pgdata").exists(),
        |partial| partial.join("pgdata/PG_VERSION").exists(),
        |partial| partial.join("pgdata/base/1").exists(),
        |partial| postmaster_says(partial, "ready"),
    ];
    let mode = Mode::FromLogical(local(server.bin()));
    assert_leaves_nothing(&escrows, &manifest, &mode, &moments);
}

#[test]
fn an_interrupted_download_leaves_nothing() {
    let Some(server) = instance() else { return };
    bloat(&server, 20);
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    for arrived in 1..=3 {
        let cancel = Cancel::new();
        let (raise, parts) = (cancel.clone(), std::sync::atomic::AtomicU32::new(0));
        let ports = rehydrate::Ports {
            stores: &escrows.stores(),
            identities: &escrows.identities(),
            handover: &live(),
            cancel: &cancel,
            on_bytes: Box::new(move |_| {
                if parts.fetch_add(1, Ordering::Relaxed) + 1 == arrived {
                    raise.raise(2);
                }
            }),
        };
        let error = rehydrate::run(&manifest, &target, &Mode::FilesOnly, ports).err();
        assert!(
            matches!(
                error,
                Some(RehydrateError::Interrupted(Interrupted { signal: 2 }))
            ),
            "{error:?}"
        );
        assert_eq!(escrows.litter(), Vec::<String>::new());
    }
}
