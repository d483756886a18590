//! An audit for each reader: pure functions from what was seen and judged to text.

pub mod html;
pub(super) mod junit;
pub(super) mod metrics;
pub(super) mod nagios;

#[cfg(test)]
mod sample;
