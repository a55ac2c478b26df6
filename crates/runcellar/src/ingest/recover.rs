//! What dead writers left: their journals are ingested by the next opener, and their runs marked.
//!
//! A journal whose lock is free has no writer; on a network file system it takes more to tell ([`super::liveness`]). The
//! lock is taken before anything is read and held until the file is gone; should it be lost all the same (closing any
//! descriptor of a file drops the process's lock on it), two processes may ingest one journal, and the sequence in the
//! database lets each frame in once.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runcellar_format::record::{RunState, Start};
use runcellar_format::seal::Kind;
use runcellar_format::{JournalId, ObjectId, WriterId};

use super::data::RunData;
use super::liveness::{Standing, Watch, start_of};
use super::reader::JournalFile;
use super::{Extent, Intake, Pace, compact, journal_files, overviews, parallel, store};
use crate::db::ReadTx;
use crate::io::IoFile;
use crate::keys::Keyring;
use crate::run::registry::{self, Owner};
use crate::workspace::{Inner, Writing};
use crate::{Error, ErrorKind, Result};

/// Journals that are held open at once: a process may have few descriptors, and a machine may leave thousands of files
/// when it dies.
const FILES_AT_ONCE: usize = 64;
/// How long this waits for the turn on a network file system: not at all, as whoever has it may be at the same journals.
const RECOVER_WAIT: Duration = Duration::ZERO;

/// Groups of a dead writer that an opener writes anew: about a second's work.
const COMPACTED_MAX: usize = 128;

/// A file whose lock is ours: no live writer has it.
struct Claim {
    path: PathBuf,
    file: Arc<dyn IoFile>,
    /// Its entry in the registry, so that readers of this process use the descriptor that holds the lock.
    entry: Option<JournalId>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(id) = self.entry {
            registry::remove(id);
        }
    }
}

impl Claim {
    /// Removes the file, unless somebody did.
    fn remove(&self, inner: &Inner) -> Result<()> {
        match inner.io.remove(&self.path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove journal", &self.path, cause))
            }
            _ => Ok(()),
        }
    }
}

/// A journal that a dead writer left.
struct Abandoned {
    claim: Claim,
    journal: JournalFile,
    /// False if the writer is only presumed to be dead.
    proven: bool,
}

/// A journal that does not say whose it was.
struct Nameless {
    claim: Claim,
    /// It has bytes that are no header: kept for `check`. Else its writer died before it wrote any.
    damaged: bool,
}

/// What is taken in besides the journals of writers that are known to be dead.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    /// Journals that are removed though their writer is only presumed to be dead: it was silent for ten minutes.
    pub(crate) silent: bool,
    /// Journals that are taken in and removed unless their writer is seen at work.
    pub(crate) named: Vec<JournalId>,
    /// All journals, as this copy was restored: whoever is at work writes to those that it was made of.
    pub(crate) all: bool,
}

impl Claims {
    /// Returns whether a journal is to be treated as that of a dead writer; none if it is left alone.
    fn judge(&self, id: JournalId, standing: Standing) -> Option<bool> {
        match standing {
            _ if self.all => Some(true),
            Standing::AtWork => None,
            Standing::Gone => Some(true),
            Standing::Heard => self.named.contains(&id).then_some(true),
            Standing::Silent => Some(self.silent || self.named.contains(&id)),
        }
    }
}

/// Ingests the journals that dead writers left, and marks their runs. Damage in one is told to the monitor and leaves
/// the file where it is. What cannot be done now is left for the next opener.
pub(crate) fn recover(inner: &Inner) -> Result<()> {
    match recover_claiming(inner, &Claims::default(), RECOVER_WAIT) {
        Err(error) if is_for_later(&error) => Ok(()),
        outcome => outcome,
    }
}

/// As [`recover`], with what was claimed, waiting for the turn on a network file system; an error if it is not to be had.
pub(crate) fn recover_claiming(inner: &Inner, claims: &Claims, wait: Duration) -> Result<()> {
    let (watch, mut nameless) = (Watch::new(inner), Vec::new());
    for files in journal_files(inner)?.chunks(FILES_AT_ONCE) {
        recover_files(inner, files, &watch, claims, wait, &mut nameless)?;
    }
    match recover_nameless(inner, &nameless) {
        Err(error) if !is_for_later(&error) => inner.monitor.warn(&format!("journals without a header: {error}")),
        _ => {}
    }
    Ok(())
}

/// Recovers what is left of some of the journals. That those of a writer come in pieces costs nothing but order, as gaps
/// are filled by whoever finds their frames.
fn recover_files(
    inner: &Inner,
    files: &[(JournalId, PathBuf)],
    watch: &Watch<'_>,
    claims: &Claims,
    wait: Duration,
    nameless: &mut Vec<Nameless>,
) -> Result<()> {
    let left = |id: JournalId, error: &Error| inner.monitor.warn(&format!("journal {id} is left as it is: {error}"));
    let mut abandoned = Vec::new();
    for (id, path) in files {
        let claim = match claim(inner, *id, path.clone()) {
            Ok(Some(claim)) => claim,
            Ok(None) => continue,
            Err(error) => {
                left(*id, &error);
                continue;
            }
        };
        let opened = JournalFile::open(claim.file.clone());
        let named = opened.as_ref().is_ok_and(Option::is_some);
        let judged = watch.standing(&claim.path, named.then_some(&claim.file));
        let proven = match judged.map(|standing| claims.judge(*id, standing)) {
            Ok(None) => continue,
            Ok(Some(proven)) => proven,
            Err(error) => {
                left(*id, &error);
                continue;
            }
        };
        match opened {
            Ok(Some(journal)) => abandoned.push(Abandoned { claim, journal, proven }),
            Ok(None) => nameless.push(Nameless { claim, damaged: false }),
            Err(error) => {
                left(*id, &error);
                nameless.push(Nameless { claim, damaged: true });
            }
        }
    }
    abandoned.sort_by_key(|left| (left.journal.header.writer, left.journal.header.first_sequence));
    let mut writers: Vec<Vec<Abandoned>> = Vec::new();
    for left in abandoned {
        match writers.last_mut() {
            Some(files) if files[0].journal.header.writer == left.journal.header.writer => files.push(left),
            _ => writers.push(vec![left]),
        }
    }
    if writers.is_empty() {
        return Ok(());
    }
    let writing = inner.writing(Some(wait))?;
    let superfluous = Mutex::default();
    let outcome = recover_writers(&writing, watch, writers, &superfluous);
    writing.publish()?;
    let superfluous: Vec<Claim> = superfluous.into_inner().unwrap_or_else(PoisonError::into_inner);
    superfluous.iter().try_for_each(|claim| claim.remove(inner))?;
    outcome
}

/// Recovers writers, each in one thread; `superfluous` are the journals that may go once that is published.
fn recover_writers(
    writing: &Writing<'_>,
    watch: &Watch<'_>,
    writers: Vec<Vec<Abandoned>>,
    superfluous: &Mutex<Vec<Claim>>,
) -> Result<()> {
    parallel::for_each(writers, |files| {
        let (id, writer) = (files[0].journal.header.journal, files[0].journal.header.writer);
        match recover_writer(writing, watch, writer, files) {
            Err(error) if is_for_later(&error) => return Err(error),
            // Another process is at it.
            Err(error) if error.kind() == ErrorKind::State => {}
            Err(error) => writing.inner().monitor.warn(&format!("journal {id} is left as it is: {error}")),
            Ok(claims) => superfluous.lock().unwrap_or_else(PoisonError::into_inner).extend(claims),
        }
        Ok(())
    })
}

/// Returns true if nothing is lost by waiting: readers take rows from journals, and the next opener tries again.
fn is_for_later(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::Busy)
}

/// Takes the lock of a journal whose writer is gone.
fn claim(inner: &Inner, id: JournalId, path: PathBuf) -> Result<Option<Claim>> {
    if !matches!(registry::owner(&*inner.io, id, &path), Owner::Other) {
        return Ok(None);
    }
    let failed = |doing| {
        let path = path.clone();
        move |cause| Error::io(doing, &path, cause)
    };
    let file = match inner.io.open(&path) {
        Ok(file) => file,
        // Ingested by somebody else in between.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return or_not_ours(failed("open journal")(cause)),
    };
    let entry = registry::insert_if_free(id, file.clone()).then_some(id);
    if entry.is_none() && !matches!(registry::owner(&*inner.io, id, &path), Owner::Other) {
        // Another thread of this process is at it.
        return Ok(None);
    }
    let claim = Claim { path: path.clone(), file, entry };
    match claim.file.try_lock() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(cause) if cause.kind() == std::io::ErrorKind::Unsupported && inner.is_network() => {}
        Err(cause) => return or_not_ours(failed("lock journal")(cause)),
    }
    // It may have been ingested and removed between opening and locking.
    let identity = claim.file.identity().map_err(failed("look at journal"))?;
    Ok(inner.io.identity(&path).is_ok_and(|found| found == identity).then_some(claim))
}

/// A journal that may not be written is not ours to ingest; readers still see it.
fn or_not_ours<T>(error: Error) -> Result<Option<T>> {
    if error.kind() == ErrorKind::ReadOnly { Ok(None) } else { Err(error) }
}

/// Ingests what a writer left; returns the journals that may go once that is published.
fn recover_writer(
    writing: &Writing<'_>,
    watch: &Watch<'_>,
    writer: WriterId,
    files: Vec<Abandoned>,
) -> Result<Vec<Claim>> {
    let mut intake = intake_of(writing, writer)?;
    let (mut whole, mut damaged, mut owes_best) = (Vec::new(), Vec::new(), false);
    for Abandoned { claim, journal, proven } in files {
        let id = journal.header.journal;
        if writing.read(|tx, keyring| tx.is_buried(keyring, ObjectId(writer.0)))? {
            // Its run was erased, and with it the key of the journal.
            whole.push((claim, proven));
            continue;
        }
        let ingested = writing.read(|tx, keyring| journal.unlock(tx, keyring)).and_then(|mut reader| {
            intake.next_file();
            intake.ingest(writing, &mut reader, Extent::All, Pace::Recovering)?;
            Ok(reader.damage.is_empty())
        });
        match ingested {
            Ok(true) => whole.push((claim, proven)),
            // A stretch that is no frame is damage: the file is kept for `check`, and for whoever can mend it.
            Ok(false) => damaged.push((claim, format!("journal {id} is damaged in the middle"))),
            // Nor do its other files suffer from one that does not open, or whose names were never written.
            Err(error) if error.kind() == ErrorKind::Damaged => {
                damaged.push((claim, format!("journal {id}: {error}")));
                owes_best |= intake.owes_best;
                intake = intake_of(writing, writer)?;
            }
            Err(error) => return Err(error),
        }
    }
    owes_best |= intake.owes_best;
    let is_erased = writing.read(|tx, keyring| tx.is_buried(keyring, ObjectId(writer.0)))?;
    if !is_erased && (!intake.is_empty() || !writing.read(|tx, keyring| is_settled(tx, keyring, writer))?) {
        intake.store(writing, None, true)?;
    }
    for (_, what) in &damaged {
        writing.inner().monitor.warn(&format!("{what}; it is kept: runcellar check says more"));
    }
    // One of a writer that may be at work after all stays until that has said its last, or is silent for long.
    let closed = writing.read(|tx, keyring| store::writer_row(tx, keyring, writer))?.is_some_and(|row| row.closed);
    let may_go = |(claim, proven): (Claim, bool)| {
        let goes = proven || closed || watch.is_long_silent(&claim.path).unwrap_or(false);
        goes.then_some(claim)
    };
    // What was stored cheaply just now would take as long again: it is left to somebody with time. What the writer itself
    // stored so is little.
    match owes_best {
        true => writing.inner().owe_best(writer)?,
        false => drop(compact(writing, writer, COMPACTED_MAX)?),
    }
    overviews::update_of_writer(writing, writer, usize::MAX)?;
    Ok(whole.into_iter().filter_map(may_go).collect())
}

fn intake_of(writing: &Writing<'_>, writer: WriterId) -> Result<Intake> {
    Ok(Intake::after(writer, writing.read(|tx, keyring| store::progress_of(tx, keyring, writer))?))
}

/// Returns true if the database knows how this writer ended.
fn is_settled(tx: &ReadTx<'_>, keyring: &Keyring, writer: WriterId) -> Result<bool> {
    let Some(row) = store::writer_row(tx, keyring, writer)? else { return Ok(false) };
    let Some(run) = tx.object(crate::db::ObjectKey::new(Kind::Run, ObjectId(row.run), 0))? else { return Ok(false) };
    let data = RunData::without_series(tx, keyring, &run)?;
    let session = data.record.sessions.iter().find(|session| session.writer == writer.0);
    Ok(session.is_some_and(|session| session.state != RunState::Running))
}

/// Marks the runs of writers that died before they wrote a header, and removes their files.
///
/// As such a file does not say whose it was, every writer that seems at work and has no journal counts as dead. That
/// holds only if all other journals tell their writer: else the files stay, for an opener that finds them so.
fn recover_nameless(inner: &Inner, nameless: &[Nameless]) -> Result<()> {
    if nameless.is_empty() {
        return Ok(());
    }
    let at_work = inner.read(writers_at_work)?;
    let mut without_journal = at_work;
    // A listing may miss a file that takes the place of another meanwhile; two in a row do not.
    for _ in 0..2 {
        let Some(with_journal) = writers_with_journal(inner, nameless)? else { return Ok(()) };
        without_journal.retain(|writer| !with_journal.contains(writer));
    }
    let writing = inner.writing(Some(RECOVER_WAIT))?;
    for writer in without_journal {
        match intake_of(&writing, writer)?.store(&writing, None, true) {
            // It has gone on meanwhile.
            Err(error) if error.kind() == ErrorKind::State => {}
            outcome => outcome?,
        }
    }
    writing.publish()?;
    nameless.iter().filter(|nameless| !nameless.damaged).try_for_each(|nameless| nameless.claim.remove(inner))
}

fn writers_at_work(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<HashSet<WriterId>> {
    let mut writers = HashSet::new();
    for row in tx.objects(Kind::Run, None)? {
        // A damaged record is told by listings and by `check`.
        let Ok(data) = RunData::without_series(tx, keyring, &row) else { continue };
        let running = data.record.sessions.iter().filter(|session| session.state == RunState::Running);
        writers.extend(running.map(|session| WriterId(session.writer)));
    }
    Ok(writers)
}

/// Returns the writers that the journals name; `None` if one besides `nameless` names none.
fn writers_with_journal(inner: &Inner, nameless: &[Nameless]) -> Result<Option<HashSet<WriterId>>> {
    let mut writers = HashSet::new();
    for (id, path) in journal_files(inner)? {
        if nameless.iter().any(|nameless| nameless.claim.path == path) {
            continue;
        }
        let file = match registry::owner(&*inner.io, id, &path) {
            Owner::Making => return Ok(None),
            Owner::Own(file) => file,
            Owner::Other => match inner.io.open(&path) {
                Ok(file) => file,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
                Err(_) => return Ok(None),
            },
        };
        match JournalFile::open(file) {
            Ok(Some(journal)) => writers.insert(journal.header.writer),
            _ => return Ok(None),
        };
    }
    Ok(Some(writers))
}

/// A journal as it lies there.
pub(crate) struct Lying {
    pub(crate) standing: Standing,
    /// Its first record, if it can be read.
    pub(crate) start: Option<Box<Start>>,
}

/// Looks at a journal without touching it; none if it has been taken in meanwhile.
pub(crate) fn look(inner: &Inner, id: JournalId, path: &Path) -> Result<Option<Lying>> {
    let failed = |cause| Error::io("look at journal", path, cause);
    let file = match registry::owner(&*inner.io, id, path) {
        Owner::Other => match inner.io.open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(cause)),
        },
        _ => return Ok(Some(Lying { standing: Standing::AtWork, start: None })),
    };
    let start = start_of(inner, file.clone()).ok().flatten();
    let standing = match file.try_lock() {
        Ok(false) => Standing::AtWork,
        Err(cause) if !(cause.kind() == std::io::ErrorKind::Unsupported && inner.is_network()) => {
            return Err(failed(cause));
        }
        _ => Watch::new(inner).standing(path, Some(&file))?,
    };
    Ok(Some(Lying { standing, start }))
}

/// Returns whether a journal is that of a writer at work, as far as can be told from here.
pub(crate) fn is_live(inner: &Inner, id: JournalId, path: &Path) -> std::io::Result<bool> {
    match registry::owner(&*inner.io, id, path) {
        Owner::Other => {
            let file = inner.io.open(path)?;
            match file.try_lock() {
                Ok(false) => return Ok(true),
                Err(cause) if cause.kind() == std::io::ErrorKind::Unsupported && inner.is_network() => {}
                Err(cause) => return Err(cause),
                Ok(true) => {}
            }
            let standing = Watch::new(inner).standing(path, Some(&file)).map_err(std::io::Error::other)?;
            Ok(matches!(standing, Standing::AtWork | Standing::Heard))
        }
        _ => Ok(true),
    }
}
