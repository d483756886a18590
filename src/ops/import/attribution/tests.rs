use proptest::prelude::*;

use super::*;
use crate::databasus::catalogue_rows::RowState;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn database(number: u128, name: &str, source: Option<&str>) -> KnownDatabase {
    KnownDatabase {
        id: id(number),
        name: name.to_owned(),
        engine: Engine::Postgres,
        source: source.map(str::to_owned),
        storage: None,
    }
}

fn name(label: &str) -> BackupName {
    let text = format!("{label}-20261123-031158-7a4faa4c-adf4-4cf2-b5d3-7d537474402e");
    BackupName::parse(&text).unwrap()
}

fn sibling(database: u128, label: &str) -> KnownRow {
    KnownRow {
        table: Table::Logical,
        id: id(99),
        database: id(database),
        storage: id(1),
        state: RowState::Completed,
        file_name: Some(name(label).to_string().into_boxed_str()),
        wal_v1: None,
        begins: None,
        root: None,
        parent: None,
    }
}

fn attribution(databases: Vec<KnownDatabase>, siblings: &[KnownRow]) -> Attribution {
    let mut attribution = Attribution::new(databases, Assignments::default());
    siblings.iter().for_each(|row| attribution.remember(row));
    attribution
}

fn of(attribution: &Attribution, label: &str, source: Option<&str>) -> Attributed {
    attribution.of(Evidence {
        name: &name(label),
        content: Content::PgDump,
        source,
    })
}

fn to(database: u128) -> Attributed {
    Attributed::To {
        database: id(database),
        differs: None,
    }
}

#[test]
fn one_name_that_begins_another_is_not_taken_for_it() {
    let both = attribution(
        vec![
            database(1, "heatwave", None),
            database(2, "heatwave versions", None),
        ],
        &[],
    );
    assert_eq!(of(&both, "heatwave", None), to(1));
    assert_eq!(of(&both, "heatwave_versions", None), to(2));
    assert_eq!(of(&both, "heat", None), Attributed::Nobody);
}

#[test]
fn a_database_called_x_full_keeps_its_dumps() {
    let both = attribution(
        vec![database(1, "x", None), database(2, "x-FULL", None)],
        &[],
    );
    assert_eq!(of(&both, "x-FULL", None), to(2));
    assert_eq!(of(&both, "x", None), to(1));
}

#[test]
fn a_renamed_database_is_known_by_its_earlier_backups() {
    let renamed = attribution(vec![database(1, "store", None)], &[sibling(1, "shop")]);
    assert_eq!(of(&renamed, "shop", None), to(1));
    assert_eq!(of(&renamed, "store", None), to(1));
}

#[test]
fn equal_names_are_told_apart_by_the_header() {
    let twins = attribution(
        vec![
            database(1, "shop", Some("prod")),
            database(2, "shop", Some("staging")),
        ],
        &[sibling(1, "shop"), sibling(2, "shop")],
    );
    assert_eq!(of(&twins, "shop", Some("staging")), to(2));
    let both = Attributed::Several(vec![id(1), id(2)]);
    assert_eq!(of(&twins, "shop", Some("elsewhere")), both);
    assert_eq!(of(&twins, "shop", None), both);
}

#[test]
fn a_name_that_went_from_one_database_to_another_is_told_by_the_header() {
    let moved = attribution(
        vec![
            database(1, "archive", Some("old")),
            database(2, "shop", Some("new")),
        ],
        &[sibling(1, "shop")],
    );
    assert_eq!(of(&moved, "shop", Some("old")), to(1));
    assert_eq!(of(&moved, "shop", Some("new")), to(2));
}

#[test]
fn a_database_that_may_be_meant_as_well_is_not_passed_over() {
    let one_unknown = attribution(
        vec![database(1, "shop", Some("prod")), database(2, "shop", None)],
        &[],
    );
    let both = Attributed::Several(vec![id(1), id(2)]);
    assert_eq!(of(&one_unknown, "shop", Some("prod")), both);
    assert_eq!(of(&one_unknown, "shop", Some("other")), both);
}

#[test]
fn equal_names_of_different_kinds_are_told_apart_by_the_content() {
    let mysql = KnownDatabase {
        engine: Engine::MySql,
        ..database(2, "shop", Some("shop"))
    };
    let two = attribution(vec![database(1, "shop", Some("shop")), mysql], &[]);
    assert_eq!(of(&two, "shop", None), to(1));
    let sql = two.of(Evidence {
        name: &name("shop"),
        content: Content::Sql,
        source: None,
    });
    assert_eq!(sql, to(2));
    let mongo = two.of(Evidence {
        name: &name("shop"),
        content: Content::MongoArchive,
        source: None,
    });
    assert_eq!(mongo, Attributed::OtherKind(vec![id(1), id(2)]));
}

#[test]
fn a_dump_of_another_database_is_remarked_where_the_name_leaves_no_choice() {
    let one = attribution(vec![database(1, "shop", Some("prod"))], &[]);
    let expected = Attributed::To {
        database: id(1),
        differs: Some("prod".to_owned()),
    };
    assert_eq!(of(&one, "shop", Some("test")), expected);
}

#[test]
fn what_a_person_decided_goes_before_everything() {
    let databases = vec![database(1, "shop", None), database(2, "store", None)];
    let whole = name("shop").to_string();
    for given in ["shop", whole.as_str()] {
        let pairs = [(given.to_owned(), "store".to_owned())];
        let assigned = Assignments::resolve(&pairs, &databases).unwrap();
        let attribution = Attribution::new(databases.clone(), assigned);
        assert_eq!(of(&attribution, "shop", None), to(2), "{given}");
    }
}

#[test]
fn an_object_is_assigned_before_its_label() {
    let databases = vec![database(1, "shop", None), database(2, "store", None)];
    let pairs = [
        ("shop".to_owned(), "shop".to_owned()),
        (name("shop").to_string(), id(2).to_string()),
    ];
    let assigned = Assignments::resolve(&pairs, &databases).unwrap();
    let attribution = Attribution::new(databases, assigned);
    assert_eq!(of(&attribution, "shop", None), to(2));
}

#[test]
fn decisions_that_mean_nothing_certain_are_refused() {
    let databases = [database(1, "shop", None), database(2, "shop", None)];
    let resolve = |pairs: &[(&str, &str)]| {
        let owned: Vec<_> = pairs
            .iter()
            .map(|(name, database)| ((*name).to_owned(), (*database).to_owned()))
            .collect();
        Assignments::resolve(&owned, &databases).map(|_| ())
    };
    let first = id(1).to_string();
    let second = id(2).to_string();
    assert_eq!(
        resolve(&[("x", "nothing")]),
        Err(AssignError::NoSuchDatabase("nothing".to_owned()))
    );
    assert!(matches!(
        resolve(&[("x", "shop")]),
        Err(AssignError::SeveralDatabases { .. })
    ));
    assert_eq!(
        resolve(&[("x", &first), ("x", &second)]),
        Err(AssignError::Twice("x".to_owned()))
    );
    assert_eq!(resolve(&[("x", &first), ("x", &first)]), Ok(()));
}

proptest! {
    /// Nothing that is imported changes what would have been decided before: so the order of
    /// imports, and doing them twice, changes nothing either.
    #[test]
    fn what_was_attributed_never_changes_what_comes_after(
        names in prop::collection::vec("[ab]{1,2}", 1..5),
        sources in prop::collection::vec(prop::option::of("[xy]"), 5),
        objects in prop::collection::vec(("[ab]{1,2}", prop::option::of("[xy]")), 1..12),
        siblings in prop::collection::vec((0usize..5, "[ab]{1,2}"), 0..5),
    ) {
        let databases: Vec<KnownDatabase> = names
            .iter()
            .zip(&sources)
            .enumerate()
            .map(|(number, (name, source))| database(number as u128, name, source.as_deref()))
            .collect();
        let rows: Vec<KnownRow> = siblings
            .iter()
            .filter(|(number, _)| *number < databases.len())
            .map(|(number, label)| sibling(*number as u128, label))
            .collect();
        let before = attribution(databases.clone(), &rows);
        let mut after = attribution(databases, &rows);
        for (label, source) in &objects {
            if let Attributed::To { database, .. } = of(&before, label, source.as_deref()) {
                after.remember(&sibling(database.as_u128(), label));
            }
        }
        for (label, source) in &objects {
            prop_assert_eq!(
                of(&before, label, source.as_deref()),
                of(&after, label, source.as_deref())
            );
        }
    }
}
