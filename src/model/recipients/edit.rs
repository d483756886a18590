//! The recipients file, edited: what people wrote around the entries stays as it is.

use super::{RawFile, RawRecipient, RecipientSpec, Recipients, RecipientsError};
use crate::base::names::CustodianName;

const HEADING: &str = "[[recipient]]";

/// A recipients file that could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The result names no usable set of recipients.
    #[error(transparent)]
    Recipients(#[from] RecipientsError),
    /// Nobody of that name.
    #[error("there is no custodian {0}")]
    Nobody(CustodianName),
    /// Not laid out as this tool understands it.
    #[error("the recipients file is laid out in a way that is not edited here; use an editor")]
    Layout,
}

/// The file's text with one more custodian at its end.
pub fn with(text: &str, spec: &RecipientSpec) -> Result<String, EditError> {
    let recipient = vec![RawRecipient::from(spec)];
    let block = toml::to_string(&RawFile { recipient }).map_err(|_| EditError::Layout)?;
    let edited = format!("{}\n\n{block}", text.trim_end());
    let mut expected = Recipients::parse(text)?.specs;
    expected.push(spec.clone());
    checked(edited, Recipients::new(expected)?)
}

/// The file's text without a custodian.
pub fn without(text: &str, custodian: &CustodianName) -> Result<String, EditError> {
    let mut expected = Recipients::parse(text)?.specs;
    let before = expected.len();
    expected.retain(|spec| spec.custodian != *custodian);
    if expected.len() == before {
        return Err(EditError::Nobody(custodian.clone()));
    }
    let expected = Recipients::new(expected)?;
    let blocks = blocks(text);
    let kept = blocks.into_iter().filter(|block| !names(block, custodian));
    checked(kept.collect(), expected)
}

/// An edit counts only if it did what was asked for, and nothing else.
fn checked(text: String, expected: Recipients) -> Result<String, EditError> {
    match Recipients::parse(&text)? == expected {
        true => Ok(text),
        false => Err(EditError::Layout),
    }
}

/// What stands before the first entry, and every entry with what follows it.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if line.trim() == HEADING {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
        }
    }
    blocks
}

fn names(block: &str, custodian: &CustodianName) -> bool {
    let parsed: Result<RawFile, _> = toml::from_str(block);
    parsed.is_ok_and(|file| {
        let mut recipients = file.recipient.iter();
        recipients.any(|raw| raw.custodian.trim() == custodian.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PUBLIC: &str = "age126jujvhamp2k74tzrltz6trepdyl72han22zd0g0ugd38ylzgswqgxlvyd";

    fn x25519() -> String {
        age::x25519::Identity::generate().to_public().to_string()
    }

    fn file() -> String {
        format!(
            "# Ours.\n\n[[recipient]]\ncustodian = \"alice\" # on call\nrecipient = \"{}\"\n\n\
             [[recipient]]\ncustodian = \"bob\"\nrecipient = \"{}\"\nnote = \"the safe\"\n",
            x25519(),
            x25519()
        )
    }

    #[test]
    fn a_newcomer_stands_last_and_everything_else_stays() {
        let text = file();
        let carol = RecipientSpec::parse("carol", &x25519()).unwrap();
        let edited = with(&text, &carol).unwrap();
        assert!(edited.starts_with(text.trim_end()));
        let names: Vec<String> = Recipients::parse(&edited)
            .unwrap()
            .iter()
            .map(|spec| spec.custodian.to_string())
            .collect();
        assert_eq!(names, ["alice", "bob", "carol"]);
        assert_eq!(
            without(&edited, &carol.custodian).unwrap().trim_end(),
            text.trim_end()
        );
    }

    proptest! {
        #[test]
        fn text_that_is_no_file_never_panics(text in "(\\[\\[recipient\\]\\]|[a-z=\" \n#\\[\\]])*") {
            let carol = RecipientSpec::parse("carol", PUBLIC).unwrap();
            prop_assert!(with(&text, &carol).is_err() || Recipients::parse(&text).is_ok());
            prop_assert!(without(&text, &carol.custodian).is_err());
        }
    }

    #[test]
    fn nobody_comes_twice_and_nobody_unknown_leaves() {
        let text = file();
        let again = RecipientSpec::parse("alice", &x25519()).unwrap();
        assert!(matches!(
            with(&text, &again),
            Err(EditError::Recipients(RecipientsError::RepeatedCustodian(_)))
        ));
        let refused = without(&text, &"carol".parse().unwrap());
        assert!(matches!(refused, Err(EditError::Nobody(_))));
    }

    #[test]
    fn the_last_custodian_stays() {
        let text = without(&file(), &"alice".parse().unwrap()).unwrap();
        assert!(text.starts_with("# Ours.") && text.contains("the safe"));
        assert!(matches!(
            without(&text, &"bob".parse().unwrap()),
            Err(EditError::Recipients(RecipientsError::Empty))
        ));
    }

    #[test]
    fn a_layout_that_is_not_understood_is_left_to_a_person() {
        let text = format!(
            "recipient = [{{custodian = \"alice\", recipient = \"{}\"}}, \
             {{custodian = \"bob\", recipient = \"{}\"}}]\n",
            x25519(),
            x25519()
        );
        assert!(without(&text, &"bob".parse().unwrap()).is_err());
        let carol = RecipientSpec::parse("carol", &x25519()).unwrap();
        assert!(with(&text, &carol).is_err());
    }
}
