//! Replay, fed from a storage, on real chains with real servers.

mod armed;
mod bed;
mod damaged;
mod ended;
mod points;
mod prepared;
