//! The program killed without a chance to clean up: nothing looks complete, and the next run
//! begins anew.

use std::fs;
use std::time::{Duration, Instant};

use super::bed::Bed;
use crate::support::chains::shared;

/// Where a run builds what is to become the output.
const PARTIAL: &str = ".rewound.databasus-escrow-partial";

/// How long a whole run takes, and what it leaves.
fn whole_run(bed: &Bed, words: &[&str]) -> Duration {
    let began = Instant::now();
    bed.restore(words).success();
    assert_eq!(bed.around(), ["rewound"]);
    began.elapsed()
}

/// Kills a run after it has gone on for so long.
fn kill_after(bed: &Bed, words: &[&str], time: Duration) {
    let mut run = bed.start(words);
    let deadline = Instant::now() + time;
    while Instant::now() < deadline && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = run.kill();
    run.wait().unwrap();
}

#[test]
fn whenever_it_is_killed_the_output_is_absent_or_complete_and_the_next_run_succeeds() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let to = chain.sentinel(5).newest_at.to_string();
    let words = ["--to", &to];
    let whole = whole_run(&bed, &words);
    for _ in 0..6 {
        fs::remove_dir_all(bed.output()).unwrap();
        kill_after(&bed, &words, whole.mul_f64(rand::random_range(0.0..1.0)));
        let around = bed.around();
        let known = |name: &String| ["rewound", PARTIAL].contains(&name.as_str());
        assert!(around.iter().all(known), "{around:?}");
        if bed.output().exists() {
            fs::remove_dir_all(bed.output()).unwrap();
        }
        bed.expect(&words, 5);
    }
}

/// A server that the killed run has started may take a moment to find its directory gone; it
/// must not be in the way.
#[test]
fn a_run_that_was_killed_in_replay_does_not_disturb_the_next() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let to = chain.sentinel(5).newest_at.to_string();
    let mut run = bed.start(&["--to", &to]);
    let started = bed.place().join(PARTIAL).join("data/postmaster.pid");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !started.exists() && run.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "no server was started");
        std::thread::sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!bed.output().exists());
    bed.expect(&["--to", &to], 5);
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing() {
    let Some(chain) = shared::native() else {
        return;
    };
    let bed = Bed::of(&chain);
    let mut run = bed.start(&["--latest"]);
    let partial = bed.place().join(PARTIAL);
    while !partial.exists() && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(bed.around(), [""; 0]);
}
