//! Journals: headers, frames, damage in the middle and at the end; and files that belong to nobody.

use std::collections::HashSet;
use std::path::Path;

use runcellar_format::{JournalId, ObjectId, WriterId};

use super::rows::Known;
use super::{CheckReport, Problem, ProblemKind};
use crate::db::ReadTx;
use crate::ingest::batch::Batch;
use crate::ingest::progress::Progress;
use crate::ingest::reader::JournalFile;
use crate::ingest::store;
use crate::keys::Keyring;
use crate::run::registry::{self, Owner};
use crate::workspace::{Inner, JOURNALS, TMP};
use crate::{Error, Result};

/// Journals opened before the database is read, so that none is ingested unseen in between.
pub(super) struct Journals {
    open: Vec<OpenJournal>,
    /// There is one without a header, so that a writer which is about to write it seems to have none.
    nameless: bool,
}

/// The writers that have a journal.
pub(super) struct Writers {
    named: HashSet<WriterId>,
    nameless: bool,
}

impl Writers {
    /// Returns whether this writer has one, or may have: one of which nothing was stored yet (`fresh`) begins with its header.
    pub(super) fn may_have(&self, writer: WriterId, fresh: bool) -> bool {
        self.named.contains(&writer) || (fresh && self.nameless)
    }
}

struct OpenJournal {
    id: JournalId,
    file: JournalFile,
    /// True if a writer is at work on it, so that its end may be a frame under way.
    live: bool,
}

fn name_of(id: JournalId) -> String {
    format!("{JOURNALS}/{id}.jnl")
}

impl Journals {
    pub(super) fn open(inner: &Inner, report: &mut CheckReport) -> Result<Journals> {
        let (mut open, mut nameless) = (Vec::new(), false);
        for (id, path) in crate::ingest::journal_files(inner)? {
            let owner = registry::owner(&*inner.io, id, &path);
            let own = matches!(owner, Owner::Own(_));
            let opened = match owner {
                Owner::Own(file) => Ok(file),
                Owner::Making => {
                    nameless = true;
                    continue;
                }
                Owner::Other => inner.io.open(&path),
            };
            report.checked.journals += 1;
            let opened = opened.map_err(|cause| Error::io("open journal", &path, cause)).and_then(|file| {
                report.checked.bytes += file.len().unwrap_or(0);
                // Taking the lock of a dead writer's journal harms nobody: it goes when the file is closed.
                let live = own || !file.try_lock().unwrap_or(false);
                Ok(JournalFile::open(file)?.map(|file| OpenJournal { id, file, live }))
            });
            match opened {
                Ok(Some(journal)) => open.push(journal),
                Ok(None) => {
                    nameless = true;
                    let message = format!("journal {id}: it ends inside its header");
                    report.add(Problem::note(ProblemKind::TornTail, message).of_file(name_of(id)));
                }
                // Ingested in between.
                Err(_) if !path.exists() => report.checked.journals -= 1,
                Err(error) => {
                    report.add(
                        Problem::error(ProblemKind::Damaged, format!("journal {id}: {error}")).of_file(name_of(id)),
                    );
                }
            }
        }
        open.sort_by_key(|journal| (journal.file.header.writer, journal.file.header.first_sequence));
        note_strangers(inner, &inner.path.join(TMP), TMP, report);
        Ok(Journals { open, nameless })
    }

    /// Returns the writers that have a journal.
    pub(super) fn writers(&self) -> Writers {
        let named = self.open.iter().map(|journal| journal.file.header.writer).collect();
        Writers { named, nameless: self.nameless }
    }

    pub(super) fn check(
        self,
        tx: &ReadTx<'_>,
        keyring: &Keyring,
        known: &Known,
        report: &mut CheckReport,
    ) -> Result<()> {
        let mut last: Option<(WriterId, Progress)> = None;
        for OpenJournal { id, file, live } in self.open {
            let writer = file.header.writer;
            // One that does not open is told where all tombstones are.
            if tx.is_buried(keyring, ObjectId(writer.0)).unwrap_or(false) {
                continue;
            }
            let row = store::writer_row(tx, keyring, writer).ok().flatten();
            let run = row.as_ref().map(|row| known.name(ObjectId(row.run)));
            let base = match last.take() {
                Some((of, progress)) if of == writer => progress,
                _ => row.as_ref().map_or_else(Progress::default, Progress::of),
            };
            let mut batch = Batch::after(writer, base);
            let mut reader = match file.unlock(tx, keyring) {
                Ok(reader) => reader,
                Err(error) => {
                    let problem = Problem::error(ProblemKind::Damaged, format!("journal {id}: {error}"));
                    report.add(Problem { run, ..problem.of_file(name_of(id)) });
                    continue;
                }
            };
            let outcome = reader.read(|sequence, plain| batch.take(sequence, plain).map(|()| true));
            let run = run.or(batch.start.as_ref().map(|start| start.run_id.clone()));
            let mut add = |problem: Problem| report.add(Problem { run: run.clone(), ..problem.of_file(name_of(id)) });
            if let Err(error) = outcome {
                add(Problem::error(ProblemKind::Damaged, format!("journal {id}: {error}")));
            }
            for (start, end) in &reader.damage {
                add(Problem::error(ProblemKind::Damaged, format!("journal {id}: bytes {start} to {end} are no frame")));
            }
            for (first, to) in batch.progress.missing.iter().filter(|gap| !batch.base.missing.contains(gap)) {
                add(Problem::error(ProblemKind::Missing, format!("journal {id}: frames {first} to {to} are missing")));
            }
            if let Some(at) = reader.torn_at.filter(|_| !live) {
                add(Problem::note(
                    ProblemKind::TornTail,
                    format!("journal {id}: the bytes from {at} on are no whole frame"),
                ));
            }
            last = Some((writer, batch.progress));
        }
        Ok(())
    }
}

/// Notes files that no process is known to be writing: left by a crash, and of no use.
fn note_strangers(inner: &Inner, directory: &Path, name: &str, report: &mut CheckReport) {
    for file in inner.io.list(directory).unwrap_or_default() {
        let message = format!("{name}/{}: nothing refers to it", file.display());
        report.add(Problem::note(ProblemKind::Unreferenced, message).of_file(format!("{name}/{}", file.display())));
    }
}
