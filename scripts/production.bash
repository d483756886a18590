# Sourced by scripts/demo and scripts/bench-pitr, after scripts/sandbox.bash: a production cluster, and its backups as
# Databasus 3.43 and later writes them (a FULL, INCRs, WAL), under s3://databasus/production.
# shellcheck shell=bash disable=SC2154 # what the others set

production_id=$(</proc/sys/kernel/random/uuid)

# make_production <port>
make_production() {
    production=$host/production
    archive=$sandbox/archive
    production_port=$1
    mkdir "$archive"
    chown "$(server_uid)" "$archive"
    create_postgres "$production" "$production_port"
    cat >>"$production/postgresql.conf" <<CONF
wal_level = replica
summarize_wal = on
archive_mode = on
archive_command = 'cp "%p" "$archive/%f"'
CONF
    start_postgres production "$production" "$production_port"
    production_server=$started
    in_production -d postgres -c 'CREATE DATABASE shop'
    in_production -c "CREATE TABLE orders AS SELECT n, md5(n::text) AS line FROM generate_series(1, 50000) n"
}

in_production() {
    "$ESCROW_TEST_PG_BIN/psql" -X -q -At -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$production_port" -U postgres -d shop "$@"
}

# put_sealed <row id> <name>: encrypts standard input, stores it; leaves `salt`, `nonce` and `stored` (bytes).
put_sealed() {
    local object=$sandbox/sealed
    read -r salt nonce < <("$stand_in" object "$instance/secret.key" "$1" "$object")
    stored=$(stat -c %s "$object")
    s3 PUT "/databasus/production/$2" --upload-file "$object"
    rm "$object"
}

# put_sidecar <name>: what it says comes on standard input.
put_sidecar() {
    cat >"$sandbox/sidecar"
    s3 PUT "/databasus/production/$1.metadata" --upload-file "$sandbox/sidecar"
    echo "$1"
}

# base_backup <label> [further arguments of pg_basebackup]: a tar in zstd and its manifest; leaves `id`, `name`, `salt`,
# `nonce`, and $sandbox/$id.manifest.
base_backup() {
    local kind=$1
    shift
    id=$(</proc/sys/kernel/random/uuid)
    name=production-$kind-$(date -u +%Y%m%d-%H%M%S)-$id
    "$ESCROW_TEST_PG_BIN/pg_basebackup" -h 127.0.0.1 -p "$production_port" -U postgres -D "$sandbox/$id" -Ft \
        -X fetch --checkpoint=fast --label="$name" --manifest-checksums=SHA256 "$@"
    mv "$sandbox/$id/backup_manifest" "$sandbox/$id.manifest"
    put_sealed "$id" "$name.manifest" <"$sandbox/$id.manifest"
    zstd -q -5 "$sandbox/$id/base.tar"
    compressed=$(stat -c %s "$sandbox/$id/base.tar.zst")
    put_sealed "$id" "$name" <"$sandbox/$id/base.tar.zst"
    rm -r "${sandbox:?}/$id"
}

# base_sidecar <type> <begun> <jq object to add>. The system identifier has more digits than some releases of jq keep.
base_sidecar() {
    local system
    system=$(grep -o '"System-Identifier": [0-9]*' "$sandbox/$id.manifest")
    jq -c --arg id "$id" --arg database "$production_id" --arg type "$1" --arg begun "$2" --arg salt "$salt" \
        --arg nonce "$nonce" --arg completed "$(date -u +%FT%T.%NZ)" --argjson size "$compressed" --argjson more "$3" '
        ."WAL-Ranges"[0] as $wal |
        {backupId: $id, databaseId: $database, backupType: $type, systemIdentifier: "SYSTEM",
         pgVersion: 170000, timelineId: $wal.Timeline, startLsn: $wal."Start-LSN", stopLsn: $wal."End-LSN",
         uncompressedSizeBytes: 0, compressedSizeBytes: $size, encryption: "ENCRYPTED", encryptionSalt: $salt,
         encryptionIv: $nonce, compression: "ZSTD", createdAt: $begun, completedAt: $completed} + $more' \
        "$sandbox/$id.manifest" | sed "s/\"SYSTEM\"/${system##* }/" | put_sidecar "$name"
}

back_up_full() {
    local begun
    begun=$(date -u +%FT%T.%NZ)
    base_backup FULL
    full=$id last=$id
    base_sidecar FULL "$begun" '{}'
}

# What changed since the last backup of either kind.
back_up_incremental() {
    local begun parents
    begun=$(date -u +%FT%T.%NZ)
    parents=$(jq -nc --arg full "$full" --arg last "$last" \
        '{rootFullBackupId: $full} + if $last == $full then {} else {parentIncrementalBackupId: $last} end')
    base_backup INCR --incremental="$sandbox/$last.manifest"
    last=$id
    base_sidecar INCREMENTAL "$begun" "$parents"
}

# What PostgreSQL has archived since the last time; the segment that is being written is switched away from first.
back_up_wal() {
    local segment first
    in_production -c 'SELECT pg_switch_wal()' >/dev/null
    wait_for 30 "the archiver" archived_all
    for segment in "$archive"/????????????????????????; do
        id=$(</proc/sys/kernel/random/uuid)
        name=$production_id-WAL-tl1-${segment##*/}.zst
        zstd -q "$segment" -o "$sandbox/segment.zst"
        put_sealed "$id" "$name" <"$sandbox/segment.zst"
        first=$((16#${segment: -16:8} * 256 + 16#${segment: -8}))
        jq -nc --arg id "$id" --arg database "$production_id" --arg segment "${segment##*/}" --arg salt "$salt" \
            --arg nonce "$nonce" --arg now "$(date -u +%FT%T.%NZ)" --arg start "$(lsn $first)" \
            --arg until "$(lsn $((first + 1)))" --argjson size "$stored" '
            {walSegmentId: $id, databaseId: $database, timelineId: 1, walFilename: $segment, startLsn: $start,
             endLsn: $until, compressedSizeBytes: $size, encryption: "ENCRYPTED", encryptionSalt: $salt,
             encryptionIv: $nonce, receivedAt: $now}' | put_sidecar "$name"
        rm "$segment" "$sandbox/segment.zst"
    done
}

# The position at which the segment of this number begins.
lsn() { printf '%X/%X000000' $(($1 / 256)) $(($1 % 256)); }

archived_all() { ! compgen -G "$production/pg_wal/archive_status/*.ready" >/dev/null; }
