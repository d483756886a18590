//! Floor 2: the sealed payload and its signature, as streams.

pub mod entry_path;
pub mod parts;
pub mod payload;
mod tar_format;
pub mod unpack;
pub mod age_header;
pub mod identities;
pub mod sshsig;
