//! The binary as people and scripts meet it: exit codes, words, documents, and what it leaves.

mod canary;
#[cfg(feature = "s3")]
mod credentials;
mod damage;
mod init;
mod join;
#[cfg(feature = "s3")]
mod locks;
mod methods;
mod reading;
mod refused_input;
mod rehydrate;
mod signals;
mod snapshot;
#[cfg(feature = "s3")]
mod stores;
#[cfg(feature = "s3")]
mod temporary;
mod unfence;
mod usage;
