//! Reading one column of a row group.

use crate::block::PART_BYTES_MAX;
use crate::block::column::decode_values;
use crate::block::group::is_inline;
use crate::block::integer::Integers;
use crate::block::stats::ColumnStats;
use crate::block::tag::Tag;
use crate::block::value::{Presence, ValueKind, Values};
use crate::codec::Reader;
use crate::error::{FormatError, Result};

/// A column as the main part tells of it.
#[derive(Debug, Clone)]
pub struct ColumnEntry<'a> {
    /// The number of the series in its run.
    pub series: u32,
    /// The kind of the values.
    pub kind: ValueKind,
    /// The number of values.
    pub count: u32,
    /// The number of the part that holds the values; 0 if they stand in the main part.
    pub part: u32,
    /// The form of the values.
    pub tag: Tag,
    rows: u32,
    presence: Option<Integers<'a>>,
    held: Held<'a>,
}

/// Where the encoded values are.
#[derive(Debug, Clone, Copy)]
enum Held<'a> {
    /// In the main part: these are they.
    Here(&'a [u8]),
    /// In a part of so many bytes; the main part holds the figures.
    Apart(usize, ColumnStats),
}

impl<'a> ColumnEntry<'a> {
    /// Reads an entry; `presences_used` and `parts` count what the entries so far have used, each new one in turn.
    pub(super) fn read(
        reader: &mut Reader<'a>,
        rows: u32,
        presences: &[Integers<'a>],
        presences_used: &mut usize,
        parts: &mut u32,
    ) -> Result<ColumnEntry<'a>> {
        let series = reader.u32()?;
        let kind = ValueKind::read(reader)?;
        let tag = Tag::read(reader)?;
        let presence = match usize::try_from(reader.u32()?) {
            Ok(0) => None,
            Ok(number) if number <= *presences_used + 1 => {
                *presences_used = number.max(*presences_used);
                let presence = presences.get(number - 1);
                Some(*presence.ok_or_else(|| reader.malformed("presence number is unknown"))?)
            }
            _ => return Err(reader.malformed("presences are not numbered by first use")),
        };
        let count = presence.map_or(rows, |presence| presence.count);
        let len = reader.count(PART_BYTES_MAX)?;
        let (part, held) = if is_inline(len) {
            (0, Held::Here(reader.take(len)?))
        } else {
            *parts += 1;
            (*parts, Held::Apart(len, ColumnStats::read(reader, kind, count)?))
        };
        Ok(ColumnEntry { series, kind, count, part, tag, rows, presence, held })
    }

    /// Returns the length of the encoded values in bytes: that of the part, if the column has one.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self.held {
            Held::Here(bytes) => bytes.len(),
            Held::Apart(len, _) => len,
        }
    }

    /// Decodes in which rows the column has a value.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::Truncated`] if that is damaged.
    pub fn presence(&self) -> Result<Presence> {
        let malformed = |_| FormatError::Malformed { what: "column presence", reason: "row index out of range" };
        let Some(indexes) = self.presence else { return Ok(Presence::Dense) };
        let indexes = indexes.decode()?.into_iter().map(u32::try_from).collect::<Result<_, _>>().map_err(malformed)?;
        let presence = Presence::Rows(indexes);
        presence.count(self.rows)?;
        Ok(presence)
    }

    /// Returns the figures of the values, without reading another part.
    ///
    /// # Errors
    /// As [`ColumnEntry::decode`], for a column in the main part.
    pub fn stats(&self) -> Result<ColumnStats> {
        match self.held {
            Held::Here(bytes) => Ok(ColumnStats::of(&decode_values(self.kind, self.tag, bytes, self.count)?)),
            Held::Apart(_, stats) => Ok(stats),
        }
    }

    /// Decodes the values. `part` is the content of the part [`ColumnEntry::part`], unless that is 0.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], [`FormatError::Truncated`] or [`FormatError::Limit`] if the values are damaged, or
    /// are not those of which the main part holds the figures.
    pub fn decode(&self, part: Option<&[u8]>) -> Result<Values> {
        let malformed = |reason| FormatError::Malformed { what: "column", reason };
        let (len, stats) = match self.held {
            Held::Here(bytes) => return decode_values(self.kind, self.tag, bytes, self.count),
            Held::Apart(len, stats) => (len, stats),
        };
        let bytes = part.ok_or_else(|| malformed("it has a part of its own, which was not given"))?;
        if bytes.len() != len {
            return Err(malformed("its part has another length"));
        }
        let values = decode_values(self.kind, self.tag, bytes, self.count)?;
        if !ColumnStats::of(&values).same(&stats) {
            return Err(malformed("its values are not those of its figures"));
        }
        Ok(values)
    }
}
