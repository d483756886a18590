//! What an unfence says.

use std::path::Path;

use crate::base::text::printable;
use crate::base::time::{Clock, SystemClock};
use crate::cli::output::table;
use crate::databasus::retention::Loss;
use crate::ops::unfence::{Decision, Preview, Says, Sort, UnfenceReport, Why};

/// Said where something is held back.
const HELD_BACK: &str = "\
Held back: what is set to FOREVER keeps every backup, what stays off makes none. Look at them in
Databasus, then give them their policies back; the originals are in escrow_leftover.cells.
";

pub(super) fn finished(data_dir: &Path, report: &UnfenceReport) -> String {
    let mut out = headline(data_dir, report);
    out.push_str(&production(report));
    let import = report.import.as_ref();
    let import = import.map_or("not done (--no-import)", |import| import.summary.as_str());
    out.push_str(&format!("\nCatalogue import: {import}\n"));
    out.push_str(&retention(report));
    out.push_str(&given_back(report));
    out.push_str(match report.dry_run {
        true => "\nNothing was done (--dry-run).\n",
        false => "\nStart Databasus on it as production was started.\n",
    });
    out
}

fn headline(data_dir: &Path, report: &UnfenceReport) -> String {
    let record = &report.record;
    format!(
        "{} {}: {}, from escrow {}, fenced {} ({}).\n",
        if report.dry_run {
            "Would unfence"
        } else {
            "Unfenced"
        },
        data_dir.display(),
        record.instance,
        record.escrow_id,
        record.made_at,
        record.made_at.relative_to(SystemClock.now())
    )
}

fn production(report: &UnfenceReport) -> String {
    let rows = report.evidence.iter().map(|one| {
        let says = match one.says {
            Says::NoSign => "no sign",
            Says::Lives => "LIVES",
            Says::Unknown => "unknown",
        };
        vec![format!("  {}", one.of), says.to_owned(), one.detail.clone()]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    format!("\nSigns that production lives:\n{}", table(&rows))
}

fn retention(report: &UnfenceReport) -> String {
    if report.retention.is_empty() {
        return "\nNo database is switched on: retention deletes nothing.\n".to_owned();
    }
    let (losing, keeping): (Vec<&Preview>, Vec<&Preview>) =
        report.retention.iter().partition(|one| loses(one));
    if losing.is_empty() {
        let count = keeping.len();
        return format!("\nRetention deletes nothing at the first tick, of {count} databases.\n");
    }
    let headings = [
        "  DATABASE",
        "OF",
        "POLICY",
        "BACKUPS",
        "LOST",
        "WAL LOST",
        "THEN",
    ];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(losing.into_iter().map(preview));
    let mut out = format!(
        "\nWhat retention deletes at the first tick after the start:\n{}",
        table(&rows)
    );
    if !keeping.is_empty() {
        out.push_str(&format!("  {} others lose nothing.\n", keeping.len()));
    }
    if report.held_back().next().is_some() {
        out.push_str(HELD_BACK);
    }
    out
}

/// Whether a database would lose anything, or nobody can tell.
fn loses(preview: &Preview) -> bool {
    let some = |loss: Loss| loss.deleted > 0 || loss.deleted_segments > 0;
    preview.decision != Decision::Fine || preview.loss.is_none_or(some)
}

fn preview(preview: &Preview) -> Vec<String> {
    let of = match preview.of {
        Sort::Logical => "logical",
        Sort::Physical => "physical",
    };
    let then = match (preview.decision, preview.of) {
        (Decision::Fine, _) => "as before",
        (Decision::Accepted, _) => "DELETED, as accepted",
        (Decision::HeldBack, Sort::Logical) => "HELD BACK: FOREVER",
        (Decision::HeldBack, Sort::Physical) => "HELD BACK: off",
    };
    let [backups, lost, wal] = match preview.loss {
        None => ["unknown", "unknown", "unknown"].map(str::to_owned),
        Some(loss) => [
            loss.backups.to_string(),
            match loss.newest {
                true => format!("{}, the newest too", loss.deleted),
                false => loss.deleted.to_string(),
            },
            format!("{} of {}", loss.deleted_segments, loss.segments),
        ],
    };
    vec![
        format!("  {}", printable(&preview.name)),
        of.to_owned(),
        printable(&preview.policy).into_owned(),
        backups,
        lost,
        wal,
        then.to_owned(),
    ]
}

fn given_back(report: &UnfenceReport) -> String {
    let mut out = format!(
        "\n{}: {} values, {} links to notifiers.\n",
        if report.dry_run {
            "Would give back"
        } else {
            "Given back"
        },
        report.cells,
        report.links
    );
    for aside in &report.work_in_progress {
        let (table, why) = (printable(&aside.table), printable(&aside.why));
        out.push_str(&format!(
            "Never given back: {} rows of {table} ({why}).\n",
            aside.rows
        ));
    }
    let left = || {
        let all = report.leftover.iter();
        all.filter(|left| left.why != Why::HeldBack)
    };
    if left().next().is_none() {
        return out;
    }
    out.push_str("Not given back, kept in the schema escrow_leftover:\n");
    let rows = left().map(|left| {
        let name = match &left.column {
            Some(column) => format!("  {}.{column}", left.table),
            None => format!("  {}", left.table),
        };
        vec![
            printable(&name).into_owned(),
            printable(&left.row).into_owned(),
            left.why.to_string(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    out.push_str(&table(&rows));
    out
}
