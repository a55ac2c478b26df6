//! Compaction: groups of one writer that were stored at the cheap level, or are short, are written anew at the best one.
//!
//! A group that falls behind its writer is stored cheaply, and each journal ends in a short one. When there is time, or
//! at the end of the run, they are read, joined where they are short, and replaced, a few groups a transaction; what was
//! ingested stays readable throughout. A group that was replaced by somebody else meanwhile is left to them.

use std::collections::HashSet;

use runcellar_format::block::Level;
use runcellar_format::record::GroupEntry;
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::batch::{CELLS_MAX, ROWS_MAX};
use super::{groups, parallel, prepare, store};
use crate::workspace::{Inner, Writing};
use crate::{Error, Result};

/// Rewrites at most so many groups of a writer; returns whether any are left.
pub(crate) fn compact(writing: &Writing<'_>, writer: WriterId, groups_max: usize) -> Result<bool> {
    let planned = writing.read(|tx, keyring| {
        let Some(row) = store::writer_row(tx, keyring, writer)? else { return Ok(Vec::new()) };
        let data = store::load(tx, keyring, ObjectId(row.run))?;
        Ok(plan(data.groups(tx, keyring)?.into_iter().filter(|entry| entry.writer == writer.0)))
    })?;
    let rewritten = planned.iter().scan(0, |count, groups| {
        *count += groups.len();
        (*count <= groups_max).then_some(groups)
    });
    let rewritten: Vec<&Vec<GroupEntry>> = rewritten.collect();
    let is_left = rewritten.len() < planned.len();
    parallel::for_each(rewritten, |groups| rewrite(writing, writer, groups))?;
    Ok(is_left)
}

/// Rewrites some groups of a writer that recovery stored cheaply, if this handle knows of one.
pub(crate) fn compact_owed(inner: &Inner, groups_max: usize) -> Result<()> {
    let Some(writer) = inner.next_owed()? else { return Ok(()) };
    match compact(&inner.writing(None)?, writer, groups_max) {
        Ok(false) => inner.paid(writer),
        Ok(true) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Rewrites all groups of all runs that are stored cheaply.
pub(crate) fn compact_all(inner: &Inner) -> Result<()> {
    // One turn for all on a network file system, where each turn copies the database.
    let writing = inner.writing(None)?;
    for run in writing.read(|tx, _| tx.object_ids(Kind::Run))? {
        let groups = writing.read(|tx, keyring| store::load(tx, keyring, run)?.groups(tx, keyring))?;
        let cheap: HashSet<WriterId> =
            groups.iter().filter(|entry| !entry.best).map(|entry| WriterId(entry.writer)).collect();
        for writer in cheap {
            compact(&writing, writer, usize::MAX)?;
        }
    }
    writing.publish()
}

/// Puts neighbours together as long as they fit one group, and leaves out what is good as it is.
fn plan(entries: impl Iterator<Item = GroupEntry>) -> Vec<Vec<GroupEntry>> {
    let mut chunks: Vec<Vec<GroupEntry>> = Vec::new();
    for entry in entries {
        match chunks.last_mut() {
            Some(chunk) if fits(chunk, &entry) => chunk.push(entry),
            _ => chunks.push(vec![entry]),
        }
    }
    chunks.retain(|chunk| chunk.len() > 1 || chunk.iter().any(|entry| !entry.best));
    chunks
}

fn fits(chunk: &[GroupEntry], next: &GroupEntry) -> bool {
    let rows: u64 = chunk.iter().chain([next]).map(|entry| u64::from(entry.rows)).sum();
    let points: u64 = chunk.iter().chain([next]).map(|entry| entry.points).sum();
    rows <= ROWS_MAX as u64 && points <= CELLS_MAX as u64
}

fn rewrite(writing: &Writing<'_>, writer: WriterId, entries: &[GroupEntry]) -> Result<()> {
    let read = writing.read(|tx, keyring| {
        let Some(row) = store::writer_row(tx, keyring, writer)? else { return Ok(None) };
        let data = store::load(tx, keyring, ObjectId(row.run))?;
        let mut whole: Option<groups::Group> = None;
        let mut count = 0;
        for entry in entries {
            if !groups::is_there(tx, keyring, &data, entry)? {
                return Ok(None);
            }
            let next = groups::read_group(tx, keyring, &data, groups::group_key(&data, entry))?;
            whole = match whole {
                None => Some(next),
                Some(before) if prepare::fit_together(&before, &next) => Some(prepare::joined(before, next)),
                Some(before) => {
                    whole = Some(before);
                    break;
                }
            };
            count += 1;
        }
        Ok(whole.map(|whole| (whole, count)))
    })?;
    let Some((group, count)) = read else { return Ok(()) };
    let entries = entries.get(..count).unwrap_or(entries);
    if count == 1 && entries.iter().all(|entry| entry.best) {
        return Ok(());
    }
    let named = |cause| Error::format(format_args!("writer {writer}"), cause);
    let (entry, spine, columns) = prepare::encode(writer, &group, Level::Best).map_err(named)?;
    drop(group);
    writing.write(None, |tx| store::replace_groups(tx, writer, entries, entry, (&spine, columns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keys, Workspace};

    fn entries(workspace: &Workspace, run: &str) -> Vec<GroupEntry> {
        let object = workspace.find_run(run).expect("listed").object;
        let groups = workspace.inner.read(|tx, keyring| store::load(tx, keyring, object)?.groups(tx, keyring));
        groups.expect("reads")
    }

    /// While somebody holds the database journals grow; when it is free ingest has fallen behind, and stores cheaply.
    #[test]
    fn what_was_stored_cheaply_while_ingest_was_behind_is_at_its_best_after_finish() {
        const ROWS: usize = 60_000;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let keys = Keys { directory: Some(directory.path().join("keys")), ..Keys::default() };
        let workspace = Workspace::open_or_create(directory.path().join("w"), keys).expect("opens");
        let run = workspace.run("p").id("late-run").start().expect("starts");
        let held = rusqlite::Connection::open(directory.path().join("w").join(crate::db::FILE_NAME)).expect("opens");
        held.execute_batch("BEGIN IMMEDIATE").expect("is held");
        let names: Vec<String> = (0..10).map(|metric| format!("metric/{metric}")).collect();
        for row in 0..ROWS {
            run.log(names.iter().enumerate().map(|(at, name)| (name, ((row * (at + 1)) as f64).sin()))).expect("logs");
        }
        // An attempt of ingest that began before all was logged gives up.
        std::thread::sleep(4 * crate::ingest::intake::RUNNING_WAIT);
        drop(held);
        let mut found = entries(&workspace, "late-run");
        while found.is_empty() {
            std::thread::yield_now();
            found = entries(&workspace, "late-run");
        }
        assert!(!found[0].best, "the first group was stored cheaply");
        run.finish().expect("finishes");
        let found = entries(&workspace, "late-run");
        assert!(found.iter().all(|entry| entry.best), "{found:#?}");
        assert_eq!(found.len(), ROWS.div_ceil(ROWS_MAX));
        assert!(found.is_sorted_by_key(|entry| (entry.place, entry.first_sequence)));
        let run = workspace.find_run("late-run").expect("listed");
        for (at, name) in names.iter().enumerate() {
            let series = workspace.series(&run, name, None).expect("reads");
            let right =
                |row: usize| series.values.get(row) == Some(crate::Value::Float(((row * (at + 1)) as f64).sin()));
            assert!(series.steps.len() == ROWS && (0..ROWS).all(right), "{name}");
        }
        assert!(workspace.check(crate::CheckOptions { read_data: true }).expect("is checked").is_ok());
    }

    #[test]
    fn short_neighbours_and_cheap_groups_are_rewritten_and_no_others() {
        let entry = |place: u32, rows: u32, best: bool| GroupEntry {
            place,
            rows,
            points: u64::from(rows) * 20,
            best,
            ..GroupEntry::default()
        };
        let places = |entries: Vec<GroupEntry>| -> Vec<Vec<u32>> {
            let chunks = plan(entries.into_iter());
            chunks.iter().map(|chunk| chunk.iter().map(|entry| entry.place).collect()).collect()
        };
        assert_eq!(places(vec![entry(0, 4096, true), entry(1, 4096, true), entry(2, 7, true)]), [[0; 0]; 0]);
        let mixed = vec![
            entry(0, 4096, false),
            entry(1, 1000, true),
            entry(2, 3000, true),
            entry(3, 97, true),
            entry(4, 4096, true),
            entry(5, 1, false),
        ];
        assert_eq!(places(mixed), [vec![0], vec![1, 2], vec![5]]);
        let wide = GroupEntry { rows: 100, points: 1_000_000, best: true, ..GroupEntry::default() };
        assert_eq!(places(vec![wide.clone(), wide]), [[0; 0]; 0]);
    }
}
