#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::*;
use proptest::prelude::*;

const ALICE: &str = "age1as72clpfpla7lrkzdyc48xd9qk5g8z54d56h64srh6zw7ff8zsmq3qhl4s";
const BOB: &str = "age1l6j2qgk6j5wkud7c4skq575mzep2474uqspcpxxtge0mzz0sugjqcmtr5g";
const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCjvW/DpaWszxR1VVrP/RwuSeoKQH8HXUYq1wKOgQ7+GyR8vGy+zAPl+rUUIW8ZvjS7ym+wWbTR2ZGTtAtDpi53Vv6FrgpJTHPLgfWnaCVnt0LP4LuyxQ8+cfRmd3kDCBuV83NRNfV2ECrJ4FhRGdfDMZdYMn3pNo0Ess/btVIhWw==";
const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCg+lrgteHDUezqXG6CMZYFfNcLq3lVmVXn+fmS3YHE7T9ANeBhiulml920nRJR2nEgvy2wuebuy3QH+FJndDcKHfDBhJHJGc37A6iNqh69xMDleSQrpai3bhtpuUVFyoEbdShMmoN7IgiKykAM6H1zHWu6cjlbJgCw425T/Vu/IPkIGWAaInHviMbfE3J+kzsqMAowuwJc9mw8z3W7/bdGFO6bnbug/LWLUsA7N+L7nUiszkFRvqjh5w1A9i5H4NQixsFopNRa0+XjmRiZXTPUpRqnAiQXGjVOeDPamnDTDAuAxd0M74tz5MTvohwtxBCkk1RLhXpF8NxRUMEfsGlz";
const TAG: &str = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e";
/// From the tests of the `age` crate.
const TAG_PQ: &str = "age1tagpq1m3e4wvp6hzcrn9exhy0ae3xfx2sjymp594k3tg7j4dpmj922we65vtnmrt2pyallax8669zqkr2pmfchptr4n38kug2xmcmp3adk2lnjqu00x5kxz5pvhmrltvfh9wuq973pcx35cnq8syn9qd3tzpehgztl4xpzr3tpd67g8af9trnjpc05gh7wu536aq4qt2y8zhsm4tvrfpsfl36qs5fpzysnk3sp9w77qzeg49357xex40v4s2lvt620swyys7u8yxdcnu4rkkwxdmt55gsuc3h5c5swahnegjgqwc60hn085ec3sjztwm45l44y3j2at9t6v9zra4ek3kek6waecqm98yaxl37w0d2zra626nz63jdm5sg59w7lyptw83zm6fntd8d0x03a9z6h9prfgpygzar6zrxjcrt4cdctk2mhf95s4a6v4zklfd49xhpsaeujm57thx2x3e3hwzc86ftfhmq5mkxxz3d6r8ws24xj4qfn73eyezg2wy094e3why592pghz27ruq3vkyegrv80eftnw9wqzwgvnwyseaus0yt84fylzrpzp6x2fguxuqjmgudr8xd33qm30evdpxd3jvjg8qh4q60kyq80jgff369k7nrepdc38grd2dava520excqp0ey0x39khx8ry03yffcatgv84fsx5j49djpapedsy693zute5xv5g2ewzrlj5se7akvkc4g4vmzhputpq8eyj9wz5dz6qtn7g3cfpd95nahw4ytspan0feyye04dcylv24ege7zkaj004gjwcxqxfqu2quawa83sx452jqjn8t48czp0xspwgnmvjyhttzzy6nhq8xzkdwnvsfefkwva6asrqc93zjn4rly5gnlv93xy3uzmr39szvjnf63426qzyeyvguc4vdcquwgsxgq236afcpqz866ny4tn7ckc0umefj242rt5vtvwqzzrvfev2mpvqcufp9pqvefyv4ftyuhgausfzuaadsczeykmft5wv3frzgrcp9ztr93h478ke4t86spp2uhyjkj73mp9g92ddk2fpv7v3njzsqgwhq3789sqrgkskehn0zjscckhwftyq4vet7vrlx2hs5kd9cwnq6t0djffhh3zquh4j3p0yaj9z2rc9wykg0usqw7983rrgur9jg8rnnqypwcz2lyclnnc705fc5g3an93ps60q6mxqp85u0ewtxdjlqcks84yduft0a0g6e7naew3v9u2d08knarvajn8q3gq9pgxde3s7nx94lus48wwvw2xjm7k82tvylec2393jdsuvch2xpe77w8hpv9nvsxfsrs270njpmfvpmgyk2cffl9tjp3qqcc4dfkf5rme2dg0x7ew8g39www5smm705q5da4eqvnqwrkavtq6xje9ss38hnkglz4eddz8f5qruvqmq2ff9l22gwkv8h432rdkysy0grkul8e2fedvkyyapfxt760udcgu92m54wl9yavmj4ga3ph9r5n99cjrq6wj5v33x33fe5vkjvfwnnt40wuv2hyexc9f4ylyqv9ldqq9epd4yuv8vrsfx2qy2kqz08kqhnzspy6s0x8fa5c2xkg5y2q0rvz4vnk7rp0acg6eksc3t7cxnn8y7glkjsqja3p56uz6vvhcw55d3ysad0hvsqxpjnc7svenf2gc5xn5kyr0et2vvyruxlnpqcdpqh9pzplumy5yzjxftyzh9ujfw0jq7ee60zx2x23p0jzyh9dvmly8p9h9ysptlqu7kwnejd65dnr75a0np2fvke8xen38r57w6z3wz3mycjmmn267wwxndfh9jdps7uxtct2wwfgamkpa5ap8s96lhfjztpwcm6fguhphu38yunu2v4vz3syzrvgwtqpemkewzp766nyu6texxvjlaemnhyyqutkcy6a42vqfsz49rw5wr4gt70r4vdaasehqjg46fnyts4sthrxadfllha3avu49wsj2c4jx";
const YUBIKEY: &str = "age1yubikey1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0jqmenk29";

/// Points of small order: 0, the same with the ignored bit set, p, and one of order 8.
const LOW_ORDER: [&str; 4] = [
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",
    "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzqqsuwj9m",
    "age1ahlllllllllllllllllllllllllllllllllllllllllllllllalsn46ayy",
    "age1t7wft09r2zxzfvwsk92eeql0tvzyghxytqwgapkcyf8dm5ylz9ts6wm9s8",
];

fn kind(text: &str) -> Result<RecipientKind, RecipientError> {
    parse_recipient(text).map(|(kind, _, _)| kind)
}

#[test]
fn every_type_of_recipient_is_recognised() {
    assert_eq!(kind(ALICE), Ok(RecipientKind::X25519));
    assert_eq!(kind(SSH), Ok(RecipientKind::SshEd25519));
    assert_eq!(kind(RSA_2048), Ok(RecipientKind::SshRsa));
    assert_eq!(kind(TAG), Ok(RecipientKind::Tag));
    assert_eq!(kind(TAG_PQ), Ok(RecipientKind::TagPq));
    assert_eq!(
        kind(YUBIKEY),
        Ok(RecipientKind::Plugin("yubikey".to_owned()))
    );
    assert_eq!(RecipientKind::Plugin("pq".to_owned()).name(), "plugin-pq");
}

#[test]
fn what_cannot_be_sealed_to_is_refused() {
    let typo = ALICE.replace('7', "8");
    let cases = [
        ("", RecipientError::Unknown),
        ("alice", RecipientError::Unknown),
        (typo.as_str(), RecipientError::Damaged("not Bech32")),
        (&ALICE.to_uppercase(), RecipientError::UpperCase),
        (RSA_1024, RecipientError::RsaSize),
        (
            "ssh-dss AAAA",
            RecipientError::SshKind("ssh-dss".to_owned()),
        ),
        ("ssh-ed25519", RecipientError::Damaged("not an SSH key")),
        (
            &format!("{SSH}AAAA"),
            RecipientError::Damaged("more than a key"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(kind(text), Err(expected), "{text:?}");
    }
}

#[test]
fn points_that_would_make_age_panic_are_refused() {
    for text in LOW_ORDER {
        assert_eq!(kind(text), Err(RecipientError::LowOrder), "{text}");
    }
}

#[test]
fn fingerprint_of_an_ssh_recipient_is_the_one_of_ssh_keygen() {
    let spec = RecipientSpec::parse("alice", &format!("{SSH} alice@laptop")).unwrap();
    assert_eq!(spec.text, SSH);
    assert_eq!(
        spec.fingerprint.to_string(),
        "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"
    );
    let spec = RecipientSpec::parse("alice", ALICE).unwrap();
    assert_eq!(spec.fingerprint, Fingerprint::of(ALICE.as_bytes()));
}

#[test]
fn a_file_names_custodians() {
    let text = format!(
        "# who\n[[recipient]]\ncustodian = \"alice\"\nrecipient = \"{ALICE}\"\n\
         since = \"2026-11-23T00:00:00Z\"\nnote = \"in the safe, by age-plugin-yubikey-1 or so\"\n\n\
         [[recipient]]\ncustodian = \"bob\"\nrecipient = \"{SSH} bob@x\"\n"
    );
    let recipients = Recipients::parse(&text).unwrap();
    let names: Vec<&str> = recipients
        .iter()
        .map(|spec| spec.custodian.as_str())
        .collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(
        Recipients::parse(&recipients.to_toml().unwrap()).unwrap(),
        recipients
    );
}

#[test]
fn arguments_say_the_same_as_a_file() {
    let recipients =
        Recipients::from_arguments(&[format!("alice={ALICE}"), format!("bob={SSH}")]).unwrap();
    assert_eq!(
        Recipients::parse(&recipients.to_toml().unwrap()).unwrap(),
        recipients
    );
}

fn refusal<S: AsRef<str>>(arguments: &[S]) -> String {
    Recipients::from_arguments(arguments)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_set_that_serves_nobody_well_is_refused() {
    assert_eq!(
        refusal::<&str>(&[]),
        "no recipients: nobody could open an escrow"
    );
    assert!(Recipients::parse("").is_err());
    let alice = format!("alice={ALICE}");
    assert_eq!(
        refusal(&[&alice, &format!("alice={BOB}")]),
        "custodian alice stands twice"
    );
    assert!(refusal(&[&alice, &format!("bob={ALICE}")]).contains("the same recipient"));
    assert!(refusal(&[&alice, &format!("bob={TAG_PQ}")]).contains("does not mix"));
    assert!(refusal(&[ALICE]).contains("must read custodian=recipient"));
    // A plugin's own answer decides.
    assert!(Recipients::from_arguments(&[format!("a={YUBIKEY}"), format!("b={TAG_PQ}")]).is_ok());
}

#[test]
fn a_key_nobody_knows_is_refused_with_its_line() {
    let text =
        format!("[[recipient]]\ncustodian = \"a\"\nrecipient = \"{ALICE}\"\nsnice = \"x\"\n");
    let error = Recipients::parse(&text).unwrap_err().to_string();
    assert!(
        error.starts_with("line 4: unknown field `snice`"),
        "{error}"
    );
}

#[test]
fn a_private_key_is_refused_and_never_echoed() {
    let secrets = [
        "AGE-SECRET-KEY-1QQPZRYPQQPZRYPQQPZRYPQQPZRYPQQPZRYPQQPZRYP",
        "AGE-SECRET-KEY-PQ-1QQPZRYPQQPZRYP",
        "AGE-PLUGIN-YUBIKEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNK08YXA",
        "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
    ];
    for secret in secrets
        .iter()
        .flat_map(|s| [(*s).to_owned(), s.to_lowercase()])
    {
        let escaped = format!("\\u{:04X}{}", secret.as_bytes()[0], &secret[1..]);
        let texts = [
            format!("[[recipient]]\ncustodian = \"a\"\nrecipient = \"{secret}\"\n"),
            format!("[[recipient]]\ncustodian = \"a\"\nrecipient = \"{escaped}\"\n"),
            format!("[[recipient]]\ncustodian = \"{escaped}\"\nrecipient = \"{ALICE}\"\n"),
            format!("{secret}\n"),
            format!("recipient = {secret}\n"),
            format!("\"{escaped}\" = 1\n"),
        ];
        for text in texts {
            let error = Recipients::parse(&text).unwrap_err();
            assert_private(&error, &secret);
        }
        for argument in [secret.clone(), format!("a={secret}")] {
            assert_private(
                &Recipients::from_arguments(&[argument]).unwrap_err(),
                &secret,
            );
        }
    }
}

fn assert_private(error: &RecipientsError, secret: &str) {
    assert!(
        matches!(error, RecipientsError::PrivateKey { .. }),
        "{error}"
    );
    let shown = format!("{error} {error:?}").to_lowercase();
    assert!(!shown.contains(&secret[8..].to_lowercase()), "{shown}");
}

proptest! {
    #[test]
    fn file_round_trips(
        name in "[a-z][a-z0-9@]{0,10}",
        since in proptest::option::of((0..4_000_000_000_i64).prop_map(UtcTime::from_unix)),
        note in proptest::option::of("(?s).{0,40}"),
    ) {
        let mut spec = RecipientSpec::parse(&name, ALICE).unwrap();
        spec.since = since;
        spec.note = note;
        let recipients = Recipients::new(vec![spec]).unwrap();
        prop_assert_eq!(Recipients::parse(&recipients.to_toml().unwrap()).unwrap(), recipients);
    }

    #[test]
    fn garbage_never_panics(text in "(?s).{0,200}") {
        let _ = Recipients::parse(&text);
        let _ = Recipients::from_arguments(&[&text]);
        let _ = kind(&text);
        let _ = kind(&format!("age1{text}"));
        let _ = kind(&format!("ssh-ed25519 {text}"));
        let _ = holds_private_key(&format!("age-plugin-{text}"));
    }

    #[test]
    fn one_changed_character_of_a_recipient_is_noticed(at in 0..ALICE.len(), c in "[a-z0-9]") {
        let mut changed = ALICE.to_owned();
        changed.replace_range(at..=at, &c);
        prop_assume!(changed != ALICE);
        prop_assert!(kind(&changed).is_err());
    }
}
