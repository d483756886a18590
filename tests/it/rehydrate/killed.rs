//! The program killed without a chance to clean up: the target does not exist, and a second run
//! starts clean.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use databasus_escrow::ops::rehydrate::Mode;

use super::{assert_fit_for_databasus, instance};
use crate::support::escrowing::{Escrowing, local};

/// The program, rehydrating as from a trust card.
fn program(escrows: &Escrowing, pg_bin: &Path) -> Child {
    let identity = escrows.place("identity");
    std::fs::write(&identity, escrows.identity_text().expose_secret()).unwrap();
    let store = format!("first=dir:{}", escrows.object("first", "").display());
    Command::new(env!("CARGO_BIN_EXE_databasus-escrow"))
        .args(["rehydrate", "--instance", "heatwave", "--store", &store])
        .args(["--trust", &escrows.signer().to_string()])
        .arg("--identity")
        .arg(identity)
        .arg("--pg-bin")
        .arg(pg_bin)
        .arg("--target")
        .arg(escrows.place("databasus-data"))
        .env_clear()
        .env("XDG_STATE_HOME", escrows.place("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn partial(escrows: &Escrowing) -> PathBuf {
    escrows.place(".databasus-data.databasus-escrow-partial")
}

fn kill_at(mut program: Child, moment: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !moment() {
        assert!(program.try_wait().unwrap().is_none(), "it ended too early");
        assert!(Instant::now() < deadline, "the moment never came");
        std::thread::sleep(Duration::from_micros(200));
    }
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn a_run_after_one_that_was_killed_succeeds() {
    let Some(server) = instance() else { return };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    for moment in ["pgdata/base", "pgdata/backup_manifest"] {
        let running = program(&escrows, server.bin());
        kill_at(running, || partial(&escrows).join(moment).exists());
        assert!(!target.exists());
    }
    let mode = Mode::Full(local(server.bin()));
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
    assert!(report.is_whole());
    assert_fit_for_databasus(&target);
    assert!(!partial(&escrows).exists());
}

#[test]
fn a_server_that_outlived_the_program_does_not_disturb_the_next_run() {
    let Some(server) = instance() else { return };
    let escrows = Escrowing::into_stores(&["first"]);
    let manifest = escrows.snapshot(&server);
    let target = escrows.place("databasus-data");
    let lock = partial(&escrows).join("pgdata/postmaster.pid");
    let words = || std::fs::read_to_string(&lock).unwrap_or_default();
    kill_at(program(&escrows, server.bin()), || {
        words().contains("ready")
    });
    let words = words();
    let (orphan, sockets) = (line(&words, 0), line(&words, 4));
    assert!(!target.exists());
    assert!(
        is_server_on(&lock, orphan),
        "the server has not outlived it"
    );

    let mode = Mode::Full(local(server.bin()));
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
    assert!(report.is_whole());
    assert_fit_for_databasus(&target);
    // It ends by itself within a minute, for its directory is gone.
    if is_server_on(&lock, orphan) {
        let _ = Command::new("kill").args(["-QUIT", orphan]).status();
    }
    std::fs::remove_dir_all(sockets).unwrap();
}

/// A line of `postmaster.pid`: the first is the process number, the fifth the sockets' folder.
fn line(words: &str, number: usize) -> &str {
    words.lines().nth(number).unwrap()
}

fn is_server_on(lock: &Path, pid: &str) -> bool {
    let pgdata = lock.parent().unwrap().to_str().unwrap();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&arguments).contains(pgdata)
}
