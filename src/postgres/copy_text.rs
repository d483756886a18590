//! The rows in a plain SQL dump: blocks of `COPY … FROM stdin` in PostgreSQL's text format.

use std::io::{self, BufRead, Read};

use super::wire::Row;

/// Longest line, in bytes: PostgreSQL's own values end at 1 GiB, Databasus' far below this.
const LONGEST_LINE: u64 = 64 << 20;

/// Receives the rows of a dump.
pub trait RowSink {
    /// Takes a row of a table of schema public; `columns` name its values.
    fn row(&mut self, table: &str, columns: &[String], row: Row);
}

/// Reads a dump to its end. Whatever is not a block of rows is passed by.
pub fn read_rows(dump: &mut impl BufRead, sink: &mut impl RowSink) -> io::Result<()> {
    let mut line = Vec::new();
    let mut block: Option<(String, Vec<String>)> = None;
    while next_line(dump, &mut line)? {
        match &block {
            None => block = std::str::from_utf8(&line).ok().and_then(block_of),
            Some(_) if line == b"\\." => block = None,
            Some((table, columns)) => sink.row(table, columns, row_of(&line)?),
        }
    }
    match block {
        None => Ok(()),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The next line without its end; false where there is none.
fn next_line(dump: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let count = dump.by_ref().take(LONGEST_LINE).read_until(b'\n', line)?;
    if count as u64 == LONGEST_LINE {
        return Err(io::Error::other("a line of the dump is too long"));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(count > 0)
}

/// `COPY public.backups (id, "user") FROM stdin;`
fn block_of(line: &str) -> Option<(String, Vec<String>)> {
    let rest = line.strip_prefix("COPY public.")?;
    let rest = rest.strip_suffix(") FROM stdin;")?;
    let (table, columns) = rest.split_once(" (")?;
    let columns = columns.split(", ").map(unquoted).collect();
    Some((unquoted(table), columns))
}

fn unquoted(name: &str) -> String {
    let inner = name
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("\"\"", "\""))
}

fn row_of(line: &[u8]) -> io::Result<Row> {
    let values = line.split(|byte| *byte == b'\t');
    values.map(value_of).collect()
}

fn value_of(escaped: &[u8]) -> io::Result<Option<String>> {
    if escaped == b"\\N" {
        return Ok(None);
    }
    let mut value = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter().copied();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => unescaped(bytes.next()),
            other => other,
        });
    }
    let text = String::from_utf8(value);
    text.map(Some)
        .map_err(|_| io::Error::other("the dump is not in UTF-8"))
}

/// What `COPY TO` writes behind a backslash.
fn unescaped(letter: Option<u8>) -> u8 {
    match letter {
        Some(b'b') => 0x08,
        Some(b'f') => 0x0C,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'v') => 0x0B,
        Some(other) => other,
        None => b'\\',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Kept(Vec<(String, Vec<String>, Row)>);

    impl RowSink for Kept {
        fn row(&mut self, table: &str, columns: &[String], row: Row) {
            self.0.push((table.to_owned(), columns.to_vec(), row));
        }
    }

    fn read(dump: &str) -> io::Result<Vec<(String, Vec<String>, Row)>> {
        let mut kept = Kept::default();
        read_rows(&mut dump.as_bytes(), &mut kept)?;
        Ok(kept.0)
    }

    #[test]
    fn blocks_are_read_and_the_rest_is_passed_by() {
        let dump = "SET x = 1;\n\nCOPY public.users (id, \"user\") FROM stdin;\n\
            1\ta\\tb\\\\n\n2\t\\N\n\\.\n\nCOPY public.empty (id) FROM stdin;\n\\.\n";
        let rows = read(dump).unwrap();
        let columns = ["id".to_owned(), "user".to_owned()];
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            rows,
            [
                (
                    "users".to_owned(),
                    columns.to_vec(),
                    vec![text("1"), text("a\tb\\n")]
                ),
                ("users".to_owned(), columns.to_vec(), vec![text("2"), None]),
            ]
        );
    }

    #[test]
    fn a_dump_that_ends_within_a_block_is_an_error() {
        assert!(read("COPY public.a (b) FROM stdin;\n1\n").is_err());
    }

    fn escaped(value: &str) -> String {
        let mut out = String::new();
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                other => out.push(other),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn values_survive(values in prop::collection::vec("(?s).*", 1..4)) {
            let line: Vec<String> = values.iter().map(|value| escaped(value)).collect();
            let dump = format!("COPY public.t (a) FROM stdin;\n{}\n\\.\n", line.join("\t"));
            let rows = read(&dump).unwrap();
            let expected: Row = values.into_iter().map(Some).collect();
            prop_assert_eq!(&rows[0].2, &expected);
        }

        #[test]
        fn no_text_makes_reading_panic(lines in "(COPY public.t \\(a\\) FROM stdin;\n)?(.*\n){0,4}") {
            let _ = read(&lines);
        }
    }
}
