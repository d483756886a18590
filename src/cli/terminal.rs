//! The person at the terminal, who is asked there and nowhere else: standard input may be the
//! identity itself.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroize;

use crate::base::text::printable;
use crate::sealing::person::Person;

/// Longer than any passphrase, in bytes.
const MAX_LINE: usize = 4 << 10;

/// The terminal of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal;

impl Person for Terminal {
    fn show(&self, message: &str) {
        if let Some(mut tty) = open() {
            let _ = writeln!(tty, "{}", printable(message));
        }
    }

    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.unwrap_or("no");
        let answer = self.line(&format!("{question} ({yes}/{no})"))?;
        Some(answer.eq_ignore_ascii_case(yes))
    }

    fn line(&self, question: &str) -> Option<String> {
        read_line(&open()?, question)
    }

    fn passphrase(&self, question: &str) -> Option<SecretString> {
        let tty = open()?;
        let silence = Silence::on(&tty)?;
        let line = read_line(&tty, question);
        drop(silence);
        let _ = writeln!(&tty);
        let mut line = line?;
        let passphrase = SecretString::from(line.as_str());
        line.zeroize();
        Some(passphrase)
    }
}

fn open() -> Option<File> {
    let tty = File::options().read(true).write(true).open("/dev/tty");
    tty.ok()
}

fn read_line(mut tty: &File, question: &str) -> Option<String> {
    write!(tty, "{}: ", printable(question)).ok()?;
    tty.flush().ok()?;
    // With room for all of it: a string that grows leaves unwiped copies behind.
    let mut line = String::with_capacity(MAX_LINE);
    let mut reader = BufReader::with_capacity(1, std::io::Read::take(tty, MAX_LINE as u64));
    let length = reader.read_line(&mut line).ok()?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    (length > 0).then_some(line)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence<'a> {
    tty: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn on(tty: &'a File) -> Option<Self> {
        let before = tcgetattr(tty).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(tty, OptionalActions::Flush, &silent).ok()?;
        Some(Self { tty, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.tty, OptionalActions::Flush, &self.before);
    }
}
