//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log in bytes, written `0/1A2B3C4D` as PostgreSQL does: the
/// upper and the lower 32 bits in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// A text that is not a position in the write-ahead log.
#[derive(Debug, thiserror::Error)]
#[error("not a log position such as 0/1A2B3C4D")]
pub struct NotAnLsn;

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Self, NotAnLsn> {
        let (upper, lower) = text.split_once('/').ok_or(NotAnLsn)?;
        Ok(Self((half(upper)? << 32) | half(lower)?))
    }
}

fn half(digits: &str) -> Result<u64, NotAnLsn> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !plain || digits.is_empty() || digits.len() > 8 {
        return Err(NotAnLsn);
    }
    u64::from_str_radix(digits, 16).map_err(|_| NotAnLsn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_two_hexadecimal_halves_are_a_position() {
        assert_eq!("16/B374D848".parse::<Lsn>().ok(), Some(Lsn(0x16_B374_D848)));
        for bad in [
            "",
            "/",
            "0/",
            "/0",
            "0",
            "0/-1",
            "0/+1",
            "0/123456789",
            "0/g",
            "0/1/2",
        ] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn every_position_round_trips(position: u64) {
            prop_assert_eq!(Lsn(position).to_string().parse::<Lsn>().ok(), Some(Lsn(position)));
        }
    }
}
