//! Where a quote or bracket was opened that nobody closed: the parser only says where it gave up.

/// Byte offset and character of the innermost quote or bracket that is open at `until`.
pub(super) fn innermost(text: &str, until: usize) -> Option<(usize, char)> {
    let mut scan = Scan { open: Vec::new(), quote: None, begins_value: true, block_indent: None };
    let mut start = 0;
    for line in text.get(..until)?.split_inclusive('\n') {
        scan.line(start, line);
        start += line.len();
    }
    scan.quote.or_else(|| scan.open.last().copied())
}

struct Scan {
    /// Brackets that are open, outermost first.
    open: Vec<(usize, char)>,
    quote: Option<(usize, char)>,
    /// True where a value may begin: only there a quote or bracket means something.
    begins_value: bool,
    /// Inside a block scalar: the indent of the line that began it.
    block_indent: Option<usize>,
}

impl Scan {
    fn line(&mut self, start: usize, line: &str) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if let Some(block) = self.block_indent {
            if line.trim().is_empty() || indent > block {
                return;
            }
            self.block_indent = None;
        }
        self.begins_value = true;
        let mut before = ' ';
        let mut letters = line.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next = letters.peek().map_or('\n', |(_, letter)| *letter);
            if let Some((_, quote)) = self.quote {
                let is_escape = quote == '"' && letter == '\\' || quote == '\'' && letter == '\'' && next == '\'';
                if is_escape {
                    letters.next();
                } else if letter == quote {
                    self.quote = None;
                    self.begins_value = false;
                }
            } else if letter == '#' && before.is_whitespace() {
                return;
            } else {
                self.plain(start + at, letter, next);
                if self.open.is_empty() && matches!(letter, '|' | '>') && line[..at].trim_end().ends_with(':') {
                    self.block_indent = Some(indent);
                    return;
                }
            }
            before = letter;
        }
    }

    fn plain(&mut self, at: usize, letter: char, next: char) {
        match letter {
            '"' | '\'' if self.begins_value => self.quote = Some((at, letter)),
            '[' | '{' if self.begins_value => self.open.push((at, letter)),
            ']' | '}' if self.open.last().is_some_and(|(_, open)| matches!((open, letter), ('[', ']') | ('{', '}'))) => {
                self.open.pop();
                self.begins_value = false;
            }
            ',' if !self.open.is_empty() => self.begins_value = true,
            ':' | '-' if next.is_whitespace() => self.begins_value = true,
            _ if letter.is_whitespace() => {}
            _ => self.begins_value = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(usize, char)>) {
        assert_eq!(innermost(text, text.len()), expected, "{text:?}");
    }

    #[test]
    fn an_open_quote_is_found_where_it_begins() {
        check("a: 1\nb: \"text\nc: 2\n", Some((8, '"')));
        check("a: 'it''s\n", Some((3, '\'')));
    }

    #[test]
    fn the_innermost_open_bracket_is_found() {
        check("a: [1, {b: 2, c: [3]\nd: 4\n", Some((7, '{')));
        check("a: [1, 2]\nb: [3\n", Some((13, '[')));
    }

    #[test]
    fn what_is_closed_quoted_commented_or_inside_text_is_not_open() {
        for text in ["a: [1]\nb: {c: d}\n", "a: \"[\"\n", "a: x # [\n", "a: it's [fine\n", "a: |\n  SELECT '[\n  x: [\nb: 1\n"] {
            check(text, None);
        }
    }
}
