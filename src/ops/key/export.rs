//! The key for the safe: sealed to the custodians, on a page that says how to use it.

use crate::base::names::{CustodianName, Slug};
use crate::base::time::UtcTime;
use crate::databasus::secret_key::SecretKey;
use crate::model::quorum::Quorum;
use crate::model::recipients::Recipients;
use crate::sealing::custody::{CustodySealError, armored, seal_armored, seal_layers};
use crate::sealing::identities::age_recipients;

/// The key, sealed to those who open it.
pub struct Export {
    /// Each of them alone, or all of them in this order.
    pub custodians: Vec<CustodianName>,
    /// Whether it takes all of them.
    pub together: bool,
    /// An armoured age file.
    pub text: String,
}

/// Seals the exact bytes of the key as escrows are sealed: to every custodian, or to every set of
/// them that it takes.
pub fn seal(
    key: &SecretKey,
    recipients: &Recipients,
    quorum: Option<&Quorum>,
) -> Result<Vec<Export>, CustodySealError> {
    let Some(quorum) = quorum else {
        return Ok(vec![Export {
            custodians: recipients
                .iter()
                .map(|spec| spec.custodian.clone())
                .collect(),
            together: false,
            text: seal_armored(key.expose(), &age_recipients(recipients)?)?,
        }]);
    };
    let sets = quorum.sets().iter();
    sets.map(|set| {
        Ok(Export {
            custodians: set.iter().map(|spec| spec.custodian.clone()).collect(),
            together: true,
            text: armored(&seal_layers(key.expose(), set)?.bytes)?,
        })
    })
    .collect()
}

impl Export {
    /// What its files are called, without their endings.
    pub fn name(&self, instance: &Slug) -> String {
        match self.together {
            false => format!("{instance}-key"),
            true => format!("{instance}-key-{}", self.names("+")),
        }
    }

    /// The page that goes into the safe, in plain ASCII.
    pub fn page(&self, instance: &Slug, key: &SecretKey, now: UtcTime) -> String {
        let opens = match self.together {
            false => format!("Any one of these opens it: {}.", self.names(", ")),
            true => format!("All of these open it, in this order: {}.", self.names(", ")),
        };
        let id = key.key_id(instance);
        let length = key.expose().len();
        let command = self.command();
        let text = &self.text;
        format!(
            "THE MASTER KEY OF DATABASUS \"{instance}\", SEALED\n\
             made {now}, key id {id}\n\
             {opens}\n\
             \n\
             This is secret.key: without it none of the backups that Databasus made can be opened,\n\
             whoever has them. It is encrypted; who finds this page can do nothing with it.\n\
             \n\
             TO USE IT, with stock age (https://age-encryption.org):\n\
             1. Scan the QR code into a file key.age, or type the text below, both dashed lines\n\
             \x20  included: no blanks, no empty lines; every line between them but the last has 64\n\
             \x20  characters.\n\
             2. {command} > secret.key\n\
             3. wc -c < secret.key    must say {length}. Do not edit or trim it.\n\
             \x20  databasus-escrow key fingerprint --instance {instance} --secret-key secret.key\n\
             \x20  must say {id}.\n\
             4. With the buckets: databasus-escrow recover --list --secret-key secret.key --from ...\n\
             \x20  For a new Databasus: put it into its data directory, as secret.key with mode 0600,\n\
             \x20  BEFORE the first start. Where it is missing, Databasus makes a new key without a\n\
             \x20  word, and the old backups stay shut.\n\
             \n\
             {text}"
        )
    }

    fn command(&self) -> String {
        let mut steps = self.custodians.iter();
        let first = steps.next().filter(|_| self.together);
        let Some(first) = first else {
            return "age -d -i IDENTITY key.age".to_owned();
        };
        let mut command = format!("age -d -i {first}.txt key.age");
        for next in steps {
            command.push_str(&format!(" | age -d -i {next}.txt"));
        }
        command
    }

    fn names(&self, between: &str) -> String {
        let names: Vec<&str> = self.custodians.iter().map(CustodianName::as_str).collect();
        names.join(between)
    }
}
