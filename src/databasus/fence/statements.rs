//! SQL that changes the metadata and keeps what it changes, each in one statement.
//!
//! Every statement answers with one number: how many rows it changed.

use super::FENCED_HOST;
use super::rules::{EndRule, RemoveRule, SetRule, To};
use crate::databasus::schema::Schema;
use crate::postgres::sql::{identifier, literal};

/// Fixes the text form of every type, so that what is kept reads back as the same value.
pub const EXACT_TEXT: &str = "\
SET LOCAL search_path = pg_catalog; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; \
SET LOCAL IntervalStyle = 'postgres'; SET LOCAL extra_float_digits = 1; \
SET LOCAL bytea_output = 'hex'; SET LOCAL standard_conforming_strings = on";

/// A column that is to get another value in some rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: &'static str,
    /// The column that names a row of it.
    pub key: &'static str,
    /// The column.
    pub column: &'static str,
    /// Its new value, in SQL.
    pub to: String,
    /// Which rows, in SQL, where the table is `t`.
    pub only: String,
}

impl Change {
    /// Whether a schema has what it changes, and a way to name the row.
    pub fn fits(&self, schema: &Schema) -> bool {
        schema.has(self.table, self.column) && schema.has(self.table, self.key)
    }

    /// Changes the column and keeps both values of each row in `escrow_fence.cells`.
    pub fn statement(&self) -> String {
        let (table, column, key) = names(self.table, self.column, self.key);
        let (to, only) = (&self.to, &self.only);
        format!(
            "WITH old AS (SELECT t.ctid AS place, jsonb_build_object({key_name}, t.{key}) AS row_key, \
                 t.{column}::text AS original FROM public.{table} AS t \
                 WHERE ({only}) AND t.{column} IS DISTINCT FROM {to} FOR UPDATE OF t), \
             new AS (UPDATE public.{table} AS t SET {column} = {to} FROM old WHERE t.ctid = old.place \
                 RETURNING old.row_key, old.original, t.{column}::text AS fenced), \
             kept AS (INSERT INTO escrow_fence.cells (table_name, row_key, column_name, original, fenced) \
                 SELECT {table_name}, row_key, {column_name}, original, fenced FROM new RETURNING 1) \
             SELECT count(*)::text FROM kept",
            key_name = literal(self.key),
            table_name = literal(self.table),
            column_name = literal(self.column),
        )
    }
}

impl SetRule {
    /// The rule as a change of all rows that it concerns.
    pub fn change(&self) -> Change {
        let column = identifier(self.column);
        let (to, only) = match self.to {
            To::Off => ("false".to_owned(), format!("t.{column}")),
            To::Null => ("NULL".to_owned(), format!("t.{column} IS NOT NULL")),
            To::Now => ("now()".to_owned(), format!("t.{column} IS NULL")),
            To::NoHost => (literal(FENCED_HOST), format!("t.{column} IS NOT NULL")),
        };
        Change {
            table: self.table,
            key: self.key,
            column: self.column,
            to,
            only,
        }
    }
}

impl RemoveRule {
    /// Empties the table into `escrow_fence.rows`.
    pub fn statement(&self) -> String {
        let why = match self.is_work {
            true => "work-in-progress",
            false => "removed",
        };
        format!(
            "WITH gone AS (DELETE FROM public.{table} AS t RETURNING to_jsonb(t) AS whole), \
             kept AS (INSERT INTO escrow_fence.rows (table_name, row, why) \
                 SELECT {table_name}, whole, {why} FROM gone RETURNING 1) \
             SELECT count(*)::text FROM kept",
            table = identifier(self.table),
            table_name = literal(self.table),
            why = literal(why),
        )
    }
}

impl EndRule {
    /// Ends the work, with the whole row as it was in `escrow_fence.rows`.
    pub fn statement(&self, schema: &Schema) -> String {
        let set = self.ended.iter();
        let set: Vec<String> = set
            .filter(|(column, _)| schema.has(self.table, column))
            .map(|(column, to)| format!("{} = {to}", identifier(column)))
            .collect();
        let states: Vec<String> = self.going_on.iter().map(|state| literal(state)).collect();
        format!(
            "WITH old AS (SELECT t.ctid AS place, to_jsonb(t) AS whole FROM public.{table} AS t \
                 WHERE t.status IN ({states}) FOR UPDATE OF t), \
             ended AS (UPDATE public.{table} AS t SET {set} FROM old WHERE t.ctid = old.place \
                 RETURNING old.whole), \
             kept AS (INSERT INTO escrow_fence.rows (table_name, row, why) \
                 SELECT {table_name}, whole, 'work-in-progress' FROM ended RETURNING 1) \
             SELECT count(*)::text FROM kept",
            table = identifier(self.table),
            table_name = literal(self.table),
            states = states.join(", "),
            set = set.join(", "),
        )
    }
}

fn names(table: &str, column: &str, key: &str) -> (String, String, String) {
    (identifier(table), identifier(column), identifier(key))
}
