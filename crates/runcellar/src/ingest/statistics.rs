//! What is known of a series without reading its points, and how that of a batch joins that of a run.

use runcellar_format::block::{Column, Presence, Values};
use runcellar_format::record::SeriesEntry;
use runcellar_format::value::Value;

use super::fold;

/// Returns the entry of a series without points.
pub(crate) fn empty(name: &str) -> SeriesEntry {
    SeriesEntry {
        name: name.to_owned(),
        points: 0,
        non_finite: 0,
        kinds: 0,
        first_step: i64::MAX,
        last_step: i64::MIN,
        min: None,
        max: None,
        sum: 0.0,
        first: Value::Bool(false),
        last: Value::Bool(false),
    }
}

/// Returns the statistics of a metric's columns; `steps` are those of all rows.
pub(crate) fn of_columns(name: &str, columns: &[Column], steps: &[i64]) -> SeriesEntry {
    let mut entry = empty(name);
    columns.iter().for_each(|column| merge(&mut entry, of_column(column, steps)));
    entry
}

fn of_column(column: &Column, steps: &[i64]) -> SeriesEntry {
    let mut entry = empty("");
    let ends = match &column.presence {
        Presence::Dense => ends(steps.iter().copied()),
        Presence::Rows(rows) => ends(rows.iter().filter_map(|row| steps.get(*row as usize).copied())),
    };
    let Some(((first_step, first), (last_step, last))) = ends else { return entry };
    let end = |index| super::data::value_at(&column.values, index).map(|value| fold::shortened(&value));
    let (Some(first), Some(last)) = (end(first), end(last)) else { return entry };
    entry = SeriesEntry { points: column.values.len() as u64, first_step, last_step, first, last, ..entry };
    match &column.values {
        Values::Float(all) => {
            entry.kinds = 1;
            entry.non_finite = all.iter().filter(|value| !value.is_finite()).count() as u64;
            extremes(&mut entry, all.iter().copied().filter(|value| value.is_finite()), |value| value, Value::Float);
        }
        Values::Int(all) => {
            entry.kinds = 2;
            extremes(&mut entry, all.iter().copied(), |value| value as f64, Value::Int);
        }
        Values::Bool(all) => {
            entry.kinds = 4;
            extremes(&mut entry, all.iter().copied(), |value| f64::from(u8::from(value)), Value::Bool);
        }
        Values::Text(_) => entry.kinds = 8,
        Values::Histogram(_) => entry.kinds = 16,
        Values::Media(_) => entry.kinds = 32,
    }
    entry
}

/// The lowest step, the first written of several, and the highest, the last written: each with its index.
type Ends = ((i64, usize), (i64, usize));

fn ends(steps: impl Iterator<Item = i64>) -> Option<Ends> {
    let mut steps = steps.enumerate();
    let (_, step) = steps.next()?;
    let (mut first, mut last) = ((step, 0), (step, 0));
    for (index, step) in steps {
        if step < first.0 {
            first = (step, index);
        }
        if step >= last.0 {
            last = (step, index);
        }
    }
    Some((first, last))
}

fn extremes<T: PartialOrd + Copy>(
    entry: &mut SeriesEntry,
    values: impl Iterator<Item = T>,
    number: impl Fn(T) -> f64,
    value: impl Fn(T) -> Value,
) {
    let mut found: Option<(T, T)> = None;
    for one in values {
        entry.sum += number(one);
        let (min, max) = found.unwrap_or((one, one));
        found = Some((if one < min { one } else { min }, if max < one { one } else { max }));
    }
    (entry.min, entry.max) = (found.map(|(min, _)| value(min)), found.map(|(_, max)| value(max)));
}

/// Takes the statistics of later points in.
pub(crate) fn merge(entry: &mut SeriesEntry, more: SeriesEntry) {
    if more.points == 0 {
        return;
    }
    if entry.points == 0 || more.first_step < entry.first_step {
        (entry.first_step, entry.first) = (more.first_step, more.first);
    }
    if entry.points == 0 || more.last_step >= entry.last_step {
        (entry.last_step, entry.last) = (more.last_step, more.last);
    }
    entry.points += more.points;
    entry.non_finite += more.non_finite;
    entry.kinds |= more.kinds;
    entry.sum += more.sum;
    if entry.min.as_ref().is_none_or(|min| more.min.as_ref().is_some_and(|value| is_less(value, min))) {
        entry.min = more.min;
    }
    if entry.max.as_ref().is_none_or(|max| more.max.as_ref().is_some_and(|value| is_less(max, value))) {
        entry.max = more.max;
    }
}

fn is_less(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left < right,
        _ => as_float(left) < as_float(right),
    }
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Float(float) => *float,
        Value::Int(int) => *int as f64,
        Value::Bool(bool) => f64::from(u8::from(*bool)),
        Value::Text(_) | Value::Histogram(_) | Value::Media(_) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: Values) -> Column {
        Column { series: 0, presence: Presence::Dense, values }
    }

    #[test]
    fn statistics_of_parts_join_to_those_of_the_whole() {
        let steps = [5, 3, 3, 9, 9, -2];
        let values = [1.5, f64::NAN, -4.0, 2.0, 8.0, f64::INFINITY];
        let whole = of_columns("m", &[column(Values::Float(values.to_vec()))], &steps);
        assert_eq!((whole.points, whole.non_finite, whole.kinds, whole.sum), (6, 2, 1, 7.5));
        assert_eq!((whole.min.clone(), whole.max.clone()), (Some(Value::Float(-4.0)), Some(Value::Float(8.0))));
        assert_eq!((whole.first_step, whole.last_step), (-2, 9));
        assert_eq!((&whole.first, &whole.last), (&Value::Float(f64::INFINITY), &Value::Float(8.0)));
        for cut in 1..values.len() {
            let part = |range: std::ops::Range<usize>| {
                of_columns("m", &[column(Values::Float(values[range.clone()].to_vec()))], &steps[range])
            };
            let mut joined = part(0..cut);
            merge(&mut joined, part(cut..values.len()));
            assert_eq!(format!("{joined:?}"), format!("{whole:?}"), "cut at {cut}");
        }
    }

    #[test]
    fn values_of_several_kinds_have_one_entry() {
        let rows = |rows: &[u32], values| Column { series: 0, presence: Presence::Rows(rows.to_vec()), values };
        let columns = [rows(&[0], Values::Float(vec![0.5])), rows(&[1], Values::Int(vec![(1 << 53) + 1]))];
        let entry = of_columns("m", &columns, &[1, 2]);
        assert_eq!((entry.points, entry.kinds, entry.max), (2, 3, Some(Value::Int((1 << 53) + 1))));
        let text = of_columns("m", &[rows(&[1], Values::Text(vec!["a".into()]))], &[1, 2]);
        assert_eq!((text.points, text.min, text.first_step), (1, None, 2));
    }
}
