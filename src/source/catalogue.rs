//! What Databasus' metadata database says of itself, over any session with it.

use super::Catalogue;
use crate::postgres::wire::{Connection, PgError, Row};

/// One `SELECT` per table of schema public, each with rows of three columns: what it is about,
/// a name, a value. The names that the catalogue wants are taken where the columns exist.
///
/// Tables of more than 128 MiB are not counted. Counting reads all of them, twice a night, and
/// those that grow so large in Databasus (health checks, the audit log) are written to all the
/// time, so that their counts would be of no use.
const CATALOGUE_PARTS: &str = "\
SELECT format('SELECT ''rows'', %L, count(*)::text FROM public.%I', relname, relname) || CASE
    WHEN relname = 'goose_db_version' AND named THEN
      ' UNION ALL SELECT ''schema'', NULL, max(version_id)::text \
        FROM public.goose_db_version WHERE is_applied'
    WHEN relname IN ('databases', 'storages') AND named THEN
      format(' UNION ALL SELECT %L, name::text, NULL FROM public.%I', relname, relname)
    ELSE '' END
FROM (SELECT c.relname, EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname =
          CASE c.relname WHEN 'goose_db_version' THEN 'version_id' ELSE 'name' END) AS named
      FROM pg_class c
      WHERE c.relnamespace = to_regnamespace('public')
        AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND pg_relation_size(c.oid) + (SELECT coalesce(sum(pg_relation_size(relid)), 0)
          FROM pg_partition_tree(c.oid)) <= 134217728) AS tables
ORDER BY relname";

/// Reads exact row counts of all but huge tables, and names, in one statement, hence as of one moment. What a release
/// does not have is left out: tables come and go between schema generations.
pub fn read(connection: &mut Connection) -> Result<Catalogue, PgError> {
    let parts = connection.simple_query(CATALOGUE_PARTS)?;
    let parts: Vec<String> = parts.into_iter().flatten().flatten().collect();
    if parts.is_empty() {
        return Ok(Catalogue::default());
    }
    let rows = connection.simple_query(&parts.join(" UNION ALL "))?;
    catalogue_of(rows)
}

fn catalogue_of(rows: Vec<Row>) -> Result<Catalogue, PgError> {
    let mut catalogue = Catalogue::default();
    for row in rows {
        let mut columns = row.into_iter();
        let mut next = || columns.next().flatten();
        match (next().as_deref(), next(), next()) {
            (Some("rows"), Some(table), Some(count)) => {
                let count = count
                    .parse()
                    .map_err(|_| PgError::Protocol("a row count that is no number".to_owned()))?;
                catalogue.row_counts.insert(table, count);
            }
            (Some("schema"), _, version) => {
                catalogue.schema_version = version.and_then(|text| text.parse().ok());
            }
            (Some("databases"), Some(name), _) => catalogue.databases.push(name),
            (Some("storages"), Some(name), _) => catalogue.storages.push(name),
            _ => {}
        }
    }
    catalogue.databases.sort();
    catalogue.storages.sort();
    catalogue.legacy_secret_keys = *catalogue.row_counts.get("secret_keys").unwrap_or(&0);
    Ok(catalogue)
}
