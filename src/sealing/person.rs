//! A person who can be asked: for a passphrase, or by a plugin for a PIN or a touch.

use age::secrecy::SecretString;

/// Somebody at a terminal, or nobody. Every answer may be none: then nobody can be asked.
pub trait Person: Clone + Send + Sync + 'static {
    /// Shows a message.
    fn show(&self, message: &str);

    /// Lets them choose between two words; whether it was the first.
    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool>;

    /// Asks for a line that may be seen.
    fn line(&self, question: &str) -> Option<String>;

    /// Asks for one that may not.
    fn passphrase(&self, question: &str) -> Option<SecretString>;
}

/// A run that nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Person for Nobody {
    fn show(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn line(&self, _: &str) -> Option<String> {
        None
    }

    fn passphrase(&self, _: &str) -> Option<SecretString> {
        None
    }
}

/// As age and its plugins ask.
#[derive(Clone)]
pub(super) struct Asked<P>(pub(super) P);

impl<P: Person> age::Callbacks for Asked<P> {
    fn display_message(&self, message: &str) {
        self.0.show(message);
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        self.0.confirm(message, yes, no)
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.0.line(description)
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        self.0.passphrase(description)
    }
}
