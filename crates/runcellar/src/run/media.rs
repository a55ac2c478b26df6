//! The media thread of a run: makes the bytes of what was logged, stores them, and then logs the references.
//!
//! `log()` leaves media here and goes on. The thread takes them one by one, has their bytes made, and puts batches of them
//! into packs and the run's manifest, without the secrets in their texts; only then it writes the rows that refer to them, at the steps and times at which
//! they were logged. Bytes before names: a reference whose file is missing is never written.
//!
//! What cannot be stored now is tried again, while it has room to wait; at the end it is given up and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runcellar_format::ObjectId;
use runcellar_format::journal::RowValue;
use runcellar_format::seal::Kind;

use super::redaction::Redaction;
use super::writer::Writer;
use crate::ingest::store;
use crate::media::{Made, NewMedia, RunFiles};
use crate::{Error, ErrorKind, Result};

/// Bytes of media of one run in one process that wait to be stored, at most: pixels as they were logged, until they are
/// encoded. Some seconds of panels, and no more than a training can spare.
pub const MEDIA_WAITING_BYTES_MAX: u64 = 256 << 20;
/// How long `log()` waits for room: a step of a training, and not a stall.
const ROOM_WAIT: Duration = Duration::from_millis(5);
/// Encoded bytes that are stored at once: what fills a pack.
const BATCH_BYTES: u64 = 16 << 20;
/// How long what was made waits for more to be stored with: two syncs of the disk each few seconds, and not each image.
const BATCH_WAIT: Duration = Duration::from_secs(2);
/// Pause before what could not be stored is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(2);

/// Where a point goes.
struct Point {
    step: i64,
    time: i64,
    name: String,
}

/// The queue to the thread.
pub(super) struct MediaQueue {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    writer: Arc<Writer>,
    redaction: Arc<Redaction>,
    state: Mutex<State>,
    /// Something came, was stored, or is asked for.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Point, NewMedia)>,
    /// What waits and what is being stored costs so many bytes.
    bytes: u64,
    /// How often all that waits was asked to be stored at once, and how often that was tried.
    asked: u64,
    tried: u64,
    /// Why the last try failed.
    failure: Option<(ErrorKind, String)>,
    stop: bool,
}

impl MediaQueue {
    /// Starts the thread. Without one (a machine at its limit of threads) all media are dropped and counted.
    pub(super) fn start(writer: Arc<Writer>, redaction: Arc<Redaction>) -> MediaQueue {
        let shared = Shared { writer, redaction, state: Mutex::default(), changed: Condvar::new() };
        let shared = Arc::new(shared);
        let thread = std::thread::Builder::new().name("runcellar-media".into()).spawn({
            let shared = shared.clone();
            move || Worker { shared: &shared, files: None, batch: Batch::default() }.run()
        });
        if let Err(error) = &thread {
            shared.lock().stop = true;
            shared.writer.warn(&format!("no thread for media: {error}"));
        }
        MediaQueue { shared, thread: Mutex::new(thread.ok()) }
    }

    /// Leaves media to be stored.
    ///
    /// # Errors
    /// For a strict run, if it is dropped.
    pub(super) fn push(&self, step: i64, time: i64, name: String, media: NewMedia) -> Result<()> {
        if let Err(error) = media.check() {
            return self.shared.writer.refuse(&format!("{name:?}: {error}"));
        }
        let cost = media.cost();
        let has_room = |state: &State| state.bytes == 0 || state.bytes + cost <= MEDIA_WAITING_BYTES_MAX;
        let mut state = self.shared.lock();
        if !has_room(&state) {
            let waited = self.shared.changed.wait_timeout_while(state, ROOM_WAIT, |state| !has_room(state));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.stop || !has_room(&state) {
            drop(state);
            return self.shared.writer.refuse("media come faster than they can be stored");
        }
        state.bytes += cost;
        state.waiting.push_back((Point { step, time, name }, media));
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until everything that was left is stored.
    ///
    /// # Errors
    /// If it cannot be; it stays and is tried again.
    pub(super) fn flush(&self) -> Result<()> {
        let mut state = self.shared.lock();
        state.asked += 1;
        let wanted = state.asked;
        self.shared.changed.notify_all();
        let pending = |state: &mut State| state.tried < wanted && !state.stop;
        let state = self.shared.changed.wait_while(state, pending).unwrap_or_else(PoisonError::into_inner);
        match &state.failure {
            Some((kind, text)) => Err(Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    /// Stores what is left, or gives it up and counts it; nothing is taken from then on.
    pub(super) fn finish(&self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            self.shared.writer.warn("its media thread panicked; media that waited are lost");
        }
    }
}

impl Drop for MediaQueue {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is made and waits to be stored.
#[derive(Default)]
struct Batch {
    points: Vec<Point>,
    made: Vec<Made>,
    bytes: u64,
    /// When it is to be stored.
    due: Option<Instant>,
}

struct Worker<'a> {
    shared: &'a Shared,
    /// None until the first is stored.
    files: Option<RunFiles>,
    batch: Batch,
}

/// What the thread does next.
enum Next {
    Make(Point, NewMedia),
    Store,
    End,
}

impl Worker<'_> {
    fn run(mut self) {
        loop {
            match self.next() {
                Next::Make(point, media) => self.make(point, media),
                Next::Store => self.store(),
                Next::End => return,
            }
        }
    }

    fn next(&self) -> Next {
        let mut state = self.shared.lock();
        loop {
            let is_full = self.batch.bytes >= BATCH_BYTES;
            if !is_full && let Some((point, media)) = state.waiting.pop_front() {
                return Next::Make(point, media);
            }
            let is_asked = state.stop || state.tried < state.asked;
            let Some(due) = self.batch.due else {
                state.tried = state.asked;
                self.shared.changed.notify_all();
                if state.stop {
                    return Next::End;
                }
                state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let wait = due.saturating_duration_since(Instant::now());
            if is_asked || wait.is_zero() || (is_full && state.failure.is_none()) {
                return Next::Store;
            }
            state = self.shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has the bytes of one made.
    fn make(&mut self, point: Point, media: NewMedia) {
        let cost = media.cost();
        let mut findings = Vec::new();
        let place = format!("media {}", point.name);
        let made = Made::new(&media, self.shared.redaction.scanner(), &place, &mut findings);
        drop(media);
        for finding in self.shared.redaction.take(findings) {
            // Trouble with the journal is the writer's, as below.
            let _ = self.shared.writer.redacted(&finding.to_record());
        }
        let mut state = self.shared.lock();
        state.bytes = state.bytes.saturating_sub(cost);
        match made {
            Ok(made) => {
                state.bytes += made.bytes();
                drop(state);
                self.batch.bytes += made.bytes();
                self.batch.due.get_or_insert_with(|| Instant::now() + BATCH_WAIT);
                self.batch.points.push(point);
                self.batch.made.push(made);
            }
            Err(reason) => {
                drop(state);
                self.shared.writer.drop_values(1, &format!("{:?}: {reason}", point.name));
            }
        }
        self.shared.changed.notify_all();
    }

    fn store(&mut self) {
        let stored = self.add();
        let mut state = self.shared.lock();
        match stored {
            Ok(()) => {
                state.bytes = state.bytes.saturating_sub(self.batch.bytes);
                state.failure = None;
                self.batch = Batch::default();
            }
            Err(error) if state.stop => {
                let lost = self.batch.points.len() + state.waiting.len();
                state.waiting.clear();
                state.bytes = 0;
                state.failure = Some((error.kind(), error.to_string()));
                self.batch = Batch::default();
                drop(state);
                self.shared.writer.drop_values(lost as u64, &format!("media cannot be stored ({error})"));
            }
            Err(error) => {
                state.tried = state.asked;
                state.failure = Some((error.kind(), error.to_string()));
                self.batch.due = Some(Instant::now() + RETRY_WAIT);
                drop(state);
                self.shared.writer.warn_once(format!("media wait to be stored: {error}"));
            }
        }
        self.shared.changed.notify_all();
    }

    /// Adds the batch to the run, and logs the references.
    fn add(&mut self) -> Result<()> {
        let writer = &*self.shared.writer;
        let files = match &mut self.files {
            Some(files) => files,
            None => self.files.insert(RunFiles::open(writer.inner(), self.shared.run()?)?),
        };
        let ids = files.add(writer.inner(), self.batch.made.iter())?;
        for (point, id) in self.batch.points.iter().zip(ids) {
            // Trouble with the journal is the writer's, which keeps the row and counts it.
            let _ = writer.log_at(point.step, Some(point.time), |row| row.push(&point.name, RowValue::Media(id)));
        }
        Ok(())
    }
}

impl Shared {
    /// Returns the run, and makes it known to the database if only its journal knows it.
    fn run(&self) -> Result<ObjectId> {
        let (writer, start) = (&*self.writer, self.writer.start());
        writer.inner().write(None, |tx| {
            let tag = store::run_tag(tx, &start.run_id)?;
            match tx.object_by_tag(Kind::Run, &tag)? {
                Some(row) => Ok(row.key.id),
                None => store::register(tx, writer.id(), start).map(|(run, _)| run),
            }
        })
    }
}
