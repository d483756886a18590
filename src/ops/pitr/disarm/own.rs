//! The configuration that a rewound directory gets.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::base::file_error::{FileError, failed};
use crate::postgres::configuration::quoted;
use crate::postgres::control_file::RecordedSettings;
use crate::postgres::program::User;
use crate::postgres::recovery::{self, Recovery};
use crate::target::ownership;

/// What a directory's configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It was replayed and promoted.
    Replayed,
    /// It replays when it is started for the first time, with the WAL in it.
    Prepared(Recovery),
}

/// What every such directory is told: the least that starts anywhere, and nothing that acts.
const FIXED: &[(u32, &str, &str)] = &[
    (13, "listen_addresses", "localhost"),
    // Relative: the directory itself, into which nobody else may go.
    (13, "unix_socket_directories", "."),
    (13, "unix_socket_permissions", "0700"),
    (13, "ssl", "off"),
    (13, "password_encryption", "scram-sha-256"),
    (13, "archive_mode", "off"),
    (13, "archive_command", ""),
    (13, "primary_conninfo", ""),
    (13, "primary_slot_name", ""),
    (13, "synchronous_standby_names", ""),
    (13, "shared_preload_libraries", ""),
    (13, "session_preload_libraries", ""),
    (13, "local_preload_libraries", ""),
    (13, "dynamic_library_path", "$libdir"),
    // Subscriptions stay, and nobody follows them.
    (13, "max_logical_replication_workers", "0"),
    (17, "sync_replication_slots", "off"),
    (13, "logging_collector", "off"),
    (13, "log_destination", "stderr"),
    (13, "wal_level", "replica"),
];

const HEAD: &str = "\
# Written by databasus-escrow for a rewound copy: nothing here archives, follows a primary, runs
# a program or loads a library. What the source had stands in postgresql.conf.source,
# postgresql.auto.conf.source and pg_hba.conf.source.
";

const HBA: &str = "\
# Only whoever may enter this directory reaches the socket in it.
local   all   all                  trust
host    all   all   127.0.0.1/32   scram-sha-256
host    all   all   ::1/128        scram-sha-256
";

/// Writes the configuration of a directory of `major` whose server needs at least `recorded`.
pub fn configure(
    data: &Path,
    owner: User,
    major: u32,
    recorded: &RecordedSettings,
    finished: Finished,
) -> Result<(), FileError> {
    let text = configuration(major, recorded, finished);
    for (name, text) in [
        ("postgresql.conf", text.as_str()),
        ("postgresql.auto.conf", ""),
        ("pg_hba.conf", HBA),
        ("pg_ident.conf", ""),
    ] {
        write(&data.join(name), text, owner)?;
    }
    Ok(())
}

/// Makes the directory's next start a recovery.
pub fn write_signal(data: &Path, owner: User) -> Result<(), FileError> {
    write(&data.join(recovery::SIGNAL), "", owner)
}

/// Replaces a file.
fn write(path: &Path, text: &str, owner: User) -> Result<(), FileError> {
    let _ = std::fs::remove_file(path);
    let mut file: File = ownership::new_file(path).map_err(failed("create", path))?;
    file.write_all(text.as_bytes())
        .map_err(failed("write", path))?;
    ownership::give(&file, owner).map_err(failed("give away", path))
}

fn configuration(major: u32, recorded: &RecordedSettings, finished: Finished) -> String {
    let known = FIXED.iter().filter(|(since, _, _)| *since <= major);
    let mut settings: Vec<(&str, String)> = known
        .map(|(_, name, value)| (*name, (*value).to_owned()))
        .collect();
    let number = |name, value: u32, least: u32| (name, value.max(least).to_string());
    settings.extend([
        number("max_connections", recorded.max_connections, 20),
        number("max_worker_processes", recorded.max_worker_processes, 8),
        number("max_wal_senders", recorded.max_wal_senders, 10),
        number(
            "max_prepared_transactions",
            recorded.max_prepared_transactions,
            0,
        ),
        number(
            "max_locks_per_transaction",
            recorded.max_locks_per_transaction,
            64,
        ),
    ]);
    let keeps = if recorded.track_commit_timestamp {
        "on"
    } else {
        "off"
    };
    settings.push(("track_commit_timestamp", keeps.to_owned()));
    match finished {
        Finished::Replayed => settings.push(("restore_command", String::new())),
        Finished::Prepared(recovery) => {
            // Everything is in pg_wal: nothing is to be had from anywhere else.
            settings.push(("restore_command", "false".to_owned()));
            settings.push(("hot_standby", "off".to_owned()));
            settings.extend(recovery.target_settings());
        }
    }
    let line = |(name, value): &(&str, String)| format!("{name} = {}\n", quoted(value));
    HEAD.chars()
        .chain(settings.iter().map(line).collect::<String>().chars())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::configuration::{Item, parse};
    use crate::postgres::recovery::RecoveryTarget;

    const RECORDED: RecordedSettings = RecordedSettings {
        max_connections: 500,
        max_worker_processes: 1,
        max_wal_senders: 0,
        max_prepared_transactions: 3,
        max_locks_per_transaction: 64,
        track_commit_timestamp: true,
    };

    fn value(text: &str, name: &str) -> Option<String> {
        parse(text).into_iter().find_map(|(_, item)| match item {
            Item::Setting { name: found, value } if found == name => Some(value),
            _ => None,
        })
    }

    #[test]
    fn recorded_sizes_are_kept_and_nothing_acts() {
        let text = configuration(17, &RECORDED, Finished::Replayed);
        for (name, expected) in [
            ("max_connections", "500"),
            ("max_worker_processes", "8"),
            ("max_prepared_transactions", "3"),
            ("track_commit_timestamp", "on"),
            ("archive_mode", "off"),
            ("max_logical_replication_workers", "0"),
            ("restore_command", ""),
        ] {
            assert_eq!(value(&text, name).as_deref(), Some(expected), "{name}");
        }
        assert!(
            parse(&text)
                .iter()
                .all(|(_, item)| *item != Item::Unreadable)
        );
        assert_eq!(
            value(
                &configuration(16, &RECORDED, Finished::Replayed),
                "sync_replication_slots"
            ),
            None
        );
    }

    #[test]
    fn a_prepared_directory_knows_where_to_stop() {
        let target = RecoveryTarget::Time("2026-11-23T03:09:58Z".parse().unwrap());
        let timeline = Some(2);
        let prepared = Finished::Prepared(Recovery { target, timeline });
        let text = configuration(17, &RECORDED, prepared);
        assert_eq!(value(&text, "restore_command").as_deref(), Some("false"));
        let time = value(&text, "recovery_target_time");
        assert_eq!(time.as_deref(), Some("2026-11-23 03:09:58.000000+00"));
        assert_eq!(
            value(&text, "recovery_target_timeline").as_deref(),
            Some("2")
        );
    }
}
