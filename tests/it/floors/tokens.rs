//! Rust text cut into words and signs: enough to see what a file uses, without its comments,
//! its literals and its tests.

/// The words (`crate`, `async`, …) and single signs of `text`. Comments and literals are left out.
pub fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest);
        if length > 0 {
            rest = &rest[length..];
            continue;
        }
        let length = word(rest).max(first.len_utf8());
        if !first.is_whitespace() {
            found.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    found
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// The length of the comment or literal that `text` begins with; 0 if it does not.
fn skipped(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('\'') {
        return character(text);
    }
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let raw = text[..prefix].contains('r');
    let body = &text[prefix..];
    match body.trim_start_matches('#').starts_with('"') {
        true if raw && prefix <= 2 => prefix + raw_string(body),
        true if prefix <= 1 && body.starts_with('"') => prefix + string(body),
        _ if prefix == 1 && text.starts_with("b'") => prefix + character(body),
        _ => 0,
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> usize {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = hashes + 1;
    text[begin..]
        .find(&end)
        .map_or(text.len(), |at| begin + at + end.len())
}

/// A character literal, or the quote alone where it begins a lifetime.
fn character(text: &str) -> usize {
    let mut inner = text[1..].char_indices();
    match (inner.next(), inner.next()) {
        (Some((_, '\\')), Some(_)) => inner
            .find(|&(_, c)| c == '\'')
            .map_or(text.len(), |(at, _)| at + 2),
        (Some(_), Some((at, '\''))) => at + 2,
        _ => 1,
    }
}

/// What is compiled into the product: `tokens` without the items marked `#[cfg(test)]`.
pub fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let attribute = attribute_length(&tokens[at..]);
        if is_for_tests(&tokens[at..at + attribute]) {
            at += attribute + item_length(&tokens[at + attribute..]);
        } else {
            let step = attribute.max(1);
            kept.extend_from_slice(&tokens[at..at + step]);
            at += step;
        }
    }
    kept
}

fn is_for_tests(attribute: &[&str]) -> bool {
    attribute.starts_with(&["#", "[", "cfg"])
        && attribute.contains(&"test")
        && !attribute.contains(&"not")
}

/// The length of `#[…]` at the beginning; 0 if there is none.
fn attribute_length(tokens: &[&str]) -> usize {
    if tokens.starts_with(&["#", "["]) {
        1 + group_length(&tokens[1..])
    } else {
        0
    }
}

/// The length of an item: its attributes, and all up to its `;` or the end of its braces.
fn item_length(tokens: &[&str]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            ";" => return at + 1,
            "{" => return at + group_length(&tokens[at..]),
            "(" | "[" => at += group_length(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// The length of a bracketed group that begins with its opening bracket.
pub fn group_length(tokens: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[test]
fn comments_literals_and_lifetimes_are_not_code() {
    let text = r####"
        // crate::cli
        /* crate::cli /* nested */ crate::cli */
        fn name<'a>(x: &'a str) -> char {
            let s = ("async \" {", b"async", r#"crate::"cli""#, br"\", '"', '\'', b'{', '\u{7d}');
            rbc::call()
        }
    "####;
    let expected = "fn name < a > ( x : & a str ) - > char { \
                    let s = ( , , , , , , , ) ; rbc : : call ( ) }";
    assert_eq!(
        tokens(text),
        expected.split_whitespace().collect::<Vec<_>>()
    );
}

#[test]
fn items_for_tests_are_left_out_and_nothing_else_is() {
    let text = "
        #[cfg(test)] use crate::cli;
        #[cfg(test)] #[allow(dead_code)] mod tests { fn inner() { async {} } }
        #[cfg(all(test, unix))] fn helper(x: [u8; 3]) -> u8 { 0 }
        #[cfg(not(test))] fn kept() {}
        #[derive(Debug)] struct Also;
    ";
    let expected =
        "# [ cfg ( not ( test ) ) ] fn kept ( ) { } # [ derive ( Debug ) ] struct Also ;";
    assert_eq!(
        without_tests(&tokens(text)),
        expected.split_whitespace().collect::<Vec<_>>()
    );
}
