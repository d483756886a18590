//! PostgreSQL's own checker of tables and B-tree indexes, run inside a database.

use super::wire::{Connection, PgError, Row};
use crate::base::text::printable;

/// Findings kept of one relation: a table of garbage has one per row.
const PER_RELATION: usize = 20;

/// Findings kept in all.
const IN_ALL: usize = 1000;

/// What the check of one database found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AmcheckReport {
    /// Whether the extension could be used. Where not, nothing has been checked and nothing is
    /// known: that is no pass.
    pub available: bool,
    /// Tables and indexes that were looked through.
    pub relations: u64,
    /// What is wrong, one line each, printable; at most 20 of one relation and 1000 in all.
    pub corruptions: Vec<String>,
}

/// An extension of that name which the database brings may be anything, so it makes way for the
/// server's own, in a schema that no object of the database can stand in. All is rolled back.
const INSTALL: &str = "DROP EXTENSION IF EXISTS amcheck CASCADE; \
    CREATE SCHEMA escrow_amcheck; \
    CREATE EXTENSION amcheck WITH SCHEMA escrow_amcheck";

/// Number, kind and name of what can be checked: permanent and unlogged heap tables (`r`),
/// materialised views (`m`) and TOAST tables (`t`), valid B-tree indexes (`i`).
const RELATIONS: &str = "SELECT c.oid, c.relkind, c.oid::pg_catalog.regclass::text \
    FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_am a ON a.oid = c.relam \
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
    WHERE c.relpersistence <> 't' \
      AND (c.relkind IN ('r', 'm', 't') AND a.amname = 'heap' \
        OR c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready) \
    ORDER BY c.oid";

/// Checks every table and B-tree index of the session's database, indexes against their tables
/// too. Everything happens in one transaction that is rolled back.
pub fn check(connection: &mut Connection) -> Result<AmcheckReport, PgError> {
    connection.simple_query("BEGIN")?;
    let report = check_all(connection);
    let rolled_back = connection.simple_query("ROLLBACK");
    let report = report?;
    rolled_back?;
    Ok(report)
}

fn check_all(connection: &mut Connection) -> Result<AmcheckReport, PgError> {
    let mut report = AmcheckReport::default();
    match connection.simple_query(INSTALL) {
        Ok(_) => report.available = true,
        Err(error @ PgError::Server { .. }) => {
            tracing::info!("amcheck is not available: {error}");
            return Ok(report);
        }
        Err(error) => return Err(error),
    }
    for row in connection.simple_query(RELATIONS)? {
        let relation = Relation::from_row(row)?;
        report.relations += 1;
        let found = relation.check(connection)?;
        let room = IN_ALL - report.corruptions.len();
        report.corruptions.extend(found.into_iter().take(room));
    }
    Ok(report)
}

struct Relation {
    oid: u32,
    is_index: bool,
    name: String,
}

impl Relation {
    fn from_row(row: Row) -> Result<Self, PgError> {
        let [Some(oid), Some(kind), Some(name)] = row.as_slice() else {
            return Err(PgError::Protocol("a relation without a name".to_owned()));
        };
        let oid = oid.parse();
        Ok(Self {
            oid: oid.map_err(|_| PgError::Protocol("a relation without a number".to_owned()))?,
            is_index: kind == "i",
            name: printable(name).into_owned(),
        })
    }

    /// A damaged index is told by an error, a damaged table by rows, or by an error where a page
    /// cannot be read at all; the savepoint lets the transaction go on.
    fn check(&self, connection: &mut Connection) -> Result<Vec<String>, PgError> {
        connection.simple_query("SAVEPOINT relation")?;
        match connection.simple_query(&self.query()) {
            Ok(rows) => {
                connection.simple_query("RELEASE SAVEPOINT relation")?;
                Ok(rows
                    .into_iter()
                    .filter_map(|row| self.finding(&row))
                    .collect())
            }
            Err(PgError::Server {
                sqlstate,
                message,
                severity,
            }) if severity == "ERROR" && is_about_data(&sqlstate) => {
                connection.simple_query("ROLLBACK TO SAVEPOINT relation")?;
                Ok(vec![format!("{}: {message}", self.name)])
            }
            Err(other) => Err(other),
        }
    }

    fn query(&self) -> String {
        let oid = self.oid;
        if self.is_index {
            return format!(
                "SELECT NULL, NULL, NULL FROM escrow_amcheck.bt_index_check({oid}::regclass, true)"
            );
        }
        format!(
            "SELECT blkno, offnum, msg \
             FROM escrow_amcheck.verify_heapam({oid}::regclass, check_toast => true) \
             LIMIT {PER_RELATION}"
        )
    }

    fn finding(&self, row: &Row) -> Option<String> {
        let [block, item, Some(message)] = row.as_slice() else {
            return None;
        };
        let block = block.as_deref().unwrap_or("?");
        let item = item.as_deref().unwrap_or("?");
        let message = printable(message);
        Some(format!(
            "{}: block {block} item {item}: {message}",
            self.name
        ))
    }
}

/// Whether an error speaks of what was being read. Classes 53 and 57 are the server's own
/// troubles: no memory, no disk, a shutdown (appendix A of PostgreSQL's manual).
fn is_about_data(sqlstate: &str) -> bool {
    !matches!(sqlstate.get(..2), Some("53" | "57"))
}
