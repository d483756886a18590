//! The parts of one upload: every store refuses the same holes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Part;

/// The bound of S3's multipart uploads.
const MAX_PARTS: u32 = 10_000;

/// Parts that do not make an object.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PartsError {
    #[error("part {0} is not between 1 and {MAX_PARTS}")]
    Number(u32),
    #[error("part {number} has {len} bytes, more than the part size of {part_size}")]
    TooLong {
        number: u32,
        len: u64,
        part_size: u64,
    },
    #[error("part {0} is missing")]
    Missing(u32),
    #[error("part {0} is shorter than the part size and not the last one")]
    Short(u32),
    #[error("the upload has no parts")]
    Empty,
}

/// What has been put of an upload, by number, with what the store keeps of each part.
pub(super) struct PartTable<T> {
    part_size: u64,
    parts: Mutex<BTreeMap<u32, (u64, T)>>,
}

impl<T: Clone> PartTable<T> {
    /// An upload in parts of `part_size` bytes of which nothing has been put.
    pub(super) fn new(part_size: u64) -> Self {
        Self {
            part_size,
            parts: Mutex::default(),
        }
    }

    /// Where in the object a part belongs, in bytes.
    pub(super) fn offset(&self, part: &Part) -> Result<u64, PartsError> {
        let (number, len) = (part.number, part.bytes.len() as u64);
        if number == 0 || number > MAX_PARTS {
            return Err(PartsError::Number(number));
        }
        if len > self.part_size {
            return Err(PartsError::TooLong {
                number,
                len,
                part_size: self.part_size,
            });
        }
        Ok(u64::from(number - 1).saturating_mul(self.part_size))
    }

    /// Notes that a part has been put; putting it again replaces it.
    pub(super) fn record(&self, part: &Part, kept: T) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(part.number, (part.bytes.len() as u64, kept));
    }

    /// The object's size and what was kept of its parts in order, if they leave no holes.
    pub(super) fn whole(&self) -> Result<(u64, Vec<T>), PartsError> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut short = None;
        for (expected, (number, (len, _))) in (1..).zip(parts.iter()) {
            if *number != expected {
                return Err(PartsError::Missing(expected));
            }
            if let Some(short) = short {
                return Err(PartsError::Short(short));
            }
            short = (*len < self.part_size).then_some(*number);
        }
        if parts.is_empty() {
            return Err(PartsError::Empty);
        }
        let size = parts.values().map(|(len, _)| len).sum();
        Ok((size, parts.values().map(|(_, kept)| kept.clone()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn part(number: u32, len: usize) -> Part {
        Part {
            number,
            bytes: Bytes::from(vec![0; len]),
            md5: [0; 16],
        }
    }

    fn table(parts: &[(u32, usize)]) -> PartTable<u32> {
        let table = PartTable::new(4);
        for (number, len) in parts {
            table.record(&part(*number, *len), *number);
        }
        table
    }

    #[test]
    fn parts_come_back_in_order_whatever_the_order_they_were_put_in() {
        assert_eq!(
            table(&[(3, 1), (1, 4), (2, 4)]).whole(),
            Ok((9, vec![1, 2, 3]))
        );
    }

    #[test]
    fn holes_are_refused() {
        assert_eq!(table(&[]).whole(), Err(PartsError::Empty));
        assert_eq!(table(&[(2, 4)]).whole(), Err(PartsError::Missing(1)));
        assert_eq!(
            table(&[(1, 4), (3, 4)]).whole(),
            Err(PartsError::Missing(2))
        );
        assert_eq!(table(&[(1, 3), (2, 4)]).whole(), Err(PartsError::Short(1)));
    }

    #[test]
    fn part_belongs_where_its_number_says() {
        let table = table(&[]);
        assert_eq!(table.offset(&part(3, 4)), Ok(8));
        assert_eq!(table.offset(&part(0, 4)), Err(PartsError::Number(0)));
        assert_eq!(
            table.offset(&part(10_001, 4)),
            Err(PartsError::Number(10_001))
        );
        assert!(matches!(
            table.offset(&part(1, 5)),
            Err(PartsError::TooLong { .. })
        ));
    }
}
