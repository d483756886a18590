//! What a caller means to do in a store.

/// What a command needs of its stores, each right with those before it.
///
/// Where credentials can be narrowed for one run (the temporary ones of R2), they are: to this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Reading and listing.
    Read,
    /// Writing too, in parts as well, and giving up what was begun.
    Write,
    /// Deleting too.
    Delete,
}

impl Rights {
    /// Of a job that deletes, or only tells what it would delete.
    pub fn to_delete(dry_run: bool) -> Self {
        match dry_run {
            true => Self::Read,
            false => Self::Delete,
        }
    }
}
