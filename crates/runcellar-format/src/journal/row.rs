//! Records: what a frame says. A frame holds one record or several (a new metric's name before the row that uses
//! it), so that one `log()` is one frame and is kept or lost as a whole.

use crate::codec::Reader;
use crate::error::{FormatError, Result};
use crate::record::{Body, Close, Event, FieldChange, Start};
use crate::value::{Value, widen};

const WHAT: &str = "journal record";
/// Metric indexes of one writer stay below this, as an entry of a row gives 24 bits to the index.
pub const METRIC_INDEX_MAX: u32 = 1 << 24;
/// The longest name of a metric, in bytes.
pub const METRIC_NAME_BYTES_MAX: usize = 4096;
/// The longest text value, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

const START: u8 = 1;
const METRIC: u8 = 2;
const ROW: u8 = 3;
const FIELDS: u8 = 4;
const HEARTBEAT: u8 = 5;
const CLOSE: u8 = 6;
const EVENT: u8 = 7;

const FLOAT: u32 = 1 << 24;
const FLOAT32: u32 = 2 << 24;
const INT: u32 = 3 << 24;
const BOOL: u32 = 4 << 24;
const TEXT: u32 = 5 << 24;

/// What a frame says.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The start of a writer, first in each file.
    Start(Box<Start>),
    /// The name of a metric of this file, before its first use.
    Metric {
        /// The metric's index in this file.
        index: u32,
        /// Its name.
        name: String,
    },
    /// One `log()`.
    Row {
        /// The step.
        step: i64,
        /// When, microseconds UTC since 1970.
        time: i64,
        /// Metric index and value, in the order given.
        values: Vec<(u32, Value)>,
    },
    /// Fields of the run that were set.
    Fields {
        /// Hybrid clock of the setting.
        clock: u64,
        /// The fields.
        fields: Vec<FieldChange>,
    },
    /// A sign of life.
    Heartbeat {
        /// When, microseconds UTC since 1970.
        time: i64,
    },
    /// The end of a writer.
    Close(Close),
    /// Something that happened.
    Event(Event),
}

/// A value of a row without an allocation, as the logging path has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowValue<'a> {
    /// A float.
    Float(f64),
    /// A float32, kept in four bytes.
    Float32(f32),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A text of at most [`TEXT_BYTES_MAX`].
    Text(&'a str),
}

/// Appends one row to the plaintext of a frame.
pub struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
    count_at: usize,
    count: u32,
}

impl<'a> RowWriter<'a> {
    /// Begins a row at `step` and `time` (microseconds UTC since 1970).
    pub fn begin(out: &'a mut Vec<u8>, step: i64, time: i64) -> Self {
        let mut head = [0; 21];
        head[0] = ROW;
        head[1..9].copy_from_slice(&step.to_le_bytes());
        head[9..17].copy_from_slice(&time.to_le_bytes());
        out.extend_from_slice(&head);
        let count_at = out.len() - 4;
        RowWriter { out, count_at, count: 0 }
    }

    /// Appends a value of the metric `index`, which is below [`METRIC_INDEX_MAX`].
    pub fn push(&mut self, index: u32, value: RowValue<'_>) {
        debug_assert!(index < METRIC_INDEX_MAX, "the caller hands out indexes");
        self.count += 1;
        match value {
            RowValue::Float(value) => self.entry(index | FLOAT, &value.to_bits().to_le_bytes()),
            RowValue::Float32(value) => self.entry(index | FLOAT32, &value.to_bits().to_le_bytes()),
            RowValue::Int(value) => self.entry(index | INT, &value.to_le_bytes()),
            RowValue::Bool(value) => self.entry(index | BOOL, &[u8::from(value)]),
            RowValue::Text(text) => {
                let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
                self.entry(index | TEXT, &len.to_le_bytes());
                self.out.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn entry<const N: usize>(&mut self, head: u32, value: &[u8; N]) {
        let at = self.out.len();
        self.out.resize(at + 4 + N, 0);
        let (left, right) = self.out[at..].split_at_mut(4);
        left.copy_from_slice(&head.to_le_bytes());
        right.copy_from_slice(value);
    }

    /// Ends the row.
    pub fn end(self) {
        let count = self.out.get_mut(self.count_at..self.count_at + 4).expect("begin() wrote it");
        count.copy_from_slice(&self.count.to_le_bytes());
    }
}

/// Appends the name of a metric to the plaintext of a frame.
pub fn push_metric(out: &mut Vec<u8>, index: u32, name: &str) {
    out.push(METRIC);
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
}

/// Appends a record that is not on the hot path.
///
/// # Errors
/// [`FormatError::Limit`] if its body is too long.
pub fn push_record(out: &mut Vec<u8>, record: &Record) -> Result<()> {
    match record {
        Record::Start(start) => push_body(out, START, &start.to_body()?),
        Record::Close(close) => push_body(out, CLOSE, &close.to_body()?),
        Record::Event(event) => push_body(out, EVENT, &event.to_body()?),
        Record::Fields { clock, fields } => {
            push_body(out, FIELDS, &Fields { clock: *clock, fields: fields.clone() }.to_body()?)
        }
        Record::Metric { index, name } => {
            push_metric(out, *index, name);
            Ok(())
        }
        Record::Heartbeat { time } => {
            out.push(HEARTBEAT);
            out.extend_from_slice(&time.to_le_bytes());
            Ok(())
        }
        Record::Row { step, time, values } => {
            let mut row = RowWriter::begin(out, *step, *time);
            for (index, value) in values {
                row.push(*index, value.into());
            }
            row.end();
            Ok(())
        }
    }
}

fn push_body(out: &mut Vec<u8>, kind: u8, body: &[u8]) -> Result<()> {
    let over = || FormatError::Limit { what: WHAT, found: body.len() as u64, limit: u32::MAX.into() };
    out.push(kind);
    out.extend_from_slice(&u32::try_from(body.len()).map_err(|_| over())?.to_le_bytes());
    out.extend_from_slice(body);
    Ok(())
}

impl<'a> From<&'a Value> for RowValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Float(value) => RowValue::Float(*value),
            Value::Int(value) => RowValue::Int(*value),
            Value::Bool(value) => RowValue::Bool(*value),
            Value::Text(value) => RowValue::Text(value),
        }
    }
}

#[derive(bincode::Encode, bincode::Decode)]
struct Fields {
    clock: u64,
    fields: Vec<FieldChange>,
}

impl Body for Fields {
    const NAME: &'static str = "fields record";
}

/// Reads the records of a frame's plaintext, one after the other.
pub struct Records<'a> {
    reader: Reader<'a>,
    failed: bool,
}

impl<'a> Records<'a> {
    /// Makes a reader over a frame's plaintext.
    #[must_use]
    pub fn new(plain: &'a [u8]) -> Self {
        Records { reader: Reader::new(WHAT, plain), failed: false }
    }

    fn read(&mut self) -> Result<Record> {
        let reader = &mut self.reader;
        Ok(match reader.u8()? {
            START => Record::Start(Box::new(Start::from_body(reader.bytes(u32::MAX)?)?)),
            METRIC => {
                let index = reader.u32()?;
                if index >= METRIC_INDEX_MAX {
                    return Err(reader.malformed("metric index over 24 bits"));
                }
                Record::Metric { index, name: reader.text(METRIC_NAME_BYTES_MAX as u32)?.to_owned() }
            }
            ROW => read_row(reader)?,
            FIELDS => {
                let Fields { clock, fields } = Fields::from_body(reader.bytes(u32::MAX)?)?;
                Record::Fields { clock, fields }
            }
            HEARTBEAT => Record::Heartbeat { time: reader.i64()? },
            CLOSE => Record::Close(Close::from_body(reader.bytes(u32::MAX)?)?),
            EVENT => Record::Event(Event::from_body(reader.bytes(u32::MAX)?)?),
            0 => return Err(reader.malformed("kind 0 was never written")),
            kind => {
                return Err(FormatError::NewerVersion { what: WHAT, found: kind.into(), newest: EVENT.into() });
            }
        })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.remaining() == 0 {
            return None;
        }
        let record = self.read();
        self.failed = record.is_err();
        Some(record)
    }
}

fn read_row(reader: &mut Reader<'_>) -> Result<Record> {
    let step = reader.i64()?;
    let time = reader.i64()?;
    let count = reader.u32()? as usize;
    // An entry is five bytes at least, so a hostile count allocates no more than the frame is long.
    let mut values = Vec::with_capacity(count.min(reader.remaining() / 5));
    for _ in 0..count {
        let head = reader.u32()?;
        let value = match head & 0xff00_0000 {
            FLOAT => Value::Float(f64::from_bits(reader.u64()?)),
            FLOAT32 => Value::Float(widen(f32::from_bits(reader.u32()?))),
            INT => Value::Int(reader.i64()?),
            BOOL => match reader.u8()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(reader.malformed("bool is neither 0 nor 1")),
            },
            TEXT => Value::Text(reader.text(TEXT_BYTES_MAX as u32)?.to_owned()),
            0 => return Err(reader.malformed("value of type 0")),
            newer => {
                let (found, newest) = (newer >> 24, TEXT >> 24);
                return Err(FormatError::NewerVersion { what: "type of a value", found, newest });
            }
        };
        values.push((head & 0x00ff_ffff, value));
    }
    Ok(Record::Row { step, time, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FieldId;

    #[test]
    fn records_of_a_frame_read_back_in_order() {
        let records = [
            Record::Start(Box::new(Start { run_id: "3fk2".into(), ..Start::default() })),
            Record::Metric { index: 0, name: "train/loss".into() },
            Record::Row {
                step: -3,
                time: 1_700_000_000_000_000,
                values: vec![
                    (0, Value::Float(0.25)),
                    (METRIC_INDEX_MAX - 1, Value::Int(i64::MIN)),
                    (1, Value::Bool(true)),
                    (2, Value::Text("ok".into())),
                ],
            },
            Record::Fields {
                clock: 5,
                fields: vec![FieldChange::new(FieldId::Notes, "", &"a note".into()).expect("shallow")],
            },
            Record::Heartbeat { time: 9 },
            Record::Event(Event { time: 1, kind: 1, text: "clock".into() }),
            Record::Close(Close { exit_code: Some(3), ..Close::default() }),
        ];
        let mut plain = Vec::new();
        for record in &records {
            push_record(&mut plain, record).expect("short");
        }
        let read: Result<Vec<Record>> = Records::new(&plain).collect();
        assert_eq!(read.expect("reads back"), records);
    }

    #[test]
    fn float32_is_kept_in_four_bytes_and_widened() {
        let mut plain = Vec::new();
        let mut row = RowWriter::begin(&mut plain, 0, 0);
        row.push(0, RowValue::Float32(0.1));
        row.end();
        assert_eq!(plain.len(), 21 + 8);
        let read: Result<Vec<Record>> = Records::new(&plain).collect();
        let row = Record::Row { step: 0, time: 0, values: vec![(0, Value::Float(f64::from(0.1_f32)))] };
        assert_eq!(read.expect("reads"), [row]);
    }

    #[test]
    fn hostile_records_are_refused() {
        for plain in [
            &[0][..],
            &[99],
            &[ROW, 1],
            &[METRIC, 0, 0, 0, 1, 0, 0, 0, 0],
            &[HEARTBEAT, 1, 2],
            &[START, 0xff, 0xff, 0xff, 0xff],
        ] {
            let last = Records::new(plain).last().expect("not empty");
            assert!(last.is_err(), "{plain:?}");
        }
        let mut row = vec![ROW];
        row.extend([0; 16]);
        row.extend(u32::MAX.to_le_bytes());
        assert!(Records::new(&row).next().is_some_and(|record| record.is_err()));
    }
}
