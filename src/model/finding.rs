//! What a check found: a stable id, how bad it is, and a sentence.

use std::fmt;

use serde::Serialize;

use crate::base::names::StoreName;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Something is missing or could not be checked; what was asked for still works.
    Warning,
    /// Something is not what a signer said it was.
    Violation,
}

/// One result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, kebab-case; a heading in the runbook of findings.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, where.
    pub message: String,
    /// The store that it is about, where it is about one: the sentence names it too.
    #[serde(skip)]
    pub store: Option<StoreName>,
}

impl Finding {
    /// Worth knowing.
    pub fn note(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Severity::Note, message.into())
    }

    /// Missing or unknown.
    pub fn warning(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Severity::Warning, message.into())
    }

    /// Tampered or damaged.
    pub fn violation(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Severity::Violation, message.into())
    }

    fn new(id: &'static str, severity: Severity, message: String) -> Self {
        Self {
            id,
            severity,
            message,
            store: None,
        }
    }

    /// The same, about this store.
    pub fn about(mut self, store: &StoreName) -> Self {
        self.store = Some(store.clone());
        self
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Violation => "violation",
        })
    }
}

/// The worst severity among findings.
pub fn worst(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.severity).max()
}
