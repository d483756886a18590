//! A file system of its own.

use std::path::Path;
use std::process::Command;

use super::skip;

/// In memory; gone with the value.
pub struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts one of this size, `256k`, on a folder; none, audibly, without the right to.
    pub fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let size = format!("size={size}");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &size, "escrow-test"])
            .arg(at);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        skip("a disk of one's own needs the right to mount it");
        None
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}
