//! Writing behind the unpacker: files are written on a thread of their own, and what is written
//! begins its way to the disk while the rest is still being unpacked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Size of a chunk, in bytes; nine of them are in memory at most.
const CHUNK: usize = 256 << 10;
const CHUNKS_IN_FLIGHT: usize = 8;

/// Bytes after which the file system is told to begin. The last sync then has little left.
const SYNC_EVERY: u64 = 256 << 20;

/// A step that is done once a file's content is written.
pub type Settle = Box<dyn FnOnce(&File) -> io::Result<()> + Send>;

/// When what was written goes to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// From time to time on the way, because all of it is to stay.
    Early,
    /// When the system likes: it may be gone before.
    Never,
}

enum Job {
    Chunk(Arc<File>, Vec<u8>),
    Settle(Arc<File>, PathBuf, Settle),
}

/// Takes files in order and writes them behind.
pub struct WriteBehind {
    jobs: Option<SyncSender<Job>>,
    spare: Receiver<Vec<u8>>,
    unused: usize,
    writer: Option<JoinHandle<io::Result<()>>>,
}

impl WriteBehind {
    /// Begins the threads. `root` names the file system that is synced.
    pub fn start(root: &Path, syncs: Syncs) -> io::Result<Self> {
        let (jobs, todo) = sync_channel(CHUNKS_IN_FLIGHT);
        let (give_back, spare) = channel();
        let root = File::open(root)?;
        let writer = Builder::new()
            .name("write-behind".to_owned())
            .spawn(move || work(&todo, &give_back, root, syncs))?;
        Ok(Self {
            jobs: Some(jobs),
            spare,
            unused: CHUNKS_IN_FLIGHT + 1,
            writer: Some(writer),
        })
    }

    /// Takes a file's content; `settle` runs once all of it is written.
    pub fn file(
        &mut self,
        path: &Path,
        file: File,
        content: &mut dyn Read,
        settle: Settle,
    ) -> io::Result<()> {
        let file = Arc::new(file);
        loop {
            let mut chunk = self.buffer()?;
            content.take(CHUNK as u64).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                self.unused += 1;
                return self.send(Job::Settle(file, path.to_owned(), settle));
            }
            self.send(Job::Chunk(file.clone(), chunk))?;
        }
    }

    /// Waits until everything is written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.jobs = None;
        match self.writer.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the writing thread died")),
        }
    }

    fn buffer(&mut self) -> io::Result<Vec<u8>> {
        if let Some(left) = self.unused.checked_sub(1) {
            self.unused = left;
            return Ok(Vec::with_capacity(CHUNK));
        }
        match self.spare.recv() {
            Ok(mut chunk) => {
                chunk.clear();
                Ok(chunk)
            }
            Err(_) => Err(self.failure()),
        }
    }

    fn send(&mut self, job: Job) -> io::Result<()> {
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Why the writer stopped.
    fn failure(&mut self) -> io::Error {
        match self.finish() {
            Err(error) => error,
            Ok(()) => io::Error::other("the writing thread stopped"),
        }
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        // Nothing may still be writing below a target that is being removed.
        let _ = self.finish();
    }
}

fn work(
    todo: &Receiver<Job>,
    give_back: &Sender<Vec<u8>>,
    root: File,
    syncs: Syncs,
) -> io::Result<()> {
    let (wake, asked) = sync_channel::<()>(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while asked.recv().is_ok() {
                // A failure shows again, and counts, at the sync before the rename.
                let _ = rustix::fs::syncfs(&root);
            }
        });
        let mut since_sync = 0;
        for job in todo {
            match job {
                Job::Chunk(file, chunk) => {
                    (&*file).write_all(&chunk)?;
                    since_sync += chunk.len() as u64;
                    let _ = give_back.send(chunk);
                }
                Job::Settle(file, path, settle) => settle(&file).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?,
            }
            if syncs == Syncs::Early && since_sync >= SYNC_EVERY {
                since_sync = 0;
                let _ = wake.try_send(());
            }
        }
        drop(wake);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle() -> Settle {
        Box::new(|_| Ok(()))
    }

    #[test]
    fn files_arrive_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut behind = WriteBehind::start(dir.path(), Syncs::Early).unwrap();
        let contents: Vec<Vec<u8>> = [0, 1, CHUNK, 3 * CHUNK + 5, 20 * CHUNK]
            .iter()
            .map(|size| (0..*size).map(|i| (i / 7) as u8).collect())
            .collect();
        for (number, content) in contents.iter().enumerate() {
            let path = dir.path().join(number.to_string());
            let file = File::create(&path).unwrap();
            behind
                .file(&path, file, &mut content.as_slice(), settle())
                .unwrap();
        }
        behind.finish().unwrap();
        for (number, content) in contents.iter().enumerate() {
            let read = std::fs::read(dir.path().join(number.to_string())).unwrap();
            assert!(read == *content, "file {number} differs");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_stops_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "").unwrap();
        let mut behind = WriteBehind::start(dir.path(), Syncs::Early).unwrap();
        let content = vec![0; 64 * CHUNK];
        let written = behind.file(
            &path,
            File::open(&path).unwrap(),
            &mut content.as_slice(),
            settle(),
        );
        assert!(written.and_then(|()| behind.finish()).is_err());
    }

    #[test]
    fn a_step_that_fails_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("named");
        let mut behind = WriteBehind::start(dir.path(), Syncs::Early).unwrap();
        let fails: Settle = Box::new(|_| Err(io::Error::other("no")));
        behind
            .file(&path, File::create(&path).unwrap(), &mut &b"x"[..], fails)
            .unwrap();
        let error = behind.finish().unwrap_err().to_string();
        assert!(error.contains("named"), "{error}");
    }
}
