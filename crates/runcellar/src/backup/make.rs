//! Making a backup.
//!
//! Journals first, then the database, then packs: what a writer ingests while this is at it is then in the database, and
//! a copied database names only packs that were whole before. Of one writer the later journals come before the earlier
//! ones, as an earlier one is complete once a later one has rows: so no row is missing between two that are there. A file
//! that nobody has begun is the latest of its writer, whoever that is.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runcellar_format::backup::{Mark, MarkKind};
use runcellar_format::record::Away;
use runcellar_format::seal::Kind;
use runcellar_format::{JournalId, LineageId, ObjectId};

use super::files::{self, Done, Job};
use super::mark::Hold;
use super::stage::{self, Stage};
use super::{BackupOptions, BackupReport};
use crate::blob::{all_away, pack_path};
use crate::db::{self, FILE_NAME, ReadTx};
use crate::ingest::{self, reader::JournalFile};
use crate::io::{self, Io, IoFile};
use crate::keys::Keyring;
use crate::run::registry::{self, Owner};
use crate::workspace::{FileSystemMode, Inner, JOURNALS, KEYSLOTS, PACKS, TMP};
use crate::{CheckOptions, Error, ErrorKind, Result};

/// How often the database is copied because keys were changed or packs written anew meanwhile.
const ATTEMPTS: usize = 5;

/// Makes or brings up to date the backup at `dest`.
pub(super) fn backup(inner: &Inner, dest: &Path, options: BackupOptions) -> Result<BackupReport> {
    let (mut report, hold) = copy(inner, dest, MarkKind::Backup)?;
    say_where(inner, dest);
    if options.verify {
        let copy = inner.copy_at(dest, true, FileSystemMode::Auto)?;
        report.verified = Some(copy.check(CheckOptions { read_data: true })?);
    }
    drop(hold);
    report.key_file = inner.key_file().map(Path::to_owned);
    Ok(report)
}

/// Says what a backup does not help against because of where it lies.
fn say_where(inner: &Inner, dest: &Path) {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(dest).starts_with(real(&inner.path)) {
        let message = format!("backup {}: it lies inside the workspace, and goes with it", dest.display());
        return inner.monitor.warn(&message);
    }
    if let (Ok((here, _)), Ok((there, _))) = (inner.io.identity(&inner.path), inner.io.identity(dest))
        && here == there
    {
        let message =
            format!("backup {}: it lies on the same disk as the workspace, and goes with that", dest.display());
        inner.monitor.note(&message);
    }
}

/// Copies the workspace as it is now into a folder with such a mark. The folder is the caller's until the hold is dropped.
pub(super) fn copy(inner: &Inner, dest: &Path, kind: MarkKind) -> Result<(BackupReport, Hold)> {
    let lineage = LineageId(inner.read(|tx, keyring| tx.root(keyring))?.lineage);
    let hold = Hold::take(&*inner.io, dest, Mark { kind, workspace: inner.id, lineage })?;
    for name in [JOURNALS, PACKS, TMP] {
        let directory = dest.join(name);
        io::create_dir_durable(&*inner.io, &directory).map_err(|cause| Error::io("create", &directory, cause))?;
    }
    let mut copy = Copy { inner, io: &*inner.io, dest, done: 0, total: 0, report: BackupReport::default() };
    copy.estimate()?;
    for attempt in 1.. {
        match copy.once(attempt == ATTEMPTS)? {
            true => break,
            false if attempt == ATTEMPTS => {
                let message = format!("workspace {}: its keys are being changed", inner.path.display());
                return Err(Error::new(ErrorKind::Busy, message));
            }
            false => {}
        }
    }
    Ok((copy.report, hold))
}

/// A copy under way.
struct Copy<'a> {
    inner: &'a Inner,
    io: &'a dyn Io,
    dest: &'a Path,
    /// Bytes copied, for progress.
    done: u64,
    /// Bytes that will be copied, as far as known when it began.
    total: u64,
    report: BackupReport,
}

impl Copy<'_> {
    /// Copies all that is new; false if it is to be done again, as keys or packs were changed meanwhile.
    fn once(&mut self, last: bool) -> Result<bool> {
        let (io, dest) = (self.io, self.dest);
        self.report = BackupReport::default();
        let stage = Stage::begin(io, dest)?;
        let journals = self.journals(&stage)?;
        let (database, staged) = self.database(&stage)?;
        let (keyslots, fits) = self.inner.keyslots_for(&database)?;
        if !fits {
            return Ok(false);
        }
        let named = |tx: &ReadTx<'_>, keyring: &Keyring| Ok((tx.object_ids(Kind::Pack)?, all_away(tx, keyring)?));
        let (packs, away) = self.inner.read_copy(&database, named)?;
        let (packs, away) = (packs.into_iter().collect(), away.into_iter().collect());
        let gone = self.packs(&stage, &packs, &away)?;
        if !gone.is_empty() && !last && !self.is_current(&database)? {
            // Written anew by a collection, whose outcome the next copy of the database has.
            return Ok(false);
        }
        let relative = |path: &PathBuf| path.strip_prefix(&self.inner.path).unwrap_or(path).display().to_string();
        self.report.missing = gone.iter().map(relative).collect();
        let known = io.read(&dest.join(KEYSLOTS), keyslots.len() as u64);
        let same = known.is_ok_and(|known| known == keyslots);
        if journals.staged || staged || !same {
            stage.commit(&keyslots)?;
        }
        self.sweep(&journals.ids, &packs)?;
        Ok(true)
    }

    /// Counts what there is to copy.
    fn estimate(&mut self) -> Result<()> {
        let packs = self.inner.read(|tx, _| tx.object_ids(Kind::Pack))?;
        for pack in packs {
            let (here, there) = (pack_path(&self.inner.path, pack), pack_path(self.dest, pack));
            let bytes = files::length(self.io, &here)?;
            if bytes != files::length(self.io, &there)? {
                self.total += bytes.unwrap_or(0);
            }
        }
        if !self.has_database(&self.dest.join(FILE_NAME)) {
            self.total += self.inner.database_bytes()?;
        }
        Ok(())
    }

    fn copied(&mut self, bytes: u64) {
        self.done += bytes;
        self.inner.monitor.progress("bytes", self.done, self.total.max(self.done));
    }

    /// Returns whether a copy of the database is what the database is now.
    fn is_current(&self, copy: &Path) -> Result<bool> {
        let here = self.inner.read(|tx, keyring| tx.root(keyring))?;
        let there = self.inner.read_copy(copy, |tx, keyring| tx.root(keyring))?;
        Ok((here.lineage, here.counter, here.sum) == (there.lineage, there.counter, there.sum))
    }

    /// Returns whether the copy that is there need not be made again: it can be read, and is current. One with a log of
    /// SQLite's beside it was written to, by a restore that was cut off or by another program.
    fn has_database(&self, there: &Path) -> bool {
        !db::has_companions(there) && self.is_current(there).unwrap_or(false)
    }

    /// Stages the database, unless the one that is there is the same; returns where the copy is, and whether it is staged.
    fn database(&mut self, stage: &Stage<'_>) -> Result<(PathBuf, bool)> {
        let there = self.dest.join(FILE_NAME);
        if self.has_database(&there) {
            self.report.kept_files += 1;
            self.report.kept_bytes += files::length(self.io, &there)?.unwrap_or(0);
            return Ok((there, false));
        }
        let path = stage.database();
        let created = self.io.create_new(&path).map_err(|cause| Error::io("create", &path, cause))?;
        let mut told = 0;
        self.inner.copy_database(&path, |done, _| {
            let bytes = done.saturating_sub(told);
            told += bytes;
            self.copied(bytes);
        })?;
        created.sync().map_err(|cause| Error::io("write", &path, cause))?;
        self.report.copied_files += 1;
        self.report.copied_bytes += created.len().map_err(|cause| Error::io("look at", &path, cause))?;
        Ok((path, true))
    }

    /// Stages the journals that are new or have grown.
    fn journals(&mut self, stage: &Stage<'_>) -> Result<Journals> {
        // A listing may show a journal that is made meanwhile, and not the one before it. So it is listed twice: what was
        // before one of the first listing is in the second, or ingested.
        let first: HashSet<JournalId> = ingest::journal_files(self.inner)?.into_iter().map(|(id, _)| id).collect();
        let (mut listed, mut last) = (Vec::new(), HashMap::new());
        for (id, path) in ingest::journal_files(self.inner)? {
            let Some(file) = self.open_journal(id, &path)? else { continue };
            // One whose header is not whole, or damaged, is copied as it is.
            let header = JournalFile::open(file).ok().flatten().map(|journal| journal.header);
            let place = header.map(|header| (header.writer, header.first_sequence));
            if let Some((writer, sequence)) = place.filter(|_| first.contains(&id)) {
                let last = last.entry(writer).or_insert(sequence);
                *last = sequence.max(*last);
            }
            listed.push((place, id, path));
        }
        listed.retain(|(place, id, _)| match place {
            Some((writer, sequence)) => last.get(writer).is_some_and(|last| sequence <= last),
            None => first.contains(id),
        });
        // Without a place first: one that was made ahead may be begun by now.
        listed.sort_by_key(|(place, ..)| place.map(std::cmp::Reverse));
        let mut journals = Journals { ids: HashSet::new(), staged: false };
        for (_, id, path) in listed {
            let Some(file) = self.open_journal(id, &path)? else { continue };
            journals.ids.insert(id);
            let there = files::length(self.io, &self.dest.join(JOURNALS).join(format!("{id}.jnl")))?;
            let bytes = file.len().map_err(|cause| Error::io("look at journal", &path, cause))?;
            if there == Some(bytes) {
                self.report.kept_files += 1;
                self.report.kept_bytes += bytes;
                continue;
            }
            let (copy, bytes) =
                files::copy(self.io, (&*file, &path), &stage.journal(id), &mut |bytes| self.copied(bytes))?;
            copy.sync().map_err(|cause| Error::io("write", &stage.journal(id), cause))?;
            self.report.copied_files += 1;
            self.report.copied_bytes += bytes;
            journals.staged = true;
        }
        Ok(journals)
    }

    /// Opens a journal; none if it was taken in meanwhile, or is just being made.
    fn open_journal(&self, id: JournalId, path: &Path) -> Result<Option<Arc<dyn IoFile>>> {
        match registry::owner(self.io, id, path) {
            Owner::Own(file) => Ok(Some(file)),
            Owner::Making => Ok(None),
            Owner::Other => match self.io.open(path) {
                Ok(file) => Ok(Some(file)),
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(cause) => Err(Error::io("open journal", path, cause)),
            },
        }
    }

    /// Copies the packs that are not there; returns those that the workspace does not have, and did not evict.
    fn packs(
        &mut self,
        stage: &Stage<'_>,
        packs: &HashSet<ObjectId>,
        away: &HashMap<ObjectId, Away>,
    ) -> Result<Vec<PathBuf>> {
        let (mut jobs, mut directories, mut gone) = (Vec::new(), HashSet::new(), Vec::new());
        for pack in packs {
            let (from, to) = (pack_path(&self.inner.path, *pack), pack_path(self.dest, *pack));
            match (files::length(self.io, &from)?, files::length(self.io, &to)?, away.get(pack)) {
                // What an earlier backup has of it stays there.
                (None, there, Some(away)) => {
                    self.report.evicted_files += u64::from(there.is_none());
                    self.report.evicted_bytes += if there.is_none() { away.bytes } else { 0 };
                }
                (None, ..) => gone.push(from),
                (Some(here), Some(there), _) if here == there => {
                    self.report.kept_files += 1;
                    self.report.kept_bytes += here;
                }
                _ => {
                    let directory = to.parent().unwrap_or(self.dest).to_owned();
                    if directories.insert(directory.clone()) {
                        io::create_dir_durable(self.io, &directory)
                            .map_err(|cause| Error::io("create", &directory, cause))?;
                    }
                    jobs.push(Job { from, to });
                }
            }
        }
        // In order of name, as the disk has them.
        jobs.sort_by(|one, other| one.to.cmp(&other.to));
        let io = self.io;
        let Done { files, bytes, gone: vanished } = files::copy_all(io, stage, jobs, &mut |bytes| self.copied(bytes))?;
        for directory in directories {
            io.sync_dir(&directory).map_err(|cause| Error::io("sync", &directory, cause))?;
        }
        (self.report.copied_files, self.report.copied_bytes) =
            (self.report.copied_files + files, self.report.copied_bytes + bytes);
        gone.extend(vanished);
        gone.sort();
        Ok(gone)
    }

    /// Removes what the workspace has no longer; the state that is there now does not refer to it.
    fn sweep(&mut self, journals: &HashSet<JournalId>, packs: &HashSet<ObjectId>) -> Result<()> {
        let io = self.io;
        let list = |path: &Path| io.list(path).map_err(|cause| Error::io("list", path, cause));
        let mut superfluous = Vec::new();
        let directory = self.dest.join(JOURNALS);
        for name in list(&directory)? {
            let id = name.to_str().and_then(|name| JournalId::from_hex(name.strip_suffix(".jnl")?));
            if id.is_some_and(|id| !journals.contains(&id)) {
                superfluous.push(directory.join(name));
            }
        }
        let directory = self.dest.join(PACKS);
        for folder in list(&directory)? {
            let folder = directory.join(folder);
            for name in list(&folder)? {
                let id = name.to_str().and_then(|name| ObjectId::from_hex(name.strip_suffix(".pack")?));
                if id.is_some_and(|id| !packs.contains(&id)) {
                    superfluous.push(folder.join(name));
                }
            }
        }
        self.report.removed_files = superfluous.len() as u64;
        superfluous.iter().try_for_each(|path| stage::remove(io, path))
    }
}

/// The journals that belong to the copy.
struct Journals {
    ids: HashSet<JournalId>,
    /// One is to take its place.
    staged: bool,
}
