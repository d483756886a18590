//! Databasus' master key outside of Databasus: whether the copies of it are the same, and one for
//! the safe.

pub mod compare;
pub mod export;
pub mod qr;
