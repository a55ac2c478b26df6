//! A batch: consecutive frames of one writer, turned from rows into columns.

use runcellar_format::WriterId;
use runcellar_format::block::{Column, Presence, Values};
use runcellar_format::journal::{Record, Records, Shapes};
use runcellar_format::record::{Close, Event, FieldChange, Start};
use runcellar_format::value::Value;

use super::progress::Progress;
use crate::{Error, Result};

/// Rows of one block group: pco gains nothing beyond.
pub(crate) const ROWS_MAX: usize = 4096;
/// Cells of one batch, which bounds memory when calls carry thousands of metrics.
pub(super) const CELLS_MAX: usize = 1 << 20;
/// Bytes of text in one batch.
pub(super) const TEXT_BYTES_MAX: usize = 16 << 20;
/// Columns of one batch from which no further row is taken in; the next one may bring
/// [`crate::run::ROW_VALUES_MAX`] more.
const COLUMNS_MAX: usize = 32_768;

const _: () = assert!(
    COLUMNS_MAX + crate::run::ROW_VALUES_MAX as usize <= runcellar_format::block::COLUMNS_MAX as usize,
    "a batch fits in one row group"
);

/// Names that a damaged frame can have held: a frame of names is about 1 MiB. The bound keeps a forged index from taking
/// memory.
const NAME_GAP_MAX: usize = 1 << 18;

/// What a frame did besides logging a row, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    Fields { clock: u64, fields: Vec<FieldChange> },
    Close(Close),
    Event(Event),
}

/// Values of one metric in a batch.
#[derive(Debug, Default)]
pub(crate) struct MetricColumns {
    floats: (Vec<u32>, Vec<f64>),
    ints: (Vec<u32>, Vec<i64>),
    bools: (Vec<u32>, Vec<bool>),
    texts: (Vec<u32>, Vec<String>),
    /// The last value written and the time of its row.
    pub(crate) last: Option<(Value, i64)>,
    last_row: Option<u32>,
}

/// Consecutive frames of one writer.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) writer: WriterId,
    /// The start record, as found in the file.
    pub(crate) start: Option<Box<Start>>,
    /// What the database has of the writer's frames.
    pub(crate) base: Progress,
    /// What it has with this batch.
    pub(crate) progress: Progress,
    pub(crate) steps: Vec<i64>,
    pub(crate) times: Vec<i64>,
    /// The lowest and highest sequence of its rows.
    pub(crate) row_sequences: Option<(u64, u64)>,
    /// Names and columns by the metric's index in the file.
    pub(crate) metrics: Vec<(Option<String>, MetricColumns)>,
    /// The shapes of the file's rows.
    shapes: Shapes,
    pub(crate) deeds: Vec<Deed>,
    /// The latest time that any frame carries.
    pub(crate) heard: i64,
    cells: usize,
    text_bytes: usize,
    columns: usize,
}

impl Batch {
    /// Makes an empty batch that goes on where the database stands.
    pub(crate) fn after(writer: WriterId, base: Progress) -> Self {
        Batch { writer, progress: base.clone(), base, ..Batch::default() }
    }

    /// Empties the batch for the frames that follow, keeping what later frames refer to: names and the start.
    pub(crate) fn next(&mut self) {
        let names = std::mem::take(&mut self.metrics).into_iter().map(|(name, _)| (name, MetricColumns::default()));
        let (metrics, start, shapes) = (names.collect(), self.start.take(), std::mem::take(&mut self.shapes));
        *self = Batch {
            metrics,
            start,
            shapes,
            heard: self.heard,
            ..Batch::after(self.writer, std::mem::take(&mut self.progress))
        };
    }

    /// Forgets the names and shapes of a file before the next file of the writer is read.
    pub(crate) fn next_file(&mut self) {
        self.metrics.clear();
        self.shapes.clear();
    }

    pub(crate) fn rows(&self) -> usize {
        self.steps.len()
    }

    /// Returns true if nothing was taken in.
    pub(crate) fn is_empty(&self) -> bool {
        self.progress == self.base
    }

    /// Returns true if the batch should be stored before more is taken in.
    pub(crate) fn is_full(&self) -> bool {
        self.rows() >= ROWS_MAX
            || self.cells >= CELLS_MAX
            || self.text_bytes >= TEXT_BYTES_MAX
            || self.columns >= COLUMNS_MAX
    }

    /// Takes in one frame. Frames of sequence 0 set start and names, and nothing else, as they stand in every file; of
    /// frames that were taken in before only the names count.
    pub(crate) fn take(&mut self, sequence: u64, plain: &[u8]) -> Result<()> {
        let known = sequence != 0 && !self.progress.take(sequence);
        let mut shapes = std::mem::take(&mut self.shapes);
        let taken = self.take_records(sequence, known, Records::new(plain, &mut shapes));
        self.shapes = shapes;
        taken
    }

    fn take_records(&mut self, sequence: u64, known: bool, records: Records<'_>) -> Result<()> {
        for record in records {
            let record = record
                .map_err(|cause| Error::format(format_args!("frame {sequence} of writer {}", self.writer), cause))?;
            let fits = match record {
                Record::Start(_) => sequence == 0,
                Record::Metric { .. } | Record::Shape { .. } => true,
                _ => sequence != 0,
            };
            if !fits {
                let message =
                    format!("frame {sequence} of writer {}: a record that does not belong there", self.writer);
                return Err(Error::damaged(message));
            }
            match record {
                Record::Start(start) => {
                    self.heard = self.heard.max(start.started);
                    self.start.get_or_insert(start);
                }
                Record::Metric { index, name } => self.name_metric(index, name)?,
                // The reader of records keeps it.
                Record::Shape { .. } => {}
                _ if known => {}
                Record::Row { step, time, values } => self.take_row(sequence, step, time, values)?,
                Record::Fields { clock, fields } => self.deeds.push(Deed::Fields { clock, fields }),
                Record::Heartbeat { time } => self.heard = self.heard.max(time),
                Record::Close(close) => {
                    self.heard = self.heard.max(close.time);
                    self.deeds.push(Deed::Close(close));
                }
                Record::Event(event) => self.deeds.push(Deed::Event(event)),
            }
        }
        Ok(())
    }

    fn name_metric(&mut self, index: u32, name: String) -> Result<()> {
        let index = index as usize;
        if index >= self.metrics.len() + NAME_GAP_MAX {
            return Err(Error::damaged(format!("writer {}: metric {index} is named far out of order", self.writer)));
        }
        if index >= self.metrics.len() {
            // A gap is left by a damaged frame, which the reader reports: only the metrics that it named suffer.
            self.metrics.resize_with(index + 1, Default::default);
        }
        match self.metrics.get_mut(index) {
            Some((Some(known), _)) if *known != name => {
                Err(Error::damaged(format!("writer {}: metric {index} has two names", self.writer)))
            }
            Some((known, _)) => {
                *known = Some(name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn take_row(&mut self, sequence: u64, step: i64, time: i64, values: Vec<(u32, Value)>) -> Result<()> {
        let row = u32::try_from(self.rows()).unwrap_or(u32::MAX);
        self.steps.push(step);
        self.times.push(time);
        self.heard = self.heard.max(time);
        let (first, last) = self.row_sequences.unwrap_or((sequence, sequence));
        self.row_sequences = Some((first.min(sequence), last.max(sequence)));
        self.cells += values.len();
        for (index, value) in values {
            let Some((Some(_), columns)) = self.metrics.get_mut(index as usize) else { continue };
            if let Value::Text(text) = &value {
                self.text_bytes += text.len();
            }
            let before = columns.kinds();
            columns.push(row, time, value);
            self.columns += columns.kinds().saturating_sub(before);
        }
        Ok(())
    }
}

impl MetricColumns {
    /// Adds the value of a row. Of a key given twice in one call the later value stands, whatever its kind.
    pub(crate) fn push(&mut self, row: u32, time: i64, value: Value) {
        fn take_back<T>(column: &mut (Vec<u32>, Vec<T>), row: u32) {
            if column.0.last() == Some(&row) {
                column.0.pop();
                column.1.pop();
            }
        }
        fn put<T>(column: &mut (Vec<u32>, Vec<T>), row: u32, value: T) {
            column.0.push(row);
            column.1.push(value);
        }
        if self.last_row == Some(row) {
            take_back(&mut self.floats, row);
            take_back(&mut self.ints, row);
            take_back(&mut self.bools, row);
            take_back(&mut self.texts, row);
        }
        match &value {
            Value::Float(float) => put(&mut self.floats, row, *float),
            Value::Int(int) => put(&mut self.ints, row, *int),
            Value::Bool(bool) => put(&mut self.bools, row, *bool),
            Value::Text(text) => put(&mut self.texts, row, text.clone()),
        }
        self.last = Some((value, time));
        self.last_row = Some(row);
    }

    /// Returns how many kinds of value there are, each a column.
    fn kinds(&self) -> usize {
        [self.floats.0.len(), self.ints.0.len(), self.bools.0.len(), self.texts.0.len()]
            .iter()
            .filter(|len| **len > 0)
            .count()
    }

    /// Returns the columns, one for each kind of value seen; `rows` is the number of rows of the group.
    pub(crate) fn into_columns(self, series: u32, rows: usize) -> Vec<Column> {
        let presence =
            |present: Vec<u32>| if present.len() == rows { Presence::Dense } else { Presence::Rows(present) };
        let mut out = Vec::new();
        let mut add = |present: Vec<u32>, values: Values| {
            if !present.is_empty() {
                out.push(Column { series, presence: presence(present), values });
            }
        };
        add(self.floats.0, Values::Float(self.floats.1));
        add(self.ints.0, Values::Int(self.ints.1));
        add(self.bools.0, Values::Bool(self.bools.1));
        add(self.texts.0, Values::Text(self.texts.1));
        out
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }
}
