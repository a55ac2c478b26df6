//! What a handle knows of all runs: blocks, and the runs that were changed since, by their records.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, OnceLock};

use runcellar_format::ObjectId;
use runcellar_format::record::{Body, CatalogueDirectory, Project, SeriesEntry};
use runcellar_format::seal::Kind;

use super::block::{Block, SharedBlock};
use super::directory::{self, DIRECTORY};
use crate::db::{ObjectKey, ObjectRow, ReadTx};
use crate::ingest::data::RunData;
use crate::keys::Keyring;
use crate::monitor::Monitor;
use crate::query::RunInfo;
use crate::{ErrorKind, Result};

/// A run that is read from its record.
pub(crate) struct Fresh {
    pub(crate) info: RunInfo,
    series: OnceLock<Vec<SeriesEntry>>,
}

impl Fresh {
    pub(crate) fn new(info: RunInfo) -> Fresh {
        Fresh { info, series: OnceLock::new() }
    }

    /// Returns a run with its series as they are in memory.
    pub(crate) fn with_series(info: RunInfo, series: Vec<SeriesEntry>) -> Fresh {
        Fresh { info, series: OnceLock::from(series) }
    }

    /// Reads the statistics of the run's metrics, unless they are known.
    pub(crate) fn load_series(&self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<()> {
        if self.series.get().is_none()
            && let Some(data) = RunData::load(tx, keyring, self.info.object)?
        {
            let _ = self.series.set(data.series.entries);
        }
        Ok(())
    }

    /// Returns the statistics of a metric, if they were loaded.
    pub(crate) fn series(&self, metric: &str) -> Option<&SeriesEntry> {
        self.series.get()?.iter().find(|entry| entry.name == metric && entry.points > 0)
    }
}

/// Object ids are random: they need no hashing.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type ById<T> = HashMap<ObjectId, T, BuildHasherDefault<IdHasher>>;

/// What a handle knows.
#[derive(Default)]
pub(crate) struct Known {
    /// The directory's row that the blocks are of; none before the first look, and where there is none.
    directory: Option<ObjectRow>,
    looked: bool,
    /// The catalogue is damaged: all runs are read from their records.
    broken: bool,
    pub(crate) blocks: Vec<SharedBlock>,
    /// For each block whether a row counts: no later one is of its run.
    pub(crate) current: Vec<Vec<bool>>,
    places: ById<(u32, u32)>,
    /// Runs that no block has as they are now.
    pub(crate) fresh: Vec<Arc<Fresh>>,
    fresh_places: ById<usize>,
    /// Runs whose records cannot be read, and why.
    unreadable: BTreeMap<[u8; 16], String>,
    /// Up to which change of each device all this speaks.
    seen: HashMap<ObjectId, u64>,
    pub(crate) projects: HashMap<ObjectId, String>,
}

impl Known {
    /// Brings it up to date with the database. Runs that cannot be read are told to the monitor.
    pub(crate) fn refresh(&mut self, tx: &ReadTx<'_>, keyring: &Keyring, monitor: &dyn Monitor) -> Result<()> {
        let row = tx.object(DIRECTORY)?;
        let same = self.looked && row.as_ref().map(|row| &row.body) == self.directory.as_ref().map(|row| &row.body);
        if !same {
            self.begin(tx, keyring, row, monitor)?;
        }
        let changes = directory::changes_since(tx, &self.seen, usize::MAX)?;
        if changes.projects {
            self.projects = project_names(tx, keyring);
        }
        for run in changes.runs {
            self.read_again(tx, keyring, run)?;
        }
        self.seen = changes.reached;
        for why in self.unreadable.values() {
            monitor.warn(&format!("{why}; runcellar check says more"));
        }
        Ok(())
    }

    /// Gives the catalogue up until another directory is written: the next look reads the records.
    pub(crate) fn give_up(&mut self, why: &crate::Error, monitor: &dyn Monitor) -> bool {
        let usable = !self.broken && self.directory.is_some();
        if usable {
            monitor.warn(&format!("{why}; runs are listed from their records; runcellar check says more"));
            (self.broken, self.looked) = (true, false);
        }
        usable
    }

    /// Returns where in the blocks a run is, if it is not read from its record.
    pub(crate) fn place(&self, run: ObjectId) -> Option<(u32, u32)> {
        self.places.get(&run).copied().filter(|_| !self.fresh_places.contains_key(&run))
    }

    /// Returns the place of a run among those that are read from their records.
    pub(crate) fn fresh_place(&self, run: ObjectId) -> Option<usize> {
        self.fresh_places.get(&run).copied()
    }

    /// Begins with another directory, keeping the blocks that it still names.
    fn begin(
        &mut self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        row: Option<ObjectRow>,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let broken = self.broken && self.directory.as_ref().map(|row| &row.body) == row.as_ref().map(|row| &row.body);
        let old = std::mem::take(&mut self.blocks);
        *self = Known { looked: true, broken, projects: project_names(tx, keyring), ..Known::default() };
        let opened = match row.as_ref().filter(|_| !broken) {
            Some(row) => open_blocks(tx, keyring, row, &old).map(Some),
            None => Ok(None),
        };
        self.directory = row;
        match opened {
            Ok(Some((directory, blocks))) => {
                self.seen = directory::covered(&directory);
                self.take_blocks(blocks);
                for run in directory.outside {
                    self.read_again(tx, keyring, ObjectId(run))?;
                }
            }
            Ok(None) => self.read_all(tx, keyring)?,
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::InvalidArgument) => {
                self.give_up(&error, monitor);
                self.looked = true;
                self.read_all(tx, keyring)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take_blocks(&mut self, blocks: Vec<SharedBlock>) {
        self.current = blocks.iter().map(|block| vec![true; block.runs.len()]).collect();
        self.places.reserve(blocks.iter().map(|block| block.runs.len()).sum());
        for (number, block) in (0..).zip(&blocks) {
            for (row, run) in (0..).zip(&block.runs) {
                if let Some(shadowed) = self.places.insert(*run, (number, row)) {
                    mark_shadowed(&mut self.current, shadowed);
                }
            }
        }
        self.blocks = blocks;
    }

    /// Reads every run from its record: there is no catalogue, or none that can be used.
    fn read_all(&mut self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<()> {
        for run in tx.object_ids(Kind::Run)? {
            self.read_again(tx, keyring, run)?;
        }
        self.seen = tx.devices()?.into_iter().collect();
        Ok(())
    }

    fn read_again(&mut self, tx: &ReadTx<'_>, keyring: &Keyring, run: ObjectId) -> Result<()> {
        // A run that is gone is in no listing, whatever a block says.
        let read = tx.object(ObjectKey::new(Kind::Run, run, 0))?.map(|row| self.info(tx, keyring, &row));
        let fresh = match read {
            Some(Ok(info)) => {
                self.unreadable.remove(&run.0);
                Some(Arc::new(Fresh::new(info)))
            }
            Some(Err(error)) => {
                self.unreadable.insert(run.0, error.to_string());
                None
            }
            None => None,
        };
        if let Some(shadowed) = self.places.remove(&run) {
            mark_shadowed(&mut self.current, shadowed);
        }
        match (self.fresh_places.get(&run).copied(), fresh) {
            (Some(place), Some(fresh)) => {
                if let Some(slot) = self.fresh.get_mut(place) {
                    *slot = fresh;
                }
            }
            (None, Some(fresh)) => {
                self.fresh_places.insert(run, self.fresh.len());
                self.fresh.push(fresh);
            }
            (Some(place), None) => {
                self.fresh_places.remove(&run);
                self.fresh.swap_remove(place);
                if let Some(moved) = self.fresh.get(place) {
                    self.fresh_places.insert(moved.info.object, place);
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Reads a run from its record.
    pub(crate) fn info(&self, tx: &ReadTx<'_>, keyring: &Keyring, row: &ObjectRow) -> Result<RunInfo> {
        let data = RunData::without_series(tx, keyring, row)?;
        RunInfo::of(&data, self.project_of(&data))
    }

    /// Returns the name of a run's project. A damaged project record costs the name only, which each run's start record
    /// repeats; `check` reports it.
    pub(crate) fn project_of(&self, data: &RunData) -> String {
        let known = self.projects.get(&ObjectId(data.record.project));
        known.unwrap_or(&data.record.start.project_name).clone()
    }
}

fn mark_shadowed(current: &mut [Vec<bool>], (block, row): (u32, u32)) {
    if let Some(current) = current.get_mut(block as usize).and_then(|rows| rows.get_mut(row as usize)) {
        *current = false;
    }
}

/// Opens the blocks of a directory, or takes those that are open already.
fn open_blocks(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    row: &ObjectRow,
    open: &[SharedBlock],
) -> Result<(CatalogueDirectory, Vec<SharedBlock>)> {
    let directory = directory::open_directory(tx, keyring, row)?;
    let mut blocks = Vec::with_capacity(directory.blocks.len());
    let mut ids = HashSet::new();
    for entry in &directory.blocks {
        if !ids.insert(entry.id) {
            return Err(crate::Error::damaged("catalogue directory: a block stands in it twice"));
        }
        let known = open.iter().find(|block| block.id.0 == entry.id);
        blocks.push(match known {
            Some(block) => block.clone(),
            None => Arc::new(Block::open(tx, keyring, entry)?),
        });
    }
    Ok((directory, blocks))
}

/// Returns the names of projects.
pub(crate) fn project_names(tx: &ReadTx<'_>, keyring: &Keyring) -> HashMap<ObjectId, String> {
    let name = |row: &ObjectRow| Some(Project::from_body(&tx.open_object(keyring, row).ok()?).ok()?.name);
    let rows = tx.objects(Kind::Project, None).unwrap_or_default();
    rows.iter().filter_map(|row| Some((row.key.id, name(row)?))).collect()
}
