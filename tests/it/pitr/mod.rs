//! Rewinding a cluster straight from its storage.

mod bases;
mod list;
mod replay;
mod restore;
