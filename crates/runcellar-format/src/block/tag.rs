//! The forms in which the values of a column are written.

use crate::codec::Reader;
use crate::error::Result;

/// The form of encoded values. All tags of version 1, also those that nothing writes yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tag {
    /// All values are the same one, written once.
    Constant = 1,
    /// Integers `start + k * delta` in wrapping arithmetic: most step columns.
    Arithmetic = 2,
    /// Integers packed by pco as 64-bit numbers.
    Integer = 3,
    /// Integers that all fit 32 bits, packed by pco as such, which halves its tables.
    Integer32 = 4,
    /// Floats that are the nearest to `integer / 10^exponent`, as whatever was printed or rounded in decimal is:
    /// the integers. pco's own search for a common factor finds these too, but multiplies where we divide, so it
    /// must then store the last bits of each value apart, a bit or more a value.
    Decimal = 5,
    /// The same for values that were rounded to 32-bit floats.
    Decimal32 = 6,
    /// Floats that are all exactly 32-bit ones, packed by pco as such.
    Float32 = 7,
    /// Floats packed by pco.
    Float64 = 8,
    /// Values as they are, little-endian: where a packed column's tables cost more than they save.
    Plain = 9,
    /// Truth values, one bit each.
    Bits = 10,
    /// Texts compressed by zstd.
    Text = 11,
    /// Histograms as edges and counts.
    Histogram = 12,
    /// References to media files, one after the other.
    Media = 13,
}

impl Tag {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Tag> {
        Ok(match reader.u8()? {
            1 => Tag::Constant,
            2 => Tag::Arithmetic,
            3 => Tag::Integer,
            4 => Tag::Integer32,
            5 => Tag::Decimal,
            6 => Tag::Decimal32,
            7 => Tag::Float32,
            8 => Tag::Float64,
            9 => Tag::Plain,
            10 => Tag::Bits,
            11 => Tag::Text,
            12 => Tag::Histogram,
            13 => Tag::Media,
            _ => return Err(reader.malformed("tag is unknown")),
        })
    }
}
