//! Text and pictures for people: tables, numbers, times and line charts.
//!
//! Values and names come in, a `String` goes out; nothing here prints, reads a clock or asks for the size of the
//! terminal. Names come from users and from imported files, so every renderer passes them through [`visible`] or
//! an escape of its own before they reach an output. This module holds what the renderers share: safe text and styles;
//! `chart` and `axis` the geometry of charts, whatever they are drawn with.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod number;
pub(crate) mod plot;
pub(crate) mod png;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod time;

use unicode_width::UnicodeWidthStr as _;

/// Characters looked at for each column of width in [`shorten`]; the longest emoji sequence has 10 for 2 columns.
const CHARS_PER_COLUMN_MAX: usize = 8;

/// How a piece of text looks on a terminal with colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As the terminal shows it.
    #[default]
    Plain,
    /// Less important than its surroundings.
    Dim,
    /// More important than its surroundings.
    Bold,
    /// Good, finished.
    Green,
    /// Bad, failed.
    Red,
    /// Wants attention.
    Yellow,
    /// Of note, such as an id.
    Cyan,
}

impl Style {
    /// Returns `text` in this style; unchanged when plain or without `color`.
    pub(crate) fn paint(self, text: &str, color: bool) -> String {
        let code = match self {
            Style::Plain => "",
            Style::Dim => "2",
            Style::Bold => "1",
            Style::Green => "32",
            Style::Red => "31",
            Style::Yellow => "33",
            Style::Cyan => "36",
        };
        if color { sgr(code, text) } else { text.to_owned() }
    }
}

/// Returns `text` between an SGR escape with `code` and its reset; unchanged when either is empty.
fn sgr(code: &str, text: &str) -> String {
    if code.is_empty() || text.is_empty() { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

/// True for characters that act on a display instead of showing something: controls, line and paragraph
/// separators, and the marks that reorder or hide text. Joiners stay, as scripts and emoji need them.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
}

/// Returns `text` on one line with nothing in it that can drive a terminal.
///
/// A newline becomes U+21B5, another ASCII control its picture (ESC: U+241B), any other unprintable U+FFFD.
pub(crate) fn visible(text: &str) -> String {
    let show = |c: char| match c {
        '\n' => '\u{21b5}',
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        _ if is_unprintable(c) => char::REPLACEMENT_CHARACTER,
        _ => c,
    };
    text.chars().map(show).collect()
}

/// Returns `text` cut to at most `width` columns of a terminal, ending in U+2026 if anything was cut.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    if width == 0 {
        return String::new();
    }
    // Prefixes are measured whole, as the width of a sequence is not the sum of its characters' widths.
    let ends = text.char_indices().take(width.saturating_mul(CHARS_PER_COLUMN_MAX)).map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|&end| text[..end].width() < width).last().unwrap_or(0);
    let kept = text[..end].trim_end_matches([' ', '\u{200d}']);
    format!("{kept}\u{2026}")
}

/// Cuts a text into lines of at most `width` columns at its spaces; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if width.is_none_or(|width| line.width() + 1 + word.width() <= width) {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_drive_the_terminal() {
        assert_eq!(visible("a\x1b[31mb\nc\td\x7f"), "a\u{241b}[31mb\u{21b5}c\u{2409}d\u{2421}");
        assert_eq!(visible("\u{9b}2J \u{202e}abc\u{feff}"), "\u{fffd}2J \u{fffd}abc\u{fffd}");
        assert_eq!(visible("e\u{301} \u{1f469}\u{200d}\u{1f4bb}"), "e\u{301} \u{1f469}\u{200d}\u{1f4bb}");
    }

    #[test]
    fn shortening_counts_columns_not_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab\u{2026}");
        assert_eq!(shorten("ab cd", 4), "ab\u{2026}");
        assert_eq!(shorten("\u{5b66}\u{7fd2}\u{7387}", 4), "\u{5b66}\u{2026}");
        assert_eq!(shorten("\u{1f469}\u{200d}\u{1f4bb}xyz", 3), "\u{1f469}\u{200d}\u{1f4bb}\u{2026}");
        assert_eq!(shorten("\u{1f469}\u{200d}\u{1f4bb}\u{200d}xyz", 3), "\u{1f469}\u{200d}\u{1f4bb}\u{2026}");
        assert_eq!(shorten("cafe\u{301}s!", 5), "cafe\u{301}\u{2026}");
        assert_eq!(shorten("abc", 1), "\u{2026}");
        assert_eq!(shorten("abc", 0), "");
    }

    #[test]
    fn wrapping_breaks_at_spaces_only() {
        assert_eq!(wrapped("a bc def", Some(4)), ["a bc", "def"]);
        assert_eq!(wrapped("a-long-path b", Some(4)), ["a-long-path", "b"]);
        assert_eq!(wrapped("a bc def", None), ["a bc def"]);
        assert_eq!(wrapped("", Some(4)), [""]);
    }
}
