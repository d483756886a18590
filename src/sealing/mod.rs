//! Floor 2: the sealed payload and its signature, as streams.

pub mod age_header;
pub mod custody;
pub mod identities;
pub mod parts;
pub mod payload;
pub mod person;
pub mod reseal;
pub mod sshsig;
mod tar_format;
pub mod unpack;
