//! Floor 1: bytes to verified, typed values and back. No I/O.
