//! How bad what went wrong is.

/// How bad something is, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is not.
    #[default]
    Fine,
    /// Nothing can be said.
    Unknown,
    /// What the policy demands does not hold.
    Unmet,
    /// No identity, or no key, opens what is there.
    NoIdentity,
    /// Something is not what was signed, or what was sealed.
    Integrity,
}
