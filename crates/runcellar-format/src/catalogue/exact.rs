//! Exact text: a nested value as text that reads back bit by bit, so that it can stand in a text column.

use std::fmt::Write as _;

use crate::error::{FormatError, Result};
use crate::value::{Json, NESTING_MAX};

const WHAT: &str = "exact text";

/// Returns the exact text of a value.
///
/// # Errors
/// [`FormatError::Limit`] if it nests deeper than [`NESTING_MAX`].
pub fn to_exact(value: &Json) -> Result<String> {
    let mut out = String::new();
    push(value, 0, &mut out)?;
    Ok(out)
}

fn push(value: &Json, depth: usize, out: &mut String) -> Result<()> {
    if depth > NESTING_MAX {
        return Err(too_deep(depth));
    }
    match value {
        Json::Null => out.push('n'),
        Json::Bool(value) => out.push(if *value { 't' } else { 'f' }),
        Json::Int(value) => put(out, format_args!("i{value};")),
        Json::Float(value) => put(out, format_args!("d{:016x}", value.to_bits())),
        Json::Text(text) => {
            out.push('s');
            push_text(text, out);
        }
        Json::List(items) => {
            put(out, format_args!("l{};", items.len()));
            for item in items {
                push(item, depth + 1, out)?;
            }
        }
        Json::Map(members) => {
            put(out, format_args!("m{};", members.len()));
            for (name, member) in members {
                push_text(name, out);
                push(member, depth + 1, out)?;
            }
        }
    }
    Ok(())
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a String takes every write");
}

/// Appends a text as its length in bytes and itself.
pub(super) fn push_text(text: &str, out: &mut String) {
    put(out, format_args!("{};{text}", text.len()));
}

/// Reads exact text.
///
/// # Errors
/// [`FormatError::Malformed`] for text that no writer makes, [`FormatError::Limit`] if it nests too deep.
pub fn from_exact(text: &str) -> Result<Json> {
    let mut cursor = Cursor::new(WHAT, text);
    let value = take(&mut cursor, 0)?;
    cursor.finish()?;
    Ok(value)
}

fn take(cursor: &mut Cursor<'_>, depth: usize) -> Result<Json> {
    if depth > NESTING_MAX {
        return Err(too_deep(depth));
    }
    Ok(match cursor.letter()? {
        'n' => Json::Null,
        't' => Json::Bool(true),
        'f' => Json::Bool(false),
        'i' => Json::Int(cursor.integer()?),
        'd' => Json::Float(cursor.float()?),
        's' => Json::Text(cursor.text()?.to_owned()),
        'l' => {
            let items = (0..cursor.length()?).map(|_| take(cursor, depth + 1));
            Json::List(items.collect::<Result<_>>()?)
        }
        'm' => {
            let count = cursor.length()?;
            let members = (0..count).map(|_| Ok((cursor.text()?.to_owned(), take(cursor, depth + 1)?)));
            Json::Map(members.collect::<Result<_>>()?)
        }
        _ => return Err(cursor.malformed()),
    })
}

pub(super) fn too_deep(depth: usize) -> FormatError {
    FormatError::Limit { what: "nesting of a config value", found: depth as u64, limit: NESTING_MAX as u64 }
}

/// Reads texts of letters, lengths and texts.
pub(super) struct Cursor<'a> {
    what: &'static str,
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(what: &'static str, text: &'a str) -> Self {
        Cursor { what, rest: text }
    }

    pub(super) fn malformed(&self) -> FormatError {
        FormatError::Malformed { what: self.what, reason: "not in the one form of a value" }
    }

    pub(super) fn finish(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    pub(super) fn letter(&mut self) -> Result<char> {
        let letter = self.rest.chars().next().ok_or_else(|| self.malformed())?;
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        Ok(letter)
    }

    fn integer(&mut self) -> Result<i64> {
        let (digits, rest) = self.rest.split_once(';').ok_or_else(|| self.malformed())?;
        let value: i64 = digits.parse().map_err(|_| self.malformed())?;
        // `+1`, `01` and `-0` are other forms of numbers that have one already.
        if value.to_string() != digits {
            return Err(self.malformed());
        }
        self.rest = rest;
        Ok(value)
    }

    /// Reads a length or count, which is not believed beyond what follows it.
    pub(super) fn length(&mut self) -> Result<usize> {
        let length = usize::try_from(self.integer()?).map_err(|_| self.malformed())?;
        if length > self.rest.len() { Err(self.malformed()) } else { Ok(length) }
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        let length = self.length()?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(text)
    }

    fn float(&mut self) -> Result<f64> {
        let (digits, rest) = self.rest.split_at_checked(16).ok_or_else(|| self.malformed())?;
        let lower = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let bits = u64::from_str_radix(digits, 16).ok().filter(|_| lower).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(f64::from_bits(bits))
    }
}
