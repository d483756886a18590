//! The page that `audit --html` writes.

mod browser;
mod chromium;
mod command;
mod example;
mod page;
