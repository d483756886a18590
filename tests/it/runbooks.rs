//! The README and the runbooks do what they say: every command in them is run, on a real instance
//! and its loss, and what the commands say is compared with what the page shows.

mod by_hand;
mod follow;
mod page;
mod truth;
mod world;
