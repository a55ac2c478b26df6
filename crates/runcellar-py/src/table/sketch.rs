//! The shape of a column in a few stretches, for the small lines of a notebook.

use super::frame::{Cells, Column};

/// Returns for each of at most `stretches` stretches of rows its place from 0 to 1, and its least and greatest finite
/// value: NaN for both where it has values and none is finite. Stretches without a value, and columns without numbers,
/// are left out.
pub(super) fn of(column: &Column, rows: usize, stretches: usize) -> Vec<(f64, f64, f64)> {
    let number: &dyn Fn(usize) -> f64 = match &column.cells {
        Cells::Int(all) => &|row| all[row] as f64,
        Cells::Float(all) => &|row| all[row],
        Cells::Bool(all) => &|row| f64::from(u8::from(all[row])),
        Cells::Media(_) | Cells::Text(_) | Cells::Time(_) | Cells::Texts(_) | Cells::Json(_) | Cells::Exact(_) => {
            return Vec::new();
        }
    };
    let stretches = stretches.min(rows);
    let last = rows.saturating_sub(1).max(1) as f64;
    let mut sketch = Vec::with_capacity(stretches);
    for stretch in 0..stretches {
        let range = stretch * rows / stretches..(stretch + 1) * rows / stretches;
        let middle = (range.start + range.end - 1) as f64 / 2.0;
        let (mut least, mut greatest, mut present) = (f64::INFINITY, f64::NEG_INFINITY, false);
        for value in range.filter(|row| column.is_present(*row)).map(number) {
            present = true;
            if value.is_finite() {
                (least, greatest) = (least.min(value), greatest.max(value));
            }
        }
        if present {
            let (least, greatest) = if least <= greatest { (least, greatest) } else { (f64::NAN, f64::NAN) };
            sketch.push((middle / last, least, greatest));
        }
    }
    sketch
}
