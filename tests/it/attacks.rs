//! What somebody who can write to the bucket, and has no signing key, can bring about: findings,
//! and nothing else. Escrows that were not touched open as before.

mod audited;
mod by_hand;
mod chain;
mod floods;
mod hidden;
mod payload;
mod slots;

use databasus_escrow::base::digest::Digest;
use databasus_escrow::base::time::{Clock, UtcTime};
use databasus_escrow::model::allowed_signers::Window;
use databasus_escrow::model::layout::Layout;
use databasus_escrow::model::manifest::Manifest;
use databasus_escrow::model::mark::Mark;
use databasus_escrow::model::namespace::Namespace;
use databasus_escrow::ops::history::History;
use databasus_escrow::ops::select::{SelectError, Selection, select};
use databasus_escrow::sealing::sshsig::SigningKey;
use databasus_escrow::store::Store;

use crate::support::instance::{Bed, Host};

/// Three nights of one instance, as the custodian remembers them.
struct Scene {
    bed: Bed,
    host: Host,
    layout: Layout,
    manifests: Vec<Manifest>,
    mark: Mark,
}

impl Scene {
    fn new() -> Self {
        Self::in_stores(&["a"])
    }

    fn in_stores(names: &[&str]) -> Self {
        Self::of(Bed::with_stores(names))
    }

    fn of(mut bed: Bed) -> Self {
        let retired = Window::new(None, Some(UtcTime::from_unix(1_700_000_000))).unwrap();
        bed.admit("retired", SigningKey::generate().unwrap(), retired);
        let host = bed.host("host-1");
        let nights = [(); 3].map(|()| bed.snapshot(&host).unwrap().manifest);
        let mark = host.state.mark(&bed.slug).unwrap().unwrap();
        Self {
            layout: Layout::new(&bed.slug),
            manifests: nights.into(),
            mark,
            host,
            bed,
        }
    }

    fn store(&self) -> &dyn Store {
        self.bed.stores[0].as_ref()
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.store().get(key, 64 << 20).unwrap().bytes
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.store().delete(key).unwrap();
        self.store().put_if_absent(key, bytes).unwrap();
    }

    fn delete(&self, key: &str) {
        self.store().delete(key).unwrap();
    }

    fn manifest_key(&self, seq: u64) -> String {
        self.layout.manifest(seq)
    }

    fn manifest_bytes(&self, seq: u64) -> Vec<u8> {
        self.get(&self.manifest_key(seq))
    }

    fn payload_key(&self, seq: usize) -> String {
        self.layout.payload(&self.manifests[seq - 1].escrow_id)
    }

    fn signature_key(&self, seq: u64, signer: &str) -> String {
        let digest = Digest::of(&self.manifest_bytes(seq));
        self.layout.signature(&digest, &signer.parse().unwrap())
    }

    /// A copy of the newest manifest, edited.
    fn forged(&self, edit: impl FnOnce(&mut Manifest)) -> Vec<u8> {
        let mut manifest = self.manifests[2].clone();
        edit(&mut manifest);
        manifest.to_bytes().unwrap()
    }

    /// A manifest that would come next.
    fn next(&self, edit: impl FnOnce(&mut Manifest)) -> Vec<u8> {
        self.forged(|manifest| {
            manifest.seq = 4;
            manifest.prev_sha256 = Some(self.mark.manifest_sha256);
            manifest.created_at = self.bed.clock.now();
            edit(manifest);
        })
    }

    fn sign(&self, bytes: &[u8], key: &SigningKey, signer: &str, namespace: Namespace) {
        let digest = Digest::of(bytes);
        let name = self.layout.signature(&digest, &signer.parse().unwrap());
        let signature = key.sign(namespace, bytes).unwrap();
        self.put(&name, signature.as_bytes());
    }

    /// Signs as a host does.
    fn sign_as(&self, signer: &str, bytes: &[u8]) {
        let key = self.bed.key_of(signer);
        self.sign(bytes, key, signer, Namespace::Manifest);
    }

    fn read(&self) -> History {
        self.bed.read(Some(self.mark))
    }

    /// The sequence number of what would be rehydrated by default, or the refusal.
    fn newest(&self, history: &History) -> Result<u64, &'static str> {
        match select(history, &Selection::Newest) {
            Ok((entry, _)) => Ok(entry.link.seq),
            Err(SelectError::Doubtful { .. }) => Err("doubtful"),
            Err(SelectError::None) => Err("none"),
            Err(other) => panic!("{other}"),
        }
    }

    /// Which of the three escrows open.
    fn opening(&self) -> Vec<usize> {
        let opens = |night: &usize| {
            let opened = self.bed.open(&self.manifests[night - 1], &self.bed.stores);
            opened.is_ok()
        };
        (1..=3).filter(opens).collect()
    }
}
