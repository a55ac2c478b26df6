//! Folding what has changed into blocks.
//!
//! Blocks are never changed: a fold writes new ones under new ids and keys, says so in the directory, and removes those
//! that it replaces with their keys, so that what stood in them can be purged. It takes up the runs that were changed
//! since the last fold, and the current rows of blocks that are short or mostly shadowed: each row is written again
//! a bounded number of times. Blocks are made from records in a read transaction, and speak of the changes that this
//! one saw; the write transaction only puts them in, and gives way if another process has folded meanwhile.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use runcellar_format::ObjectId;
use runcellar_format::catalogue::{BLOCK_ROWS_MAX, BlockWriter};
use runcellar_format::record::{Body, CatalogueBlock, CatalogueDirectory, SeriesEntry};
use runcellar_format::seal::Kind;

use super::block::Block;
use super::directory::{self, DIRECTORY};
use super::known::project_names;
use super::rows;
use crate::db::{Cover, ObjectKey, ObjectRow, ReadTx, WORKSPACE_OWNER, WriteTx};
use crate::ingest::data::RunData;
use crate::keys::{Keyring, Purpose};
use crate::query::RunInfo;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, io};

/// Changes since the last fold from which another is due. A run of a minute makes about three, so a new process reads
/// some thousand records at most, which takes 40 ms.
const FOLD_AFTER_CHANGES: u64 = 3_072;

/// The most changed runs that one fold takes up: it holds their blocks, some 2 KB a run, in memory.
const FOLD_RUNS_MAX: usize = 32_768;

/// The most changed runs that the end of a run takes up: half a second's work. What is left, others do.
const FOLD_RUNS_AT_FINISH: usize = 4_096;

/// The most blocks that one fold takes apart, which bounds how long it takes.
const FOLD_BLOCKS_MAX: usize = 4;

/// How long a fold waits for other writers: nobody waits for a catalogue.
const FOLD_WAIT: Duration = Duration::from_millis(250);

/// Folds if it is due. Nobody is told if that fails: the catalogue is then as useful as it was, or of no use, which a
/// reader says.
pub(crate) fn fold_if_due(inner: &Inner) {
    // A fold takes a bounded number of runs, so there may be more to do.
    while matches!(is_due(inner), Ok(true)) {
        if !matches!(fold(inner), Ok(true)) {
            break;
        }
    }
}

/// Folds some of what is due, at the end of a run, which nobody wants to wait for.
pub(crate) fn fold_some_if_due(inner: &Inner) {
    if matches!(is_due(inner), Ok(true)) {
        // As with the others, a fold that fails leaves the catalogue as useful as it was.
        let _ = fold_up_to(inner, FOLD_RUNS_AT_FINISH);
    }
}

fn is_due(inner: &Inner) -> Result<bool> {
    inner.read(|tx, keyring| {
        let directory = match tx.object(DIRECTORY)? {
            Some(row) => directory::open_directory(tx, keyring, &row)?,
            None => CatalogueDirectory::default(),
        };
        let outside = directory.outside.len() as u64;
        Ok(directory::changes_uncovered(tx, &directory)?.max(outside) > FOLD_AFTER_CHANGES)
    })
}

/// Folds what has changed; returns false if there was nothing to do, or another process did it.
///
/// # Errors
/// If the catalogue is damaged, or the workspace cannot be read or written.
pub(crate) fn fold(inner: &Inner) -> Result<bool> {
    fold_up_to(inner, FOLD_RUNS_MAX)
}

fn fold_up_to(inner: &Inner, runs_max: usize) -> Result<bool> {
    let Some(plan) = inner.read(|tx, keyring| Plan::make(tx, keyring, runs_max))? else { return Ok(false) };
    inner.write(Some(FOLD_WAIT), |tx| plan.carry_out(tx))
}

/// What a fold will write.
struct Plan {
    /// The directory that it starts from.
    before: Option<ObjectRow>,
    /// The directory that it leaves, but for the new blocks, which get their ids when they are written.
    directory: CatalogueDirectory,
    made: Vec<(u32, Vec<Vec<u8>>)>,
    gone: Vec<ObjectId>,
}

impl Plan {
    fn make(tx: &ReadTx<'_>, keyring: &Keyring, runs_max: usize) -> Result<Option<Plan>> {
        let before = tx.object(DIRECTORY)?;
        let old = match &before {
            Some(row) => directory::open_directory(tx, keyring, row)?,
            None => CatalogueDirectory::default(),
        };
        let changes = directory::changes_since(tx, &directory::covered(&old), runs_max)?;
        let nothing_changed = changes.runs.is_empty();
        let mut runs = changes.runs;
        let mut changed: HashSet<ObjectId> = runs.iter().copied().collect();
        // Those that no block holds may fit one now, and lost theirs if another run in it was removed for good.
        let outside = old.outside.iter().copied().map(ObjectId).filter(|run| changed.insert(*run));
        runs.extend(outside.collect::<Vec<_>>());
        if runs.is_empty() {
            return Ok(None);
        }
        let blocks = old.blocks.iter().map(|entry| Block::open(tx, keyring, entry)).collect::<Result<Vec<_>>>()?;
        let mut newest: HashMap<ObjectId, usize> = HashMap::new();
        for (number, block) in blocks.iter().enumerate() {
            newest.extend(block.runs.iter().map(|run| (*run, number)));
        }
        let current = |number: usize, block: &Block| {
            let is_current = |run: &ObjectId| newest.get(run) == Some(&number) && !changed.contains(run);
            block.runs.iter().copied().filter(is_current).collect::<Vec<_>>()
        };
        let mut gone = Vec::new();
        for (number, block) in blocks.iter().enumerate() {
            let living = current(number, block);
            let short = number + 1 == blocks.len() && living.len() < BLOCK_ROWS_MAX as usize;
            let shadowed = living.len() * 2 < block.runs.len();
            if living.is_empty() || ((short || shadowed) && gone.len() < FOLD_BLOCKS_MAX) {
                runs.extend(living);
                gone.push(block.id);
            }
        }
        let mut makes = Makes::default();
        let projects = project_names(tx, keyring);
        for run in runs {
            makes.take(tx, keyring, run, &projects)?;
        }
        makes.finish_block()?;
        if nothing_changed && makes.blocks.is_empty() && makes.outside.len() == old.outside.len() {
            return Ok(None);
        }
        let kept = old.blocks.iter().filter(|entry| !gone.contains(&ObjectId(entry.id))).cloned().collect();
        let outside = makes.outside.iter().map(|run| run.0).collect();
        let mut covered: Vec<([u8; 16], u64)> =
            changes.reached.into_iter().map(|(device, seq)| (device.0, seq)).collect();
        covered.sort_unstable();
        let directory = CatalogueDirectory { blocks: kept, covered, outside, extra: old.extra };
        Ok(Some(Plan { before, directory, made: makes.blocks, gone }))
    }

    fn carry_out(mut self, tx: &mut WriteTx<'_>) -> Result<bool> {
        if tx.object(DIRECTORY)? != self.before {
            return Ok(false);
        }
        let wrapping = tx.keyring.epoch_key(tx.epoch().id)?;
        for (rows, parts) in self.made {
            let id = ObjectId(io::random(tx.io)?);
            let key = tx.draw_key(id, Purpose::Catalogue, &wrapping)?;
            for (position, part) in (0..).zip(&parts) {
                tx.put(ObjectKey::new(Kind::Catalogue, id, position), None, &key, part, Cover::Root)?;
            }
            let parts = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            self.directory.blocks.push(CatalogueBlock { id: id.0, rows, parts });
        }
        let key = tx.workspace_key(tx.keyring, Purpose::Integrity)?;
        let body = self.directory.to_body().map_err(|cause| Error::format("catalogue directory", cause))?;
        tx.put(DIRECTORY, None, &key, &body, Cover::Root)?;
        for id in self.gone.into_iter().filter(|id| *id != WORKSPACE_OWNER) {
            tx.remove_with_keys(Kind::Catalogue, id)?;
        }
        Ok(true)
    }
}

/// The blocks that a fold makes.
#[derive(Default)]
struct Makes {
    blocks: Vec<(u32, Vec<Vec<u8>>)>,
    outside: Vec<ObjectId>,
    writer: BlockWriter,
}

impl Makes {
    fn take(
        &mut self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        run: ObjectId,
        projects: &HashMap<ObjectId, String>,
    ) -> Result<()> {
        let Some((info, series)) = read(tx, keyring, run, projects, &mut self.outside)? else { return Ok(()) };
        if !rows::fits(&info, &series) {
            self.outside.push(run);
            return Ok(());
        }
        if self.writer.is_full() {
            self.finish_block()?;
        }
        rows::put(&mut self.writer, &info, &series).map_err(|cause| Error::format("catalogue block", cause))
    }

    fn finish_block(&mut self) -> Result<()> {
        let writer = std::mem::take(&mut self.writer);
        if writer.rows() > 0 {
            let rows = writer.rows();
            self.blocks.push((rows, writer.finish().map_err(|cause| Error::format("catalogue block", cause))?));
        }
        Ok(())
    }
}

/// Reads a run; one that cannot be read stays outside, and one that is gone is none.
fn read(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    run: ObjectId,
    projects: &HashMap<ObjectId, String>,
    outside: &mut Vec<ObjectId>,
) -> Result<Option<(RunInfo, Vec<SeriesEntry>)>> {
    let read = || -> Result<Option<(RunInfo, Vec<SeriesEntry>)>> {
        let Some(data) = RunData::load(tx, keyring, run)? else { return Ok(None) };
        let known = projects.get(&ObjectId(data.record.project));
        let project = known.unwrap_or(&data.record.start.project_name).clone();
        Ok(Some((RunInfo::of(&data, project)?, data.series.entries)))
    };
    match read() {
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Locked) => {
            outside.push(run);
            Ok(None)
        }
        outcome => outcome,
    }
}
