//! Cuts the text of a filter into tokens.

use super::eval::Relation;
use super::{FilterError, quote};

/// One word or sign of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Index of the first character, and of the one after the last.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a token is, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// The segments of a name between its dots, or a keyword; never empty, and the first was not quoted.
    Name(Vec<String>),
    /// A string; `escaped` are the indices of the characters `%` and `_` that had a backslash, which makes them plain
    /// in a pattern. Elsewhere they are plain anyhow.
    Text {
        text: String,
        escaped: Vec<usize>,
    },
    Int(i64),
    Float(f64),
    /// A number with a unit of time, or several.
    Seconds(f64),
    /// A date, or a date and time, without quotes.
    Date(String),
    /// The segments of a name that follows a closing parenthesis and a dot.
    Tail(Vec<String>),
    Relation(Relation),
    /// `(` or `[`.
    Open(char),
    /// `)` or `]`.
    Close(char),
    Comma,
}

/// Returns whether a character may stand in a name unquoted; the dot, which parts segments, is not among them.
pub(super) fn is_name_char(c: char) -> bool {
    // Alphabetic characters leave out the marks that some scripts, and accents in decomposed text, put after a letter.
    // All marks lie above U+0300; what is signs rather than writing there, from quotes to operators, is left out.
    let mark = c >= '\u{300}'
        && !matches!(c, '\u{2000}'..='\u{2bff}' | '\u{3000}'..='\u{303f}' | '\u{feff}' | '\u{ff00}'..='\u{ffef}')
        && !c.is_control()
        && !c.is_whitespace();
    c.is_alphanumeric() || mark || matches!(c, '_' | '-' | '/')
}

/// Cuts a text into tokens.
///
/// # Errors
/// A character that begins no token, a malformed number or name, an unclosed string, an unknown escape.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, FilterError> {
    let chars: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { chars: &chars, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip(char::is_whitespace);
        let Some(first) = lexer.peek(0) else {
            return Ok(tokens);
        };
        let start = lexer.at;
        let follows = tokens.last().is_some_and(|last: &Token| last.kind == Kind::Close(')') && last.end == start);
        let kind = if first == '.' && follows {
            lexer.at += 1;
            let Kind::Name(segments) = lexer.name(true)? else { return Err(lexer.unexpected(first)) };
            Kind::Tail(segments)
        } else {
            lexer.token(first)?
        };
        tokens.push(Token { kind, start, end: lexer.at });
    }
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    fn since(&self, start: usize) -> String {
        self.chars[start..self.at].iter().collect()
    }

    fn token(&mut self, first: char) -> Result<Kind, FilterError> {
        let digit = |ahead| self.peek(ahead).is_some_and(|c: char| c.is_ascii_digit());
        let signed = usize::from(matches!(first, '-' | '+'));
        if digit(signed) || (self.peek(signed) == Some('.') && digit(signed + 1)) {
            return self.number();
        }
        match first {
            '\'' | '"' => self.quoted(first).map(|(text, escaped)| Kind::Text { text, escaped }),
            '-' | '/' => Err(self.unexpected(first)),
            _ if is_name_char(first) => self.name(false),
            _ => self.sign(first),
        }
    }

    fn sign(&mut self, first: char) -> Result<Kind, FilterError> {
        let equals = self.peek(1) == Some('=');
        let (kind, len) = match first {
            '=' => (Kind::Relation(Relation::Equal), 1 + usize::from(equals)),
            '!' if equals => (Kind::Relation(Relation::NotEqual), 2),
            '<' if equals => (Kind::Relation(Relation::LessOrEqual), 2),
            '<' => (Kind::Relation(Relation::Less), 1),
            '>' if equals => (Kind::Relation(Relation::GreaterOrEqual), 2),
            '>' => (Kind::Relation(Relation::Greater), 1),
            '(' | '[' => (Kind::Open(first), 1),
            ')' | ']' => (Kind::Close(first), 1),
            ',' => (Kind::Comma, 1),
            _ => return Err(self.unexpected(first)),
        };
        self.at += len;
        Ok(kind)
    }

    fn unexpected(&self, found: char) -> FilterError {
        let hint = match found {
            '&' => " (write \"and\")",
            '|' => " (write \"or\")",
            '!' => " (write \"not\", or \"!=\")",
            '\u{2018}'..='\u{201f}' => " (strings are in ' or in \")",
            _ => "",
        };
        FilterError::at(self.at, format!("unexpected character {}{hint}", quote(found.encode_utf8(&mut [0; 4]))))
    }

    /// Reads a name; `quoted` says whether its first segment may be quoted, too.
    fn name(&mut self, quoted: bool) -> Result<Kind, FilterError> {
        let mut segments = Vec::new();
        loop {
            let start = self.at;
            match self.peek(0) {
                Some(mark @ ('\'' | '"')) if quoted || !segments.is_empty() => segments.push(self.quoted(mark)?.0),
                _ => {
                    self.skip(is_name_char);
                    if self.at == start {
                        return Err(FilterError::at(start, "expected a name after \".\""));
                    }
                    segments.push(self.since(start));
                }
            }
            if self.peek(0) != Some('.') {
                return Ok(Kind::Name(segments));
            }
            self.at += 1;
        }
    }

    /// Reads a string; the lexer stands at the mark that opens it.
    fn quoted(&mut self, mark: char) -> Result<(String, Vec<usize>), FilterError> {
        let unclosed = FilterError::at(self.at, "unclosed string");
        let mut text = String::new();
        let mut escaped = Vec::new();
        let mut len = 0;
        loop {
            self.at += 1;
            let mut c = self.peek(0).ok_or_else(|| unclosed.clone())?;
            if c == mark {
                self.at += 1;
                return Ok((text, escaped));
            }
            if c == '\\' {
                let backslash = self.at;
                self.at += 1;
                c = match self.peek(0).ok_or_else(|| unclosed.clone())? {
                    'n' => '\n',
                    't' => '\t',
                    c @ ('\\' | '\'' | '"') => c,
                    c @ ('%' | '_') => {
                        escaped.push(len);
                        c
                    }
                    c => {
                        let message = format!("unknown escape \\{} (a backslash is \\\\)", c.escape_debug());
                        return Err(FilterError::at(backslash, message));
                    }
                };
            }
            text.push(c);
            len += 1;
        }
    }

    /// Reads a number. All that could belong to a name belongs to it, so that `2026-01-31` is one mistake, not three.
    fn number(&mut self) -> Result<Kind, FilterError> {
        let start = self.at;
        if matches!(self.peek(0), Some('-' | '+')) {
            self.at += 1;
        }
        let mut previous = ' ';
        while let Some(c) = self.peek(0) {
            if !(is_name_char(c) || c == '.' || (c == '+' && matches!(previous, 'e' | 'E'))) {
                break;
            }
            previous = c;
            self.at += 1;
        }
        let source = self.since(start);
        if begins_like_a_date(&source) {
            // Clock times have colons, and offsets a sign.
            self.skip(|c| is_name_char(c) || matches!(c, ':' | '.' | '+'));
            return Ok(Kind::Date(self.since(start)));
        }
        read_number(&source).ok_or_else(|| {
            FilterError::at(start, format!("bad number {} (dates and other text are quoted)", quote(&source)))
        })
    }
}

/// Returns whether a piece is four digits, a hyphen, two digits and a hyphen, and perhaps more.
fn begins_like_a_date(source: &str) -> bool {
    let bytes = source.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
    digits(0..4) && digits(5..7) && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-')
}

/// Reads an integer, a float or a duration. An integer too large for an i64 becomes the nearest float.
fn read_number(source: &str) -> Option<Kind> {
    if let Ok(int) = source.parse() {
        return Some(Kind::Int(int));
    }
    if let Some(secs) = read_duration(source) {
        return Some(Kind::Seconds(secs));
    }
    // `e+400` overflows to infinity, which is not what was written.
    source.parse().ok().filter(|value: &f64| value.is_finite()).map(Kind::Float)
}

/// Units of durations in seconds, the longest first.
const UNITS: [(&str, f64); 7] =
    [("w", 604_800.0), ("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6)];

/// Reads a duration in seconds, such as `90s`, `-1.5h` or `2h30m`: numbers with units, from longer to shorter ones.
pub(super) fn read_duration(source: &str) -> Option<f64> {
    let (sign, mut rest) = match source.strip_prefix(['-', '+']) {
        Some(rest) => (if source.starts_with('-') { -1.0 } else { 1.0 }, rest),
        None => (1.0, source),
    };
    let (mut secs, mut units) = (0.0, UNITS.as_slice());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let at = units.iter().position(|(known, _)| *known == unit)?;
        let number: f64 = number.parse().ok()?;
        secs += number * units.get(at)?.1;
        (units, rest) = (units.get(at + 1..)?, tail);
    }
    Some(sign * secs).filter(|secs| secs.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        lex(text).expect(text).into_iter().map(|token| token.kind).collect()
    }

    fn name(segments: &[&str]) -> Kind {
        Kind::Name(segments.iter().map(|s| (*s).to_owned()).collect())
    }

    fn text(text: &str, escaped: &[usize]) -> Kind {
        Kind::Text { text: text.to_owned(), escaped: escaped.to_vec() }
    }

    #[test]
    fn numbers_are_integers_floats_or_durations() {
        let cases = [
            ("0", Kind::Int(0)),
            ("+7", Kind::Int(7)),
            ("-9223372036854775808", Kind::Int(i64::MIN)),
            ("9223372036854775808", Kind::Float(9_223_372_036_854_775_808.0)),
            ("1.5", Kind::Float(1.5)),
            ("-.5", Kind::Float(-0.5)),
            ("1e-3", Kind::Float(0.001)),
            ("1E+3", Kind::Float(1000.0)),
            ("90s", Kind::Seconds(90.0)),
            ("1.5m", Kind::Seconds(90.0)),
            ("-2h", Kind::Seconds(-7_200.0)),
            ("7d", Kind::Seconds(604_800.0)),
            ("1w", Kind::Seconds(604_800.0)),
            ("2h30m", Kind::Seconds(9_000.0)),
            ("-1d12h", Kind::Seconds(-129_600.0)),
            ("5ms", Kind::Seconds(0.005)),
            ("1s2ms3us", Kind::Seconds(1.002_003)),
            ("2026-01-31", Kind::Date("2026-01-31".to_owned())),
            ("2026-01-31T10:00:00.5+02:00", Kind::Date("2026-01-31T10:00:00.5+02:00".to_owned())),
        ];
        for (source, expected) in cases {
            assert_eq!(kinds(source), [expected], "{source}");
        }
        for source in [
            "1x",
            "1e",
            "1.2.3",
            "5-3",
            "1_000",
            "0x10",
            "2026-1-31",
            "1e400",
            "1hd",
            "30m2h",
            "1h1h",
            "1h2",
            "7\u{e9}",
            "1inf",
        ] {
            let error = lex(source).expect_err(source);
            assert_eq!((error.column, error.message.starts_with("bad number")), (1, true), "{source}");
        }
    }

    #[test]
    fn names_run_to_a_space_or_operator() {
        assert_eq!(kinds("config.a-b/c_d.0"), [name(&["config", "a-b/c_d", "0"])]);
        assert_eq!(kinds("a<b"), [name(&["a"]), Kind::Relation(Relation::Less), name(&["b"])]);
        assert_eq!(kinds("a,b)"), [name(&["a"]), Kind::Comma, name(&["b"]), Kind::Close(')')]);
        assert_eq!(kinds("config.lr>-5"), [name(&["config", "lr"]), Kind::Relation(Relation::Greater), Kind::Int(-5)]);
        assert_eq!(kinds("summary.\"val loss\".'x.y'.z"), [name(&["summary", "val loss", "x.y", "z"])]);
        assert_eq!(kinds("config.\"\\\"\\\\\\n\""), [name(&["config", "\"\\\n"])]);
        for unicode in ["\u{e9}t\u{e9}", "e\u{301}t", "\u{640d}\u{5931}", "\u{915}\u{94d}\u{937}\u{93f}", "\u{1f600}"] {
            assert_eq!(kinds(&format!("summary.{unicode}=1"))[0], name(&["summary", unicode]));
        }
    }

    #[test]
    fn strings_keep_what_is_escaped() {
        assert_eq!(kinds("'a\"b'"), [text("a\"b", &[])]);
        assert_eq!(kinds("\"a'b\""), [text("a'b", &[])]);
        assert_eq!(kinds(r#"'\'\"\\\n\t'"#), [text("'\"\\\n\t", &[])]);
        assert_eq!(kinds(r"'\u{e9}\%%\_'".replace("\\u{e9}", "\u{e9}").as_str()), [text("\u{e9}%%_", &[1, 3])]);
        assert_eq!(kinds("''"), [text("", &[])]);
    }

    #[test]
    fn errors_point_at_the_character() {
        let cases = [
            ("a = 'x", 5, "unclosed string"),
            ("a = 'x\\", 5, "unclosed string"),
            ("\u{e9}\u{e9} = \"x'", 6, "unclosed string"),
            ("summary.\"x", 9, "unclosed string"),
            ("a = 'x\\q'", 7, "unknown escape \\q (a backslash is \\\\)"),
            ("a & b", 3, "unexpected character \"&\" (write \"and\")"),
            ("a ! b", 3, "unexpected character \"!\" (write \"not\", or \"!=\")"),
            ("a = \u{201c}x\u{201d}", 5, "unexpected character \"\u{201c}\" (strings are in ' or in \")"),
            ("a = - 5", 5, "unexpected character \"-\""),
            ("summary.a@5", 10, "unexpected character \"@\""),
            ("config. = 1", 8, "expected a name after \".\""),
            ("config..a", 8, "expected a name after \".\""),
            ("\0", 1, "unexpected character \"\\0\""),
        ];
        for (source, column, message) in cases {
            assert_eq!(lex(source), Err(FilterError { column, message: message.to_owned() }), "{source}");
        }
    }
}
