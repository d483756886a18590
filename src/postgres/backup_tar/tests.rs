use super::*;
use proptest::prelude::*;

/// A tar in the making, header by header.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn member(mut self, name: &str, kind: EntryType, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        let padded = self.0.len().next_multiple_of(BLOCK);
        self.0.resize(padded, 0);
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.member(name, EntryType::Regular, content)
    }

    fn directory(self, name: &str) -> Self {
        self.member(name, EntryType::Directory, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 2 * BLOCK]);
        self.0
    }
}

type Found = Vec<(String, Option<Vec<u8>>)>;

fn read(bytes: &[u8]) -> Result<Found, BackupTarError> {
    let mut tar = BackupTar::new(bytes);
    let mut found = Vec::new();
    while let Some(member) = tar.next_member()? {
        let content = member.size.map(|_| {
            let mut content = Vec::new();
            tar.read_to_end(&mut content).map(|_| content)
        });
        let content = content.transpose().map_err(BackupTarError::Read)?;
        found.push((member.path.as_str().to_owned(), content));
    }
    Ok(found)
}

fn refusal(bytes: &[u8]) -> String {
    crate::base::error_chain::error_chain(&read(bytes).unwrap_err())
}

fn small() -> Vec<u8> {
    let tar = Tar::default().file("backup_label", b"label");
    let tar = tar.directory("pg_wal/").directory("./pg_wal/summaries/");
    tar.file("base/1/1259", &[7; 8192]).end()
}

#[test]
fn members_come_in_order_with_their_content() {
    let found = read(&small()).unwrap();
    let expected = [
        ("backup_label", Some(b"label".to_vec())),
        ("pg_wal", None),
        ("pg_wal/summaries", None),
        ("base/1/1259", Some(vec![7; 8192])),
    ];
    let expected = expected.map(|(path, content)| (path.to_owned(), content));
    assert_eq!(found, expected);
}

#[test]
fn content_that_nobody_reads_is_passed_over() {
    let bytes = small();
    let mut tar = BackupTar::new(bytes.as_slice());
    let mut count = 0;
    while tar.next_member().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn a_tar_that_is_cut_anywhere_is_refused() {
    let bytes = small();
    for length in 0..bytes.len() {
        let message = refusal(&bytes[..length]);
        assert!(
            message.contains("in the middle of") || message.contains("without its end mark"),
            "{length}: {message}"
        );
    }
    let message = refusal(&bytes[..6 * BLOCK]);
    assert!(
        message.ends_with("the tar ends in the middle of base/1/1259"),
        "{message}"
    );
}

#[test]
fn nothing_but_zeros_may_follow_the_end() {
    let mut bytes = small();
    bytes.extend_from_slice(&[0; 20 * BLOCK]);
    assert!(read(&bytes).is_ok());
    bytes.extend_from_slice(&[1; BLOCK]);
    assert_eq!(refusal(&bytes), "there is data behind the tar's end");
}

#[test]
fn only_files_and_directories_are_taken() {
    for (kind, name) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::GNULongName, "unknown kind"),
        (EntryType::XHeader, "unknown kind"),
        (EntryType::GNUSparse, "unknown kind"),
        (EntryType::Continuous, "unknown kind"),
    ] {
        let bytes = Tar::default().member("pg_tblspc/1", kind, b"").end();
        let message = refusal(&bytes);
        assert!(message.starts_with("pg_tblspc/1 is a "), "{message}");
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn no_path_leads_out() {
    for name in [
        "/etc/passwd",
        "../x",
        "./../x",
        "a/../../x",
        "././x",
        "./",
        "a//b",
    ] {
        let message = refusal(&Tar::default().file(name, b"x").end());
        assert!(message.contains("unsafe path"), "{name}: {message}");
    }
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let wrong_sum = |mut bytes: Vec<u8>| {
        bytes[100] ^= 1;
        bytes
    };
    let not_ustar = |bytes: Vec<u8>| [&bytes[..257], &[b' '; 8], &bytes[265..]].concat();
    for (bytes, expected) in [
        (wrong_sum(small()), "its checksum is wrong"),
        (not_ustar(small()), "no ustar header"),
        (
            Tar::default().file("x/", b"").end(),
            "neither file nor directory",
        ),
        (
            Tar::default()
                .member("x/", EntryType::Directory, b"y")
                .end(),
            "neither file nor directory",
        ),
    ] {
        let message = refusal(&bytes);
        assert!(message.ends_with(expected), "{message}");
    }
}

#[test]
fn a_size_that_no_file_has_is_an_error() {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[0] = b'x';
    header.set_size(u64::MAX);
    header.set_cksum();
    assert!(read(header.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        at: prop::sample::Index,
        change in 1..=255_u8,
    ) {
        let _ = read(&bytes);
        let mut changed = small();
        let at = at.index(changed.len());
        changed[at] ^= change;
        let _ = read(&changed);
        // With a header that passes for one.
        if changed.len() >= BLOCK && at < BLOCK {
            let mut header = Header::from_byte_slice(&changed[..BLOCK]).clone();
            header.set_cksum();
            changed[..BLOCK].copy_from_slice(header.as_bytes());
            let _ = read(&changed);
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        files in prop::collection::vec(
            ("[a-z0-9_]{1,20}(/[a-z0-9_]{1,20}){0,2}", prop::collection::vec(any::<u8>(), 0..2000)),
            0..8,
        )
    ) {
        let tar = files.iter().fold(Tar::default(), |tar, (name, content)| tar.file(name, content));
        let found = read(&tar.end()).unwrap();
        let expected: Found = files.into_iter().map(|(name, content)| (name, Some(content))).collect();
        prop_assert_eq!(found, expected);
    }
}
