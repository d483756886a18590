//! What custodians elsewhere are asked to run, each in turn.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::base::names::CustodianName;
use crate::model::manifest::Manifest;

/// The steps by which several custodians open an escrow, and for whom.
pub(super) struct Request<'a> {
    /// Of the escrow.
    pub(super) manifest: &'a Manifest,
    /// The one-time recipient of this run.
    pub(super) recipient: &'a str,
    /// Where the escrow is, as `--store` takes it.
    pub(super) stores: &'a [String],
    /// Where the answer is waited for.
    pub(super) answer: &'a Path,
}

impl Request<'_> {
    fn steps(&self) -> usize {
        let unlock = self.manifest.unlock.first();
        unlock.map_or(0, |unlock| unlock.custodians.len())
    }

    /// Who can stand at this place among those who come together.
    fn who(&self, place: usize) -> String {
        let everybody = self.manifest.recipients.iter().map(|one| &one.custodian);
        let sets = self.manifest.unlock.iter();
        let here: BTreeSet<&CustodianName> =
            sets.filter_map(|set| set.custodians.get(place)).collect();
        let names = everybody.filter(|name| here.contains(name));
        let names: Vec<&str> = names.map(CustodianName::as_str).collect();
        names.join(" or ")
    }

    fn command(&self, step: usize) -> String {
        let escrow = &self.manifest.escrow_id;
        let from = match step {
            1 => " --with NAME".repeat(self.steps().saturating_sub(1)),
            later => format!(" step-{}.age", later - 1),
        };
        let to = match step == self.steps() {
            true => " --to ONE-TIME --output answer.age".to_owned(),
            false => format!(" --output step-{step}.age"),
        };
        format!(
            "databasus-escrow custody open --step {step}{from} --escrow {escrow} --identity FILE{to} \
             {}",
            self.reading()
        )
    }

    fn reading(&self) -> String {
        let stores = self.stores.iter();
        let stores: String = stores
            .map(|store| format!(" --store '{}'", store.replace('\'', r"'\''")))
            .collect();
        let instance = &self.manifest.instance.slug;
        format!("--instance {instance}{stores} --trust SHA256:…")
    }
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest {
            escrow_id,
            instance,
            recipients,
            ..
        } = self.manifest;
        let k = self.steps();
        let names: Vec<&str> = recipients.iter().map(|r| r.custodian.as_str()).collect();
        let everybody = names.join(", ");
        let slug = &instance.slug;
        writeln!(
            f,
            "\nEscrow {escrow_id} of {slug} takes {k} of {everybody}. They open it one after the \
             other, in the order of\nthis list, each on a machine of their own. NAME is who else \
             takes part, FILE an identity of one's own,\nSHA256:… the fingerprint on one's own \
             trust card, and no other."
        )?;
        for step in 1..=k {
            let hands_on = match step == k {
                true => "answer.age comes back here",
                false => "what comes out goes on to the next",
            };
            let who = self.who(step - 1);
            writeln!(
                f,
                "\n{step}. {who}; {hands_on}:\n\n  {}",
                self.command(step)
            )?;
        }
        let whence = match self.answer.as_os_str() == "-" {
            true => "Paste answer.age here, all of it:".to_owned(),
            false => format!("Waiting for answer.age in {}", self.answer.display()),
        };
        let recipient = self.recipient;
        write!(
            f,
            "\nONE-TIME is the recipient of this run alone, to be compared by voice:\n\n  \
             {recipient}\n\n{whence}\n"
        )
    }
}
