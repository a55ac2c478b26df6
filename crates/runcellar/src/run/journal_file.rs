//! Making a journal file: create, lock, header, first frames.

use std::path::PathBuf;
use std::sync::Arc;

use runcellar_format::journal::{FrameKey, Header};
use runcellar_format::keyslots::IngestPublic;
use runcellar_format::seal::OwnerKey;
use runcellar_format::{JournalId, Secret, WriterId};

use super::registry;
use crate::io::{self, FileIdentity, IoFile};
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Result};

/// Ending of journal files.
pub(crate) const EXTENSION: &str = "jnl";
/// How often a file is made that other processes take for abandoned before it is locked.
const CREATE_ATTEMPTS: usize = 16;

/// What the key of a new journal comes from.
#[derive(Clone)]
pub(super) enum JournalKey {
    /// The run's metrics key: the run is in the database.
    Run(Arc<OwnerKey>),
    /// The ingest public key: the database could not be had in time, or must not be touched.
    Ingest(IngestPublic),
}

/// A created and locked file without content: made ahead, so that `log()` need not wait for the disk at a rollover.
pub(super) struct EmptyJournal {
    pub(super) id: JournalId,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn IoFile>,
    pub(super) identity: FileIdentity,
}

/// A journal that frames are appended to.
pub(super) struct OpenJournal {
    pub(super) id: JournalId,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn IoFile>,
    pub(super) identity: FileIdentity,
    pub(super) key: FrameKey,
    /// Bytes of frames written after the preamble.
    pub(super) bytes: u64,
    /// When it was begun, on the monotonic clock in microseconds.
    pub(super) begun_us: i64,
}

impl EmptyJournal {
    /// Creates a file and takes its lock; its name is durable when this returns.
    pub(super) fn create(inner: &Inner) -> Result<EmptyJournal> {
        let mut outcome = EmptyJournal::create_once(inner);
        for _ in 1..CREATE_ATTEMPTS {
            match outcome {
                Ok(None) => outcome = EmptyJournal::create_once(inner),
                _ => break,
            }
        }
        outcome?
            .ok_or_else(|| Error::new(ErrorKind::Busy, "create journal: other processes keep taking it for abandoned"))
    }

    /// Returns `None` if another process took the file for one whose writer died: it is empty and not locked for a
    /// moment, and such a file is removed by whoever finds it.
    fn create_once(inner: &Inner) -> Result<Option<EmptyJournal>> {
        let id = JournalId(io::random(&*inner.io)?);
        let directory = inner.journals();
        let path = directory.join(format!("{id}.{EXTENSION}"));
        let failed = |cause| Error::io("create journal", &path, cause);
        registry::reserve(id);
        let file = inner.io.create_new(&path).map_err(|cause| {
            registry::remove(id);
            failed(cause)
        })?;
        registry::insert(id, file.clone());
        let locked = match file.try_lock() {
            // Where there are no locks, the start record and the heartbeats tell that this writer is at work.
            Err(cause) if cause.kind() == std::io::ErrorKind::Unsupported && inner.is_network() => Ok(true),
            locked => locked,
        };
        let made = locked.and_then(|locked| {
            let identity = file.identity()?;
            // Only with the lock held is it sure that nobody is about to remove it.
            let ours = locked && inner.io.identity(&path).is_ok_and(|found| found == identity);
            if ours {
                inner.io.sync_dir(&directory)?;
            }
            Ok(ours.then_some(identity))
        });
        match made {
            Ok(Some(identity)) => Ok(Some(EmptyJournal { id, path, file, identity })),
            Ok(None) => {
                registry::remove(id);
                Ok(None)
            }
            Err(cause) => {
                let error = Error::io("create journal", &path, cause);
                EmptyJournal { id, path, file, identity: (0, 0) }.discard(inner);
                Err(error)
            }
        }
    }

    /// Removes a file that was never used.
    pub(super) fn discard(self, inner: &Inner) {
        // An empty journal that stays is removed by the next opener.
        let _ = inner.io.remove(&self.path);
        registry::remove(self.id);
    }

    /// Writes the header and the frames of sequence 0 (`preamble`), each a plaintext.
    pub(super) fn begin(
        self,
        inner: &Inner,
        writer: WriterId,
        first_sequence: u64,
        key: &JournalKey,
        preamble: &[Vec<u8>],
    ) -> Result<OpenJournal> {
        let named = |cause| Error::format("journal header", cause);
        let salt = io::random(&*inner.io)?;
        let (header, key) = match key {
            JournalKey::Run(owner) => {
                Header::under_run_key(inner.id, self.id, writer, first_sequence, (owner.id(), owner.secret()), salt)
            }
            JournalKey::Ingest(ingest) => {
                let secret = Secret::new(io::random(&*inner.io)?);
                let ephemeral = io::random(&*inner.io)?;
                let public = (ingest.generation, ingest.public);
                let ids = (inner.id, self.id, writer);
                Header::under_ingest_key(ids, first_sequence, public, &secret, ephemeral, salt).map_err(named)?
            }
        };
        let mut bytes = header.encode().map_err(named)?;
        for plain in preamble {
            key.seal_into(0, plain, &mut bytes).map_err(|cause| Error::format("journal frame", cause))?;
        }
        let EmptyJournal { id, path, file, identity } = self;
        match file.append(&bytes) {
            Ok(written) if written == bytes.len() => {
                let begun_us = inner.io.monotonic_us();
                Ok(OpenJournal { id, path, file, identity, key, bytes: 0, begun_us })
            }
            outcome => {
                let cause = outcome.err().unwrap_or_else(|| std::io::ErrorKind::WriteZero.into());
                let error = Error::io("write journal", &path, cause);
                EmptyJournal { id, path, file, identity }.discard(inner);
                Err(error)
            }
        }
    }
}

impl OpenJournal {
    /// Appends frames again, each a sequence and a plaintext; the file is discarded if it does not take them all.
    pub(super) fn append_all<'a>(
        mut self,
        inner: &Inner,
        frames: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> Result<OpenJournal> {
        let mut bytes = Vec::new();
        for (sequence, plain) in frames {
            let sealed = self.key.seal_into(sequence, plain, &mut bytes);
            sealed.map_err(|cause| Error::format("journal frame", cause))?;
        }
        let cause = match self.file.append(&bytes) {
            Ok(written) if written == bytes.len() => {
                self.bytes += written as u64;
                return Ok(self);
            }
            outcome => outcome.err().unwrap_or_else(|| std::io::ErrorKind::WriteZero.into()),
        };
        let error = Error::io("write journal", &self.path, cause);
        // Whatever it took is still in memory, so the file can go.
        self.discard(inner);
        Err(error)
    }

    /// Returns true if the path leads to another file or to none, so that a new one is needed. A path that cannot be
    /// looked at says nothing: the descriptor still writes.
    pub(super) fn is_gone(&self, inner: &Inner) -> bool {
        match inner.io.identity(&self.path) {
            Ok(found) => found != self.identity,
            Err(cause) => cause.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Removes the file, which holds nothing that is needed.
    pub(super) fn discard(self, inner: &Inner) {
        let OpenJournal { id, path, file, identity, .. } = self;
        EmptyJournal { id, path, file, identity }.discard(inner);
    }

    /// Returns what a sync needs, to be used without the writer's lock.
    pub(super) fn share(&self) -> SharedJournal {
        SharedJournal { id: self.id, path: self.path.clone(), file: self.file.clone() }
    }
}

/// A journal as another thread uses it.
pub(super) struct SharedJournal {
    pub(super) id: JournalId,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn IoFile>,
}
