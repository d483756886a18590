//! The break-glass instructions: RESTORE.md, in every payload and in every store.

/// The instructions in plain text (Markdown), for stock tools alone.
///
/// They depend on nothing but this tool's version and the escrow format they describe, so that
/// one release writes one text and its digest can be printed on the trust card. The SQL blocks
/// follow the schema generations of Databasus (up to 3.42, from 3.43, tunnels of August 2026).
pub fn restore_md() -> &'static str {
    concat!(
        "# RESTORE: Databasus from an escrow, by hand\n\n(databasus-escrow ",
        env!("CARGO_PKG_VERSION"),
        ", escrow format 1)\n",
        include_str!("restore.md"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_name_their_release_and_format() {
        let head: String = restore_md().lines().take(3).collect();
        assert!(
            head.contains(env!("CARGO_PKG_VERSION")) && head.contains("format 1"),
            "{head}"
        );
    }

    /// Terminals, printers and rescue systems show nothing else reliably.
    #[test]
    fn the_instructions_are_plain_ascii_in_short_lines() {
        for line in restore_md().lines() {
            assert!(line.is_ascii() && line.len() <= 120, "{line}");
        }
    }
}
