//! Keys that are not quite right fail at the level that can tell, and are told what they are.

use databasus_escrow::model::proof::{Level, Outcome};

use super::{Bed, outcomes, said};

/// What the levels come to under another key, and what is said of it.
fn assert_told(change: impl FnOnce(&mut Vec<u8>), expected: [Outcome; 2], words: &str) {
    let Some(bed) = Bed::of("real-3.49.0") else {
        return;
    };
    let key = bed.changed_key(change);
    let report = bed.prove_with(&key, Level::FirstChunks, &bed.bucket);
    let said = said(&report);
    assert_eq!(outcomes(&report)[1..], expected, "{said}");
    assert!(said.contains(words), "{said}");
    assert!(!said.contains("enc:"), "{said}");
}

#[test]
fn another_key_opens_nothing() {
    assert_told(
        |key| key[0] ^= 1,
        [Outcome::Failed, Outcome::Failed],
        "opens no encrypted field: it is another key",
    );
}

#[test]
fn a_newline_too_many_fails_at_the_backups() {
    assert_told(
        |key| key.push(b'\n'),
        [Outcome::Proven, Outcome::Failed],
        "ends with a newline or blank that is no part of the key",
    );
}

#[test]
fn a_key_whose_first_32_bytes_alone_are_right_fails_at_the_backups() {
    assert_told(
        |key| key[32..].fill(b'0'),
        [Outcome::Proven, Outcome::Failed],
        "opens the fields but not the backups: only its first 32 bytes are right",
    );
}

#[test]
fn a_key_that_was_made_anew_opens_the_backups_since() {
    let Some(bed) = Bed::of("databasus-3.42.0") else {
        return;
    };
    // As if the newest backup of one database had been made under another id and so another key.
    let newest = bed.bucket.newest("warehouse-20261121");
    let other = bed.bucket.newest("shop-20261121");
    let id = |path: &std::path::Path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        name[name.len() - 36..].to_owned()
    };
    bed.server.psql(&format!(
        "UPDATE backups SET file_name = (SELECT file_name FROM backups WHERE id = '{0}'), \
         encryption_salt = NULL, encryption_iv = NULL, backup_size_mb = 0 WHERE id = '{1}'",
        id(&newest),
        id(&other),
    ));
    let report = bed.prove(Level::FirstChunks);
    assert_eq!(outcomes(&report)[2], Outcome::Failed);
    let said = said(&report);
    assert!(said.contains("opens some backups and not others"), "{said}");
}

#[test]
fn a_damaged_field_fails_alone() {
    let Some(bed) = Bed::of("real-3.49.0") else {
        return;
    };
    bed.server
        .psql("UPDATE s3_storages SET s3_secret_key = left(s3_secret_key, 30)");
    let report = bed.prove(Level::Fields);
    let said = said(&report);
    assert_eq!(outcomes(&report)[1], Outcome::Failed);
    assert!(
        said.contains("1 of 1 values in s3_storages.s3_secret_key"),
        "{said}"
    );
    assert!(!said.contains("another key"), "{said}");
}

#[test]
fn fields_inside_json_are_tried() {
    let Some(bed) = Bed::of("real-3.49.0") else {
        return;
    };
    let before = bed.prove(Level::Fields).record().levels[1].proven;
    bed.server.psql(
        "UPDATE webhook_notifiers SET headers = (SELECT json_build_array(json_build_object(\
         'key', 'Authorization', 'value', s3_secret_key))::text FROM s3_storages)",
    );
    let after = bed.prove(Level::Fields).record().levels[1].proven;
    assert_eq!(after, before + 1);
}
