//! A block in memory: its main part, the runs of its rows, and the columns that were asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use runcellar_format::ObjectId;
use runcellar_format::block::Presence;
use runcellar_format::catalogue::{BlockMain, CellKind, Cells, ColumnEntry, Shape, Space};
use runcellar_format::record::CatalogueBlock;
use runcellar_format::seal::Kind;
use runcellar_format::value::{Json, Value};

use super::rows;
use crate::db::{ObjectKey, ReadTx};
use crate::keys::Keyring;
use crate::{Error, Result};

/// A block of the catalogue.
pub(crate) struct Block {
    pub(crate) id: ObjectId,
    pub(crate) main: BlockMain,
    /// The run of each row.
    pub(crate) runs: Vec<ObjectId>,
    columns: Vec<OnceLock<Column>>,
    configs: OnceLock<Vec<Shaped>>,
    summaries: OnceLock<Vec<Shaped>>,
    /// Values that were read from series at the best step of another, by row.
    at_best: Mutex<HashMap<(u32, String, String), Option<Value>>>,
}

/// A shape, and for each of its leaves the column that has it.
pub(crate) struct Shaped {
    pub(crate) shape: Shape,
    pub(crate) leaves: Vec<Option<usize>>,
}

/// A decoded column.
pub(crate) struct Column {
    places: Places,
    pub(crate) cells: Cells,
}

/// Where in a column the value of a row is.
enum Places {
    /// Every row has one.
    Every,
    /// For each row its place, counted from 1; 0 if it has none.
    Slots(Vec<u32>),
    /// The rows that have one, rising: for columns that few rows have.
    Rows(Vec<u32>),
}

impl Column {
    fn new(presence: Presence, cells: Cells, rows: u32) -> Column {
        let places = match presence {
            Presence::Dense => Places::Every,
            Presence::Rows(present) if present.len() >= rows as usize / 8 => {
                let mut slots = vec![0; rows as usize];
                for (place, row) in (1..).zip(present) {
                    if let Some(slot) = slots.get_mut(row as usize) {
                        *slot = place;
                    }
                }
                Places::Slots(slots)
            }
            Presence::Rows(present) => Places::Rows(present),
        };
        Column { places, cells }
    }

    /// Returns where among the cells the value of a row is.
    pub(crate) fn place(&self, row: u32) -> Option<usize> {
        match &self.places {
            Places::Every => Some(row as usize),
            Places::Slots(slots) => (*slots.get(row as usize)? as usize).checked_sub(1),
            Places::Rows(rows) => rows.binary_search(&row).ok(),
        }
    }

    pub(crate) fn int(&self, row: u32) -> Option<i64> {
        match &self.cells {
            Cells::Int(all) => all.get(self.place(row)?).copied(),
            _ => None,
        }
    }

    pub(crate) fn float(&self, row: u32) -> Option<f64> {
        match &self.cells {
            Cells::Float(all) => all.get(self.place(row)?).copied(),
            _ => None,
        }
    }

    pub(crate) fn text(&self, row: u32) -> Option<&str> {
        match &self.cells {
            Cells::Text(codes, dictionary) => {
                dictionary.get(*codes.get(self.place(row)?)? as usize).map(String::as_str)
            }
            _ => None,
        }
    }

    pub(crate) fn nested(&self, row: u32) -> Option<&Json> {
        match &self.cells {
            Cells::Nested(codes, dictionary) => dictionary.get(*codes.get(self.place(row)?)? as usize),
            _ => None,
        }
    }

    /// Returns the number of a row's text in the dictionary.
    pub(crate) fn code(&self, row: u32) -> Option<usize> {
        match &self.cells {
            Cells::Text(codes, _) => codes.get(self.place(row)?).map(|code| *code as usize),
            _ => None,
        }
    }
}

impl Block {
    /// Opens a block that the directory names.
    pub(crate) fn open(tx: &ReadTx<'_>, keyring: &Keyring, entry: &CatalogueBlock) -> Result<Block> {
        let id = ObjectId(entry.id);
        let main = BlockMain::decode(&part(tx, keyring, id, 0)?).map_err(|cause| named(id, cause))?;
        if main.rows != entry.rows || main.parts() != entry.parts {
            return Err(Error::damaged(format!("catalogue block {id}: not the one that the directory names")));
        }
        let columns = main.columns.iter().map(|_| OnceLock::new()).collect();
        let (configs, summaries) = (OnceLock::new(), OnceLock::new());
        let mut block = Block { id, main, runs: Vec::new(), columns, configs, summaries, at_best: Mutex::default() };
        let halves = [rows::RUN_FIRST, rows::RUN_LAST].map(|name| block.main.find(Space::Field, name, CellKind::Int));
        block.load(tx, keyring, halves.iter().copied().flatten())?;
        let half = |index: Option<usize>| index.and_then(|index| block.column(index));
        let halves = (half(halves[0]), half(halves[1]));
        let run = |row| {
            let halves = (halves.0?.int(row)?.to_le_bytes(), halves.1?.int(row)?.to_le_bytes());
            Some(ObjectId([halves.0, halves.1].concat().try_into().ok()?))
        };
        let runs: Option<Vec<ObjectId>> = (0..block.main.rows).map(run).collect();
        block.runs = runs.ok_or_else(|| Error::damaged(format!("catalogue block {id}: a row without a run")))?;
        Ok(block)
    }

    /// Decodes columns, unless they are already.
    pub(crate) fn load(
        &self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        wanted: impl IntoIterator<Item = usize>,
    ) -> Result<()> {
        let mut opened: Option<(u32, Vec<u8>)> = None;
        for index in wanted {
            let (Some(entry), Some(slot)) = (self.main.columns.get(index), self.columns.get(index)) else { continue };
            if slot.get().is_some() {
                continue;
            }
            if opened.as_ref().is_none_or(|(number, _)| *number != entry.part) {
                opened = Some((entry.part, part(tx, keyring, self.id, entry.part)?));
            }
            let Some((_, part)) = &opened else { continue };
            let column = entry.decode(part).map_err(|cause| named(self.id, cause))?;
            // Another thread cannot be at it: the caller has the cache locked.
            let _ = slot.set(Column::new(column.presence, column.cells, self.main.rows));
        }
        Ok(())
    }

    /// Decodes all columns, and checks that the parts end where the columns do.
    pub(crate) fn load_all(&self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<()> {
        self.load(tx, keyring, 0..self.main.columns.len())?;
        for pair in self.main.columns.windows(2).filter(|pair| pair[0].part != pair[1].part).map(|pair| &pair[0]) {
            self.check_end(tx, keyring, pair)?;
        }
        self.main.columns.last().map_or(Ok(()), |last| self.check_end(tx, keyring, last))
    }

    fn check_end(&self, tx: &ReadTx<'_>, keyring: &Keyring, last: &ColumnEntry) -> Result<()> {
        if last.ends(&part(tx, keyring, self.id, last.part)?) {
            return Ok(());
        }
        Err(Error::damaged(format!("catalogue block {}: part {} has another length", self.id, last.part)))
    }

    /// Decodes all columns of some kinds of thing.
    pub(crate) fn load_spaces(&self, tx: &ReadTx<'_>, keyring: &Keyring, spaces: &[Space]) -> Result<()> {
        let wanted = self.main.columns.iter().enumerate().filter(|(_, column)| spaces.contains(&column.space));
        self.load(tx, keyring, wanted.map(|(index, _)| index))
    }

    /// Returns a column that was loaded.
    pub(crate) fn column(&self, index: usize) -> Option<&Column> {
        self.columns.get(index)?.get()
    }

    /// Returns a column of the fields that was loaded.
    pub(crate) fn field(&self, name: &str, kind: CellKind) -> Option<&Column> {
        self.column(self.main.find(Space::Field, name, kind)?)
    }

    /// Returns the shapes of configs by code; the column must be loaded.
    pub(crate) fn config_shapes(&self) -> Result<&[Shaped]> {
        self.shapes(&self.configs, Space::Config, rows::CONFIG)
    }

    /// Returns the shapes of summaries by code; the column must be loaded.
    pub(crate) fn summary_shapes(&self) -> Result<&[Shaped]> {
        self.shapes(&self.summaries, Space::Summary, rows::SUMMARY)
    }

    fn shapes<'a>(&'a self, known: &'a OnceLock<Vec<Shaped>>, space: Space, field: &str) -> Result<&'a [Shaped]> {
        if let Some(shapes) = known.get() {
            return Ok(shapes);
        }
        let column = self.field(field, CellKind::Text);
        let texts = match column.map(|column| &column.cells) {
            Some(Cells::Text(_, texts)) => texts.as_slice(),
            _ => return Err(Error::damaged(format!("catalogue block {}: no {field}", self.id))),
        };
        let shaped = |text: &String| {
            let shape = Shape::from_text(text).map_err(|cause| named(self.id, cause))?;
            let mut leaves = Vec::new();
            shape.leaves(&mut |name, kind| leaves.push(self.main.find(space, name, kind)));
            Ok(Shaped { shape, leaves })
        };
        let shapes = texts.iter().map(shaped).collect::<Result<Vec<_>>>()?;
        Ok(known.get_or_init(|| shapes))
    }

    /// Returns what was read of a run's series before, or reads it.
    pub(crate) fn at_best(
        &self,
        row: u32,
        metric: &str,
        key: &str,
        read: impl FnOnce() -> Result<Option<Value>>,
    ) -> Result<Option<Value>> {
        let place = (row, metric.to_owned(), key.to_owned());
        if let Some(known) = self.at_best.lock().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Ok(known.clone());
        }
        let value = read()?;
        self.at_best.lock().unwrap_or_else(PoisonError::into_inner).insert(place, value.clone());
        Ok(value)
    }
}

pub(super) fn named(id: ObjectId, cause: runcellar_format::FormatError) -> Error {
    Error::format(format_args!("catalogue block {id}"), cause)
}

fn part(tx: &ReadTx<'_>, keyring: &Keyring, id: ObjectId, number: u32) -> Result<Vec<u8>> {
    let row = tx.object(ObjectKey::new(Kind::Catalogue, id, number.into()))?;
    let row = row.ok_or_else(|| Error::damaged(format!("catalogue block {id}: part {number} is missing")))?;
    tx.open_object(keyring, &row).map_err(|cause| {
        let message = cause.to_string();
        let named = if message.starts_with("catalogue") { message } else { format!("catalogue block {id}: {message}") };
        Error::new(cause.kind(), named).with_cause(cause)
    })
}

/// Blocks are shared by a handle's looks at them.
pub(crate) type SharedBlock = Arc<Block>;
