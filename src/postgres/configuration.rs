//! Files of settings, `postgresql.conf` and the like, as the server reads them (PostgreSQL's
//! `guc-file.l`).

/// What a line of such a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A setting and its value.
    Setting {
        /// In lower case, as settings do not differ by case.
        name: String,
        /// Without quotes.
        value: String,
    },
    /// Another file, or a directory of files, that is read at this place.
    Include {
        /// Which of the three directives.
        directive: Directive,
        /// As it stands there; relative to the directory of this file.
        path: String,
    },
    /// What no server would accept.
    Unreadable,
}

/// The directives that read other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// `include`
    File,
    /// `include_if_exists`
    FileIfThere,
    /// `include_dir`
    Directory,
}

/// Reads a file of settings: what it says, with the number of the line, counted from 1. Comments
/// and empty lines are left out.
pub fn parse(text: &str) -> Vec<(usize, Item)> {
    let lines = (1..).zip(text.split('\n'));
    lines
        .filter_map(|(number, line)| Some((number, item(line)?)))
        .collect()
}

fn item(line: &str) -> Option<Item> {
    let line = line.trim_matches(is_blank);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    Some(assignment(line).map_or(Item::Unreadable, |(name, value)| {
        let name = name.to_ascii_lowercase();
        let directive = match name.as_str() {
            "include" => Directive::File,
            "include_if_exists" => Directive::FileIfThere,
            "include_dir" => Directive::Directory,
            _ => return Item::Setting { name, value },
        };
        let path = value;
        Item::Include { directive, path }
    }))
}

/// `name = value`, `name value`, and a comment behind it.
fn assignment(line: &str) -> Option<(&str, String)> {
    let end = line.find(|c| !is_name(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let begins_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let rest = rest.trim_start_matches(is_blank);
    let (value, rest) = value(rest)?;
    let rest = rest.trim_start_matches(is_blank);
    let is_over = rest.is_empty() || rest.starts_with('#');
    (begins_well && is_over).then_some((name, value))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '.')
}

/// A value and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        return quoted_value(quoted);
    }
    let is_plain = |c: char| is_name(c) || matches!(c, '-' | '+' | ':' | '/');
    let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    (!value.is_empty()).then(|| (value.to_owned(), rest))
}

/// What stands behind an opening quote, up to the closing one.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '\'' if rest.as_str().starts_with('\'') => {
                rest.next();
                value.push('\'');
            }
            '\'' => return Some((value, rest.as_str())),
            '\\' => value.push(escaped(&mut rest)?),
            other => value.push(other),
        }
    }
}

/// What a backslash makes of what follows it.
fn escaped(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let digits = |text: &str| {
        text.bytes()
            .take(3)
            .take_while(|b| (b'0'..=b'7').contains(b))
            .count()
    };
    match digits(rest.as_str()) {
        0 => Some(match rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            other => other,
        }),
        count => {
            let octal: String = rest.by_ref().take(count).collect();
            u32::from_str_radix(&octal, 8).ok().and_then(char::from_u32)
        }
    }
}

/// A value as it can stand in such a file, quotes included. It must have no line breaks.
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn setting(name: &str, value: &str) -> Item {
        Item::Setting {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn settings_are_read_as_the_server_reads_them() {
        let text = "# nothing\n\nport = 5433\t# here\nArchive_Command = 'test ! -f \\'x\\' && cp ''%p'' y'\r\n\
                    shared_buffers 128MB\nwork_mem=-1\n  custom.name = on\nlog_line_prefix='%m\\040\\n'\n";
        let expected = [
            (3, setting("port", "5433")),
            (4, setting("archive_command", "test ! -f 'x' && cp '%p' y")),
            (5, setting("shared_buffers", "128MB")),
            (6, setting("work_mem", "-1")),
            (7, setting("custom.name", "on")),
            (8, setting("log_line_prefix", "%m \n")),
        ];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn other_files_are_seen() {
        let text = "include 'a b.conf'\ninclude_if_exists=x.conf\nINCLUDE_DIR = '/etc/pg'";
        let found: Vec<_> = parse(text).into_iter().map(|(_, item)| item).collect();
        let include = |directive, path: &str| Item::Include {
            directive,
            path: path.to_owned(),
        };
        let expected = [
            include(Directive::File, "a b.conf"),
            include(Directive::FileIfThere, "x.conf"),
            include(Directive::Directory, "/etc/pg"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_no_server_would_accept_is_seen_too() {
        for line in [
            "nonsense",
            "a = 'open",
            "a = b c",
            "= 3",
            "1a = 2",
            "a == b",
            "a =",
        ] {
            assert_eq!(parse(line), [(1, Item::Unreadable)], "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_again(value in "[^\\n]{0,40}") {
            let text = format!("name = {}", quoted(&value));
            prop_assert_eq!(parse(&text), [(1, setting("name", &value))]);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,200}") {
            let _ = parse(&text);
        }
    }
}
