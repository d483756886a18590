//! The same attacks before an auditor with stock tools: the script agrees with `audit`, but for what
//! docs/AUDIT-BY-HAND.md says.

use std::collections::BTreeSet;

use databasus_escrow::base::time::Clock as _;

use super::Scene;
use super::audited::{ATTACKS, Attack, audit, exit_of, findings};
use crate::support::by_hand::Auditor;

/// What an audit calls an attack, and what the script calls it.
struct Compared {
    attack: &'static str,
    audit: (i32, BTreeSet<String>),
    by_hand: (i32, BTreeSet<String>),
}

impl Compared {
    /// None where the tools are not there.
    fn of(attack: &Attack) -> Option<Self> {
        let scene = (attack.scene)();
        let auditor = Auditor::new(&scene.host.settings.allowed_signers_text)?;
        (attack.act)(&scene);
        let mark = attack.mark(&scene);
        let now = scene.bed.clock.now();
        let report = audit(&scene, &scene.bed.read(mark), mark);
        let stores = scene.bed.stores.iter();
        // Who has several stores looks into each.
        let told: Vec<_> = stores
            .map(|store| auditor.audit(&auditor.copy(store.as_ref()).join("demo"), mark, now))
            .collect();
        let worst = told.iter().map(|one| one.exit).max().unwrap();
        let ids = told.into_iter().flat_map(|one| one.ids);
        Some(Self {
            attack: attack.name,
            audit: (
                exit_of(&report),
                findings(&report).into_iter().map(str::to_owned).collect(),
            ),
            by_hand: (worst, ids.collect()),
        })
    }

    /// A row of the page's table; none where there is nothing to tell.
    fn row(&self) -> Option<String> {
        let cell = |(exit, ids): &(i32, BTreeSet<String>), others: &BTreeSet<String>| {
            let only: Vec<String> = ids.difference(others).map(|id| format!("`{id}`")).collect();
            format!("{exit} {}", only.join(", ")).trim().to_owned()
        };
        let (audit, by_hand) = (&self.audit, &self.by_hand);
        let row = format!(
            "| {} | {} | {} |",
            self.attack,
            cell(audit, &by_hand.1),
            cell(by_hand, &audit.1)
        );
        (audit != by_hand).then_some(row)
    }
}

#[test]
fn the_script_agrees_with_audit_but_for_what_its_page_says() {
    let mut rows = Vec::new();
    for attack in ATTACKS {
        let Some(compared) = Compared::of(attack) else {
            return;
        };
        rows.extend(compared.row());
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/AUDIT-BY-HAND.md");
    let page = std::fs::read_to_string(page).unwrap();
    let head = "| attack | `audit` | by hand |\n|---|---|---|\n";
    let table = page.split_once(head).map_or("", |(_, table)| table);
    let told: Vec<&str> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(told, rows, "\n{}\n", rows.join("\n"));
}

#[test]
fn no_attack_passes_by_hand_that_an_audit_catches() {
    let scene = Scene::new();
    let Some(auditor) = Auditor::new(&scene.host.settings.allowed_signers_text) else {
        return;
    };
    // What is not signed is never parsed: jq would fail at this, and say so.
    scene.put(&scene.manifest_key(3), b"{\"seq\": ");
    let folder = auditor.copy(scene.store()).join("demo");
    let told = auditor.audit(&folder, Some(scene.mark), scene.bed.clock.now());
    assert_eq!(told.exit, 13, "{}", told.said);
    assert!(told.ids.contains("unverified-manifest"));
}
