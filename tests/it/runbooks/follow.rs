//! Following the pages, one by one.

use std::fs;

use super::page::Page;
use super::world::{Running, World};
use crate::support::chains::shared;

/// What a store's credentials are called on the pages.
const CREDENTIALS: [&str; 2] = [
    "ESCROW_PRIMARY_ACCESS_KEY_ID",
    "ESCROW_PRIMARY_SECRET_ACCESS_KEY",
];

fn with_credentials<'a>(names: &[&'a str]) -> Vec<&'a str> {
    [names, &CREDENTIALS].concat()
}

/// The same of the bucket that Databasus writes to.
fn with_credentials_of_from<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let from = ["ESCROW_FROM_ACCESS_KEY_ID", "ESCROW_FROM_SECRET_ACCESS_KEY"];
    [names, &from].concat()
}

fn value_of(values: &[(&str, String)], name: &str) -> String {
    let found = values.iter().find(|(found, _)| *found == name);
    found.unwrap().1.clone()
}

#[test]
fn the_readme_leads_from_nothing_to_a_restored_instance() {
    let Some(mut world) = World::with_bucket("readme") else {
        return;
    };
    let readme = Page::read("README.md");
    let sections = [
        "First setup",
        "Is it all still true?",
        "Commands",
        "Disaster, in three commands",
    ];
    let [setup, audit, commands, disaster] = sections.map(|heading| readme.section(heading));
    // Whoever follows it has not made Alice's identity yet.
    fs::remove_file(world.path("box/alice.key")).unwrap();
    let names = with_credentials(&["ETC", "DATA", "PORT", "ALICE", "BOB", "STORE"]);
    world.follow(&setup, "box", &world.values(&names), "");
    fs::copy(
        world.path("etc/trust-card.txt"),
        world.path("box/trust-card.txt"),
    )
    .unwrap();
    world.follow(&audit, "etc", &[], "");
    world.follow(&commands, "etc", &[], "");
    world.destroy();
    let names = with_credentials(&["STORE", "TRUST", "IDENTITY", "TARGET"]);
    world.follow(&disaster, "box", &world.values(&names), "");
    world.assert_same_instance(&world.path("box/restored"));

    let run = |page: &Page| page.blocks().iter().filter(|block| block.is_run()).count();
    let sum = [setup, audit, commands, disaster]
        .iter()
        .map(run)
        .sum::<usize>();
    assert_eq!(
        sum,
        run(&readme),
        "a block stands in a section that nobody ran"
    );
}

#[test]
fn the_disaster_page_brings_an_instance_back_on_an_empty_box() {
    let Some(mut world) = World::with_bucket("disaster") else {
        return;
    };
    world.init();
    #[cfg(feature = "s3")]
    world.fill_storage();
    world.destroy();
    let names = [
        "INSTANCE",
        "STORE",
        "TRUST",
        "MARK",
        "IDENTITY",
        "TARGET",
        "ESCROW_READER_ACCESS_KEY_ID",
        "ESCROW_READER_SECRET_ACCESS_KEY",
    ];
    let values = world.values(&with_credentials(&names));
    world.follow(&Page::read("runbooks/disaster.md"), "box", &values, "");
    world.assert_same_instance(&world.path("box/restored"));
}

#[cfg(feature = "s3")]
#[test]
fn the_drill_page_ends_with_a_signed_report_and_leaves_nothing() {
    let Some(mut world) = World::with_bucket("quarterly-drill") else {
        return;
    };
    world.fill_storage();
    world.catalogue_storage();
    world.init();
    let names = [
        "ETC",
        "IDENTITY",
        "ESCROW_READER_ACCESS_KEY_ID",
        "ESCROW_READER_SECRET_ACCESS_KEY",
    ];
    let mut values = world.values(&with_credentials(&names));
    let scratch = world.path("drills");
    values.push(("SCRATCH", format!("'{}'", scratch.display())));
    // The world's backup grows older with the world.
    values.push(("RPO", "20000d".to_owned()));
    let page = Page::read("runbooks/quarterly-drill.md");
    world.follow(&page, "box", &values, "");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
}

#[cfg(feature = "s3")]
#[test]
fn the_page_for_the_key_alone_makes_a_catalogue_from_the_bucket() {
    let Some(mut world) = World::with_bucket("from-key") else {
        return;
    };
    world.fill_storage();
    world.forget_everything();
    let names = [
        "KEY",
        "FRESH",
        "BUCKET",
        "ESCROW_STORAGE_ACCESS_KEY_ID",
        "ESCROW_STORAGE_SECRET_ACCESS_KEY",
    ];
    let page = Page::read("runbooks/key-without-escrow.md");
    let said = world.follow(&page, "box", &world.values(&names), "");
    assert!(said.contains("Imported 1 backups"), "{said}");
}

#[cfg(feature = "s3")]
#[test]
fn the_page_of_the_second_store_ends_with_copies_under_lock() {
    let Some(world) = World::with_bucket("second-store") else {
        return;
    };
    let server = crate::support::seaweed::Seaweed::start().unwrap();
    server.create_bucket("second-store-locked", true);
    world.init();
    let names = [
        "ETC",
        "ESCROW_SECOND_ACCESS_KEY_ID",
        "ESCROW_SECOND_SECRET_ACCESS_KEY",
    ];
    let mut values = world.values(&with_credentials(&names));
    values.push(("BUCKET", "second-store-locked".to_owned()));
    values.push(("ENDPOINT", server.endpoint()));
    let page = Page::read("runbooks/second-store.md");
    let said = world.follow(&page, "box", &values, "");
    assert!(said.contains("second   every part is as signed"), "{said}");
}

#[test]
fn the_recover_page_gets_a_backup_back_without_databasus() {
    let Some(mut world) = World::with_folder() else {
        return;
    };
    world.init();
    world.fill_bucket();
    world.destroy();
    let names = ["FROM", "DATABASE", "STORE", "TRUST", "IDENTITY"];
    let values = world.values(&with_credentials(&names));
    let page = Page::read("runbooks/recover-a-backup.md");
    world.follow(&page, "box", &values, "");
    let recovered = fs::read(world.path("box/recovered.dump")).unwrap();
    assert!(recovered == fs::read(world.path("dump")).unwrap());
}

#[test]
fn the_rewind_page_shows_a_cluster_as_of_the_moment_before() {
    let (Some(mut world), Some(chain)) = (World::with_folder(), shared::native()) else {
        return;
    };
    world.fill_with_chain(&chain, 5);
    let names = [
        "FROM", "KEY", "DATABASE", "TABLE", "MOMENT", "REWOUND", "PGBIN", "SOCKET", "NEWPORT",
        "RUNAS",
    ];
    let values = world.values(&with_credentials_of_from(&names));
    let page = Page::read("runbooks/point-in-time.md");
    let _running = Running(world.path("box/rewound"));
    world.follow(&page, "box", &values, "");
    let rows = fs::read_to_string(world.path("box/rows.sql")).unwrap();
    assert!(rows.contains("\n5\t") && !rows.contains("\n6\t"), "{rows}");
}

#[test]
fn the_page_without_databasus_brings_back_all_of_a_cluster() {
    let (Some(mut world), Some(chain)) = (World::with_folder(), shared::native()) else {
        return;
    };
    world.init();
    world.fill_with_chain(&chain, 5);
    world.destroy();
    fs::remove_file(world.path("box/secret.key")).unwrap();
    let names = [
        "STORE", "TRUST", "IDENTITY", "FROM", "DATABASE", "RESTORED", "PGBIN", "SOCKET", "NEWPORT",
        "RUNAS",
    ];
    let values = world.values(&with_credentials(&with_credentials_of_from(&names)));
    let port = value_of(&values, "NEWPORT");
    let page = Page::read("runbooks/point-in-time-without-databasus.md");
    let _running = Running(world.path("box/rewound"));
    world.follow(&page, "box", &values, "");
    let newest = world.last_words("box/rewound", &port, "SELECT max(id) FROM sentinel");
    assert_eq!(newest, "6\n");
}

#[test]
fn the_page_by_hand_rewinds_a_cluster_without_this_program() {
    let (Some(mut world), Some(chain)) = (World::with_folder(), shared::native()) else {
        return;
    };
    world.fill_with_chain(&chain, 5);
    fs::remove_file(world.path("bin/databasus-escrow")).unwrap();
    let mut values = world.values(&["KEY", "PGBIN", "RUNAS", "LABEL", "WORK", "SOCKET"]);
    values.push(("COPY", value_of(&world.values(&["FROM"]), "FROM")));
    let moment = value_of(&world.values(&["MOMENT"]), "MOMENT");
    values.push(("TARGET", moment.replace('Z', "+00")));
    let page = Page::read("runbooks/point-in-time-by-hand.md");
    let _running = Running(world.path("box/rewind/data"));
    world.follow(&page, "box", &values, "");
    let newest = world.last_words("box/rewind/data", "5432", "SELECT max(id) FROM sentinel");
    assert_eq!(newest, "5\n");
}

#[test]
fn the_stock_tools_page_opens_an_escrow_without_this_program() {
    let Some(mut world) = World::with_folder() else {
        return;
    };
    world.init();
    world.destroy();
    fs::remove_file(world.path("bin/databasus-escrow")).unwrap();
    let values = world.values(&["COPY", "FINGERPRINT", "RESTORE", "IDENTITY"]);
    let page = Page::read("runbooks/restore-one-escrow-with-stock-tools.md");
    world.follow(&page, "box", &values, "");
    world.assert_same_instance(&world.path("box/restored/databasus-data"));
}

#[test]
fn the_stock_tools_page_takes_no_strangers_manifest() {
    let Some(world) = World::with_folder() else {
        return;
    };
    world.init();
    let values = world.values(&["COPY", "FINGERPRINT", "RESTORE", "IDENTITY"]);
    world.bash(
        "store/heatwave-prod",
        "ssh-keygen -q -t ed25519 -N '' -f stranger
         sed 's/\"seq\": 1,/\"seq\": 2,/' manifest/0000000001.json > manifest/0000000002.json
         ssh-keygen -q -Y sign -n escrow-manifest@databasus -f stranger manifest/0000000002.json
         digest=$(sha256sum manifest/0000000002.json | cut -c 1-64)
         mv manifest/0000000002.json.sig sig/$digest.escrow-host.sig",
        "",
    );
    let page = Page::read("runbooks/restore-one-escrow-with-stock-tools.md");
    let said = world.follow(&page, "box", &values, "");
    assert!(said.contains("/manifest/0000000001.json\n"), "{said}");
}

#[test]
fn the_stock_tools_page_opens_what_was_sealed_again_to_others() {
    let Some(mut world) = World::with_folder() else {
        return;
    };
    world.init();
    world.bash(
        "etc",
        "databasus-escrow custody add carol=$(age-keygen -y ../box/carol.key)
         databasus-escrow custody remove alice --unproven
         sed '/^\\[source\\]/,/^$/d' escrow.toml > elsewhere.toml
         databasus-escrow --config elsewhere.toml rekey --identity ../box/bob.key
         cp ../box/carol.key ../box/alice.key",
        "",
    );
    world.destroy();
    fs::remove_file(world.path("bin/databasus-escrow")).unwrap();
    let values = world.values(&["COPY", "FINGERPRINT", "RESTORE", "IDENTITY"]);
    let page = Page::read("runbooks/restore-one-escrow-with-stock-tools.md");
    let said = world.follow(&page, "box", &values, "");
    assert!(
        said.contains("sealed again, says 0000000002.json\n"),
        "{said}"
    );
    world.assert_same_instance(&world.path("box/restored/databasus-data"));
}

#[test]
fn the_lost_key_page_continues_the_chain_and_keeps_old_escrows_verifiable() {
    let Some(world) = World::with_folder() else {
        return;
    };
    world.init();
    let names = with_credentials(&["ETC", "DATA", "PORT", "STORE", "TRUST", "MARK"]);
    let values = world.values(&names);
    world.destroy_configuration();
    let page = Page::read("runbooks/lost-signing-key.md");
    world.follow(&page, "box", &values, "");
    fs::copy(
        world.path("etc/trust-card.txt"),
        world.path("box/trust-card.txt"),
    )
    .unwrap();
    let new_card = world.values(&["STORE", "TRUST"]);
    assert_ne!(values[4], new_card[1], "the card names the lost key first");
    let verified = world.bash(
        "box",
        &format!(
            "databasus-escrow verify --all --instance heatwave-prod --store {} --trust {}",
            new_card[0].1, new_card[1].1
        ),
        "",
    );
    assert!(
        verified.contains("Manifests with good signatures: 2."),
        "{verified}"
    );
}

#[test]
fn the_nightly_page_makes_snapshots_by_hand_by_cron_and_by_systemd() {
    let Some(world) = World::with_bucket("nightly") else {
        return;
    };
    world.init();
    let values = world.values(&["ETC", "TOOL", "LOG", "CRON", "UNITS"]);
    let page = Page::read("runbooks/nightly.md");
    world.follow(&page, "box", &values, &world.environment_file());

    let line = fs::read_to_string(world.path("cron")).unwrap();
    let (schedule, command) = line.split_once(" root ").unwrap();
    assert_eq!(schedule.split(' ').count(), 5);
    let mail = world.bash("box", &in_sh(command), "");
    assert_eq!(mail, "", "cron mails what a good night says");
    let unit = fs::read_to_string(world.path("box/databasus-escrow.service")).unwrap();
    let of = |key: &str| {
        unit.lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap()
    };
    let start = format!("set -a; . {}; {}", of("EnvironmentFile="), of("ExecStart="));
    world.bash("box", &in_sh(&start), "");
    let listed = world.bash(
        "etc",
        "databasus-escrow list --json | jq '.escrows | length'",
        "",
    );
    assert_eq!(listed.trim(), "4");
}

/// With nothing set but what cron sets.
fn in_sh(command: &str) -> String {
    format!("env -i PATH=/usr/bin:/bin sh <<'EOF'\n{command}\nEOF")
}

#[test]
fn cron_mails_a_snapshot_that_failed() {
    let Some(world) = World::with_folder() else {
        return;
    };
    world.init();
    let values = world.values(&["ETC", "TOOL", "LOG", "CRON", "UNITS"]);
    let page = Page::read("runbooks/nightly.md");
    world.follow(&page, "box", &values, &world.environment_file());
    let line = fs::read_to_string(world.path("cron")).unwrap();
    let (_, command) = line.split_once(" root ").unwrap();
    fs::remove_dir_all(world.path("store")).unwrap();
    let mail = world.bash("box", &in_sh(command), "");
    assert!(mail.contains("databasus-escrow: error: "), "{mail}");
}

#[test]
fn the_unfence_page_makes_production_of_a_fenced_copy() {
    let Some(mut world) = World::with_bucket("unfence") else {
        return;
    };
    world.init();
    world.destroy();
    let names = ["INSTANCE", "STORE", "TRUST", "IDENTITY", "CLONE"];
    let set = world.values(&names).into_iter();
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    let rehydrate = "databasus-escrow rehydrate --instance \"$INSTANCE\" --store \"$STORE\" \\
        --trust \"$TRUST\" --identity \"$IDENTITY\" --target \"$CLONE\"";
    world.bash("box", &format!("{}\n{rehydrate}", set.join("\n")), "");
    let names = ["CLONE", "INSTANCE", "STORE", "TRUST"];
    let values = world.values(&with_credentials(&names));
    world.follow(&Page::read("runbooks/unfence.md"), "box", &values, "");
    world.assert_same_instance(&world.path("box/restored"));
}

#[cfg(feature = "s3")]
#[test]
fn the_import_page_brings_a_catalogue_up_to_date() {
    let Some(mut world) = World::with_bucket("import") else {
        return;
    };
    world.init();
    world.fill_storage();
    world.destroy();
    let names = ["INSTANCE", "STORE", "TRUST", "IDENTITY", "CLONE"];
    let set = world.values(&names).into_iter();
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    let rehydrate = "databasus-escrow rehydrate --instance \"$INSTANCE\" --store \"$STORE\" \\
        --trust \"$TRUST\" --identity \"$IDENTITY\" --target \"$CLONE\" --no-import";
    world.bash("box", &format!("{}\n{rehydrate}", set.join("\n")), "");
    let names = [
        "CLONE",
        "ESCROW_R2_ACCESS_KEY_ID",
        "ESCROW_R2_SECRET_ACCESS_KEY",
    ];
    let values = world.values(&names);
    let said = world.follow(&Page::read("runbooks/import.md"), "box", &values, "");
    assert!(said.contains("Imported 1 backups"), "{said}");
    world.assert_same_instance(&world.path("box/restored"));
}

#[test]
fn the_custodian_page_changes_who_opens_new_escrows_and_not_old_ones() {
    let Some(world) = World::with_folder() else {
        return;
    };
    world.init();
    let names = with_credentials(&["ETC", "CAROL", "STORE", "TRUST"]);
    let mut values = world.values(&names);
    values.push(("IDENTITY", "carol.key".to_owned()));
    let page = Page::read("runbooks/new-custodian.md");
    world.follow(&page, "box", &values, "");

    let listed = world.bash(
        "etc",
        "databasus-escrow list --json | jq -r '.escrows[].id'",
        "",
    );
    let [old, new]: [&str; 2] = listed.lines().collect::<Vec<_>>().try_into().unwrap();
    let set: Vec<String> = values.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let opens = |who: &str, escrow: &str| {
        let verify = format!(
            "{}\ndatabasus-escrow verify {escrow} --identity {who}.key \
             --instance heatwave-prod --store \"$STORE\" --trust \"$TRUST\"",
            set.join("\n")
        );
        world.try_bash("box", &verify, "").status.code().unwrap()
    };
    let exits = ["alice", "bob", "carol"].map(|who| [opens(who, old), opens(who, new)]);
    assert_eq!(exits, [[0, 0], [0, 12], [12, 0]]);
}

#[test]
fn the_page_for_two_custodians_has_them_check_in_and_open_on_two_machines() {
    let Some(world) = World::with_folder() else {
        return;
    };
    world.init();
    let names = [
        "ETC", "CAROL", "COPY", "STORE", "TRUST", "IDENTITY", "SECOND",
    ];
    let values = world.values(&with_credentials(&names));
    let page = Page::read("runbooks/two-custodians.md");
    world.follow(&page, "box", &values, "");
    let key = fs::read(world.path("box/restored/databasus-data/secret.key")).unwrap();
    assert_eq!(key, super::world::SECRET_KEY);
    let status = "databasus-escrow custody status --json > status.json || test $? = 3
        jq -c '[.custodians[].proven_at != null]' status.json";
    assert_eq!(world.bash("etc", status, ""), "[true,false,false]\n");
}

#[test]
fn the_reference_pages_run_on_a_healthy_instance() {
    let Some(world) = World::with_folder() else {
        return;
    };
    world.init();
    for name in ["runbooks/findings.md", "runbooks/exit-codes.md"] {
        world.follow(&Page::read(name), "etc", &[], "");
    }
}
