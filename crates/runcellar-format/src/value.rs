//! Values that a user logs or sets: scalars of a series, and nested config.

use bincode::{Decode, Encode};

use crate::error::{FormatError, Result};
use crate::histogram::Histogram;
use crate::id::MediaId;

/// The deepest nesting of a config value. Deeper ones come from mistakes (a model object turned into a dict).
pub const NESTING_MAX: usize = 64;

/// A single value: one point of a series, or (but for histograms and media) one summary entry.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Value {
    /// A float; all 64 bits are kept, NaN payloads and -0.0 included.
    Float(f64),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// A histogram.
    Histogram(Box<Histogram>),
    /// A media file of the run.
    Media(MediaId),
}

impl From<Histogram> for Value {
    fn from(value: Histogram) -> Self {
        Value::Histogram(Box::new(value))
    }
}

impl From<MediaId> for Value {
    fn from(value: MediaId) -> Self {
        Value::Media(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<f32> for Value {
    fn from(value: f32) -> Self {
        Value::Float(widen(value))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Value::Int(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

/// Widens a float32 with its NaN payload untouched; the hardware would quiet a signalling NaN.
#[must_use]
pub fn widen(value: f32) -> f64 {
    if !value.is_nan() {
        return value.into();
    }
    let bits = u64::from(value.to_bits());
    let (sign, fraction) = (bits >> 31, bits & 0x007f_ffff);
    f64::from_bits(sign << 63 | 0x7ff0_0000_0000_0000 | fraction << 29)
}

/// A nested value, as JSON has them, with integers and floats told apart and floats exact.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Json {
    /// Nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float, NaN and infinities included.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Named members in the order they were given.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Returns the member `name` of a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Map(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Returns the value at a dotted path. A member whose own name holds the dots wins over nesting.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Json> {
        if let Some(found) = self.get(path) {
            return Some(found);
        }
        path.match_indices('.').find_map(|(dot, _)| {
            let (head, tail) = path.split_at(dot);
            self.get(head)?.at(tail.get(1..)?)
        })
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Float(value) => Json::Float(value),
            Value::Int(value) => Json::Int(value),
            Value::Bool(value) => Json::Bool(value),
            Value::Text(value) => Json::Text(value),
            Value::Media(value) => Json::Text(value.to_string()),
            Value::Histogram(value) => {
                let numbers = |all: &[f64]| Json::from(all.to_vec());
                Json::Map(vec![("edges".into(), numbers(value.edges())), ("counts".into(), numbers(value.counts()))])
            }
        }
    }
}

macro_rules! json_from {
    ($($from:ty => |$value:ident| $make:expr;)*) => {$(
        impl From<$from> for Json {
            fn from($value: $from) -> Self {
                $make
            }
        }
    )*};
}

json_from! {
    bool => |value| Json::Bool(value);
    i64 => |value| Json::Int(value);
    i32 => |value| Json::Int(value.into());
    u32 => |value| Json::Int(value.into());
    f64 => |value| Json::Float(value);
    f32 => |value| Json::Float(widen(value));
    &str => |value| Json::Text(value.into());
    String => |value| Json::Text(value);
}

impl From<u64> for Json {
    /// An integer over `i64::MAX` becomes the nearest float.
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Json::Float(value as f64), Json::Int)
    }
}

impl From<usize> for Json {
    fn from(value: usize) -> Self {
        Json::from(value as u64)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Self {
        Json::List(items.into_iter().map(Into::into).collect())
    }
}

/// One step of walking a [`Json`] in order. A flat list of tokens is what stands in records, so that decoding
/// hostile bytes never recurses.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) enum Token {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// A list of so many values, which follow.
    List(u32),
    /// A map of so many members: for each a [`Token::Text`] with its name, then its value.
    Map(u32),
}

/// Returns the tokens of a value.
///
/// # Errors
/// [`FormatError::Limit`] if it nests deeper than [`NESTING_MAX`] or a list is longer than `u32::MAX`.
pub(crate) fn to_tokens(value: &Json) -> Result<Vec<Token>> {
    let mut out = Vec::new();
    push_tokens(value, 0, &mut out)?;
    Ok(out)
}

fn push_tokens(value: &Json, depth: usize, out: &mut Vec<Token>) -> Result<()> {
    if depth > NESTING_MAX {
        return Err(too_deep(depth));
    }
    let count = |len: usize| {
        u32::try_from(len).map_err(|_| FormatError::Limit {
            what: "config value",
            found: len as u64,
            limit: u32::MAX.into(),
        })
    };
    match value {
        Json::Null => out.push(Token::Null),
        Json::Bool(value) => out.push(Token::Bool(*value)),
        Json::Int(value) => out.push(Token::Int(*value)),
        Json::Float(value) => out.push(Token::Float(*value)),
        Json::Text(value) => out.push(Token::Text(value.clone())),
        Json::List(items) => {
            out.push(Token::List(count(items.len())?));
            for item in items {
                push_tokens(item, depth + 1, out)?;
            }
        }
        Json::Map(members) => {
            out.push(Token::Map(count(members.len())?));
            for (name, member) in members {
                out.push(Token::Text(name.clone()));
                push_tokens(member, depth + 1, out)?;
            }
        }
    }
    Ok(())
}

/// Builds the value that `tokens` walk.
///
/// # Errors
/// [`FormatError::Malformed`] if they end early or late or a member has no name, [`FormatError::Limit`] if they
/// nest too deep.
pub(crate) fn from_tokens(tokens: Vec<Token>) -> Result<Json> {
    let mut rest = tokens.into_iter();
    let value = take_tokens(&mut rest, 0)?;
    if rest.next().is_some() {
        return Err(FormatError::Malformed { what: "config value", reason: "trailing tokens" });
    }
    Ok(value)
}

fn take_tokens(rest: &mut std::vec::IntoIter<Token>, depth: usize) -> Result<Json> {
    if depth > NESTING_MAX {
        return Err(too_deep(depth));
    }
    let ends = FormatError::Malformed { what: "config value", reason: "ends early" };
    Ok(match rest.next().ok_or(ends)? {
        Token::Null => Json::Null,
        Token::Bool(value) => Json::Bool(value),
        Token::Int(value) => Json::Int(value),
        Token::Float(value) => Json::Float(value),
        Token::Text(value) => Json::Text(value),
        Token::List(count) => {
            let items = (0..count).map(|_| take_tokens(rest, depth + 1));
            Json::List(items.collect::<Result<_>>()?)
        }
        Token::Map(count) => {
            let members = (0..count).map(|_| match rest.next() {
                Some(Token::Text(name)) => Ok((name, take_tokens(rest, depth + 1)?)),
                _ => Err(FormatError::Malformed { what: "config value", reason: "member without a name" }),
            });
            Json::Map(members.collect::<Result<_>>()?)
        }
    })
}

fn too_deep(depth: usize) -> FormatError {
    FormatError::Limit { what: "nesting of a config value", found: depth as u64, limit: NESTING_MAX as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_value_survives_its_tokens() {
        let value = Json::Map(vec![
            ("lr".into(), 0.1.into()),
            ("layers".into(), vec![64, 32].into()),
            ("empty".into(), Json::Map(vec![])),
            ("none".into(), Json::Null),
        ]);
        assert_eq!(from_tokens(to_tokens(&value).expect("shallow")), Ok(value));
    }

    #[test]
    fn hostile_tokens_are_refused() {
        let deep: Vec<Token> = (0..100_000).map(|_| Token::List(1)).collect();
        assert!(matches!(from_tokens(deep), Err(FormatError::Limit { .. })));
        for tokens in [
            vec![],
            vec![Token::List(2), Token::Null],
            vec![Token::Null, Token::Null],
            vec![Token::Map(1), Token::Int(1), Token::Null],
            vec![Token::Map(u32::MAX)],
        ] {
            assert!(matches!(from_tokens(tokens), Err(FormatError::Malformed { .. })));
        }
        let mut nested = Json::Null;
        for _ in 0..=NESTING_MAX + 1 {
            nested = Json::List(vec![nested]);
        }
        assert!(to_tokens(&nested).is_err());
    }

    #[test]
    fn dotted_paths_find_nested_members_and_names_with_dots() {
        let value = Json::Map(vec![
            ("a".into(), Json::Map(vec![("b".into(), 1.into()), ("c.d".into(), 2.into())])),
            ("a.b".into(), 3.into()),
        ]);
        assert_eq!(value.at("a.b"), Some(&Json::Int(3)));
        assert_eq!(value.at("a.c.d"), Some(&Json::Int(2)));
        assert_eq!(value.at("a.x"), None);
        assert_eq!(value.at(""), None);
    }

    #[test]
    fn widening_keeps_nan_payloads() {
        let signalling = f32::from_bits(0xff80_0001);
        assert_eq!(widen(signalling).to_bits(), 0xfff0_0000_2000_0000);
        assert_eq!(widen(-0.0_f32).to_bits(), (-0.0_f64).to_bits());
    }
}
