//! Putting values into SQL text: a simple query has no parameters.

use postgres_protocol::escape;

/// A string literal of PostgreSQL, quotes included, whatever `standard_conforming_strings` says.
///
/// A NUL byte, which no text of PostgreSQL can hold, ends the value there.
pub fn literal(value: &str) -> String {
    escape::escape_literal(until_nul(value))
}

/// A quoted identifier of PostgreSQL.
pub fn identifier(name: &str) -> String {
    escape::escape_identifier(until_nul(name))
}

/// A literal, or `NULL`.
pub fn nullable(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), literal)
}

/// The protocol ends a query at a NUL byte: what came after it would be lost with the closing quote.
fn until_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside() {
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal(r"a\'b").trim_start(), r"E'a\\''b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(nullable(None), "NULL");
    }

    #[test]
    fn a_nul_byte_ends_the_value_and_not_the_statement() {
        assert_eq!(literal("a\0b"), "'a'");
        assert_eq!(identifier("a\0b"), "\"a\"");
    }
}
