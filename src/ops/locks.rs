//! Locks on what was written: read back, and compared with what was asked for. That a store took
//! a lock proves nothing.

use crate::base::names::StoreName;
use crate::base::time::UtcTime;
use crate::model::finding::Finding;
use crate::model::lock::{Lock, LockRecord, LockState};
use crate::model::manifest::StoreRecord;
use crate::store::{Store, StoreErrorKind};

/// What a store says of the lock on a version; of the current one where none is named. What cannot
/// be asked is unknown.
pub fn read_back(store: &dyn Store, key: &str, version_id: Option<&str>) -> LockState {
    let current = || store.head(key).ok()?.version_id;
    let Some(versions) = store.versions() else {
        return LockState::Unknown;
    };
    let Some(id) = version_id.map(str::to_owned).or_else(current) else {
        return LockState::Unknown;
    };
    let head = versions.head_version(key, &id);
    head.map_or(LockState::Unknown, |head| head.lock)
}

/// Whether the store says that the version of a record is no longer there.
pub fn is_gone(store: &dyn Store, record: &StoreRecord) -> bool {
    let (Some(versions), Some(id)) = (store.versions(), &record.version_id) else {
        return false;
    };
    let head = versions.head_version(&record.key, id);
    head.is_err_and(|error| error.kind == StoreErrorKind::NotFound)
}

/// What is to be told where a lock is less than what was asked for.
pub fn shortfall(store: &StoreName, what: &str, asked: Lock, found: LockState) -> Option<Finding> {
    let is = match found {
        LockState::Locked(lock) if lock.is_at_least(&asked) => return None,
        LockState::Locked(lock) => format!("is locked {lock}"),
        LockState::Unlocked => "is not locked".to_owned(),
        LockState::Unknown => {
            return Some(Finding::warning(
                "lock-unknown",
                format!("store {store} does not tell whether {what} is locked {asked}"),
            ));
        }
    };
    Some(Finding::warning(
        "lock-weaker",
        format!("store {store}: {what} {is}; asked for was {asked}"),
    ))
}

/// What became of a lock that a manifest recorded, as long as it should hold.
pub fn weakened(
    store: &StoreName,
    recorded: &LockRecord,
    found: LockState,
    now: UtcTime,
) -> Option<Finding> {
    let LockState::Locked(then) = recorded.state() else {
        return None;
    };
    if then.until <= now {
        return None;
    }
    let told = match found {
        LockState::Locked(lock) if lock.is_at_least(&then) => return None,
        LockState::Locked(lock) => format!("its lock is now {lock}"),
        LockState::Unlocked => "it is no longer locked".to_owned(),
        LockState::Unknown => {
            let message = format!("store {store}: it is not told whether the copy is still locked");
            return Some(Finding::warning("lock-unknown", message));
        }
    };
    let message = format!("store {store}: the copy was locked {then}, and {told}");
    Some(Finding::violation("lock-weakened", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lock::LockMode;

    fn lock(mode: LockMode, until: i64) -> Lock {
        Lock {
            mode,
            until: UtcTime::from_unix(until),
        }
    }

    fn id(finding: Option<Finding>) -> &'static str {
        finding.map_or("", |finding| finding.id)
    }

    #[test]
    fn lock_that_is_less_than_asked_is_told() {
        use LockMode::{Compliance, Governance};
        let name: StoreName = "lat".parse().unwrap();
        let asked = lock(Compliance, 1_000);
        let told = |found| id(shortfall(&name, "the payload", asked, found));
        assert_eq!(told(LockState::Locked(asked)), "");
        assert_eq!(told(LockState::Locked(lock(Compliance, 2_000))), "");
        assert_eq!(
            told(LockState::Locked(lock(Governance, 2_000))),
            "lock-weaker"
        );
        assert_eq!(
            told(LockState::Locked(lock(Compliance, 999))),
            "lock-weaker"
        );
        assert_eq!(told(LockState::Unlocked), "lock-weaker");
        assert_eq!(told(LockState::Unknown), "lock-unknown");
    }

    #[test]
    fn lock_that_was_recorded_and_is_gone_is_a_violation_until_its_date() {
        let name: StoreName = "lat".parse().unwrap();
        let then = UtcTime::from_unix(500);
        let recorded = LockState::Locked(lock(LockMode::Compliance, 1_000));
        let record = LockRecord::read_back(recorded, then);
        let told = |found, now| id(weakened(&name, &record, found, UtcTime::from_unix(now)));
        assert_eq!(told(recorded, 600), "");
        assert_eq!(told(LockState::Unlocked, 600), "lock-weakened");
        assert_eq!(told(LockState::Unknown, 600), "lock-unknown");
        assert_eq!(told(LockState::Unlocked, 1_000), "");
        let never = LockRecord::read_back(LockState::Unknown, then);
        let now = UtcTime::from_unix(600);
        assert_eq!(id(weakened(&name, &never, LockState::Unlocked, now)), "");
    }
}
