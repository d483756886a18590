//! Whether Databasus lists what its catalogue has.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::base::cancel::Cancel;
use crate::databasus::api::{ListedBackup, Listing, Page};

use super::expected::Database;
use super::trouble::{ApplicationTrouble, CallError};

/// Backups asked for at once. The second number is for a second look: Databasus puts backups of
/// one second in any order, so that one of them can fall between two pages.
const PAGES: [u32; 2] = [1_000, 900];

/// More of one database are not listed to their end.
const MOST: u64 = 10_000_000;

/// Ids that are told.
const TOLD: usize = 5;

/// What came of comparing all of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Backups that can be restored, and are listed so.
    pub(super) listed: u64,
    /// Those that should be, and are not.
    pub(super) missing: Vec<Uuid>,
    /// Those that the catalogue has not.
    pub(super) surplus: Vec<Uuid>,
}

/// Compares all databases. `ask` gives a page.
pub(super) fn compare(
    databases: &[Database],
    ask: &dyn Fn(Listing) -> Result<Page, CallError>,
    cancel: &Cancel,
) -> Result<Comparison, ApplicationTrouble> {
    let mut found = Comparison::default();
    for database in databases {
        cancel.check().map_err(CallError::from)?;
        one(database, ask, &mut found)?;
    }
    Ok(found)
}

fn one(
    database: &Database,
    ask: &dyn Fn(Listing) -> Result<Page, CallError>,
    found: &mut Comparison,
) -> Result<(), ApplicationTrouble> {
    let mut missing = database.completed.clone();
    let mut surplus = BTreeSet::new();
    for limit in PAGES {
        let pages = visit(database, limit, ask, &mut |backup| {
            let is_known = |ids: &BTreeSet<Uuid>| ids.contains(&backup.id);
            if backup.is_completed() {
                missing.remove(&backup.id);
            }
            if !is_known(&database.completed) && !is_known(&database.others) {
                surplus.insert(backup.id);
            }
        })?;
        if missing.is_empty() || pages < 2 {
            break;
        }
    }
    found.listed += (database.completed.len() - missing.len()) as u64;
    found.missing.extend(missing);
    found.surplus.extend(surplus);
    Ok(())
}

/// Visits everything that is listed of a database; gives the number of pages.
fn visit(
    database: &Database,
    limit: u32,
    ask: &dyn Fn(Listing) -> Result<Page, CallError>,
    visit: &mut dyn FnMut(ListedBackup),
) -> Result<u64, ApplicationTrouble> {
    let (mut offset, mut pages) = (0, 0);
    loop {
        let page = ask(Listing {
            database: database.id,
            kind: database.kind,
            limit,
            offset,
        })?;
        pages += 1;
        let count = page.backups.len() as u64;
        page.backups.into_iter().for_each(&mut *visit);
        offset += count;
        if count == 0 || offset >= page.total {
            return Ok(pages);
        }
        if offset > MOST {
            return Err(ApplicationTrouble::EndlessList);
        }
    }
}

impl Comparison {
    /// Whether both are the same.
    pub(super) fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty()
    }

    /// What differs. Ids are nobody's names.
    pub(super) fn words(&self) -> String {
        let parts = [
            ("Databasus does not list", &self.missing),
            ("Databasus lists what its catalogue had not:", &self.surplus),
        ];
        let parts = parts.iter().filter(|(_, ids)| !ids.is_empty());
        let parts: Vec<String> = parts.map(|(what, ids)| some_of(what, ids)).collect();
        parts.join("; ")
    }
}

fn some_of(what: &str, ids: &[Uuid]) -> String {
    let shown: Vec<String> = ids.iter().take(TOLD).map(Uuid::to_string).collect();
    let more = match ids.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{what} {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::databasus::api::ListingKind;
    use proptest::prelude::*;

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(u128::from(number))
    }

    fn database(completed: u64) -> Database {
        Database {
            id: id(99),
            kind: ListingKind::Logical,
            completed: (1_000..1_000 + completed).map(id).collect(),
            others: [id(1)].into(),
        }
    }

    /// Answers like Databasus, with at most `most` on a page.
    fn answering(
        listed: Vec<(u64, &'static str)>,
        most: usize,
    ) -> impl Fn(Listing) -> Result<Page, CallError> {
        move |listing| {
            let rows = listed.iter().skip(usize::try_from(listing.offset).unwrap());
            let rows = rows.take(most.min(listing.limit as usize));
            Ok(Page {
                backups: rows
                    .map(|(number, status)| ListedBackup {
                        id: id(*number),
                        status: (*status).to_owned(),
                    })
                    .collect(),
                total: listed.len() as u64,
            })
        }
    }

    fn all(completed: u64) -> Vec<(u64, &'static str)> {
        let completed = (1_000..1_000 + completed).map(|number| (number, "COMPLETED"));
        completed.chain([(1, "FAILED")]).collect()
    }

    fn compared(completed: u64, listed: Vec<(u64, &'static str)>, most: usize) -> Comparison {
        compare(
            &[database(completed)],
            &answering(listed, most),
            &Cancel::new(),
        )
        .unwrap()
    }

    #[test]
    fn what_is_missing_surplus_or_no_longer_completed_is_told() {
        let mut listed = all(3);
        listed[0].1 = "FAILED";
        listed.remove(1);
        listed.push((7, "IN_PROGRESS"));
        let found = compared(3, listed, 1_000);
        assert_eq!(found.listed, 1);
        assert_eq!(found.missing, [id(1_000), id(1_001)]);
        assert_eq!(found.surplus, [id(7)]);
        let words = found.words();
        assert!(words.contains(&id(1_001).to_string()) && words.contains(&id(7).to_string()));
    }

    #[test]
    fn a_backup_that_falls_between_two_pages_is_looked_for_again() {
        let seen = RefCell::new(0);
        let honest = answering(all(2_000), 1_000);
        let ask = |listing: Listing| {
            let mut page = honest(listing)?;
            *seen.borrow_mut() += 1;
            if *seen.borrow() == 1 {
                page.backups[7] = page.backups[8].clone();
            }
            Ok(page)
        };
        let found = compare(&[database(2_000)], &ask, &Cancel::new()).unwrap();
        assert!(found.is_equal(), "{}", found.words());
    }

    #[test]
    fn a_list_without_an_end_ends() {
        let ask = |listing: Listing| {
            Ok(Page {
                backups: vec![
                    ListedBackup {
                        id: id(listing.offset),
                        status: String::new(),
                    };
                    100_000
                ],
                total: u64::MAX,
            })
        };
        let ended = compare(&[database(1)], &ask, &Cancel::new());
        assert!(matches!(ended, Err(ApplicationTrouble::EndlessList)));
    }

    proptest! {
        #[test]
        fn a_whole_list_is_whole_however_it_is_cut_into_pages(
            completed in 0..60_u64,
            most in 1..70_usize,
        ) {
            let found = compared(completed, all(completed), most);
            prop_assert!(found.is_equal());
            prop_assert_eq!(found.listed, completed);
        }
    }
}
