use std::path::Path;

use super::*;

const SIGNERS: &str = "\
old@host namespaces=\"escrow-manifest@databasus\",valid-before=\"20260601000000Z\" \
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0/sr+S/1MY5D39bsWEWc+gRM0XMfLUBaXGkKpoA0B2
escrow-host namespaces=\"escrow-manifest@databasus\",valid-after=\"20260601000000Z\" \
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti
alice namespaces=\"escrow-checkin@databasus\" \
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKhNQ8AQqmDCfLP8tCQvZ5PRTpaT0lsbOy1ylFTP9VkP
";

const RECIPIENTS: &str = "\
[[recipient]]
custodian = \"alice\"
recipient = \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"
";

const CONFIG: &str = "\
instance = \"heatwave-prod\"

[[store]]
name = \"r2\"
type = \"s3\"
provider = \"r2\"
bucket = \"heatwave-escrow\"
prefix = \"databasus\"
account_id = \"0123456789abcdef0123456789abcdef\"
token_id = \"fedcba9876543210fedcba9876543210\"
token_value_file = \"secrets/r2.token\"

[[store]]
name = \"usb\"
type = \"dir\"
path = \"mnt/o'neil\"
";

fn config(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/escrow")).unwrap()
}

fn time(text: &str) -> UtcTime {
    text.parse().unwrap()
}

fn host() -> Fingerprint {
    "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"
        .parse()
        .unwrap()
}

fn card(config: &Config, head: Option<CardHead>) -> TrustCard {
    from_config(CardRequest {
        config,
        recipients: RECIPIENTS,
        allowed_signers: SIGNERS,
        head,
        tool_sha256: Some(Digest::of(b"the program")),
        now: time("2026-06-12T02:10:00Z"),
    })
    .unwrap()
}

fn head(signed_by: Fingerprint) -> Option<CardHead> {
    Some(CardHead {
        seq: 7,
        digest: Digest::of(b"manifest"),
        created_at: time("2026-06-12T02:00:00Z"),
        signed_by,
    })
}

#[test]
fn a_card_reads_like_this() {
    let mut card = card(&config(CONFIG), head(host()));
    card.tool.version = "1.2.3".to_owned();
    card.restore_md_sha256 = Digest::of(b"instructions");
    insta::assert_snapshot!(card.text(), @"");
}
