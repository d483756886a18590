//! A network namespace of its own, as a container has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::skip;

/// Gone with the value.
pub struct Namespace(String);

impl Namespace {
    /// With a loopback that is up; none, audibly, without the right to make one.
    pub fn create() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("escrow-test-{}-{number}", std::process::id());
        let ip = |args: &[&str]| {
            let output = Command::new("ip").args(args).output();
            output.is_ok_and(|output| output.status.success())
        };
        if !ip(&["netns", "add", &name]) {
            skip("network namespaces need root and the program ip");
            return None;
        }
        let namespace = Self(name);
        assert!(ip(&["-n", &namespace.0, "link", "set", "lo", "up"]));
        Some(namespace)
    }

    /// Its name for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.0])
            .output();
    }
}
