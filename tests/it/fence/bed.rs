//! Servers with Databasus' metadata, and everything on them that a fence has to stop.

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::UtcTime;
use databasus_escrow::databasus::fence::credentials::StorageCredentials;
use databasus_escrow::databasus::schema::Schema;
use databasus_escrow::databasus::secret_key::SecretKey;
use databasus_escrow::ops::fence::{self, FenceError, FenceReport, FenceSettings};
use databasus_escrow::postgres::socket::ServerAddress;
use databasus_escrow::postgres::wire::Connection;

use crate::support::fixture::Fixture;
use crate::support::postgres::TestPg;

pub const FIXTURES: [&str; 4] = [
    "real-3.42.0",
    "real-3.49.0",
    "databasus-3.42.0",
    "databasus-3.49.0",
];

/// What a quiet instance does not have: sources and storages of other kinds, unfinished work.
const BUSY: &str = "
    INSERT INTO mysql_databases (database_id, version, host, port, username, password)
      SELECT id, '8', 'mysql.prod', 3306, 'u', 'p' FROM databases LIMIT 1;
    INSERT INTO mariadb_databases (database_id, version, host, port, username, password)
      SELECT id, '11', 'maria.prod', 3306, 'u', 'p' FROM databases LIMIT 1;
    INSERT INTO mongodb_databases (database_id, version, host, username, password, database)
      SELECT id, '7', 'mongo.prod', 'u', 'p', 'd' FROM databases LIMIT 1;
    INSERT INTO ftp_storages (storage_id, host, username, password)
      SELECT id, 'ftp.prod', 'u', 'p' FROM storages LIMIT 1;
    INSERT INTO sftp_storages (storage_id, host, username, password, private_key)
      SELECT id, 'sftp.prod', 'u', NULL, 'k' FROM storages LIMIT 1;
    INSERT INTO nas_storages (storage_id, host, share, username, password)
      SELECT id, 'nas.prod', 's', 'u', 'p' FROM storages LIMIT 1;
    INSERT INTO azure_blob_storages (storage_id, auth_method, connection_string, account_key, container_name)
      SELECT id, 'KEY', 'c', 'k', 'c' FROM storages LIMIT 1;
    INSERT INTO google_drive_storages (storage_id, client_id, client_secret, token_json)
      SELECT id, 'i', 's', '{}' FROM storages LIMIT 1;
    INSERT INTO rclone_storages (storage_id, config_content)
      SELECT id, '[r]' FROM storages LIMIT 1;
    INSERT INTO verification_agents (name, token_hash, deleted_at)
      VALUES ('agent', 'hash', NULL), ('gone', 'other', '2026-01-02 03:04:05.678901+00');
    INSERT INTO backup_verification_configs (database_id, is_scheduled_verification_enabled)
      SELECT id, true FROM databases
      ON CONFLICT (database_id) DO UPDATE SET is_scheduled_verification_enabled = true;
    INSERT INTO users (email, password_creation_time, role, name, status)
      SELECT 'bed@x', now(), 'ADMIN', 'bed', 'ACTIVE';
    UPDATE {configs} SET is_retry_if_failed = true, is_backups_enabled = true;
    UPDATE {backups} SET status = 'IN_PROGRESS'
      WHERE id = (SELECT id FROM {backups} ORDER BY id LIMIT 1);
    INSERT INTO restores (backup_id, status)
      SELECT id, 'IN_PROGRESS' FROM {backups} ORDER BY id LIMIT 1;
    INSERT INTO restore_verifications (database_id, backup_id, trigger, status)
      SELECT database_id, id, 'MANUAL', s FROM {backups}, (VALUES ('PENDING'), ('RUNNING'), ('COMPLETED')) v (s)
      ORDER BY id LIMIT 3;
    INSERT INTO download_tokens (token, backup_id, user_id, expires_at)
      SELECT 't', b.id, u.id, now() FROM {backups} b, users u LIMIT 1;";

const BUSY_PHYSICALLY: &str = "
    UPDATE physical_full_backups SET status = 'IN_PROGRESS';
    UPDATE physical_incremental_backups SET status = 'IN_PROGRESS';
    UPDATE physical_backup_configs SET force_full_requested_at = '2026-01-02 03:04:05.678901+00',
      force_incremental_requested_at = now();
    INSERT INTO physical_in_flight_backups (database_id, backup_type, backup_id)
      SELECT database_id, 'FULL', gen_random_uuid() FROM physical_backup_configs LIMIT 1;
    INSERT INTO physical_wal_streamers (database_id, status)
      SELECT database_id, 'RUNNING' FROM physical_backup_configs ON CONFLICT DO NOTHING;";

/// What migrations of August 2026 add and drop (DATABASUS.md §4.8).
const AUGUST: &str = "
    DO $$ DECLARE t text; BEGIN
      FOREACH t IN ARRAY ARRAY['postgresql_logical_databases', 'postgresql_physical_databases',
        'mysql_databases', 'mariadb_databases', 'mongodb_databases'] LOOP
        EXECUTE format('ALTER TABLE %I ADD ssh_is_enabled boolean NOT NULL DEFAULT false,
          ADD ssh_host text NOT NULL DEFAULT '''', ADD ssh_port integer NOT NULL DEFAULT 22,
          ADD ssh_username text NOT NULL DEFAULT '''', ADD ssh_password text NOT NULL DEFAULT '''',
          ADD ssh_private_key text NOT NULL DEFAULT '''',
          ADD ssh_private_key_passphrase text NOT NULL DEFAULT '''',
          ADD ssh_auth_type text NOT NULL DEFAULT ''PASSWORD''', t);
        EXECUTE format('UPDATE %I SET ssh_is_enabled = true, ssh_host = ''bastion.prod''', t);
      END LOOP; END $$;
    CREATE TABLE mattermost_notifiers (
      notifier_id uuid PRIMARY KEY REFERENCES notifiers ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
      delivery_mode text NOT NULL, webhook_url text NOT NULL DEFAULT '', server_url text NOT NULL,
      bot_token text NOT NULL, target_channel_name text NOT NULL, target_channel_id text NOT NULL,
      override_username text NOT NULL, override_icon_url text NOT NULL,
      is_insecure_skip_verify boolean NOT NULL DEFAULT false);
    ALTER TABLE mysql_databases DROP is_zstd_supported, DROP is_use_extended_insert;
    ALTER TABLE mariadb_databases DROP is_use_extended_insert;
    INSERT INTO goose_db_version (version_id, is_applied) VALUES (20260813153131, true);";

/// A server with the metadata of a fixture, as it was dumped.
pub struct Bed {
    pub server: TestPg,
    pub key: SecretKey,
    pub is_new: bool,
}

impl Bed {
    pub fn quiet(fixture: &str) -> Option<Self> {
        let files = Fixture::named(fixture)?;
        Some(Self {
            server: files.serve()?,
            key: files.secret_key(),
            is_new: fixture.ends_with("3.49.0"),
        })
    }

    /// The same with something of everything that a fence stops.
    pub fn busy(fixture: &str) -> Option<Self> {
        let bed = Self::quiet(fixture)?;
        let sql = BUSY.replace("{backups}", bed.backups());
        bed.server.psql(&sql.replace("{configs}", bed.configs()));
        if bed.is_new {
            bed.server.psql(BUSY_PHYSICALLY);
        }
        Some(bed)
    }

    /// A busy instance of August 2026.
    pub fn of_august() -> Option<Self> {
        let bed = Self::busy("real-3.49.0")?;
        bed.server.psql(AUGUST);
        Some(bed)
    }

    pub fn backups(&self) -> &'static str {
        if self.is_new {
            "logical_backups"
        } else {
            "backups"
        }
    }

    pub fn configs(&self) -> &'static str {
        match self.is_new {
            true => "logical_backup_configs",
            false => "backup_configs",
        }
    }

    pub fn sources(&self) -> &'static [&'static str] {
        match self.is_new {
            true => &[
                "postgresql_logical_databases",
                "postgresql_physical_databases",
                "mysql_databases",
                "mariadb_databases",
                "mongodb_databases",
            ],
            false => &[
                "postgresql_databases",
                "mysql_databases",
                "mariadb_databases",
                "mongodb_databases",
            ],
        }
    }

    pub fn connect(&self) -> Connection {
        let address = ServerAddress::Unix {
            directory: self.server.socket_dir(),
            port: self.server.port(),
        };
        let parameters = [
            ("user", "postgres"),
            ("database", "databasus"),
            // As far from the exact text forms as a session can be.
            ("TimeZone", "Asia/Kathmandu"),
            ("DateStyle", "German"),
            ("extra_float_digits", "-5"),
        ];
        Connection::connect(&address, &parameters, &Cancel::new()).unwrap()
    }

    pub fn fence(&self) -> Result<FenceReport, FenceError> {
        self.fence_with(StorageCredentials::Blank)
    }

    pub fn fence_with(
        &self,
        storage_credentials: StorageCredentials,
    ) -> Result<FenceReport, FenceError> {
        self.fence_as(&settings(storage_credentials))
    }

    pub fn fence_as(&self, settings: &FenceSettings) -> Result<FenceReport, FenceError> {
        let mut session = self.connect();
        let schema = Schema::read(&mut session).unwrap();
        fence::apply(&mut session, &schema, &self.key, settings)
    }

    /// Every row of Databasus' own tables and of the side schema, as text.
    pub fn state(&self) -> String {
        self.server.psql(
            "SELECT string_agg(query_to_xml(format('SELECT * FROM %I.%I t ORDER BY t::text', table_schema,
               table_name), true, false, '')::text, '' ORDER BY table_schema, table_name)
             FROM information_schema.tables WHERE table_schema IN ('public', 'escrow_fence')",
        )
    }

    pub fn count(&self, from: &str) -> u64 {
        let count = self.server.psql(&format!("SELECT count(*) FROM {from}"));
        count.parse().unwrap()
    }

    /// Fails where a row is there.
    pub fn none(&self, from: &str) {
        assert_eq!(self.count(from), 0, "{from}");
    }
}

pub fn settings(storage_credentials: StorageCredentials) -> FenceSettings {
    FenceSettings {
        storage_credentials,
        instance: "heatwave-prod".parse().unwrap(),
        escrow_id: "20261123T031000Z-0123456789abcdef".parse().unwrap(),
        head: (7, Digest::of(b"manifest")),
        now: UtcTime::from_unix(1_795_500_000),
    }
}
