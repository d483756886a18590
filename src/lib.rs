//! Key custody and disaster-recovery escrow for Databasus.
//!
//! The library does the work and the binary is a thin shell; `ARCHITECTURE.md` draws the
//! house. Modules import downward only: `base` < `model` < `sealing`, `databasus`, `postgres`
//! < `store`, `source`, `target` < `ops` < `cli`.

pub mod base;
pub mod cli;
pub mod databasus;
pub mod model;
pub mod ops;
pub mod postgres;
pub mod sealing;
pub mod source;
pub mod store;
pub mod target;
