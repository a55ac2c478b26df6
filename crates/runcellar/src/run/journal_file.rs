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
use crate::{Error, Result};

/// Ending of journal files.
pub(crate) const EXTENSION: &str = "jnl";

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
    /// Bytes written so far.
    pub(super) bytes: u64,
    /// When it was begun, on the monotonic clock in microseconds.
    pub(super) begun_us: i64,
}

impl EmptyJournal {
    /// Creates a file and takes its lock; its name is durable when this returns.
    pub(super) fn create(inner: &Inner) -> Result<EmptyJournal> {
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
        let made = file.try_lock().and_then(|locked| {
            // Somebody who looks for dead writers may have it for a moment; they find it empty and remove it.
            if locked { Ok(()) } else { Err(std::io::ErrorKind::ResourceBusy.into()) }
        });
        let made = made.and_then(|()| inner.io.sync_dir(&directory)).and_then(|()| file.identity());
        match made {
            Ok(identity) => Ok(EmptyJournal { id, path, file, identity }),
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
                Ok(OpenJournal { id, path, file, identity, key, bytes: bytes.len() as u64, begun_us })
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
    /// Returns true if the path still leads to this file: gone or replaced, and a new one is needed.
    pub(super) fn is_in_place(&self, inner: &Inner) -> bool {
        inner.io.identity(&self.path).is_ok_and(|found| found == self.identity)
    }
}
