//! The rules of the fence but for credentials (DATABASUS.md §5.4 and §4.8): which column gets
//! which value, which rows go, which work counts as ended.

use super::task::Task;
use crate::databasus::schema::Schema;

/// Up to which generation a rule has something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Its table or column is in the newest schema that was read.
    Now,
    /// Its table or column is gone since 3.43.
    V342,
}

/// What a column is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// A switch, off.
    Off,
    /// Nothing.
    Null,
    /// The time of the fence, where there was none.
    Now,
    /// A name that never resolves.
    NoHost,
}

/// A column that gets another value. Every original is kept and can be given back.
#[derive(Clone, Copy, Debug)]
pub struct SetRule {
    /// The table.
    pub table: &'static str,
    /// The column that names a row of it.
    pub key: &'static str,
    /// The column.
    pub column: &'static str,
    /// Its new value.
    pub to: To,
    /// What this helps to stop.
    pub stops: &'static [Task],
    /// Whether the newest schema still has it.
    pub until: Until,
}

/// A table whose rows go; they are kept beside.
#[derive(Clone, Copy, Debug)]
pub struct RemoveRule {
    /// The table.
    pub table: &'static str,
    /// Whether its rows describe work in progress and must never come back.
    pub is_work: bool,
    /// What a row that comes back links: all of it must be there.
    pub links: &'static [Link],
    /// What this helps to stop.
    pub stops: &'static [Task],
}

/// A column that names a row of another table by its `id`.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The column.
    pub column: &'static str,
    /// The other table.
    pub table: &'static str,
}

/// Rows that say that something is going on, which in a copy nothing is. The whole row is kept;
/// it never comes back.
#[derive(Clone, Copy, Debug)]
pub struct EndRule {
    /// The table; its state is in column `status`.
    pub table: &'static str,
    /// The states that go on.
    pub going_on: &'static [&'static str],
    /// Columns and their new values in SQL; those that a schema lacks are left out.
    pub ended: &'static [(&'static str, &'static str)],
    /// What this helps to stop.
    pub stops: &'static [Task],
    /// Whether the newest schema still has it.
    pub until: Until,
}

use Task::{
    BootRecovery, Downloads, HealthChecks, LogicalRetention, LogicalSchedule, ManualRuns,
    Notifications, PhysicalRetention, PhysicalSchedule, Restores, Retries, SlotCleanup,
    StaleUploads, Tunnels, Verification, VerificationAgents, WalAgents, WalStream,
};

const fn set(
    table: &'static str,
    key: &'static str,
    column: &'static str,
    to: To,
    stops: &'static [Task],
) -> SetRule {
    SetRule {
        table,
        key,
        column,
        to,
        stops,
        until: Until::Now,
    }
}

const fn old(rule: SetRule) -> SetRule {
    SetRule {
        until: Until::V342,
        ..rule
    }
}

const fn host(table: &'static str, stops: &'static [Task]) -> SetRule {
    set(table, "id", "host", To::NoHost, stops)
}

const fn tunnel(table: &'static str) -> SetRule {
    set(table, "id", "ssh_is_enabled", To::Off, &[Tunnels])
}

const fn bastion(table: &'static str) -> SetRule {
    set(table, "id", "ssh_host", To::NoHost, &[Tunnels])
}

const LOGICAL: &[Task] = &[LogicalSchedule, LogicalRetention];
const LOGICAL_SOURCE: &[Task] = &[LogicalSchedule, HealthChecks, ManualRuns];
const PHYSICAL: &[Task] = &[PhysicalSchedule, PhysicalRetention, WalStream];
const PHYSICAL_SOURCE: &[Task] = &[
    PhysicalSchedule,
    SlotCleanup,
    WalStream,
    HealthChecks,
    ManualRuns,
];

/// Every column that is set. `storage_id` of a configuration is not: without it a restore in
/// the application never ends (§4.7).
pub const SET: &[SetRule] = &[
    old(set(
        "backup_configs",
        "database_id",
        "is_backups_enabled",
        To::Off,
        LOGICAL,
    )),
    set(
        "logical_backup_configs",
        "database_id",
        "is_backups_enabled",
        To::Off,
        LOGICAL,
    ),
    old(set(
        "backup_configs",
        "database_id",
        "is_retry_if_failed",
        To::Off,
        &[Retries],
    )),
    set(
        "logical_backup_configs",
        "database_id",
        "is_retry_if_failed",
        To::Off,
        &[Retries],
    ),
    set(
        "physical_backup_configs",
        "database_id",
        "is_backups_enabled",
        To::Off,
        PHYSICAL,
    ),
    set(
        "physical_backup_configs",
        "database_id",
        "force_full_requested_at",
        To::Null,
        PHYSICAL,
    ),
    set(
        "physical_backup_configs",
        "database_id",
        "force_incremental_requested_at",
        To::Null,
        PHYSICAL,
    ),
    set(
        "healthcheck_configs",
        "database_id",
        "is_healthcheck_enabled",
        To::Off,
        &[HealthChecks],
    ),
    set(
        "backup_verification_configs",
        "database_id",
        "is_scheduled_verification_enabled",
        To::Off,
        &[Verification],
    ),
    set(
        "verification_agents",
        "id",
        "deleted_at",
        To::Now,
        &[VerificationAgents],
    ),
    old(set(
        "databases",
        "id",
        "agent_token",
        To::Null,
        &[WalAgents],
    )),
    old(set(
        "databases",
        "id",
        "is_agent_token_generated",
        To::Off,
        &[WalAgents],
    )),
    old(host("postgresql_databases", LOGICAL_SOURCE)),
    host("postgresql_logical_databases", LOGICAL_SOURCE),
    host("postgresql_physical_databases", PHYSICAL_SOURCE),
    host("mysql_databases", LOGICAL_SOURCE),
    host("mariadb_databases", LOGICAL_SOURCE),
    host("mongodb_databases", LOGICAL_SOURCE),
    tunnel("postgresql_logical_databases"),
    tunnel("postgresql_physical_databases"),
    tunnel("mysql_databases"),
    tunnel("mariadb_databases"),
    tunnel("mongodb_databases"),
    bastion("postgresql_logical_databases"),
    bastion("postgresql_physical_databases"),
    bastion("mysql_databases"),
    bastion("mariadb_databases"),
    bastion("mongodb_databases"),
];

/// Every table that is emptied.
pub const REMOVE: &[RemoveRule] = &[
    RemoveRule {
        table: "database_notifiers",
        is_work: false,
        links: &[
            Link {
                column: "database_id",
                table: "databases",
            },
            Link {
                column: "notifier_id",
                table: "notifiers",
            },
        ],
        stops: &[BootRecovery, Notifications],
    },
    RemoveRule {
        table: "download_tokens",
        is_work: true,
        links: &[],
        stops: &[Downloads],
    },
    RemoveRule {
        table: "physical_in_flight_backups",
        is_work: true,
        links: &[],
        stops: &[PhysicalSchedule],
    },
    RemoveRule {
        table: "physical_wal_streamers",
        is_work: true,
        links: &[],
        stops: &[WalStream],
    },
];

/// Every kind of work that is ended, as Databasus itself would end it at its start.
pub const END: &[EndRule] = &[
    EndRule {
        table: "backups",
        going_on: &["IN_PROGRESS"],
        ended: &[("status", "'FAILED'"), ("is_skip_retry", "true")],
        stops: &[BootRecovery, Retries, StaleUploads],
        until: Until::V342,
    },
    EndRule {
        table: "logical_backups",
        going_on: &["IN_PROGRESS"],
        ended: &[("status", "'FAILED'"), ("is_skip_retry", "true")],
        stops: &[BootRecovery, Retries],
        until: Until::Now,
    },
    EndRule {
        table: "physical_full_backups",
        going_on: &["IN_PROGRESS"],
        ended: PHYSICAL_ENDED,
        stops: &[PhysicalSchedule],
        until: Until::Now,
    },
    EndRule {
        table: "physical_incremental_backups",
        going_on: &["IN_PROGRESS"],
        ended: PHYSICAL_ENDED,
        stops: &[PhysicalSchedule],
        until: Until::Now,
    },
    EndRule {
        table: "restores",
        going_on: &["IN_PROGRESS"],
        ended: &[("status", "'FAILED'")],
        stops: &[Restores],
        until: Until::Now,
    },
    EndRule {
        table: "restore_verifications",
        going_on: &["PENDING", "RUNNING"],
        ended: &[("status", "'CANCELED'")],
        stops: &[Verification],
        until: Until::Now,
    },
];

const PHYSICAL_ENDED: &[(&str, &str)] = &[
    ("status", "'ERROR'"),
    ("error_reason", "'APPLICATION_RESTART'"),
];

impl SetRule {
    /// Whether a schema has what it changes, and a way to name the row.
    pub fn fits(&self, schema: &Schema) -> bool {
        schema.has(self.table, self.column) && schema.has(self.table, self.key)
    }
}

impl EndRule {
    /// Whether a schema has what it changes.
    pub fn fits(&self, schema: &Schema) -> bool {
        schema.has(self.table, "status")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_column_is_set_twice() {
        let all: BTreeSet<_> = SET.iter().map(|rule| (rule.table, rule.column)).collect();
        assert_eq!(all.len(), SET.len());
    }

    /// Those without a rule are harmless for another reason, which the task itself tells.
    #[test]
    fn every_task_that_rows_can_stop_has_a_rule() {
        let set = SET.iter().flat_map(|rule| rule.stops);
        let removed = REMOVE.iter().flat_map(|rule| rule.stops);
        let ended = END.iter().flat_map(|rule| rule.stops);
        let stopped: BTreeSet<Task> = set.chain(removed).chain(ended).copied().collect();
        let left: Vec<Task> = Task::ALL
            .into_iter()
            .filter(|task| !stopped.contains(task))
            .collect();
        let expected = [
            Task::UserDeletions,
            Task::LegacyKeys,
            Task::Housekeeping,
            Task::Migrations,
            Task::Telemetry,
        ];
        assert_eq!(left, expected);
    }
}
