//! Writing a block: rows in, parts out.

use std::collections::{BTreeMap, HashMap};

use super::{
    BLOCK_COLUMNS_MAX, BLOCK_ROWS_MAX, BLOCK_VERSION, CellKind, MAIN_BYTES_MAX, NAME_BYTES_MAX, PART_BYTES_TARGET,
    Space, to_exact,
};
use crate::block::{Column, Level, Presence, TEXT_BYTES_MAX, Values, check_limit, encode_column};
use crate::codec::Writer;
use crate::error::{FormatError, Result};
use crate::value::{Json, Value};
use crate::zframe;

const ZSTD_LEVEL: i32 = 3;
pub(super) const RAW: u8 = 0;
pub(super) const ZSTD: u8 = 1;

/// Takes the rows of a block.
#[derive(Debug, Default)]
pub struct BlockWriter {
    rows: u32,
    columns: BTreeMap<(Space, CellKind), HashMap<String, Pending>>,
    count: usize,
}

/// A column that grows: the rows in which it has a value, and these.
#[derive(Debug)]
struct Pending {
    rows: Vec<u32>,
    values: PendingValues,
}

#[derive(Debug)]
enum PendingValues {
    Numbers(Values),
    /// Texts by code, in order of first use.
    Texts {
        codes: Vec<i64>,
        dictionary: Vec<String>,
        known: HashMap<String, i64>,
        bytes: usize,
    },
}

impl BlockWriter {
    /// Returns the number of rows so far.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Returns true if a further row may not fit: the block is to be finished, and another begun.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows >= BLOCK_ROWS_MAX || self.count >= BLOCK_COLUMNS_MAX as usize / 2
    }

    /// Begins the next row; what is put belongs to it.
    pub fn begin_row(&mut self) {
        self.rows += 1;
    }

    /// Puts a value into the row.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if the row has one in this column, [`FormatError::Limit`]. The block is of no use
    /// then.
    pub fn put(&mut self, space: Space, name: &str, value: &Value) -> Result<()> {
        match value {
            Value::Float(value) => match self.values(space, CellKind::Float, name)? {
                PendingValues::Numbers(Values::Float(all)) => all.push(*value),
                _ => return Err(mixed()),
            },
            Value::Int(value) => match self.values(space, CellKind::Int, name)? {
                PendingValues::Numbers(Values::Int(all)) => all.push(*value),
                _ => return Err(mixed()),
            },
            Value::Bool(value) => match self.values(space, CellKind::Bool, name)? {
                PendingValues::Numbers(Values::Bool(all)) => all.push(*value),
                _ => return Err(mixed()),
            },
            Value::Text(value) => self.values(space, CellKind::Text, name)?.push_text(value)?,
            Value::Histogram(_) | Value::Media(_) => {
                return Err(FormatError::Malformed { what: WHAT, reason: "histograms and media have no column" });
            }
        }
        Ok(())
    }

    /// Puts a leaf of a config into the row, of whatever kind it is; a null is in the shape alone.
    ///
    /// # Errors
    /// As [`BlockWriter::put`].
    pub fn put_leaf(&mut self, space: Space, name: &str, value: &Json) -> Result<()> {
        match value {
            Json::Null => Ok(()),
            Json::Bool(value) => self.put(space, name, &Value::Bool(*value)),
            Json::Int(value) => self.put(space, name, &Value::Int(*value)),
            Json::Float(value) => self.put(space, name, &Value::Float(*value)),
            Json::Text(value) => self.values(space, CellKind::Text, name)?.push_text(value),
            Json::List(_) | Json::Map(_) => {
                let text = to_exact(value)?;
                self.values(space, CellKind::Nested, name)?.push_text(&text)
            }
        }
    }

    /// Returns the values of a column, to which the caller adds the one of this row.
    fn values(&mut self, space: Space, kind: CellKind, name: &str) -> Result<&mut PendingValues> {
        let row = self.rows.checked_sub(1).ok_or(FormatError::Malformed { what: WHAT, reason: "no row was begun" })?;
        let columns = self.columns.entry((space, kind)).or_default();
        if !columns.contains_key(name) {
            check_limit("bytes of a column's name", name.len(), NAME_BYTES_MAX)?;
            self.count += 1;
            check_limit("columns of a catalogue block", self.count, BLOCK_COLUMNS_MAX)?;
            columns.insert(name.to_owned(), Pending::new(kind));
        }
        let column = columns.get_mut(name).ok_or_else(mixed)?;
        if column.rows.last() == Some(&row) {
            return Err(FormatError::Malformed { what: WHAT, reason: "a row has two values in one column" });
        }
        column.rows.push(row);
        Ok(&mut column.values)
    }

    /// Encodes the block: the main part first, then those that hold columns.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] without a row, [`FormatError::Limit`].
    pub fn finish(self) -> Result<Vec<Vec<u8>>> {
        check_limit("rows of a catalogue block", self.rows as usize, BLOCK_ROWS_MAX)?;
        if self.rows == 0 {
            return Err(FormatError::Malformed { what: WHAT, reason: "it has no rows" });
        }
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let mut main = Writer::default();
        main.u32(self.rows).count("columns of a catalogue block", self.count, BLOCK_COLUMNS_MAX)?;
        // By what they are about, name and kind: the columns of one filter key stand side by side.
        let mut columns: Vec<(Space, String, CellKind, Pending)> = Vec::with_capacity(self.count);
        for ((space, kind), by_name) in self.columns {
            columns.extend(by_name.into_iter().map(|(name, column)| (space, name, kind, column)));
        }
        columns.sort_by(|left, right| (left.0, &left.1, left.2).cmp(&(right.0, &right.1, right.2)));
        for (space, name, kind, column) in columns {
            let bytes = column.encode(self.rows)?;
            main.u8(space as u8).u8(kind as u8).bytes("column name", name.as_bytes(), NAME_BYTES_MAX)?;
            main.raw(&bytes.head);
            match parts.last_mut() {
                Some(part) if part.len() < PART_BYTES_TARGET => part.extend_from_slice(&bytes.body),
                _ => parts.push(bytes.body),
            }
        }
        let main = main.into_vec();
        check_limit("bytes of a catalogue block's main part", main.len(), MAIN_BYTES_MAX as u32)?;
        let packed = zframe::pack(&main, ZSTD_LEVEL);
        let (compression, main) = packed.map_or((RAW, main), |packed| (ZSTD, packed));
        let mut all = vec![[&[BLOCK_VERSION, compression], main.as_slice()].concat()];
        all.append(&mut parts);
        Ok(all)
    }
}

const WHAT: &str = "catalogue block";

fn mixed() -> FormatError {
    FormatError::Malformed { what: WHAT, reason: "a column of two kinds" }
}

/// A column as bytes: what its entry says of it, and what stands in a part.
struct Encoded {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Pending {
    fn new(kind: CellKind) -> Pending {
        let values = match kind {
            CellKind::Float => PendingValues::Numbers(Values::Float(Vec::new())),
            CellKind::Int => PendingValues::Numbers(Values::Int(Vec::new())),
            CellKind::Bool => PendingValues::Numbers(Values::Bool(Vec::new())),
            CellKind::Text | CellKind::Nested => {
                PendingValues::Texts { codes: Vec::new(), dictionary: Vec::new(), known: HashMap::new(), bytes: 0 }
            }
        };
        Pending { rows: Vec::new(), values }
    }

    fn encode(self, rows: u32) -> Result<Encoded> {
        let count = self.rows.len();
        let (mut head, mut body) = (Writer::default(), Writer::default());
        let presence = Presence::Rows(self.rows);
        let dictionary = |dictionary: Vec<String>| -> Result<Vec<u8>> {
            let distinct = dictionary.len() as u32;
            let column = Column { series: 0, presence: Presence::Dense, values: Values::Text(dictionary) };
            let encoded = encode_column(&column, distinct, Level::Fast)?;
            let mut out = Writer::default();
            out.u32(distinct).u8(encoded.tag as u8).bytes("dictionary", &encoded.bytes, super::PART_BYTES_MAX)?;
            Ok(out.into_vec())
        };
        let (values, before) = match self.values {
            PendingValues::Numbers(values) => (values, Vec::new()),
            PendingValues::Texts { codes, dictionary: texts, .. } => (Values::Int(codes), dictionary(texts)?),
        };
        let encoded = encode_column(&Column { series: 0, presence, values }, rows, Level::Fast)?;
        let (form, places) = match &encoded.presence {
            None => (0, &[][..]),
            Some(presence) => (presence.tag, presence.bytes.as_slice()),
        };
        let length = before.len() + encoded.bytes.len();
        head.count("rows of a column", count, rows)?.u8(form);
        head.count("presence of a column", places.len(), super::PART_BYTES_MAX)?;
        head.u8(encoded.tag as u8).count("bytes of a column", length, super::PART_BYTES_MAX)?;
        body.raw(places).raw(&before).raw(&encoded.bytes);
        Ok(Encoded { head: head.into_vec(), body: body.into_vec() })
    }
}

impl PendingValues {
    fn push_text(&mut self, text: &str) -> Result<()> {
        let PendingValues::Texts { codes, dictionary, known, bytes } = self else { return Err(mixed()) };
        let code = match known.get(text) {
            Some(code) => *code,
            None => {
                *bytes += text.len();
                check_limit("bytes of the texts of a column", *bytes, TEXT_BYTES_MAX)?;
                let code = dictionary.len() as i64;
                known.insert(text.to_owned(), code);
                dictionary.push(text.to_owned());
                code
            }
        };
        codes.push(code);
        Ok(())
    }
}
