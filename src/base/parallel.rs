//! Many small jobs on a few threads, their results in one place.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;

/// Does `job` for every number below `count` on at most `threads` threads, and gives each result
/// to `take` on the caller's own thread, in the order in which they are done. Once `take` breaks,
/// no further job is begun.
pub fn for_each<T: Send>(
    count: usize,
    threads: usize,
    job: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> ControlFlow<()>,
) {
    let next = AtomicUsize::new(0);
    let (next, job) = (&next, &job);
    std::thread::scope(|scope| {
        let (sender, results) = sync_channel(threads);
        for _ in 0..threads.min(count) {
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count || sender.send((index, job(index))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        // Leaving the loop drops the receiver, and that ends the threads.
        for (index, result) in results {
            if take(index, result).is_break() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once() {
        let mut seen = vec![0; 1000];
        for_each(
            1000,
            7,
            |index| index * 2,
            |index, double| {
                assert_eq!(double, index * 2);
                seen[index] += 1;
                ControlFlow::Continue(())
            },
        );
        assert!(seen.iter().all(|times| *times == 1));
        for_each(0, 7, |_| (), |_, ()| panic!("there is no job"));
    }

    #[test]
    fn a_break_ends_the_work() {
        let (begun, mut taken) = (AtomicUsize::new(0), 0);
        let job = |_| begun.fetch_add(1, Ordering::Relaxed);
        for_each(1_000_000, 4, job, |_, _| {
            taken += 1;
            ControlFlow::Break(())
        });
        assert_eq!(taken, 1);
        assert!(begun.load(Ordering::Relaxed) < 100);
    }
}
