//! No unfence while production lives, nor where nobody can tell.

use databasus_escrow::base::time::{Clock, SystemClock};
use databasus_escrow::ops::fence::FenceSettings;
use databasus_escrow::ops::unfence::{
    Chain, Evidence, Says, UnfenceError, UnfenceReport, UnfenceSettings,
};
use databasus_escrow::store::Store;

use super::way::{Bucket, decided, not_read, unfence_with};
use crate::fence::bed::{Bed, settings};
use crate::support::escrowing::Escrowing;

const KEYS: [&str; 2] = [
    ONE,
    "hw/shop-20200102-000000-22222222-2222-4222-8222-222222222222",
];
const ONE: &str = "hw/shop-20200101-000000-11111111-1111-4111-8111-111111111111";
const THREE: &str = "hw/shop-20200103-000000-33333333-3333-4333-8333-333333333333";

/// A fenced instance whose bucket was looked at when it was rehydrated.
fn fenced() -> Option<(Bed, Bucket)> {
    let bed = Bed::quiet("real-3.49.0")?;
    bed.fence().unwrap();
    let bucket = Bucket::with(&KEYS);
    bucket.is_seen(&bed);
    Some((bed, bucket))
}

/// Nobody answers for anything.
fn cautious() -> UnfenceSettings<'static> {
    UnfenceSettings {
        production_is_dead: false,
        ..decided()
    }
}

fn refused(
    bed: &Bed,
    settings: &UnfenceSettings<'_>,
    bucket: &Bucket,
    chain: Chain<'_>,
) -> UnfenceError {
    let before = bed.state();
    let error = unfence_with(bed, settings, bucket, chain).err().unwrap();
    assert_eq!(bed.state(), before, "{error}");
    error
}

fn said(report: &UnfenceReport, of: &str) -> Says {
    let found = report
        .evidence
        .iter()
        .find(|one: &&Evidence| one.of.contains(of));
    found.unwrap().says
}

#[test]
fn a_bucket_that_holds_the_same_shows_no_sign_of_life() {
    let Some((bed, bucket)) = fenced() else {
        return;
    };
    let report = unfence_with(&bed, &decided(), &bucket, not_read()).unwrap();
    assert_eq!(said(&report, "storage"), Says::NoSign);
    assert_eq!(said(&report, "catalogue"), Says::NoSign);
    assert_eq!(said(&report, "chain"), Says::Unknown);
}

#[test]
fn a_new_or_a_changed_object_is_a_sign_of_life_whatever_anybody_says() {
    let Some((bed, bucket)) = fenced() else {
        return;
    };
    bucket.put(THREE, b"3");
    for key in [THREE, ONE] {
        let error = refused(&bed, &decided(), &bucket, not_read());
        let UnfenceError::ProductionLives(signs) = error else {
            panic!("{error:?}")
        };
        assert!(signs[0].detail.contains(key), "{signs:?}");
        bucket.0.as_ref().unwrap().delete(THREE).unwrap();
        bucket.put(ONE, b"rewritten");
    }
}

#[test]
fn an_object_that_bears_a_time_after_the_fence_is_one_even_if_an_import_saw_it() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.fence().unwrap();
    let late = "hw/shop-21990101-000000-44444444-4444-4444-8444-444444444444";
    let bucket = Bucket::with(&[ONE, late]);
    bucket.is_seen(&bed);
    let error = refused(&bed, &decided(), &bucket, not_read());
    assert!(
        matches!(error, UnfenceError::ProductionLives(_)),
        "{error:?}"
    );
}

#[test]
fn a_new_object_that_is_not_of_databasus_leaves_it_unknown() {
    let Some((bed, bucket)) = fenced() else {
        return;
    };
    bucket.put("hw/databasus-connection-test", b"");
    let error = refused(&bed, &cautious(), &bucket, not_read());
    assert!(
        matches!(error, UnfenceError::ProductionUnknown(_)),
        "{error:?}"
    );
    unfence_with(&bed, &decided(), &bucket, not_read()).unwrap();
}

#[test]
fn what_became_of_escrows_in_the_same_bucket_is_no_sign() {
    let Some((bed, bucket)) = fenced() else {
        return;
    };
    bucket.put("hw/heatwave-prod/witness/somebody/now.json", b"{}");
    unfence_with(&bed, &decided(), &bucket, not_read()).unwrap();
}

#[test]
fn objects_that_are_gone_leave_it_unknown() {
    let Some((bed, bucket)) = fenced() else {
        return;
    };
    bucket.0.as_ref().unwrap().delete(ONE).unwrap();
    let error = refused(&bed, &cautious(), &bucket, not_read());
    assert!(
        matches!(error, UnfenceError::ProductionUnknown(_)),
        "{error:?}"
    );
    let report = unfence_with(&bed, &decided(), &bucket, not_read()).unwrap();
    assert_eq!(said(&report, "storage"), Says::Unknown);
}

#[test]
fn a_bucket_that_nobody_looked_at_or_can_look_at_leaves_it_unknown() {
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.fence().unwrap();
    for bucket in [Bucket::with(&KEYS), Bucket::default()] {
        let error = refused(&bed, &cautious(), &bucket, not_read());
        let UnfenceError::ProductionUnknown(signs) = error else {
            panic!("{error:?}")
        };
        assert!(
            signs.iter().any(|one| one.of.contains("storage")),
            "{signs:?}"
        );
    }
}

/// Imported since the rehydrate, hence seen, but made by production all the same.
#[test]
fn what_is_younger_than_the_fence_is_a_sign_of_life() {
    for (table, column) in [
        ("logical_backups", "created_at"),
        ("physical_full_backups", "created_at"),
        ("physical_incremental_backups", "created_at"),
        ("physical_wal_segments", "received_at"),
    ] {
        let Some((bed, bucket)) = fenced() else {
            return;
        };
        bed.server.psql(&format!(
            "UPDATE {table} SET {column} = (SELECT made_at + interval '10 minutes' FROM escrow_fence.fence)"
        ));
        let error = refused(&bed, &decided(), &bucket, not_read());
        assert!(
            error.to_string().contains("were made after the fence"),
            "{table}: {error}"
        );
    }
}

#[test]
fn the_chain_is_looked_at() {
    let Some((source, _)) = Bed::quiet("real-3.49.0").map(|bed| (bed, ())) else {
        return;
    };
    let escrows = Escrowing::into_stores(&["first"]);
    escrows.snapshot(&source.server);
    let head = escrows.history().mark().unwrap();
    let of = |head| FenceSettings {
        instance: "heatwave".parse().unwrap(),
        head,
        now: SystemClock.now().plus(-1),
        ..settings(Default::default())
    };
    let Some(bed) = Bed::quiet("real-3.49.0") else {
        return;
    };
    bed.fence_as(&of((head.seq, head.manifest_sha256))).unwrap();
    let bucket = Bucket::with(&KEYS);
    bucket.is_seen(&bed);
    let settings = UnfenceSettings {
        confirmed: Some("heatwave"),
        ..cautious()
    };
    let dry = UnfenceSettings {
        dry_run: true,
        ..settings
    };
    let history = escrows.history();
    let report = unfence_with(&bed, &dry, &bucket, Chain::Read(&history)).unwrap();
    assert_eq!(said(&report, "chain"), Says::NoSign);

    escrows.snapshot(&source.server);
    let history = escrows.history();
    let error = refused(&bed, &settings, &bucket, Chain::Read(&history));
    assert!(error.to_string().contains("manifest 2 of "), "{error}");
    assert!(
        matches!(error, UnfenceError::ProductionLives(_)),
        "{error:?}"
    );

    let other = "0".repeat(64);
    bed.server.psql(&format!(
        "UPDATE escrow_fence.fence SET head_seq = 2, head_sha256 = '{other}'"
    ));
    let error = refused(&bed, &settings, &bucket, Chain::Read(&history));
    assert!(
        matches!(error, UnfenceError::ProductionUnknown(_)),
        "{error:?}"
    );
    bed.server
        .psql("UPDATE escrow_fence.fence SET instance = 'heatwave-two'");
    let settings = UnfenceSettings {
        confirmed: Some("heatwave-two"),
        ..settings
    };
    let error = refused(&bed, &settings, &bucket, Chain::Read(&history));
    assert!(error.to_string().contains("another instance's"), "{error}");
}
