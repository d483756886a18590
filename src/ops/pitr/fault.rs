//! What a failure says of what is stored.

use std::io;

use crate::ops::backup_object::BackupObjectError;

/// Whether it is the stored backup that is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No key opens it.
    NoKey,
    /// It is damaged, missing, or something else than it should be.
    Damaged,
    /// It is not: the storage or this host failed, or a signal arrived.
    Elsewhere,
}

impl Fault {
    /// Of an object that could not be read.
    pub fn of_object(error: &BackupObjectError) -> Self {
        match error {
            BackupObjectError::Store(_) => Self::Elsewhere,
            _ => Self::Damaged,
        }
    }

    /// Of a stream that broke off: what cannot be read is damaged, unless its cause is the
    /// storage's.
    pub fn of_reading(error: &io::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> =
            error.get_ref().map(|inner| inner as _);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<BackupObjectError>() {
                return Self::of_object(error);
            }
            cause = error.source();
        }
        Self::Damaged
    }
}
