//! The command, over directories.
