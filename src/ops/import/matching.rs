//! What of the storages the catalogue knows, and what of the catalogue the storages have.

use crate::databasus::catalogue_rows::RowState;
use crate::databasus::objects::group::{BackupGroup, Standing};

use super::known::Known;
use super::report::{LeftOut, Reason};
use super::survey::{Place, Survey};

/// Where a backup is: the place and its number in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) place: usize,
    pub(super) group: usize,
}

/// A backup that the catalogue does not know as completed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) at: At,
    /// The row of that name, which is not completed.
    pub(super) row: Option<usize>,
}

/// Catalogue and storages beside each other.
#[derive(Default)]
pub(super) struct Matched {
    /// By row: where its object is, in its own storage.
    pub(super) found: Vec<Option<At>>,
    /// By row: whether an object of its name is in another storage.
    pub(super) elsewhere: Vec<bool>,
    pub(super) candidates: Vec<Candidate>,
    /// By place: copies of what the catalogue knows in another.
    pub(super) copies: Vec<u64>,
    pub(super) damaged: Vec<LeftOut>,
}

impl Matched {
    pub(super) fn new(known: &Known, survey: &Survey) -> Self {
        let mut matched = Self {
            found: vec![None; known.rows.len()],
            elsewhere: vec![false; known.rows.len()],
            copies: vec![0; survey.places.len()],
            ..Self::default()
        };
        for (number, place) in survey.places.iter().enumerate() {
            for (group_number, group) in place.held.backups.iter().enumerate() {
                let at = At {
                    place: number,
                    group: group_number,
                };
                matched.place_group(known, place, group, at);
            }
        }
        matched
    }

    fn place_group(&mut self, known: &Known, place: &Place, group: &BackupGroup, at: At) {
        let name = group.name.to_string();
        let gone = group.standing() == Standing::ContentMissing;
        let (mut is_known, mut is_copy, mut unfinished) = (false, false, None);
        for index in known.named(&name).filter(|_| !gone) {
            let row = &known.rows[index];
            match (place.is(row.storage), row.state) {
                (true, RowState::Completed) => {
                    self.found[index] = Some(at);
                    is_known = true;
                }
                (true, _) => unfinished = Some(index),
                (false, RowState::Completed) => {
                    self.elsewhere[index] = true;
                    is_copy = true;
                }
                (false, _) => {}
            }
        }
        if is_known {
            self.damaged.extend(damage_of_known(place, group, &name));
        } else if is_copy {
            self.copies[at.place] += 1;
        } else {
            let row = unfinished;
            self.candidates.push(Candidate { at, row });
        }
    }
}

/// What a listing alone says against a backup that the catalogue calls completed.
fn damage_of_known(place: &Place, group: &BackupGroup, name: &str) -> Option<LeftOut> {
    let detail = match group.standing() {
        Standing::Incomplete => "the catalogue lists it as completed, and parts of it are missing",
        Standing::FailedDump => "the catalogue lists it as completed, and it is empty",
        _ => return None,
    };
    let size = group.content.size().unwrap_or(group.content.parts.bytes);
    Some(LeftOut::new(
        place.first(),
        name,
        size,
        Reason::Damaged,
        detail,
    ))
}
