//! From base backups in a storage to directories, and to the one of the cluster.

mod bed;
mod combined;
mod damaged;
mod extracted;
mod hostile;
