//! A server that is written to all the time: what a snapshot gives, and what a copy of its files
//! gives instead.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::ops::rehydrate::{Mode, Outcome};
use databasus_escrow::postgres::amcheck;
use databasus_escrow::postgres::private_server::PrivateServer;

use super::{KEYS, assert_verifies, outcomes, served};
use crate::support::escrowing::{Escrowing, local};
use crate::support::postgres::TestPg;

/// In pgbench's books every transaction stands four times, so these sums agree at any moment.
const BOOKS: &str = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = s
    AND (SELECT sum(tbalance) FROM pgbench_tellers) = s
    AND (SELECT sum(bbalance) FROM pgbench_branches) = s
    AND (SELECT count(*) FROM pgbench_accounts) = 500000
    FROM (SELECT coalesce(sum(delta), 0) AS s FROM pgbench_history) AS history";

struct Load(Vec<Child>);

impl Load {
    /// Writes as fast as the server takes it, and makes it checkpoint all the time, so that its
    /// log is recycled under the copy.
    fn on(server: &TestPg) -> Self {
        let script = server.scratch_dir().join("checkpoints.sql");
        std::fs::write(&script, "CHECKPOINT;\n").unwrap();
        let script = script.to_str().unwrap();
        Self(vec![
            pgbench(server, &["-c", "4", "-T", "600", "-n"]),
            pgbench(server, &["-T", "600", "-n", "-f", script]),
        ])
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn pgbench(server: &TestPg, args: &[&str]) -> Child {
    let mut command = server.command("pgbench");
    let environment = [("PGUSER", "postgres"), ("PGDATABASE", "databasus")];
    command
        .args(args)
        .envs(environment)
        .env("PGHOST", server.socket_dir())
        .env("PGPORT", server.port().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A server with pgbench's tables, whose log has little room.
fn busy_server() -> Option<TestPg> {
    let server = TestPg::start_with(&["max_wal_size=32MB", "min_wal_size=32MB"])?;
    server.write_secret_key(KEYS[0]);
    let filled = pgbench(&server, &["-i", "-q", "-s", "5"]).wait();
    assert!(filled.unwrap().success());
    Some(server)
}

fn transactions(server: &TestPg) -> u64 {
    let count = server.psql("SELECT count(*) FROM pgbench_history");
    count.parse().unwrap()
}

#[test]
fn a_snapshot_of_a_busy_server_is_consistent() {
    let Some(server) = busy_server() else { return };
    let escrows = Escrowing::into_stores(&["first"]);
    let load = Load::on(&server);
    let before = transactions(&server);
    let manifest = escrows.snapshot(&server);
    assert!(transactions(&server) > before, "nobody wrote meanwhile");
    drop(load);

    let files = escrows.place("files");
    escrows
        .rehydrate(&manifest, &files, &Mode::FilesOnly)
        .unwrap();
    assert_verifies(&server, &files.join("pgdata"));

    let target = escrows.place("databasus-data");
    let mode = Mode::Full(local(server.bin()));
    let report = escrows.rehydrate(&manifest, &target, &mode).unwrap();
    assert!(report.is_whole());
    assert_eq!(outcomes(&report)["amcheck"], Outcome::Proven);
    let counts = report
        .proofs
        .iter()
        .find(|proof| proof.what == "row counts");
    assert!(
        counts.unwrap().detail.contains("pgbench_history"),
        "{counts:?}"
    );
    assert_eq!(served(&target).psql(BOOKS), "t");
}

/// What is wrong with a copied cluster, if anything.
fn damage(server: &TestPg, pgdata: &Path) -> Option<String> {
    let copy = match PrivateServer::start(&local(server.bin()), pgdata, &Cancel::new()) {
        Ok(copy) => copy,
        Err(error) => return Some(format!("it does not start: {error}")),
    };
    let mut session = match copy.connect("databasus") {
        Ok(session) => session,
        Err(error) => return Some(format!("it lets nobody in: {error}")),
    };
    match amcheck::check(&mut session) {
        Err(error) => return Some(format!("amcheck fails: {error}")),
        Ok(report) if !report.corruptions.is_empty() => return report.corruptions.first().cloned(),
        Ok(_) => {}
    }
    match session.simple_query(BOOKS) {
        Err(error) => Some(format!("the books cannot be read: {error}")),
        Ok(rows) => (rows != [[Some("t".to_owned())]]).then(|| "the books do not agree".to_owned()),
    }
}

/// The control: without it, nobody knows whether the load would show an inconsistent copy.
#[test]
fn a_copy_of_the_files_of_a_busy_server_is_not() {
    let Some(server) = busy_server() else { return };
    let load = Load::on(&server);
    let mut found = None;
    for attempt in 0..20 {
        let copy = server.scratch_dir().join(format!("copy{attempt}"));
        // Files that vanish meanwhile make it complain; that is how hot copies are.
        let _ = Command::new("cp")
            .arg("-r")
            .args([server.pgdata(), copy.clone()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let _ = std::fs::remove_file(copy.join("postmaster.pid"));
        std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .unwrap();
        server.give_to_server(&copy);
        found = damage(&server, &copy);
        std::fs::remove_dir_all(&copy).unwrap();
        if found.is_some() {
            break;
        }
    }
    drop(load);
    let damage = found.expect("twenty hot copies in a row were sound");
    eprintln!("a hot copy: {damage}");
}
