//! The filesystem said no: what was tried, on what, and why not.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the filesystem with the path it is about, which the system leaves out.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried: `open`, `sync`, …
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// For `map_err`: the error of having tried `action` on `path`.
pub fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error_chain::error_chain;

    #[test]
    fn it_says_what_was_tried_on_what_and_why_not() {
        let error = failed("open", Path::new("/a b"))(io::ErrorKind::NotFound.into());
        assert_eq!(error_chain(&error), "cannot open /a b: entity not found");
    }
}
