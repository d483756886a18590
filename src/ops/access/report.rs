//! What credentials were found to be fit for.

use serde::Serialize;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::ops::lock_probe::{LockReport, Outcome};
use crate::store::{StoreError, StoreErrorKind};

use super::Role;

/// What was found of one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessReport {
    /// The store.
    pub store: StoreName,
    /// Where it is, for people.
    pub location: String,
    /// What its credentials are for.
    pub role: Role,
    /// When it was tried.
    pub at: UtcTime,
    /// What was tried, in this order.
    pub tries: Vec<Try>,
    /// What it comes to: the worst of the tries.
    pub fit: Fit,
    /// Why the store could not be tried at all.
    #[serde(skip)]
    pub failure: Option<StoreErrorKind>,
    /// What was tried on a lock, to be remembered with what it left.
    #[serde(skip)]
    pub lock: Option<LockReport>,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Try {
    /// Stable, for machines.
    pub name: String,
    /// What the store answered.
    pub answer: Outcome,
    /// What that means for the role.
    pub fit: Fit,
    /// In words; empty where there is nothing to say.
    pub detail: String,
}

/// How what credentials may do fits what they are for; each is worse than those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// As it should be.
    Right,
    /// They may do more than is needed; not every service can give less.
    Wider,
    /// The store did not say.
    Unknown,
    /// They do not suffice.
    Missing,
    /// They may do what they never must.
    TooWide,
}

/// What a role expects of a try.
#[derive(Clone, Copy, Debug)]
pub(super) enum Must {
    /// It works.
    Work,
    /// It is refused; else it comes to this.
    BeRefused(Fit),
    /// Either will do.
    Whatever,
}

impl Must {
    pub(super) fn fit(self, answer: Outcome) -> Fit {
        match (self, answer) {
            (Self::Whatever, _)
            | (Self::Work, Outcome::Allowed)
            | (Self::BeRefused(_), Outcome::Refused) => Fit::Right,
            (_, Outcome::Unknown) => Fit::Unknown,
            (Self::Work, Outcome::Refused) => Fit::Missing,
            (Self::BeRefused(otherwise), Outcome::Allowed) => otherwise,
        }
    }
}

impl Try {
    pub(super) fn new(name: &str, must: Must, answer: Outcome, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            answer,
            fit: must.fit(answer),
            detail: detail.into(),
        }
    }

    /// A try whose answer is that of the store itself.
    pub(super) fn of<T>(name: &str, must: Must, answered: &Result<T, StoreError>) -> Self {
        let (answer, detail) = match answered {
            Ok(_) => (Outcome::Allowed, String::new()),
            Err(error) => (refusal(error), error_chain(error)),
        };
        Self::new(name, must, answer, detail)
    }
}

/// A denial is an answer; any other failure leaves the question open.
fn refusal(error: &StoreError) -> Outcome {
    match error.kind {
        StoreErrorKind::Denied => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}

impl AccessReport {
    /// The names of what made it no better than it is; none where all is right.
    pub fn because(&self) -> Vec<&str> {
        let worst = self.tries.iter().filter(|one| one.fit == self.fit);
        match self.fit {
            Fit::Right => Vec::new(),
            _ => worst.map(|one| one.name.as_str()).collect(),
        }
    }

    pub(super) fn conclude(mut self) -> Self {
        let fits = self.tries.iter().map(|one| one.fit);
        self.fit = fits.max().unwrap_or(Fit::Unknown);
        self
    }
}
