//! Object Lock as the SDK writes it, and what a bucket says of its own rules.

use aws_sdk_s3::operation::get_object_lock_configuration::GetObjectLockConfigurationOutput;
use aws_sdk_s3::operation::get_object_retention::GetObjectRetentionOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    BucketVersioningStatus, DefaultRetention, ObjectLockEnabled, ObjectLockLegalHoldStatus,
    ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
};

use super::Shared;
use crate::base::time::UtcTime;
use crate::model::lock::{Lock, LockMode, LockState};
use crate::store::versions::{DefaultLock, ObjectLock, Versioning};
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn mode_of(lock: Lock) -> ObjectLockMode {
    ObjectLockMode::from(lock.mode.as_str())
}

pub(super) fn date_of(lock: Lock) -> DateTime {
    DateTime::from_secs(lock.until.unix())
}

pub(super) fn retention_of(lock: Lock) -> ObjectLockRetention {
    ObjectLockRetention::builder()
        .mode(ObjectLockRetentionMode::from(lock.mode.as_str()))
        .retain_until_date(date_of(lock))
        .build()
}

impl Shared {
    /// The lock on a version. A HEAD leaves it out where the caller may not see it, so what it
    /// does not tell is asked for by name: only that question has "no" for an answer.
    pub(super) fn lock_state(&self, key: &str, id: &str, head: &HeadObjectOutput) -> LockState {
        let told = lock(
            head.object_lock_mode().map(ObjectLockMode::as_str),
            head.object_lock_retain_until_date(),
        );
        if let Some(lock) = told {
            return LockState::Locked(lock);
        }
        let request = self.client().get_object_retention();
        let request = request
            .bucket(&self.settings.bucket)
            .key(self.full(key))
            .version_id(id);
        match self.call("get lock of version of", key, request.send()) {
            Ok(answer) => retention(&answer),
            Err(error) if is_told_absent(&error) => LockState::Unlocked,
            Err(_) => LockState::Unknown,
        }
    }

    pub(super) fn versioning(&self) -> Result<Versioning, StoreError> {
        let request = self.client().get_bucket_versioning();
        let request = request.bucket(&self.settings.bucket);
        let answer = match self.call("get versioning of", "", request.send()) {
            Ok(answer) => answer,
            Err(error) if is_closed(&error) => return Ok(Versioning::Unknown),
            Err(error) => return Err(error),
        };
        Ok(match answer.status() {
            Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
            Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
            Some(_) => Versioning::Unknown,
            None => Versioning::Never,
        })
    }

    pub(super) fn object_lock(&self) -> Result<ObjectLock, StoreError> {
        let request = self.client().get_object_lock_configuration();
        let request = request.bucket(&self.settings.bucket);
        match self.call("get lock rules of", "", request.send()) {
            Ok(answer) => Ok(object_lock(&answer)),
            Err(error) if is_told_absent(&error) => Ok(ObjectLock::Disabled),
            Err(error) if is_closed(&error) => Ok(ObjectLock::Unknown),
            Err(error) => Err(error),
        }
    }
}

/// Whether the service said that there is no such thing, rather than nothing.
fn is_told_absent(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::NotFound
}

/// Whether the question may not, or cannot, be asked here.
fn is_closed(error: &StoreError) -> bool {
    use StoreErrorKind::{Denied, Unsupported};
    matches!(error.kind, Denied | Unsupported)
}

pub(super) fn legal_hold(head: &HeadObjectOutput) -> Option<bool> {
    match head.object_lock_legal_hold_status()? {
        ObjectLockLegalHoldStatus::On => Some(true),
        ObjectLockLegalHoldStatus::Off => Some(false),
        _ => None,
    }
}

fn lock(mode: Option<&str>, until: Option<&DateTime>) -> Option<Lock> {
    Some(Lock {
        mode: mode_named(mode?)?,
        until: UtcTime::from_unix(until?.secs()),
    })
}

fn mode_named(name: &str) -> Option<LockMode> {
    let modes = [LockMode::Governance, LockMode::Compliance];
    modes.into_iter().find(|mode| mode.as_str() == name)
}

fn retention(answer: &GetObjectRetentionOutput) -> LockState {
    let Some(retention) = answer.retention() else {
        return LockState::Unlocked;
    };
    let told = lock(
        retention.mode().map(ObjectLockRetentionMode::as_str),
        retention.retain_until_date(),
    );
    match (told, retention.mode()) {
        (Some(lock), _) => LockState::Locked(lock),
        (None, None) => LockState::Unlocked,
        (None, Some(_)) => LockState::Unknown,
    }
}

fn object_lock(answer: &GetObjectLockConfigurationOutput) -> ObjectLock {
    let Some(rules) = answer.object_lock_configuration() else {
        return ObjectLock::Unknown;
    };
    match rules.object_lock_enabled() {
        Some(ObjectLockEnabled::Enabled) => ObjectLock::Enabled {
            default: rules
                .rule()
                .and_then(|rule| rule.default_retention())
                .and_then(default_lock),
        },
        Some(_) => ObjectLock::Unknown,
        None => ObjectLock::Disabled,
    }
}

/// S3 counts a default in days or in years; 365 days are less than any year.
fn default_lock(rule: &DefaultRetention) -> Option<DefaultLock> {
    let years = rule.years().and_then(|years| years.checked_mul(365));
    Some(DefaultLock {
        mode: mode_named(rule.mode()?.as_str())?,
        days: rule.days().or(years)?.try_into().ok()?,
    })
}
