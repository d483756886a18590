//! Floor 2: the sealed payload and its signature, as streams.
