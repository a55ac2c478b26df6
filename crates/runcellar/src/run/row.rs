//! Filling a row: names to indexes, values to bytes, without an allocation on the usual path.

use runcellar_format::histogram;
use runcellar_format::journal::{RowValue, RowWriter, TEXT_BYTES_MAX};
use runcellar_format::value::Value;

use super::metric_names::Names;
use crate::own::is_own;

/// Most values of one row: two rows with no metric in common still fit in one row group.
pub(crate) const ROW_VALUES_MAX: u64 = 32_768;

/// A metric's place in a writer's list of names; finds it again without its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricId {
    pub(super) index: u32,
    pub(super) serial: u64,
}

/// A row being filled.
pub struct Row<'a> {
    pub(super) names: &'a mut Names,
    pub(super) entries: RowWriter<'a>,
    pub(super) refused: Option<(u64, &'static str)>,
    pub(super) position: usize,
    pub(super) count: u64,
}

impl Row<'_> {
    /// Adds a value. One that cannot be stored (a text or name too long) is left out and counted.
    #[inline]
    pub fn push(&mut self, name: &str, value: RowValue<'_>) {
        if let Some(id) = self.metric(name) {
            self.push_at(id.index, value);
        }
    }

    /// Returns the id of a metric, for [`Row::push_metric`]; `None` if its name cannot be stored.
    #[inline]
    pub fn metric(&mut self, name: &str) -> Option<MetricId> {
        let index = self.names.index(name, self.position);
        match index {
            Some(index) => Some(MetricId { index, serial: self.names.serial() }),
            None => {
                self.refuse_name(name);
                None
            }
        }
    }

    #[cold]
    fn refuse_name(&mut self, name: &str) {
        self.refuse(match is_own(name) {
            true => "a metric name begins with U+0000",
            false => "a metric name is over 4096 bytes, or there are over 16 million",
        });
    }

    /// Adds a value of a metric found before; false if the id comes from another process and must be found anew.
    #[inline]
    pub fn push_metric(&mut self, id: MetricId, value: RowValue<'_>) -> bool {
        let fits = id.serial == self.names.serial();
        if fits {
            self.push_at(id.index, value);
        }
        fits
    }

    /// Counts a value that the caller could not turn into one of ours.
    pub fn refuse(&mut self, reason: &'static str) {
        let (count, first) = self.refused.unwrap_or((0, reason));
        self.refused = Some((count + 1, first));
    }

    #[inline]
    fn push_at(&mut self, index: u32, value: RowValue<'_>) {
        match value {
            RowValue::Text(text) if text.len() > TEXT_BYTES_MAX => return self.refuse("a text is over 4 MiB"),
            RowValue::Histogram { edges, counts } if histogram::check(edges, counts).is_err() => {
                return self.refuse("a histogram has edges that fall, a count below 0, or over 4096 bins");
            }
            _ => {}
        }
        if self.count >= ROW_VALUES_MAX {
            return self.refuse("a row has over 32768 values");
        }
        self.names.guess(self.position, index);
        self.entries.push(index, value);
        self.position += 1;
        self.count += 1;
    }
}

/// Something that can be logged as a row: pairs of name and value.
pub trait IntoRow {
    /// Adds all values to `row`.
    fn fill(self, row: &mut Row<'_>);
}

impl<I, K, V> IntoRow for I
where
    I: IntoIterator<Item = (K, V)>,
    K: AsRef<str>,
    V: Into<Value>,
{
    fn fill(self, row: &mut Row<'_>) {
        for (name, value) in self {
            row.push(name.as_ref(), RowValue::from(&value.into()));
        }
    }
}
