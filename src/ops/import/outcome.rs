//! What came of an import, by database and by storage.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::databasus::catalogue_rows::RowState;

use super::known::Known;
use super::report::{
    DatabaseReport, ImportReport, NewDatabase, RowLeft, StorageOutcome, StorageReport,
};
use super::survey::Survey;
use super::{Decided, ImportSettings};

/// Puts together what happened, or would have.
pub(super) fn report(
    settings: &ImportSettings,
    known: &Known,
    survey: &Survey,
    decided: Decided,
) -> ImportReport {
    let databases = database_reports(known, &decided);
    let storages = storage_reports(known, survey, &decided);
    let Decided { ghosts, plan, .. } = decided;
    let promoted: BTreeSet<Uuid> = plan.rows.iter().map(|row| row.listing().id).collect();
    let running = known.rows.iter().filter(|row| {
        row.state == RowState::InProgress && !ghosts.has(row.id) && !promoted.contains(&row.id)
    });
    ImportReport {
        dry_run: settings.dry_run,
        databases,
        storages,
        in_progress: running
            .map(|row| RowLeft {
                table: row.table,
                id: row.id,
                object: row.file_name.as_deref().map(str::to_owned),
            })
            .collect(),
        placeholders: plan
            .placeholders
            .iter()
            .map(|made| NewDatabase {
                id: made.id,
                name: made.name.clone(),
                engine: made.engine,
            })
            .collect(),
        left_out: plan.left_out,
        remarks: plan.remarks,
    }
}

fn database_reports(known: &Known, decided: &Decided) -> Vec<DatabaseReport> {
    let Decided {
        matched,
        ghosts,
        plan,
    } = decided;
    let names = known
        .databases
        .iter()
        .map(|one| (one.id, one.name.as_str()));
    let made = plan
        .placeholders
        .iter()
        .map(|one| (one.id, one.name.as_str()));
    let mut reports: BTreeMap<Uuid, DatabaseReport> = names
        .chain(made)
        .map(|(id, name)| {
            let name = name.to_owned();
            (
                id,
                DatabaseReport {
                    id,
                    name,
                    ..DatabaseReport::default()
                },
            )
        })
        .collect();
    for (row, found) in known.rows.iter().zip(&matched.found) {
        let Some(report) = reports.get_mut(&row.database) else {
            continue;
        };
        if ghosts.has(row.id) {
            report.ghosts += 1;
        } else if found.is_some() {
            report.known += 1;
        }
    }
    for row in &plan.rows {
        if let Some(report) = reports.get_mut(&row.listing().database_id) {
            match known.with_id(row.listing().id) {
                Some(_) => report.promoted += 1,
                None => report.inserted += 1,
            }
        }
    }
    reports.into_values().collect()
}

fn storage_reports(known: &Known, survey: &Survey, decided: &Decided) -> Vec<StorageReport> {
    let Decided {
        matched,
        ghosts,
        plan,
    } = decided;
    let mut reports = Vec::new();
    for (number, place) in survey.places.iter().enumerate() {
        let copies = matched.copies.get(number).copied().unwrap_or(0)
            + plan.copies.get(&number).copied().unwrap_or(0);
        for storage in &place.storages {
            reports.push(StorageReport {
                id: storage.id,
                name: storage.name.clone(),
                outcome: StorageOutcome::Listed {
                    objects: place.seen.len() as u64,
                    backups: place.held.backups.len() as u64,
                    foreign: place.held.foreign.count,
                    copies,
                    ghosts_kept: ghosts.kept.get(number).cloned().flatten(),
                },
            });
        }
    }
    for one in &survey.unlisted {
        let id = one.storage.id;
        let in_use = known.rows.iter().any(|row| row.storage == id)
            || known
                .databases
                .iter()
                .any(|database| database.storage == Some(id));
        reports.push(StorageReport {
            id,
            name: one.storage.name.clone(),
            outcome: StorageOutcome::NotListed {
                why: one.why.clone(),
                advice: one.advice,
                in_use,
            },
        });
    }
    reports
}
