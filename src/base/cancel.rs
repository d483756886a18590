//! Cooperative cancellation: a signal sets a flag, every loop that moves bytes looks at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// A shared flag that says which signal asked the run to stop, if any.
///
/// Nothing exits the process from a signal handler: destructors wipe secrets,
/// abort uploads and remove half-made targets, so every stage returns instead.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicI32>);

/// The run was told to stop by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by signal {signal}")]
pub struct Interrupted {
    /// The signal's number: 2 for SIGINT, 15 for SIGTERM.
    pub signal: i32,
}

impl Cancel {
    /// A flag that nobody has raised yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag; the first signal wins, so that the exit code names the cause.
    pub fn raise(&self, signal: i32) {
        let _ = self
            .0
            .compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The signal that asked for the stop.
    pub fn signal(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// Fails once a signal has been seen.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.signal() {
            None => Ok(()),
            Some(signal) => Err(Interrupted { signal }),
        }
    }

    /// The same check for code inside `Read` and `Write`, where errors are `io::Error`.
    pub fn check_io(&self) -> std::io::Result<()> {
        self.check().map_err(std::io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_signal_wins() {
        let cancel = Cancel::new();
        assert_eq!(cancel.check(), Ok(()));
        cancel.raise(15);
        cancel.raise(2);
        assert_eq!(cancel.clone().check(), Err(Interrupted { signal: 15 }));
    }
}
