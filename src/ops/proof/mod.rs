//! Proving that key, metadata and backups belong together, up to a wanted level (D7 of the
//! design: [`Level`]).
//!
//! Nothing here stops anything: what does not hold is failed, what could not be tried is unknown,
//! and the caller decides. Only a signal ends it early.

mod chunks;
mod key_trial;
mod report;
mod whole;

use crate::base::cancel::{Cancel, Interrupted};
use crate::base::error_chain::error_chain;
use crate::databasus::newest_backups::{self, NewestBackup};
use crate::databasus::schema::{Schema, SchemaError};
use crate::databasus::sealed_fields::{self, FieldCounts};
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{self, Storage};
use crate::model::proof::{Level, Outcome};
use crate::postgres::restore_tool::RestoreTool;
use crate::postgres::wire::{Connection, PgError};

use super::storages::OpenStorage;

pub use report::{Detail, LevelReport, Report};

/// What is tried, and with what.
pub struct Request<'a> {
    /// The key.
    pub key: &'a SecretKey,
    /// Level 0: whether it has the id that it should have.
    pub key_id: Outcome,
    /// The way to the backups.
    pub storages: &'a dyn OpenStorage,
    /// The highest level that is tried.
    pub wanted: Level,
    /// Of when the catalogue is.
    pub catalogue: Catalogue,
    /// What reads tables of contents at level 3.
    pub restore_tool: Option<&'a RestoreTool>,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

/// Of when the catalogue is that names the backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catalogue {
    /// Of now: what it names must be there.
    Live,
    /// Of an earlier time: what it names may have been deleted since.
    Past,
}

/// What a catalogue says is stored, and what trying its encrypted fields came to.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// Level 1.
    pub fields: FieldCounts,
    /// Where backups lie.
    pub storages: Vec<Storage>,
    /// The newest encrypted ones.
    pub backups: Vec<NewestBackup>,
}

/// The metadata could not be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("the metadata database could not be read")]
    Session(#[from] PgError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Tries every level up to the wanted one, over a session with the metadata database; without one
/// only level 0 can be told.
pub fn prove(
    session: Option<&mut Connection>,
    request: &Request<'_>,
) -> Result<Report, Interrupted> {
    let mut report = Report::new(request.wanted, request.key_id);
    let Some(session) = session else {
        report.without_server();
        return Ok(report);
    };
    if request.wanted > Level::KeyId {
        let tried = Proving { session, request }.run(&mut report);
        request.cancel.check()?;
        if let Err(error) = tried {
            report.give_up(&error_chain(&error));
        }
    }
    Ok(report)
}

/// The same from a copy of the metadata that was read already; one that could not be read leaves
/// every level above 0 unknown, for the reason given.
pub fn prove_copy(
    copied: Result<Copied, String>,
    request: &Request<'_>,
) -> Result<Report, Interrupted> {
    let mut report = Report::new(request.wanted, request.key_id);
    if request.wanted > Level::KeyId {
        match copied {
            Err(why) => report.give_up(&why),
            Ok(copied) => {
                report.push(fields_report(&copied.fields));
                if request.wanted > Level::Fields {
                    let mut looks = chunks::look(&copied, request);
                    excuse_missing(&mut looks, request.catalogue);
                    conclude(&looks, request, &mut report);
                }
            }
        }
        request.cancel.check()?;
    }
    Ok(report)
}

/// What is proven where there is no key at all.
pub fn without_key(wanted: Level) -> Report {
    let mut report = Report::new(wanted, Outcome::Failed);
    report.give_up("there is no secret.key");
    report
}

/// Levels 2 and 3, from a look at the backups.
fn conclude(looks: &[chunks::Look<'_>], request: &Request<'_>, report: &mut Report) {
    let opens_fields = report.outcome(Level::Fields) == Some(Outcome::Proven);
    report.push(chunks::report(looks, request.key, opens_fields));
    if request.wanted >= Level::WholeBackups {
        report.push(whole::report(looks, request));
    }
}

fn excuse_missing(looks: &mut [chunks::Look<'_>], catalogue: Catalogue) {
    if catalogue == Catalogue::Past {
        for look in looks.iter_mut().filter(|look| look.is_missing()) {
            look.excuse("its object is not there; Databasus may have deleted it since");
        }
    }
}

struct Proving<'a> {
    session: &'a mut Connection,
    request: &'a Request<'a>,
}

impl Proving<'_> {
    fn run(&mut self, report: &mut Report) -> Result<(), AskError> {
        let schema = Schema::read(self.session)?;
        let key = self.request.key;
        let fields = sealed_fields::try_key(self.session, &schema, key)?;
        report.push(fields_report(&fields));
        if self.request.wanted < Level::FirstChunks {
            return Ok(());
        }
        let generation = schema.generation()?;
        let copied = Copied {
            fields,
            storages: storages::read(self.session, &schema)?,
            backups: newest_backups::read(self.session, &schema, generation)?,
        };
        let mut looks = chunks::look(&copied, self.request);
        self.forgive_deleted(&schema, &mut looks)?;
        excuse_missing(&mut looks, self.request.catalogue);
        conclude(&looks, self.request, report);
        Ok(())
    }

    /// A running Databasus deletes old backups at any time: an object that is missing proves
    /// something only while its row is still there.
    fn forgive_deleted(
        &mut self,
        schema: &Schema,
        looks: &mut [chunks::Look<'_>],
    ) -> Result<(), AskError> {
        if !looks.iter().any(chunks::Look::is_missing) {
            return Ok(());
        }
        let generation = schema.generation()?;
        let now = newest_backups::read(self.session, schema, generation)?;
        for look in looks.iter_mut().filter(|look| look.is_missing()) {
            if !now.iter().any(|backup| backup.id == look.backup.id) {
                look.excuse("it was deleted or replaced meanwhile");
            }
        }
        Ok(())
    }
}

fn fields_report(counts: &FieldCounts) -> LevelReport {
    let mut level = LevelReport::new(Level::Fields);
    for (column, count) in counts {
        level.tally.proven += count.opened;
        level.tally.failed += count.refused;
        if count.refused > 0 {
            let all = count.opened + count.refused;
            level.say(
                Outcome::Failed,
                format!("{} of {all} values in {column} do not open", count.refused),
            );
        }
    }
    let tally = level.tally;
    if tally.failed > 0 && tally.proven == 0 {
        level.conclude("secret.key opens no encrypted field: it is another key");
    } else if tally.failed + tally.proven == 0 {
        level.conclude("the metadata holds no encrypted field");
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::databasus::sealed_fields::FieldCount;

    fn report(counts: &[(&str, u64, u64)]) -> LevelReport {
        let counts = counts.iter().map(|(column, opened, refused)| {
            let count = FieldCount {
                opened: *opened,
                refused: *refused,
            };
            ((*column).to_owned(), count)
        });
        fields_report(&counts.collect())
    }

    #[test]
    fn a_key_that_opens_nothing_is_another_key() {
        let told = report(&[("a.b", 0, 2), ("a.c", 0, 1)]);
        assert_eq!((told.tally.failed, told.details.len()), (3, 2));
        assert!(told.conclusion.unwrap().contains("another key"));
    }

    #[test]
    fn a_damaged_field_is_no_other_key() {
        let told = report(&[("a.b", 5, 1)]);
        assert_eq!(told.tally.outcome(), Outcome::Failed);
        assert_eq!(told.conclusion, None);
        assert_eq!(told.details[0].message, "1 of 6 values in a.b do not open");
    }

    #[test]
    fn where_there_is_nothing_to_open_nothing_is_proven() {
        assert_eq!(report(&[]).tally.outcome(), Outcome::Unknown);
    }
}
