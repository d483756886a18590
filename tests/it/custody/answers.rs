//! What a custodian's answer proves, as of when, and that it is found again in a store in which
//! somebody hides it.

use std::sync::Arc;

use databasus_escrow::base::cancel::Cancel;
use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::{Clock as _, UtcTime};
use databasus_escrow::model::allowed_signers::Window;
use databasus_escrow::model::checkin::{FORMAT, STATEMENT, Unproven};
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::lock::LockState;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::model::recipients::{RecipientSpec, Recipients};
use databasus_escrow::ops::commit::Ports;
use databasus_escrow::ops::custody::checkin::{self, CheckinRefused, Verified};
use databasus_escrow::ops::custody::status::{self, Status};
use databasus_escrow::ops::custody::stored_checkins::Stored;
use databasus_escrow::ops::custody::submission::{self, SubmissionRefused, keep};
use databasus_escrow::ops::history::History;
use databasus_escrow::ops::locks;
use databasus_escrow::ops::noncurrent;
use databasus_escrow::ops::rekey;
use databasus_escrow::sealing::custody::open_layer;
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::store::Store;

use crate::support::instance::{Bed, Host, ids, versioned};

const DAY: i64 = 86_400;

/// An instance whose custodian alice may check in.
struct Scene {
    bed: Bed,
    host: Host,
    nights: Vec<Manifest>,
}

/// A document, and the signature over it.
type Answer = (Vec<u8>, String);

impl Scene {
    fn new() -> Self {
        let mut bed = Bed::locked(vec![versioned("a")]);
        let key = SigningKey::generate().unwrap();
        bed.admit_for("alice", key, &[Namespace::Checkin], Window::default());
        let host = bed.host("host-1");
        let mut scene = Self {
            bed,
            host,
            nights: Vec::new(),
        };
        scene.night();
        scene
    }

    fn night(&mut self) {
        let manifest = self.bed.snapshot(&self.host).unwrap().manifest;
        self.nights.push(manifest);
    }

    /// Seals the first night again, to somebody else as well; it counts as a further one.
    fn seal_again(&mut self) {
        let mut destinations = Bed::destinations(&self.bed.stores);
        destinations[0].lock = self.bed.lock;
        let ports = Ports {
            destinations: &destinations,
            state: &self.host.state,
            clock: &self.bed.clock,
            cancel: &Cancel::new(),
        };
        let bob = age::x25519::Identity::generate().to_public().to_string();
        let specs = self.host.settings.recipients.iter().cloned();
        let bob = RecipientSpec::parse("bob", &bob).unwrap();
        let recipients = Recipients::new(specs.chain([bob]).collect()).unwrap();
        let identities = self.bed.identities();
        let settings = rekey::Settings {
            recipients: &recipients,
            quorum: None,
            recipients_text: &recipients.to_toml().unwrap(),
            identities: Some(&identities),
            escrows: &[],
        };
        let told: rekey::Told = Arc::new(|_| {});
        rekey::run(self.bed.author(&self.host), ports, &settings, &told).unwrap();
        let history = self.history();
        let (entry, _) = history.escrows().next().unwrap();
        self.nights.push(history.load(entry).unwrap());
    }

    fn store(&self) -> &dyn Store {
        self.bed.stores[0].as_ref()
    }

    fn history(&self) -> History {
        self.bed.read(None)
    }

    /// What alice signs for a night's canary, dated as she likes.
    fn answer(&self, night: usize, at: UtcTime, statement: &str) -> Answer {
        let manifest = &self.nights[night];
        let canary = &manifest.canaries[0];
        let file = noncurrent::contents(self.store(), &canary.key, 1 << 20).next();
        let nonce = open_layer(&file.unwrap(), &self.bed.identities()).unwrap();
        let history = self.history();
        let mut entries = history.entries.iter();
        let entry = entries.find(|entry| entry.link.seq == manifest.seq);
        let document = serde_json::json!({
            "format": FORMAT, "instance": "demo", "custodian": "alice",
            "escrow_id": manifest.escrow_id, "manifest_sha256": entry.unwrap().link.digest,
            "nonce": hex::encode(&*nonce), "created_at": at, "statement": statement,
        });
        let document = serde_json::to_vec(&document).unwrap();
        let key = self.bed.key_of("alice");
        let signature = key.sign(Namespace::Checkin, &document).unwrap();
        (document, signature)
    }

    fn dated(&self, night: usize, at: UtcTime) -> Answer {
        self.answer(night, at, STATEMENT)
    }

    fn submitted(&self, answer: &Answer) -> Result<Verified, SubmissionRefused> {
        let history = self.history();
        let stored = Stored {
            history: &history,
            stores: &self.bed.stores,
            now: self.bed.clock.now(),
        };
        submission::verify(&answer.0, answer.1.as_bytes(), stored)
    }

    /// Puts an answer into the store, as one who may write there can.
    fn keep(&self, (document, signature): &Answer) -> String {
        let (history, now) = (self.history(), self.bed.clock.now());
        let signature = signature.as_bytes();
        let verified = checkin::verify(document, signature, None, &history, now).unwrap();
        let mut destinations = Bed::destinations(&self.bed.stores);
        destinations[0].lock = self.bed.lock;
        let layout = history.layout();
        let lacking = keep(&verified, document, signature, layout, now, &destinations);
        assert!(lacking.is_empty(), "{lacking:?}");
        layout.checkin(&verified.checkin.custodian, verified.checkin.created_at)
    }

    fn status(&self) -> Status {
        Status::gather(&status::Request {
            recipients: &self.host.settings.recipients,
            quorum: None,
            history: &self.history(),
            stores: &self.bed.stores,
            now: self.bed.clock.now(),
        })
    }

    fn proven_at(&self) -> Option<UtcTime> {
        self.status().custodians[0].proven_at
    }
}

/// The attack: whoever has alice's SSH key, and not her identity, names again what she named once.
#[test]
fn an_answer_that_is_dated_anew_proves_the_day_of_its_canary() {
    let mut scene = Scene::new();
    let first = scene.nights[0].created_at;
    scene.keep(&scene.dated(0, first.plus(60)));
    assert_eq!(scene.proven_at(), Some(first));
    scene.bed.clock.advance(100 * DAY);
    scene.night();
    scene.keep(&scene.dated(0, scene.bed.clock.now()));
    let status = scene.status();
    assert_eq!(status.custodians[0].proven_at, Some(first));
    assert!(ids(&status.findings).contains(&"checkin-old (warning)".to_owned()));
    // The newest proof is the one to the newest canary, whatever dates the answers have.
    scene.keep(&scene.dated(1, scene.nights[1].created_at));
    assert_eq!(scene.proven_at(), Some(scene.nights[1].created_at));
}

/// A canary of a later sealing is younger than the escrow, and its answer says so.
#[test]
fn an_answer_to_the_canary_of_a_later_sealing_proves_the_day_of_that() {
    let mut scene = Scene::new();
    scene.bed.clock.advance(30 * DAY);
    scene.seal_again();
    let sealed_at = scene.history().head().unwrap().link.created_at;
    let [first, second] = [0, 1].map(|night| {
        let answer = scene.dated(night, scene.bed.clock.now());
        scene.submitted(&answer)
    });
    assert!(matches!(first, Err(SubmissionRefused::OldCanary(_))));
    assert_eq!(second.unwrap().proven_at, sealed_at);
    // Before it was made nobody can have opened it.
    let early = scene.submitted(&scene.dated(1, sealed_at.plus(-3600)));
    assert!(matches!(
        early.err().unwrap(),
        SubmissionRefused::Checkin(CheckinRefused::Unproven(_))
    ));
}

#[test]
fn an_answer_to_an_old_canary_is_taken_only_where_there_is_no_newer_one() {
    let mut scene = Scene::new();
    let first = scene.nights[0].created_at;
    scene.bed.clock.advance(13 * DAY);
    scene.night();
    let answer = scene.dated(0, scene.bed.clock.now());
    assert_eq!(scene.submitted(&answer).unwrap().proven_at, first);
    scene.bed.clock.advance(2 * DAY);
    let refused = scene.submitted(&answer).err().unwrap();
    assert!(matches!(refused, SubmissionRefused::OldCanary(at) if at == first));
    scene.bed.clock.advance(100 * DAY);
    let newest = scene.submitted(&scene.dated(1, scene.bed.clock.now()));
    assert_eq!(newest.unwrap().proven_at, scene.nights[1].created_at);
}

#[test]
fn a_canary_is_answered_once_and_the_same_answer_may_come_in_again() {
    let scene = Scene::new();
    let at = scene.nights[0].created_at.plus(60);
    let answer = scene.dated(0, at);
    scene.bed.clock.advance(3600);
    assert!(scene.submitted(&answer).is_ok());
    let key = scene.keep(&answer);
    assert!(scene.submitted(&answer).is_ok());
    scene.keep(&answer);
    let again = scene.dated(0, at.plus(60));
    let refused = scene.submitted(&again).err().unwrap();
    assert!(matches!(refused, SubmissionRefused::Answered(before) if before == at));
    // Nor is it forgotten because somebody deleted it.
    scene.store().delete(&key).unwrap();
    assert!(scene.submitted(&again).is_err());
}

#[test]
fn whoever_confirms_less_has_confirmed_nothing() {
    let scene = Scene::new();
    let at = scene.nights[0].created_at.plus(60);
    scene.bed.clock.advance(3600);
    let refused = scene.submitted(&scene.answer(0, at, "I did."));
    assert!(matches!(
        refused.err().unwrap(),
        SubmissionRefused::Checkin(CheckinRefused::Unproven(Unproven::OtherStatement))
    ));
}

#[test]
fn answers_are_locked_as_long_as_manifests() {
    let scene = Scene::new();
    let key = scene.keep(&scene.dated(0, scene.nights[0].created_at));
    let manifest = Layout::new(&scene.bed.slug).manifest(1);
    let until = |key: &str| match locks::read_back(scene.store(), key, None) {
        LockState::Locked(lock) => lock.until,
        other => panic!("{key}: {other:?}"),
    };
    assert!(until(&key) >= until(&manifest));
}

#[test]
fn an_answer_is_found_behind_deletes_overwrites_and_a_flood_of_names() {
    let scene = Scene::new();
    let at = scene.nights[0].created_at.plus(60);
    let answer = scene.dated(0, at);
    scene.bed.clock.advance(3600);
    let key = scene.keep(&answer);
    let store: &Arc<dyn Store> = &scene.bed.stores[0];
    let layout = Layout::new(&scene.bed.slug);
    let digest = Digest::of(&answer.0);
    let signature = layout.signature(&digest, &"alice".parse().unwrap());
    for hidden in [&key, &signature] {
        store.delete(hidden).unwrap();
        assert_eq!(
            scene.proven_at(),
            Some(scene.nights[0].created_at),
            "{hidden}"
        );
        store.put_if_absent(hidden, b"planted").unwrap();
        assert_eq!(
            scene.proven_at(),
            Some(scene.nights[0].created_at),
            "{hidden}"
        );
    }
    let folder = layout.checkins_of(&"alice".parse().unwrap());
    for number in 0..200 {
        let later = scene.bed.clock.now().plus(DAY + number).compact();
        for name in [format!("{later}.json"), format!("z{number}.json")] {
            store
                .put_if_absent(&format!("{folder}{name}"), b"{}")
                .unwrap();
        }
    }
    assert_eq!(scene.proven_at(), Some(scene.nights[0].created_at));
}
