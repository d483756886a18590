//! From examined backups to rows: whose each is, and what it stands on.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use uuid::Uuid;

use crate::base::time::UtcTime;
use crate::databasus::catalogue_rows::{
    BackupRow, EncryptionColumns, Engine, HistoryRow, KnownDatabase, KnownRow, Listing, LogPlace,
    LogicalRow, PhysicalRow, Placeholder, RowState, Table, WalRow, WalV1Columns, mebibytes,
};
use crate::databasus::objects::sidecar::BaseBackup;
use crate::postgres::lsn::Lsn;

use super::attribution::{Attributed, Attribution, Content, Evidence};
use super::chains::Chains;
use super::examine::{Examined, What};
use super::known::Known;
use super::matching::At;
use super::placeholders;
use super::report::{LeftOut, Reason, Remark};
use super::survey::{Place, Survey};
use super::wal_v1::WalV1Chains;

/// What is to be written, and what is not.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) rows: Vec<BackupRow>,
    pub(super) placeholders: Vec<Placeholder>,
    /// Claims of WAL that came to be stored under another claim.
    pub(super) stale_claims: Vec<Uuid>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) remarks: Vec<Remark>,
    /// By place: copies of what the catalogue knows in another.
    pub(super) copies: BTreeMap<usize, u64>,
}

/// What planning stands on.
pub(super) struct Planner<'a> {
    pub(super) known: &'a Known,
    pub(super) survey: &'a Survey,
    pub(super) attribution: Attribution,
    pub(super) chains: Chains,
    pub(super) wal_v1: WalV1Chains,
    pub(super) placeholders: bool,
    /// Places in the log that this import fills.
    pub(super) taken: HashSet<(Uuid, Table, u32, Lsn)>,
    pub(super) plan: Plan,
}

/// A backup that has its place in the catalogue, or none.
enum Standing<'a> {
    /// It completes this row.
    Promotes(&'a KnownRow),
    /// No row has its id.
    New,
}

impl Planner<'_> {
    /// Plans for all of them. Their order makes no difference: it is made anew, so that what
    /// others stand on comes before them.
    pub(super) fn plan(mut self, mut examined: Vec<(At, Examined)>) -> Plan {
        examined.sort_by_key(|(at, _)| *at);
        let mut seen = BTreeSet::new();
        for (at, one) in self.own_storage_first(examined) {
            match seen.insert(one.id) {
                true => self.take(at, one),
                false => self.count_copy(at),
            }
        }
        self.plan
    }

    /// Of a backup that is in two places, the one in its database's own storage counts.
    fn own_storage_first(&self, examined: Vec<(At, Examined)>) -> Vec<(At, Examined)> {
        let mut times: BTreeMap<Uuid, usize> = BTreeMap::new();
        for (_, one) in &examined {
            *times.entry(one.id).or_default() += 1;
        }
        let mut chosen: BTreeMap<Uuid, At> = BTreeMap::new();
        let twice = examined
            .iter()
            .filter(|(_, one)| times.get(&one.id) > Some(&1));
        for (at, one) in twice {
            if self.own_storage(*at, one).is_some() {
                chosen.entry(one.id).or_insert(*at);
            }
        }
        // The sort is stable: what stands on others stays behind them.
        let mut ordered = examined;
        let not_chosen = |(at, one): &(At, Examined)| chosen.get(&one.id).is_some_and(|c| c != at);
        ordered.sort_by_cached_key(|one| {
            (rank(&one.1.what), one.1.begins(), one.1.id, not_chosen(one))
        });
        ordered
    }

    fn own_storage(&self, at: At, one: &Examined) -> Option<Uuid> {
        let database = match self.known.with_id(one.id) {
            Some(row) => {
                return self.survey.places[at.place]
                    .is(row.storage)
                    .then_some(row.storage);
            }
            None => self.database_of(one)?,
        };
        let storage = self.attribution.database(database)?.storage?;
        self.survey.places[at.place].is(storage).then_some(storage)
    }

    fn database_of(&self, one: &Examined) -> Option<Uuid> {
        match one.sidecar_database() {
            Some(database) => Some(database),
            None => match self.attribution.of(one.evidence()?) {
                Attributed::To { database, .. } => Some(database),
                _ => None,
            },
        }
    }

    fn count_copy(&mut self, at: At) {
        *self.plan.copies.entry(at.place).or_default() += 1;
    }

    fn take(&mut self, at: At, one: Examined) {
        let (database, storage) = match self.standing(at, &one) {
            Ok(Standing::Promotes(row)) => (row.database, row.storage),
            Ok(Standing::New) => match self.find_database(at, &one) {
                Some(database) => (database, self.storage_for(at, database)),
                None => return,
            },
            Err(None) => return self.count_copy(at),
            Err(Some(why)) => return self.leave_out(at, &one, Reason::Conflict, why),
        };
        if !self.hangs_together(database, &one) {
            return self.leave_out(at, &one, Reason::Unreachable, STANDS_ON_NOTHING);
        }
        if let Some(why) = self.place_is_taken(database, &one) {
            return self.leave_out(at, &one, Reason::Conflict, why);
        }
        self.remark(&one);
        self.carry(database, &one);
        let listing = Listing {
            id: one.id,
            database_id: database,
            storage_id: storage,
            file_name: one.name.to_string(),
        };
        self.plan.rows.push(row_of(listing, one));
    }

    /// Whether the catalogue has a row of this id: none as an error is a copy of a known backup.
    fn standing(&self, at: At, one: &Examined) -> Result<Standing<'_>, Option<&'static str>> {
        let known = self.known;
        let Some(row) = known.with_id(one.id) else {
            return Ok(Standing::New);
        };
        let same_name = row
            .file_name
            .as_deref()
            .is_none_or(|name| *name == *one.name.to_string());
        let same_table = row.table == one.what.table();
        let named_otherwise = one
            .sidecar_database()
            .is_some_and(|named| named != row.database);
        match row.state {
            RowState::Completed if same_name && same_table => Err(None),
            _ if !same_table => Err(Some("the catalogue lists its id as another kind of backup")),
            _ if !same_name => Err(Some("the catalogue lists its id under another name")),
            _ if named_otherwise => Err(Some("the catalogue lists its id for another database")),
            _ if !self.place(at).is(row.storage) => {
                Err(Some("the catalogue lists it in another storage"))
            }
            _ => Ok(Standing::Promotes(row)),
        }
    }

    fn place(&self, at: At) -> &Place {
        &self.survey.places[at.place]
    }

    /// Whose a new backup is; leaves it out where that is not certain.
    fn find_database(&mut self, at: At, one: &Examined) -> Option<Uuid> {
        if let Some(database) = one.sidecar_database() {
            return self.named_database(at, one, database);
        }
        let evidence = one.evidence()?;
        if one.name.begun_at().is_none() {
            let detail = "its name has neither its database nor its time";
            self.leave_out(at, one, Reason::Unproven, detail);
            return None;
        }
        match self.attribution.of(evidence) {
            Attributed::To { database, differs } => {
                self.remark_other_source(one, differs);
                Some(database)
            }
            Attributed::Several(fits) => {
                let detail = describe_source(evidence.source);
                self.ask(at, one, Reason::Ambiguous, &detail, &fits);
                None
            }
            Attributed::OtherKind(fits) => {
                let detail = "the databases of that name have backups of another kind";
                self.ask(at, one, Reason::Ambiguous, detail, &fits);
                None
            }
            Attributed::Nobody => self.placeholder(at, one, &describe_source(evidence.source)),
        }
    }

    /// The database that a physical backup's sidecar names.
    fn named_database(&mut self, at: At, one: &Examined, id: Uuid) -> Option<Uuid> {
        match self
            .attribution
            .database(id)
            .map(|database| database.engine)
        {
            Some(Engine::PostgresPhysical | Engine::Unknown) => Some(id),
            Some(_) => {
                let detail = "its sidecar names a database that has no physical backups";
                self.leave_out(at, one, Reason::Conflict, detail);
                None
            }
            None => self.placeholder(at, one, &format!("its sidecar names {id}")),
        }
    }

    fn placeholder(&mut self, at: At, one: &Examined, detail: &str) -> Option<Uuid> {
        let storage = self.place(at).first();
        let made = match self.placeholders {
            true => placeholders::for_backup(one, storage),
            false => None,
        };
        let Some(made) = made else {
            self.ask(at, one, Reason::UnknownDatabase, detail, &[]);
            return None;
        };
        let id = made.id;
        self.attribution.add(KnownDatabase {
            id,
            name: made.name.clone(),
            engine: made.engine,
            source: made.source.clone(),
            storage: Some(made.storage),
        });
        self.plan.placeholders.push(made);
        Some(id)
    }

    fn storage_for(&self, at: At, database: Uuid) -> Uuid {
        let place = self.place(at);
        let own = self
            .attribution
            .database(database)
            .and_then(|one| one.storage);
        own.filter(|storage| place.is(*storage))
            .unwrap_or_else(|| place.first())
    }

    /// Whether what it stands on is there, or it stands by itself.
    fn hangs_together(&self, database: Uuid, one: &Examined) -> bool {
        match &one.what {
            What::Incremental(incremental, _) => {
                self.chains.carries(incremental.root, incremental.parent)
            }
            What::Wal(wal) => {
                let begins = LogPlace {
                    timeline: wal.segment.timeline,
                    position: wal.start_lsn,
                };
                self.chains.reaches(database, begins)
            }
            What::WalV1Segment(page) => {
                let system = page.system_identifier;
                self.wal_v1.reaches(database, page.segment, system)
            }
            What::Dump(_) | What::WalV1Base(_) | What::Full(..) | What::History(_) => true,
        }
    }

    /// There is one WAL segment at a place, and one history file of a timeline. A claim that was
    /// never finished makes room.
    fn place_is_taken(&mut self, database: Uuid, one: &Examined) -> Option<&'static str> {
        let (table, place) = match &one.what {
            What::Wal(wal) => (Table::Wal, (wal.segment.timeline, wal.start_lsn)),
            What::History(history) => (Table::History, (history.timeline, Lsn(0))),
            _ => return None,
        };
        let (timeline, position) = place;
        if !self.taken.insert((database, table, timeline, position)) {
            return Some("another new object claims the same place in the log");
        }
        let there = self
            .known
            .at(table, database, LogPlace { timeline, position })?;
        if there.id == one.id {
            return None;
        }
        if there.state == RowState::Completed {
            return Some("the catalogue has another id for it: two instances wrote this object");
        }
        self.plan.stale_claims.push(there.id);
        None
    }

    /// What comes in carries others.
    fn carry(&mut self, database: Uuid, one: &Examined) {
        match &one.what {
            What::Full(full, _) => self.chains.add_full(one.id, database, begins(full)),
            What::Incremental(..) => self.chains.add_incremental(one.id),
            What::WalV1Base(base) => {
                self.wal_v1
                    .add(database, base.start, base.system_identifier);
            }
            _ => {}
        }
    }

    fn remark(&mut self, one: &Examined) {
        if let Some(number) = one.key.filter(|number| *number > 0) {
            self.plan.remarks.push(Remark {
                object: one.name.to_string(),
                what: format!(
                    "opens with further key {number} alone: Databasus cannot read it with its own \
                     secret.key, `databasus-escrow recover` can"
                ),
            });
        }
    }

    fn remark_other_source(&mut self, one: &Examined, now: Option<String>) {
        if let (Some(now), Some(then)) = (now, one.evidence().and_then(|found| found.source)) {
            let what = format!("is a dump of {then}, and its database now backs up {now}");
            self.plan.remarks.push(Remark {
                object: one.name.to_string(),
                what: crate::base::text::printable(&what).into_owned(),
            });
        }
    }

    fn ask(&mut self, at: At, one: &Examined, reason: Reason, detail: &str, fits: &[Uuid]) {
        let named = fits.iter().map(|id| match self.attribution.database(*id) {
            Some(database) => format!("{} ({id})", crate::base::text::printable(&database.name)),
            None => id.to_string(),
        });
        let fits = named.collect();
        let left_out = self.left_out(at, one, reason, detail);
        self.plan.left_out.push(LeftOut { fits, ..left_out });
    }

    fn leave_out(&mut self, at: At, one: &Examined, reason: Reason, detail: &str) {
        let left_out = self.left_out(at, one, reason, detail);
        self.plan.left_out.push(left_out);
    }

    fn left_out(&self, at: At, one: &Examined, reason: Reason, detail: &str) -> LeftOut {
        let storage = self.place(at).first();
        LeftOut::new(storage, &one.name.to_string(), one.stored, reason, detail)
    }
}

const STANDS_ON_NOTHING: &str =
    "the backup that it stands on is not in the catalogue: Databasus would delete it";

fn describe_source(source: Option<&str>) -> String {
    match source {
        Some(source) => format!("it is a dump of {source}"),
        None => "it does not say of what".to_owned(),
    }
}

/// What others stand on comes first.
fn rank(what: &What) -> u8 {
    match what {
        What::Dump(_) => 0,
        What::WalV1Base(_) => 1,
        What::WalV1Segment(_) => 2,
        What::Full(..) => 3,
        What::Incremental(..) => 4,
        What::Wal(_) => 5,
        What::History(_) => 6,
    }
}

fn begins(backup: &BaseBackup) -> LogPlace {
    LogPlace {
        timeline: backup.timeline,
        position: backup.start_lsn,
    }
}

impl Examined {
    /// Where an incremental backup begins in the log: each begins after what it stands on.
    fn begins(&self) -> Option<LogPlace> {
        match &self.what {
            What::Incremental(incremental, _) => Some(begins(&incremental.backup)),
            _ => None,
        }
    }

    fn sidecar_database(&self) -> Option<Uuid> {
        match &self.what {
            What::Full(full, _) => Some(full.database),
            What::Incremental(incremental, _) => Some(incremental.backup.database),
            What::Wal(wal) => Some(wal.database),
            What::History(history) => Some(history.database),
            What::Dump(_) | What::WalV1Base(_) | What::WalV1Segment(_) => None,
        }
    }

    fn evidence(&self) -> Option<Evidence<'_>> {
        let (content, source) = match &self.what {
            What::Dump(dump) => (dump.content, dump.source.as_deref()),
            What::WalV1Base(_) | What::WalV1Segment(_) => (Content::WalV1, None),
            _ => return None,
        };
        Some(Evidence {
            name: &self.name,
            content,
            source,
        })
    }
}

impl What {
    fn table(&self) -> Table {
        match self {
            Self::Dump(_) | Self::WalV1Base(_) | Self::WalV1Segment(_) => Table::Logical,
            Self::Full(..) => Table::Full,
            Self::Incremental(..) => Table::Incremental,
            Self::Wal(_) => Table::Wal,
            Self::History(_) => Table::History,
        }
    }
}

fn row_of(listing: Listing, one: Examined) -> BackupRow {
    let encryption = EncryptionColumns::from(&one.encryption);
    // One without a time completes a row, which keeps its own.
    let begun = one.name.begun_at().unwrap_or(UtcTime::from_unix(0));
    let logical = |bytes: u64, wal_v1| {
        BackupRow::Logical(LogicalRow {
            created_at: begun.to_string(),
            backup_size_mb: mebibytes(bytes),
            encryption,
            wal_v1,
            listing: listing.clone(),
        })
    };
    match &one.what {
        What::Dump(dump) => logical(dump.download, WalV1Columns::default()),
        // Of WAL_V1 the stored bytes count.
        What::WalV1Base(base) => logical(one.stored, WalV1Columns::base(base.start, base.stop)),
        What::WalV1Segment(page) => logical(one.stored, WalV1Columns::segment(page.segment)),
        What::Full(full, manifest) => {
            BackupRow::Full(PhysicalRow::full(listing, full, manifest.clone()))
        }
        What::Incremental(incremental, manifest) => BackupRow::Incremental(
            PhysicalRow::incremental(listing, incremental, manifest.clone()),
        ),
        What::Wal(wal) => BackupRow::Wal(WalRow::new(listing, wal)),
        What::History(history) => BackupRow::History(HistoryRow::new(listing, history)),
    }
}
