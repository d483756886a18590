use std::path::Path;

use super::store::elsewhere;
use super::*;
use crate::model::store_spec::StoreSpec;

const SIGNERS: &str = "\
old@host namespaces=\"escrow-manifest@databasus\",valid-before=\"20260601000000Z\" \
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g
escrow-host namespaces=\"escrow-manifest@databasus\",valid-after=\"20260601000000Z\" \
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti
alice namespaces=\"escrow-checkin@databasus\" \
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAh
";

const RECIPIENTS: &str = "\
[[recipient]]
custodian = \"alice\"
recipient = \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"
";

const CONFIG: &str = "\
instance = \"heatwave-prod\"

[[store]]
name = \"r2\"
type = \"s3\"
provider = \"r2\"
bucket = \"heatwave-escrow\"
prefix = \"databasus\"
account_id = \"0123456789abcdef0123456789abcdef\"
token_id = \"fedcba9876543210fedcba9876543210\"
token_value_file = \"secrets/r2.token\"

[[store]]
name = \"usb\"
type = \"dir\"
path = \"mnt/o'neil\"
";

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/escrow")).unwrap()
}

fn time(text: &str) -> UtcTime {
    text.parse().unwrap()
}

fn host() -> Fingerprint {
    "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"
        .parse()
        .unwrap()
}

fn card(config: &Config, head: Option<CardHead>) -> TrustCard {
    from_config(CardRequest {
        config,
        recipients: RECIPIENTS,
        allowed_signers: SIGNERS,
        head,
        tool_sha256: Some(Digest::of(b"the program")),
        now: time("2026-06-12T02:10:00Z"),
    })
    .unwrap()
}

fn head(signed_by: Fingerprint) -> Option<CardHead> {
    Some(CardHead {
        seq: 7,
        digest: Digest::of(b"manifest"),
        created_at: time("2026-06-12T02:00:00Z"),
        signed_by,
    })
}

#[test]
fn a_card_reads_like_this() {
    let mut card = card(&config(CONFIG), head(host()));
    card.tool.version = "1.2.3".to_owned();
    card.restore_md_sha256 = Digest::of(b"instructions");
    insta::assert_snapshot!(card.text(), @r#"
    TRUST CARD of the Databasus instance heatwave-prod
    ==============================================================================
    Made 2026-06-12T02:10:00Z by databasus-escrow 1.2.3. Holds no secret. Keep it
    on paper, away from the host and from the stores. A line that ends in \ goes
    on in the next one.

    WHOSE SIGNATURES COUNT
    signer fingerprint  SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ
        escrow-host, valid from 2026-06-01T00:00:00Z
    not valid now       SHA256:mKqU+0K8OhKmA8bBQi9Rz0Q5l7/g160hIP+rJYSTNj4
        old@host, valid until 2026-06-01T00:00:00Z
    policy in force (recipients and signers), SHA-256:
        8f9ab871cb86e041416ddb2284cad71eb474e82f2134c3b85001fcc0350ac61e

    THE NEWEST MANIFEST WHEN THIS CARD WAS MADE
    7:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
        signed 2026-06-12T02:00:00Z. Stores that offer less than this were rolled
        back: --mark and this line, added to a command below, make it refuse them.

    WHO CAN OPEN AN ESCROW (one of them is enough)
    alice, x25519
        SHA256:z35WgjExUGhb8W5CxOpI4WjhboIGxcStN8ctATy2pfQ

    WHERE THE ESCROWS ARE (one store is enough)
    r2 (r2)
        bucket heatwave-escrow, prefix databasus
        at https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com
        region auto
        set ESCROW_R2_TOKEN_VALUE to the API token's value
    usb
        folder /etc/escrow/mnt/o'neil
        mount it first; where it is elsewhere, change --store
    Other credentials that may list and read do as well; ids in --store are those
    of the host.

    BEGIN ON AN EMPTY BOX
    1. Get databasus-escrow 1.2.3, check it, install it:
        h=50fda23bf0a5115d4f893dc10d122c10a4705f47688f5620e80611c092d4053e
        echo "$h  databasus-escrow" | sha256sum --check
        install -m 0755 databasus-escrow /usr/local/bin/
    2. Set the variables named above, and see what there is:
        databasus-escrow list \
          --instance heatwave-prod \
          --store 'r2=s3://heatwave-escrow/databasus?account_id=0123456789abcde'\
    'f0123456789abcdef&token_id=fedcba9876543210fedcba9876543210' \
          --store 'usb=dir:/etc/escrow/mnt/o%27neil' \
          --trust SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ
    3. Rehydrate. FILE is the age identity of a custodian, DIR a folder that does
    not exist yet:
        databasus-escrow rehydrate \
          --instance heatwave-prod \
          --store 'r2=s3://heatwave-escrow/databasus?account_id=0123456789abcde'\
    'f0123456789abcdef&token_id=fedcba9876543210fedcba9876543210' \
          --store 'usb=dir:/etc/escrow/mnt/o%27neil' \
          --trust SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ \
          --identity FILE \
          --target DIR
    Do what it prints, in that order. Start nothing before it says so.

    WITHOUT THIS TOOL, WITH STOCK TOOLS ALONE
    Instructions lie in every store, below its prefix. Save this object as
    restore.md, HASH being the number below:
        heatwave-prod/restore/HASH.md
    Check it before you read it:
        h=238fa28a94976c7da14563bc873c2729bd5cd325389085bb4c6dd0de28923590
        echo "$h  restore.md" | sha256sum --check
    It must print "restore.md: OK". Do not follow an unverified copy: whoever can
    write to a store can put commands of their own there.
    "#);
}

#[test]
fn every_line_fits_whatever_things_are_called() {
    let long = "n".repeat(63);
    let text = CONFIG
        .replace("heatwave-prod", &long)
        .replace("\"databasus\"", &format!("\"{}\"", "p".repeat(400)))
        .replace("mnt/o'neil", &"d".repeat(400))
        .replace("\"r2\"\ntype", &format!("\"{long}\"\ntype"));
    let mut card = card(&config(&text), head(host()));
    card.custodians[0].kind = format!("plugin-{}", "k".repeat(200));
    card.head = card.head.map(|head| CardHead {
        seq: 9_999_999_999,
        ..head
    });
    for line in card.text().lines() {
        assert!(line.chars().count() <= page::WIDTH, "{line}");
    }
}

#[test]
fn a_card_names_no_file_of_the_host_and_no_path_that_is_relative() {
    let card = card(&config(CONFIG), None);
    assert!(!card.text().contains("secrets/"));
    assert_eq!(card.stores[1].argument, "usb=dir:/etc/escrow/mnt/o%27neil");
}

#[test]
fn what_a_card_says_of_a_store_reads_back_as_that_store() {
    let config = config(CONFIG);
    let card = card(&config, None);
    let name = "x".parse().unwrap();
    for (store, spec) in card.stores.iter().zip(&config.stores) {
        let read = StoreSpec::parse_argument(&store.argument, &name).unwrap();
        assert_eq!(read, elsewhere(spec, &config));
    }
}

#[test]
fn a_card_begins_with_the_key_of_the_newest_manifest() {
    let signers = SIGNERS.replace(",valid-before=\"20260601000000Z\"", "");
    let config = config(CONFIG);
    let with = |head| {
        from_config(CardRequest {
            config: &config,
            recipients: RECIPIENTS,
            allowed_signers: &signers,
            head,
            tool_sha256: None,
            now: time("2026-06-12T02:10:00Z"),
        })
        .unwrap()
    };
    assert_ne!(with(None).pinned(), Some(host()));
    assert_eq!(with(head(host())).pinned(), Some(host()));
}

#[test]
fn a_card_that_reaches_nothing_says_so() {
    let config = config(CONFIG);
    let retired = card(&config, None).signers[0].fingerprint;
    let says_so = |signed_by| {
        let text = card(&config, head(signed_by)).text();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").contains("with this one nothing verifies")
    };
    assert!(says_so(retired));
    assert!(!says_so(host()));
}

#[test]
fn without_a_valid_key_there_is_no_card() {
    let outcome = from_config(CardRequest {
        config: &config(CONFIG),
        recipients: RECIPIENTS,
        allowed_signers: SIGNERS,
        head: None,
        tool_sha256: None,
        now: time("2026-05-31T00:00:00Z"),
    });
    // At that time the old key was valid, and the new one not yet.
    assert!(outcome.is_ok_and(|card| card.signers[0].valid && !card.signers[1].valid));
    let outcome = from_config(CardRequest {
        config: &config(CONFIG),
        recipients: RECIPIENTS,
        allowed_signers: "",
        head: None,
        tool_sha256: None,
        now: time("2026-06-12T02:10:00Z"),
    });
    assert!(matches!(outcome, Err(CardError::NoSigner(_))));
}

#[test]
fn the_json_form_names_what_the_text_names() {
    let card = card(&config(CONFIG), head(host()));
    let json = serde_json::to_value(&card).unwrap();
    assert_eq!(json["head"]["seq"], 7);
    assert_eq!(json["signers"][1]["fingerprint"], host().to_string());
    assert_eq!(
        json["stores"][0]["place"]["s3"]["bucket"],
        "heatwave-escrow"
    );
    assert_eq!(
        json["stores"][0]["variables"][0]["name"],
        "ESCROW_R2_TOKEN_VALUE"
    );
}

#[test]
fn a_card_says_how_many_custodians_it_takes() {
    let card = card(&config(&format!("{CONFIG}\n[custody]\nk = 2\n")), None);
    let text = card.text();
    assert!(text.contains("WHO CAN OPEN AN ESCROW (any 2 of them together)"));
    assert!(text.contains("It takes 2 custodians"), "{text}");
}
