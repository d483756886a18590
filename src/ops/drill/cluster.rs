//! A cluster out of its base backups and its WAL, as of a point that the policy names.

use std::sync::Arc;

use jiff::Timestamp;

use crate::base::time::UtcTime;
use crate::databasus::backup_chain::cluster::Cluster;
use crate::databasus::backup_chain::plan;
use crate::databasus::backup_chain::plan::Target;
use crate::databasus::backup_chain::which::which;
use crate::databasus::catalogue_rows::KnownDatabase;
use crate::model::audit::drill_demands::PointBack;
use crate::ops::pitr::checks::Checks;
use crate::ops::pitr::open::Storage;
use crate::ops::pitr::restore::{Ending, Request, Restored};
use crate::ops::pitr::survey::{self, Depth};
use crate::postgres::binaries::Launcher;
use crate::postgres::private_server::{Options, PrivateServer};
use crate::store::Store;

use super::throwaway::Passing;
use super::trouble::Trouble;
use super::work::Work;

/// What a storage holds of a cluster.
pub(super) struct Surveyed {
    store: Arc<dyn Store>,
    cluster: Cluster,
}

/// A cluster that came back, shut down cleanly.
pub(super) struct Rewound {
    folder: Passing,
    launcher: Launcher,
    /// As of when it is, as far as that is told.
    pub(super) as_of: Option<UtcTime>,
    /// The newest second that its backups reach; the same where it was taken there.
    pub(super) newest: Option<UtcTime>,
    /// How far the replay went, in words.
    pub(super) words: String,
}

/// Looks for it in its storage.
pub(super) fn survey(work: &Work<'_>, known: &KnownDatabase) -> Result<Surveyed, Trouble> {
    let storage = work.catalogue.storage_of(known)?;
    let store = work.opened.get(storage);
    let store = store.ok_or_else(|| Trouble::Storage(known.name.clone()))?;
    let storage = Storage {
        store: &store,
        keys: &work.keys,
    };
    let depth = Depth::Beginnings;
    let found = survey::take(storage, depth, None, work.cancel, &mut |_| {});
    let found = found.map_err(Trouble::List)?;
    // A name may have been another's; WAL_V1 knows no id.
    let by_id = which(&found.clusters, &known.id.to_string(), None);
    let cluster = by_id.or_else(|_| which(&found.clusters, &known.name, None))?;
    Ok(Surveyed {
        cluster: cluster.clone(),
        store,
    })
}

/// Takes it to the point.
pub(super) fn rewind(work: &Work<'_>, found: &Surveyed, to: PointBack) -> Result<Rewound, Trouble> {
    let Surveyed { store, cluster } = found;
    let target = target(to, work.began);
    let plan = plan(cluster, target, None, &[])?;
    let major = plan.pg_major.ok_or_else(|| {
        Trouble::NoPrograms("nothing tells which PostgreSQL the backup is of".to_owned())
    })?;
    let launcher = work.programs.exactly(major).map_err(Trouble::NoPrograms)?;
    let options = Options::default();
    let folder = Passing(work.place.join("rewound"));
    let request = Request {
        storage: Storage {
            store,
            keys: &work.keys,
        },
        plan: &plan,
        output: &folder.0,
        launcher: Some(&launcher),
        ending: Ending::Replayed {
            options: &options,
            checks: &Checks::default(),
        },
        threads: work.threads,
        cancel: work.cancel,
    };
    let (_, restored) = request
        .look()
        .and_then(|prospect| prospect.restore(&|_| {}))
        .map_err(Box::new)?;
    let last = match &restored {
        Restored::Rewound(rewound) => rewound.proofs.last_transaction,
        Restored::Prepared(_) => None,
    };
    let of_base = || Some(plan.last_base().moment());
    let as_of = last.or_else(of_base).map(second);
    Ok(Rewound {
        newest: match to {
            PointBack::Newest => as_of,
            PointBack::Ago(_) | PointBack::At(_) => newest(cluster).max(as_of),
        },
        words: told(&restored),
        as_of,
        folder,
        launcher,
    })
}

fn target(to: PointBack, began: UtcTime) -> Target {
    match to {
        PointBack::Newest => Target::Latest,
        PointBack::Ago(span) => at(span.before(began).unix().max(0)),
        PointBack::At(time) => at(time.unix()),
    }
}

/// Every time of ours is one of jiff's.
fn at(second: i64) -> Target {
    Target::Time(Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The end of its last window.
fn newest(cluster: &Cluster) -> Option<UtcTime> {
    let chains = cluster.chains();
    let windows = chains.iter().flat_map(|chain| &chain.windows);
    let ends = windows.filter_map(|window| window.to.time);
    ends.map(|moment| second(moment.at)).max()
}

fn second(time: Timestamp) -> UtcTime {
    UtcTime::from_unix(time.as_second())
}

fn told(restored: &Restored) -> String {
    match restored {
        Restored::Rewound(rewound) => {
            let proofs = &rewound.proofs;
            format!("{} segments, to {}", proofs.segments, proofs.replayed_to)
        }
        Restored::Prepared(_) => String::new(),
    }
}

impl Rewound {
    /// Starts it again, which shows that it was shut down as it should be.
    pub(super) fn start(&self, work: &Work<'_>) -> Result<PrivateServer, Trouble> {
        Ok(PrivateServer::start(
            &self.launcher,
            &self.folder.0,
            work.cancel,
        )?)
    }
}
