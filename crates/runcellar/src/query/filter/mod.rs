//! The filter language: which runs a listing shows, and in which order.
//!
//! In comes the text a user typed, such as `config.lr > 0.1 and not "old" in tags`; out goes a [`Filter`] that
//! says of anything that implements [`Fields`] whether it matches. The module knows neither the database nor runs.
//!
//! The language: `or` binds weaker than `and`, that weaker than `not`, that weaker than a comparison; parentheses
//! group. A comparison is a field, one of `= == != < <= > >= in like exists` (also `not in`, `not like`,
//! `not exists`, and `exists` in front), and literals: text in single or double quotes, numbers, durations such as
//! `90s 15m 2h 7d 1w`, `true`, `false`, `null`. A literal may stand left of `in` when a list field stands right.
//! Keywords are case-insensitive. Names consist of letters, digits and `. / _ -`; other parts of a name are quoted
//! after a dot, as in `summary."val loss"`.
//!
//! A comparison with a field that is absent or of another type is false; this includes `!=`, `not in` and
//! `not like`, whereas `not (...)` turns it true. `null` equals what is absent. A list compares true if any element
//! does, and `!=` if none is equal. Comparisons with NaN are false, except `!=`. Times compare with RFC 3339 text,
//! with dates that need no quotes (`2026-11-01`, `2026-11-01T10:00:00Z`), with durations counted from now (`-7d`), and
//! with `now` and `now-2h30m`. A field of config or summary that stands alone asks whether it is true.
//!
//! A statistic of a metric is a field too: `min(METRIC)`, `max()`, `first()`, `last()`, `mean()`; and
//! `at_best(METRIC).KEY` is the value of the metric KEY at the step where METRIC is best. A name that is more than a
//! name is quoted inside the parentheses.

mod eval;
mod field;
mod lex;
mod like;
mod parse;
pub(super) mod time;
mod value;

#[cfg(test)]
mod tests;

pub use self::field::{Field, Statistic};
pub(crate) use self::parse::split_list;
pub use self::value::{Fields, Scalar, compare_for_sort};

use std::error::Error;
use std::fmt;

/// Longest filter text in bytes. A filter is typed or made from a form; this bounds the work of parsing one from a
/// hostile page, and holds a list of 1,000 run ids.
pub const FILTER_BYTES_MAX: usize = 16 * 1024;

/// Deepest nesting of parentheses and `not`. Parsing, matching and dropping recurse this far, which takes a few tens
/// of KiB of stack; no filter written by hand comes near.
pub const FILTER_DEPTH_MAX: usize = 64;

/// Most literals in one `in` list. They are compared one after the other for every run.
pub const FILTER_LIST_MAX: usize = 1_000;

/// A condition on runs, parsed once and asked for each run.
#[derive(Debug, Clone)]
pub struct Filter {
    root: eval::Expr,
    fields: Vec<Field>,
}

impl Filter {
    /// Reads a filter; text that is empty or only spaces matches everything.
    ///
    /// # Errors
    /// [`FilterError`] at the first thing that is not understood, or beyond a limit.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let (mut root, fields) = parse::parse(text)?;
        root.put_last(&|index| matches!(fields.get(index), Some(Field::AtBest(..))));
        Ok(Filter { root, fields })
    }

    /// Returns whether the condition holds for these fields, `now_us` being now in microseconds UTC since 1970.
    pub fn matches(&self, fields: &dyn Fields, now_us: i64) -> bool {
        self.root.holds(&|index| fields.get(self.fields.get(index)?), now_us)
    }

    /// Returns whether the condition holds, `get` giving the value of the field of a number among
    /// [`fields`](Filter::fields).
    pub(crate) fn holds<'a>(&self, get: &dyn Fn(usize) -> Option<Scalar<'a>>, now_us: i64) -> bool {
        self.root.holds(get, now_us)
    }

    /// Lists the fields that [`matches`](Filter::matches) may read, each once, in order of first use.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }
}

/// Why a filter was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// Where the offending part begins: 1 for the first character, counted in characters, not bytes. One past the
    /// last part if something is missing at the end.
    pub column: usize,
    /// What is wrong, without the column.
    pub message: String,
}

impl FilterError {
    /// Makes an error at a character index counted from 0.
    fn at(index: usize, message: impl Into<String>) -> FilterError {
        FilterError { column: index + 1, message: message.into() }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl Error for FilterError {}

/// Quotes a piece of the filter for a message: control characters escaped, long pieces cut.
fn quote(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
