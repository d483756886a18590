//! Queries that must give a certain answer on the rewound cluster.

use serde::Serialize;

use crate::base::cancel::Interrupted;
use crate::base::error_chain::error_chain;
use crate::base::text::{printable, shortened};
use crate::postgres::private_server::PrivateServer;
use crate::postgres::wire::PgError;

/// The database that every cluster has unless somebody removed it.
const POSTGRES: &str = "postgres";

/// The databases of the operator's own.
const OWN_DATABASES: &str = "SELECT datname FROM pg_catalog.pg_database \
    WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres' ORDER BY datname LIMIT 2";

/// A query, and the answer that it must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub sql: String,
    /// The text that the first column of the first row must be.
    pub expected: String,
}

/// What is asked where.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// In which database; none for the only one besides `postgres`, and that one where there is
    /// none or more than one.
    pub database: Option<String>,
    /// The queries.
    pub list: Vec<Check>,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What was asked.
    pub sql: String,
    /// The answer that it had to give.
    pub expected: String,
    /// What it gave.
    pub answer: Answer,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// What was expected.
    Expected,
    /// Another one; none where there was no row, or a null.
    Other(Option<String>),
    /// The query failed, in the server's words.
    Failed(String),
}

impl Checked {
    /// Whether it gave what was expected.
    pub fn holds(&self) -> bool {
        self.answer == Answer::Expected
    }
}

/// What came of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Where they were asked; none where there were none.
    pub database: Option<String>,
    /// One by one.
    pub checks: Vec<Checked>,
}

impl CheckReport {
    /// Whether all of them hold.
    pub fn all_hold(&self) -> bool {
        self.checks.iter().all(Checked::holds)
    }
}

/// Asks all, each in a session and a transaction of its own that cannot write. A query that
/// fails is an answer too.
pub fn run(server: &PrivateServer, checks: &Checks) -> Result<CheckReport, PgError> {
    if checks.list.is_empty() {
        return Ok(CheckReport::default());
    }
    let database = match &checks.database {
        Some(database) => database.clone(),
        None => only_database(server)?,
    };
    let ask = |check: &Check| {
        let answer = ask(server, &database, check)?;
        Ok(Checked {
            sql: check.sql.clone(),
            expected: check.expected.clone(),
            answer,
        })
    };
    let checked: Result<_, Interrupted> = checks.list.iter().map(ask).collect();
    Ok(CheckReport {
        checks: checked?,
        database: Some(database),
    })
}

/// The only database besides `postgres`, or that one where there is none or more than one.
pub(in crate::ops) fn only_database(server: &PrivateServer) -> Result<String, PgError> {
    let mut session = server.connect(super::disarm::ANY_DATABASE)?;
    let rows = session.simple_query(OWN_DATABASES)?;
    let mut names = rows.into_iter().flatten().flatten();
    Ok(match (names.next(), names.next()) {
        (Some(only), None) => only,
        _ => POSTGRES.to_owned(),
    })
}

fn ask(server: &PrivateServer, database: &str, check: &Check) -> Result<Answer, Interrupted> {
    match answer(server, database, &check.sql) {
        Ok(Some(found)) if found == check.expected => Ok(Answer::Expected),
        Ok(found) => Ok(Answer::Other(
            found.map(|text| shortened(&printable(&text))),
        )),
        Err(PgError::Interrupted(signal)) => Err(signal),
        Err(error) => Ok(Answer::Failed(error_chain(&error))),
    }
}

fn answer(server: &PrivateServer, database: &str, sql: &str) -> Result<Option<String>, PgError> {
    let mut session = server.connect(database)?;
    session.simple_query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let rows = session.simple_query(sql)?;
    Ok(rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().next())
        .flatten())
}
