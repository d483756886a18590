//! Rewinding a cluster straight from its storage.

mod restore;
