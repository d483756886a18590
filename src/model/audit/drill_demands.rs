//! The table `[drill]` of a policy: what a drill has to bring back, and what must hold then.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::span::Span;
use crate::base::names::Slug;
use crate::base::text::printable;
use crate::base::time::UtcTime;
use crate::model::drill::{Expectation, HIGHEST_LEVEL, SubjectKind};

/// The level from which on something has to be brought back.
const RESTORES: u8 = 4;

/// A sentinel's name stands in reports and tables.
const LONGEST_NAME: usize = 80;

const GIB: u64 = 1 << 30;

/// What a drill has to show.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct DrillDemands {
    /// How far it has to go, 0 to 5.
    pub level: u8,
    /// How long ago the last drill may have ended; none where an audit demands
    /// nothing of drills.
    pub max_age: Option<Span>,
    /// The longest time until everything is back.
    pub rto: Option<Span>,
    /// How old what comes back may be.
    pub rpo: Option<Span>,
    /// Room that it takes, in bytes: known before anything is fetched, and the sizes of databases
    /// are not.
    pub room: Option<u64>,
    /// What has to come back, databases first, each in the order of the policy.
    pub subjects: Vec<SubjectDemand>,
}

/// A database or cluster that has to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectDemand {
    /// How reports call it, which lie in the open.
    pub label: String,
    /// Its name or its id in Databasus.
    pub name: String,
    /// What it is.
    pub kind: SubjectKind,
    /// As of when; always the newest for a database.
    pub to: PointBack,
    /// What must hold in it.
    pub sentinels: Vec<Sentinel>,
}

/// As of when a cluster has to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointBack {
    /// As new as there is.
    Newest,
    /// So long before the drill begins.
    Ago(Span),
    /// At this time.
    At(UtcTime),
}

/// A query, and what its answer has to be: the first column of the first row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// How reports call it, which lie in the open.
    pub name: String,
    /// In which database of a cluster; none for the only one besides `postgres`.
    pub database: Option<String>,
    /// What is asked, read-only.
    pub sql: String,
    /// What must be answered.
    pub expect: Expect,
}

/// What an answer has to be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// This text, as PostgreSQL writes it.
    Equals(Plain),
    /// This number or more.
    AtLeast(i64),
    /// A time that lies no further back than this.
    NewerThan(Span),
}

/// A value that TOML may write without quotes, as PostgreSQL writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default = "restores")]
    level: u8,
    max_age: Option<Span>,
    rto: Option<Span>,
    rpo: Option<Span>,
    room_gib: Option<u32>,
    #[serde(default)]
    database: Vec<DatabaseFields>,
    #[serde(default)]
    cluster: Vec<ClusterFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseFields {
    name: String,
    label: Option<Slug>,
    #[serde(default)]
    sentinel: Vec<Sentinel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFields {
    name: String,
    label: Option<Slug>,
    #[serde(default = "newest")]
    to: PointBack,
    #[serde(default)]
    sentinel: Vec<Sentinel>,
}

fn restores() -> u8 {
    RESTORES
}

fn newest() -> PointBack {
    PointBack::Newest
}

impl TryFrom<Fields> for DrillDemands {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let databases = fields.database.into_iter().enumerate();
        let databases = databases.map(|(place, one)| one.demand(place));
        let clusters = fields.cluster.into_iter().enumerate();
        let clusters = clusters.map(|(place, one)| one.demand(place));
        let demands = Self {
            level: fields.level,
            max_age: fields.max_age,
            rto: fields.rto,
            rpo: fields.rpo,
            room: fields.room_gib.map(|gib| u64::from(gib) * GIB),
            subjects: databases.chain(clusters).collect(),
        };
        demands.check().map(|()| demands)
    }
}

impl DatabaseFields {
    fn demand(self, place: usize) -> SubjectDemand {
        SubjectDemand {
            label: label(self.label, "database", place),
            name: self.name,
            kind: SubjectKind::Database,
            to: PointBack::Newest,
            sentinels: self.sentinel,
        }
    }
}

impl ClusterFields {
    fn demand(self, place: usize) -> SubjectDemand {
        SubjectDemand {
            label: label(self.label, "cluster", place),
            name: self.name,
            kind: SubjectKind::Cluster,
            to: self.to,
            sentinels: self.sentinel,
        }
    }
}

fn label(given: Option<Slug>, kind: &str, place: usize) -> String {
    given.map_or_else(
        || format!("{kind}-{}", place + 1),
        |label| label.to_string(),
    )
}

impl DrillDemands {
    fn check(&self) -> Result<(), String> {
        if self.level > HIGHEST_LEVEL {
            return Err(format!("level must be 0 to {HIGHEST_LEVEL}"));
        }
        match (self.level >= RESTORES, self.subjects.is_empty()) {
            (true, true) => {
                return Err(format!(
                    "level {} brings something back: name it in [[drill.database]] or \
                     [[drill.cluster]]",
                    self.level
                ));
            }
            (false, false) => {
                return Err(format!(
                    "level {} brings no database back: level {RESTORES} does",
                    self.level
                ));
            }
            _ => {}
        }
        if self.level < RESTORES && self.rpo.is_some() {
            return Err(format!(
                "below level {RESTORES} nothing comes back of which `rpo` could tell the age"
            ));
        }
        let mut seen = BTreeSet::new();
        for subject in &self.subjects {
            if !seen.insert(&subject.label) {
                return Err(format!("two are labelled {}", subject.label));
            }
            subject.check()?;
        }
        Ok(())
    }
}

impl SubjectDemand {
    fn check(&self) -> Result<(), String> {
        let about = format!("{} {}", self.kind.word(), printable(&self.name));
        if self.sentinels.is_empty() {
            return Err(format!(
                "{about} has no sentinel, and without a query nothing shows that its rows came back"
            ));
        }
        for sentinel in &self.sentinels {
            let name = &sentinel.name;
            if name.trim().is_empty() || name.chars().count() > LONGEST_NAME {
                return Err(format!(
                    "{about}: a sentinel's name has 1 to {LONGEST_NAME} letters"
                ));
            }
            if self.kind == SubjectKind::Database && sentinel.database.is_some() {
                return Err(format!("{about}: a dump holds one database alone"));
            }
        }
        Ok(())
    }
}

impl SubjectKind {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Cluster => "cluster",
            Self::Unknown => "subject",
        }
    }
}

impl Expect {
    /// What kind of expectation it is.
    pub fn kind(&self) -> Expectation {
        match self {
            Self::Equals(_) => Expectation::Equals,
            Self::AtLeast(_) => Expectation::AtLeast,
            Self::NewerThan(_) => Expectation::NewerThan,
        }
    }
}

impl FromStr for PointBack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "newest" {
            return Ok(Self::Newest);
        }
        let span = text.strip_suffix(" ago").map(str::parse::<Span>);
        match (span, text.parse()) {
            (Some(Ok(span)), _) => Ok(Self::Ago(span)),
            (_, Ok(time)) => Ok(Self::At(time)),
            _ => Err(format!(
                "{:?} is no point to go back to: write \"newest\", \"1h ago\" or a time such as \
                 \"2026-06-12T02:00:00Z\"",
                printable(text)
            )),
        }
    }
}

impl<'de> Deserialize<'de> for PointBack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string, an integer, true or false")]
        enum Value {
            Text(String),
            Number(i64),
            Truth(bool),
        }
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Text(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Truth(true) => "t".to_owned(),
            Value::Truth(false) => "f".to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests;
