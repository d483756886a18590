//! The settings of a private server: nothing that a restored directory says may start a
//! program, load a library, open a socket or hide damage.
//!
//! `postgresql.conf` is not read, for the server gets a file of its own. `postgresql.auto.conf`
//! is read by every server; what stands on the command line overrides it. The settings of roles
//! and databases override the command line, so sessions bring theirs in the startup message,
//! which overrides those in turn (`GucSource` in PostgreSQL's `guc.h`).

use super::control_file::RecordedSettings;
use super::recovery::Recovery;

/// What a setting became one in, for those that not all releases know.
type Since = u32;

/// Overrides for the server as a whole.
const SERVER: &[(Since, &str, &str)] = &[
    // No way in but the private socket, no way out.
    (13, "listen_addresses", ""),
    (13, "unix_socket_group", ""),
    (13, "unix_socket_permissions", "0700"),
    (13, "port", "5432"),
    (13, "ssl", "off"),
    (13, "primary_conninfo", ""),
    (13, "primary_slot_name", ""),
    (13, "max_wal_senders", "0"),
    (13, "max_logical_replication_workers", "0"),
    (17, "sync_replication_slots", "off"),
    // No programs.
    (13, "archive_mode", "off"),
    (13, "archive_command", ""),
    (15, "archive_library", ""),
    (13, "restore_command", ""),
    (13, "archive_cleanup_command", ""),
    (13, "recovery_end_command", ""),
    (13, "ssl_passphrase_command", ""),
    // No libraries but PostgreSQL's own.
    (13, "shared_preload_libraries", ""),
    (13, "session_preload_libraries", ""),
    (13, "local_preload_libraries", ""),
    (13, "dynamic_library_path", "$libdir"),
    (18, "extension_control_path", "$system"),
    (18, "oauth_validator_libraries", ""),
    (13, "jit", "off"),
    (17, "event_triggers", "off"),
    // No files elsewhere, and a log that comes to us and repeats no statement.
    (13, "external_pid_file", ""),
    (13, "logging_collector", "off"),
    (13, "log_destination", "stderr"),
    (13, "log_statement", "none"),
    (13, "log_min_error_statement", "panic"),
    (13, "log_min_duration_statement", "-1"),
    (13, "log_min_duration_sample", "-1"),
    (13, "log_transaction_sample_rate", "0"),
    (13, "log_min_messages", "warning"),
    (13, "lc_messages", "C"),
    (13, "temp_tablespaces", ""),
    // Replay everything there is, stop nowhere on the way, wait for nobody.
    (13, "recovery_target", ""),
    (13, "recovery_target_lsn", ""),
    (13, "recovery_target_name", ""),
    (13, "recovery_target_time", ""),
    (13, "recovery_target_xid", ""),
    (13, "recovery_target_timeline", "latest"),
    (13, "hot_standby", "off"),
    (13, "synchronous_standby_names", ""),
    // Durable, and loud about damage.
    (13, "fsync", "on"),
    (13, "full_page_writes", "on"),
    (13, "synchronous_commit", "on"),
    (13, "wal_level", "replica"),
    (13, "ignore_checksum_failure", "off"),
    (13, "ignore_invalid_pages", "off"),
    (13, "ignore_system_indexes", "off"),
    (13, "zero_damaged_pages", "off"),
    (13, "data_sync_retry", "off"),
    (13, "restart_after_crash", "off"),
    (13, "allow_system_table_mods", "off"),
    // Nothing in the background that would change what is being looked at.
    (13, "autovacuum", "off"),
    (17, "summarize_wal", "off"),
    // Modest, whatever the machine that it comes from had.
    (13, "shared_buffers", "128MB"),
    (13, "huge_pages", "off"),
    (13, "max_replication_slots", "10"),
];

/// Overrides for each session.
const SESSION: &[(Since, &str, &str)] = &[
    (13, "session_preload_libraries", ""),
    (13, "local_preload_libraries", ""),
    (13, "dynamic_library_path", "$libdir"),
    (17, "event_triggers", "off"),
    (13, "jit", "off"),
    (13, "role", "none"),
    (13, "search_path", "public"),
    (13, "session_replication_role", "origin"),
    (13, "default_transaction_isolation", "read committed"),
    (13, "default_transaction_read_only", "off"),
    (13, "default_tablespace", ""),
    (13, "temp_tablespaces", ""),
    (13, "statement_timeout", "0"),
    (17, "transaction_timeout", "0"),
    (13, "lock_timeout", "0"),
    (13, "idle_in_transaction_session_timeout", "0"),
    (14, "idle_session_timeout", "0"),
    (13, "synchronous_commit", "on"),
    (13, "ignore_checksum_failure", "off"),
    (13, "ignore_system_indexes", "off"),
    (13, "zero_damaged_pages", "off"),
    (13, "log_min_messages", "fatal"),
    (13, "log_statement", "none"),
    (13, "standard_conforming_strings", "on"),
    (13, "bytea_output", "hex"),
    (13, "DateStyle", "ISO"),
    (13, "TimeZone", "UTC"),
    (13, "application_name", "databasus-escrow"),
];

/// Of these, what only a superuser may say in a startup message. The server's command line says the
/// same for everybody else.
const FOR_SUPERUSERS: &[&str] = &[
    "session_preload_libraries",
    "dynamic_library_path",
    "event_triggers",
    "session_replication_role",
    "ignore_checksum_failure",
    "zero_damaged_pages",
    "log_min_messages",
    "log_statement",
];

/// `name=value` for the command line of a server of `major` on a cluster that was last run
/// with `recorded`.
pub(super) fn server(major: u32, recorded: &RecordedSettings) -> Vec<String> {
    let fixed = known_to(major, SERVER).map(|(name, value)| format!("{name}={value}"));
    fixed.chain(recorded_settings(recorded)).collect()
}

/// The same for a server that recovers from an archive.
pub(super) fn recovering(
    major: u32,
    recorded: &RecordedSettings,
    recovery: &Recovery,
) -> Vec<String> {
    let told = recovery.settings(major);
    let is_told = |setting: &String| {
        let name = setting.split('=').next().unwrap_or_default();
        told.iter().any(|(told, _)| *told == name)
    };
    let mut settings = server(major, &with_room(recorded));
    settings.retain(|setting| !is_told(setting));
    // Behind the others: an empty target that comes later would take the place of the real one.
    settings.extend(told.iter().map(|(name, value)| format!("{name}={value}")));
    settings
}

/// The log may tell of a server that was given more since the backup began.
fn with_room(recorded: &RecordedSettings) -> RecordedSettings {
    RecordedSettings {
        max_connections: recorded.max_connections.max(200),
        max_prepared_transactions: recorded.max_prepared_transactions.max(200),
        ..*recorded
    }
}

/// Names and values for the startup message of a session on a server of `major`.
pub(super) fn session<'a>(major: u32) -> impl Iterator<Item = (&'a str, &'a str)> {
    known_to(major, SESSION)
}

/// The same for a session of somebody who is no superuser.
pub(super) fn session_of_anybody<'a>(major: u32) -> impl Iterator<Item = (&'a str, &'a str)> {
    session(major).filter(|(name, _)| !FOR_SUPERUSERS.contains(name))
}

fn known_to<'a>(
    major: u32,
    settings: &'static [(Since, &str, &str)],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    settings
        .iter()
        .filter(move |(since, _, _)| *since <= major)
        .map(|(_, name, value)| (*name, *value))
}

/// Replaying a log takes at least what the server that wrote it had; a server without
/// `track_commit_timestamp` would throw the recorded timestamps away.
fn recorded_settings(recorded: &RecordedSettings) -> [String; 5] {
    let at_least = |value: u32, least: u32| value.max(least);
    [
        format!("max_connections={}", at_least(recorded.max_connections, 20)),
        format!(
            "max_worker_processes={}",
            at_least(recorded.max_worker_processes, 8)
        ),
        format!(
            "max_prepared_transactions={}",
            recorded.max_prepared_transactions
        ),
        format!(
            "max_locks_per_transaction={}",
            at_least(recorded.max_locks_per_transaction, 64)
        ),
        format!(
            "track_commit_timestamp={}",
            if recorded.track_commit_timestamp {
                "on"
            } else {
                "off"
            }
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::lsn::Lsn;
    use crate::postgres::recovery::RecoveryTarget;

    const SMALL: RecordedSettings = RecordedSettings {
        max_connections: 1,
        max_worker_processes: 0,
        max_wal_senders: 10,
        max_prepared_transactions: 7,
        max_locks_per_transaction: 1000,
        track_commit_timestamp: true,
    };

    #[test]
    fn a_release_is_told_nothing_that_it_does_not_know() {
        let has = |major, name: &str| server(major, &SMALL).iter().any(|s| s.starts_with(name));
        assert!(has(17, "event_triggers=") && !has(16, "event_triggers="));
        assert!(has(15, "archive_library=") && !has(14, "archive_library="));
        assert!(!session(16).any(|(name, _)| name == "transaction_timeout"));
    }

    #[test]
    fn recorded_sizes_are_raised_to_what_a_server_needs_and_never_lowered() {
        let settings = server(17, &SMALL);
        for expected in [
            "max_connections=20",
            "max_worker_processes=8",
            "max_prepared_transactions=7",
            "max_locks_per_transaction=1000",
            "track_commit_timestamp=on",
        ] {
            assert!(
                settings.iter().any(|setting| setting == expected),
                "{expected}"
            );
        }
    }

    #[test]
    fn a_recovery_has_the_last_word_and_gives_no_setting_twice() {
        let target = RecoveryTarget::Lsn(Lsn(7));
        let timeline = None;
        let settings = recovering(17, &SMALL, &Recovery { target, timeline });
        let names = settings.iter().map(|s| s.split('=').next().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        let place = |start: &str| settings.iter().position(|s| s.starts_with(start)).unwrap();
        assert!(place("recovery_target_lsn=0/7") > place("recovery_target_time="));
        assert!(settings.contains(&"max_prepared_transactions=200".to_owned()));
    }

    #[test]
    fn what_only_superusers_may_say_is_a_setting_of_sessions() {
        let known: Vec<_> = SESSION.iter().map(|(_, name, _)| name).collect();
        assert!(FOR_SUPERUSERS.iter().all(|name| known.contains(&name)));
        assert_eq!(
            session_of_anybody(17).count() + FOR_SUPERUSERS.len(),
            session(17).count()
        );
    }

    #[test]
    fn no_setting_is_given_twice() {
        for settings in [SERVER, SESSION] {
            let mut names: Vec<_> = settings.iter().map(|(_, name, _)| name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
