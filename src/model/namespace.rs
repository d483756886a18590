//! What a signature is for: the SSHSIG namespace keeps one document from passing as another.

use std::fmt;

/// The five kinds of document that are signed. A key signs for those that `allowed_signers`
/// permits it, and a signature made for one never verifies for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespace {
    /// Manifests, by the snapshotting host.
    Manifest,
    /// Drill reports, by the box that rehydrated.
    Drill,
    /// Check-ins, by each custodian.
    Checkin,
    /// The head an auditor saw, by that auditor.
    Witness,
    /// Reports of audits, by that auditor.
    Audit,
}

impl Namespace {
    /// Every namespace.
    pub const ALL: [Self; 5] = [
        Self::Manifest,
        Self::Drill,
        Self::Checkin,
        Self::Witness,
        Self::Audit,
    ];

    /// The text inside the signature, as `ssh-keygen -Y verify -n` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "escrow-manifest@databasus",
            Self::Drill => "escrow-drill@databasus",
            Self::Checkin => "escrow-checkin@databasus",
            Self::Witness => "escrow-witness@databasus",
            Self::Audit => "escrow-audit@databasus",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
