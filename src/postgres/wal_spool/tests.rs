use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

const SEGMENT: &str = "000000010000000000000024";

/// A data directory with the folder beside it, and the shell in between.
struct Bed {
    home: tempfile::TempDir,
    shell: Vec<&'static str>,
}

impl Bed {
    fn new(shell: &[&'static str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("data/pg_wal")).unwrap();
        let shell = shell.to_vec();
        Self { home, shell }
    }

    fn spool(&self) -> Spool {
        let planned = [SEGMENT, "000000010000000000000025", "00000002.history"];
        Spool::create(&self.folder(), None, planned.into_iter()).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(FOLDER)
    }

    fn put(&self, spool: &Spool, name: &str) {
        let (path, mut file) = spool.begin(7).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        spool.publish(&path, name).unwrap();
    }

    /// Begins the command as PostgreSQL does.
    fn ask(&self, name: &str) -> Child {
        let command = RESTORE_COMMAND
            .replace("%f", name)
            .replace("%p", "pg_wal/RECOVERYXLOG");
        let (program, arguments) = self.shell.split_first().unwrap();
        let mut shell = Command::new(program);
        shell.args(arguments).args(["-c", &command]);
        shell.current_dir(self.home.path().join("data"));
        shell.stdin(Stdio::null()).spawn().unwrap()
    }

    fn answer(&self, name: &str) -> i32 {
        self.ask(name).wait().unwrap().code().unwrap()
    }

    fn arrived(&self) -> String {
        fs::read_to_string(self.home.path().join("data/pg_wal/RECOVERYXLOG")).unwrap()
    }
}

/// The shells of this machine that images of PostgreSQL have too.
fn shells() -> Vec<Vec<&'static str>> {
    let known = [vec!["dash"], vec!["busybox", "sh"], vec!["sh"]];
    let runs = |shell: &Vec<&str>| {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", "exit 0"]);
        command.status().is_ok_and(|status| status.success())
    };
    known.into_iter().filter(runs).collect()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_command_has_no_placeholders_but_those_of_every_release() {
    let mut rest = RESTORE_COMMAND.split('%').skip(1);
    assert!(rest.all(|after| after.starts_with(['f', 'p'])));
}

#[test]
fn what_is_there_is_taken_and_what_is_not_planned_is_the_end() {
    for shell in shells() {
        let bed = Bed::new(&shell);
        let spool = bed.spool();
        bed.put(&spool, SEGMENT);
        assert_eq!(bed.answer(SEGMENT), 0);
        assert_eq!(bed.arrived(), SEGMENT);
        assert!(!spool.holds(SEGMENT));
        assert_eq!(bed.answer("000000010000000000000026"), 1);
        assert_eq!(bed.answer("00000003.history"), 1);
        assert_eq!(spool.wanted().unwrap(), None);
    }
}

#[test]
fn a_history_can_be_had_as_often_as_it_is_asked_for() {
    for shell in shells() {
        let bed = Bed::new(&shell);
        let spool = bed.spool();
        bed.put(&spool, "00000002.history");
        assert_eq!(bed.answer("00000002.history"), 0);
        assert_eq!(bed.answer("00000002.history"), 0);
        assert!(spool.holds("00000002.history"));
    }
}

#[test]
fn what_is_planned_is_asked_for_and_waited_for() {
    for shell in shells() {
        let bed = Bed::new(&shell);
        let spool = bed.spool();
        let mut waiting = bed.ask(SEGMENT);
        let wanted = || spool.wanted().unwrap();
        until("it asks", || wanted().as_deref() == Some(SEGMENT));
        assert_eq!(waiting.try_wait().unwrap(), None);
        bed.put(&spool, SEGMENT);
        assert_eq!(waiting.wait().unwrap().code(), Some(0));
        assert_eq!(wanted(), None);
    }
}

#[test]
fn a_feed_that_fails_ends_replay_instead_of_the_log() {
    for shell in shells() {
        let bed = Bed::new(&shell);
        let spool = bed.spool();
        let mut waiting = bed.ask(SEGMENT);
        until("it asks", || spool.wanted().unwrap().is_some());
        drop(spool);
        assert_eq!(waiting.wait().unwrap().code(), Some(255));
        assert_eq!(bed.answer(SEGMENT), 255);
        assert_eq!(bed.answer("000000010000000000000026"), 1);
    }
}

#[test]
fn a_feed_that_was_killed_is_noticed_by_its_lock() {
    let flock = Command::new("flock").arg("--version").output();
    if flock.is_err() {
        return;
    }
    for shell in shells() {
        let bed = Bed::new(&shell);
        drop(bed.spool());
        fs::remove_file(bed.folder().join(FAILED)).unwrap();
        assert_eq!(bed.answer(SEGMENT), 255);
    }
}

#[test]
fn a_folder_that_is_gone_ends_the_wait() {
    for shell in shells() {
        let bed = Bed::new(&shell);
        let spool = bed.spool();
        let mut waiting = bed.ask(SEGMENT);
        until("it asks", || spool.wanted().unwrap().is_some());
        fs::remove_dir_all(bed.folder()).unwrap();
        assert_eq!(waiting.wait().unwrap().code(), Some(255));
        assert_eq!(bed.answer(SEGMENT), 255);
    }
}

#[test]
fn a_segment_that_cannot_be_taken_is_no_end_of_the_log() {
    for shell in shells() {
        let bed = Bed::new(&shell);
        let spool = bed.spool();
        bed.put(&spool, SEGMENT);
        fs::remove_dir(bed.home.path().join("data/pg_wal")).unwrap();
        assert_eq!(bed.answer(SEGMENT), 255);
    }
}

#[test]
fn replay_and_feed_side_by_side_lose_nothing() {
    let bed = Bed::new(&["sh"]);
    let names: Vec<String> = (0..100)
        .map(|n| format!("{:024X}", n + (1u128 << 64)))
        .collect();
    let planned = names.iter().map(String::as_str);
    let spool = Spool::create(&bed.folder(), None, planned).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for name in &names {
                assert_eq!(bed.answer(name), 0);
                assert_eq!(bed.arrived(), *name);
            }
        });
        for name in &names {
            bed.put(&spool, name);
        }
        until("all is taken", || {
            names.iter().all(|name| !spool.holds(name))
        });
    });
}
