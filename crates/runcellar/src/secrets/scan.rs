//! Finding secrets in one line of text: one pass, and from each place that could begin something a bounded look around.

use super::assign;
use super::rule::{self, Body, FIRST, Rule, SHAPES, Shape};
use super::value;

/// What kind of text is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// What programs print: `password: swordfish` is one.
    Text,
    /// Source code and diffs: what is not in quotes is mostly an expression, and must look random.
    Code,
    /// Pages and pictures made of text: as code, and random text that nothing is said about is data (scripts, fonts, paths).
    Markup,
}

/// How a line is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) language: Language,
    /// More of the line may come: what reaches its end counts before it is as long as it must be.
    pub(super) open: bool,
}

/// A stretch of a line, in bytes, that is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) rule: Rule,
}

/// Longest body of a JSON web token's part, and of a key in PEM that is written in one line.
const JWT_BYTES_MAX: usize = 4096;
/// Longest authority of a URL.
const AUTHORITY_BYTES_MAX: usize = 1024;

/// Returns the secrets of a line, in order, without overlaps. Linear in its length.
pub(super) fn spans(line: &str, look: Look) -> Vec<Span> {
    let bytes = line.as_bytes();
    let mut found = Vec::new();
    let mut run_end = 0;
    // Signs within a value give no names.
    let mut value_end = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let span = match byte {
            _ if at < value_end => None,
            b'=' => assign::assignment(line, at, look),
            b':' => url_password(line, at).or_else(|| assign::assignment(line, at, look)),
            b'-' if bytes[at..].starts_with(b"--") && !is_in_word(bytes, at) => {
                private_key(line, at).or_else(|| assign::flag(line, at, look))
            }
            _ => None,
        };
        found.extend(span);
        value_end = span.map_or(value_end, |span| span.end);
        // What is written in one line may be long, and may look like many.
        if let Some(span) = span.filter(|span| span.rule == rule::PRIVATE_KEY) {
            at = span.end;
            continue;
        }
        if is_word(*byte) && !is_in_word(bytes, at) {
            found.extend(word(line, at, look));
        }
        if at >= run_end && is_base64(*byte) && look.language != Language::Markup {
            run_end = at + length(&bytes[at..], is_base64);
            found.extend(alone(bytes, at, run_end, look));
        }
        at += 1;
    }
    merged(found)
}

/// Joins stretches that overlap: what any rule covers is covered. The name is that of the rule that tells most.
fn merged(mut found: Vec<Span>) -> Vec<Span> {
    if found.len() > 1 {
        found.sort_by_key(|span| (span.begin, span.end));
    }
    let mut out: Vec<Span> = Vec::with_capacity(found.len());
    for span in found {
        match out.last_mut() {
            Some(last) if span.begin < last.end => {
                last.end = last.end.max(span.end);
                if rank(span.rule) < rank(last.rule) {
                    last.rule = span.rule;
                }
            }
            _ => out.push(span),
        }
    }
    out
}

fn rank(rule: Rule) -> usize {
    rule::OTHERS.iter().position(|other| other.name == rule.name).map_or(0, |place| place + 1)
}

/// Looks for what may begin with a word.
fn word(line: &str, at: usize, look: Look) -> Option<Span> {
    let rest = &line.as_bytes()[at..];
    let first = *rest.first()?;
    if FIRST[usize::from(first)]
        && let Some(span) = SHAPES.iter().find_map(|shape| shaped(line, at, shape, look))
    {
        return Some(span);
    }
    match first {
        b'e' => jwt(line, at, look),
        b'0'..=b'9' => telegram(line, at),
        b'B' | b'b' => bearer(line, at, look),
        b'l' | b'p' => wandb(line, at),
        _ => None,
    }
}

/// Fits a shape of a token.
fn shaped(line: &str, at: usize, shape: &Shape, look: Look) -> Option<Span> {
    let rest = &line.as_bytes()[at..];
    let prefix = shape.prefixes.iter().find(|prefix| rest.starts_with(prefix.as_bytes()))?;
    let body = &rest[prefix.len()..];
    let mut count = length(&body[..body.len().min(shape.max + 1)], |byte| shape.body.has(byte));
    // A full stop ends a sentence.
    if shape.body == Body::Dotted && body[..count].ends_with(b".") {
        count -= 1;
    }
    let body = &body[..count];
    let cut = look.open && at + prefix.len() + count == line.len();
    let fits = (shape.min..=shape.max).contains(&count) && (value::is_varied(body) || shape.min == 0);
    let random = shape.body != Body::Random
        || std::str::from_utf8(body).is_ok_and(|body| value::is_random(body.trim_start_matches("proj-")));
    (cut || (fits && random)).then(|| Span { begin: at, end: at + prefix.len() + count, rule: shape.rule })
}

fn jwt(line: &str, at: usize, look: Look) -> Option<Span> {
    let rest = &line.as_bytes()[at..];
    // Only from the beginning of a run, so that each is looked at once.
    if !rest.starts_with(b"eyJ") || (at > 0 && is_base64(line.as_bytes()[at - 1])) {
        return None;
    }
    let part = |from: usize| {
        let rest = rest.get(from..)?;
        Some(from + length(&rest[..rest.len().min(JWT_BYTES_MAX)], |byte| Body::Url.has(byte)))
    };
    let head = part(0)?;
    let body = part(head + 1)?;
    let dotted = rest.get(head) == Some(&b'.') && rest[head + 1..].starts_with(b"eyJ");
    let end = if rest.get(body) == Some(&b'.') { part(body + 1)? } else { body };
    let cut = look.open && at + end == line.len() && head > 8;
    (cut || (dotted && head >= 12 && body - head >= 8)).then(|| Span { begin: at, end: at + end, rule: rule::JWT })
}

fn telegram(line: &str, at: usize) -> Option<Span> {
    let rest = &line.as_bytes()[at..];
    let digits = length(&rest[..rest.len().min(11)], |byte| byte.is_ascii_digit());
    let body = rest.get(digits + 1..)?;
    let count = length(&body[..body.len().min(36)], |byte| Body::Url.has(byte));
    let fits = (8..=10).contains(&digits) && rest[digits] == b':' && body.starts_with(b"AA") && count == 35;
    fits.then(|| Span { begin: at, end: at + digits + 1 + count, rule: rule::TELEGRAM })
}

/// `Bearer`, and what it says of who asks.
fn bearer(line: &str, at: usize, look: Look) -> Option<Span> {
    let word = line.get(at..at + 7).filter(|word| word.eq_ignore_ascii_case("bearer "))?;
    let begin = at + word.len();
    let credential = &line[begin..begin + length(&line.as_bytes()[begin..], is_credential)];
    let cut = look.open && begin + credential.len() == line.len();
    let random = credential.len() >= 16 && value::is_random(credential) && !value::is_placeholder(credential);
    (random || cut).then(|| Span { begin, end: begin + credential.len(), rule: rule::AUTHORIZATION })
}

/// `wandb login KEY`, and the same in `.netrc`.
fn wandb(line: &str, at: usize) -> Option<Span> {
    let rest = &line[at..];
    let word = ["login ", "password "].into_iter().find(|word| rest.starts_with(word))?;
    let begin = at + word.len();
    let body = &line.as_bytes()[begin..];
    let fits = length(&body[..body.len().min(41)], |byte| Body::Hex.has(byte)) == 40
        && body.get(40).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    fits.then(|| Span { begin, end: begin + 40, rule: rule::WANDB })
}

/// The password of a URL whose `://` begins at `at`.
fn url_password(line: &str, at: usize) -> Option<Span> {
    let bytes = line.as_bytes();
    if !bytes[at..].starts_with(b"://") || at == 0 || !bytes[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let begin = at + 3;
    let rest = &bytes[begin..];
    let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'"' | b'\'' | b'`' | b'<' | b'>');
    let authority = &rest[..length(&rest[..rest.len().min(AUTHORITY_BYTES_MAX)], |byte| !ends(byte))];
    let user_end = authority.iter().rposition(|byte| *byte == b'@')?;
    let user = &authority[..user_end];
    let span = |begin, end| Some(Span { begin, end, rule: rule::URL_PASSWORD });
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    match user.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let password = text(&user[colon + 1..]);
            let real = !password.is_empty() && !value::is_placeholder(password);
            real.then(|| span(begin + colon + 1, begin + user_end)).flatten()
        }
        // A token takes the place of the name.
        None => (user.len() >= 20 && value::is_random(text(user))).then(|| span(begin, begin + user_end)).flatten(),
    }
}

/// A private key that is written in one line, with `\n` for its ends of lines.
fn private_key(line: &str, at: usize) -> Option<Span> {
    let rest = &line[at..];
    let begin = at + key_header(rest)?;
    let end = match line[begin..].find("-----END") {
        Some(end) => begin + end,
        None => begin + length(&line.as_bytes()[begin..], |byte| !matches!(byte, b'"' | b'\'')),
    };
    let body = line[begin..end].trim_end();
    (!body.is_empty()).then(|| Span { begin, end: begin + body.len(), rule: rule::PRIVATE_KEY })
}

/// Returns the length of the header of a private key that a text begins with.
pub(super) fn key_header(text: &str) -> Option<usize> {
    const HEADER_BYTES_MAX: usize = 64;
    let rest = text.strip_prefix("-----BEGIN ")?;
    let head = &rest.as_bytes()[..rest.len().min(HEADER_BYTES_MAX)];
    let label = length(head, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    let is_private = rest[..label].ends_with("PRIVATE KEY") || rest[..label].ends_with("PRIVATE KEY BLOCK");
    (is_private && rest[label..].starts_with("-----")).then_some("-----BEGIN ".len() + label + "-----".len())
}

/// A run of base64 that nothing is said about.
fn alone(bytes: &[u8], begin: usize, mut end: usize, look: Look) -> Option<Span> {
    const OPEN_CHARS_MIN: usize = 16;
    let cut = look.open && end == bytes.len();
    while bytes.get(end) == Some(&b'=') {
        end += 1;
    }
    let min = if cut { OPEN_CHARS_MIN } else { value::alone_chars_min() };
    if end - begin < min || is_digest_or_url(&bytes[..bytes.len().min(begin + "sha512-".len())]) {
        return None;
    }
    // A variable and its value stand as one run if there is a `-` or `/` between: the longest piece counts.
    let run = &bytes[begin..end];
    value::is_secret_alone(run, min).then_some(Span { begin, end, rule: rule::RANDOM })
}

/// Returns true if what comes next is the digest of a named algorithm, data in base64, or a part of a URL.
fn is_digest_or_url(before: &[u8]) -> bool {
    const LOOKED_AT: usize = 256;
    let before = &before[before.len().saturating_sub(LOOKED_AT)..];
    let word = before.iter().rposition(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\''));
    let word = &before[word.map_or(0, |at| at + 1)..];
    let has = |part: &[u8]| word.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    has(b"sha1") || has(b"sha256") || has(b"sha384") || has(b"sha512") || has(b"md5") || has(b"base64,") || has(b"://")
}

/// Returns how many bytes at the beginning are of a kind.
pub(super) fn length(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is(*byte)).unwrap_or(bytes.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_in_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (is_word(bytes[at - 1]) || bytes[at - 1] == b'_' || (bytes[at] == b'-' && bytes[at - 1] == b'-'))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-')
}

pub(super) fn is_credential(byte: u8) -> bool {
    is_base64(byte) || matches!(byte, b'.' | b'~' | b'=')
}
