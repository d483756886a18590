//! Chunks decrypted side by side: one thread reads, several decrypt, and they come out in order.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Builder;

use super::{BackupKey, Sealed, SealedChunk, open};

/// What a thread passes on; nothing is the end of the file.
type Next<T> = io::Result<Option<T>>;

/// The threads, once they run. Chunk `n` goes through lane `n` modulo their number, so that order
/// needs no sorting, and every channel holds one chunk at most.
pub(super) struct Pipeline {
    waiting: Option<(Sealed, BackupKey)>,
    threads: usize,
    lanes: Vec<Receiver<Next<Vec<u8>>>>,
    lane: usize,
}

impl Pipeline {
    pub(super) fn new(sealed: Sealed, key: BackupKey, threads: usize) -> Self {
        Self {
            waiting: Some((sealed, key)),
            threads,
            lanes: Vec::new(),
            lane: 0,
        }
    }

    /// The next chunk; none after the last.
    pub(super) fn next(&mut self) -> Next<Vec<u8>> {
        if let Some((sealed, key)) = self.waiting.take() {
            self.lanes = start(sealed, &key, self.threads)?;
        }
        let stopped = || io::Error::other("a decrypting thread stopped");
        let lane = self.lanes.get(self.lane).ok_or_else(stopped)?;
        self.lane = (self.lane + 1) % self.threads;
        lane.recv().map_err(|_| stopped())?
    }
}

fn start(
    sealed: Sealed,
    key: &BackupKey,
    threads: usize,
) -> io::Result<Vec<Receiver<Next<Vec<u8>>>>> {
    let mut inputs = Vec::new();
    let mut outputs = Vec::new();
    for lane in 0..threads {
        let (input, todo) = sync_channel(1);
        let (done, output) = sync_channel(1);
        let key = key.clone();
        let name = format!("decrypt-{lane}");
        Builder::new()
            .name(name)
            .spawn(move || decrypt(&key, &todo, &done))?;
        inputs.push(input);
        outputs.push(output);
    }
    let name = "read-backup".to_owned();
    Builder::new()
        .name(name)
        .spawn(move || deal(sealed, &inputs))?;
    Ok(outputs)
}

/// Gives the chunks to the lanes by turns, until the end, an error, or nobody wants them.
fn deal(mut sealed: Sealed, lanes: &[SyncSender<Next<SealedChunk>>]) {
    for lane in lanes.iter().cycle() {
        let next = sealed.next();
        let goes_on = matches!(next, Ok(Some(_)));
        if lane.send(next).is_err() || !goes_on {
            return;
        }
    }
}

fn decrypt(key: &BackupKey, todo: &Receiver<Next<SealedChunk>>, done: &SyncSender<Next<Vec<u8>>>) {
    for chunk in todo {
        if done.send(chunk.and_then(|chunk| open(key, chunk))).is_err() {
            return;
        }
    }
}
