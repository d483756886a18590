//! A stand-in for the docker client, which not every machine has: the server runs on this one.

use std::path::{Path, PathBuf};

use databasus_escrow::postgres::binaries::Docker;

use super::write_program;

/// Notes its arguments, maps the container's paths back to the host's and runs the real server as
/// the user it was told.
const DOCKER: &str = r#"#!/bin/bash
printf '%s\n' "$@" >> "$NOTES"
[ "$1" = run ] || exit 0
shift
while [[ "$1" == --* ]]; do
  case "$1" in
    --volume=*:/escrow/pgdata) pgdata=${1#--volume=}; pgdata=${pgdata%:*} ;;
    --volume=*:/escrow/run) run=${1#--volume=}; run=${run%:*} ;;
    --user=*) user=${1#--user=} ;;
  esac
  shift
done
shift
args=()
for arg in "$@"; do
  arg=${arg//\/escrow\/pgdata/$pgdata}
  args+=("${arg//\/escrow\/run/$run}")
done
cd /
if [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups "$BIN/postgres" "${args[@]}"
fi
exec "$BIN/postgres" "${args[@]}"
"#;

/// The stand-in, as a program in `folder`; it runs what is in `bin` and writes to `notes`.
pub fn stand_in(folder: &Path, bin: &Path, notes: &Path) -> Docker {
    let program = folder.join("docker");
    write_program(&program, DOCKER);
    let environment = [
        ("PATH", PathBuf::from("/usr/bin:/bin")),
        ("BIN", bin.to_owned()),
        ("NOTES", notes.to_owned()),
    ];
    Docker {
        program,
        environment: environment
            .map(|(name, value)| (name.into(), value.into_os_string()))
            .to_vec(),
    }
}
