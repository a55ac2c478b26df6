//! Following a run: its rows as they are logged, by whatever process.
//!
//! A follower reads journals from where it stopped; a poll that finds no byte more is a listing of the directory and a
//! look at the lengths. Rows that were ingested and whose journal is gone before it was seen come from the database.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runcellar_format::journal::{Record, Records, Shapes};
use runcellar_format::record::{GroupEntry, RunState};
use runcellar_format::value::Value;
use runcellar_format::{FormatError, JournalId, ObjectId, WriterId};

use super::runs::RunInfo;
use super::series::cells;
use super::tail::{Wanted, run_of};
use crate::db::ReadTx;
use crate::ingest::batch::Batch;
use crate::ingest::data::RunData;
use crate::ingest::progress::Progress;
use crate::ingest::reader::{JournalFile, JournalReader};
use crate::ingest::{groups, journal_files, store};
use crate::io::IoFile;
use crate::keys::Keyring;
use crate::own::is_own;
use crate::run::registry::{self, Owner};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result, Workspace};

/// How often a follower looks whether the run ended without a word.
const STATE_EVERY: Duration = Duration::from_secs(5);

/// A row of a run that is followed.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowedRow {
    /// The step.
    pub step: i64,
    /// When it was logged, microseconds UTC since 1970.
    pub time: i64,
    /// Metrics and values, in the order in which they were logged.
    pub values: Vec<(String, Value)>,
}

/// Yields each row of a run once, those of one writer in the order in which they were logged.
pub struct Follower {
    inner: Arc<Inner>,
    run: ObjectId,
    id: String,
    keys: Option<Vec<String>>,
    files: HashMap<JournalId, Followed>,
    /// Journals of other runs.
    others: HashSet<JournalId>,
    writers: HashMap<WriterId, Delivered>,
    /// What is to be yielded, with the frames that journals gave it in.
    rows: VecDeque<(Option<Frame>, FollowedRow)>,
    looked: Option<Instant>,
    state: RunState,
}

/// A writer, and the sequence of one of its frames.
type Frame = (WriterId, u64);

/// A journal of the run.
struct Followed {
    reader: JournalReader,
    file: Arc<dyn IoFile>,
    names: HashMap<u32, String>,
    shapes: Shapes,
    len: u64,
}

/// What was yielded of a writer.
#[derive(Default)]
struct Delivered {
    progress: Progress,
    rows: u64,
    /// Stretches of missing frames that were looked for.
    gaps: usize,
}

impl Workspace {
    /// Follows a run from its first row; `keys` none: all metrics. A row without any of these is passed over.
    #[must_use]
    pub fn follow(&self, run: &RunInfo, keys: Option<Vec<String>>) -> Follower {
        Follower {
            inner: self.inner.clone(),
            run: run.object,
            id: run.id.clone(),
            keys,
            files: HashMap::new(),
            others: HashSet::new(),
            writers: HashMap::new(),
            rows: VecDeque::new(),
            looked: None,
            state: RunState::Running,
        }
    }
}

impl Follower {
    /// Returns how the run stands, as far as the last poll saw.
    #[must_use]
    pub fn state(&self) -> RunState {
        self.state
    }

    /// Returns the rows that came since the last call; none if there is nothing new.
    ///
    /// # Errors
    /// If a journal or the database cannot be read. What was yielded before stays yielded.
    pub fn poll(&mut self) -> Result<Vec<FollowedRow>> {
        // The state before the rows: what is logged before a run ends is then yielded before it is said to have ended.
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= STATE_EVERY);
        if self.looked.is_none() {
            Workspace { inner: self.inner.clone() }.bring_rows(self.run)?;
        }
        let listed = journal_files(&self.inner)?;
        let present: HashSet<JournalId> = listed.iter().map(|(id, _)| *id).collect();
        let is_known = |id: &JournalId| self.files.contains_key(id) || self.others.contains(id);
        let changed = is_due || !present.iter().all(is_known) || !self.files.keys().all(|id| present.contains(id));
        if changed {
            self.looked = Some(Instant::now());
            let RunInfo { object, state, .. } = super::runs::info_of(&self.inner, Wanted::new(self.run, &self.id))?;
            if object != self.run {
                self.run = object;
                self.others.clear();
            }
            self.take_all(listed)?;
            self.files.retain(|id, _| present.contains(id));
            self.others.retain(|id| present.contains(id));
            self.state = state;
        } else {
            self.take_journals()?;
        }
        self.put_in_order()?;
        Ok(self.rows.drain(..).map(|(_, row)| row).collect())
    }

    /// Reads again the files of writers of which frames are missing, and puts what that brought where it belongs.
    ///
    /// A writer may go on with its next file between our reading of the one before and of that one: frames that seem to
    /// be missing are then at the end of the former.
    fn put_in_order(&mut self) -> Result<()> {
        let has_gap = |(writer, delivered): (&WriterId, &Delivered)| {
            (delivered.progress.missing.len() > delivered.gaps).then_some(*writer)
        };
        let writers: Vec<WriterId> = self.writers.iter().filter_map(has_gap).collect();
        for writer in writers {
            let of_writer = |(id, followed): (&JournalId, &Followed)| {
                let header = &followed.reader.header;
                (header.writer == writer).then_some((header.first_sequence, *id))
            };
            let mut files: Vec<(u64, JournalId)> = self.files.iter().filter_map(of_writer).collect();
            files.sort_unstable();
            files.into_iter().try_for_each(|(_, id)| self.take_journal(id))?;
            // What is missing still was lost, and is not looked for again.
            if let Some(delivered) = self.writers.get_mut(&writer) {
                delivered.gaps = delivered.progress.missing.len();
            }
            let is_of = |frame: &Option<Frame>| frame.is_some_and(|(of, _)| of == writer);
            let mut rows: Vec<_> = self.rows.iter().filter(|(frame, _)| is_of(frame)).cloned().collect();
            rows.sort_by_key(|(frame, _)| *frame);
            let places = self.rows.iter_mut().filter(|(frame, _)| is_of(frame));
            places.zip(rows).for_each(|(place, row)| *place = row);
        }
        Ok(())
    }

    /// Reads what the journals have beyond the last poll.
    fn take_journals(&mut self) -> Result<()> {
        let mut grown = Vec::new();
        for (id, followed) in &mut self.files {
            let len =
                followed.file.len().map_err(|cause| Error::new(ErrorKind::Io, format!("journal {id}: {cause}")))?;
            if len != followed.len {
                followed.len = len;
                grown.push((followed.reader.header.writer, followed.reader.header.first_sequence, *id));
            }
        }
        grown.sort_unstable();
        grown.into_iter().try_for_each(|(_, _, id)| self.take_journal(id))
    }

    fn take_journal(&mut self, id: JournalId) -> Result<()> {
        let Some(Followed { reader, names, shapes, .. }) = self.files.get_mut(&id) else { return Ok(()) };
        let writer = reader.header.writer;
        let delivered = self.writers.entry(writer).or_default();
        let (rows, keys, looked) = (&mut self.rows, &self.keys, &mut self.looked);
        reader.read(|sequence, plain| {
            let is_new = sequence != 0 && delivered.progress.take(sequence);
            for record in Records::new(plain, shapes) {
                let named = |cause| Error::format(format_args!("frame {sequence} of writer {writer}"), cause);
                if matches!(record, Err(FormatError::UnknownShape { .. })) {
                    // The frame that said it is damaged.
                    break;
                }
                match record.map_err(named)? {
                    Record::Metric { index, name } => {
                        names.insert(index, name);
                    }
                    Record::Row { step, time, values } if is_new => {
                        delivered.rows += 1;
                        let named = |(index, value): (u32, Value)| Some((names.get(&index)?.clone(), value));
                        let row = chosen(keys, step, time, values.into_iter().filter_map(named));
                        rows.extend(row.map(|row| (Some((writer, sequence)), row)));
                    }
                    // The run may have ended: look at the next poll.
                    Record::Close(_) if is_new => *looked = None,
                    _ => {}
                }
            }
            Ok(true)
        })
    }

    /// Opens new journals and reads everything beyond the last poll, from the database what journals do not have.
    fn take_all(&mut self, listed: Vec<(JournalId, std::path::PathBuf)>) -> Result<()> {
        let inner = self.inner.clone();
        let mut new = Vec::new();
        for (id, path) in listed {
            if self.files.contains_key(&id) || self.others.contains(&id) {
                continue;
            }
            let opened = match registry::owner(&*inner.io, id, &path) {
                Owner::Own(file) => Ok(file),
                Owner::Making => continue,
                Owner::Other => inner.io.open(&path),
            };
            let Ok(file) = opened else { continue };
            new.extend(JournalFile::open(file)?.map(|journal| (id, journal)));
        }
        let opened: Vec<JournalId> = new.iter().map(|(id, _)| *id).collect();
        inner.read(|tx, keyring| {
            for (id, journal) in new {
                self.adopt(tx, keyring, id, journal)?;
            }
            // Journals before the database: what vanished before it was listed is in the blocks that are read here.
            let data = RunData::load(tx, keyring, self.run)?;
            let mut entries = match &data {
                Some(data) => data.all_groups(tx, keyring)?,
                None => Vec::new(),
            };
            entries.sort_by_key(|entry| (entry.writer, entry.first_sequence));
            let mut files: Vec<(WriterId, u64, JournalId)> = self
                .files
                .iter()
                .map(|(id, followed)| (followed.reader.header.writer, followed.reader.header.first_sequence, *id))
                .collect();
            files.sort_unstable();
            for (writer, first_sequence, id) in files {
                let reached = self.writers.get(&writer).map_or(0, |delivered| delivered.progress.sequence);
                // A file is begun while rows still go to the one before it, so its first sequence does not tell that none
                // are missing: of a new file the database is asked.
                let may_lack = first_sequence > reached + 1 || (reached > 0 && opened.contains(&id));
                if may_lack && let Some(data) = &data {
                    self.catch_up(tx, keyring, data, writer, &entries)?;
                }
                self.take_journal(id)?;
            }
            let writers: Vec<WriterId> = entries
                .chunk_by(|left, right| left.writer == right.writer)
                .map(|entries| WriterId(entries[0].writer))
                .collect();
            for (writer, data) in writers.into_iter().zip(data.iter().cycle()) {
                self.catch_up(tx, keyring, data, writer, &entries)?;
            }
            Ok(())
        })
    }

    /// Takes a journal for one of the run, or of another.
    fn adopt(&mut self, tx: &ReadTx<'_>, keyring: &Keyring, id: JournalId, journal: JournalFile) -> Result<()> {
        let (writer, file) = (journal.header.writer, journal.file.clone());
        let row = store::writer_row(tx, keyring, writer)?;
        let mut reader = journal.unlock(tx, keyring)?;
        let run = match row {
            Some(row) => Some(ObjectId(row.run)),
            None => {
                let mut batch = Batch::after(writer, Progress::default());
                let mut start = JournalFile::open(file.clone())?.map(|file| file.unlock(tx, keyring)).transpose()?;
                if let Some(start) = &mut start {
                    start.read(|sequence, plain| batch.take(sequence, plain).map(|()| batch.start.is_none()))?;
                }
                match batch.start {
                    Some(start) if start.run_id == self.id => Some(self.run),
                    start => start.map(|start| run_of(tx, keyring, &start)).transpose()?,
                }
            }
        };
        match run {
            Some(run) if run == self.run => {
                reader.torn_at = None;
                let followed = Followed { reader, file, names: HashMap::new(), shapes: Shapes::default(), len: 0 };
                self.files.insert(id, followed);
            }
            Some(_) => drop(self.others.insert(id)),
            // Its start record is not there yet: looked at again.
            None => {}
        }
        Ok(())
    }

    /// Yields rows of a writer that the database has and that no journal gave.
    fn catch_up(
        &mut self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        data: &RunData,
        writer: WriterId,
        entries: &[GroupEntry],
    ) -> Result<()> {
        let Some(row) = store::writer_row(tx, keyring, writer)? else { return Ok(()) };
        let delivered = self.writers.entry(writer).or_default();
        if row.sequence <= delivered.progress.sequence {
            return Ok(());
        }
        let mut before = 0;
        for entry in entries.iter().filter(|entry| entry.writer == writer.0) {
            let (from, rows) = (before, u64::from(entry.rows));
            before += rows;
            if before <= delivered.rows {
                continue;
            }
            let group = groups::read_group(tx, keyring, data, groups::group_key(data, entry))?;
            let mut values: Vec<Vec<(String, Value)>> = vec![Vec::new(); group.steps.len()];
            for column in &group.columns {
                let Some(series) = data.series.entries.get(column.series as usize) else { continue };
                for (at, value) in cells(column) {
                    if let Some(of_row) = values.get_mut(at) {
                        of_row.push((series.name.clone(), value));
                    }
                }
            }
            let skip = usize::try_from(delivered.rows.saturating_sub(from)).unwrap_or(usize::MAX);
            let rows = group.steps.iter().zip(&group.times).zip(values).skip(skip);
            let keys = &self.keys;
            let rows = rows.filter_map(|((step, time), values)| chosen(keys, *step, *time, values.into_iter()));
            self.rows.extend(rows.map(|row| (None, row)));
            delivered.rows = before;
        }
        delivered.progress = Progress::of(&row);
        Ok(())
    }
}

/// Makes the row that is yielded of what was logged, if any of it is asked for.
fn chosen(
    keys: &Option<Vec<String>>,
    step: i64,
    time: i64,
    values: impl Iterator<Item = (String, Value)>,
) -> Option<FollowedRow> {
    let wanted = |name: &String| match keys {
        Some(keys) => keys.contains(name),
        None => !is_own(name),
    };
    let values: Vec<_> = values.filter(|(name, _)| wanted(name)).collect();
    (!values.is_empty()).then_some(FollowedRow { step, time, values })
}
