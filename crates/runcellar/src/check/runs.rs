//! Runs: record, head, pages, groups, blocks.

use std::collections::{HashMap, HashSet};

use runcellar_format::block::GroupMain;
use runcellar_format::overview::OVERVIEW_GROUPS;
use runcellar_format::record::{GroupEntry, RunState};
use runcellar_format::seal::Kind;
use runcellar_format::sum::Sum;
use runcellar_format::{ObjectId, Secret, WriterId};

use super::journals::Writers;
use super::rows::Known;
use super::{CheckOptions, CheckReport, Problem, ProblemKind};
use crate::db::{BlockRow, GroupKey, ObjectRow, ReadTx, Summed as _};
use crate::ingest::data::RunData;
use crate::ingest::{groups, overviews, rows_away, store};
use crate::keys::Keyring;
use crate::workspace::Inner;
use crate::{Error, Result};

pub(super) fn check(
    inner: &Inner,
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    known: &Known,
    options: CheckOptions,
    journals: &Writers,
    report: &mut CheckReport,
) -> Result<()> {
    let integrity = tx.integrity_key(keyring)?;
    let rows = tx.objects(Kind::Run, None)?;
    let present: HashSet<ObjectId> = rows.iter().map(|row| row.key.id).collect();
    for (run, _) in known.runs().filter(|(run, _)| !present.contains(run)) {
        let name = known.name(*run);
        report.add(Problem::error(ProblemKind::Missing, format!("run {name}: its record is missing")).of_run(&name));
    }
    for run in tx.block_owners()?.into_iter().filter(|run| !present.contains(run)) {
        let message = format!("blocks of run {}, which has no record", known.name(run));
        report.add(Problem::error(ProblemKind::Unreferenced, message).of_run(&known.name(run)));
    }
    let last_change: HashMap<ObjectId, u64> = known.runs().map(|(run, known)| (*run, known.last_change)).collect();
    let device = tx.root(keyring)?.device;
    for (done, row) in (0..).zip(&rows) {
        inner.monitor.progress("runs", done, rows.len() as u64);
        report.checked.runs += 1;
        report.checked.bytes += row.body.len() as u64;
        let name = known.name(row.key.id);
        let last = last_change.get(&row.key.id).copied().unwrap_or(0);
        if row.device.0 == device && row.seq < last {
            let message = format!("run {name}: its record is of change {}, but change {last} was made to it", row.seq);
            report.add(Problem::error(ProblemKind::Replayed, message).of_run(&name));
        }
        let data = RunData::without_series(tx, keyring, row).and_then(|mut data| {
            data.load_series(tx, keyring)?;
            Ok(data)
        });
        match data {
            Ok(data) => check_run(tx, keyring, integrity.secret(), &data, options, journals, report)?,
            Err(error) => report.add(Problem::error(ProblemKind::Damaged, error.to_string()).of_run(&name)),
        }
    }
    inner.monitor.progress("runs", rows.len() as u64, rows.len() as u64);
    Ok(())
}

fn check_run(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    integrity: &Secret,
    data: &RunData,
    options: CheckOptions,
    journals: &Writers,
    report: &mut CheckReport,
) -> Result<()> {
    let run = data.record.id.as_str();
    let mut sum = Sum::default();
    let mut groups = Vec::new();
    for kind in [Kind::SeriesPage, Kind::GroupPage, Kind::Overview] {
        for row in tx.objects(kind, Some(data.object))? {
            report.checked.bytes += row.body.len() as u64;
            sum.add(&row.hash(integrity));
            if kind == Kind::GroupPage {
                take_page(tx, keyring, data, &row, &mut groups, report);
            }
            if kind == Kind::Overview && options.read_data {
                check_overview(keyring, data, &row, report)?;
            }
        }
    }
    if sum.0 != data.head.sum || data.head.series as usize != data.series.entries.len() {
        let message = format!("run {run}: its pages do not add up to its head: one is missing or replaced");
        report.add(Problem::error(ProblemKind::Replayed, message).of_run(run));
        for (series, page) in overviews::missing(tx, keyring, data, &groups)? {
            let (metric, first) = (metric_of(data, series), page * OVERVIEW_GROUPS);
            let what = metric.as_deref().unwrap_or("unknown");
            let last = first + OVERVIEW_GROUPS - 1;
            let message = format!("run {run}: metric {what}: the overview of row groups {first} to {last} is missing");
            report.add(Problem { metric, ..Problem::error(ProblemKind::Missing, message).of_run(run) });
        }
    }
    for session in &data.record.sessions {
        check_writer(tx, keyring, data, session.writer, session.state, journals, report)?;
    }
    let mut blocks: HashMap<(WriterId, u32), Vec<BlockRow>> = HashMap::new();
    tx.blocks(data.object, |block| {
        report.checked.blocks += 1;
        report.checked.bytes += block.body.len() as u64;
        // Only the sealed header is needed for the sum, and the bodies of a long run would not fit in memory.
        let body = block.body.get(..runcellar_format::seal::HEADER_BYTES).unwrap_or(&block.body).to_vec();
        blocks.entry((block.writer, block.number)).or_default().push(BlockRow { body, ..block });
        Ok(())
    })?;
    for entry in &groups {
        let parts = blocks.remove(&(WriterId(entry.writer), entry.number)).unwrap_or_default();
        let whole = check_group(integrity, data, entry, &parts, report);
        if whole && options.read_data {
            read_group(tx, keyring, data, entry, report);
        }
    }
    for (_, number) in blocks.keys() {
        let message = format!("run {run}: block {number} is in no page");
        report.add(Problem::error(ProblemKind::Unreferenced, message).of_run(run));
    }
    Ok(())
}

fn check_overview(keyring: &Keyring, data: &RunData, row: &ObjectRow, report: &mut CheckReport) -> Result<()> {
    let (run, metric) = (&data.record.id, metric_of(data, overviews::place_of(row.key.position).0));
    if let Err(error) = overviews::open(&*data.key()?, keyring.workspace(), run, row) {
        report.add(Problem { metric, ..Problem::error(ProblemKind::Damaged, error.to_string()).of_run(run) });
    }
    Ok(())
}

fn metric_of(data: &RunData, series: u32) -> Option<String> {
    data.series.entries.get(series as usize).map(|entry| entry.name.clone())
}

fn take_page(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    row: &ObjectRow,
    groups: &mut Vec<GroupEntry>,
    report: &mut CheckReport,
) {
    match data.group_page(tx, keyring, row) {
        Ok(page) => groups.extend(page.entries),
        Err(error) => report.add(Problem::error(ProblemKind::Damaged, error.to_string()).of_run(&data.record.id)),
    }
}

fn check_writer(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    writer: [u8; 16],
    state: RunState,
    journals: &Writers,
    report: &mut CheckReport,
) -> Result<()> {
    let (run, writer) = (data.record.id.as_str(), WriterId(writer));
    let row = match store::writer_row(tx, keyring, writer) {
        Ok(Some(row)) => row,
        // Its rows are elsewhere.
        Ok(None) if rows_away::are(tx, data.object)? => return Ok(()),
        Ok(None) => {
            let message = format!("run {run}: the row of writer {writer} is missing");
            report.add(Problem::error(ProblemKind::Missing, message).of_run(run));
            return Ok(());
        }
        Err(error) => {
            report.add(Problem::error(ProblemKind::Damaged, error.to_string()).of_run(run));
            return Ok(());
        }
    };
    for (first, last) in &row.missing {
        let message = format!("run {run}: frames {first} to {last} of writer {writer} were never found");
        report.add(Problem::error(ProblemKind::Missing, message).of_run(run));
    }
    if !row.closed && !journals.may_have(writer, row.sequence == 0) {
        let message = format!("run {run}: writer {writer} ended without a word after frame {}", row.sequence);
        let problem = match state {
            RunState::Running => Problem::error(ProblemKind::Missing, format!("{message}, and its journal is missing")),
            _ => Problem::note(ProblemKind::Missing, message),
        };
        report.add(problem.of_run(run));
    }
    Ok(())
}

/// Compares a group's parts with its entry; true if they are all there and the ones that were written.
fn check_group(
    integrity: &Secret,
    data: &RunData,
    entry: &GroupEntry,
    parts: &[BlockRow],
    report: &mut CheckReport,
) -> bool {
    let run = data.record.id.as_str();
    let mut sum = Sum::default();
    parts.iter().for_each(|part| sum.add(&part.hash(integrity)));
    if sum.0 == entry.sum {
        return true;
    }
    let (kind, what) = if parts.len() < entry.parts as usize {
        (ProblemKind::Missing, "parts of it are missing")
    } else {
        (ProblemKind::Damaged, "it was changed or replaced")
    };
    let steps = Some((entry.first_step, entry.last_step));
    let message =
        format!("run {run}: block {} (steps {} to {}): {what}", entry.number, entry.first_step, entry.last_step);
    report.add(Problem { steps, ..Problem::error(kind, message).of_run(run) });
    false
}

/// Opens and decodes every part of a group.
fn read_group(tx: &ReadTx<'_>, keyring: &Keyring, data: &RunData, entry: &GroupEntry, report: &mut CheckReport) {
    let run = data.record.id.as_str();
    let steps = Some((entry.first_step, entry.last_step));
    let group = groups::group_key(data, entry);
    let mut damaged = |metric: Option<String>, error: Error| {
        let problem = Problem::error(ProblemKind::Damaged, error.to_string()).of_run(run);
        report.add(Problem { metric, steps, ..problem });
    };
    let main = match groups::open_part(tx, keyring, data, group, 0) {
        Ok(main) => main,
        Err(error) => return damaged(None, error),
    };
    let named = |cause| Error::format(format_args!("block {} of run {run}", entry.number), cause);
    let main = match GroupMain::decode(&main) {
        Ok(main) => main,
        Err(cause) => return damaged(None, named(cause)),
    };
    for outcome in [main.steps(), main.times()] {
        match outcome {
            Ok(all) if all.len() == entry.rows as usize => {}
            Ok(_) => damaged(None, Error::damaged(format!("block {} of run {run}: rows differ", entry.number))),
            Err(cause) => damaged(None, named(cause)),
        }
    }
    for column in &main.columns {
        let metric = metric_of(data, column.series);
        if let Err(error) = read_column(tx, keyring, data, group, column) {
            damaged(metric, error);
        }
    }
}

fn read_column(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    data: &RunData,
    group: GroupKey,
    column: &runcellar_format::block::ColumnEntry<'_>,
) -> Result<()> {
    let values = groups::read_column(tx, keyring, data, group, column)?;
    if values.len() == column.count as usize {
        return Ok(());
    }
    Err(Error::damaged(format!("block {} of run {}: points differ", group.number, data.record.id)))
}
