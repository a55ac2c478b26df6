//! Rows that can be recognised: the values of row `i` follow from `i`, so that what is read back needs no record of
//! what was written.

use std::collections::BTreeMap;

use runcellar::run::Run;
use runcellar::{RunInfo, Series, Value, Workspace};

/// The values of row `i`: `n` in each, the others now and then.
pub(crate) fn row(i: u64) -> Vec<(String, Value)> {
    let n = i64::try_from(i).expect("few rows");
    let mut row = vec![
        ("n".to_owned(), Value::Int(n)),
        ("train/loss".to_owned(), Value::Float(1.0 / (i as f64 + 1.0))),
        ("noise".to_owned(), Value::Float(f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2))),
    ];
    if i.is_multiple_of(3) {
        row.push(("even".to_owned(), Value::Bool(i.is_multiple_of(2))));
    }
    if i.is_multiple_of(7) {
        row.push(("note".to_owned(), Value::Text(format!("row {i}"))));
    }
    // Names that turn up late are framed in the middle of a file.
    if i.is_multiple_of(11) {
        row.push((format!("late/{}", i / 11 % 40), Value::Int(n)));
    }
    row
}

/// Logs row `i` at step `i`.
pub(crate) fn log(run: &Run, i: u64) {
    run.log(row(i)).expect("log() does not fail");
}

/// Reads a run of [`row`]s back and compares every value of every row; returns how many there are.
///
/// Rows 0 to the last must all be there, once each.
pub(crate) fn verify(workspace: &Workspace, run: &RunInfo) -> u64 {
    let found = verify_found(workspace, run);
    assert!(found.iter().zip(0..).all(|(row, expected)| *row == expected), "run {} has a gap: {found:?}", run.id);
    found.len() as u64
}

/// Compares every value of the rows that are there, and returns which these are: each is there as a whole, and once.
pub(crate) fn verify_found(workspace: &Workspace, run: &RunInfo) -> Vec<i64> {
    let mut names: Vec<String> =
        workspace.metrics(run).expect("metrics are read").into_iter().map(|metric| metric.name).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let series = |name: &str| workspace.series(run, name, None).expect("a series is read");
    let found = series("n").steps;
    assert!(found.is_sorted_by(|left, right| left < right), "run {}: each row once", run.id);
    let mut expected: BTreeMap<String, Vec<(i64, Value)>> = BTreeMap::new();
    for step in &found {
        for (name, value) in row(*step as u64) {
            expected.entry(name).or_default().push((*step, value));
        }
    }
    names.sort();
    assert!(names.iter().eq(expected.keys()), "metrics of run {}: {names:?}", run.id);
    for (name, points) in &expected {
        assert_points(&series(name), points, &format!("{name} of run {}", run.id));
    }
    found
}

/// Compares a series with the points that are expected.
pub(crate) fn assert_points(series: &Series, expected: &[(i64, Value)], noun: &str) {
    assert_eq!(series.steps.len(), expected.len(), "points of {noun}");
    assert_eq!(series.times.len(), expected.len(), "times of {noun}");
    for (index, (step, value)) in expected.iter().enumerate() {
        let found = series.values.get(index).expect("as many values as steps");
        assert!(
            series.steps[index] == *step && same(&found, value),
            "{noun}, point {index}: step {}: {found:?}, expected step {step}: {value:?}",
            series.steps[index]
        );
    }
}

/// Compares bit for bit, but takes an integer for the float of the same value: a series of floats and small integers
/// is one of floats.
pub(crate) fn same(found: &Value, written: &Value) -> bool {
    match (found, written) {
        (Value::Float(found), Value::Float(written)) => found.to_bits() == written.to_bits(),
        (Value::Float(found), Value::Int(written)) => {
            found.to_bits() == (*written as f64).to_bits() && written.unsigned_abs() <= 1 << 53
        }
        (found, written) => found == written,
    }
}
