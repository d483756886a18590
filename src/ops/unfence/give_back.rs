//! Giving back what the fence changed, each value only where the fence's own still stands.

use super::leftover::{Leftover, Why};
use super::{Unfence, count};
use crate::databasus::fence::credentials::is_secret;
use crate::databasus::fence::rules::{Link, REMOVE};
use crate::databasus::fields::open_field;
use crate::databasus::secret_key::SecretKey;
use crate::postgres::sql::{identifier, literal};
use crate::postgres::wire::{Connection, PgError};

/// How many rows one statement names.
const BATCH: usize = 500;

/// What was given back and what was not.
#[derive(Default)]
pub(super) struct GivenBack {
    pub(super) cells: u64,
    pub(super) links: u64,
    pub(super) leftover: Vec<Leftover>,
    /// Ids in `escrow_fence.rows`.
    pub(super) lost_links: Vec<String>,
}

/// One column of one table that the fence changed.
struct Fenced {
    table: String,
    column: String,
    /// The column that names a row.
    key: String,
}

const COLUMNS: &str = "\
SELECT table_name, column_name, min((SELECT min(k) FROM jsonb_object_keys(row_key) AS k)) \
FROM escrow_fence.cells GROUP BY table_name, column_name ORDER BY table_name, column_name";

impl Unfence<'_> {
    pub(super) fn give_back(&self, session: &mut Connection) -> Result<GivenBack, PgError> {
        let mut given = GivenBack::default();
        for row in session.simple_query(COLUMNS)? {
            let mut columns = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || columns.next().unwrap_or_default();
            let fenced = Fenced {
                table: next(),
                column: next(),
                key: next(),
            };
            self.give_column(session, &fenced, &mut given)?;
        }
        self.give_links(session, &mut given)?;
        Ok(given)
    }

    fn give_column(
        &self,
        session: &mut Connection,
        fenced: &Fenced,
        given: &mut GivenBack,
    ) -> Result<(), PgError> {
        let table = self.renamed.now(&fenced.table);
        let there = self.schema.has(table, &fenced.key);
        let Some(column) = self.schema.column(table, &fenced.column).filter(|_| there) else {
            let rows = session.simple_query(&fenced.rows())?;
            let rows = rows.into_iter().flatten().flatten();
            let left = rows.map(|row| fenced.leftover(row, Why::NoSuchColumn));
            given.leftover.extend(left);
            return Ok(());
        };
        let mut stand = Vec::new();
        for row in session.simple_query(&fenced.states(table))? {
            let mut columns = row.into_iter();
            let mut next = || columns.next().flatten();
            let (row, is_there) = (next().unwrap_or_default(), next().is_some());
            let (ours, now) = (next(), next());
            match self.judge(fenced, is_there, ours.as_deref(), now.as_deref()) {
                None => stand.push(row),
                Some(why) => given.leftover.push(fenced.leftover(row, why)),
            }
        }
        for rows in stand.chunks(BATCH) {
            let sql = fenced.restore(table, &column.data_type, rows);
            given.cells += count(session, &sql)?;
        }
        Ok(())
    }

    /// Why a value is not to be given back; none where it is.
    fn judge(
        &self,
        fenced: &Fenced,
        is_there: bool,
        ours: Option<&str>,
        now: Option<&str>,
    ) -> Option<Why> {
        let sealed = is_secret(&fenced.table, &fenced.column);
        match is_there {
            false => Some(Why::RowGone),
            true if ours == now => None,
            true if sealed && same_secret(ours, now, self.key) => None,
            true => Some(Why::Changed),
        }
    }

    fn give_links(&self, session: &mut Connection, given: &mut GivenBack) -> Result<(), PgError> {
        for rule in REMOVE.iter().filter(|rule| !rule.is_work) {
            let table = self.renamed.now(rule.table);
            let ends_there =
                |end: &Link| self.schema.has(table, end.column) && self.schema.has(end.table, "id");
            let condition = match rule.links.iter().all(ends_there) {
                true => both_ends(rule.links),
                false => "false".to_owned(),
            };
            if condition != "false" {
                given.links += put_back(session, rule.table, table, &condition)?;
            }
            given.lose_links(session, rule.table, &condition)?;
        }
        Ok(())
    }
}

/// Whether two values are the same once they are opened: Databasus encrypts what it saves.
fn same_secret(ours: Option<&str>, now: Option<&str>, key: &SecretKey) -> bool {
    let open = |value: Option<&str>| open_field(value.unwrap_or_default(), key);
    match (open(ours), open(now)) {
        (Ok(ours), Ok(now)) => ours == now,
        _ => false,
    }
}

impl Fenced {
    fn leftover(&self, row: String, why: Why) -> Leftover {
        Leftover {
            table: self.table.clone(),
            row,
            column: Some(self.column.clone()),
            why,
        }
    }

    fn these(&self) -> String {
        format!(
            "c.table_name = {} AND c.column_name = {}",
            literal(&self.table),
            literal(&self.column)
        )
    }

    fn rows(&self) -> String {
        format!(
            "SELECT c.row_key::text FROM escrow_fence.cells AS c WHERE {} ORDER BY 1",
            self.these()
        )
    }

    /// Key, whether the row is there, the fence's value, the present one.
    fn states(&self, table: &str) -> String {
        format!(
            "SELECT c.row_key::text, t.{key}::text, c.fenced, t.{column}::text \
             FROM escrow_fence.cells AS c LEFT JOIN public.{table} AS t \
                 ON t.{key}::text = c.row_key ->> {key_name} \
             WHERE {these} ORDER BY 1",
            key = identifier(&self.key),
            key_name = literal(&self.key),
            column = identifier(&self.column),
            table = identifier(table),
            these = self.these(),
        )
    }

    fn restore(&self, table: &str, data_type: &str, rows: &[String]) -> String {
        let rows: Vec<String> = rows.iter().map(|row| literal(row)).collect();
        format!(
            "WITH given AS (UPDATE public.{table} AS t SET {column} = CAST(c.original AS {data_type}) \
                 FROM escrow_fence.cells AS c \
                 WHERE {these} AND t.{key}::text = c.row_key ->> {key_name} \
                     AND c.row_key::text IN ({rows}) RETURNING 1) \
             SELECT count(*)::text FROM given",
            table = identifier(table),
            column = identifier(&self.column),
            these = self.these(),
            key = identifier(&self.key),
            key_name = literal(&self.key),
            rows = rows.join(", "),
        )
    }
}

/// SQL for "what row `r` links is there".
fn both_ends(links: &[Link]) -> String {
    let ends: Vec<String> = links
        .iter()
        .map(|end| {
            format!(
                "EXISTS (SELECT FROM public.{} AS e WHERE e.id::text = r.row ->> {})",
                identifier(end.table),
                literal(end.column)
            )
        })
        .collect();
    ends.join(" AND ")
}

/// Inserts the kept rows, in the columns that they have. One that somebody made again is left.
fn put_back(
    session: &mut Connection,
    kept_as: &str,
    table: &str,
    condition: &str,
) -> Result<u64, PgError> {
    let kept = literal(kept_as);
    let columns = session.simple_query(&format!(
        "SELECT DISTINCT k FROM escrow_fence.rows AS r, jsonb_object_keys(r.row) AS k \
         WHERE r.table_name = {kept} AND r.why = 'removed' ORDER BY 1"
    ))?;
    let columns = columns.into_iter().flatten().flatten();
    let columns: Vec<String> = columns.map(|column| identifier(&column)).collect();
    if columns.is_empty() {
        return Ok(0);
    }
    let values: Vec<String> = columns.iter().map(|column| format!("p.{column}")).collect();
    count(
        session,
        &format!(
            "WITH given AS (INSERT INTO public.{table} ({columns}) SELECT {values} \
                 FROM escrow_fence.rows AS r, \
                     jsonb_populate_record(NULL::public.{table}, r.row) AS p \
                 WHERE r.table_name = {kept} AND r.why = 'removed' AND {condition} \
                 ON CONFLICT DO NOTHING RETURNING 1) \
             SELECT count(*)::text FROM given",
            table = identifier(table),
            columns = columns.join(", "),
            values = values.join(", "),
        ),
    )
}

impl GivenBack {
    fn lose_links(
        &mut self,
        session: &mut Connection,
        kept_as: &str,
        condition: &str,
    ) -> Result<(), PgError> {
        let lost = session.simple_query(&format!(
            "SELECT r.id::text, r.row::text FROM escrow_fence.rows AS r \
             WHERE r.table_name = {} AND r.why = 'removed' AND NOT ({condition}) ORDER BY r.id",
            literal(kept_as)
        ))?;
        for row in lost {
            let mut columns = row.into_iter().map(Option::unwrap_or_default);
            self.lost_links.extend(columns.next());
            self.leftover.push(Leftover {
                table: kept_as.to_owned(),
                row: columns.next().unwrap_or_default(),
                column: None,
                why: Why::EndGone,
            });
        }
        Ok(())
    }
}
