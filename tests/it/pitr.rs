//! A PostgreSQL directory as of a chosen second.

mod replay;
