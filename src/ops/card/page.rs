//! A page of plain text, as wide as any terminal and any sheet of paper: prose, values and
//! commands for a POSIX shell, none of it wider than [`WIDTH`].

/// In characters.
pub(super) const WIDTH: usize = 78;

/// Text that grows line by line.
#[derive(Default)]
pub(super) struct Page(String);

/// One argument of a command: an option, with its value where it has one.
pub(super) struct Argument {
    option: &'static str,
    value: String,
}

impl Argument {
    pub(super) fn new(option: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        Self { option, value }
    }
}

impl Page {
    pub(super) fn text(self) -> String {
        self.0
    }

    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.line("");
        self.line(text);
    }

    /// Wraps words; one that fits no line goes on in the next, behind a backslash.
    pub(super) fn prose(&mut self, indent: usize, text: &str) {
        let margin = " ".repeat(indent);
        let mut line = margin.clone();
        for word in text
            .split(' ')
            .flat_map(|word| pieces(word, WIDTH - indent))
        {
            let begun = line.len() > indent;
            let length = line.chars().count() + usize::from(begun) + word.chars().count();
            if begun && length > WIDTH {
                self.line(&line);
                line.clone_from(&margin);
            } else if begun {
                line.push(' ');
            }
            line.push_str(&word);
        }
        self.line(&line);
    }

    /// A command with one argument on each line.
    pub(super) fn command(&mut self, program: &str, arguments: &[Argument]) {
        self.line(&format!("    {program} \\"));
        for (index, argument) in arguments.iter().enumerate() {
            let ending = if index + 1 < arguments.len() {
                " \\"
            } else {
                ""
            };
            self.argument(argument, ending);
        }
    }

    fn argument(&mut self, argument: &Argument, ending: &str) {
        let Argument { option, value } = argument;
        let plain = format!("      {option} {value}{ending}");
        if is_plain(value) && plain.len() <= WIDTH {
            return self.line(&plain);
        }
        // A shell joins what stands in two pairs of quotation marks without a blank between
        // them, so the next line begins at the margin.
        let mut line = format!("      {option} '");
        for c in value.chars() {
            let unit = match c {
                '\'' => "'\\''".to_owned(),
                _ => c.to_string(),
            };
            if line.chars().count() + unit.len() > WIDTH - "' \\".len() {
                self.line(&format!("{line}'\\"));
                line = "'".to_owned();
            }
            line.push_str(&unit);
        }
        self.line(&format!("{line}'{ending}"));
    }
}

/// What every shell takes for itself, without quotation marks.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+,".contains(c);
    !word.is_empty() && word.chars().all(plain)
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    if letters.len() <= width {
        return vec![word.to_owned()];
    }
    let chunks: Vec<&[char]> = letters.chunks(width.saturating_sub(1).max(1)).collect();
    let last = chunks.len() - 1;
    let chunks = chunks.into_iter().enumerate();
    chunks
        .map(|(index, chunk)| {
            let end = if index < last { "\\" } else { "" };
            chunk.iter().collect::<String>() + end
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use proptest::prelude::*;

    fn widest(text: &str) -> usize {
        let widths = text.lines().map(|line| line.chars().count());
        widths.max().unwrap_or(0)
    }

    fn command_of(value: &str) -> String {
        let mut page = Page::default();
        let arguments = [
            Argument::new("--store", value),
            Argument::new("--target", "DIR"),
        ];
        page.command("show", &arguments);
        page.text()
    }

    #[test]
    fn plain_words_stand_without_quotation_marks() {
        assert_eq!(
            command_of("SHA256:a+b/c"),
            "    show \\\n      --store SHA256:a+b/c \\\n      --target DIR\n"
        );
    }

    #[test]
    fn a_word_that_fits_no_line_goes_on_in_the_next() {
        let mut page = Page::default();
        page.prose(4, &format!("see {} there", "x".repeat(100)));
        let expected = format!(
            "    see\n    {}\\\n    {} there\n",
            "x".repeat(73),
            "x".repeat(27)
        );
        assert_eq!(page.text(), expected);
    }

    proptest! {
        #[test]
        fn prose_keeps_its_words_and_the_width(words in prop::collection::vec("[a-z]{1,30}", 1..40)) {
            let mut page = Page::default();
            page.prose(4, &words.join(" "));
            let text = page.text();
            prop_assert!(widest(&text) <= WIDTH, "{text}");
            prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>(), words);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_shell_reads_back_every_value(value in "[^\\p{C}]{0,300}") {
            let text = command_of(&value);
            prop_assert!(widest(&text) <= WIDTH, "{text}");
            let script = format!("show() {{ printf '%s\\n' \"$@\"; }}\n{text}");
            let output = Command::new("sh").arg("-c").arg(&script).output().unwrap();
            let expected = format!("--store\n{value}\n--target\nDIR\n");
            prop_assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        }
    }
}
