//! The rows. Ids of a row with [`Source::Text`] were compared with the framework's text or its list
//! of controls; the others still have to be.

use super::Needs::{DualControl, Nothing};
use super::Source::{Hearsay, Text};
use super::{Control, Source};
use crate::model::audit::check::Rule;
use crate::model::audit::check::Rule::*;

const PCI: &str = "PCI DSS 4.0.1";
const ISO: &str = "ISO/IEC 27001:2022, Annex A";
const SOC: &str = "SOC 2, Trust Services Criteria 2017 (points of focus 2022)";
const NIST_53: &str = "NIST SP 800-53 r5";
const NIST_57: &str = "NIST SP 800-57 part 1 r5";
const NIST_MORE: &str = "NIST SP 800-57 part 2 r1, 800-130, 800-152";
const CIS: &str = "CIS Controls v8.1";
const EU: &str = "EU: DORA, NIS2";

const fn row(
    framework: &'static str,
    ids: &'static str,
    source: Source,
    evidence: &'static str,
    rules: &'static [Rule],
    limits: &'static str,
) -> Control {
    Control {
        framework,
        ids,
        source,
        evidence,
        rules,
        needs: Nothing,
        limits,
    }
}

/// The mapping, framework by framework.
pub const CONTROLS: &[Control] = &[
    row(
        PCI,
        "3.6.1, 3.6.1.2 – 3.6.1.4",
        Text,
        "The key is stored in encrypted form alone, for named custodians and in named places.",
        &[Custody, Stores],
        "Copies of the key that were made outside the escrow leave no trace in it.",
    ),
    row(
        PCI,
        "3.7.1, 3.7.2, 3.7.3",
        Text,
        "Signed manifests name algorithm and recipients; the stored bytes are the signed ones.",
        &[Custody, Parts],
        "How Databasus generates its key is not seen.",
    ),
    row(
        PCI,
        "3.7.4, 3.7.5",
        Text,
        "Changes of the key and of custodians stand in the chain; the exposure of leavers is shown.",
        &[Custody, Instance],
        "Whether the cryptoperiod that was chosen is right is the organisation's to say.",
    ),
    Control {
        needs: DualControl,
        ..row(
            PCI,
            "3.7.6",
            Text,
            "Dual control alone: nothing handles a key in clear in normal operation, and breaking \
             the glass takes several custodians together.",
            &[Custody],
            "Not split knowledge: a key that is merely cut in two does not qualify, and shares \
             would need a secure cryptographic device or ISO 19592.",
        )
    },
    row(
        PCI,
        "3.7.7",
        Text,
        "Recipients stand in signed manifests, so that none can be put in somebody's place.",
        &[Chain, Signers, Custody],
        "Who holds the signing key can seal to anybody, in public.",
    ),
    row(
        PCI,
        "3.7.8",
        Text,
        "Custodians acknowledge their task in signed check-ins.",
        &[Checkins],
        "A check-in shows that they can open escrows, not that nobody else can.",
    ),
    row(
        PCI,
        "10.3.x, 12.10.x",
        Hearsay,
        "The trail of manifests cannot be altered unseen; recovery is tried.",
        &[Chain, Witness, Locks, Drill],
        "Logs of Databasus itself are not looked at.",
    ),
    row(
        ISO,
        "A.8.13",
        Text,
        "Backups of the key and its metadata are taken, kept, whole, and tried.",
        &[Freshness, Stores, Parts, Drill],
        "Covers what Databasus knows of, not every system of the organisation.",
    ),
    row(
        ISO,
        "A.8.24",
        Text,
        "The life of the key is managed: who can open it, whether they can, when it changed.",
        &[Custody, Checkins, Instance],
        "The policy on cryptography itself is a document of the organisation.",
    ),
    row(
        ISO,
        "A.5.3, A.5.15, A.5.18, A.6.5",
        Text,
        "Signers and custodians are named apart; leavers show in the exposure.",
        &[Signers, Custody],
        "That bucket and console access ended with employment is not seen from here.",
    ),
    row(
        ISO,
        "A.5.23, A.5.28, A.5.29, A.5.30, A.5.33, A.8.10, A.8.14, A.8.15, A.8.17",
        Hearsay,
        "Several stores hold the same signed records, locked; clocks agree; recovery is tried.",
        &[Chain, Stores, Locks, Drill, Clock],
        "Contracts with cloud services are not looked at.",
    ),
    row(
        SOC,
        "A1.2",
        Text,
        "The backup process runs in time and fills every store.",
        &[Freshness, Stores],
        "Environmental protection of the stores is their providers'.",
    ),
    row(
        SOC,
        "A1.3",
        Text,
        "Recovery is tried; backup data are whole and complete.",
        &[Parts, Proof, Drill],
        "Only what the drill's policy names is brought back.",
    ),
    row(
        SOC,
        "CC6.1, CC6.2, CC6.3, CC6.7, CC7.2, CC7.5, CC8.1, CC9.1, C1.2",
        Hearsay,
        "Keys are protected, changes of access are signed, deviations are found, recovery is tried.",
        &[Custody, Chain, Signers, Drill],
        "Who may log in where is not looked at.",
    ),
    row(
        NIST_53,
        "SC-12(1)",
        Text,
        "The encryption key is in escrow, and what is in escrow opens.",
        &[Freshness, Proof, Checkins],
        "Opening is proven by check-ins and drills, not by this run, which holds no key.",
    ),
    row(
        NIST_53,
        "CP-4, CP-10",
        Hearsay,
        "The contingency plan is tried, and its times are measured.",
        &[Drill],
        "People, places and other systems are not part of a drill.",
    ),
    row(
        NIST_53,
        "CP-6, CP-9, CP-9(1), (2), (3), (5), (8), SC-12, SC-28(1)",
        Hearsay,
        "Backups are taken, tried by sample, stored apart, and encrypted.",
        &[Freshness, Stores, Parts, Custody],
        "That two stores are far enough apart is the organisation's to judge.",
    ),
    row(
        NIST_53,
        "CP-9(7), AC-3(2), AC-5",
        Hearsay,
        "Nobody alone deletes an escrow while its lock holds.",
        &[Locks],
        "A lock takes deletion from everybody for a time; it does not ask two people.",
    ),
    row(
        NIST_53,
        "AU-9(2), AU-9(3), AU-10, SI-7(1)",
        Hearsay,
        "Evidence is signed, chained, locked, and seen by others.",
        &[Chain, Mark, Signers, Witness, Locks],
        "Whoever steals the signing key writes valid evidence until the key is ended.",
    ),
    row(
        NIST_53,
        "PS-4",
        Hearsay,
        "New escrows are sealed to the custodians in force alone.",
        &[Custody],
        "What a leaver could open before, they can open still if they reach a copy.",
    ),
    row(
        NIST_57,
        "8.2.2.1, 8.3.1",
        Text,
        "Key material is backed up, archived, and recovered on trial.",
        &[Freshness, Stores, Drill],
        "Retention is judged by what manifests say of it.",
    ),
    row(
        NIST_57,
        "8.2.3.1, 8.3.5, appendix B",
        Text,
        "A key that changed is noticed; who can open what before and after is shown.",
        &[Instance, Custody],
        "Protecting data again after a compromise is not this tool's work.",
    ),
    row(
        NIST_57,
        "5.3, 5.5, 6.2.2, 8.3.4, section 9",
        Hearsay,
        "Rotation, storage and accountability follow from the chain.",
        &[Chain, Instance, Custody],
        "Destruction is evidenced by its announcement in the chain alone.",
    ),
    row(
        NIST_MORE,
        "chapters on roles, key backup and recovery, compromise and disaster recovery",
        Hearsay,
        "Roles are keys with names; recovery is tried.",
        &[Signers, Custody, Drill],
        "The practice statement is a document of the organisation.",
    ),
    row(
        CIS,
        "3.4, 3.5, 3.11, 3.14",
        Text,
        "What is kept is encrypted, and let go by a signed record.",
        &[Custody, Chain],
        "Numbers as in the list of controls, not their full text.",
    ),
    row(
        CIS,
        "6.2, 8.3",
        Hearsay,
        "Access of leavers ends with the next escrow; records are kept.",
        &[Custody, Chain],
        "Accounts are not looked at.",
    ),
    row(
        CIS,
        "11.1 – 11.5",
        Hearsay,
        "Recovery data are made by themselves, protected, isolated by a lock or another provider, and \
         tried.",
        &[Freshness, Stores, Locks, Drill],
        "Isolation rests on the provider's lock.",
    ),
    row(
        EU,
        "DORA art. 9, 11, 12; RTS 2024/1774 art. 6 – 7; NIS2 art. 21(2)(c), (h)",
        Hearsay,
        "Backups, their restoration on trial, and cryptography in use.",
        &[Freshness, Custody, Drill],
        "Policies and reports to authorities are the organisation's.",
    ),
];

/// What no row of the mapping shows, whatever its result.
pub const LIMITS: &[&str] = &[
    "This report evidences that controls operate. It does not evidence that somebody approved the \
     policy that it was held against.",
    "The header of a sealed payload tells types of recipients, not who they are: that an escrow is \
     sealed to those whom its manifest names is shown by their check-ins and by drills.",
    "A host that is in strange hands can seal, and sign, something else than what it should.",
    "A lock holds as firmly as its provider says. A bucket lock of Cloudflare R2 can be removed by \
     an administrator of the account.",
    "At first contact nothing is known from before: an older state that is whole in itself cannot be \
     told from the newest then, other than by its age.",
];
