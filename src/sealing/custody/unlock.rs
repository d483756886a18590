//! What keeps several custodians from opening an escrow together.

use std::io;

use super::{LayerError, NotAnEscrowIdentity};
use crate::base::names::CustodianName;

/// No identity of the escrow came out of its unlock files.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// Too few of them are here.
    #[error("{}", not_met(*.k, .present, .others))]
    QuorumNotMet {
        /// How many it takes.
        k: u32,
        /// Whose identities were given.
        present: Vec<CustodianName>,
        /// Who could complete them.
        others: Vec<CustodianName>,
    },
    /// An unlock file is not what was signed.
    #[error("unlock file {0} is not what the manifest says")]
    Differs(String),
    /// No store gave it.
    #[error("cannot read unlock file {key}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What the store said.
        #[source]
        source: io::Error,
    },
    /// A layer is damaged, although its digest is the signed one.
    #[error("unlock file {key} cannot be opened")]
    Layer {
        /// Its key.
        key: String,
        /// Why not.
        #[source]
        source: LayerError,
    },
    /// What is inside is something else.
    #[error("unlock file {key} holds something else")]
    Content {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: NotAnEscrowIdentity,
    },
}

fn not_met(k: u32, present: &[CustodianName], others: &[CustodianName]) -> String {
    let names = |people: &[CustodianName]| {
        let names: Vec<&str> = people.iter().map(CustodianName::as_str).collect();
        names.join(", ")
    };
    let here = match present {
        [] => "no custodian's identity is among those given".to_owned(),
        people => format!("the identities given are those of {}", names(people)),
    };
    let lacking = usize::try_from(k).unwrap_or(usize::MAX) - present.len().min(k as usize);
    format!(
        "the escrow takes {k} custodians together, and {here}; {lacking} more of {} can complete \
         them",
        names(others)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(names: &[&str]) -> Vec<CustodianName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_quorum_that_is_not_met_names_who_could_complete_it() {
        let error = UnlockError::QuorumNotMet {
            k: 2,
            present: people(&["alice"]),
            others: people(&["bob", "carol"]),
        };
        assert_eq!(
            error.to_string(),
            "the escrow takes 2 custodians together, and the identities given are those of alice; \
             1 more of bob, carol can complete them"
        );
    }
}
