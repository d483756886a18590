//! Taking a fence back, on a real PostgreSQL with the metadata of running and of composed
//! instances.

mod changed_since;
mod fresh_import;
mod identical;
mod production;
mod retention;
mod stopped;
mod way;
