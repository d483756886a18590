# Sourced by scripts/demo and scripts/bench, which set $root: a throwaway directory with a PostgreSQL that looks
# like Databasus' own and an S3 server, all gone when the script ends, however it ends.
# shellcheck shell=bash

say() { printf '\n== %s\n' "$*"; }
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

children=()

# Makes $sandbox, and sees to its end. `keep=1` leaves it behind for a look.
open_sandbox() {
    umask 022 # the server's user must get through
    sandbox=$(mktemp -d "${TMPDIR:-/tmp}/databasus-escrow-${0##*/}.XXXXXX")
    chmod 755 "$sandbox"
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap close_sandbox EXIT
}

close_sandbox() {
    local status=$? child
    trap '' HUP INT PIPE TERM
    set +e
    stop_s3
    for child in "${children[@]}"; do end "$child" QUIT; done # PostgreSQL: at once, and all of it
    if [ "$status" -ne 0 ]; then tail -n 15 "$sandbox"/*.log >&2; fi
    if [ "${keep:-0}" = 1 ]; then
        echo "kept: $sandbox"
    else
        rm -rf "$sandbox"
    fi
    at_exit "$status"
    exit "$status"
}

# What a script says last; it may define its own.
at_exit() { :; }

# Runs a command beside the script, its output in $sandbox/<name>.log; leaves its pid in $started.
start() {
    local name=$1
    shift
    "$@" >"$sandbox/$name.log" 2>&1 </dev/null &
    started=$!
    disown # no word from bash about how it ended
    children+=("$started")
}

# Ends a process this script started: politely, and after 20 s not.
end() {
    local pid=$1 signal=$2 tick
    kill -s "$signal" "$pid" 2>/dev/null || return 0
    for ((tick = 0; tick < 200; tick++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -s KILL "$pid" 2>/dev/null || true
}

# wait_for <seconds> <what> <command...>: until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail "$what: not within the time allowed"
        sleep 0.1
    done
}

# Ports that are free now, and whose neighbour 10000 above is: SeaweedFS takes both.
free_ports() {
    python3 - "$1" <<'PYTHON'
import random, socket, sys

def free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

found = []
for port in random.sample(range(11000, 21000), 10000):
    if len(found) < int(sys.argv[1]) and free(port) and free(port + 10000):
        found.append(port)
print(*found)
PYTHON
}

# Builds the tool as <debug|release> and leaves its path in $binary.
build_tool() {
    say "cargo build ($1)"
    (cd "$root" && cargo build --locked --bin databasus-escrow --profile "${1/debug/dev}")
    binary=$(target_directory)/$1/databasus-escrow
}

# Builds what plays Databasus' part as <debug|release> and leaves its path in $stand_in.
build_stand_in() {
    say "cargo build (what plays Databasus' part)"
    (cd "$root" && cargo build --locked --example databasus_stand_in --profile "${1/debug/dev}")
    # shellcheck disable=SC2034 # what sources this uses it
    stand_in=$(target_directory)/$1/examples/databasus_stand_in
}

target_directory() {
    (cd "$root" && cargo metadata --locked --no-deps --format-version 1) |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# From what `init` printed.
signer_fingerprint() {
    sed -n 's/.*signer fingerprint *\(SHA256:[A-Za-z0-9+/]*\).*/\1/p' "$1" | grep -m 1 . ||
        fail "the trust card names no signer fingerprint"
}

# The directory Databasus keeps beside its cluster.
make_databasus_data() {
    mkdir "$1" "$1/temp" "$1/backups"
    # 72 bytes, no newline: as Databasus writes it.
    (umask 077 && printf '%s%s' "$(</proc/sys/kernel/random/uuid)" "$(</proc/sys/kernel/random/uuid)" >"$1/secret.key")
    printf '{"instanceID":"%s","installedAt":"2026-01-28"}' "$(</proc/sys/kernel/random/uuid)" >"$1/instance.json"
}

# PostgreSQL refuses root, and demands that its user owns its directory.
as_user() {
    local uid=$1
    shift
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$@"
    else
        "$@"
    fi
}
server_uid() { if [ "$(id -u)" -eq 0 ]; then id -u nobody; else id -u; fi; }

# A cluster made and set as the Databasus image does it (its start script, 3.29 and later).
create_postgres() {
    local pgdata=$1 port=$2
    mkdir "$pgdata"
    chown "$(server_uid)" "$pgdata"
    as_user "$(server_uid)" "$ESCROW_TEST_PG_BIN/initdb" --pgdata="$pgdata" --username=postgres \
        --encoding=UTF8 --locale=C.UTF-8 >"$sandbox/initdb.log"
    cat >>"$pgdata/postgresql.conf" <<CONF
port = $port
listen_addresses = 'localhost'
shared_buffers = 256MB
max_connections = 100
CONF
}

# Starts PostgreSQL on a directory as the directory's owner; leaves the pid in $started.
start_postgres() {
    local name=$1 pgdata=$2 port=$3
    mkdir -p "$sandbox/socket"
    chmod 1777 "$sandbox/socket"
    # `exec` through a subshell: $started must be the postmaster, not a shell around it.
    start "$name" as_owner "$pgdata" "$ESCROW_TEST_PG_BIN/postgres" -D "$pgdata" -p "$port" -k "$sandbox/socket"
    wait_for 60 "PostgreSQL ($name)" "$ESCROW_TEST_PG_BIN/pg_isready" -q -U postgres -h 127.0.0.1 -p "$port"
}
as_owner() {
    local path=$1
    shift
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid="$(stat -c %u "$path")" --regid="$(stat -c %g "$path")" --clear-groups -- "$@"
    fi
    exec "$@"
}

# sql <port> [psql arguments]: against the metadata database, unaligned, stops at an error.
sql() {
    local port=$1
    shift
    "$ESCROW_TEST_PG_BIN/psql" -X -q -At -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres -d databasus "$@"
}

# An S3 server at $s3_endpoint that knows two key pairs: $s3_access_key, $s3_secret_key may do
# anything, $s3_reader_key, $s3_reader_secret read and list.
start_s3() {
    local master volume filer s3
    read -r master volume filer s3 < <(free_ports 4)
    s3_endpoint=http://127.0.0.1:$s3
    s3_access_key='sandbox-access-key'
    s3_secret_key='sandbox-secret-key'
    s3_reader_key='sandbox-reader-key'
    s3_reader_secret='sandbox-reader-secret'
    mkdir "$sandbox/s3"
    cat >"$sandbox/s3.json" <<JSON
{"identities": [{"name": "sandbox", "actions": ["Admin", "Read", "List", "Tagging", "Write"],
  "credentials": [{"accessKey": "$s3_access_key", "secretKey": "$s3_secret_key"}]},
 {"name": "reader", "actions": ["Read", "List"],
  "credentials": [{"accessKey": "$s3_reader_key", "secretKey": "$s3_reader_secret"}]}]}
JSON
    start s3 "$ESCROW_TEST_WEED" -logtostderr=true server -dir "$sandbox/s3" \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.port="$master" -volume.port="$volume" -filer.port="$filer" \
        -s3 -s3.port="$s3" -s3.config="$sandbox/s3.json" -s3.port.iceberg=0 -s3.port.lance=0 \
        -s3.localSocket="$sandbox/s3.sock" -filer.localSocket="$sandbox/filer.sock" \
        -master.volumeSizeLimitMB=256 -volume.max=60 -master.telemetry=false
    s3_server=$started
    s3_sockets=(/tmp/seaweedfs-{"master-grpc-$((master + 10000))","volume-grpc-$((volume + 10000))","filer-grpc-$((filer + 10000))","s3-grpc-$((s3 + 10000))"}.sock)
}

# Killed: its orderly end takes 15 s, and leaves the same sockets behind.
stop_s3() {
    [ -n "${s3_server-}" ] || return 0
    end "$s3_server" KILL
    rm -f "${s3_sockets[@]}"
}

# s3 <method> </bucket/key?query> [curl arguments]: one signed request by stock curl.
s3() {
    local method=$1 path=$2
    shift 2
    curl --silent --show-error --fail --request "$method" --aws-sigv4 aws:amz:us-east-1:s3 \
        --config <(printf 'user = "%s:%s"\n' "$s3_access_key" "$s3_secret_key") "$@" "$s3_endpoint$path"
}

# A first attempt may fail late, with the bucket made.
put_bucket() {
    local bucket=$1
    shift
    s3 PUT "/$bucket" --max-time 5 "$@" || s3 GET "/$bucket?location=" --max-time 5
}

# The server takes connections some seconds before it can make buckets.
make_bucket() {
    local bucket=$1
    shift
    wait_for 60 "bucket $bucket" put_bucket "$bucket" "$@"
}
