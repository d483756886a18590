//! Taking a fence back, for the day on which a copy takes production's place.
//!
//! # Order
//! Which fence, of which instance → signs that production lives, in the chain of escrows, in
//! the storages and in the catalogue: any refuses → a fresh import → one transaction: what the
//! fence changed is given back where the fence's own value still stands → what retention would
//! delete at the first tick; who would lose too much is held back → what was not given back
//! is kept in `escrow_leftover`, and `escrow_fence` goes.

mod give_back;
mod held_back;
mod leftover;
mod listed;
mod on_stopped;
mod production;
mod report;
mod retention_rows;

use crate::base::names::Slug;
use crate::base::text::printable;
use crate::base::time::UtcTime;
use crate::databasus::fence::side_schema::{self, FenceRecord, Fenced, RecordError};
use crate::databasus::fence::statements::EXACT_TEXT;
use crate::databasus::schema::{Generation, Schema, SchemaError};
use crate::databasus::secret_key::SecretKey;
use crate::ops::fence::original_storages;
use crate::ops::history::History;
use crate::ops::storages::{BeforeFence, OpenStorage};
use crate::postgres::wire::{Connection, PgError};

pub use held_back::{Decision, Preview, Sort};
pub use leftover::{Leftover, SetAside, Why};
pub use on_stopped::{Ended, OnStoppedError, on_stopped};
pub use production::{Evidence, Says};

use production::Look;
pub use report::UnfenceReport;

/// What was decided.
pub struct UnfenceSettings<'a> {
    /// The instance's name as somebody typed it; none is enough for a dry run alone.
    pub confirmed: Option<&'a str>,
    /// Whether somebody answers for production's death where it cannot be seen.
    pub production_is_dead: bool,
    /// Databases, by name or id, that may lose what retention would take.
    pub accept_deletions: &'a [String],
    /// Whether to change nothing.
    pub dry_run: bool,
    /// The time.
    pub now: UtcTime,
}

/// The chain of escrows.
pub enum Chain<'a> {
    /// As it was read.
    Read(&'a History),
    /// Why it was not.
    NotRead(String),
}

/// Imports what the storages hold into the catalogue, in a transaction of its own. The storages given
/// to it open with the credentials that production had.
pub type FreshImport<'a> = &'a mut dyn FnMut(
    &mut Connection,
    &Schema,
    &SecretKey,
    &dyn OpenStorage,
) -> Result<Imported, ImportFailed>;

/// What came of an import.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// In words.
    pub summary: String,
    /// Whether nothing was left that needs somebody.
    pub is_whole: bool,
}

/// What an import says of its failure.
pub type ImportFailed = Box<dyn std::error::Error + Send + Sync>;

/// What an unfence stands on.
pub struct Ports<'a> {
    /// Opens the storages.
    pub storages: &'a dyn OpenStorage,
    /// Where escrows of the instance are.
    pub chain: Chain<'a>,
    /// The import; none leaves the catalogue as it is.
    pub import: Option<FreshImport<'a>>,
}

/// Nothing was given back, and the database is as it was, a finished import aside.
#[derive(Debug, thiserror::Error)]
pub enum UnfenceError {
    /// There is no fence.
    #[error("the metadata database is not fenced")]
    NotFenced,
    /// What was changed by hand is given back by hand.
    #[error("the metadata database was fenced by hand, after RESTORE.md")]
    FencedByHand,
    /// The fence's own record is unusable.
    #[error("the fence on record cannot be used")]
    Record(#[from] RecordError),
    /// Nobody typed the right name.
    #[error("the fence is of instance {0}, and that name was not confirmed")]
    NotConfirmed(Slug),
    /// It is not a database that can be worked on.
    #[error("cannot unfence this database")]
    Schema(#[from] SchemaError),
    /// An older release of Databasus than the fenced one.
    #[error(
        "the fence was made on a newer schema ({}) than this one ({}), for which no mapping is known",
        fenced.as_str(),
        found.as_str()
    )]
    Downgraded {
        /// When it was fenced.
        fenced: Generation,
        /// Now.
        found: Generation,
    },
    /// Something was made after the copy.
    #[error("production lives: {}", list(.0))]
    ProductionLives(Vec<Evidence>),
    /// It could not be looked whether something was.
    #[error("it cannot be seen whether production lives: {}", list(.0))]
    ProductionUnknown(Vec<Evidence>),
    /// A name given to accept deletions for is nobody's.
    #[error("there is no database {} to accept deletions for", printable(.0))]
    NoSuchDatabase(String),
    /// It is that of several.
    #[error("several databases are called {}; give the id", printable(.0))]
    SeveralDatabases(String),
    /// The fresh import failed.
    #[error("the catalogue could not be brought up to date")]
    Import(#[source] ImportFailed),
    /// The session failed.
    #[error("the fence could not be taken back")]
    Session(#[from] PgError),
}

fn list(evidence: &[Evidence]) -> String {
    let told = evidence
        .iter()
        .map(|one| format!("{}: {}", one.of, one.detail));
    told.collect::<Vec<_>>().join("; ")
}

/// Unfences the database of a session that nobody else uses.
pub fn run(
    session: &mut Connection,
    key: &SecretKey,
    settings: &UnfenceSettings<'_>,
    ports: Ports<'_>,
) -> Result<UnfenceReport, UnfenceError> {
    let unfence = Unfence::begin(session, key, settings)?;
    let originals = original_storages(session, &unfence.schema)?;
    let storages = BeforeFence::new(ports.storages, &originals);
    let look = Look {
        unfence: &unfence,
        storages: &storages,
    };
    let evidence = look.everywhere(session, &originals, &ports.chain)?;
    production::refuse(&evidence, settings.production_is_dead)?;
    let import = ports
        .import
        .map(|import| import(session, &unfence.schema, key, &storages))
        .transpose()
        .map_err(UnfenceError::Import)?;
    let changed = unfence.in_one_transaction(session)?;
    Ok(UnfenceReport {
        record: unfence.record,
        evidence,
        import,
        cells: changed.cells,
        links: changed.links,
        work_in_progress: changed.set_aside,
        leftover: changed.leftover,
        retention: changed.retention,
        dry_run: settings.dry_run,
    })
}

fn fence_of(session: &mut Connection) -> Result<FenceRecord, UnfenceError> {
    match side_schema::which(session)? {
        Fenced::No => Err(UnfenceError::NotFenced),
        Fenced::ByHand => Err(UnfenceError::FencedByHand),
        Fenced::ByTool => Ok(side_schema::read(session)?),
    }
}

/// What tables are called now that had another name when they were fenced.
struct Renamed {
    from: Generation,
    to: Generation,
}

impl Renamed {
    /// The one renaming there ever was leads forward (3.43).
    fn between(fenced: Generation, found: Generation) -> Result<Self, UnfenceError> {
        if found < fenced {
            return Err(UnfenceError::Downgraded { fenced, found });
        }
        Ok(Self {
            from: fenced,
            to: found,
        })
    }

    fn now<'t>(&self, table: &'t str) -> &'t str {
        let pairs = [
            (self.from.backups(), self.to.backups()),
            (self.from.backup_configs(), self.to.backup_configs()),
            (
                self.from.postgresql_databases(),
                self.to.postgresql_databases(),
            ),
        ];
        let found = pairs.into_iter().find(|(old, _)| *old == table);
        found.map_or(table, |(_, new)| new)
    }
}

/// One unfence of a database that has a fence to take back.
struct Unfence<'a> {
    record: FenceRecord,
    schema: Schema,
    generation: Generation,
    renamed: Renamed,
    key: &'a SecretKey,
    settings: &'a UnfenceSettings<'a>,
}

/// What its transaction did.
struct Changed {
    cells: u64,
    links: u64,
    set_aside: Vec<leftover::SetAside>,
    leftover: Vec<Leftover>,
    retention: Vec<Preview>,
}

impl<'a> Unfence<'a> {
    /// Refuses what can be refused without looking anywhere else.
    fn begin(
        session: &mut Connection,
        key: &'a SecretKey,
        settings: &'a UnfenceSettings<'a>,
    ) -> Result<Self, UnfenceError> {
        let schema = Schema::read(session)?;
        let generation = schema.generation()?;
        let record = fence_of(session)?;
        let instance = Some(record.instance.as_str());
        let nobody_said = settings.dry_run && settings.confirmed.is_none();
        if settings.confirmed != instance && !nobody_said {
            return Err(UnfenceError::NotConfirmed(record.instance));
        }
        held_back::check_names(session, settings.accept_deletions)?;
        Ok(Self {
            renamed: Renamed::between(record.generation, generation)?,
            record,
            schema,
            generation,
            key,
            settings,
        })
    }

    fn in_one_transaction(&self, session: &mut Connection) -> Result<Changed, UnfenceError> {
        session.simple_query("BEGIN")?;
        let changed = self.change(session);
        let keep = changed.is_ok() && !self.settings.dry_run;
        let ended = session.simple_query(if keep { "COMMIT" } else { "ROLLBACK" });
        let changed = changed?;
        ended?;
        Ok(changed)
    }

    fn change(&self, session: &mut Connection) -> Result<Changed, UnfenceError> {
        session.simple_query(EXACT_TEXT)?;
        let mut given = self.give_back(session)?;
        let retention = self.hold_back(session, &mut given.leftover)?;
        let set_aside = leftover::set_aside(session)?;
        leftover::keep(session, &given.leftover, &given.lost_links)?;
        session.simple_query("DROP SCHEMA escrow_fence CASCADE")?;
        Ok(Changed {
            cells: given.cells,
            links: given.links,
            set_aside,
            leftover: given.leftover,
            retention,
        })
    }
}

/// The number that a statement answers with.
fn count(session: &mut Connection, sql: &str) -> Result<u64, PgError> {
    let rows = session.simple_query(sql)?;
    let count = rows.into_iter().flatten().flatten().next();
    let count = count.and_then(|text| text.parse().ok());
    count.ok_or_else(|| PgError::Protocol("a count that is no number".to_owned()))
}
