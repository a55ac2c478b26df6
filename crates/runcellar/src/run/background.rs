//! The background thread of a writer: syncs each second, prepares files, ingests whole groups, and ends the run.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runcellar_format::record::Close;
use runcellar_format::{JournalId, ObjectId};

use super::journal_file::{OpenJournal, SharedJournal};
use super::media::MediaQueue;
use super::redaction::Redaction;
use super::registry;
use super::writer::{State, Writer};
use crate::catalogue;
use crate::ingest::batch::ROWS_MAX;
use crate::ingest::progress::Progress;
use crate::ingest::reader::{JournalFile, JournalReader};
use crate::ingest::{self, Extent, Intake, Pace, overviews, store};
use crate::workspace::Writing;
use crate::{Error, ErrorKind, Result};

/// Pause between syncs: the most that a power cut loses.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Pages of places of which overviews are written at once while a run goes on: some tenths of a second.
const OVERVIEWS_AT_ONCE: usize = 4;
/// Syncs between signs of life: a minute.
const HEARTBEAT_EVERY_BEATS: u64 = 60;
/// Groups that are written anew at once while the run is at work: some ten milliseconds of work.
const COMPACTED_AT_ONCE: usize = 4;
/// Unread bytes of the journal up to which there is time for that.
const IDLE_BYTES: u64 = 256 << 10;
/// The least pause between two turns to write on a network file system, where each copies the database; and how much
/// longer than a turn the pause after it is, so that turns take a twentieth of the time at most.
const TURN_EVERY: Duration = Duration::from_secs(60);
const TURN_SHARE: u32 = 20;
/// How often ingest begins anew because another process ingested the same journal.
const INGEST_ATTEMPTS: usize = 4;

/// A writer with its thread.
pub(super) struct Background {
    shared: Arc<BackgroundShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Made by the first media that are logged.
    media: OnceLock<MediaQueue>,
}

/// What a writer is to its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The writer of the process that started the run; its end is the run's.
    Original,
    /// That of a forked child, which leaves ingest to others: SQLite must not be used across a fork.
    Child,
    /// That of the store's own series.
    Own,
}

struct BackgroundShared {
    writer: Arc<Writer>,
    stop: AtomicBool,
    ingest: Mutex<IngestState>,
    role: Role,
}

/// How the reading of a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// There may be more in it.
    Stopped,
    /// All that it has is ingested.
    Whole,
    /// The same, and it has stretches that are no frames.
    Damaged,
}

/// How far this writer's journals are ingested.
struct IngestState {
    intake: Intake,
    current: Option<(JournalId, JournalReader)>,
}

impl Background {
    /// Starts the thread. Without one (a machine at its limit of threads) rows are still written, and synced at
    /// `flush()` and `finish()`.
    pub(super) fn start(writer: Arc<Writer>, role: Role) -> Background {
        let ingest = Mutex::new(IngestState { intake: Intake::after(writer.id(), Progress::default()), current: None });
        let shared = Arc::new(BackgroundShared { writer, stop: AtomicBool::new(false), ingest, role });
        let thread = std::thread::Builder::new().name("runcellar".into()).spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        if let Err(error) = &thread {
            shared.writer.warn(&format!("no background thread: {error}"));
        }
        Background { shared, thread: Mutex::new(thread.ok()), media: OnceLock::new() }
    }

    pub(super) fn writer(&self) -> &Writer {
        &self.shared.writer
    }

    /// Returns where media go that wait to be stored.
    pub(super) fn media(&self, redaction: &Arc<Redaction>) -> &MediaQueue {
        self.media.get_or_init(|| MediaQueue::start(self.shared.writer.clone(), redaction.clone()))
    }

    /// Waits until all that was logged survives a power cut.
    pub(super) fn flush(&self) -> Result<()> {
        let media = self.media.get().map_or(Ok(()), MediaQueue::flush);
        self.writer().sync().and(media)
    }

    pub(super) fn is_original(&self) -> bool {
        self.shared.role == Role::Original
    }

    /// Ends the writer: close frame, sync, ingest.
    pub(super) fn finish(&self, close: Close) -> Result<()> {
        let writer = self.writer();
        if let Some(media) = self.media.get() {
            media.finish();
        }
        // Any other failure is that of a frame, and whether it can be kept after all shows below.
        if let Err(error) = writer.close(close)
            && error.kind() == ErrorKind::State
        {
            return Ok(());
        }
        self.stop();
        let synced = writer.sync();
        let ingested = match self.shared.ingests() {
            true => self.shared.ingest(Extent::All, Pace::Ending),
            false => Ok(()),
        };
        let reached = self.shared.progress().map_or(0, |progress| progress.sequence);
        let in_doubt = ingested.is_err() && writer.unwritten().is_ok_and(|frames| !frames.is_empty());
        let in_files = if in_doubt { self.shared.frames_in_files() } else { HashSet::new() };
        let lost = writer.give_up(|sequence| sequence <= reached || in_files.contains(&sequence));
        self.shared.release();
        let removed = writer.inner().is_removed();
        if removed {
            writer.give_up_all();
        }
        let dropped = writer.dropped();
        if dropped > 0 && self.shared.role != Role::Own {
            writer.warn(&format!("{dropped} values were dropped"));
        }
        if removed {
            let message = format!("workspace {} was removed while a run was recorded", writer.inner().path.display());
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        if let Err(error) = &ingested
            && error.kind() != ErrorKind::Busy
        {
            writer.warn(&format!("it stays in its journal, to be ingested by the next opener: {error}"));
        }
        if self.is_original() {
            // Forked children left theirs to us.
            let _ = ingest::recover(writer.inner());
            catalogue::fold_some_if_due(writer.inner());
        }
        let durable = self.shared.ingests() && ingested.is_ok() && !lost;
        if durable { Ok(()) } else { synced }
    }

    fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Taking the lock once makes sure that the thread either waits, and is woken, or sees `stop`.
        drop(self.writer().lock());
        self.writer().wake.notify_all();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            self.writer().warn("its background thread panicked; what was logged is in the journal");
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

impl BackgroundShared {
    fn run(&self) {
        // Rows that come fast wake the thread more often than once a second, so the clock decides and not the wait.
        let mut due = Instant::now() + SYNC_EVERY;
        let mut beats = 0;
        let on_network = self.writer.inner().is_network();
        let mut turn_due = Instant::now() + TURN_EVERY;
        while !self.stop.load(Ordering::Acquire) {
            let state = self.writer.lock();
            let idle = |state: &mut State| {
                !self.stop.load(Ordering::Acquire) && state.rows_waiting < ROWS_MAX && !self.writer.wants_standby(state)
            };
            let wait = due.saturating_duration_since(Instant::now());
            drop(self.writer.wake.wait_timeout_while(state, wait, idle).unwrap_or_else(PoisonError::into_inner));
            self.writer.prepare_standby();
            if Instant::now() >= due {
                due = Instant::now() + SYNC_EVERY;
                beats += 1;
                self.writer.tend();
                // Trouble is warned about once by the writer, and tried again in a second.
                let _ = self.writer.sync();
                if beats % HEARTBEAT_EVERY_BEATS == 0 {
                    let _ = self.writer.heartbeat();
                    if self.ingests() && !on_network {
                        // One that fails is tried again in a minute, and at the end.
                        let _ = self.writer.inner().writing(None).and_then(|writing| {
                            overviews::update_of_writer(&writing, self.writer.id(), OVERVIEWS_AT_ONCE)
                        });
                    }
                }
            }
            let begun = Instant::now();
            if self.ingests() && (!on_network || self.wants_turn(begun >= turn_due)) {
                let outcome = self.ingest(Extent::WholeGroups, Pace::Running(&self.stop));
                turn_due = Instant::now() + TURN_EVERY.max(begun.elapsed() * TURN_SHARE);
                if let Err(error) = outcome
                    && !matches!(error.kind(), ErrorKind::Busy | ErrorKind::ReadOnly)
                {
                    self.writer.warn_once(format!("ingest waits: {error}"));
                }
                if !on_network {
                    self.compact_if_idle();
                }
            }
            self.writer.lock().rows_waiting = 0;
        }
    }

    /// Returns whether there is something to take a turn for on a network file system: full files if one is due, and at
    /// any time one whose name is gone.
    fn wants_turn(&self, is_due: bool) -> bool {
        self.writer.lock().retired.iter().any(|retired| is_due || retired.gone)
    }

    fn ingests(&self) -> bool {
        self.role != Role::Child
    }

    /// Writes a few groups anew that were stored cheaply, if rows do not come faster than they are ingested.
    fn compact_if_idle(&self) {
        let mut state = self.ingest_state();
        let is_behind = state.current.as_ref().is_some_and(|(_, reader)| reader.bytes_left() > IDLE_BYTES);
        if state.intake.owes_best && !is_behind && !self.stop.load(Ordering::Acquire) {
            // One that fails is tried again in a second, and at the end.
            let writing = self.writer.inner().writing(None);
            let left = writing.and_then(|writing| ingest::compact(&writing, self.writer.id(), COMPACTED_AT_ONCE));
            state.intake.owes_best = left.unwrap_or(true);
        } else if !is_behind && !self.stop.load(Ordering::Acquire) {
            // What recovery left is readable as it is, and somebody else's.
            let _ = ingest::compact_owed(self.writer.inner(), COMPACTED_AT_ONCE);
        }
    }

    fn ingest_state(&self) -> MutexGuard<'_, IngestState> {
        self.ingest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ingests retired files whole and removes them, then the current file as far as `extent` says; at the end also what
    /// stands in no file.
    ///
    /// On a network file system this waits for nobody: if another process is writing, the journals stay for whoever has
    /// the turn next.
    fn ingest(&self, extent: Extent, pace: Pace<'_>) -> Result<()> {
        let inner = self.writer.inner();
        let mut state = self.ingest_state();
        let writing = inner.writing(Some(Duration::ZERO))?;
        let mut done = Vec::new();
        let mut outcome = self.ingest_files(&writing, &mut state, extent, pace, &mut done);
        if outcome.is_ok() && extent == Extent::All {
            outcome = self.ingest_unwritten(&writing);
            // Nothing is lost if this fails; what is stored is only larger than it might be.
            let _ = ingest::compact(&writing, self.writer.id(), usize::MAX);
            let _ = overviews::update_of_writer(&writing, self.writer.id(), usize::MAX);
        }
        if let Err(error) = writing.publish() {
            let progress = self.progress();
            self.begin_anew(&mut state, progress);
            return Err(error);
        }
        done.into_iter().for_each(|(id, damaged)| self.let_go(id, damaged));
        outcome
    }

    /// Forgets what was read of the journals: the reader has passed frames that are not stored.
    fn begin_anew(&self, state: &mut IngestState, progress: Result<Progress>) {
        let progress = progress.unwrap_or_else(|_| state.intake.base().clone());
        state.intake.restart(progress);
        state.current = None;
    }

    /// Ingests files one by one; those that are ingested whole are `done`, each with whether it is damaged.
    fn ingest_files(
        &self,
        writing: &Writing<'_>,
        state: &mut IngestState,
        extent: Extent,
        pace: Pace<'_>,
        done: &mut Vec<(JournalId, bool)>,
    ) -> Result<()> {
        let mut attempts = 0;
        loop {
            let next = {
                let writer = self.writer.lock();
                let is_new = |journal: &OpenJournal| done.iter().all(|(id, _)| *id != journal.id);
                let retired = writer.retired.iter().map(|retired| &retired.journal).find(|journal| is_new(journal));
                let retired = retired.map(|journal| (journal.share(), true));
                retired.or(writer.journal.as_ref().map(|journal| (journal.share(), false)))
            };
            let Some((journal, retired)) = next else { return Ok(()) };
            let whole = retired || extent == Extent::All;
            let outcome = self.ingest_file(writing, state, &journal, whole, pace);
            if let Err(error) = &outcome {
                self.begin_anew(state, writing.read(|tx, keyring| store::progress_of(tx, keyring, self.writer.id())));
                attempts += 1;
                match error.kind() {
                    // Another process took the writer for dead and was faster; go on from there.
                    ErrorKind::State if attempts < INGEST_ATTEMPTS => continue,
                    // One that cannot be read must not hold up those after it; `check` says what is wrong with it.
                    ErrorKind::Damaged if retired => self.writer.warn_once(error.to_string()),
                    _ => return outcome.map(|_| ()),
                }
            }
            if !whole || matches!(outcome, Ok(Reading::Stopped)) {
                return Ok(());
            }
            state.current = None;
            done.push((journal.id, !matches!(outcome, Ok(Reading::Whole))));
            if !retired {
                return Ok(());
            }
        }
    }

    /// Ingests one file.
    fn ingest_file(
        &self,
        writing: &Writing<'_>,
        state: &mut IngestState,
        journal: &SharedJournal,
        whole: bool,
        pace: Pace<'_>,
    ) -> Result<Reading> {
        let IngestState { intake, current } = state;
        if current.as_ref().is_none_or(|(open, _)| *open != journal.id) {
            if writing.read(|tx, keyring| tx.is_buried(keyring, ObjectId(self.writer.id().0)))? {
                // The run was erased, and with it the key of the file: what was logged since is dropped, and counted at
                // the end.
                return Ok(Reading::Whole);
            }
            let Some(file) = JournalFile::open(journal.file.clone())? else {
                return Err(Error::damaged(format!("journal {}: it ends inside its header", journal.path.display())));
            };
            intake.next_file();
            *current = Some((journal.id, writing.read(|tx, keyring| file.unlock(tx, keyring))?));
        }
        let Some((_, reader)) = current else { return Ok(Reading::Stopped) };
        let extent = if whole { Extent::All } else { Extent::WholeGroups };
        Ok(match intake.ingest(writing, reader, extent, pace)? {
            false => Reading::Stopped,
            true if reader.damage.is_empty() => Reading::Whole,
            true => Reading::Damaged,
        })
    }

    /// Returns the frames that stand in this writer's files, for one that did not get to ingest them: an append that
    /// failed may have written all the same. What cannot be read counts as lost.
    fn frames_in_files(&self) -> HashSet<u64> {
        let journals: Vec<_> = {
            let writer = self.writer.lock();
            let retired = writer.retired.iter().map(|retired| retired.journal.share());
            retired.chain(writer.journal.as_ref().map(OpenJournal::share)).collect()
        };
        let mut found = HashSet::new();
        for journal in journals {
            let Ok(Some(file)) = JournalFile::open(journal.file.clone()) else { continue };
            let Ok(mut reader) = self.writer.inner().read(|tx, keyring| file.unlock(tx, keyring)) else { continue };
            let _ = reader.read(|sequence, _| {
                found.insert(sequence);
                Ok(true)
            });
        }
        found
    }

    /// Brings what stands in no file into the database, which may have room where no journal could be made.
    fn ingest_unwritten(&self, writing: &Writing<'_>) -> Result<()> {
        let progress = writing.read(|tx, keyring| store::progress_of(tx, keyring, self.writer.id()))?;
        let mut intake = Intake::after(self.writer.id(), progress);
        for (sequence, plain) in self.writer.unwritten()? {
            intake.take(writing, sequence, &plain)?;
        }
        if intake.is_empty() { Ok(()) } else { intake.store(writing, None, false) }
    }

    /// Returns what the database has of this writer.
    fn progress(&self) -> Result<Progress> {
        self.writer.inner().read(|tx, keyring| store::progress_of(tx, keyring, self.writer.id()))
    }

    /// Removes a journal that is ingested whole; a damaged one stays for `check`.
    fn let_go(&self, id: JournalId, damaged: bool) {
        let mut writer = self.writer.lock();
        let at = writer.retired.iter().position(|retired| retired.journal.id == id);
        let journal = match at {
            Some(at) => Some(writer.retired.remove(at).journal),
            None => writer.journal.take(),
        };
        drop(writer);
        if let Some(journal) = journal {
            if !damaged && !journal.is_gone(self.writer.inner()) {
                // One that cannot be removed is found empty of news by the next opener.
                let _ = self.writer.inner().io.remove(&journal.path);
            }
            registry::remove(journal.id);
        }
    }

    /// Gives up what is left of the files: locks go, and the next opener sees to them.
    fn release(&self) {
        self.ingest_state().current = None;
        let mut writer = self.writer.lock();
        let left = writer.retired.drain(..).map(|retired| retired.journal.id).collect::<Vec<_>>();
        let current = writer.journal.take().map(|journal| journal.id);
        if let Some(standby) = writer.standby.take() {
            standby.discard(self.writer.inner());
        }
        drop(writer);
        left.into_iter().chain(current).for_each(registry::remove);
    }
}
