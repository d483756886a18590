//! What retention would delete at the first tick, and whom that is spared until somebody accepts
//! it.

use super::leftover::{Leftover, Why};
use super::{Unfence, UnfenceError, retention_rows};
use crate::base::time::UtcTime;
use crate::databasus::fence::statements::Change;
use crate::databasus::retention::{Loss, Micros, SECOND, logical};
use crate::postgres::sql::literal;
use crate::postgres::wire::{Connection, PgError};

use retention_rows::Enabled;

/// What retention would do to a database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Preview {
    /// Its id.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Which of its backups.
    pub of: Sort,
    /// The policy, in Databasus' words.
    pub policy: String,
    /// What it would lose; none where that cannot be told.
    pub loss: Option<Loss>,
    /// What was decided.
    pub decision: Decision,
}

/// The two kinds of backups, which have policies of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// Dumps, and `WAL_V1`.
    Logical,
    /// FULL, INCREMENTAL and WAL.
    Physical,
}

/// What becomes of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It loses nothing of weight.
    Fine,
    /// It may lose that, as was said.
    Accepted,
    /// It keeps everything: retention is set to FOREVER (logical), or it stays switched off
    /// (physical).
    HeldBack,
}

/// Refuses names that are nobody's or several databases'.
pub(super) fn check_names(
    session: &mut Connection,
    accepted: &[String],
) -> Result<(), UnfenceError> {
    for name in accepted {
        let rows = session.simple_query(&format!(
            "SELECT id::text FROM public.databases WHERE name = {0} OR id::text = {0}",
            literal(name)
        ))?;
        match rows.len() {
            0 => return Err(UnfenceError::NoSuchDatabase(name.clone())),
            1 => {}
            _ => return Err(UnfenceError::SeveralDatabases(name.clone())),
        }
    }
    Ok(())
}

impl Unfence<'_> {
    /// Looks at every database that is switched on again, and holds back those that would lose
    /// too much.
    pub(super) fn hold_back(
        &self,
        session: &mut Connection,
        leftover: &mut Vec<Leftover>,
    ) -> Result<Vec<Preview>, PgError> {
        let now = micros(self.settings.now);
        let mut previews = Vec::new();
        for database in retention_rows::logical(session, &self.schema, self.generation)? {
            let rows =
                retention_rows::backups(session, &self.schema, self.generation, &database.id)?;
            let loss = |policy: &_| logical::loss(policy, &rows, now);
            let preview = self.preview(&database, Sort::Logical, loss);
            if preview.decision == Decision::HeldBack {
                self.keep_for_ever(session, &database.id, leftover)?;
            }
            previews.push(preview);
        }
        for database in retention_rows::physical(session, &self.schema)? {
            let rows = retention_rows::chains(session, &database.id)?;
            let preview = self.preview(&database, Sort::Physical, |policy| rows.loss(policy, now));
            if preview.decision == Decision::HeldBack {
                leave_off(session, &database.id, leftover)?;
            }
            previews.push(preview);
        }
        Ok(previews)
    }

    /// A later release may have other rules, so what it would delete cannot be told.
    fn preview<P>(
        &self,
        database: &Enabled<P>,
        of: Sort,
        loss: impl FnOnce(&P) -> Loss,
    ) -> Preview {
        let known = !self.schema.is_newer_than_known();
        let loss = database.policy.as_ref().filter(|_| known).map(loss);
        let accepted = self.settings.accept_deletions.iter();
        let accepted = accepted
            .into_iter()
            .any(|n| *n == database.name || *n == database.id);
        let decision = match (loss, accepted) {
            (Some(loss), _) if !loss.is_grave() => Decision::Fine,
            (_, true) => Decision::Accepted,
            (_, false) => Decision::HeldBack,
        };
        Preview {
            database: database.id.clone(),
            name: database.name.clone(),
            of,
            policy: database.words.clone(),
            loss,
            decision,
        }
    }

    /// `FOREVER` is what every release takes for "delete nothing" (DATABASUS.md §5.1).
    fn keep_for_ever(
        &self,
        session: &mut Connection,
        database: &str,
        leftover: &mut Vec<Leftover>,
    ) -> Result<(), PgError> {
        let table = self.generation.backup_configs();
        let columns = match retention_rows::has_policies(&self.schema, self.generation) {
            true => [
                ("retention_policy_type", "'TIME_PERIOD'"),
                ("retention_time_period", "'FOREVER'"),
            ],
            false => [
                ("store_period", "'FOREVER'"),
                ("max_backups_total_size_mb", "0"),
            ],
        };
        for (column, to) in columns {
            let change = Change {
                table,
                key: "database_id",
                column,
                to: to.to_owned(),
                only: format!("t.database_id::text = {}", literal(database)),
            };
            if super::count(session, &change.statement())? > 0 {
                leftover.push(held_back(table, column, database));
            }
        }
        Ok(())
    }
}

/// Physical retention has no word for "delete nothing" that would let backups go on.
fn leave_off(
    session: &mut Connection,
    database: &str,
    leftover: &mut Vec<Leftover>,
) -> Result<(), PgError> {
    const TABLE: &str = "physical_backup_configs";
    session.simple_query(&format!(
        "UPDATE public.{TABLE} SET is_backups_enabled = false WHERE database_id::text = {}",
        literal(database)
    ))?;
    leftover.push(held_back(TABLE, "is_backups_enabled", database));
    Ok(())
}

fn held_back(table: &str, column: &str, database: &str) -> Leftover {
    Leftover {
        table: table.to_owned(),
        // As PostgreSQL writes the key.
        row: format!("{{\"database_id\": \"{database}\"}}"),
        column: Some(column.to_owned()),
        why: Why::HeldBack,
    }
}

fn micros(time: UtcTime) -> Micros {
    time.unix().saturating_mul(SECOND)
}
