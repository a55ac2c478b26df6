//! The values that fields have, and their order.
//!
//! Integers and floats are compared by exact value: turning an i64 into an f64 first would make 2^53 + 1 equal 2^53.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{FILTER_DEPTH_MAX, Field};

/// Something that has fields to filter and sort by: a run.
pub trait Fields {
    /// Returns the value of a field; `None` and [`Scalar::Null`] both mean absent.
    fn get(&self, field: &Field) -> Option<Scalar<'_>>;
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float, which may be NaN or infinite. [`Field::Duration`] is in seconds.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Microseconds UTC since 1970.
    Time(i64),
    /// Several values, such as tags.
    List(Vec<Scalar<'a>>),
    /// Nothing, the same as an absent field.
    Null,
}

/// A number, compared by exact value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// Returns the exact order of two numbers, `None` if one is NaN. -0.0 equals 0.
    pub(super) fn compare(self, other: Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
            (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b),
            (Number::Int(a), Number::Float(b)) => compare_int_float(a, b),
            (Number::Float(a), Number::Int(b)) => compare_int_float(b, a).map(Ordering::reverse),
        }
    }

    fn is_nan(self) -> bool {
        matches!(self, Number::Float(value) if value.is_nan())
    }
}

fn compare_int_float(int: i64, float: f64) -> Option<Ordering> {
    const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= TWO_POW_63 {
        return Some(Ordering::Less);
    }
    if float < -TWO_POW_63 {
        return Some(Ordering::Greater);
    }
    // Within these bounds the whole part is an i64 exactly, and the rest decides when the whole parts agree.
    let whole = int.cmp(&(float.trunc() as i64));
    Some(whole.then(0.0_f64.partial_cmp(&float.fract())?))
}

impl Scalar<'_> {
    /// Returns the value as a number if it is one.
    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Scalar::Int(value) => Some(Number::Int(*value)),
            Scalar::Float(value) => Some(Number::Float(*value)),
            _ => None,
        }
    }

    fn type_rank(&self) -> u8 {
        match self {
            Scalar::Bool(_) => 0,
            Scalar::Int(_) | Scalar::Float(_) => 1,
            Scalar::Text(_) => 2,
            Scalar::Time(_) => 3,
            Scalar::List(_) => 4,
            Scalar::Null => 5,
        }
    }
}

/// Returns the order of two values of a sort key, `descending` if the larger is to come first.
///
/// NaN comes after every other value and absent values after NaN, in both directions. Different types are ordered
/// bool, number, text, time, list; text by code point; lists by their first elements that differ, then by length.
/// Equal integers and floats compare equal, so a stable sort keeps their order.
pub fn compare_for_sort(a: Option<&Scalar<'_>>, b: Option<&Scalar<'_>>, descending: bool) -> Ordering {
    match (sortable(a), sortable(b)) {
        (Ok(a), Ok(b)) if descending => compare_values(b, a, 0),
        (Ok(a), Ok(b)) => compare_values(a, b, 0),
        (a, b) => a.err().cmp(&b.err()),
    }
}

/// Why a value takes no part in the direction of a sort; in the order in which such values follow the others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Last {
    Nan,
    Absent,
}

fn sortable<'s, 'a>(value: Option<&'s Scalar<'a>>) -> Result<&'s Scalar<'a>, Last> {
    match value {
        None | Some(Scalar::Null) => Err(Last::Absent),
        Some(Scalar::Float(float)) if float.is_nan() => Err(Last::Nan),
        Some(value) => Ok(value),
    }
}

fn compare_values(a: &Scalar<'_>, b: &Scalar<'_>, depth: usize) -> Ordering {
    if let (Some(a), Some(b)) = (a.number(), b.number()) {
        return a.compare(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
    }
    match (a, b) {
        (Scalar::Bool(a), Scalar::Bool(b)) => a.cmp(b),
        (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
        (Scalar::Time(a), Scalar::Time(b)) => a.cmp(b),
        // Lists nested deeper than this count as equal: the depth of a config value is not ours to choose.
        (Scalar::List(_), Scalar::List(_)) if depth >= FILTER_DEPTH_MAX => Ordering::Equal,
        (Scalar::List(a), Scalar::List(b)) => {
            let mut pairs = a.iter().zip(b).map(|(a, b)| compare_values(a, b, depth + 1));
            pairs.find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => a.type_rank().cmp(&b.type_rank()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Scalar<'_> {
        Scalar::Text(value.into())
    }

    #[test]
    fn integers_and_floats_compare_by_exact_value() {
        let odd = (1_i64 << 53) + 1;
        let cases = [
            (odd, (1_i64 << 53) as f64, Ordering::Greater),
            (1 << 53, (1_i64 << 53) as f64, Ordering::Equal),
            (-odd, -((1_i64 << 53) as f64), Ordering::Less),
            (i64::MAX, 9_223_372_036_854_775_808.0, Ordering::Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Ordering::Equal),
            (i64::MIN, -9_223_372_036_854_777_856.0, Ordering::Greater),
            (0, -0.0, Ordering::Equal),
            (0, f64::MIN_POSITIVE, Ordering::Less),
            (0, -f64::MIN_POSITIVE, Ordering::Greater),
            (2, 2.5, Ordering::Less),
            (-2, -2.5, Ordering::Greater),
            (i64::MAX, f64::INFINITY, Ordering::Less),
            (i64::MIN, f64::NEG_INFINITY, Ordering::Greater),
        ];
        for (int, float, expected) in cases {
            assert_eq!(Number::Int(int).compare(Number::Float(float)), Some(expected), "{int} {float}");
            assert_eq!(Number::Float(float).compare(Number::Int(int)), Some(expected.reverse()), "{float} {int}");
        }
        assert_eq!(Number::Int(1).compare(Number::Float(f64::NAN)), None);
    }

    #[test]
    fn types_are_ordered_and_nan_then_absent_come_last_both_ways() {
        let rising = [
            Scalar::Bool(false),
            Scalar::Bool(true),
            Scalar::Float(f64::NEG_INFINITY),
            Scalar::Int(1 << 53),
            Scalar::Int((1 << 53) + 1),
            Scalar::Float(f64::INFINITY),
            text(""),
            text("b"),
            Scalar::Time(-5),
            Scalar::Time(3),
            Scalar::List(vec![]),
            Scalar::List(vec![Scalar::Int(1)]),
            Scalar::List(vec![Scalar::Int(1), Scalar::Int(0)]),
            Scalar::List(vec![Scalar::Float(f64::NAN)]),
            Scalar::List(vec![text("a")]),
        ];
        let last = [Scalar::Float(f64::NAN), Scalar::Null];
        for (descending, expected) in [(false, Ordering::Less), (true, Ordering::Greater)] {
            for (index, low) in rising.iter().enumerate() {
                assert_eq!(compare_for_sort(Some(low), Some(low), descending), Ordering::Equal);
                for high in &rising[index + 1..] {
                    assert_eq!(compare_for_sort(Some(low), Some(high), descending), expected, "{low:?} {high:?}");
                    assert_eq!(compare_for_sort(Some(high), Some(low), descending), expected.reverse());
                }
                for end in &last {
                    assert_eq!(compare_for_sort(Some(low), Some(end), descending), Ordering::Less);
                    assert_eq!(compare_for_sort(Some(end), Some(low), descending), Ordering::Greater);
                }
            }
            assert_eq!(compare_for_sort(Some(&last[0]), None, descending), Ordering::Less);
            assert_eq!(compare_for_sort(None, Some(&last[1]), descending), Ordering::Equal);
            assert_eq!(compare_for_sort(Some(&last[0]), Some(&last[0]), descending), Ordering::Equal);
        }
    }

    #[test]
    fn equal_numbers_of_both_types_keep_their_order() {
        let mut values = [Scalar::Float(1.0), Scalar::Int(1), Scalar::Float(0.0), Scalar::Int(1), Scalar::Float(-0.0)];
        values.sort_by(|a, b| compare_for_sort(Some(a), Some(b), true));
        let expected = [Scalar::Float(1.0), Scalar::Int(1), Scalar::Int(1), Scalar::Float(0.0), Scalar::Float(-0.0)];
        assert_eq!(format!("{values:?}"), format!("{expected:?}"));
    }

    #[test]
    fn lists_nested_without_end_are_compared_without_overflow() {
        let nested = |inner| (0..1_000).fold(Scalar::Int(inner), |value, _| Scalar::List(vec![value]));
        assert_eq!(compare_for_sort(Some(&nested(1)), Some(&nested(2)), false), Ordering::Equal);
    }
}
