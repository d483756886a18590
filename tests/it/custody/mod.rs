//! Custody that survives people: several custodians, their check-ins, and the key itself.

mod stock;
