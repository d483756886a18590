use proptest::prelude::*;

use super::*;
use crate::model::audit::policy::AuditPolicy;

const POLICY: &str = r#"
version = 1
[freshness]
max_age = "26h"

[drill]
rto = "4h"
rpo = "26h"
room_gib = 40

[[drill.database]]
name = "shop"
label = "orders"
sentinel = [{ name = "orders are there", sql = "SELECT count(*) FROM orders", expect = { at_least = 1000 } }]

[[drill.cluster]]
name = "heatwave"
to = "1h ago"

[[drill.cluster.sentinel]]
name = "a beat of this hour"
database = "app"
sql = "SELECT max(at) FROM beats"
expect = { newer_than = "2h" }

[[drill.cluster.sentinel]]
name = "switched on"
sql = "SELECT is_on FROM switch"
expect = { equals = true }
"#;

fn demands(text: &str) -> Result<Option<DrillDemands>, String> {
    let policy = AuditPolicy::parse(text).map_err(|error| error.to_string())?;
    Ok(policy.drill)
}

#[test]
fn a_policy_says_what_has_to_come_back() {
    let demands = demands(POLICY).unwrap().unwrap();
    assert_eq!(demands.level, 4);
    assert_eq!(
        (demands.rto, demands.rpo),
        (
            Some(Span::from_seconds(14_400)),
            Some(Span::from_seconds(93_600))
        )
    );
    assert_eq!(demands.room, Some(40 << 30));
    let [shop, heatwave] = demands.subjects.as_slice() else {
        panic!("{demands:?}");
    };
    assert_eq!(
        (shop.label.as_str(), shop.to),
        ("orders", PointBack::Newest)
    );
    assert_eq!(shop.sentinels[0].expect, Expect::AtLeast(1000));
    assert_eq!(heatwave.label, "cluster-1");
    assert_eq!(heatwave.to, PointBack::Ago(Span::from_seconds(3600)));
    let expected = [
        Expect::NewerThan(Span::from_seconds(7200)),
        Expect::Equals(Plain("t".to_owned())),
    ];
    let found: Vec<_> = heatwave
        .sentinels
        .iter()
        .map(|s| s.expect.clone())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_policy_without_the_table_demands_no_drill() {
    assert_eq!(
        demands("version = 1\n[freshness]\nmax_age = \"26h\""),
        Ok(None)
    );
}

#[test]
fn what_cannot_be_met_is_refused_with_its_line() {
    let one = "[[drill.database]]\nname = \"shop\"\n";
    let sentinel =
        "[[drill.database.sentinel]]\nname = \"n\"\nsql = \"SELECT 1\"\nexpect = { equals = 1 }\n";
    for (text, told) in [
        ("[drill]".to_owned(), "name it in [[drill.database]]"),
        (
            format!("[drill]\nlevel = 3\n{one}{sentinel}"),
            "level 4 does",
        ),
        ("[drill]\nlevel = 6".to_owned(), "level must be 0 to 5"),
        (one.to_owned(), "database shop has no sentinel"),
        (
            format!("{one}lable = \"x\"\n{sentinel}"),
            "line 4: unknown key `lable`; did you mean `label`?",
        ),
        (
            format!("[drill]\nrto = \"4 hours\"\n{one}{sentinel}"),
            "line 3: \"4 hours\" is not a length of time",
        ),
        (
            format!("{one}{}", sentinel.replace("equals = 1", "resembles = 1")),
            "resembles",
        ),
        (
            format!(
                "{one}{}",
                sentinel.replace("expect", "database = \"x\"\nexpect")
            ),
            "a dump holds one database alone",
        ),
        (
            format!("{one}label = \"x\"\n{sentinel}{one}label = \"x\"\n{sentinel}"),
            "two are labelled x",
        ),
        (
            format!("[[drill.cluster]]\nname = \"c\"\nto = \"yesterday\"\n{sentinel}"),
            "write \"newest\", \"1h ago\" or a time",
        ),
    ] {
        let refused = demands(&format!("version = 1\n{text}")).unwrap_err();
        assert!(refused.contains(told), "{text}: {refused}");
    }
}

#[test]
fn values_stand_as_postgresql_writes_them() {
    for (written, plain) in [
        ("\"a b\"", "a b"),
        ("-7", "-7"),
        ("true", "t"),
        ("false", "f"),
    ] {
        let text = POLICY.replace("equals = true", &format!("equals = {written}"));
        let demands = demands(&text).unwrap().unwrap();
        let found = &demands.subjects[1].sentinels[1].expect;
        assert_eq!(*found, Expect::Equals(Plain(plain.to_owned())));
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,30}") {
        let _ = text.parse::<Span>();
        let _ = text.parse::<PointBack>();
        let _ = demands(&text);
    }
}
