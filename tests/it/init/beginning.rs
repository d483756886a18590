//! What `init` writes, and what it leaves alone.

use super::*;

#[test]
fn what_init_writes_can_be_read_and_is_as_private_as_it_must_be() {
    let bench = Bench::new();
    let host = bench.host("host");
    let written = bench.init(&host);
    let names = [
        "signing.key",
        "policies/allowed_signers",
        "policies/recipients.toml",
    ];
    let mut expected: Vec<PathBuf> = names.iter().map(|name| host.dir.join(name)).collect();
    expected.push(host.dir.join("escrow.toml"));
    assert_eq!(written.paths, expected);
    for path in &written.paths {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let is_key = path.ends_with("signing.key");
        assert!(
            if is_key {
                mode == 0o600
            } else {
                mode & !0o644 == 0
            },
            "{path:?} {mode:o}"
        );
    }
    assert_eq!(host.config().instance, slug());
    let key = SigningKey::from_openssh_pem(&host.read("signing.key")).unwrap();
    assert_eq!(key.fingerprint(), written.fingerprint);
    let signers = host.signers();
    let line = signers.entries().next().unwrap();
    assert_eq!(line.principal(), &signer());
    assert_eq!(line.key(), key.public());
    assert_eq!(line.window().valid_after(), Some(at(0)));
    assert!(line.permits(Namespace::Manifest) && !line.permits(Namespace::Drill));
    let recipients = Recipients::parse(&host.read("policies/recipients.toml")).unwrap();
    assert_eq!(recipients.iter().next().unwrap().since, Some(at(0)));
}

#[test]
fn init_overwrites_nothing_and_names_all_that_is_in_the_way() {
    let bench = Bench::new();
    let host = bench.host("host");
    let early = init::plan(bench.init_request(&host)).unwrap();
    fs::create_dir_all(host.dir.join("policies")).unwrap();
    fs::write(host.dir.join("policies/recipients.toml"), "mine").unwrap();
    fs::write(host.dir.join("escrow.toml"), "mine too").unwrap();
    let before = files_below(&host.dir);
    let refused = init::plan(bench.init_request(&host))
        .unwrap_err()
        .to_string();
    for name in ["escrow.toml", "policies/recipients.toml"] {
        assert!(refused.contains(name), "{refused}");
    }
    assert!(!refused.contains("signing.key"), "{refused}");
    // What came into being between planning and writing is not overwritten either.
    assert!(matches!(init::apply(&early), Err(InitError::Exists(_))));
    assert_eq!(files_below(&host.dir), before);
    assert_eq!(host.read("escrow.toml"), "mine too");
}

#[test]
fn init_without_a_signer_is_refused() {
    let bench = Bench::new();
    let mut request = bench.init_request(&bench.host("host"));
    request.answers.signing = None;
    assert!(matches!(
        init::plan(request),
        Err(InitError::NothingToSignWith)
    ));
}

#[test]
fn an_instance_that_is_in_a_store_is_not_begun_again() {
    let bench = Bench::new();
    let host = bench.host("host");
    bench.init(&host);
    let probes = init::probe_all(&[bench.store()], &slug());
    assert!(init::refuse_chains(&slug(), &probes).is_ok());
    assert!(init::refuse_unusable(&probes).is_ok());
    bench.snapshot(&host, 60);
    let probes = init::probe_all(&[bench.store()], &slug());
    let refused = init::refuse_chains(&slug(), &probes);
    assert!(matches!(refused, Err(InitError::ChainExists { .. })));
}

#[test]
fn stock_ssh_keygen_accepts_what_the_new_key_signs() {
    if !has_ssh_keygen() {
        return;
    }
    let bench = Bench::new();
    let host = bench.host("host");
    bench.init(&host);
    // In the very second in which the key becomes valid.
    let report = bench.snapshot(&host, 0);
    assert!(bench.stock_verdict(&report, &host.dir.join("policies/allowed_signers")));
}

#[test]
fn no_error_and_no_debug_output_holds_the_private_key() {
    let bench = Bench::new();
    let host = bench.host("host");
    let plan = init::plan(bench.init_request(&host)).unwrap();
    let mut told = format!("{plan:?}");
    init::apply(&plan).unwrap();
    let again = init::apply(&plan).unwrap_err();
    let planned_again = init::plan(bench.init_request(&host)).unwrap_err();
    for error in [again, planned_again] {
        told += &format!("{error:?} {}", error_chain(&error));
    }
    let pem = host.read("signing.key");
    for line in pem.lines().filter(|line| !line.is_empty()) {
        assert!(!told.contains(line), "{told}");
    }
}
