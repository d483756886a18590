//! Asking what came back: queries that can write nothing, as a user who may only read.

use std::time::Duration;

use crate::base::cancel::Interrupted;
use crate::base::error_chain::error_chain;
use crate::base::time::UtcTime;
use crate::model::audit::drill_demands::Sentinel;
use crate::model::drill::{Outcome, SentinelResult};
use crate::ops::pitr::checks::only_database;
use crate::postgres::private_server::{PrivateServer, Reading};
use crate::postgres::wire::PgError;

use super::answer::holds;
use super::trouble::Trouble;

/// Who asks. Rows that a policy hides from others are there for him: whether they came back is
/// the question.
const READER: &str = "databasus_escrow_reader";

/// How long a query may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The database that every cluster has unless somebody removed it.
const POSTGRES: &str = "postgres";

/// The predefined role that reads everything came with PostgreSQL 14.
const PREDEFINED_ROLES: u32 = 14;

/// What came of all of them, with the reasons that are not for a report.
pub(super) struct Asked {
    pub(super) results: Vec<SentinelResult>,
    pub(super) words: String,
}

/// Asks all. A query that the server refuses does not hold: what it asks for did not come back.
pub(super) fn ask(
    server: &PrivateServer,
    database: Option<&str>,
    sentinels: &[Sentinel],
    began: UtcTime,
) -> Result<Asked, Trouble> {
    let user = reader(server)?;
    let mut asked = Asked {
        results: Vec::with_capacity(sentinels.len()),
        words: String::new(),
    };
    for sentinel in sentinels {
        let (outcome, why) = judge(server, database, user, sentinel, began)?;
        if !why.is_empty() {
            let name = &sentinel.name;
            asked.words.push_str(&format!("{name}: {why}; "));
        }
        asked.results.push(SentinelResult {
            name: sentinel.name.clone(),
            expects: sentinel.expect.kind(),
            outcome,
        });
    }
    Ok(asked)
}

impl Asked {
    /// Whether all of them hold.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let count = |outcome| {
            let results = self.results.iter();
            results.filter(|one| one.outcome == outcome).count()
        };
        let of = self.results.len();
        match (count(Outcome::Failed), count(Outcome::Unknown)) {
            (0, 0) => None,
            (0, unknown) => Some(Trouble::Unasked { unknown, of }),
            (failed, _) => Some(Trouble::Sentinels { failed, of }),
        }
    }
}

/// The server is a throwaway: it can have one user more. Before 14 its superuser asks.
fn reader(server: &PrivateServer) -> Result<Option<&'static str>, PgError> {
    if server.major() < PREDEFINED_ROLES {
        return Ok(None);
    }
    let mut session = server.connect(POSTGRES)?;
    session.simple_query(&format!(
        "CREATE ROLE {READER} LOGIN BYPASSRLS IN ROLE pg_read_all_data"
    ))?;
    Ok(Some(READER))
}

fn judge(
    server: &PrivateServer,
    database: Option<&str>,
    user: Option<&str>,
    sentinel: &Sentinel,
    began: UtcTime,
) -> Result<(Outcome, String), Interrupted> {
    match answer(server, database, user, sentinel) {
        Ok(found) if holds(&sentinel.expect, found.as_deref(), began) => {
            Ok((Outcome::Proven, String::new()))
        }
        // What it answered is nobody's business.
        Ok(_) => Ok((Outcome::Failed, "another answer".to_owned())),
        Err(PgError::Interrupted(signal)) => Err(signal),
        // The server's own words can quote rows.
        Err(PgError::Server { sqlstate, .. }) => {
            Ok((Outcome::Failed, format!("PostgreSQL says {sqlstate}")))
        }
        Err(error) => Ok((Outcome::Unknown, error_chain(&error))),
    }
}

fn answer(
    server: &PrivateServer,
    database: Option<&str>,
    user: Option<&str>,
    sentinel: &Sentinel,
) -> Result<Option<String>, PgError> {
    let only;
    let database = match sentinel.database.as_deref().or(database) {
        Some(named) => named,
        None => {
            only = only_database(server)?;
            &only
        }
    };
    let mut session = server.connect_to_read(Reading {
        database,
        user,
        timeout: PATIENCE,
    })?;
    let rows = session.simple_query(&sentinel.sql)?;
    let first = rows.into_iter().next();
    Ok(first.and_then(|row| row.into_iter().next()).flatten())
}
