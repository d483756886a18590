//! What stands in a directory's files: settings, signals and slots. Nothing of it is left for a
//! server to read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::mask;
use super::{Armed, Kind, Now};
use crate::base::file_error::{FileError, failed};
use crate::base::text::{printable, shortened};
use crate::postgres::configuration::{self, Directive, Item};

/// The files that a server reads first, in order: later ones prevail.
const READ_FIRST: [&str; 2] = ["postgresql.conf", "postgresql.auto.conf"];

/// All that is put aside for reading, as `NAME.source`.
const PUT_ASIDE: [&str; 5] = [
    "postgresql.conf",
    "postgresql.auto.conf",
    "pg_hba.conf",
    "pg_ident.conf",
    // No server since 12 starts beside it.
    "recovery.conf",
];

/// Files that change how a server starts.
const SIGNALS: [&str; 5] = [
    "standby.signal",
    "recovery.signal",
    "promote",
    "recovery.conf",
    "tablespace_map",
];

/// What a server that runs has, and a copy of one may.
const TRACES: [&str; 2] = ["postmaster.pid", "postmaster.opts"];

/// How deep includes may be nested (`CONF_FILE_MAX_DEPTH`), and how many files are read.
const MAX_DEPTH: usize = 10;
const MAX_FILES: usize = 1000;

/// The largest file of settings that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// How much a setting matters.
#[derive(Clone, Copy)]
enum Rule {
    /// Whatever it says.
    Unless(&'static [&'static str]),
    /// If it names a place outside of the directory.
    Outside,
}

/// Settings that can make a server act, and the values with which they do not.
const SETTINGS: &[(&str, Kind, Rule)] = &[
    (
        "archive_mode",
        Kind::Archiving,
        Rule::Unless(&["off", "false", "no", "0"]),
    ),
    ("archive_command", Kind::Archiving, Rule::Unless(&[""])),
    ("archive_library", Kind::Archiving, Rule::Unless(&[""])),
    ("restore_command", Kind::Command, Rule::Unless(&[""])),
    (
        "archive_cleanup_command",
        Kind::Command,
        Rule::Unless(&[""]),
    ),
    ("recovery_end_command", Kind::Command, Rule::Unless(&[""])),
    ("ssl_passphrase_command", Kind::Command, Rule::Unless(&[""])),
    ("primary_conninfo", Kind::Replication, Rule::Unless(&[""])),
    ("primary_slot_name", Kind::Replication, Rule::Unless(&[""])),
    (
        "promote_trigger_file",
        Kind::Replication,
        Rule::Unless(&[""]),
    ),
    (
        "synchronous_standby_names",
        Kind::Replication,
        Rule::Unless(&[""]),
    ),
    (
        "synchronized_standby_slots",
        Kind::Replication,
        Rule::Unless(&[""]),
    ),
    (
        "sync_replication_slots",
        Kind::Replication,
        Rule::Unless(&["off", "false", "no", "0"]),
    ),
    (
        "shared_preload_libraries",
        Kind::Library,
        Rule::Unless(&[""]),
    ),
    (
        "session_preload_libraries",
        Kind::Library,
        Rule::Unless(&[""]),
    ),
    (
        "local_preload_libraries",
        Kind::Library,
        Rule::Unless(&[""]),
    ),
    (
        "dynamic_library_path",
        Kind::Library,
        Rule::Unless(&["", "$libdir"]),
    ),
    (
        "extension_control_path",
        Kind::Library,
        Rule::Unless(&["", "$system"]),
    ),
    (
        "oauth_validator_libraries",
        Kind::Library,
        Rule::Unless(&[""]),
    ),
    (
        "jit_provider",
        Kind::Library,
        Rule::Unless(&["", "llvmjit"]),
    ),
    ("recovery_target", Kind::RecoveryTarget, Rule::Unless(&[""])),
    (
        "recovery_target_action",
        Kind::RecoveryTarget,
        Rule::Unless(&["", "pause"]),
    ),
    (
        "recovery_target_inclusive",
        Kind::RecoveryTarget,
        Rule::Unless(&["", "on"]),
    ),
    (
        "recovery_target_lsn",
        Kind::RecoveryTarget,
        Rule::Unless(&[""]),
    ),
    (
        "recovery_target_name",
        Kind::RecoveryTarget,
        Rule::Unless(&[""]),
    ),
    (
        "recovery_target_time",
        Kind::RecoveryTarget,
        Rule::Unless(&[""]),
    ),
    (
        "recovery_target_timeline",
        Kind::RecoveryTarget,
        Rule::Unless(&["", "latest"]),
    ),
    (
        "recovery_target_xid",
        Kind::RecoveryTarget,
        Rule::Unless(&[""]),
    ),
    (
        "listen_addresses",
        Kind::Listening,
        Rule::Unless(&["", "localhost", "127.0.0.1"]),
    ),
    (
        "ssl",
        Kind::Listening,
        Rule::Unless(&["off", "false", "no", "0"]),
    ),
    ("data_directory", Kind::FileOutside, Rule::Outside),
    ("hba_file", Kind::FileOutside, Rule::Outside),
    ("ident_file", Kind::FileOutside, Rule::Outside),
    ("external_pid_file", Kind::FileOutside, Rule::Outside),
    ("unix_socket_directories", Kind::FileOutside, Rule::Outside),
    ("log_directory", Kind::FileOutside, Rule::Outside),
    ("stats_temp_directory", Kind::FileOutside, Rule::Outside),
    ("krb_server_keyfile", Kind::FileOutside, Rule::Outside),
    ("ssl_ca_file", Kind::FileOutside, Rule::Outside),
    ("ssl_cert_file", Kind::FileOutside, Rule::Outside),
    ("ssl_crl_dir", Kind::FileOutside, Rule::Outside),
    ("ssl_crl_file", Kind::FileOutside, Rule::Outside),
    ("ssl_dh_params_file", Kind::FileOutside, Rule::Outside),
    ("ssl_key_file", Kind::FileOutside, Rule::Outside),
];

/// Takes everything out of a stopped directory's files that could act: the source's settings are
/// put aside, signal files and slots are removed. Tells what it was.
pub fn files(data: &Path) -> Result<Vec<Armed>, FileError> {
    let mut armed = Settings::read(data)?.armed;
    for name in SIGNALS {
        if exists(&data.join(name)) {
            armed.push(removed(Kind::SignalFile, name, name));
        }
    }
    armed.extend(remove_slots(data)?);
    for name in PUT_ASIDE {
        put_aside(data, name)?;
    }
    for name in SIGNALS.iter().chain(&TRACES) {
        let path = data.join(name);
        remove_if_there(&path).map_err(failed("remove", &path))?;
    }
    Ok(armed)
}

fn removed(kind: Kind, name: &str, place: &str) -> Armed {
    Armed {
        kind,
        name: printable(name).into_owned(),
        value: String::new(),
        place: printable(place).into_owned(),
        now: Now::Removed,
        note: None,
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn put_aside(data: &Path, name: &str) -> Result<(), FileError> {
    let path = data.join(name);
    match fs::rename(&path, data.join(format!("{name}.source"))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("rename", &path)),
    }
}

/// A slot would keep WAL for ever for somebody who never comes.
fn remove_slots(data: &Path) -> Result<Vec<Armed>, FileError> {
    let folder = data.join("pg_replslot");
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("list", &folder))?,
    };
    let mut slots = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", &folder))?;
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let gone = match is_folder {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        gone.map_err(failed("remove", &path))?;
        let name = entry.file_name();
        slots.push(removed(Kind::Slot, &name.to_string_lossy(), "pg_replslot"));
    }
    Ok(slots)
}

/// The settings of a directory, read as its server would.
struct Settings<'a> {
    data: &'a Path,
    armed: Vec<Armed>,
    /// The value that prevails, and where it stands.
    values: BTreeMap<String, (String, String)>,
    files: usize,
}

impl<'a> Settings<'a> {
    fn read(data: &'a Path) -> Result<Self, FileError> {
        let mut settings = Self {
            data,
            armed: Vec::new(),
            values: BTreeMap::new(),
            files: 0,
        };
        for name in READ_FIRST {
            settings.file(Path::new(name), 0)?;
        }
        for (name, (value, place)) in std::mem::take(&mut settings.values) {
            settings.armed.extend(judge(&name, &value, &place));
        }
        Ok(settings)
    }

    /// Reads a file below the directory, if it is there.
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), FileError> {
        let whole = self.data.join(path);
        let Some(text) = text_of(&whole).map_err(failed("read", &whole))? else {
            return Ok(());
        };
        self.files += 1;
        let shown = printable(&path.to_string_lossy()).into_owned();
        for (line, item) in configuration::parse(&text) {
            let place = format!("{shown}, line {line}");
            match item {
                Item::Setting { name, value } => {
                    self.values.insert(name, (value, place));
                }
                Item::Unreadable => {
                    self.armed.push(removed(Kind::Unreadable, "a line", &place));
                }
                Item::Include {
                    directive,
                    path: to,
                } => {
                    let beside = path.parent().unwrap_or(Path::new(""));
                    self.include(directive, &beside.join(&to), (&to, &place), depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        directive: Directive,
        path: &Path,
        (told, place): (&str, &str),
        depth: usize,
    ) -> Result<(), FileError> {
        let inside = within(path).filter(|_| depth <= MAX_DEPTH && self.files < MAX_FILES);
        let Some(inside) = inside else {
            let mut outside = removed(Kind::FileOutside, "include", place);
            outside.value = shown(told);
            self.armed.push(outside);
            return Ok(());
        };
        if directive != Directive::Directory {
            return self.file(&inside, depth);
        }
        let folder = self.data.join(&inside);
        let Ok(entries) = fs::read_dir(&folder) else {
            return Ok(());
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let counts = |name: &String| name.ends_with(".conf") && !name.starts_with('.');
        let mut names: Vec<String> = names.filter(counts).collect();
        names.sort();
        for name in names {
            if self.files < MAX_FILES {
                self.file(&inside.join(name), depth)?;
            }
        }
        Ok(())
    }
}

/// The path without dots, if it stays below where it begins.
fn within(path: &Path) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => found.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                found.pop().then_some(())?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(found)
}

fn text_of(path: &Path) -> io::Result<Option<String>> {
    use std::io::Read as _;
    // No link leads out of the directory, and no pipe is waited for.
    if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn judge(name: &str, value: &str, place: &str) -> Option<Armed> {
    let (_, kind, rule) = SETTINGS.iter().find(|(known, _, _)| *known == name)?;
    let is_armed = match rule {
        Rule::Unless(harmless) => !harmless.iter().any(|h| value.eq_ignore_ascii_case(h)),
        Rule::Outside => !value.is_empty() && within(Path::new(value)).is_none(),
    };
    let shown = match name {
        "primary_conninfo" => mask::connection(value),
        _ => mask::words(value),
    };
    is_armed.then(|| Armed {
        value: self::shown(&shown),
        ..removed(*kind, name, place)
    })
}

fn shown(text: &str) -> String {
    shortened(&printable(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = data.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        data
    }

    fn names(armed: &[Armed]) -> Vec<&str> {
        armed.iter().map(|armed| armed.name.as_str()).collect()
    }

    #[test]
    fn the_value_that_prevails_counts_and_tells_its_place() {
        let data = directory(&[
            (
                "postgresql.conf",
                "archive_mode = on\nrestore_command = 'x'\ninclude_dir 'conf.d'\n",
            ),
            ("conf.d/b.conf", "archive_command = 'cp %p /b'"),
            ("conf.d/a.conf", "archive_command = 'cp %p /a'"),
            ("conf.d/c.txt", "archive_command = 'cp %p /c'"),
            ("postgresql.auto.conf", "restore_command = ''\n"),
        ]);
        let armed = files(data.path()).unwrap();
        assert_eq!(names(&armed), ["archive_command", "archive_mode"]);
        assert_eq!(armed[0].value, "cp %p /b");
        assert_eq!(armed[0].place, "conf.d/b.conf, line 1");
    }

    #[test]
    fn nothing_is_left_that_a_server_would_read() {
        let data = directory(&[
            ("postgresql.conf", "port = 5433\n"),
            (
                "postgresql.auto.conf",
                "primary_conninfo = 'host=a password=b'\n",
            ),
            ("pg_hba.conf", "host all all all trust\n"),
            ("standby.signal", ""),
            ("postmaster.pid", "1\n"),
            ("pg_replslot/standby_1/state", "x"),
        ]);
        let armed = files(data.path()).unwrap();
        assert_eq!(
            names(&armed),
            ["primary_conninfo", "standby.signal", "standby_1"]
        );
        assert_eq!(armed[0].value, "host=a password=***");
        for gone in [
            "postgresql.conf",
            "pg_hba.conf",
            "standby.signal",
            "postmaster.pid",
        ] {
            assert!(!data.path().join(gone).exists(), "{gone}");
        }
        let kept = fs::read_to_string(data.path().join("postgresql.auto.conf.source")).unwrap();
        assert!(kept.contains("password=b"));
        assert_eq!(
            fs::read_dir(data.path().join("pg_replslot"))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn files_outside_are_named_and_not_read() {
        let outside = directory(&[("other.conf", "archive_command = 'x'")]);
        let text = format!(
            "include '{0}/other.conf'\ninclude '../x'\nhba_file = '/etc/pg_hba.conf'\nlog_directory = 'log'\n",
            outside.path().display()
        );
        let data = directory(&[("postgresql.conf", &text)]);
        std::os::unix::fs::symlink(outside.path().join("other.conf"), data.path().join("link"))
            .unwrap();
        let armed = files(data.path()).unwrap();
        assert_eq!(names(&armed), ["include", "include", "hba_file"]);
        assert!(armed.iter().all(|armed| armed.kind == Kind::FileOutside));
    }

    #[test]
    fn includes_that_include_each_other_end() {
        let data = directory(&[
            ("postgresql.conf", "include 'a.conf'\n"),
            ("a.conf", "include 'a.conf'\ninclude 'a.conf'\n"),
        ]);
        assert!(files(data.path()).unwrap().len() > 10);
    }
}
