//! What a rewind will take, and what came of it.

use std::path::Path;

use serde::Serialize;
use uuid::Uuid;

use crate::base::text::{bytes, printable};
use crate::cli::exit::Exit;
use crate::cli::output::table;
use crate::databasus::backup_chain::cluster::Cluster;
use crate::databasus::backup_chain::facts::{Base, BaseKind};
use crate::databasus::backup_chain::plan::Plan;
use crate::ops::pitr::checks::{Answer, Checked};
use crate::ops::pitr::disarm::{Armed, Now};
use crate::ops::pitr::prepare::Prepared;
use crate::ops::pitr::proof::Proofs;
use crate::ops::pitr::replay::Rewound;
use crate::ops::pitr::restore::{Outlook, Restored};
use crate::postgres::binaries::Launcher;

/// The document's version: what a script can rely on.
const VERSION: u32 = 1;

#[derive(Serialize)]
pub(super) struct Document<'a> {
    version: u32,
    plan: &'a PlanReport,
    /// None after `--dry-run`.
    output: Option<&'a Path>,
    #[serde(flatten)]
    restored: Option<&'a Restored>,
    exit: u8,
}

/// A plan as people and scripts read it.
#[derive(Serialize)]
pub(super) struct PlanReport {
    cluster: String,
    system_identifier: Option<String>,
    target: String,
    postgresql: Option<u32>,
    programs: Option<String>,
    bases: Vec<BaseReport>,
    wal: Option<WalReport>,
    timeline: u32,
    bytes_to_fetch: u64,
    disk_needed: u64,
    disk_needed_is_lower_bound: bool,
    disk_free: u64,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct BaseReport {
    name: String,
    id: Option<Uuid>,
    kind: &'static str,
    completed: Option<String>,
    stored_bytes: u64,
}

#[derive(Serialize)]
struct WalReport {
    first: String,
    last: String,
    segments: usize,
    /// Of these, how many replay is expected to need.
    expected: usize,
}

impl PlanReport {
    pub(super) fn of(
        cluster: &Cluster,
        plan: &Plan,
        outlook: &Outlook,
        launcher: Option<&Launcher>,
    ) -> Self {
        let ends = plan.wal.first().zip(plan.wal.last());
        let ends = ends.and_then(|(first, last)| first.first().zip(last.first()));
        Self {
            cluster: cluster.described(),
            system_identifier: plan.system_identifier.map(|id| id.to_string()),
            target: plan.target.to_string(),
            postgresql: plan.pg_major,
            programs: launcher.map(ToString::to_string),
            bases: plan.bases().map(BaseReport::of).collect(),
            wal: ends.map(|(first, last)| WalReport {
                first: first.name.to_string(),
                last: last.name.to_string(),
                segments: plan.wal.len(),
                expected: plan.expected,
            }),
            timeline: plan.timeline,
            bytes_to_fetch: plan.bytes(),
            disk_needed: outlook.needed.total(),
            disk_needed_is_lower_bound: outlook.needed.is_lower_bound,
            disk_free: outlook.free,
            remarks: plan.remarks.clone(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut rows = vec![
            ("cluster", printable(&self.cluster).into_owned()),
            ("to", format!("{}, timeline {}", self.target, self.timeline)),
        ];
        for base in &self.bases {
            rows.push((base.kind, base.text()));
        }
        rows.push((
            "WAL",
            self.wal.as_ref().map_or("none".to_owned(), WalReport::text),
        ));
        rows.push(("to fetch", bytes(self.bytes_to_fetch)));
        let at_least = if self.disk_needed_is_lower_bound {
            "at least "
        } else {
            ""
        };
        let (needed, free) = (bytes(self.disk_needed), bytes(self.disk_free));
        rows.push(("disk", format!("{at_least}{needed}, and {free} are free")));
        let programs = self.programs.clone();
        rows.push(("with", programs.unwrap_or("no PostgreSQL".to_owned())));
        let mut out = "The plan:\n".to_owned() + &indented(&rows);
        for remark in &self.remarks {
            out.push_str(&format!("Mind: {}.\n", printable(remark)));
        }
        out
    }
}

impl BaseReport {
    fn of(base: &Base) -> Self {
        let group = &base.stored.group;
        Self {
            name: group.name.to_string(),
            id: base.id(),
            kind: match base.kind {
                BaseKind::Full => "FULL",
                BaseKind::Incremental { .. } => "INCR",
                BaseKind::WalV1 => "base",
            },
            completed: base.completed.map(|time| time.to_string()),
            stored_bytes: group.content.size().unwrap_or(0),
        }
    }

    fn text(&self) -> String {
        let name = printable(&self.name);
        format!("{name}, {}", bytes(self.stored_bytes))
    }
}

impl WalReport {
    fn text(&self) -> String {
        let Self {
            first,
            last,
            segments,
            expected,
        } = self;
        match segments == expected {
            true => format!("{segments} segments, {first} to {last}"),
            false => {
                format!("about {expected} segments from {first} (there are {segments}, to {last})")
            }
        }
    }
}

impl<'a> Document<'a> {
    pub(super) fn planned(plan: &'a PlanReport) -> Self {
        Self {
            version: VERSION,
            plan,
            output: None,
            restored: None,
            exit: Exit::Done.code(),
        }
    }

    pub(super) fn done(
        plan: &'a PlanReport,
        output: &'a Path,
        restored: &'a Restored,
        exit: Exit,
    ) -> Self {
        Self {
            version: VERSION,
            plan,
            output: Some(output),
            restored: Some(restored),
            exit: exit.code(),
        }
    }

    pub(super) fn text(&self) -> String {
        let Some((output, restored)) = self.output.zip(self.restored) else {
            return self.plan.text();
        };
        match restored {
            Restored::Rewound(rewound) => self.rewound(output, rewound),
            Restored::Prepared(prepared) => prepared_text(output, prepared),
        }
    }

    fn rewound(&self, output: &Path, rewound: &Rewound) -> String {
        let place = output.display();
        let mut out = format!("{} is at {}.\n", place, self.plan.target);
        out.push_str(&indented(&proofs(&rewound.proofs)));
        if let Some(database) = &rewound.checks.database {
            out.push_str(&format!("Asked in the database {}:\n", printable(database)));
            let lines = rewound.checks.checks.iter().map(checked);
            out.push_str(&indented(&lines.collect::<Vec<_>>()));
            if !rewound.checks.all_hold() {
                out.push_str("Another database is asked with --check-database.\n");
            }
        }
        out.push_str(&passed_over(&rewound.passed_over));
        out.push_str(&armed(&rewound.armed));
        out.push_str(&format!("Start it: {}\n", self.start_command(output)));
        out
    }

    fn start_command(&self, output: &Path) -> String {
        let major = self.plan.postgresql.unwrap_or_default();
        format!(
            "pg_ctl -D {} -o '-p 5499' -w start (PostgreSQL {major}, as the directory's owner)",
            output.display()
        )
    }
}

fn proofs(proofs: &Proofs) -> Vec<(&'static str, String)> {
    let none = || "none was replayed".to_owned();
    let last = proofs.last_transaction;
    let mut rows = vec![
        (
            "last transaction",
            last.map_or_else(none, |time| time.to_string()),
        ),
        (
            "replayed",
            format!("{} segments, to {}", proofs.segments, proofs.replayed_to),
        ),
    ];
    if let Some(stopped) = &proofs.stopped {
        rows.insert(0, ("stopped", printable(stopped).into_owned()));
    }
    rows.push((
        "shut down",
        format!(
            "cleanly at {}, on timeline {} (it was {})",
            proofs.shut_down_at, proofs.timeline_after, proofs.timeline_before
        ),
    ));
    rows.into_iter()
        .map(|(what, detail)| (what, format!("proven    {detail}")))
        .collect()
}

fn checked(checked: &Checked) -> (&'static str, String) {
    let sql = printable(&checked.sql).into_owned();
    match &checked.answer {
        Answer::Expected => ("holds", format!("{sql} = {}", printable(&checked.expected))),
        Answer::Other(found) => {
            let found = found.as_deref().unwrap_or("nothing");
            let (found, expected) = (printable(found), printable(&checked.expected));
            ("FAILED", format!("{sql} gave {found} and not {expected}"))
        }
        Answer::Failed(why) => ("FAILED", format!("{sql}: {}", printable(why))),
    }
}

fn prepared_text(output: &Path, prepared: &Prepared) -> String {
    let place = output.display();
    let mut out = format!(
        "{place} is prepared, and nothing is proven: it replays {} segments to the point when it is \
         started.\n",
        prepared.segments
    );
    out.push_str(&passed_over(&prepared.passed_over));
    out.push_str(&armed(&prepared.armed));
    let commands = prepared.commands(output).join("\nor: ");
    out.push_str(&format!(
        "Start it with PostgreSQL {}:\n    {commands}\n",
        prepared.pg_major
    ));
    out
}

fn passed_over(names: &[String]) -> String {
    let line = |name: &String| {
        let name = printable(name);
        format!("Mind: {name} is damaged; another object of the same segment was taken.\n")
    };
    names.iter().map(line).collect()
}

/// What the source would have done.
fn armed(list: &[Armed]) -> String {
    if list.is_empty() {
        return "Nothing of the source was armed.\n".to_owned();
    }
    let rows = list.iter().map(|armed| {
        let now = match armed.now {
            Now::Removed => "removed",
            Now::Idle => "cannot act",
            Now::Kept => "KEPT",
        };
        let note = armed.note.iter().map(|note| format!("; {note}"));
        let what = format!("{} = {}", armed.name, armed.value);
        let place = format!("({}{})", armed.place, note.collect::<String>());
        [
            now.to_owned(),
            printable(&what).into_owned(),
            printable(&place).into_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = rows
        .map(|row| std::iter::once(String::new()).chain(row).collect())
        .collect();
    "What of the source could have acted:\n".to_owned() + &table(&rows)
}

fn indented(rows: &[(&str, String)]) -> String {
    let row = |(what, detail): &(&str, String)| vec![format!("  {what}"), detail.clone()];
    table(&rows.iter().map(row).collect::<Vec<_>>())
}
