//! `.parts`: which objects make up a backup that is stored in pieces (DATABASUS.md §3.4).

use serde::Deserialize;

use crate::base::digest::Digest;

/// The largest list that is read: some ten thousand parts with the longest keys that S3 has.
/// One part holds up to 16 GB.
pub const MAX_PART_LIST_BYTES: u64 = 16 << 20;

/// The only layout there is so far.
const VERSION: u64 = 1;

/// The parts of one stream, in order and without a hole. There is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartList {
    parts: Vec<StoredPart>,
    total: u64,
}

/// One part. Its number is its place in the list, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// In bytes; not 0.
    pub size: u64,
    /// Of the stored bytes.
    pub sha256: Digest,
}

/// A list that describes no stream.
#[derive(Debug, thiserror::Error)]
pub enum PartListError {
    /// More than [`MAX_PART_LIST_BYTES`].
    #[error("the list of parts is larger than {} MiB", MAX_PART_LIST_BYTES >> 20)]
    TooLarge,
    /// Not the JSON that Databasus writes.
    #[error("the list of parts is not one that Databasus writes")]
    Malformed(#[source] serde_json::Error),
    /// A later release's layout.
    #[error("the list of parts has version {0}, of which this tool knows nothing")]
    Version(u64),
    /// No part at all.
    #[error("the list of parts is empty")]
    Empty,
    /// A part that belongs to another stream, or stands in the wrong place.
    #[error("part {0} of the list names an object of something else")]
    Foreign(usize),
    /// A part without bytes.
    #[error("part {0} of the list is empty")]
    EmptyPart(usize),
    /// The parts do not add up.
    #[error("the sizes of the parts do not add up to the total of {0} bytes")]
    Total(u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawList {
    version: u64,
    total_size: u64,
    parts: Vec<RawPart>,
}

#[derive(Deserialize)]
struct RawPart {
    key: String,
    size: u64,
    sha256: Digest,
}

impl PartList {
    /// Reads the list of the stream called `stream`, which is the name of its objects without
    /// `.partNNNNNN`.
    ///
    /// Of a key only the last name counts: the folder it was written to may have been copied
    /// elsewhere since, and the parts are looked for beside their list.
    pub fn parse(bytes: &[u8], stream: &str) -> Result<Self, PartListError> {
        if bytes.len() as u64 > MAX_PART_LIST_BYTES {
            return Err(PartListError::TooLarge);
        }
        let raw: RawList = serde_json::from_slice(bytes).map_err(PartListError::Malformed)?;
        if raw.version != VERSION {
            return Err(PartListError::Version(raw.version));
        }
        let parts = raw.parts.iter().enumerate();
        let parts = parts.map(|(index, part)| part.check(index + 1, stream));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let sum = |sum: u64, part: &StoredPart| sum.checked_add(part.size);
        match parts.iter().try_fold(0, sum) {
            _ if parts.is_empty() => Err(PartListError::Empty),
            Some(total) if total == raw.total_size => Ok(Self { parts, total }),
            _ => Err(PartListError::Total(raw.total_size)),
        }
    }

    /// The parts in order.
    pub fn parts(&self) -> &[StoredPart] {
        &self.parts
    }

    /// The length of the whole stream in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl RawPart {
    fn check(&self, number: usize, stream: &str) -> Result<StoredPart, PartListError> {
        let name = self.key.rsplit('/').next().unwrap_or_default();
        if name != format!("{stream}.part{number:06}") {
            return Err(PartListError::Foreign(number));
        }
        if self.size == 0 {
            return Err(PartListError::EmptyPart(number));
        }
        Ok(StoredPart {
            size: self.size,
            sha256: self.sha256,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn list(sizes: &[u64], total: u64) -> Value {
        let part = |(index, size): (usize, &u64)| json!({"key": format!("hw/media.part{:06}", index + 1), "size": size, "sha256": SHA});
        let parts: Vec<Value> = sizes.iter().enumerate().map(part).collect();
        json!({"version": 1, "totalSize": total, "parts": parts})
    }

    fn parse(list: &Value) -> Result<PartList, PartListError> {
        PartList::parse(list.to_string().as_bytes(), "media")
    }

    fn with(pointer: &str, value: Value) -> Result<PartList, PartListError> {
        let mut list = list(&[10, 20], 30);
        *list.pointer_mut(pointer).unwrap() = value;
        parse(&list)
    }

    #[test]
    fn a_list_gives_its_parts_in_order() {
        let found = parse(&list(&[10, 20, 3], 33)).unwrap();
        let sizes: Vec<u64> = found.parts().iter().map(|part| part.size).collect();
        assert_eq!((sizes, found.total()), (vec![10, 20, 3], 33));
        assert_eq!(found.parts()[0].sha256.to_string(), SHA);
    }

    #[test]
    fn what_running_3_49_0_wrote_is_read() {
        let text = r#"{"version":1,"totalSize":18758670,"parts":[{"key":"backups/hw/media-20261123-031021-dd1c7d3f-5887-4cd7-863c-d7319cb296d6.part000001","size":18758670,"sha256":"e3fca293ef55b689d3e1d3332e7b5bb65b782802710f303c590ca68e43165243"}]}"#;
        let stream = "media-20261123-031021-dd1c7d3f-5887-4cd7-863c-d7319cb296d6";
        let found = PartList::parse(text.as_bytes(), stream).unwrap();
        assert_eq!(found.total(), 18_758_670);
    }

    #[test]
    fn keys_of_other_streams_are_refused() {
        for key in [
            "hw/other.part000002",
            "hw/media.part000003",
            "hw/media.part000001",
            "media.part2",
            "hw/media.part000002/x",
            "../secret.key",
            "",
        ] {
            let found = with("/parts/1/key", json!(key));
            assert!(matches!(found, Err(PartListError::Foreign(2))), "{key:?}");
        }
    }

    #[test]
    fn sizes_must_add_up() {
        assert!(matches!(
            with("/totalSize", json!(31)),
            Err(PartListError::Total(31))
        ));
        let huge = list(&[u64::MAX, 1], 0);
        assert!(matches!(parse(&huge), Err(PartListError::Total(0))));
        assert!(matches!(
            with("/parts/0/size", json!(0)),
            Err(PartListError::EmptyPart(1))
        ));
        assert!(matches!(parse(&list(&[], 0)), Err(PartListError::Empty)));
    }

    #[test]
    fn other_documents_are_refused() {
        assert!(matches!(
            with("/version", json!(2)),
            Err(PartListError::Version(2))
        ));
        for (pointer, value) in [
            ("/parts/0/sha256", json!("e3fca293")),
            ("/parts/0/size", json!(-1)),
            ("/parts/0/size", json!(1.5)),
            ("/parts", json!(null)),
        ] {
            let found = with(pointer, value);
            assert!(
                matches!(found, Err(PartListError::Malformed(_))),
                "{pointer}"
            );
        }
        let long = vec![b' '; 17 << 20];
        let found = PartList::parse(&long, "media");
        assert!(matches!(found, Err(PartListError::TooLarge)));
    }

    #[test]
    fn unknown_fields_of_later_releases_are_passed_over() {
        let mut list = list(&[10], 10);
        list["writtenBy"] = json!("databasus 4");
        assert!(parse(&list).is_ok());
    }

    proptest! {
        #[test]
        fn a_list_accounts_for_every_byte(sizes in prop::collection::vec(1u64..1 << 40, 1..20)) {
            let total = sizes.iter().sum();
            let found = parse(&list(&sizes, total)).unwrap();
            prop_assert_eq!(found.parts().iter().map(|part| part.size).sum::<u64>(), found.total());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = PartList::parse(&bytes, "media");
        }
    }
}
