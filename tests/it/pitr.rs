//! Rewinding a cluster straight from its storage.

mod bases;
mod replay;
mod restore;
