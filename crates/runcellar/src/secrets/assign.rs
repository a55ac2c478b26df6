//! Names and their values in text: `KEY=value`, `key: value`, `{"key": "value"}`, `key='value'`, `--key value`.

use super::name::{self, NAME_BYTES_MAX, Suspicion};
use super::rule::{self, Rule};
use super::scan::{Language, Look, Span, is_credential, length};
use super::value;

/// Bytes of a value by which it is judged. One that is a secret is covered to its end.
const JUDGED_BYTES: usize = 512;
/// Spaces between a name, its sign, and its value.
const SPACES_MAX: usize = 4;

/// Returns the rule that a value under such a name falls under.
pub(super) fn rule_of(suspicion: Suspicion) -> Rule {
    match suspicion {
        Suspicion::Password => rule::PASSWORD,
        Suspicion::Secret => rule::SECRET,
        Suspicion::Token | Suspicion::Key => rule::TOKEN,
    }
}

/// A value, and how it is written.
struct Written {
    begin: usize,
    end: usize,
    quoted: bool,
    /// Where it was looked for, and whether it goes on to the next space.
    from: usize,
    to_space: bool,
}

impl Written {
    /// Returns all of a value by whose beginning it was judged.
    fn span(&self, line: &str, look: Look, suspicion: Suspicion) -> Span {
        let whole = written(line, self.from, self.to_space, look.open, usize::MAX);
        let end = whole.map_or(self.end, |whole| whole.end);
        Span { begin: self.begin, end, rule: rule_of(suspicion) }
    }
}

/// Looks at the value that `=` or `:` at this place gives a name.
pub(super) fn assignment(line: &str, sign: usize, look: Look) -> Option<Span> {
    let bytes = line.as_bytes();
    let colon = bytes[sign] == b':';
    // Comparisons, paths of code, the scheme of a URL.
    if matches!(bytes.get(sign + 1), Some(b'=' | b':')) && !colon || bytes[sign + 1..].starts_with(b"//") {
        return None;
    }
    if colon && matches!(bytes.get(sign + 1), Some(b':')) {
        return None;
    }
    let (name_begin, name) = name_before(line, sign)?;
    let suspicion = name::judge(name)?;
    let after = skip_spaces(bytes, sign + 1 + usize::from(matches!(bytes.get(sign + 1), Some(b'=' | b'>'))));
    if name.len() >= 13 && name[name.len() - 13..].eq_ignore_ascii_case("authorization") {
        return authorization(line, after, look);
    }
    let environment = is_environment(line, name_begin, name, sign);
    let written = written(line, after, environment, look.open, JUDGED_BYTES)?;
    let text = &line[written.begin..written.end];
    let cut = look.open && written.end == line.len();
    let meant = match (written.quoted, look.language) {
        (true, _) => true,
        (false, Language::Code | Language::Markup) => is_literal(suspicion, line, &written),
        (false, Language::Text) if environment => true,
        // Of a value after a colon or spaces nobody knows that it is one: it may be a sentence.
        (false, Language::Text) => is_literal(suspicion, line, &written) || stands_alone(line, name_begin, &written),
    };
    let is_name = !written.quoted && is_a_name(text);
    let secret = meant && !is_name && value::is_secret(suspicion, text);
    let cut = cut && !value::is_placeholder(text) && suspicion != Suspicion::Key;
    (secret || cut).then(|| written.span(line, look, suspicion))
}

/// Looks at the value that follows a flag: `--password swordfish`.
pub(super) fn flag(line: &str, at: usize, look: Look) -> Option<Span> {
    let bytes = line.as_bytes();
    let count = length(&bytes[at + 2..bytes.len().min(at + 2 + NAME_BYTES_MAX)], is_name_byte);
    let name_end = at + 2 + count;
    if !matches!(bytes.get(name_end), Some(b' ' | b'\t')) {
        return None;
    }
    let suspicion = name::judge(&line[at + 2..name_end])?;
    let begin = skip_spaces(bytes, name_end);
    if bytes.get(begin) == Some(&b'-') {
        return None;
    }
    let written = written(line, begin, true, look.open, JUDGED_BYTES)?;
    let text = &line[written.begin..written.end];
    let cut = look.open && written.end == line.len();
    let secret = (written.quoted || !is_a_name(text)) && value::is_secret(suspicion, text);
    (secret || cut).then(|| written.span(line, look, suspicion))
}

/// `Authorization: Bearer X`, `Basic X`, or the credential itself.
fn authorization(line: &str, after: usize, look: Look) -> Option<Span> {
    const SCHEMES: [&str; 6] = ["bearer", "basic", "token", "digest", "apikey", "negotiate"];
    let bytes = line.as_bytes();
    let is_open = |byte: u8| matches!(byte, b'"' | b'\'' | b'\\');
    let mut begin = after + length(&bytes[after..], is_open).min(2);
    let word = length(&bytes[begin..], |byte| byte.is_ascii_alphabetic());
    if SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(&line[begin..begin + word])) {
        begin = skip_spaces(bytes, begin + word);
    }
    let end = begin + length(&bytes[begin..bytes.len().min(begin + JUDGED_BYTES)], is_credential);
    let text = &line[begin..end];
    let cut = look.open && end == line.len();
    let real = text.len() >= 8 && !value::is_placeholder(text) && (text.len() >= 16 || text.contains('='));
    let real = real && (value::is_random(text) || value::wordiness(text) < 0.5);
    (real || (cut && !text.is_empty())).then_some(Span { begin, end, rule: rule::AUTHORIZATION })
}

/// Returns where the name before a sign begins, and the name. Quotes and the brackets of `d["name"]` are passed over, and so
/// is a type: `name: str = `.
fn name_before(line: &str, sign: usize) -> Option<(usize, &str)> {
    let bytes = line.as_bytes();
    let back = |from: usize, most: usize, is: &dyn Fn(u8) -> bool| {
        from - bytes[..from].iter().rev().take(most).take_while(|byte| is(**byte)).count()
    };
    let mut end = back(sign, SPACES_MAX, &|byte| byte == b' ' || byte == b'\t');
    if bytes[sign] == b'=' {
        end = before_type(line, end).unwrap_or(end);
    }
    end = back(end, 4, &|byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b']' | b')'));
    let begin = back(end, NAME_BYTES_MAX, &is_name_byte);
    (begin < end).then(|| (begin, &line[begin..end]))
}

/// Returns where the name ends whose type ends here: `password: Optional[str]`.
fn before_type(line: &str, end: usize) -> Option<usize> {
    const TYPE_BYTES_MAX: usize = 40;
    let head = &line.as_bytes()[..end];
    let is_type =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'[' | b']' | b'|' | b' ' | b'.' | b'_' | b'&');
    let begin = end - head.iter().rev().take(TYPE_BYTES_MAX).take_while(|byte| is_type(**byte)).count();
    let colon = begin.checked_sub(1).filter(|at| head[*at] == b':' && head.get(at + 1) == Some(&b' '))?;
    line[begin..end].contains(|letter: char| letter.is_ascii_alphabetic()).then_some(colon)
}

/// Returns true for `NAME=value` as the environment has it.
fn is_environment(line: &str, begin: usize, name: &str, sign: usize) -> bool {
    let upper = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let own_word = line[..begin].ends_with([' ', '\t', '+', '-', '\u{a0}', '"', '\'', ';']) || begin == 0;
    let tight = line.as_bytes().get(sign + 1).is_some_and(|byte| !byte.is_ascii_whitespace());
    upper && own_word && line.as_bytes()[sign] == b'=' && begin + name.len() == sign && tight
}

/// Returns the value that begins at a place: in quotes, or to the next sign that ends one. No more than `limit` bytes of it
/// are looked at.
fn written(line: &str, mut begin: usize, to_space: bool, open: bool, limit: usize) -> Option<Written> {
    let bytes = line.as_bytes();
    let from = begin;
    // r"...", b'...', and quotes within quotes.
    if let (Some(b'r' | b'b' | b'f' | b'u'), Some(b'"' | b'\'')) = (bytes.get(begin), bytes.get(begin + 1)) {
        begin += 1;
    }
    let escaped = bytes.get(begin) == Some(&b'\\') && matches!(bytes.get(begin + 1), Some(b'"' | b'\''));
    begin += usize::from(escaped);
    if let Some(quote @ (b'"' | b'\'' | b'`')) = bytes.get(begin) {
        let begin = begin + 1;
        let body = &bytes[begin..bytes.len().min(begin.saturating_add(limit))];
        let ends = |at: &usize| {
            body[*at] == *quote && (escaped || *at == 0 || body[*at - 1] != b'\\' || ends_escape(body, *at))
        };
        // Without a second quote it was the end of another text.
        let mut count =
            (0..body.len()).find(ends).or((open || body.len() == limit || limit == usize::MAX).then_some(body.len()))?;
        if escaped && count > 0 && body[count - 1] == b'\\' {
            count -= 1;
        }
        let end = boundary(line, begin + count);
        return (end > begin).then_some(Written { begin, end, quoted: true, from, to_space });
    }
    let ends = |byte: u8| {
        byte.is_ascii_whitespace()
            || matches!(byte, b'"' | b'\'' | b'`')
            || (!to_space && matches!(byte, b',' | b';' | b'&' | b'|' | b'<' | b'>' | b')' | b']' | b'}'))
    };
    let body = &bytes[begin..bytes.len().min(begin.saturating_add(limit))];
    let end = boundary(line, begin + length(body, |byte| !ends(byte)));
    (end > begin).then_some(Written { begin, end, quoted: false, from, to_space })
}

/// Returns true if the backslash before a quote is itself escaped.
fn ends_escape(body: &[u8], quote: usize) -> bool {
    body[..quote].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
}

/// Returns true if a value without quotes is no expression and no word: digits or signs are in it.
fn is_literal(suspicion: Suspicion, line: &str, written: &Written) -> bool {
    let text = &line[written.begin..written.end];
    let called = line.as_bytes().get(written.end).is_some_and(|byte| matches!(byte, b'(' | b'['));
    let expression = text.contains(['(', '[', '{']) || (text.contains('.') && !value::is_random(text)) || called;
    let has = |is: fn(u8) -> bool| text.bytes().any(is);
    let mixed =
        has(|byte| byte.is_ascii_digit()) || has(|byte| matches!(byte, b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'+'));
    !expression && mixed && (suspicion == Suspicion::Password || value::wordiness(text) < 1.0 || text.len() >= 8)
}

/// Returns true if a line holds a name and one word, as YAML does, or an assignment without spaces.
fn stands_alone(line: &str, name_begin: usize, written: &Written) -> bool {
    let before = line[..name_begin].trim_matches(|letter: char| matches!(letter, ' ' | '\t' | '-' | '+' | '"' | '\''));
    let whole = before.is_empty() && line[written.end..].trim().is_empty();
    let tight = written.begin > 0 && line.as_bytes()[written.begin - 1] == b'=';
    (whole || tight) && !line[written.begin..written.end].contains(['(', '[', '{'])
}

/// Returns true if a text is made as names are, and suggests a secret itself: `password=password`, `token=args.token`,
/// `--api-key API_KEY`.
fn is_a_name(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'-'));
    plain && text.len() <= NAME_BYTES_MAX && name::judge(text).is_some()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn skip_spaces(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from.min(bytes.len()) + length(&rest[..rest.len().min(SPACES_MAX)], |byte| byte == b' ' || byte == b'\t')
}

/// Returns the boundary of a character at or before a place.
fn boundary(line: &str, at: usize) -> usize {
    (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0)
}
