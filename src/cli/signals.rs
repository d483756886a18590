//! Signals, and what the kernel may keep of this process' memory.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::base::cancel::Cancel;

/// Raises `cancel` at the first SIGINT or SIGTERM. A second one ends the process at once: what
/// is left behind is cleaned up by the next run.
pub(super) fn watch(cancel: &Cancel) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let cancel = cancel.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if cancel.signal().is_some() {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
                cancel.raise(signal);
            }
        })?;
    Ok(())
}

/// Keeps keys out of core dumps and away from debuggers of the same user. Both settings are
/// needed: a `core_pattern` that pipes to a program ignores the limit.
pub(super) fn keep_secrets_out_of_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::process::setrlimit(Resource::Core, none);
}
