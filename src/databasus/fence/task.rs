//! What Databasus does of itself, or at somebody's request, that could reach production
//! (DATABASUS.md §5), and why the fence makes it harmless.

/// One of Databasus' tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// At its start: unfinished logical backups become failed, with a notification each.
    BootRecovery,
    /// Logical backups when their time has come; on a stale clone that is at once, all together.
    LogicalSchedule,
    /// Logical backups that failed, again.
    Retries,
    /// Deleting what logical retention does not keep, objects included.
    LogicalRetention,
    /// Deleting base backups whose upload stalled (3.17 to 3.42), switched off or not.
    StaleUploads,
    /// Physical backups on schedule and on request, and their recovery at the start.
    PhysicalSchedule,
    /// At its start: dropping replication slots on every physical source, switched off or not.
    SlotCleanup,
    /// Deleting what physical retention does not keep, and WAL without a base.
    PhysicalRetention,
    /// Streaming WAL, creating and dropping slots, ending the other instance's stream.
    WalStream,
    /// Connecting to sources every minute.
    HealthChecks,
    /// Telling people about all of the above.
    Notifications,
    /// Marking unfinished restores as failed.
    Restores,
    /// Restore verifications, scheduled and pending.
    Verification,
    /// Verification agents asking for work.
    VerificationAgents,
    /// Agents pushing base backups and WAL (3.17 to 3.42).
    WalAgents,
    /// Dialling bastions, whatever the source's host says.
    Tunnels,
    /// Backups, restores and connection tests that somebody starts.
    ManualRuns,
    /// Deletions that somebody asks for, in the page or over the API.
    UserDeletions,
    /// Downloads with a link made before.
    Downloads,
    /// At its start: a row of `secret_keys` is written over `secret.key`.
    LegacyKeys,
    /// Wiping its temporary folder and cache, trimming its audit log.
    Housekeeping,
    /// At its start: migrations, which lead forward only.
    Migrations,
    /// Reporting to the makers of Databasus.
    Telemetry,
}

impl Task {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 23] = [
        Self::BootRecovery,
        Self::LogicalSchedule,
        Self::Retries,
        Self::LogicalRetention,
        Self::StaleUploads,
        Self::PhysicalSchedule,
        Self::SlotCleanup,
        Self::PhysicalRetention,
        Self::WalStream,
        Self::HealthChecks,
        Self::Notifications,
        Self::Restores,
        Self::Verification,
        Self::VerificationAgents,
        Self::WalAgents,
        Self::Tunnels,
        Self::ManualRuns,
        Self::UserDeletions,
        Self::Downloads,
        Self::LegacyKeys,
        Self::Housekeeping,
        Self::Migrations,
        Self::Telemetry,
    ];

    /// What it does, in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Self::BootRecovery => "failing unfinished backups at the start",
            Self::LogicalSchedule => "scheduled logical backups",
            Self::Retries => "retries of failed backups",
            Self::LogicalRetention => "logical retention",
            Self::StaleUploads => "deleting stalled base backups",
            Self::PhysicalSchedule => "scheduled physical backups",
            Self::SlotCleanup => "dropping replication slots at the start",
            Self::PhysicalRetention => "physical retention and orphan WAL",
            Self::WalStream => "WAL streaming",
            Self::HealthChecks => "health checks of sources",
            Self::Notifications => "notifications",
            Self::Restores => "failing unfinished restores at the start",
            Self::Verification => "restore verifications",
            Self::VerificationAgents => "verification agents",
            Self::WalAgents => "agents that push WAL",
            Self::Tunnels => "SSH tunnels",
            Self::ManualRuns => "backups and restores by hand",
            Self::UserDeletions => "deletions in the page and over the API",
            Self::Downloads => "download links",
            Self::LegacyKeys => "keys kept in the database",
            Self::Housekeeping => "housekeeping",
            Self::Migrations => "migrations at the start",
            Self::Telemetry => "telemetry",
        }
    }

    /// Why it can do nothing to production once its rules are applied.
    pub fn because(self) -> &'static str {
        match self {
            Self::BootRecovery => "no backup is in progress, and no notifier is linked",
            Self::LogicalSchedule | Self::PhysicalSchedule => {
                "every schedule is off, no run is requested, and no source's host resolves"
            }
            Self::Retries => "retries are off, and what was running is not to be tried again",
            Self::LogicalRetention => "it works for enabled databases, and none is",
            Self::StaleUploads => "it looks at backups in progress, and there is none",
            Self::SlotCleanup => "it cannot be switched off, but no source's host resolves",
            Self::PhysicalRetention => "it works for enabled databases, and none is",
            Self::WalStream => {
                "no database is enabled, no streamer is on record, no source's host resolves; \
                 an escrow holds no wal-queue to upload"
            }
            Self::HealthChecks => "every health check is off, and no source's host resolves",
            Self::Notifications => "all recipients are links to notifiers, and none is left",
            Self::Restores => "no restore is in progress",
            Self::Verification => "schedules are off, and no run is pending",
            Self::VerificationAgents => "every agent counts as removed",
            Self::WalAgents => "no agent's token is accepted",
            Self::Tunnels => "every tunnel is off, and no bastion's host resolves",
            Self::ManualRuns => "no source's host resolves",
            Self::UserDeletions => "the storages' credentials cannot delete",
            Self::Downloads => "every link made before is void",
            Self::LegacyKeys => "the table is empty",
            Self::Housekeeping => "it changes this copy alone",
            Self::Migrations => "start the recorded image, as the start instructions do",
            Self::Telemetry => {
                "the start instructions set IS_DISABLE_ANONYMOUS_TELEMETRY; no row can"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_told_once_in_one_order() {
        assert!(Task::ALL.is_sorted_by(|one, next| one < next));
        assert_eq!(Task::ALL.first(), Some(&Task::BootRecovery));
        assert_eq!(Task::ALL.len(), Task::Telemetry as usize + 1);
    }
}
