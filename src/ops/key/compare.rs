//! Whether all copies of the key are one key: told by their ids, which give nothing away.

use serde::Serialize;

use crate::base::names::{EscrowId, Slug};
use crate::databasus::secret_key::SecretKey;
use crate::ops::history::History;

/// A copy of the key, or what a manifest says of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// Where it is.
    #[serde(rename = "copy")]
    pub place: Place,
    /// Its id.
    pub key_id: String,
    /// Whether it is the key that the others are held against.
    pub verdict: Verdict,
}

/// Where a copy of the key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The file that Databasus uses.
    Live,
    /// Given from outside: a password manager, a safe.
    Outside,
    /// In an escrow, by its signed manifest.
    Escrow(EscrowId),
}

/// What holding a copy against the first one gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The same key.
    Same,
    /// Another key.
    Differs,
    /// Another key, but for bytes of white space at its end: Databasus takes them for part of it.
    EndsOtherwise,
    /// Another key, in an escrow that is not the newest: keys may change.
    Older,
}

/// Copies held against each other: the live key, else the newest escrow's, is what the others are
/// to be.
pub struct Comparison {
    /// Every copy, the one that the others are held against in front.
    pub copies: Vec<Copy>,
}

impl Comparison {
    /// Holds every copy against the first there is.
    pub fn of(
        instance: &Slug,
        live: Option<&SecretKey>,
        outside: Option<&SecretKey>,
        history: &History,
    ) -> Self {
        let id = |key: &SecretKey| key.key_id(instance).to_string();
        let mut escrows = history.escrows().rev();
        let newest = escrows.next().map(|(_, escrow)| escrow);
        let mut copies = Copies(Vec::new());
        copies.add(Place::Live, live.map(id), Verdict::Differs);
        let signed = newest.map(|escrow| escrow.secret_key_id.clone());
        if let Some(escrow) = newest {
            copies.add(Place::Escrow(escrow.id.clone()), signed, Verdict::Differs);
        }
        let otherwise = outside.filter(|key| copies.holds(&trimmed_id(key, instance)));
        let verdict = match otherwise {
            Some(_) => Verdict::EndsOtherwise,
            None => Verdict::Differs,
        };
        copies.add(Place::Outside, outside.map(id), verdict);
        for (_, escrow) in escrows {
            let signed = Some(escrow.secret_key_id.clone());
            copies.add(Place::Escrow(escrow.id.clone()), signed, Verdict::Older);
        }
        Self { copies: copies.0 }
    }

    /// Whether all copies that should be the same are.
    pub fn is_equal(&self) -> bool {
        let fine = |copy: &Copy| matches!(copy.verdict, Verdict::Same | Verdict::Older);
        self.copies.iter().all(fine)
    }
}

struct Copies(Vec<Copy>);

impl Copies {
    fn add(&mut self, place: Place, key_id: Option<String>, otherwise: Verdict) {
        let Some(key_id) = key_id else { return };
        let first = self.0.first().map(|copy| &copy.key_id);
        let verdict = match first.is_none_or(|first| *first == key_id) {
            true => Verdict::Same,
            false => otherwise,
        };
        self.0.push(Copy {
            place,
            key_id,
            verdict,
        });
    }

    /// Whether the copy that others are held against has this id.
    fn holds(&self, key_id: &Option<String>) -> bool {
        let first = self.0.first().map(|copy| &copy.key_id);
        first.is_some() && first == key_id.as_ref()
    }
}

/// The id of the key without white space at its end, where there is some.
fn trimmed_id(key: &SecretKey, instance: &Slug) -> Option<String> {
    let bytes = key.expose().trim_ascii_end();
    let trimmed = SecretKey::new(bytes.to_vec()).ok()?;
    Some(trimmed.key_id(instance).to_string())
}
