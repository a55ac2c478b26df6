//! Text line by line: what spans lines is remembered, so that big texts need not be held.

use std::borrow::Cow;

use super::rule;
use super::scan::{self, Language, Look, Span};
use super::{Finding, Scanner};

/// Lines of a private key after which one that has no end is taken for text again.
const KEY_LINES_MAX: usize = 200;

/// The lines of one text, in order.
#[derive(Debug, Clone)]
pub struct Lines {
    language: Language,
    /// Lines of a private key that may still follow; none outside of one.
    in_key: usize,
}

impl Lines {
    /// Begins a text.
    #[must_use]
    pub fn new(language: Language) -> Lines {
        Lines { language, in_key: 0 }
    }

    /// Redacts the next line; `place` says where it stands. A line's end may be a part of it.
    pub fn line<'a>(
        &mut self,
        scanner: &Scanner,
        line: &'a str,
        place: impl Fn() -> String,
    ) -> (Cow<'a, str>, Vec<Finding>) {
        if !scanner.is_on() {
            return (Cow::Borrowed(line), Vec::new());
        }
        let spans = self.spans(line, false);
        scanner.redacted(line, &spans, place)
    }

    /// Redacts a line of which more may come, and which will be given once more when it is whole. What could be the
    /// beginning of a secret is redacted, too.
    #[must_use]
    pub fn open_line<'a>(&self, scanner: &Scanner, line: &'a str) -> Cow<'a, str> {
        if !scanner.is_on() {
            return Cow::Borrowed(line);
        }
        let mut after = self.clone();
        let spans = after.spans(line, true);
        scanner.redacted(line, &spans, String::new).0
    }

    fn spans(&mut self, line: &str, open: bool) -> Vec<Span> {
        if self.in_key > 0 {
            self.in_key -= 1;
            if line.contains("-----END") {
                self.in_key = 0;
            } else {
                return key_line(line).into_iter().collect();
            }
        }
        let spans = scan::spans(line, Look { language: self.language, open });
        if let Some(at) = line.find("-----BEGIN ")
            && let Some(length) = line.get(at..).and_then(scan::key_header)
            && line.get(at + length..).is_some_and(|rest| rest.trim().is_empty())
        {
            self.in_key = KEY_LINES_MAX;
        }
        spans
    }
}

/// Returns what of a line is a line of a private key: all but indentation, and the sign that a diff or quote puts first.
fn key_line(line: &str) -> Option<Span> {
    let begin =
        line.find(|letter: char| !matches!(letter, ' ' | '\t' | '+' | '-' | '>' | '#' | '"' | '\'' | '|' | '*'))?;
    let body =
        line[begin..].trim_end_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '\\'));
    (!body.is_empty()).then(|| Span { begin, end: begin + body.len(), rule: rule::PRIVATE_KEY })
}
