//! The runtime behind one store, and how its calls end early.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::error::Elapsed;

use crate::base::cancel::{Cancel, Interrupted};

/// How often a waiting call looks whether the run was told to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long cleaning up may take once the run is ending anyway.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// Two threads that drive connections, while callers wait on their own.
pub(super) struct Worker {
    handle: Handle,
    runtime: Option<Runtime>,
    cancel: Cancel,
}

impl Worker {
    pub(super) fn start(cancel: Cancel) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            cancel,
        })
    }

    /// Waits for `future`, and drops it once the run is told to stop.
    pub(super) fn run<F: Future>(&self, future: F) -> Result<F::Output, Interrupted> {
        self.cancel.check()?;
        // Boxed: the SDK's futures are too large for the stack of every caller.
        let future = Box::pin(future);
        self.handle.block_on(async {
            let mut future = pin!(future);
            loop {
                match tokio::time::timeout(LOOK_EVERY, future.as_mut()).await {
                    Ok(output) => return Ok(output),
                    Err(_) => self.cancel.check()?,
                }
            }
        })
    }

    /// Waits for `future` even when the run was told to stop, but not for long: aborting an
    /// upload is part of stopping.
    pub(super) fn run_regardless<F: Future>(&self, future: F) -> Result<F::Output, Elapsed> {
        let future = Box::pin(future);
        self.handle
            .block_on(async { tokio::time::timeout(CLEAN_UP, future).await })
    }

    /// Sleeps inside of the runtime.
    pub(super) async fn pause(duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting would hang on a name lookup that hangs.
            runtime.shutdown_background();
        }
    }
}
