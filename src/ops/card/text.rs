//! The card as it is printed, to be read at four in the morning.

use crate::base::text::printable;
use crate::model::allowed_signers::Window;

use super::page::{Argument, Page, WIDTH};
use super::{CardPlace, CardSigner, CardStore, TrustCard};

impl TrustCard {
    /// The card as plain text, no line wider than 78 characters.
    pub fn text(&self) -> String {
        let mut page = Page::default();
        self.title(&mut page);
        self.signatures(&mut page);
        self.newest(&mut page);
        self.openers(&mut page);
        self.places(&mut page);
        self.commands(&mut page);
        self.stock_tools(&mut page);
        page.text()
    }

    fn title(&self, page: &mut Page) {
        page.prose(
            0,
            &format!("TRUST CARD of the Databasus instance {}", self.instance),
        );
        page.line(&"=".repeat(WIDTH));
        page.prose(
            0,
            &format!(
                "Made {} by {} {}. Holds no secret. Keep it on paper, away from the host and \
                 from the stores. A line that ends in \\ goes on in the next one.",
                self.issued_at, self.tool.name, self.tool.version
            ),
        );
    }

    fn signatures(&self, page: &mut Page) {
        page.heading("WHOSE SIGNATURES COUNT");
        let (valid, others): (Vec<_>, Vec<_>) =
            self.signers.iter().partition(|signer| signer.valid);
        for signer in valid {
            page.line(&format!("signer fingerprint  {}", signer.fingerprint));
            page.prose(4, &validity(signer));
        }
        for signer in others {
            page.line(&format!("not valid now       {}", signer.fingerprint));
            page.prose(4, &validity(signer));
        }
        page.line("policy in force (recipients and signers), SHA-256:");
        page.line(&format!("    {}", self.policy_sha256));
    }

    fn newest(&self, page: &mut Page) {
        page.heading("THE NEWEST MANIFEST WHEN THIS CARD WAS MADE");
        let Some(head) = &self.head else {
            page.line("none is known; print this card again after the first snapshot");
            return;
        };
        page.line(&head.mark().to_string());
        page.prose(
            4,
            &format!(
                "signed {}. Stores that offer less than this were rolled back: --mark and this \
                 line, added to a command below, make it refuse them.",
                head.created_at
            ),
        );
        if !self.reaches_head() {
            page.prose(
                4,
                "Its key is not valid any more, and the key above has signed nothing yet. Make a \
                 snapshot, then print this card again: with this one nothing verifies.",
            );
        }
    }

    fn openers(&self, page: &mut Page) {
        page.heading(&match self.custodians_needed {
            1 => "WHO CAN OPEN AN ESCROW (one of them is enough)".to_owned(),
            k => format!("WHO CAN OPEN AN ESCROW (any {k} of them together)"),
        });
        for custodian in &self.custodians {
            page.prose(0, &format!("{}, {}", custodian.name, custodian.kind));
            page.line(&format!("    {}", custodian.fingerprint));
        }
    }

    fn places(&self, page: &mut Page) {
        page.heading("WHERE THE ESCROWS ARE (one store is enough)");
        for store in &self.stores {
            place(page, store);
        }
        if self.needs_variables() {
            page.prose(
                0,
                "Other credentials that may list and read do as well; ids in --store are those \
                 of the host.",
            );
        }
    }

    fn commands(&self, page: &mut Page) {
        page.heading("BEGIN ON AN EMPTY BOX");
        let tool = format!("{} {}", self.tool.name, self.tool.version);
        page.prose(0, &format!("1. Get {tool}, check it, install it:"));
        match &self.tool.sha256 {
            Some(digest) => check_digest(page, &digest.to_string(), &self.tool.name),
            None => page.line("    (whoever printed this card did not know its digest)"),
        }
        let name = &self.tool.name;
        page.line(&format!("    install -m 0755 {name} /usr/local/bin/"));
        page.prose(
            0,
            "2. Set the variables named above, and see what there is:",
        );
        page.command(&format!("{name} list"), &self.arguments());
        page.prose(
            0,
            "3. Rehydrate. FILE is the age identity of a custodian, DIR a folder that does not \
             exist yet:",
        );
        let mut arguments = self.arguments();
        arguments.push(Argument::new("--identity", "FILE"));
        arguments.push(Argument::new("--target", "DIR"));
        page.command(&format!("{name} rehydrate"), &arguments);
        if self.custodians_needed > 1 {
            page.prose(
                0,
                &format!(
                    "It takes {} custodians: give --identity for each of them, or --unlock - in \
                     its place where they are on other machines.",
                    self.custodians_needed
                ),
            );
        }
        page.prose(
            0,
            "Do what it prints, in that order. Start nothing before it says so.",
        );
    }

    fn needs_variables(&self) -> bool {
        self.stores.iter().any(|store| !store.variables.is_empty())
    }

    fn arguments(&self) -> Vec<Argument> {
        let instance = Argument::new("--instance", &self.instance);
        let stores = self.stores.iter();
        let stores = stores.map(|store| Argument::new("--store", &store.argument));
        let trust = self.pinned();
        let trust = trust.map(|print| Argument::new("--trust", print));
        std::iter::once(instance)
            .chain(stores)
            .chain(trust)
            .collect()
    }

    fn stock_tools(&self, page: &mut Page) {
        page.heading("WITHOUT THIS TOOL, WITH STOCK TOOLS ALONE");
        page.prose(
            0,
            "Instructions lie in every store, below its prefix. Save this object as restore.md, \
             HASH being the number below:",
        );
        page.prose(4, &format!("{}/restore/HASH.md", self.instance));
        page.line("Check it before you read it:");
        check_digest(page, &self.restore_md_sha256.to_string(), "restore.md");
        page.prose(
            0,
            "It must print \"restore.md: OK\". Do not follow an unverified copy: whoever can \
             write to a store can put commands of their own there.",
        );
    }
}

fn validity(signer: &CardSigner) -> String {
    let window = Window::new(signer.valid_after, signer.valid_before).unwrap_or_default();
    format!("{}, valid {window}", signer.name)
}

fn place(page: &mut Page, store: &CardStore) {
    let provider = store.provider.as_deref();
    let provider = provider.map_or_else(String::new, |name| format!(" ({name})"));
    page.prose(0, &format!("{}{provider}", store.name));
    match &store.place {
        CardPlace::Dir(path) => {
            let path = path.to_string_lossy();
            page.prose(4, &format!("folder {}", printable(&path)));
            page.prose(4, "mount it first; where it is elsewhere, change --store");
        }
        CardPlace::S3 {
            bucket,
            prefix,
            endpoint,
            region,
        } => {
            let prefix = match prefix.as_str() {
                "" => "no prefix".to_owned(),
                prefix => format!("prefix {}", printable(prefix)),
            };
            let endpoint = endpoint.as_deref().unwrap_or("AWS");
            page.prose(4, &format!("bucket {bucket}, {prefix}"));
            page.prose(4, &format!("at {endpoint}"));
            page.prose(4, &format!("region {region}"));
        }
    }
    for variable in &store.variables {
        page.prose(4, &format!("set {} to {}", variable.name, variable.holds));
    }
}

/// In two lines: a digest and a command fit no single one.
fn check_digest(page: &mut Page, digest: &str, file: &str) {
    page.line(&format!("    h={digest}"));
    page.line(&format!("    echo \"$h  {file}\" | sha256sum --check"));
}
