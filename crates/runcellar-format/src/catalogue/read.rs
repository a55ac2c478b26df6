//! Reading a block: which columns there are, and one of them at a time.

use super::write::{RAW, ZSTD};
use super::{
    BLOCK_COLUMNS_MAX, BLOCK_ROWS_MAX, BLOCK_VERSION, CellKind, MAIN_BYTES_MAX, NAME_BYTES_MAX, PART_BYTES_MAX,
    PART_BYTES_TARGET, Space, from_exact,
};
use crate::block::{Presence, Values, decode_column, decode_rows};
use crate::codec::Reader;
use crate::error::{FormatError, Result};
use crate::value::{Json, Value};
use crate::zframe;

/// The fewest bytes of a column entry, so that a count of columns is not believed beyond what follows it.
const ENTRY_BYTES_MIN: usize = 20;

/// The main part of a block: what is where.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockMain {
    /// The number of rows.
    pub rows: u32,
    /// The columns, rising by (what they are about, name, kind).
    pub columns: Vec<ColumnEntry>,
}

/// A column as the main part tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnEntry {
    /// What it is about.
    pub space: Space,
    /// Its name within that.
    pub name: String,
    /// The kind of its cells.
    pub kind: CellKind,
    /// How many rows have a value.
    pub count: u32,
    /// The part that holds it, counted from 1: the main part is 0.
    pub part: u32,
    rows: u32,
    /// Form of the row indexes; 0 if every row has a value.
    places_form: u8,
    places_len: usize,
    form: u8,
    len: usize,
    offset: usize,
}

/// A decoded column.
#[derive(Debug, Clone, PartialEq)]
pub struct RunColumn {
    /// In which rows it has a value.
    pub presence: Presence,
    /// The values.
    pub cells: Cells,
}

/// The values of a column; texts and nested values as codes into a dictionary.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// See [`CellKind::Float`].
    Float(Vec<f64>),
    /// See [`CellKind::Int`].
    Int(Vec<i64>),
    /// See [`CellKind::Bool`].
    Bool(Vec<bool>),
    /// See [`CellKind::Text`].
    Text(Vec<u32>, Vec<String>),
    /// See [`CellKind::Nested`].
    Nested(Vec<u32>, Vec<Json>),
}

impl Cells {
    /// Returns the `index`-th value.
    #[must_use]
    pub fn json(&self, index: usize) -> Option<Json> {
        Some(match self {
            Cells::Float(all) => Json::Float(*all.get(index)?),
            Cells::Int(all) => Json::Int(*all.get(index)?),
            Cells::Bool(all) => Json::Bool(*all.get(index)?),
            Cells::Text(codes, dictionary) => Json::Text(dictionary.get(*codes.get(index)? as usize)?.clone()),
            Cells::Nested(codes, dictionary) => dictionary.get(*codes.get(index)? as usize)?.clone(),
        })
    }

    /// Returns the `index`-th value if it is no nested one.
    #[must_use]
    pub fn value(&self, index: usize) -> Option<Value> {
        Some(match self {
            Cells::Float(all) => Value::Float(*all.get(index)?),
            Cells::Int(all) => Value::Int(*all.get(index)?),
            Cells::Bool(all) => Value::Bool(*all.get(index)?),
            Cells::Text(codes, dictionary) => Value::Text(dictionary.get(*codes.get(index)? as usize)?.clone()),
            Cells::Nested(..) => return None,
        })
    }
}

impl BlockMain {
    /// Reads a main part.
    ///
    /// # Errors
    /// Any of [`FormatError`]'s kinds for bytes that no writer makes; [`FormatError::is_newer`] tells if a later one
    /// might.
    pub fn decode(bytes: &[u8]) -> Result<BlockMain> {
        const WHAT: &str = "catalogue block";
        let mut reader = Reader::new(WHAT, bytes);
        let version = reader.u8()?;
        reader.version(version.into(), BLOCK_VERSION.into())?;
        let compression = reader.u8()?;
        let body = reader.take(reader.remaining())?;
        let unpacked = match compression {
            RAW => None,
            ZSTD => Some(zframe::unpack(WHAT, body, MAIN_BYTES_MAX)?),
            _ => return Err(reader.malformed("unknown compression")),
        };
        let mut reader = Reader::new(WHAT, unpacked.as_deref().unwrap_or(body));
        let rows = u32::try_from(reader.count(BLOCK_ROWS_MAX)?).unwrap_or(0);
        if rows == 0 {
            return Err(reader.malformed("it has no rows"));
        }
        let count = reader.count(BLOCK_COLUMNS_MAX)?;
        let mut columns: Vec<ColumnEntry> = Vec::with_capacity(count.min(reader.remaining() / ENTRY_BYTES_MIN));
        let (mut part, mut offset) = (1, 0);
        for _ in 0..count {
            let mut column = ColumnEntry::read(&mut reader, rows)?;
            let key = |column: &ColumnEntry| (column.space, column.name.clone(), column.kind);
            if columns.last().is_some_and(|last| key(last) >= key(&column)) {
                return Err(reader.malformed("columns do not rise by what they are about, name and kind"));
            }
            if offset >= PART_BYTES_TARGET {
                (part, offset) = (part + 1, 0);
            }
            (column.part, column.offset) = (part, offset);
            offset += column.places_len + column.len;
            columns.push(column);
        }
        reader.finish()?;
        Ok(BlockMain { rows, columns })
    }

    /// Returns the number of parts, the main part included.
    #[must_use]
    pub fn parts(&self) -> u32 {
        self.columns.last().map_or(0, |column| column.part) + 1
    }

    /// Returns the columns of a name, one for each kind of cell.
    #[must_use]
    pub fn named(&self, space: Space, name: &str) -> std::ops::Range<usize> {
        let from = self.columns.partition_point(|column| (column.space, column.name.as_str()) < (space, name));
        let same = |column: &&ColumnEntry| column.space == space && column.name == name;
        let count = self.columns.get(from..).unwrap_or_default().iter().take_while(same).count();
        from..from + count
    }

    /// Returns the column of a name and kind.
    #[must_use]
    pub fn find(&self, space: Space, name: &str, kind: CellKind) -> Option<usize> {
        self.named(space, name).find(|index| self.columns.get(*index).is_some_and(|column| column.kind == kind))
    }
}

impl ColumnEntry {
    fn read(reader: &mut Reader<'_>, rows: u32) -> Result<ColumnEntry> {
        let space = Space::read(reader)?;
        let kind = CellKind::read(reader)?;
        let name = reader.text(NAME_BYTES_MAX)?.to_owned();
        let count = reader.u32()?;
        let places_form = reader.u8()?;
        let places_len = reader.count(PART_BYTES_MAX)?;
        if count == 0 || count > rows || (count == rows) != (places_form == 0) || (count == rows && places_len > 0) {
            return Err(reader.malformed("a column of no rows, of too many, or that lists all"));
        }
        let form = reader.u8()?;
        let len = reader.count(PART_BYTES_MAX)?;
        Ok(ColumnEntry { space, name, kind, count, part: 0, rows, places_form, places_len, form, len, offset: 0 })
    }

    /// Returns true if `part` is as long as this column, the last of its part, says.
    #[must_use]
    pub fn ends(&self, part: &[u8]) -> bool {
        part.len() == self.offset + self.places_len + self.len
    }

    /// Decodes the column from the part that holds it.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], [`FormatError::Truncated`] or [`FormatError::Limit`] if it is damaged.
    pub fn decode(&self, part: &[u8]) -> Result<RunColumn> {
        let mut reader = Reader::new("catalogue column", part);
        reader.take(self.offset)?;
        let places = reader.take(self.places_len)?;
        let bytes = reader.take(self.len)?;
        let presence = match self.places_form {
            0 => Presence::Dense,
            form => decode_rows(form, places, self.count, self.rows)?,
        };
        let cells = match self.kind {
            CellKind::Float | CellKind::Int | CellKind::Bool => {
                match decode_column([self.kind as u8, self.form], bytes, self.count)? {
                    Values::Float(all) => Cells::Float(all),
                    Values::Int(all) => Cells::Int(all),
                    Values::Bool(all) => Cells::Bool(all),
                    Values::Text(_) | Values::Histogram(_) | Values::Media(_) => {
                        return Err(reader.malformed("a column of numbers holds none"));
                    }
                }
            }
            CellKind::Text | CellKind::Nested => {
                let (codes, dictionary) = self.decode_texts(bytes)?;
                match self.kind {
                    CellKind::Text => Cells::Text(codes, dictionary),
                    _ => {
                        let nested = dictionary.iter().map(|text| from_exact(text));
                        Cells::Nested(codes, nested.collect::<Result<_>>()?)
                    }
                }
            }
        };
        Ok(RunColumn { presence, cells })
    }

    fn decode_texts(&self, bytes: &[u8]) -> Result<(Vec<u32>, Vec<String>)> {
        let mut reader = Reader::new("catalogue dictionary", bytes);
        let distinct = u32::try_from(reader.count(self.count)?).unwrap_or(0);
        let form = reader.u8()?;
        let dictionary = reader.bytes(PART_BYTES_MAX)?;
        let codes = reader.take(reader.remaining())?;
        let Values::Text(dictionary) = decode_column([CellKind::Text as u8, form], dictionary, distinct)? else {
            return Err(reader.malformed("a dictionary of no texts"));
        };
        let Values::Int(codes) = decode_column([CellKind::Int as u8, self.form], codes, self.count)? else {
            return Err(reader.malformed("codes that are no integers"));
        };
        // Codes are given in order of first use, so that one dictionary has one form.
        let mut next = 0;
        let codes = codes.into_iter().map(|code| {
            let code = u32::try_from(code).ok().filter(|code| *code <= next && *code < distinct)?;
            next = next.max(code + 1);
            Some(code)
        });
        let codes: Option<Vec<u32>> = codes.collect();
        match codes {
            Some(codes) if next == distinct && distinct > 0 => Ok((codes, dictionary)),
            _ => Err(FormatError::Malformed {
                what: "catalogue dictionary",
                reason: "codes that are not given in order of first use",
            }),
        }
    }
}
