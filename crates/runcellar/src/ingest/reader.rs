//! Reading the frames of one journal file, from where the last reading stopped.

use std::sync::Arc;

use runcellar_format::FormatError;
use runcellar_format::journal::{
    FRAME_OVERHEAD_BYTES, FRAME_PLAIN_BYTES_MAX, Found, FrameKey, Header, KeySource, scan,
};
use runcellar_format::pair::Pair;

use crate::db::{ReadTx, WORKSPACE_OWNER};
use crate::io::{self, IoFile};
use crate::keys::{Keyring, Purpose};
use crate::{Error, Result};

/// Bytes read at once: some thousand frames, and small beside what a trainer uses.
const WINDOW_BYTES: usize = 1 << 20;
/// Headers are about 150 bytes; this is the most that one can be.
const HEADER_BYTES_MAX: usize = 2048;

/// A journal file, its header read, its key not yet opened.
pub(crate) struct JournalFile {
    pub(crate) file: Arc<dyn IoFile>,
    pub(crate) header: Header,
    frames_at: u64,
}

/// Reads frames in order.
pub(crate) struct JournalReader {
    file: Arc<dyn IoFile>,
    pub(crate) header: Header,
    key: FrameKey,
    frames_at: u64,
    /// Where the next frame begins.
    offset: u64,
    /// The sequence of the last frame: they rise in each file.
    last: u64,
    /// Stretches that are no frames although frames follow, and frames out of their order: (first byte, byte after).
    pub(crate) damage: Vec<(u64, u64)>,
    /// Where the last reading found bytes at the end that are no whole frame.
    pub(crate) torn_at: Option<u64>,
}

impl JournalFile {
    /// Reads the header; `None` if the file ends before it does: its writer died while making it.
    pub(crate) fn open(file: Arc<dyn IoFile>) -> Result<Option<JournalFile>> {
        let failed = |cause: std::io::Error| Error::new(crate::ErrorKind::Io, format!("read journal: {cause}"));
        let start = io::read_range(&*file, 0, HEADER_BYTES_MAX).map_err(failed)?;
        match Header::decode(&start) {
            Ok((header, len)) => Ok(Some(JournalFile { file, header, frames_at: len as u64 })),
            Err(FormatError::Truncated { .. }) => Ok(None),
            Err(cause) => Err(Error::format("journal", cause)),
        }
    }

    /// Opens the key of the frames.
    pub(crate) fn unlock(self, tx: &ReadTx<'_>, keyring: &Keyring) -> Result<JournalReader> {
        let workspace = keyring.workspace();
        let key = match &self.header.source {
            KeySource::Run(id) => self.header.open_with_run_key(workspace, tx.key(keyring, *id)?.secret()),
            KeySource::Ingest { .. } => {
                let mut opened = Err(FormatError::Damaged { what: "journal" });
                for row in tx.keys_of(WORKSPACE_OWNER)?.iter().filter(|row| row.purpose == Purpose::Ingest as u8) {
                    let private = tx.open_key(keyring, row)?;
                    opened = self.header.open_with_ingest_pair(workspace, &Pair::derive(private.secret(), &row.id.0));
                    if opened.is_ok() {
                        break;
                    }
                }
                opened
            }
        };
        let key =
            key.map_err(|cause| crate::db::damaged_in_place(format!("journal {}", self.header.journal), cause))?;
        let JournalFile { file, header, frames_at } = self;
        Ok(JournalReader {
            file,
            header,
            key,
            frames_at,
            offset: frames_at,
            last: 0,
            damage: Vec::new(),
            torn_at: None,
        })
    }
}

impl JournalReader {
    /// Returns how many bytes there are beyond what was read; 0 if that cannot be told.
    pub(crate) fn bytes_left(&self) -> u64 {
        self.file.len().unwrap_or(0).saturating_sub(self.offset)
    }

    /// Begins anew with the first frame.
    pub(crate) fn rewind(&mut self) {
        self.offset = self.frames_at;
        self.last = 0;
        self.damage.clear();
    }

    /// Calls `each` for every whole frame that follows, until it returns false.
    ///
    /// Stops at the end, or at a frame that is still being written; a later call goes on there.
    pub(crate) fn read(&mut self, mut each: impl FnMut(u64, &[u8]) -> Result<bool>) -> Result<()> {
        let mut window_bytes = WINDOW_BYTES;
        loop {
            let start = self.offset;
            let window = io::read_range(&*self.file, start, window_bytes).map_err(|cause| {
                Error::new(crate::ErrorKind::Io, format!("read journal {}: {cause}", self.header.journal))
            })?;
            let at_end = window.len() < window_bytes;
            let (mut outcome, mut tail, mut stopped, mut hopeless) = (Ok(true), None, false, None);
            scan(&self.key, &window, |found| match found {
                Found::Frame { sequence, plain, end } => {
                    let begun = std::mem::replace(&mut self.offset, start + end as u64);
                    if sequence < self.last || (sequence == self.last && sequence != 0) {
                        // Somebody moved it, or put in another copy: its names would come too late for others.
                        self.damage.push((begun, self.offset));
                        return true;
                    }
                    self.last = sequence;
                    outcome = each(sequence, &plain);
                    stopped = !matches!(outcome, Ok(true));
                    !stopped
                }
                Found::Damage { start: from, end } if end == window.len() => {
                    hopeless = Some(start + from as u64);
                    true
                }
                Found::Damage { start: from, end } => {
                    self.damage.push((start + from as u64, start + end as u64));
                    true
                }
                Found::Tail { start: from } => {
                    tail = Some(start + from as u64);
                    true
                }
            });
            outcome?;
            self.torn_at = tail.filter(|_| at_end);
            if at_end && let Some(from) = hopeless {
                self.damage.push((from, start + window.len() as u64));
            }
            if stopped || at_end {
                return Ok(());
            }
            // A frame longer than the window, or one that begins near its end: look again with more of it.
            if self.offset > start {
                window_bytes = WINDOW_BYTES;
            } else if window_bytes <= FRAME_PLAIN_BYTES_MAX + FRAME_OVERHEAD_BYTES {
                window_bytes *= 4;
            } else {
                self.offset = start + window.len() as u64;
                self.damage.push((start, self.offset));
                window_bytes = WINDOW_BYTES;
            }
        }
    }
}
