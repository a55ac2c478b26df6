//! Records: what a frame says. A frame holds one record or several (a new metric's name before the row that uses
//! it), so that one `log()` is one frame and is kept or lost as a whole.

use super::shape::{Shapes, value_bytes};
use crate::codec::Reader;
use crate::error::{FormatError, Result};
use crate::histogram::{HISTOGRAM_BINS_MAX, Histogram};
use crate::id::MediaId;
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
const SHAPE: u8 = 8;
const SHAPED_ROW: u8 = 9;

pub(super) const FLOAT: u32 = 1 << 24;
pub(super) const FLOAT32: u32 = 2 << 24;
pub(super) const INT: u32 = 3 << 24;
pub(super) const BOOL: u32 = 4 << 24;
pub(super) const TEXT: u32 = 5 << 24;
pub(super) const HISTOGRAM: u32 = 6 << 24;
pub(super) const MEDIA: u32 = 7 << 24;
const TYPE_MASK: u32 = 0xff00_0000;
const INDEX_MASK: u32 = 0x00ff_ffff;
/// Kind, shape, step and time of a row that has a shape.
const SHAPED_HEAD_BYTES: usize = 18;

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
    /// The heads that rows of a shape have in common, before its first use in this file.
    Shape {
        /// The shape's number.
        number: u8,
        /// A value's metric index in the lower 24 bits and its type above, in the order of the values.
        heads: Vec<u32>,
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
    /// A histogram, as [`crate::histogram::check`] takes it.
    Histogram {
        /// Its edges, one more than counts.
        edges: &'a [f64],
        /// Its counts.
        counts: &'a [f64],
    },
    /// A media file of the run, which stands in the database already.
    Media(MediaId),
}

/// Appends one row to the plaintext of a frame: the values at once, their heads into a buffer of their own, so that rows
/// alike in form name a shape in place of all heads.
pub struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
    heads: &'a mut Vec<u32>,
    start: usize,
}

impl<'a> RowWriter<'a> {
    /// Begins a row at `step` and `time` (microseconds UTC since 1970); `heads` is emptied.
    pub fn begin(out: &'a mut Vec<u8>, heads: &'a mut Vec<u32>, step: i64, time: i64) -> Self {
        let start = out.len();
        let mut head = [0; SHAPED_HEAD_BYTES];
        head[0] = SHAPED_ROW;
        head[2..10].copy_from_slice(&step.to_le_bytes());
        head[10..].copy_from_slice(&time.to_le_bytes());
        out.extend_from_slice(&head);
        heads.clear();
        RowWriter { out, heads, start }
    }

    /// Appends a value of the metric `index`, which is below [`METRIC_INDEX_MAX`].
    #[inline]
    pub fn push(&mut self, index: u32, value: RowValue<'_>) {
        debug_assert!(index < METRIC_INDEX_MAX, "the caller hands out indexes");
        let kind = match value {
            RowValue::Float(value) => {
                self.out.extend_from_slice(&value.to_bits().to_le_bytes());
                FLOAT
            }
            RowValue::Float32(value) => {
                self.out.extend_from_slice(&value.to_bits().to_le_bytes());
                FLOAT32
            }
            RowValue::Int(value) => {
                self.out.extend_from_slice(&value.to_le_bytes());
                INT
            }
            RowValue::Bool(value) => {
                self.out.push(u8::from(value));
                BOOL
            }
            RowValue::Text(text) => {
                self.out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
                self.out.extend_from_slice(text.as_bytes());
                TEXT
            }
            RowValue::Histogram { edges, counts } => {
                self.out.extend_from_slice(&u32::try_from(counts.len()).unwrap_or(u32::MAX).to_le_bytes());
                for number in edges.iter().chain(counts) {
                    self.out.extend_from_slice(&number.to_bits().to_le_bytes());
                }
                HISTOGRAM
            }
            RowValue::Media(id) => {
                self.out.extend_from_slice(&id.0);
                MEDIA
            }
        };
        self.heads.push(index | kind);
    }

    /// Returns the heads of the values pushed so far.
    #[must_use]
    pub fn heads(&self) -> &[u32] {
        self.heads
    }

    /// Ends the row as one of a shape, whose heads are those pushed; or with its heads in itself.
    ///
    /// # Panics
    /// If the buffers were changed under it.
    pub fn end(self, shape: Option<u8>) {
        let RowWriter { out, heads, start } = self;
        if let Some(shape) = shape {
            *out.get_mut(start + 1).expect("begin() wrote it") = shape;
            return;
        }
        let shaped = out.split_off(start);
        let (head, mut values) = shaped.split_at(SHAPED_HEAD_BYTES);
        out.push(ROW);
        out.extend_from_slice(&head[2..]);
        out.extend_from_slice(&u32::try_from(heads.len()).unwrap_or(u32::MAX).to_le_bytes());
        for head in heads.iter() {
            let (value, rest) = values.split_at(value_bytes(*head, values).expect("push() wrote it"));
            out.extend_from_slice(&head.to_le_bytes());
            out.extend_from_slice(value);
            values = rest;
        }
    }
}

/// Appends the heads of a shape to the plaintext of a frame.
pub fn push_shape(out: &mut Vec<u8>, number: u8, heads: &[u32]) {
    out.extend_from_slice(&[SHAPE, number]);
    out.extend_from_slice(&u32::try_from(heads.len()).unwrap_or(u32::MAX).to_le_bytes());
    for head in heads {
        out.extend_from_slice(&head.to_le_bytes());
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
        Record::Shape { number, heads } => {
            push_shape(out, *number, heads);
            Ok(())
        }
        Record::Heartbeat { time } => {
            out.push(HEARTBEAT);
            out.extend_from_slice(&time.to_le_bytes());
            Ok(())
        }
        Record::Row { step, time, values } => {
            let mut heads = Vec::with_capacity(values.len());
            let mut row = RowWriter::begin(out, &mut heads, *step, *time);
            for (index, value) in values {
                row.push(*index, value.into());
            }
            row.end(None);
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
            Value::Histogram(value) => RowValue::Histogram { edges: value.edges(), counts: value.counts() },
            Value::Media(id) => RowValue::Media(*id),
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
    shapes: &'a mut Shapes,
    failed: bool,
}

impl<'a> Records<'a> {
    /// Makes a reader over a frame's plaintext. `shapes` are those of the frames before it in its file, and gain those
    /// of this one.
    #[must_use]
    pub fn new(plain: &'a [u8], shapes: &'a mut Shapes) -> Self {
        Records { reader: Reader::new(WHAT, plain), shapes, failed: false }
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
            SHAPE => {
                let (number, heads) = read_shape(reader)?;
                self.shapes.define(number, &heads)?;
                Record::Shape { number, heads }
            }
            SHAPED_ROW => {
                let number = reader.u8()?;
                let heads = self.shapes.get(number).ok_or(FormatError::UnknownShape { what: WHAT })?;
                read_shaped_row(reader, heads)?
            }
            0 => return Err(reader.malformed("kind 0 was never written")),
            kind => {
                return Err(FormatError::NewerVersion { what: WHAT, found: kind.into(), newest: SHAPED_ROW.into() });
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
        values.push((head & INDEX_MASK, read_value(reader, head)?));
    }
    Ok(Record::Row { step, time, values })
}

fn read_shape(reader: &mut Reader<'_>) -> Result<(u8, Vec<u32>)> {
    let number = reader.u8()?;
    let count = reader.u32()? as usize;
    let mut heads = Vec::with_capacity(count.min(reader.remaining() / 4));
    for _ in 0..count {
        let head = reader.u32()?;
        check_type(reader, head)?;
        heads.push(head);
    }
    Ok((number, heads))
}

fn read_shaped_row(reader: &mut Reader<'_>, heads: &[u32]) -> Result<Record> {
    let step = reader.i64()?;
    let time = reader.i64()?;
    // A value is one byte at least.
    let mut values = Vec::with_capacity(heads.len().min(reader.remaining()));
    for head in heads {
        values.push((head & INDEX_MASK, read_value(reader, *head)?));
    }
    Ok(Record::Row { step, time, values })
}

fn check_type(reader: &Reader<'_>, head: u32) -> Result<()> {
    match head & TYPE_MASK {
        FLOAT | FLOAT32 | INT | BOOL | TEXT | HISTOGRAM | MEDIA => Ok(()),
        0 => Err(reader.malformed("value of type 0")),
        newer => {
            let (found, newest) = (newer >> 24, MEDIA >> 24);
            Err(FormatError::NewerVersion { what: "type of a value", found, newest })
        }
    }
}

fn read_value(reader: &mut Reader<'_>, head: u32) -> Result<Value> {
    check_type(reader, head)?;
    Ok(match head & TYPE_MASK {
        FLOAT => Value::Float(f64::from_bits(reader.u64()?)),
        FLOAT32 => Value::Float(widen(f32::from_bits(reader.u32()?))),
        INT => Value::Int(reader.i64()?),
        BOOL => match reader.u8()? {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            _ => return Err(reader.malformed("bool is neither 0 nor 1")),
        },
        TEXT => Value::Text(reader.text(TEXT_BYTES_MAX as u32)?.to_owned()),
        MEDIA => Value::Media(MediaId(reader.array()?)),
        _ => Value::from(read_histogram(reader)?),
    })
}

fn read_histogram(reader: &mut Reader<'_>) -> Result<Histogram> {
    let bins = reader.count(HISTOGRAM_BINS_MAX as u32)?;
    let mut numbers = Reader::new(WHAT, reader.take((2 * bins + 1) * 8)?);
    let mut take = |count: usize| (0..count).map(|_| numbers.u64().map(f64::from_bits)).collect::<Result<Vec<f64>>>();
    Histogram::new(take(bins + 1)?, take(bins)?)
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
                    (3, Value::Media(MediaId([7; 16]))),
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
        let read: Result<Vec<Record>> = Records::new(&plain, &mut Shapes::default()).collect();
        assert_eq!(read.expect("reads back"), records);
    }

    #[test]
    fn float32_is_kept_in_four_bytes_and_widened() {
        let mut plain = Vec::new();
        let mut heads = Vec::new();
        let mut row = RowWriter::begin(&mut plain, &mut heads, 0, 0);
        row.push(0, RowValue::Float32(0.1));
        row.end(None);
        assert_eq!(plain.len(), 21 + 8);
        let read: Result<Vec<Record>> = Records::new(&plain, &mut Shapes::default()).collect();
        let row = Record::Row { step: 0, time: 0, values: vec![(0, Value::Float(f64::from(0.1_f32)))] };
        assert_eq!(read.expect("reads"), [row]);
    }

    #[test]
    fn a_row_of_a_shape_reads_as_the_row_with_its_heads() {
        let values = [
            RowValue::Float(0.5),
            RowValue::Text("ab"),
            RowValue::Int(-1),
            RowValue::Float32(0.1),
            RowValue::Bool(true),
            RowValue::Media(MediaId([7; 16])),
        ];
        let write = |shape: Option<u8>| {
            let (mut plain, mut heads) = (b"before".to_vec(), vec![9]);
            let mut row = RowWriter::begin(&mut plain, &mut heads, 3, -4);
            for (index, value) in (7..).zip(values) {
                row.push(index, value);
            }
            row.end(shape);
            (plain.split_off(6), heads)
        };
        let ((wide, heads), (shaped, _)) = (write(None), write(Some(2)));
        assert_eq!(wide.len() - shaped.len(), 3 + 4 * values.len());
        let mut shapes = Shapes::default();
        assert!(Records::new(&shaped, &mut shapes).next().is_some_and(|record| record.is_err()), "not defined yet");
        let mut defined = Vec::new();
        for number in 0..3 {
            push_shape(&mut defined, number, &heads);
        }
        let read = |plain: &[u8], shapes: &mut Shapes| Records::new(plain, shapes).collect::<Result<Vec<Record>>>();
        assert_eq!(read(&defined, &mut shapes).expect("reads").len(), 3);
        assert_eq!(read(&shaped, &mut shapes).expect("reads"), read(&wide, &mut shapes).expect("reads"));
        for cut in 0..shaped.len() {
            assert!(cut == 0 || read(&shaped[..cut], &mut shapes).is_err(), "{cut}");
        }
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
            let last = Records::new(plain, &mut Shapes::default()).last().expect("not empty");
            assert!(last.is_err(), "{plain:?}");
        }
        let mut row = vec![ROW];
        row.extend([0; 16]);
        row.extend(u32::MAX.to_le_bytes());
        assert!(Records::new(&row, &mut Shapes::default()).next().is_some_and(|record| record.is_err()));
    }
}
