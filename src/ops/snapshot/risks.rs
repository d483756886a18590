//! Warnings that save a disaster: what of this instance an escrow will not bring back.

use crate::base::cancel::Interrupted;
use crate::base::error_chain::error_chain;
use crate::base::text::printable;
use crate::databasus::risks::{Risks, RisksError};
use crate::databasus::schema::Schema;
use crate::databasus::secret_key::SecretKey;
use crate::databasus::storages::{self, S3Storage, Storage, StorageKind};
use crate::model::finding::Finding;
use crate::postgres::wire::{Connection, PgError};

use crate::ops::destination::{BucketAccess, Destination};

/// Looks for risks over a session with the metadata database. Not being able to look is a
/// finding of its own and stops nothing.
pub(super) fn find(
    session: &mut Connection,
    key: &SecretKey,
    destinations: &[Destination],
) -> Result<Vec<Finding>, Interrupted> {
    match read(session) {
        Ok((risks, storages)) => {
            let mut findings = told(&risks);
            findings.extend(shared_buckets(&storages, key, destinations));
            Ok(findings)
        }
        Err(RisksError::Session(PgError::Interrupted(signal))) => Err(signal),
        Err(error) => Ok(vec![Finding::note(
            "risks-unknown",
            format!(
                "what this instance is at risk of could not be read: {}",
                error_chain(&error)
            ),
        )]),
    }
}

fn read(session: &mut Connection) -> Result<(Risks, Vec<Storage>), RisksError> {
    let schema = Schema::read(session)?;
    let risks = Risks::read(session, &schema)?;
    Ok((risks, storages::read(session, &schema)?))
}

fn told(risks: &Risks) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(names) = list(&risks.local_storages) {
        let what = "backups in LOCAL storages lie on this host alone and are lost with it";
        findings.push(Finding::note("local-storages", format!("{what}: {names}")));
    }
    if let Some(names) = list(&risks.unencrypted) {
        let what = "backups of these databases are not encrypted; who can read their bucket can \
                    read them";
        findings.push(Finding::note(
            "unencrypted-backups",
            format!("{what}: {names}"),
        ));
    }
    if let Some(names) = list(&risks.wal_v1) {
        let what = "Databasus from 3.43 on refuses to start while these databases are backed up as \
                    WAL_V1";
        findings.push(Finding::note(
            "wal-v1-databases",
            format!("{what}: {names}"),
        ));
    }
    findings
}

/// Who takes over Databasus has that key: what it can delete there is no second line.
fn shared_buckets(
    storages: &[Storage],
    key: &SecretKey,
    destinations: &[Destination],
) -> Vec<Finding> {
    let shares = |place: &S3Storage, to: &Destination| {
        let keys = place.keys(key).ok().flatten();
        let (Some(keys), Some(access)) = (keys, &to.access) else {
            return false;
        };
        access.is(place) && access.access_key_id == *keys.access_key_id
    };
    let mut findings = Vec::new();
    for storage in storages {
        let StorageKind::S3(place) = &storage.kind else {
            continue;
        };
        for to in destinations.iter().filter(|to| shares(place, to)) {
            findings.push(Finding::note(
                "shared-bucket",
                format!(
                    "store {} is the bucket of Databasus' storage {} under the same access key: \
                     whoever takes over Databasus can delete the escrows",
                    to.store.name(),
                    printable(&storage.name)
                ),
            ));
        }
    }
    findings
}

impl BucketAccess {
    /// Whether both lead to one bucket.
    fn is(&self, place: &S3Storage) -> bool {
        let endpoint = place.endpoint_url();
        self.bucket == place.bucket && host(self.endpoint.as_deref()) == host(endpoint.as_deref())
    }
}

/// `https://X.example/` and `x.example` are one server.
fn host(endpoint: Option<&str>) -> String {
    let endpoint = endpoint.unwrap_or("s3.amazonaws.com").to_ascii_lowercase();
    let bare = endpoint
        .split_once("://")
        .map_or(endpoint.as_str(), |(_, rest)| rest);
    bare.trim_end_matches('/').to_owned()
}

/// How many names a message holds.
const MOST_NAMES: usize = 10;

/// Names in a row; none where there are none.
fn list(names: &[String]) -> Option<String> {
    let shown = names.iter().take(MOST_NAMES);
    let shown: Vec<_> = shown.map(|name| printable(name).into_owned()).collect();
    let shown = shown.join(", ");
    match names.len().checked_sub(MOST_NAMES) {
        _ if names.is_empty() => None,
        None | Some(0) => Some(shown),
        Some(more) => Some(format!("{shown} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_many_spellings() {
        assert_eq!(host(Some("https://R2.example/")), host(Some("r2.example")));
        assert_ne!(
            host(Some("http://127.0.0.1:1")),
            host(Some("http://127.0.0.1:2"))
        );
        assert_eq!(host(None), "s3.amazonaws.com");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        assert!(list(&names).unwrap().ends_with("9 and 2 more"));
        assert_eq!(list(&names[..2]).as_deref(), Some("0, 1"));
        assert_eq!(list(&[]), None);
    }

    #[test]
    fn every_risk_is_told_by_name() {
        let risks = Risks {
            local_storages: vec!["disk".to_owned()],
            unencrypted: vec!["shop".to_owned()],
            wal_v1: vec!["standby".to_owned()],
        };
        let ids: Vec<_> = told(&risks).iter().map(|found| found.id).collect();
        assert_eq!(
            ids,
            ["local-storages", "unencrypted-backups", "wal-v1-databases"]
        );
        assert!(told(&Risks::default()).is_empty());
    }
}
