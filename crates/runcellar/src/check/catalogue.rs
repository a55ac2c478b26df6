//! The catalogue: its directory, its blocks, and whether they say what the records say.

use std::collections::{HashMap, HashSet};

use runcellar_format::ObjectId;
use runcellar_format::catalogue::{BlockWriter, Space};
use runcellar_format::seal::Kind;

use super::{CheckOptions, CheckReport, Problem, ProblemKind};
use crate::Result;
use crate::catalogue::{Block, DIRECTORY, changed_since, info_at, open_directory, project_names, row_of};
use crate::db::{ReadTx, WORKSPACE_OWNER};
use crate::ingest::data::RunData;
use crate::keys::Keyring;
use crate::own::is_own;
use crate::query::RunInfo;

/// What is wrong with the catalogue hurts no run: listings read the records instead.
fn problem(kind: ProblemKind, message: impl Into<String>) -> Problem {
    Problem::error(kind, message).of_file(crate::db::FILE_NAME)
}

pub(super) fn check(tx: &ReadTx<'_>, keyring: &Keyring, options: CheckOptions, report: &mut CheckReport) -> Result<()> {
    let mut unreferenced: HashSet<ObjectId> =
        tx.object_ids(Kind::Catalogue)?.into_iter().filter(|id| *id != WORKSPACE_OWNER).collect();
    let Some(row) = tx.object(DIRECTORY)? else {
        for id in unreferenced {
            report.add(problem(ProblemKind::Unreferenced, format!("catalogue block {id}: there is no directory")));
        }
        return Ok(());
    };
    report.checked.bytes += row.body.len() as u64;
    let directory = match open_directory(tx, keyring, &row) {
        Ok(directory) => directory,
        Err(error) => {
            report.add(problem(ProblemKind::Damaged, error.to_string()));
            return Ok(());
        }
    };
    let mut newest: HashMap<ObjectId, usize> = HashMap::new();
    let mut blocks = Vec::new();
    for (number, entry) in directory.blocks.iter().enumerate() {
        unreferenced.remove(&ObjectId(entry.id));
        for row in tx.objects(Kind::Catalogue, Some(ObjectId(entry.id)))? {
            report.checked.bytes += row.body.len() as u64;
        }
        match Block::open(tx, keyring, entry) {
            Ok(block) => {
                newest.extend(block.runs.iter().map(|run| (*run, number)));
                blocks.push((number, block));
            }
            Err(error) => report.add(problem(ProblemKind::Damaged, error.to_string())),
        }
    }
    for id in unreferenced {
        report.add(problem(ProblemKind::Unreferenced, format!("catalogue block {id}: it is not in the directory")));
    }
    if !options.read_data {
        return Ok(());
    }
    let mut changed = changed_since(tx, &directory)?;
    changed.extend(directory.outside.iter().copied().map(ObjectId));
    let projects = project_names(tx, keyring);
    for (number, block) in blocks {
        if let Err(error) = block.load_all(tx, keyring) {
            report.add(problem(ProblemKind::Damaged, error.to_string()));
            continue;
        }
        for (row, run) in (0..).zip(&block.runs) {
            if newest.get(run) == Some(&number) && !changed.contains(run) {
                compare(tx, keyring, &block, row, *run, &projects, report)?;
            }
        }
    }
    Ok(())
}

/// Compares a row with the record of its run.
fn compare(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    block: &Block,
    row: u32,
    run: ObjectId,
    projects: &HashMap<ObjectId, String>,
    report: &mut CheckReport,
) -> Result<()> {
    let data = match RunData::load(tx, keyring, run) {
        Ok(Some(data)) => data,
        Ok(None) => {
            let message = format!("catalogue block {}: run {run}, which has no record", block.id);
            report.add(problem(ProblemKind::Unreferenced, message));
            return Ok(());
        }
        // Damage of the record is told with the run.
        Err(_) => return Ok(()),
    };
    let name = projects.get(&ObjectId(data.record.project)).unwrap_or(&data.record.start.project_name);
    let Ok(info) = RunInfo::of(&data, name.clone()) else { return Ok(()) };
    let same = info_at(block, row).is_some_and(|found| {
        let found = RunInfo { project: name.clone(), ..found };
        let row = |info: &RunInfo| {
            let mut writer = BlockWriter::default();
            row_of(&mut writer, info, &[]).and_then(|()| writer.finish())
        };
        // Two rows are the same if they are written alike: floats count by their bits.
        row(&found) == row(&info)
    });
    let figures = data.series.entries.iter().filter(|entry| entry.points > 0 && !is_own(&entry.name));
    let same = same
        && figures.into_iter().all(|entry| {
            let points = block.main.named(Space::Points, &entry.name).find_map(|index| block.column(index)?.int(row));
            let sum = block.main.named(Space::Sum, &entry.name).find_map(|index| block.column(index)?.float(row));
            points == Some(entry.points.cast_signed()) && sum.map(f64::to_bits) == Some(entry.sum.to_bits())
        });
    if !same {
        let message = format!("catalogue block {}: it says other of run {} than its record", block.id, info.id);
        report.add(problem(ProblemKind::Replayed, message).of_run(&info.id));
    }
    Ok(())
}
