//! Custody that survives people: several custodians, their check-ins, and the key itself.

mod answers;
pub mod bed;
mod change;
mod checkins;
mod elsewhere;
mod identities;
mod key;
mod opening;
mod stock;
