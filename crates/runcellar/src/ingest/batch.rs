//! A batch: consecutive frames of one writer, turned from rows into columns.

use std::sync::Arc;

use runcellar_format::block::{Column, Presence, Values};
use runcellar_format::histogram::Histogram;
use runcellar_format::journal::{Record, Records, Shapes};
use runcellar_format::record::{Close, Event, FieldChange, FieldId, Start};
use runcellar_format::value::Value;
use runcellar_format::{FormatError, MediaId, WriterId};

use super::progress::Progress;
use crate::interned::Texts;
use crate::own::is_own;
use crate::{Error, Result};

/// Rows of one block group: pco gains nothing beyond.
pub(crate) const ROWS_MAX: usize = 4096;
/// Cells of one batch, which bounds memory when calls carry thousands of metrics.
pub(super) const CELLS_MAX: usize = 1 << 20;
/// Bytes of texts and histograms in one batch.
pub(super) const LONG_BYTES_MAX: usize = 16 << 20;
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

impl Deed {
    /// Returns true if it says how metrics are summarised.
    pub(super) fn defines_metrics(&self) -> bool {
        matches!(self, Deed::Fields { fields, .. } if fields.iter().any(|field| field.field == FieldId::Metric))
    }
}

/// Values of one metric in a batch.
#[derive(Debug, Default)]
pub(crate) struct MetricColumns {
    floats: (Vec<u32>, Vec<f64>),
    ints: (Vec<u32>, Vec<i64>),
    bools: (Vec<u32>, Vec<bool>),
    texts: (Vec<u32>, Vec<String>),
    histograms: (Vec<u32>, Vec<Histogram>),
    media: (Vec<u32>, Vec<MediaId>),
    /// The last value written and the time of its row.
    pub(crate) last: Option<(Value, i64)>,
    last_row: Option<u32>,
}

/// A metric with its values in a batch.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: Arc<str>,
    pub(crate) columns: MetricColumns,
    /// Its index in the file.
    index: usize,
}

/// A metric's index in a file: the number of its name, and where it stands in the batch, if rows had values of it.
/// There may be millions, so [`NONE`] stands for neither.
#[derive(Debug, Clone, Copy)]
struct Name {
    text: u32,
    place: u32,
}

const NONE: u32 = u32::MAX;

/// What a file calls its metrics.
#[derive(Debug, Default)]
struct FileNames {
    texts: Texts,
    /// By the metric's index in the file.
    list: Vec<Name>,
}

impl FileNames {
    fn get(&self, index: usize) -> Option<&str> {
        self.texts.get(self.list.get(index)?.text)
    }
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
    /// The highest step of a user's row; the store's own rows have steps of their own.
    pub(crate) last_step: Option<i64>,
    /// The lowest and highest sequence of its rows.
    pub(crate) row_sequences: Option<(u64, u64)>,
    /// The metrics that its rows have values of, in order of first use.
    pub(crate) metrics: Vec<Metric>,
    /// Frames to come refer to all of them.
    names: FileNames,
    /// The shapes of the file's rows.
    shapes: Shapes,
    pub(crate) deeds: Vec<Deed>,
    /// The latest time that any frame carries.
    pub(crate) heard: i64,
    cells: usize,
    long_bytes: usize,
    columns: usize,
}

impl Batch {
    /// Makes an empty batch that goes on where the database stands.
    pub(crate) fn after(writer: WriterId, base: Progress) -> Self {
        Batch { writer, progress: base.clone(), base, ..Batch::default() }
    }

    /// Takes out what is to be stored, and keeps what later frames refer to: names, shapes, the start.
    pub(super) fn detach(&mut self) -> Batch {
        for metric in &self.metrics {
            if let Some(name) = self.names.list.get_mut(metric.index) {
                name.place = NONE;
            }
        }
        let next = Batch {
            names: std::mem::take(&mut self.names),
            shapes: std::mem::take(&mut self.shapes),
            start: self.start.clone(),
            heard: self.heard,
            ..Batch::after(self.writer, self.progress.clone())
        };
        std::mem::replace(self, next)
    }

    /// Forgets the names and shapes of a file before the next file of the writer is read.
    pub(crate) fn next_file(&mut self) {
        self.names = FileNames::default();
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
            || self.long_bytes >= LONG_BYTES_MAX
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
        let rows = self.rows();
        for record in records {
            let record = match record {
                Ok(record) => record,
                // The frame that said the shape is damaged, and reported: no other frame suffers but this one.
                Err(FormatError::UnknownShape { .. }) => {
                    if sequence != 0 && !known && self.rows() == rows {
                        self.progress.give_back(sequence);
                    }
                    return Ok(());
                }
                Err(cause) => {
                    return Err(Error::format(format_args!("frame {sequence} of writer {}", self.writer), cause));
                }
            };
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
                Record::Metric { index, name } => self.name_metric(index, &name)?,
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

    fn name_metric(&mut self, index: u32, name: &str) -> Result<()> {
        let index = index as usize;
        let FileNames { texts, list } = &mut self.names;
        if index >= list.len() + NAME_GAP_MAX {
            return Err(Error::damaged(format!("writer {}: metric {index} is named far out of order", self.writer)));
        }
        if index >= list.len() {
            // A gap is left by a damaged frame, which the reader reports: only the metrics that it named suffer.
            list.resize(index + 1, Name { text: NONE, place: NONE });
        }
        match list.get_mut(index) {
            Some(known) if known.text == NONE => known.text = texts.push(name).unwrap_or(NONE),
            Some(known) if texts.get(known.text) != Some(name) => {
                return Err(Error::damaged(format!("writer {}: metric {index} has two names", self.writer)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns where a metric stands in the batch, adding it if need be; `None` if the file gave it no name.
    fn place_of(&mut self, index: u32) -> Option<usize> {
        let index = index as usize;
        let FileNames { texts, list } = &mut self.names;
        let name = list.get_mut(index)?;
        if name.place == NONE {
            let text = texts.get(name.text)?.into();
            name.place = u32::try_from(self.metrics.len()).ok()?;
            self.metrics.push(Metric { name: text, columns: MetricColumns::default(), index });
        }
        Some(name.place as usize)
    }

    fn take_row(&mut self, sequence: u64, step: i64, time: i64, values: Vec<(u32, Value)>) -> Result<()> {
        let row = u32::try_from(self.rows()).unwrap_or(u32::MAX);
        self.steps.push(step);
        self.times.push(time);
        self.heard = self.heard.max(time);
        let (first, last) = self.row_sequences.unwrap_or((sequence, sequence));
        self.row_sequences = Some((first.min(sequence), last.max(sequence)));
        self.cells += values.len();
        let is_own_metric = |index: u32| self.names.get(index as usize).is_some_and(is_own);
        if values.is_empty() || !values.iter().all(|(index, _)| is_own_metric(*index)) {
            self.last_step = self.last_step.max(Some(step));
        }
        for (index, value) in values {
            let Some(place) = self.place_of(index) else { continue };
            let Some(Metric { columns, .. }) = self.metrics.get_mut(place) else { continue };
            self.long_bytes += match &value {
                Value::Text(text) => text.len(),
                Value::Histogram(histogram) => histogram.numbers() * size_of::<f64>(),
                _ => 0,
            };
            let before = columns.kinds();
            columns.push(row, time, value);
            self.columns += columns.kinds().saturating_sub(before);
        }
        Ok(())
    }
}

impl Batch {
    /// Takes out the rows that `goes` names by step and time, with their values; none if it names none.
    pub(crate) fn split_off(&mut self, goes: impl Fn(i64, i64) -> bool) -> Option<Batch> {
        let going: Vec<bool> = self.steps.iter().zip(&self.times).map(|(step, time)| goes(*step, *time)).collect();
        if !going.contains(&true) {
            return None;
        }
        let mut gone = Batch { row_sequences: self.row_sequences, ..Batch::after(self.writer, Progress::default()) };
        let mut places = Vec::with_capacity(going.len());
        let rows = std::mem::take(&mut self.steps).into_iter().zip(std::mem::take(&mut self.times));
        for ((step, time), goes) in rows.zip(&going) {
            let side = if *goes { &mut gone } else { &mut *self };
            places.push(u32::try_from(side.rows()).unwrap_or(u32::MAX));
            side.steps.push(step);
            side.times.push(time);
        }
        if self.steps.is_empty() {
            self.row_sequences = None;
        }
        self.last_step = self.last_step.and(self.steps.iter().max().copied());
        for metric in &mut self.metrics {
            let cells = std::mem::take(&mut metric.columns).into_cells();
            let mut columns = MetricColumns::default();
            for (row, value) in cells {
                let (Some(goes), Some(place)) = (going.get(row as usize), places.get(row as usize)) else { continue };
                let (side, times) =
                    if *goes { (&mut columns, &gone.times) } else { (&mut metric.columns, &self.times) };
                side.push(*place, times.get(*place as usize).copied().unwrap_or_default(), value);
            }
            if columns.last.is_some() {
                gone.metrics.push(Metric { name: metric.name.clone(), columns, index: metric.index });
            }
        }
        Some(gone)
    }
}

impl MetricColumns {
    /// Returns all values with their rows, by row.
    fn into_cells(self) -> Vec<(u32, Value)> {
        fn cells<T>(
            (rows, values): (Vec<u32>, Vec<T>),
            value: impl Fn(T) -> Value,
        ) -> impl Iterator<Item = (u32, Value)> {
            rows.into_iter().zip(values.into_iter().map(value))
        }
        let mut all: Vec<(u32, Value)> = cells(self.floats, Value::Float)
            .chain(cells(self.ints, Value::Int))
            .chain(cells(self.bools, Value::Bool))
            .chain(cells(self.texts, Value::Text))
            .chain(cells(self.histograms, Value::from))
            .chain(cells(self.media, Value::Media))
            .collect();
        all.sort_by_key(|(row, _)| *row);
        all
    }

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
            take_back(&mut self.histograms, row);
            take_back(&mut self.media, row);
        }
        match &value {
            Value::Float(float) => put(&mut self.floats, row, *float),
            Value::Int(int) => put(&mut self.ints, row, *int),
            Value::Bool(bool) => put(&mut self.bools, row, *bool),
            Value::Text(text) => put(&mut self.texts, row, text.clone()),
            Value::Histogram(histogram) => put(&mut self.histograms, row, (**histogram).clone()),
            Value::Media(id) => put(&mut self.media, row, *id),
        }
        self.last = Some((value, time));
        self.last_row = Some(row);
    }

    /// Returns how many kinds of value there are, each a column.
    fn kinds(&self) -> usize {
        let columns = [&self.floats.0, &self.ints.0, &self.bools.0, &self.texts.0, &self.histograms.0, &self.media.0];
        columns.iter().filter(|rows| !rows.is_empty()).count()
    }

    /// Takes the columns out, one for each kind of value seen; `rows` is the number of rows of the group.
    pub(crate) fn take_columns(&mut self, series: u32, rows: usize) -> Vec<Column> {
        let presence =
            |present: Vec<u32>| if present.len() == rows { Presence::Dense } else { Presence::Rows(present) };
        let mut out = Vec::new();
        let mut add = |present: Vec<u32>, values: Values| {
            if !present.is_empty() {
                out.push(Column { series, presence: presence(present), values });
            }
        };
        let (floats, ints) = (std::mem::take(&mut self.floats), std::mem::take(&mut self.ints));
        let (bools, texts) = (std::mem::take(&mut self.bools), std::mem::take(&mut self.texts));
        add(floats.0, Values::Float(floats.1));
        add(ints.0, Values::Int(ints.1));
        add(bools.0, Values::Bool(bools.1));
        add(texts.0, Values::Text(texts.1));
        let histograms = std::mem::take(&mut self.histograms);
        add(histograms.0, Values::Histogram(histograms.1));
        let media = std::mem::take(&mut self.media);
        add(media.0, Values::Media(media.1));
        out
    }
}
