//! `pitr restore`: a cluster as of a chosen second.

use std::path::PathBuf;

use crate::base::cancel::Cancel;
use crate::cli::args::{Global, PitrRestore, Point};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::cli::programs::Wanted;
use crate::cli::progress::Progress;
use crate::cli::{from, hints, keys};
use crate::databasus::backup_chain::plan as choose;
use crate::databasus::backup_chain::plan::{Plan, Target};
use crate::databasus::backup_chain::which::which;
use crate::ops::pitr::checks::{Check, Checks};
use crate::ops::pitr::open::Storage;
use crate::ops::pitr::restore::{Ending, Prospect, Request, Restored, Step};
use crate::ops::pitr::survey::Depth;
use crate::postgres::binaries::{Launcher, PgBinaries};
use crate::postgres::private_server::Options;

use super::report::{Document, PlanReport};
use crate::cli::survey::{measure, survey};

pub(super) fn run(
    args: &PitrRestore,
    global: &Global,
    output: &Output,
    cancel: &Cancel,
) -> Result<Exit, CliError> {
    let checks = checks(args)?;
    let store = from::open(&args.backups.from, cancel)?;
    let keys = keys::gather(&args.backups, global, output, cancel)?;
    let storage = Storage {
        store: &store,
        keys: &keys,
    };
    let found = survey(storage, Depth::Beginnings, &args.remembered, global, cancel)
        .map_err(hints::listing)?;
    let cluster = which(&found.clusters, &args.database, args.cluster).map_err(hints::which)?;
    let mut cluster = cluster.clone();
    measure(&mut cluster, args.pg_bin.as_deref(), storage, cancel);
    let cluster = &cluster;
    let plan = choose(cluster, target(&args.point), args.timeline, &args.without);
    let plan = plan.map_err(|unreachable| hints::unreachable(*unreachable))?;
    let launcher = launcher(args, &plan)?;
    let options = Options {
        superuser: args.superuser.clone(),
        ..Options::default()
    };
    let request = Request {
        storage,
        plan: &plan,
        output: &args.output,
        launcher: launcher.as_ref(),
        ending: match args.prepare_only {
            true => Ending::Prepared,
            false => Ending::Replayed {
                options: &options,
                checks: &checks,
            },
        },
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cancel,
    };
    let prospect = request.look().map_err(hints::restore)?;
    let planned = PlanReport::of(cluster, &plan, &prospect.outlook, launcher.as_ref());
    if args.dry_run {
        output.result(&Document::planned(&planned), || planned.text())?;
        return Ok(Exit::Done);
    }
    for line in planned.text().lines() {
        output.remark(line);
    }
    let (place, restored) = restore(prospect, global)?;
    let exit = exit(&restored);
    let document = Document::done(&planned, &place, &restored, exit);
    output.result(&document, || document.text())?;
    if exit != Exit::Done {
        output.complain("a check did not hold on the rewound cluster");
    }
    Ok(exit)
}

fn target(point: &Point) -> Target {
    match point {
        Point { to: Some(time), .. } => Target::Time(*time),
        Point {
            to_lsn: Some(lsn), ..
        } => Target::Lsn(*lsn),
        Point {
            backup: Some(id), ..
        } => Target::Backup(*id),
        _ => Target::Latest,
    }
}

fn checks(args: &PitrRestore) -> Result<Checks, CliError> {
    let (asked, expected) = (&args.checks.checks, &args.checks.expected);
    if asked.len() != expected.len() {
        return Err(CliError::usage(format!(
            "there are {} of --check and {} of --expect: each query needs its answer",
            asked.len(),
            expected.len()
        )));
    }
    let pairs = asked.iter().zip(expected);
    let check = |(sql, expected): (&String, &String)| Check {
        sql: sql.clone(),
        expected: expected.clone(),
    };
    Ok(Checks {
        database: args.checks.check_database.clone(),
        list: pairs.map(check).collect(),
    })
}

/// PostgreSQL of the cluster's major. What is only prepared does without, where it can.
fn launcher(args: &PitrRestore, plan: &Plan) -> Result<Option<Launcher>, CliError> {
    let Some(major) = plan.pg_major.or_else(|| given_major(args)) else {
        return match args.prepare_only {
            true => Ok(None),
            false => Err(CliError {
                exit: Exit::Refused,
                message: "nothing tells which PostgreSQL the backup is of".to_owned(),
                hint: Some("name the programs of the right one with --pg-bin".to_owned()),
            }),
        };
    };
    let default_image = format!("postgres:{major}");
    let wanted = Wanted {
        major,
        pg_bin: args.pg_bin.as_deref(),
        image: Some(args.image.as_deref().unwrap_or(&default_image)),
    };
    match wanted.launcher() {
        Ok(found) => Ok(Some(found)),
        Err(_) if args.prepare_only && args.pg_bin.is_none() => Ok(None),
        Err(error) => Err(hints::no_postgres(error, major)),
    }
}

fn given_major(args: &PitrRestore) -> Option<u32> {
    PgBinaries::inspect(args.pg_bin.as_deref()?).ok()?.major()
}

fn restore(prospect: Prospect<'_>, global: &Global) -> Result<(PathBuf, Restored), CliError> {
    let progress = Progress::new(global, "fetching base backups", Some(prospect.to_fetch()));
    let restored = prospect.restore(&|step| match step {
        Step::Fetched(bytes) => progress.add(bytes),
        Step::Combining => progress.turn("putting base backups together"),
        Step::Log => progress.turn("replaying"),
    });
    drop(progress);
    restored.map_err(hints::restore)
}

fn exit(restored: &Restored) -> Exit {
    match restored {
        Restored::Rewound(rewound) if !rewound.checks.all_hold() => Exit::Partial,
        _ => Exit::Done,
    }
}
