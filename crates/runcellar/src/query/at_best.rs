//! The value of one metric where another is best.

use runcellar_format::value::Value;

use super::series::whole;
use super::tail::View;
use super::values::SeriesValues;
use crate::Result;
use crate::db::ReadTx;
use crate::ingest::fold;
use crate::keys::Keyring;

/// Reads the value of the metric `key` at the step where `metric` is best: largest if its definition says `maximize`,
/// else smallest, among its finite values; of equal ones at the lowest step. None if there is no such point.
pub(super) fn at_best(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    view: &View,
    metric: &str,
    key: &str,
) -> Result<Option<Value>> {
    let has = |name| view.data.series.number(name).is_some();
    if !has(metric) || !has(key) {
        return Ok(None);
    }
    let series = whole(tx, keyring, view, metric)?;
    let definition = fold::definition_of(&view.data.record.metrics, metric);
    let largest = definition.is_some_and(|definition| definition.goal == "maximize");
    let Some(best) = best(&series.values, largest) else { return Ok(None) };
    let Some(step) = series.steps.get(best).copied() else { return Ok(None) };
    let series = whole(tx, keyring, view, key)?;
    // Of several values at the step the one written last.
    let at = series.steps.iter().rposition(|other| *other == step);
    Ok(at.and_then(|at| series.values.get(at)))
}

/// Returns where the best finite value is, the first of equal ones.
fn best(values: &SeriesValues, largest: bool) -> Option<usize> {
    let number = |index| match values.get(index)? {
        Value::Float(value) => Some(value).filter(|value| value.is_finite()),
        Value::Int(value) => Some(value as f64),
        Value::Bool(value) => Some(f64::from(u8::from(value))),
        Value::Text(_) | Value::Histogram(_) | Value::Media(_) => None,
    };
    let mut best: Option<(usize, f64)> = None;
    for index in 0..values.len() {
        let Some(value) = number(index) else { continue };
        if best.is_none_or(|(_, known)| if largest { value > known } else { value < known }) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_the_extreme_finite_values() {
        let values = SeriesValues::Float(vec![f64::NAN, 2.0, f64::NEG_INFINITY, 1.0, 3.0, 1.0, f64::INFINITY, 3.0]);
        assert_eq!((best(&values, false), best(&values, true)), (Some(3), Some(4)));
        assert_eq!(best(&SeriesValues::Text(vec!["a".into()]), true), None);
        assert_eq!(best(&SeriesValues::Int(vec![7, -7]), false), Some(1));
    }
}
