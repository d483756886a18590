//! Which cluster somebody means.

use uuid::Uuid;

use super::cluster::Cluster;
use crate::base::text::printable;
use crate::databasus::objects::name::sanitise;

/// No cluster, or more than one, is meant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// Nothing goes by that name.
    #[error(
        "there is no backup of a cluster called {}; there are {}",
        printable(.wanted),
        list(.others)
    )]
    Nobody {
        /// What was asked for.
        wanted: String,
        /// What there is.
        others: Vec<String>,
    },
    /// Several go by that name.
    #[error("{} clusters went by the name {}: {}", .which.len(), printable(.wanted), list(.which))]
    Several {
        /// What was asked for.
        wanted: String,
        /// Each of them.
        which: Vec<String>,
    },
}

impl Cluster {
    /// Whether it is the one called so in Databasus, now or earlier, or has that id there. Names
    /// of objects have blanks and some other letters replaced.
    pub fn is_called(&self, wanted: &str) -> bool {
        let is_id = || Uuid::try_parse(wanted).is_ok_and(|id| self.database == Some(id));
        self.labels.contains(wanted) || self.labels.contains(&sanitise(wanted)) || is_id()
    }

    /// Its names and what tells it from others, for a person.
    pub fn described(&self) -> String {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let names = match labels.as_slice() {
            [] => "without a name".to_owned(),
            labels => labels.join(", "),
        };
        let system = self
            .system_identifier
            .map_or("unknown".to_owned(), |id| id.to_string());
        let database = self
            .database
            .map_or(String::new(), |id| format!(", database {id}"));
        format!("{names} (cluster {system}{database})")
    }
}

/// The one cluster that goes by a name or an id. Where several do, their system identifier tells
/// them apart, and where that is the same, their id in Databasus does.
pub fn which<'c>(
    clusters: &'c [Cluster],
    wanted: &str,
    system_identifier: Option<u64>,
) -> Result<&'c Cluster, Unclear> {
    let is_meant = |cluster: &&Cluster| {
        let is_system = system_identifier.is_none_or(|id| cluster.system_identifier == Some(id));
        cluster.is_called(wanted) && is_system
    };
    let meant: Vec<&Cluster> = clusters.iter().filter(is_meant).collect();
    match meant.as_slice() {
        [one] => Ok(one),
        [] => Err(Unclear::Nobody {
            wanted: wanted.to_owned(),
            others: clusters.iter().map(Cluster::described).collect(),
        }),
        several => Err(Unclear::Several {
            wanted: wanted.to_owned(),
            which: several.iter().map(|one| one.described()).collect(),
        }),
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none at all".to_owned(),
        names => printable(&names.join("; ")).into_owned(),
    }
}
