//! Headers of the payload's tar: pax interchange format (POSIX.1-2001), nothing that an extractor
//! could act on but files and directories.

use std::io::{self, Write};

use tar::{EntryType, Header};

/// Tar's unit, in bytes.
pub(super) const BLOCK: usize = 512;

/// Largest size that fits the octal field of a ustar header; larger ones need a pax record.
const MAX_OCTAL_SIZE: u64 = (8 << 30) - 1;

/// What a header says.
pub(super) struct HeaderFields<'a> {
    /// Path in the archive, without a final slash.
    pub(super) path: &'a str,
    /// A directory, or a file.
    pub(super) is_directory: bool,
    /// In bytes; 0 for a directory.
    pub(super) size: u64,
    /// Permission bits.
    pub(super) mode: u32,
    /// Owner and group, as Databasus' image numbers them.
    pub(super) owner: (u64, u64),
    /// Modification time in seconds since 1970.
    pub(super) mtime: u64,
}

/// Writes the header of one entry, with a pax record before it where ustar has no room.
pub(super) fn write_header(out: &mut impl Write, fields: &HeaderFields<'_>) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(if fields.is_directory {
        EntryType::Directory
    } else {
        EntryType::Regular
    });
    header.set_mode(fields.mode);
    header.set_uid(fields.owner.0);
    header.set_gid(fields.owner.1);
    header.set_mtime(fields.mtime);
    header.set_size(fields.size.min(MAX_OCTAL_SIZE));
    let path = if fields.is_directory {
        format!("{}/", fields.path)
    } else {
        fields.path.to_owned()
    };
    let mut pax = Vec::new();
    if header.set_path(&path).is_err() {
        pax.extend(pax_record("path", &path));
        header.set_path("long-path")?;
    }
    if fields.size > MAX_OCTAL_SIZE {
        pax.extend(pax_record("size", &fields.size.to_string()));
    }
    if !pax.is_empty() {
        write_pax(out, &pax)?;
    }
    header.set_cksum();
    out.write_all(header.as_bytes())
}

/// Fills the last block of an entry of `size` bytes.
pub(super) fn write_padding(out: &mut impl Write, size: u64) -> io::Result<()> {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 {
        return Ok(());
    }
    out.write_all(&[0; BLOCK][over..])
}

/// Writes the two zero blocks that end an archive.
pub(super) fn write_end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

fn write_pax(out: &mut impl Write, records: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_path("pax-header")?;
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(records.len() as u64);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(records)?;
    write_padding(out, records.len() as u64)
}

/// `<length> <key>=<value>\n`, where the length counts its own digits.
fn pax_record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn archive(path: &str, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let fields = HeaderFields {
            path,
            is_directory: false,
            size: content.len() as u64,
            mode: 0o600,
            owner: (999, 999),
            mtime: 1_781_229_600,
        };
        write_header(&mut out, &fields).unwrap();
        out.extend_from_slice(content);
        write_padding(&mut out, content.len() as u64).unwrap();
        write_end(&mut out).unwrap();
        out
    }

    #[test]
    fn pax_record_counts_its_own_length() {
        assert_eq!(pax_record("path", "x"), b"9 path=x\n");
        let record = pax_record("path", &"x".repeat(91));
        assert_eq!(record.len(), 101);
        assert!(record.starts_with(b"101 path="));
    }

    #[test]
    fn sizes_beyond_the_octal_field_are_readable() {
        let mut out = Vec::new();
        let fields = HeaderFields {
            path: "big",
            is_directory: false,
            size: 20 << 30,
            mode: 0o600,
            owner: (0, 0),
            mtime: 0,
        };
        write_header(&mut out, &fields).unwrap();
        let mut archive = tar::Archive::new(out.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.size(), 20 << 30);
    }

    proptest! {
        #[test]
        fn any_path_and_content_round_trip(
            path in "[a-z0-9é_-]{1,60}(/[a-z0-9é_-]{1,60}){0,8}",
            content in prop::collection::vec(any::<u8>(), 0..1500),
        ) {
            let bytes = archive(&path, &content);
            prop_assert_eq!(bytes.len() % BLOCK, 0);
            let mut archive = tar::Archive::new(bytes.as_slice());
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            prop_assert_eq!(&*entry.path_bytes(), path.as_bytes());
            let mut read = Vec::new();
            entry.read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, content);
        }
    }
}
