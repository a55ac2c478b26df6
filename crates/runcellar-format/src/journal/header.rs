//! The clear header of a journal file.

use super::frame::FrameKey;
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{JournalId, KeyId, WorkspaceId, WriterId};
use crate::pair::{Pair, PublicHalf, SEAL_BYTES};
use crate::seal::{Derived, SALT_BYTES, constant_time_eq};
use crate::secret::Secret;

const WHAT: &str = "journal header";
const MAGIC: [u8; 8] = *b"rcjournl";
const VERSION: u8 = 1;
const SUITE: u8 = 1;
/// Bytes of the key field of each source.
const RUN_FIELD_BYTES: u32 = 16;
const INGEST_FIELD_BYTES: u32 = 4 + 32 + SEAL_BYTES as u32;
const CONTEXT: &str = "runcellar 1 journal";
const SEALED_LABEL: &[u8] = b"runcellar 1 journal key";

/// Where the key of a journal comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// 1: derived from the run's metrics key, named by id.
    Run(KeyId),
    /// 2: a random key sealed to the workspace's ingest public key of this generation.
    Ingest {
        /// Generation of the ingest pair, as in `keyslots`.
        generation: u32,
        /// The sealed key.
        sealed: Vec<u8>,
    },
}

/// The header of a journal file: everything before its first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The file's id, also its name.
    pub journal: JournalId,
    /// The writer whose sequence the frames count.
    pub writer: WriterId,
    /// Sequence of the first frame.
    pub first_sequence: u64,
    /// Where the key comes from.
    pub source: KeySource,
    /// Random, so that no two files have the same keys.
    pub salt: [u8; SALT_BYTES],
    /// Commitment to the key.
    pub commitment: [u8; 32],
}

impl Header {
    /// Makes the header of a file under the run's metrics key, and the key of its frames.
    #[must_use]
    pub fn under_run_key(
        workspace: WorkspaceId,
        journal: JournalId,
        writer: WriterId,
        first_sequence: u64,
        key: (KeyId, &Secret),
        salt: [u8; SALT_BYTES],
    ) -> (Header, FrameKey) {
        let source = KeySource::Run(key.0);
        let header = Header { journal, writer, first_sequence, source, salt, commitment: [0; 32] };
        header.committed(workspace, key.1).expect("a key id is no longer than a key field may be")
    }

    /// Makes the header of a file whose random `key` is sealed to the ingest public key, and the key of its frames.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if `public` is not a public key.
    pub fn under_ingest_key(
        (workspace, journal, writer): (WorkspaceId, JournalId, WriterId),
        first_sequence: u64,
        ingest: (u32, PublicHalf),
        key: &Secret,
        ephemeral: [u8; 32],
        salt: [u8; SALT_BYTES],
    ) -> Result<(Header, FrameKey)> {
        let (generation, public) = ingest;
        let place = sealed_place(workspace, journal, writer);
        let sealed = public.seal(WHAT, SEALED_LABEL, &place, key.expose(), ephemeral)?;
        let source = KeySource::Ingest { generation, sealed };
        Header { journal, writer, first_sequence, source, salt, commitment: [0; 32] }.committed(workspace, key)
    }

    /// Sets the commitment and derives the key of the frames.
    fn committed(self, workspace: WorkspaceId, secret: &Secret) -> Result<(Header, FrameKey)> {
        let derived = Derived::new(CONTEXT, secret, &self.before_commitment()?);
        let header = Header { commitment: derived.commitment, ..self };
        let key = FrameKey::new(&derived, workspace, header.journal);
        Ok((header, key))
    }

    /// Derives the key of the frames from the run's metrics key, for source 1.
    ///
    /// # Errors
    /// [`FormatError::WrongKey`] if the commitment differs: another key, or a header that was changed.
    pub fn open_with_run_key(&self, workspace: WorkspaceId, secret: &Secret) -> Result<FrameKey> {
        let derived = Derived::new(CONTEXT, secret, &self.before_commitment()?);
        if !constant_time_eq(&derived.commitment, &self.commitment) {
            return Err(FormatError::WrongKey { what: WHAT });
        }
        Ok(FrameKey::new(&derived, workspace, self.journal))
    }

    /// Opens the key of the frames with the ingest pair, for source 2.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] if the key field was changed or moved, [`FormatError::WrongKey`],
    /// [`FormatError::Malformed`] for source 1.
    pub fn open_with_ingest_pair(&self, workspace: WorkspaceId, pair: &Pair) -> Result<FrameKey> {
        let KeySource::Ingest { sealed, .. } = &self.source else {
            return Err(FormatError::Malformed { what: WHAT, reason: "key source is not the ingest key" });
        };
        let place = sealed_place(workspace, self.journal, self.writer);
        let key = zeroize::Zeroizing::new(pair.open(WHAT, SEALED_LABEL, &place, sealed)?);
        let secret = Secret::from_slice(&key)
            .ok_or(FormatError::Malformed { what: WHAT, reason: "sealed key is not 32 bytes" })?;
        self.open_with_run_key(workspace, &secret)
    }

    /// Returns the header's bytes.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if the key field is too long.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = self.before_commitment()?;
        out.extend_from_slice(&self.commitment);
        Ok(out)
    }

    /// All fields but the last. The keys are derived from these bytes, so that a file which is passed off as another
    /// writer's, or as another stretch of its sequence, does not open.
    fn before_commitment(&self) -> Result<Vec<u8>> {
        let mut out = Writer::with_capacity(192);
        out.raw(&MAGIC).u8(VERSION).u8(SUITE).raw(&self.journal.0).raw(&self.writer.0).u64(self.first_sequence);
        match &self.source {
            KeySource::Run(key) => out.u8(1).bytes(WHAT, &key.0, RUN_FIELD_BYTES)?,
            KeySource::Ingest { generation, sealed } => {
                let field = [&generation.to_le_bytes()[..], sealed].concat();
                out.u8(2).bytes(WHAT, &field, INGEST_FIELD_BYTES)?
            }
        };
        out.raw(&self.salt);
        Ok(out.into_vec())
    }

    /// Reads the header at the start of a file; returns it and its length in bytes.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] for a file that ends inside it, [`FormatError::Malformed`],
    /// [`FormatError::NewerVersion`], [`FormatError::UnknownSuite`], [`FormatError::Limit`].
    pub fn decode(bytes: &[u8]) -> Result<(Header, usize)> {
        let mut reader = Reader::new(WHAT, bytes);
        if reader.array()? != MAGIC {
            return Err(reader.malformed("not a journal"));
        }
        let version = reader.u8()?;
        reader.version(version.into(), VERSION.into())?;
        let suite = reader.u8()?;
        if suite != SUITE {
            return Err(FormatError::UnknownSuite { what: WHAT, found: suite });
        }
        let journal = JournalId(reader.array()?);
        let writer = WriterId(reader.array()?);
        let first_sequence = reader.u64()?;
        let source = reader.u8()?;
        // A length that was changed must not look like a header that its writer had no time to finish.
        let len = match source {
            1 => RUN_FIELD_BYTES,
            2 => INGEST_FIELD_BYTES,
            _ => return Err(reader.malformed("unknown key source")),
        };
        if reader.u32()? != len {
            return Err(reader.malformed("its key field has another length than its source says"));
        }
        let source = match source {
            1 => KeySource::Run(KeyId(reader.array()?)),
            _ => {
                let generation = reader.u32()?;
                KeySource::Ingest { generation, sealed: reader.take(32 + SEAL_BYTES)?.to_vec() }
            }
        };
        let salt = reader.array()?;
        let commitment = reader.array()?;
        let len = bytes.len() - reader.remaining();
        Ok((Header { journal, writer, first_sequence, source, salt, commitment }, len))
    }
}

fn sealed_place(workspace: WorkspaceId, journal: JournalId, writer: WriterId) -> Vec<u8> {
    [workspace.0, journal.0, writer.0].concat()
}
