//! Results as other programs and other readers take them.

pub mod html;
