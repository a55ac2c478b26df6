//! What is known of a column without decoding it.

use crate::block::value::{ValueKind, Values};
use crate::codec::{Reader, Writer};
use crate::error::Result;

/// Figures about the values of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColumnStats {
    /// The number of values.
    pub count: u32,
    /// The number of NaNs and infinities among them.
    pub non_finite: u32,
    /// The extremes, ends and sum.
    pub extents: Extents,
}

/// Extremes, ends and sum, by kind of value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Extents {
    /// Of floats. `min`, `max` and `sum` are over the finite ones, -0.0 being below 0.0; where there is none, `min`
    /// and `max` are NaN and `sum` is 0. `first` and `last` are any values, bit by bit.
    Float(Extent<f64>),
    /// Of integers, and of truth values as 0 and 1.
    Int(Extent<i64>),
    /// Texts and histograms have none.
    None,
}

/// Extremes, ends and sum of values of one type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent<T> {
    /// The least value.
    pub min: T,
    /// The greatest value.
    pub max: T,
    /// The first value, by row.
    pub first: T,
    /// The last value, by row.
    pub last: T,
    /// The sum: of floats, added by row, starting at 0; of integers, the exact one, rounded once.
    pub sum: f64,
}

impl ColumnStats {
    /// Computes the figures of values, of which there is at least one.
    pub(super) fn of(values: &Values) -> ColumnStats {
        match values {
            Values::Float(values) => of_floats(values),
            Values::Int(values) => of_integers(values.iter().copied()),
            Values::Bool(values) => of_integers(values.iter().copied().map(i64::from)),
            Values::Text(_) | Values::Histogram(_) | Values::Media(_) => {
                ColumnStats { count: count(values.len()), non_finite: 0, extents: Extents::None }
            }
        }
    }

    /// Appends all but the count, which the presence tells.
    pub(super) fn write(&self, out: &mut Writer) {
        match self.extents {
            Extents::Float(extent) => {
                out.u32(self.non_finite);
                for value in [extent.min, extent.max, extent.first, extent.last, extent.sum] {
                    out.u64(value.to_bits());
                }
            }
            Extents::Int(extent) => {
                out.i64(extent.min).i64(extent.max).i64(extent.first).i64(extent.last).u64(extent.sum.to_bits());
            }
            Extents::None => {}
        }
    }

    /// Reads what [`ColumnStats::write`] wrote.
    pub(super) fn read(reader: &mut Reader<'_>, kind: ValueKind, count: u32) -> Result<ColumnStats> {
        let float = |reader: &mut Reader<'_>| reader.u64().map(f64::from_bits);
        let (non_finite, extents) = match kind {
            ValueKind::Float => {
                let non_finite = reader.u32()?;
                let (min, max) = (float(reader)?, float(reader)?);
                let (first, last) = (float(reader)?, float(reader)?);
                (non_finite, Extents::Float(Extent { min, max, first, last, sum: float(reader)? }))
            }
            ValueKind::Int | ValueKind::Bool => {
                let (min, max) = (reader.i64()?, reader.i64()?);
                let (first, last) = (reader.i64()?, reader.i64()?);
                (0, Extents::Int(Extent { min, max, first, last, sum: float(reader)? }))
            }
            ValueKind::Text | ValueKind::Histogram | ValueKind::Media => (0, Extents::None),
        };
        Ok(ColumnStats { count, non_finite, extents })
    }

    /// Returns true if all figures but the sum are equal bit by bit, so that NaN equals itself. A sum of subnormals
    /// may come out otherwise in a thread that takes them for zero, and then must not keep values from being read.
    pub(super) fn same(&self, other: &ColumnStats) -> bool {
        let figures = |stats: &ColumnStats| match stats.extents {
            Extents::Float(Extent { min, max, first, last, .. }) => [min, max, first, last].map(f64::to_bits),
            Extents::Int(Extent { min, max, first, last, .. }) => [min, max, first, last].map(i64::cast_unsigned),
            Extents::None => [0; 4],
        };
        (self.count, self.non_finite, figures(self)) == (other.count, other.non_finite, figures(other))
    }
}

fn of_floats(values: &[f64]) -> ColumnStats {
    let mut extent = Extent { min: f64::NAN, max: f64::NAN, first: f64::NAN, last: f64::NAN, sum: 0.0 };
    let mut finite = 0;
    for value in values.iter().copied().filter(|value| value.is_finite()) {
        if finite == 0 || value.total_cmp(&extent.min).is_lt() {
            extent.min = value;
        }
        if finite == 0 || value.total_cmp(&extent.max).is_gt() {
            extent.max = value;
        }
        extent.sum += value;
        finite += 1;
    }
    if let (Some(first), Some(last)) = (values.first(), values.last()) {
        (extent.first, extent.last) = (*first, *last);
    }
    ColumnStats {
        count: count(values.len()),
        non_finite: count(values.len() - finite),
        extents: Extents::Float(extent),
    }
}

fn of_integers(values: impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + Clone) -> ColumnStats {
    let extent = Extent {
        min: values.clone().min().unwrap_or_default(),
        max: values.clone().max().unwrap_or_default(),
        first: values.clone().next().unwrap_or_default(),
        last: values.clone().next_back().unwrap_or_default(),
        sum: values.clone().map(i128::from).sum::<i128>() as f64,
    };
    ColumnStats { count: count(values.len()), non_finite: 0, extents: Extents::Int(extent) }
}

/// Counts are at most the rows of a group.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
