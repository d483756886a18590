//! What of Databasus' HTTP API a drill uses (DATABASUS.md §6): which calls, and how their answers
//! are read. Nothing here speaks to anybody.

use uuid::Uuid;

use super::catalogue_rows::{Engine, Table};

mod address;
mod admin;
mod answers;
mod token;
mod workspaces;

pub use address::{Address, NotAnAddress, is_near};
pub use admin::{Admin, admin};
pub use answers::{
    AnswerError, DownloadToken, ListedBackup, Page, download_token, hosts, page, said, version,
};
pub use token::{AdminToken, LIFETIME};
pub use workspaces::workspaces;

/// What `/system/version` says where nobody told Databasus its version when it was built.
pub const FALLBACK_VERSION: &str = "3.26.0";

/// Every call there is. All but one are GET, and that one writes no more than the token that it
/// answers with, and a line of Databasus' own audit log.
#[derive(Debug)]
pub enum Call<'a> {
    /// Which release it is; anybody may ask.
    Version,
    /// The databases of a workspace, as they are configured.
    Databases(Uuid),
    /// A page of what it lists of a database.
    Backups(Listing),
    /// A token that fetches one backup once, within five minutes.
    DownloadToken(Uuid),
    /// The backup, decrypted; the token stands for everything else.
    File(Uuid, &'a DownloadToken),
}

/// A page of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `databases.id`.
    pub database: Uuid,
    /// Which of the two listings.
    pub kind: ListingKind,
    /// Most that the page may hold.
    pub limit: u32,
    /// How many come before it.
    pub offset: u64,
}

/// Since 3.43 dumps and physical backups are listed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingKind {
    /// `backups`, and `logical_backups` since 3.43.
    Logical,
    /// The three tables of base backups and WAL in one list; timeline history files are in none.
    Physical,
}

/// How something is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes a download token.
    Post,
}

impl ListingKind {
    /// Where backups of such a database are listed.
    pub fn of(engine: Engine) -> Self {
        match engine {
            Engine::PostgresPhysical => Self::Physical,
            Engine::Postgres
            | Engine::PostgresWalV1
            | Engine::MySql
            | Engine::MariaDb
            | Engine::MongoDb
            | Engine::Unknown => Self::Logical,
        }
    }

    /// Whether rows of a table are in it.
    pub fn holds(self, table: Table) -> bool {
        match table {
            Table::Logical => self == Self::Logical,
            Table::Full | Table::Incremental | Table::Wal => self == Self::Physical,
            Table::History => false,
        }
    }
}

impl Call<'_> {
    /// How.
    pub fn method(&self) -> Method {
        match self {
            Self::Version | Self::Databases(_) | Self::Backups(_) | Self::File(..) => Method::Get,
            Self::DownloadToken(_) => Method::Post,
        }
    }

    /// Whether an administrator's token goes with it.
    pub fn needs_admin(&self) -> bool {
        match self {
            Self::Databases(_) | Self::Backups(_) | Self::DownloadToken(_) => true,
            Self::Version | Self::File(..) => false,
        }
    }

    /// Path and query. A [`Call::File`] has its token in it: it is for no log.
    pub fn path(&self) -> String {
        match self {
            Self::Version => "/api/v1/system/version".to_owned(),
            Self::Databases(workspace) => format!("/api/v1/databases?workspace_id={workspace}"),
            Self::Backups(listing) => listing.path(),
            Self::DownloadToken(backup) => format!("/api/v1/backups/{backup}/download-token"),
            Self::File(backup, token) => {
                format!("/api/v1/backups/{backup}/file?token={}", token.expose())
            }
        }
    }

    /// What it is, in errors.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Version => "its version",
            Self::Databases(_) => "its databases",
            Self::Backups(_) => "a list of backups",
            Self::DownloadToken(_) => "a download token",
            Self::File(..) => "a backup",
        }
    }
}

impl Listing {
    fn path(self) -> String {
        let Self {
            database,
            kind,
            limit,
            offset,
        } = self;
        match kind {
            ListingKind::Logical => {
                format!("/api/v1/backups?database_id={database}&limit={limit}&offset={offset}")
            }
            ListingKind::Physical => format!(
                "/api/v1/backups/physical/database/{database}/backups?limit={limit}&offset={offset}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x3333_3333_3333_4333_8333_3333_3333_3333);

    fn listing(kind: ListingKind) -> Listing {
        Listing {
            database: ID,
            kind,
            limit: 1000,
            offset: 2000,
        }
    }

    #[test]
    fn paths_are_those_of_3_42_and_3_49() {
        let path = |call: Call<'_>| call.path().replace(&ID.to_string(), "ID");
        assert_eq!(path(Call::Version), "/api/v1/system/version");
        assert_eq!(
            path(Call::Databases(ID)),
            "/api/v1/databases?workspace_id=ID"
        );
        assert_eq!(
            path(Call::Backups(listing(ListingKind::Logical))),
            "/api/v1/backups?database_id=ID&limit=1000&offset=2000"
        );
        assert_eq!(
            path(Call::Backups(listing(ListingKind::Physical))),
            "/api/v1/backups/physical/database/ID/backups?limit=1000&offset=2000"
        );
        assert_eq!(
            path(Call::DownloadToken(ID)),
            "/api/v1/backups/ID/download-token"
        );
        let token = download_token(br#"{"token":"abc-1"}"#).unwrap();
        assert_eq!(
            path(Call::File(ID, &token)),
            "/api/v1/backups/ID/file?token=abc-1"
        );
    }

    #[test]
    fn nothing_but_the_download_token_is_asked_for_in_a_way_that_writes() {
        let token = download_token(br#"{"token":"abc"}"#).unwrap();
        for call in [
            Call::Version,
            Call::Databases(ID),
            Call::Backups(listing(ListingKind::Logical)),
            Call::Backups(listing(ListingKind::Physical)),
            Call::File(ID, &token),
        ] {
            assert_eq!(call.method(), Method::Get, "{call:?}");
        }
        assert_eq!(Call::DownloadToken(ID).method(), Method::Post);
    }
}
