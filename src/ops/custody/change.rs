//! Custodians who join and leave: the recipients file, replaced in one step.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::base::file_error::{FileError, failed};

/// Puts `text` in the place of a file, durably, with the mode that it had. At every moment the file
/// is the old one or the new one.
pub fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mode = std::fs::metadata(path).map_err(failed("read", path))?;
    let mode = mode.permissions().mode() & 0o777;
    let mut beside = tempfile::NamedTempFile::new_in(folder).map_err(failed("write", path))?;
    beside
        .write_all(text.as_bytes())
        .and_then(|()| {
            let permissions = std::fs::Permissions::from_mode(mode);
            beside.as_file().set_permissions(permissions)
        })
        .and_then(|()| beside.as_file().sync_all())
        .map_err(failed("write", path))?;
    beside
        .persist(path)
        .map_err(|error| failed("write", path)(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipients.toml");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
