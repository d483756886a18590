//! Signs that production lives: whatever it makes after the copy was taken.

use uuid::Uuid;

use super::listed::{Listed, list_into};
use super::{Chain, Unfence, UnfenceError, count};
use crate::base::error_chain::error_chain;
use crate::base::text::printable;
use crate::base::time::UtcTime;
use crate::databasus::storages::{Storage, StorageKind};
use crate::model::finding::{Severity, worst};
use crate::model::layout::Layout;
use crate::ops::history::History;
use crate::ops::storages::OpenStorage;
use crate::postgres::sql::literal;
use crate::postgres::wire::{Connection, PgError};

/// How far two hosts' clocks may be apart, in seconds.
const CLOCK_SKEW: i64 = 300;

/// Rows of backups that were stored whole.
const COMPLETED: &str = "status = 'COMPLETED'";

/// What a place says about production.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Evidence {
    /// The place.
    pub of: String,
    /// What it says.
    pub says: Says,
    /// In words.
    pub detail: String,
}

/// Whether production was seen to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// Nothing was made since the copy.
    NoSign,
    /// Something was.
    Lives,
    /// It could not be looked.
    Unknown,
}

impl Evidence {
    fn new(of: impl Into<String>, says: Says, detail: impl AsRef<str>) -> Self {
        Self {
            of: of.into(),
            says,
            detail: printable(detail.as_ref()).into_owned(),
        }
    }
}

/// Refuses while production lives; where that is unknown, unless somebody answers for it.
pub(super) fn refuse(evidence: &[Evidence], is_dead: bool) -> Result<(), UnfenceError> {
    let that_say = |says: Says| -> Vec<Evidence> {
        let found = evidence.iter().filter(|one| one.says == says);
        found.cloned().collect()
    };
    let lives = that_say(Says::Lives);
    if !lives.is_empty() {
        return Err(UnfenceError::ProductionLives(lives));
    }
    let unknown = that_say(Says::Unknown);
    if !unknown.is_empty() && !is_dead {
        return Err(UnfenceError::ProductionUnknown(unknown));
    }
    Ok(())
}

/// Every name that Databasus gives an object has an id in it.
const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/// A time as it stands in names of objects: `20261123-031158`, in UTC (DATABASUS.md §3.2).
fn stamp(time: UtcTime) -> String {
    let digits = time.compact().replace('T', "-");
    digits.trim_end_matches('Z').to_owned()
}

/// What is looked at.
pub(super) struct Look<'a> {
    pub(super) unfence: &'a Unfence<'a>,
    pub(super) storages: &'a dyn OpenStorage,
}

impl Look<'_> {
    /// Looks at the chain, the catalogue and every storage.
    pub(super) fn everywhere(
        &self,
        session: &mut Connection,
        storages: &[Storage],
        chain: &Chain<'_>,
    ) -> Result<Vec<Evidence>, PgError> {
        let mut found = vec![self.chain(chain), self.catalogue(session)?];
        for storage in storages {
            found.push(self.storage(session, storage)?);
        }
        Ok(found)
    }

    fn chain(&self, chain: &Chain<'_>) -> Evidence {
        const OF: &str = "the chain of escrows";
        match chain {
            Chain::NotRead(why) => Evidence::new(OF, Says::Unknown, why),
            Chain::Read(history) => {
                let (says, detail) = self.in_history(history);
                Evidence::new(OF, says, detail)
            }
        }
    }

    fn in_history(&self, history: &History) -> (Says, String) {
        let known = self.unfence.record.head_seq;
        let root = Layout::new(&self.unfence.record.instance);
        if history.layout().root() != root.root() {
            return (Says::Unknown, "it is another instance's".to_owned());
        }
        let links = || history.entries.iter().map(|entry| entry.link);
        if let Some(newer) = links()
            .filter(|link| link.seq > known)
            .max_by_key(|l| l.seq)
        {
            let detail = format!(
                "manifest {} of {} came after manifest {known}, the newest at the rehydrate",
                newer.seq, newer.created_at
            );
            // A store that lagged behind at the rehydrate shows older ones late.
            let says = match newer.created_at > self.unfence.record.made_at {
                true => Says::Lives,
                false => Says::Unknown,
            };
            return (says, detail);
        }
        if !links().any(|link| (link.seq, link.digest) == (known, self.unfence.record.head_sha256))
        {
            let detail = format!("manifest {known}, the newest at the rehydrate, is not in it");
            return (Says::Unknown, detail);
        }
        if worst(&history.findings) >= Some(Severity::Violation) {
            let detail = "it was tampered with; `databasus-escrow list` says how";
            return (Says::Unknown, detail.to_owned());
        }
        match history.complete {
            true => (Says::NoSign, format!("still ends with manifest {known}")),
            false => (
                Says::Unknown,
                "not every store answered with all that it lists".to_owned(),
            ),
        }
    }

    /// What an import after the rehydrate brought in was made by somebody; a fenced copy cannot.
    fn catalogue(&self, session: &mut Connection) -> Result<Evidence, PgError> {
        const OF: &str = "the catalogue";
        let after = self.unfence.record.made_at.plus(CLOCK_SKEW);
        let made = [
            (self.unfence.generation.backups(), "created_at", COMPLETED),
            ("physical_full_backups", "created_at", COMPLETED),
            ("physical_incremental_backups", "created_at", COMPLETED),
            (
                "physical_wal_segments",
                "received_at",
                "file_name IS NOT NULL",
            ),
        ];
        let mut younger = 0;
        for (table, time, stored) in made {
            if self.unfence.schema.has(table, time) {
                let after = literal(&after.to_string());
                let sql = format!(
                    "SELECT count(*)::text FROM public.{table} WHERE {stored} AND {time} > {after}"
                );
                younger += count(session, &sql)?;
            }
        }
        Ok(match younger {
            0 => Evidence::new(OF, Says::NoSign, "nothing in it is younger than the fence"),
            _ => {
                let detail = format!("{younger} backups in it were made after the fence");
                Evidence::new(OF, Says::Lives, detail)
            }
        })
    }

    fn storage(&self, session: &mut Connection, storage: &Storage) -> Result<Evidence, PgError> {
        let of = format!("storage {:?}", printable(&storage.name));
        if storage.kind == StorageKind::Local {
            let detail = "its files lay on production's own host and say nothing";
            return Ok(Evidence::new(of, Says::NoSign, detail));
        }
        let store = match self.storages.open(storage, self.unfence.key) {
            Ok(store) => store,
            Err(error) => return Ok(Evidence::new(of, Says::Unknown, error_chain(&error))),
        };
        let (says, detail) = match list_into(session, store.as_ref())? {
            Listed::All => self.compare(session, storage.id)?,
            Listed::Failed(why) => (Says::Unknown, why),
        };
        Ok(Evidence::new(of, says, detail))
    }

    /// What was listed against what was seen at the rehydrate.
    fn compare(&self, session: &mut Connection, storage: Uuid) -> Result<(Says, String), PgError> {
        let recorded = "SELECT (to_regclass('escrow_fence.seen_objects') IS NOT NULL)::int::text";
        let unrecorded = || {
            let detail = "what it held at the rehydrate was not recorded";
            Ok((Says::Unknown, detail.to_owned()))
        };
        if count(session, recorded)? == 0 {
            return unrecorded();
        }
        let rows = session.simple_query(&self.comparison(storage))?;
        let mut columns = rows.into_iter().flatten();
        let mut next = || columns.next().flatten();
        let mut number = || next().and_then(|text| text.parse().ok()).unwrap_or(0u64);
        let (seen, listed, new, gone) = (number(), number(), number(), number());
        let (foreign, younger) = (number(), number());
        let example = next().unwrap_or_default();
        if younger > 0 {
            let detail = format!("{younger} objects in it bear a time after the fence");
            return Ok((Says::Lives, detail));
        }
        Ok(match (seen, listed, new, gone) {
            (0, 1.., ..) => return unrecorded(),
            (_, _, 1.., _) if new == foreign => {
                let detail = format!("{new} new objects, none by a name of Databasus");
                (Says::Unknown, detail)
            }
            (_, _, 1.., _) => {
                let detail = format!("{new} objects are new or changed, {example} among them");
                (Says::Lives, detail)
            }
            (.., 1..) => {
                let detail = format!("{gone} objects are gone since the rehydrate");
                (Says::Unknown, detail)
            }
            _ => (Says::NoSign, format!("holds the same {seen} objects")),
        })
    }

    /// Escrows may lie in the same bucket; what is made of them is the chain's business.
    fn comparison(&self, storage: Uuid) -> String {
        let after = self.unfence.record.made_at.plus(CLOCK_SKEW);
        let slug = self.unfence.record.instance.as_str().replace('.', "\\.");
        let escrows =
            format!("(^|/){slug}/(escrow|policy|sig|manifest|drill|witness|checkin|restore)/");
        format!(
            "WITH listed AS (SELECT key, size, etag FROM pg_temp.listed WHERE key !~ {escrows}), \
             seen AS (SELECT key, size, etag FROM escrow_fence.seen_objects \
                 WHERE storage_id = {storage} AND key !~ {escrows}), \
             new AS (SELECT * FROM listed EXCEPT SELECT * FROM seen), \
             gone AS (SELECT key FROM seen EXCEPT SELECT key FROM listed) \
             SELECT (SELECT count(*) FROM seen)::text, (SELECT count(*) FROM listed)::text, \
                 (SELECT count(*) FROM new)::text, (SELECT count(*) FROM gone)::text, \
                 (SELECT count(*) FROM new WHERE key !~ {of_databasus})::text, \
                 (SELECT count(*) FROM listed WHERE substring(key FROM {stamp}) > {fenced})::text, \
                 (SELECT min(key) FROM new)",
            escrows = literal(&escrows),
            storage = literal(&storage.to_string()),
            of_databasus = literal(UUID),
            stamp = literal(&format!("-([0-9]{{8}}-[0-9]{{6}})-{UUID}")),
            fenced = literal(&stamp(after)),
        )
    }
}
