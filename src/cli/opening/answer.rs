//! What custodians elsewhere answer: pasted into standard input, or put into a file that is waited
//! for.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Output;
use crate::sealing::custody::MAX_LAYER_BYTES;

/// How often a file that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Base64 is a third larger than what it holds.
const MAX_TEXT: usize = 2 * MAX_LAYER_BYTES;

const LAST_LINE: &[u8] = b"-----END AGE ENCRYPTED FILE-----";

/// One answer after the other, until one opens. One is given out once: where several escrows are
/// opened, the next needs another.
pub(in crate::cli) enum Answers {
    /// As many as are pasted.
    Pasted,
    /// One at a time.
    InFile {
        /// The file.
        path: PathBuf,
        /// What was in it when it was looked at before.
        seen: Vec<u8>,
        /// What it was given out with, or complained of.
        told: Vec<u8>,
    },
}

impl Answers {
    /// From a file, or from standard input, which is `-`.
    pub(super) fn new(from: &Path) -> Self {
        match from.as_os_str() == "-" {
            true => Self::Pasted,
            false => Self::InFile {
                path: from.to_owned(),
                seen: Vec::new(),
                told: Vec::new(),
            },
        }
    }

    /// Where they come from; `-` is standard input.
    pub(super) fn from(&self) -> &Path {
        match self {
            Self::Pasted => Path::new("-"),
            Self::InFile { path, .. } => path,
        }
    }

    /// Waits for the next one that is whole.
    pub(super) fn next(&mut self, output: &Output, cancel: &Cancel) -> Result<Vec<u8>, CliError> {
        match self {
            Self::Pasted => read_pasted(std::io::stdin().lock())?.ok_or_else(|| CliError {
                exit: Exit::NoIdentity,
                message: "standard input ended, and no answer opened".to_owned(),
                hint: Some("paste all of answer.age, both dashed lines included".to_owned()),
            }),
            Self::InFile { path, seen, told } => loop {
                cancel.check().map_err(CliError::failed)?;
                let there = read_file(path).map_err(|error| CliError::in_file(path, error))?;
                if there != *told && !there.is_empty() {
                    if let Some(answer) = whole(&there) {
                        *told = there;
                        return Ok(answer);
                    }
                    // Somebody may be writing it at this moment.
                    if there == *seen {
                        output.ask(&unusable(path));
                        told.clone_from(&there);
                    }
                }
                *seen = there;
                std::thread::sleep(LOOK_AGAIN);
            },
        }
    }
}

fn unusable(path: &Path) -> String {
    format!(
        "{} is there, but is no answer, or not all of one: it begins with -----BEGIN AGE ENCRYPTED \
         FILE----- and ends with -----END. Still waiting",
        path.display()
    )
}

/// What is in the file; nothing where there is none.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_TEXT as u64).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(bytes)
}

fn whole(bytes: &[u8]) -> Option<Vec<u8>> {
    // Reading from memory does not fail.
    read_pasted(BufReader::new(bytes)).ok().flatten()
}

/// Up to the line that ends it: whoever pastes into a terminal need not end the input. None where
/// the input ends before.
fn read_pasted(mut from: impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut answer = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = from.by_ref().take(MAX_TEXT as u64);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let text = line.trim_ascii();
        if text.starts_with(b"-----BEGIN") {
            answer.clear();
        } else if answer.is_empty() {
            continue;
        }
        if answer.len() <= MAX_TEXT {
            answer.extend_from_slice(text);
            answer.push(b'\n');
        }
        if text == LAST_LINE {
            return Ok(Some(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWER: &str =
        "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";

    #[test]
    fn an_answer_is_found_among_what_was_pasted_around_it() {
        let pasted = format!("Hello,\r\n\n  {}Regards\n", ANSWER.replace('\n', " \r\n"));
        assert_eq!(whole(pasted.as_bytes()).unwrap(), ANSWER.as_bytes());
        let twice = format!("-----BEGIN AGE ENCRYPTED FILE-----\nhalf\n{ANSWER}");
        assert_eq!(whole(twice.as_bytes()).unwrap(), ANSWER.as_bytes());
    }

    #[test]
    fn what_does_not_end_is_no_answer() {
        for cut in [0, 1, ANSWER.len() / 2, ANSWER.len() - 3] {
            assert_eq!(whole(&ANSWER.as_bytes()[..cut]), None);
        }
        assert_eq!(whole(b"age-encryption.org/v1\n\xff\xff\n"), None);
    }

    #[test]
    fn one_answer_is_read_after_the_other() {
        let mut pasted = std::io::Cursor::new(ANSWER.repeat(2));
        for _ in 0..2 {
            let next = read_pasted(&mut pasted).unwrap();
            assert_eq!(next.as_deref(), Some(ANSWER.as_bytes()));
        }
        assert_eq!(read_pasted(&mut pasted).unwrap(), None);
    }

    proptest! {
        #[test]
        fn other_bytes_are_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(whole(&bytes), None);
        }
    }
}
