//! A progress bar on a terminal; silence everywhere else.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Global;
use crate::ops::import::Progress as Reached;

/// A bar that counts bytes. It vanishes when it is dropped.
#[derive(Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for `total` bytes, or a spinner where the total is not known.
    pub(super) fn new(global: &Global, what: &'static str, total: Option<u64>) -> Self {
        let shown = std::io::stderr().is_terminal() && !global.quiet && !global.json;
        if !shown {
            return Self(ProgressBar::hidden());
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.set_style(style(total.is_some()));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// A count of things that are not bytes.
    pub(super) fn count(global: &Global, what: &'static str) -> Self {
        let counting = Self::new(global, what, None);
        let template = "{spinner} {msg} {human_pos}, {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            counting.0.set_style(style);
        }
        counting
    }

    /// Says how far it is.
    pub(super) fn reach(&self, position: u64) {
        self.0.set_position(position);
    }

    /// Begins to count something else, of which there are `total`.
    pub(super) fn say(&self, what: &'static str, total: u64) {
        self.0.set_message(what);
        self.0.set_length(total);
        self.0.set_position(0);
    }

    /// Goes on to something whose length is not known.
    pub(super) fn turn(&self, what: &'static str) {
        self.0.unset_length();
        self.0.set_message(what);
        self.0.set_position(0);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            self.0.set_style(style);
        }
    }

    /// Shows how far an import has come.
    pub(super) fn show(&self, reached: Reached) {
        match reached {
            Reached::Listed(objects) => self.reach(objects as u64),
            Reached::Examined { done, of } => {
                if done == 1 {
                    self.say("backups looked at:", of as u64);
                }
                self.reach(done as u64);
            }
        }
    }

    /// Counts bytes.
    pub(super) fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(known: bool) -> ProgressStyle {
    let template = if known {
        "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left"
    } else {
        "{spinner} {msg} {bytes}, {bytes_per_sec}, {elapsed}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
