//! Values of a series, and how they are ordered.

use std::cmp::Ordering;
use std::ops::Range;

use runcellar_format::MediaId;
use runcellar_format::block::{ValueKind, Values};
use runcellar_format::histogram::Histogram;
use runcellar_format::value::Value;

use crate::ingest::data::value_at;
use crate::os::prefer_large_pages;

/// Values of a series, in the narrowest form that holds them all exactly.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesValues {
    /// Floats; integers among them are exact.
    Float(Vec<f64>),
    /// Integers.
    Int(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Texts.
    Text(Vec<String>),
    /// Histograms.
    Histogram(Vec<Histogram>),
    /// Media files of the run, see [`crate::Workspace::media`].
    Media(Vec<MediaId>),
    /// Values of several kinds.
    Mixed(Vec<Value>),
}

/// Integers up to this are exact as floats.
const EXACT_MAX: u64 = 1 << 53;

impl Default for SeriesValues {
    fn default() -> Self {
        SeriesValues::Float(Vec::new())
    }
}

impl SeriesValues {
    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            SeriesValues::Float(all) => all.len(),
            SeriesValues::Int(all) => all.len(),
            SeriesValues::Bool(all) => all.len(),
            SeriesValues::Text(all) => all.len(),
            SeriesValues::Histogram(all) => all.len(),
            SeriesValues::Media(all) => all.len(),
            SeriesValues::Mixed(all) => all.len(),
        }
    }

    /// Returns true if there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the `index`-th value.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Value> {
        Some(match self {
            SeriesValues::Float(all) => Value::Float(*all.get(index)?),
            SeriesValues::Int(all) => Value::Int(*all.get(index)?),
            SeriesValues::Bool(all) => Value::Bool(*all.get(index)?),
            SeriesValues::Text(all) => Value::Text(all.get(index)?.clone()),
            SeriesValues::Histogram(all) => Value::from(all.get(index)?.clone()),
            SeriesValues::Media(all) => Value::Media(*all.get(index)?),
            SeriesValues::Mixed(all) => all.get(index)?.clone(),
        })
    }

    /// Returns the values at `picks` in their order.
    #[must_use]
    pub(crate) fn pick(&self, picks: &[usize]) -> SeriesValues {
        fn take<T: Clone>(all: &[T], picks: &[usize]) -> Vec<T> {
            picks.iter().filter_map(|pick| all.get(*pick).cloned()).collect()
        }
        match self {
            SeriesValues::Float(all) => SeriesValues::Float(take(all, picks)),
            SeriesValues::Int(all) => SeriesValues::Int(take(all, picks)),
            SeriesValues::Bool(all) => SeriesValues::Bool(take(all, picks)),
            SeriesValues::Text(all) => SeriesValues::Text(take(all, picks)),
            SeriesValues::Histogram(all) => SeriesValues::Histogram(take(all, picks)),
            SeriesValues::Media(all) => SeriesValues::Media(take(all, picks)),
            SeriesValues::Mixed(all) => SeriesValues::Mixed(take(all, picks)),
        }
    }

    /// Makes room for so many values of a series that has values of these kinds.
    pub(super) fn with_capacity(kinds: u8, count: usize) -> Self {
        const INT: u8 = 1 << (ValueKind::Int as u8 - 1);
        match kinds {
            INT => SeriesValues::Int(with_capacity(count)),
            _ => SeriesValues::Float(with_capacity(count)),
        }
    }

    pub(super) fn append(&mut self, values: Values) {
        match (&mut *self, values) {
            (SeriesValues::Float(all), Values::Float(more)) => all.extend(more),
            (SeriesValues::Int(all), Values::Int(more)) => all.extend(more),
            (SeriesValues::Bool(all), Values::Bool(more)) => all.extend(more),
            (SeriesValues::Text(all), Values::Text(more)) => all.extend(more),
            (SeriesValues::Histogram(all), Values::Histogram(more)) => all.extend(more),
            (SeriesValues::Media(all), Values::Media(more)) => all.extend(more),
            (this, values) if this.is_empty() => {
                *this = match values {
                    Values::Float(all) => SeriesValues::Float(all),
                    Values::Int(all) => SeriesValues::Int(all),
                    Values::Bool(all) => SeriesValues::Bool(all),
                    Values::Text(all) => SeriesValues::Text(all),
                    Values::Histogram(all) => SeriesValues::Histogram(all),
                    Values::Media(all) => SeriesValues::Media(all),
                };
            }
            (this, values) => this.append_mixed((0..values.len()).filter_map(|index| value_at(&values, index))),
        }
    }

    /// Appends values that stay where they are.
    pub(super) fn append_copy(&mut self, values: &Values) {
        match (&mut *self, values) {
            (SeriesValues::Float(all), Values::Float(more)) => all.extend_from_slice(more),
            (SeriesValues::Int(all), Values::Int(more)) => all.extend_from_slice(more),
            (this, values) => this.append(values.clone()),
        }
    }

    /// Appends values of any kind.
    pub(super) fn append_all(&mut self, values: SeriesValues) {
        match values {
            SeriesValues::Float(all) => self.append(Values::Float(all)),
            SeriesValues::Int(all) => self.append(Values::Int(all)),
            SeriesValues::Bool(all) => self.append(Values::Bool(all)),
            SeriesValues::Text(all) => self.append(Values::Text(all)),
            SeriesValues::Histogram(all) => self.append(Values::Histogram(all)),
            SeriesValues::Media(all) => self.append(Values::Media(all)),
            SeriesValues::Mixed(all) => self.append_mixed(all.into_iter()),
        }
    }

    pub(super) fn append_mixed(&mut self, values: impl Iterator<Item = Value>) {
        if !matches!(self, SeriesValues::Mixed(_)) {
            *self = SeriesValues::Mixed((0..self.len()).filter_map(|index| self.get(index)).collect());
        }
        if let SeriesValues::Mixed(all) = self {
            all.extend(values);
        }
    }

    /// Returns where the smallest and the largest of some values stand, of equal ones the first; none if no number is
    /// among them. NaN is none.
    pub(super) fn extremes(&self, range: Range<usize>) -> Option<(usize, usize)> {
        let from = range.start;
        let (least, most) = match self {
            SeriesValues::Float(all) => {
                let all = all.get(range)?.iter().enumerate();
                extremes_by_key(all.filter(|(_, value)| !value.is_nan()).map(|(at, value)| (at, order_of(*value))))
            }
            SeriesValues::Int(all) => extremes_by_key(all.get(range)?.iter().copied().enumerate()),
            SeriesValues::Bool(all) => {
                extremes_by_key(all.get(range)?.iter().map(|value| i64::from(*value)).enumerate())
            }
            SeriesValues::Mixed(all) => {
                let all = all.get(range)?;
                let numbers = || (0..all.len()).filter(|at| compare(&all[*at], &all[*at]).is_some());
                let beyond = |wanted| {
                    let is_beyond = |left, right| compare(&all[right], &all[left]) == Some(wanted);
                    numbers().reduce(|left, right| if is_beyond(left, right) { right } else { left })
                };
                beyond(Ordering::Less).zip(beyond(Ordering::Greater))
            }
            SeriesValues::Text(_) | SeriesValues::Histogram(_) | SeriesValues::Media(_) => None,
        }?;
        Some((from + least, from + most))
    }

    /// Brings values of several kinds into the narrowest form: floats of integers and floats if that loses nothing.
    pub(super) fn narrowed(self) -> SeriesValues {
        fn all<T>(values: &[Value], one: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
            values.iter().map(one).collect()
        }
        let SeriesValues::Mixed(values) = &self else { return self };
        let int = |value: &Value| if let Value::Int(int) = value { Some(*int) } else { None };
        let bool = |value: &Value| if let Value::Bool(bool) = value { Some(*bool) } else { None };
        let text = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
        let media = |value: &Value| if let Value::Media(media) = value { Some(*media) } else { None };
        let float = |value: &Value| match value {
            Value::Float(float) => Some(*float),
            Value::Int(int) if int.unsigned_abs() <= EXACT_MAX => Some(*int as f64),
            _ => None,
        };
        None.or_else(|| all(values, int).map(SeriesValues::Int))
            .or_else(|| all(values, float).map(SeriesValues::Float))
            .or_else(|| all(values, bool).map(SeriesValues::Bool))
            .or_else(|| all(values, text).map(SeriesValues::Text))
            .or_else(|| all(values, media).map(SeriesValues::Media))
            .unwrap_or(self)
    }
}

/// Makes room for what is filled from its start to its end.
pub(super) fn with_capacity<T>(count: usize) -> Vec<T> {
    let mut all = Vec::with_capacity(count);
    prefer_large_pages(&mut all);
    all
}

/// Returns where the smallest and the largest keys stand, of equal ones the first.
fn extremes_by_key(mut keys: impl Iterator<Item = (usize, i64)>) -> Option<(usize, usize)> {
    let first = keys.next()?;
    let (least, most) = keys.fold((first, first), |(least, most), (at, key)| {
        (if key < least.1 { (at, key) } else { least }, if key > most.1 { (at, key) } else { most })
    });
    Some((least.0, most.0))
}

/// Returns an integer by which floats are ordered as [`f64::total_cmp`] orders them.
fn order_of(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Orders two values as numbers, exactly; `None` if one of them is none: text, a histogram, media, or NaN. -0.0 is below 0.0, and
/// infinities are the ends.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (number(left)?, number(right)?) {
        (Number::Float(left), Number::Float(right)) => Some(left.total_cmp(&right)),
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (Number::Int(left), Number::Float(right)) => Some(compare_int(left, right)),
        (Number::Float(left), Number::Int(right)) => Some(compare_int(right, left).reverse()),
    }
}

enum Number {
    Float(f64),
    Int(i64),
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Float(float) => Some(Number::Float(*float)).filter(|_| !float.is_nan()),
        Value::Int(int) => Some(Number::Int(*int)),
        Value::Bool(bool) => Some(Number::Int((*bool).into())),
        Value::Text(_) | Value::Histogram(_) | Value::Media(_) => None,
    }
}

/// Compares an integer with a float that is not NaN.
fn compare_int(int: i64, float: f64) -> Ordering {
    // Saturates far outside the integers, where it decides; a fraction decides what is left.
    let whole = i128::from(int).cmp(&(float.trunc() as i128));
    whole.then_with(|| 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_numbers_become_floats_only_if_that_loses_nothing() {
        let mut values = SeriesValues::default();
        values.append(Values::Int(vec![1, 2]));
        values.append(Values::Float(vec![0.5]));
        assert_eq!(values.narrowed(), SeriesValues::Float(vec![1.0, 2.0, 0.5]));
        let mut exact = SeriesValues::Int(vec![(1 << 53) + 1]);
        exact.append(Values::Float(vec![0.5]));
        assert!(matches!(exact.narrowed(), SeriesValues::Mixed(_)));
        let one_kind = SeriesValues::Mixed(vec![Value::Int(i64::MAX)]);
        assert_eq!(one_kind.narrowed(), SeriesValues::Int(vec![i64::MAX]));
    }

    #[test]
    fn numbers_of_several_kinds_are_ordered_exactly() {
        let rising = [
            Value::Float(f64::NEG_INFINITY),
            Value::Int(i64::MIN),
            Value::Float(-0.5),
            Value::Float(-0.0),
            Value::Float(0.0),
            Value::Float(0.5),
            Value::Bool(true),
            Value::Float(9_007_199_254_740_992.0),
            Value::Int((1 << 53) + 1),
            Value::Int(i64::MAX),
            Value::Float(9_223_372_036_854_775_808.0),
            Value::Float(f64::INFINITY),
        ];
        for (low, left) in rising.iter().enumerate() {
            for (high, right) in rising.iter().enumerate() {
                assert_eq!(compare(left, right), Some(low.cmp(&high)), "{left:?} and {right:?}");
            }
        }
        assert_eq!(compare(&Value::Int(0), &Value::Float(f64::NAN)), None);
        assert_eq!(compare(&Value::Text("a".into()), &Value::Int(0)), None);
        assert_eq!(compare(&Value::Int(0), &Value::Float(-0.0)), Some(Ordering::Equal));
    }
}
