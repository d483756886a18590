//! Continuing a chain: what is believed, what is retired, what is refused.

use super::*;

#[test]
fn a_lost_hosts_chain_goes_on_under_a_new_key() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let old_print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let second = bench.snapshot(&lost, 3_600);
    let old_signers = lost.signers();

    let plan = bench.join(&new, 7_200, old_print).unwrap();
    assert_eq!(plan.findings(), []);
    assert_eq!(plan.retired(), [old_print]);
    let written = join::apply(&plan, &new.state).unwrap();
    assert_eq!(
        new.read("policies/recipients.toml"),
        lost.read("policies/recipients.toml")
    );
    let mark = Mark {
        seq: 2,
        manifest_sha256: second.digest,
    };
    assert_eq!(new.state.mark(&slug()).unwrap(), Some(mark));

    let third = bench.snapshot(&new, 7_200);
    assert_eq!(third.manifest.seq, 3);
    assert_eq!(third.manifest.prev_sha256, Some(second.digest));
    assert_eq!(ids(&third.findings), ["policy-changed"]);

    let history = bench.history(9_000, pinned(written.fingerprint));
    assert_eq!(history.entries.len(), 3);
    assert_eq!(ids(&history.findings), [""; 0]);
    assert_eq!(bench.verified(9_000, pinned(old_print)), [1, 2]);
    assert_eq!(
        bench.verified(9_000, Trust::new(old_signers, Vec::new())),
        [1, 2]
    );
    let card = new.card(9_000, history.head().map(CardHead::from));
    assert!(
        card.text()
            .contains(&format!("--trust {}", written.fingerprint))
    );
}

#[test]
fn stock_ssh_keygen_accepts_both_keys_of_a_joined_chain() {
    if !has_ssh_keygen() {
        return;
    }
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    // All within one second: the old key's last is the new key's first.
    let first = bench.snapshot(&lost, 0);
    join::apply(&bench.join(&new, 0, print).unwrap(), &new.state).unwrap();
    let second = bench.snapshot(&new, 0);
    let signers = new.dir.join("policies/allowed_signers");
    assert!(bench.stock_verdict(&first, &signers));
    assert!(bench.stock_verdict(&second, &signers));
    assert!(!bench.stock_verdict(&second, &lost.dir.join("policies/allowed_signers")));
}

#[test]
fn a_head_dated_ahead_of_the_new_hosts_clock_stays_valid() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 200);
    let written = join::apply(&bench.join(&new, 100, print).unwrap(), &new.state).unwrap();
    bench.snapshot(&new, 110);
    let history = bench.history(300, pinned(written.fingerprint));
    assert_eq!(history.entries.len(), 2);
    assert_eq!(ids(&history.findings), [""; 0]);
}

#[test]
fn the_lost_key_signs_nothing_after_the_join() {
    let bench = Bench::new();
    let (lost, new, thief) = (bench.host("lost"), bench.host("new"), bench.host("thief"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let written = join::apply(&bench.join(&new, 7_200, print).unwrap(), &new.state).unwrap();
    bench.snapshot(&new, 7_260);
    // Whoever has the lost key, and for whom it has not ended.
    new.copy_to(&thief);
    let both = lost.read("policies/allowed_signers") + &new.read("policies/allowed_signers");
    fs::write(thief.dir.join("policies/allowed_signers"), both).unwrap();
    fs::write(thief.dir.join("signing.key"), lost.read("signing.key")).unwrap();
    bench.snapshot(&thief, 7_320);
    let history = bench.history(9_000, pinned(written.fingerprint));
    let seqs: Vec<u64> = history.entries.iter().map(|entry| entry.link.seq).collect();
    assert_eq!(seqs, [1, 2]);
    assert_eq!(ids(&history.findings), ["signer-window"]);
}

#[test]
fn a_lost_host_that_comes_back_leaves_its_successors_manifest_alone() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let written = join::apply(&bench.join(&new, 7_200, print).unwrap(), &new.state).unwrap();
    let successor = bench.snapshot(&new, 7_260);
    let back = bench.snapshot(&lost, 10_800);
    assert_eq!(
        ids(&back.findings),
        ["unverified-manifest", "slot-of-a-stranger"]
    );
    assert_eq!(back.completeness(), Completeness::Alarm);
    let history = bench.history(12_000, pinned(written.fingerprint));
    assert_eq!(history.head().unwrap().link.digest, successor.digest);
    let old = bench.history(12_000, pinned(print));
    assert_eq!(old.head().unwrap().link.digest, back.digest);
}

#[test]
fn a_stolen_keys_manifests_stop_to_alarm_once_they_are_joined() {
    let bench = Bench::new();
    let (host, thief, new) = (bench.host("host"), bench.host("thief"), bench.host("new"));
    let print = bench.init(&host).fingerprint;
    bench.snapshot(&host, 60);
    host.copy_to(&thief);
    bench.snapshot(&thief, 120);
    let alarmed = bench.snapshot(&host, 180);
    assert_eq!(ids(&alarmed.findings), ["unknown-manifest-of-ours"]);
    join::apply(&bench.join(&new, 240, print).unwrap(), &new.state).unwrap();
    let calm = bench.snapshot(&new, 300);
    assert_eq!(ids(&calm.findings), ["policy-changed"]);
}

#[test]
fn a_chain_is_not_joined_without_trust() {
    let bench = Bench::new();
    bench.init(&bench.host("lost"));
    bench.snapshot(&bench.host("lost"), 60);
    let outcome = bench.join_with(&bench.host("new"), 120, |_| {});
    assert!(matches!(outcome, Err(JoinError::NoTrust)));
}

#[test]
fn there_must_be_a_chain_to_join() {
    let bench = Bench::new();
    let print = bench.init(&bench.host("lost")).fingerprint;
    let outcome = bench.join(&bench.host("new"), 120, print);
    assert!(matches!(outcome, Err(JoinError::NoChain(_))));
}

#[test]
fn a_strangers_chain_is_not_joined() {
    let bench = Bench::new();
    let (stranger, lost, new) = (
        bench.host("stranger"),
        bench.host("lost"),
        bench.host("new"),
    );
    bench.init(&stranger);
    bench.snapshot(&stranger, 60);
    let print = bench.init(&lost).fingerprint;
    let outcome = bench.join(&new, 120, print);
    assert!(matches!(outcome, Err(JoinError::Untrusted(_))));
    let signers = lost.signers();
    let outcome = bench.join_with(&new, 120, |request| request.allowed_signers = signers);
    assert!(matches!(outcome, Err(JoinError::Untrusted(_))));
    assert!(!new.dir.exists());
}

#[test]
fn an_old_card_does_not_continue_the_chain_below_its_head() {
    let bench = Bench::new();
    let (lost, new, third) = (bench.host("lost"), bench.host("new"), bench.host("third"));
    let old_print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    join::apply(&bench.join(&new, 120, old_print).unwrap(), &new.state).unwrap();
    bench.snapshot(&new, 180);
    let outcome = bench.join(&third, 240, old_print);
    let is_refused = matches!(
        outcome,
        Err(JoinError::NewerManifests { head: 1, newest: 2 })
    );
    assert!(is_refused, "{outcome:?}");
    let outcome = bench.join_with(&third, 240, |request| {
        request.pinned = vec![old_print];
        request.newer = NewerManifests::Ignore;
    });
    assert_eq!(outcome.unwrap().head().seq, 1);
}

#[test]
fn a_chain_that_was_rolled_back_is_not_joined() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let mark = Mark {
        seq: 2,
        manifest_sha256: bench.snapshot(&lost, 120).digest,
    };
    let newest = Layout::new(&slug()).manifest(2);
    fs::remove_file(bench.path("store").join(newest)).unwrap();
    let outcome = bench.join_with(&new, 180, |request| {
        request.pinned = vec![print];
        request.mark = Some(mark);
    });
    assert!(
        matches!(outcome, Err(JoinError::NotTheSame(_))),
        "{outcome:?}"
    );
}

#[test]
fn a_policy_that_changed_since_the_mark_is_told() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    let first = bench.snapshot(&lost, 60);
    let both = Recipients::from_arguments(&[ALICE, BOB]).unwrap();
    fs::write(
        lost.dir.join("policies/recipients.toml"),
        both.to_toml().unwrap(),
    )
    .unwrap();
    bench.snapshot(&lost, 120);
    let plan = bench.join_with(&new, 180, |request| {
        request.pinned = vec![print];
        request.mark = Some(Mark {
            seq: 1,
            manifest_sha256: first.digest,
        });
    });
    assert_eq!(ids(plan.unwrap().findings()), ["policy-changed"]);
}

#[test]
fn joining_may_name_other_recipients() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let plan = bench.join_with(&new, 120, |request| {
        request.pinned = vec![print];
        request.recipients = Some(Recipients::from_arguments(&[BOB]).unwrap());
    });
    join::apply(&plan.unwrap(), &new.state).unwrap();
    let recipients = Recipients::parse(&new.read("policies/recipients.toml")).unwrap();
    let names: Vec<&str> = recipients
        .iter()
        .map(|spec| spec.custodian.as_str())
        .collect();
    assert_eq!(names, ["bob"]);
}

#[test]
fn joining_overwrites_nothing_and_then_remembers_nothing() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    let outcome = bench.join(&lost, 120, print);
    assert!(matches!(
        outcome,
        Err(JoinError::Init(InitError::Exists(_)))
    ));
    let plan = bench.join(&new, 120, print).unwrap();
    fs::create_dir_all(&new.dir).unwrap();
    fs::write(new.dir.join("escrow.toml"), "mine").unwrap();
    assert!(join::apply(&plan, &new.state).is_err());
    assert_eq!(new.state.mark(&slug()).unwrap(), None);
    assert!(!new.dir.join("signing.key").exists());
}

#[test]
fn a_card_made_between_joining_and_the_next_snapshot_says_so() {
    let bench = Bench::new();
    let (lost, new) = (bench.host("lost"), bench.host("new"));
    let print = bench.init(&lost).fingerprint;
    bench.snapshot(&lost, 60);
    join::apply(&bench.join(&new, 120, print).unwrap(), &new.state).unwrap();
    let history = bench.history(180, pinned(print));
    let card = new.card(180, history.head().map(CardHead::from));
    let text = card.text();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("with this one nothing verifies"));
}
