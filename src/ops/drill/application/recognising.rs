//! Whether what answers is the clone, and not production at the same address.
//!
//! Both have the key, the administrators and the backups. Only the clone works on what the drill
//! brought back, and only a clone has its databases at hosts that are none.

use crate::databasus::fence::FENCED_HOST;

use super::Proving;
use super::client::Api;
use super::trouble::{ApplicationTrouble, CallError};

/// What shows that it is the clone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A process works on what this drill brought back.
    Process,
    /// All of its databases are fenced: so many.
    Fence(usize),
}

impl Sign {
    pub(super) fn words(self) -> String {
        match self {
            Self::Process => "it works on what came back".to_owned(),
            Self::Fence(count) => format!("a clone: all {count} hosts of databases are fenced"),
        }
    }
}

impl Proving<'_> {
    /// A process on the directory says nothing where something answered before there was one.
    pub(super) fn recognise(&self, api: &Api<'_>) -> Result<Sign, ApplicationTrouble> {
        if !self.asked.was_running && self.is_used() {
            return Ok(Sign::Process);
        }
        let mut hosts = Vec::new();
        for workspace in &self.expected.workspaces {
            self.work.cancel.check().map_err(CallError::from)?;
            match api.hosts(*workspace) {
                Ok(found) => hosts.extend(found),
                // What it does not know shows nothing.
                Err(CallError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        fence(&hosts)
    }
}

fn fence(hosts: &[String]) -> Result<Sign, ApplicationTrouble> {
    let fenced = hosts.iter().filter(|host| *host == FENCED_HOST).count();
    match fenced > 0 && fenced == hosts.len() {
        true => Ok(Sign::Fence(fenced)),
        false => Err(ApplicationTrouble::Unrecognised {
            fenced,
            of: hosts.len(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &[&str]) -> Result<Sign, ApplicationTrouble> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        fence(&hosts)
    }

    #[test]
    fn a_clone_is_known_by_hosts_of_which_all_are_fenced() {
        assert_eq!(of(&[FENCED_HOST; 3]).unwrap(), Sign::Fence(3));
        for hosts in [&["db"] as &[&str], &[FENCED_HOST, "db"], &[]] {
            let refused = of(hosts).unwrap_err();
            assert!(matches!(refused, ApplicationTrouble::Unrecognised { .. }));
        }
    }
}
