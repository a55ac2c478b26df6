//! Bodies of sealed records: bincode 2 under a byte limit, behind one version byte.
//!
//! In: the plain structs of the submodules. Out: plaintext for [`crate::seal`], and back. docs/FORMAT.md,
//! "Record bodies", gives the byte rules, so that another implementation can take the place of the `bincode`
//! crate; golden vectors freeze them.

mod artifact;
mod away;
mod carried;
mod catalogue;
mod change;
mod digest;
mod edits;
mod head;
mod lineage;
mod links;
mod process;
mod receipt;
mod rows_away;
mod run;
mod secrets;
mod sync;
mod taken;
mod tombstone;

pub use artifact::{
    AliasSet, Artifact, Content, FileContent, FileFacts, MADE_AGAIN_FIELD, MANIFEST_CHUNKS_MAX, MANIFEST_ENTRIES_MAX,
    MANIFEST_TEXT_MAX, MEDIA_FIELD, Manifest, ManifestEntry, Media, PATH_BYTES_MAX, RECORD_FIELD, Reference, Version,
    VersionRef,
};
pub use away::Away;
pub use carried::{CarriedGroup, CarriedNames, CarriedRecord, CarriedRun, CarriedVersion};
pub use catalogue::{CatalogueBlock, CatalogueDirectory};
pub use change::{CAPSULE_FIELD, CHANGE_GRID_BYTES, Change, ChangeKind, FieldChange, FieldId};
pub use digest::ManifestDigest;
pub use edits::{EDITS_FIELD, Edits, LOST_MAX, Lost, OVERS_MAX, Over};
pub use head::{GroupEntry, GroupPage, PAGE_ENTRIES, RootRow, RunHead, SeriesEntry, SeriesPage, WriterRow};
pub use lineage::{
    DIRECTORY_FIELD, GroupRange, LAUNCH_FIELD, Launched, Launches, ORIGIN_FIELD, Origin, REWINDS_FIELD, Rewind,
    Rewinds, extra_body, set_extra_body,
};
pub use links::{Links, Making};
pub use process::ProcessField;
pub use receipt::PurgeRecord;
pub use rows_away::{ROWS_FIELD, RowSegments, RowsAway, RowsPlace};
pub use run::{
    Close, Event, MetricDefinition, Project, RunRecord, RunState, Session, Settings, SlotInfo, Stamped, Start, Tag,
    Tokens,
};
pub use sync::{
    Cited, Consent, DeviceHead, LAST_SYNC_FIELD, LastSync, PinnedTerms, READ_FIELD, REMOTES_FIELD, RemoteRecord,
    RemoteState, Remotes, ReplicaCursor, SIBLINGS_FIELD, Segment, SegmentEntry, SegmentObject, Siblings,
    TERMS_BYTES_MAX, TERMS_FIELD, TermsDocument, VOUCHERS_MAX, VOUCHERS_OF_SETTINGS_FIELD, Vouchers, WASTE_FIELD,
    Waste, WastePack,
};
pub use taken::{TAKEN_MAX, Taken, TakenFrom};
pub use tombstone::Tombstone;

pub use secrets::{
    ARGUMENTS_FIELD, Arguments, FINDINGS_FIELD, FINDINGS_MAX, Findings, REDACTED_EVENT, Redacted, Searched,
    SearchedFile, SearchedGroup,
};

use bincode::{Decode, Encode};

use crate::error::{FormatError, Result};
use crate::zframe;

/// The version of all record bodies that this build writes.
pub const VERSION: u8 = 1;
/// The longest body: a config or summary of this size is a mistake, and the limit bounds what a reader allocates.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// Encodings from this length on are compressed where that makes them smaller. Shorter ones hold little but ids and sums.
const COMPRESS_FROM_BYTES: usize = 128;
/// Bodies from this length on are read back when they are made: the limit of what a reader allocates counts what
/// values take in memory, which is up to 40 times their bytes here.
const READ_BACK_FROM_BYTES: usize = 1 << 20;
/// zstd's level for encodings of at most [`SMALL_BYTES_MAX`]: the run record and series page of 20 metrics, of 1.0 and 1.3
/// KB, take 589 and 693 bytes and 50 and 65 us; at level 3 609 and 757 bytes and 14 and 15 us; at level 19 two bytes less.
const ZSTD_LEVEL_SMALL: i32 = 13;
/// The same for longer ones, which runs of many metrics write with every ingest.
const ZSTD_LEVEL: i32 = 3;
/// As far as zstd has parameters of their own for short inputs.
const SMALL_BYTES_MAX: usize = 16 << 10;
const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// A struct that stands as the body of a sealed record.
pub trait Body: Encode + Decode<()> {
    /// The name that errors use.
    const NAME: &'static str;

    /// Returns the body's bytes: version, compression, and the struct.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if the body would be longer than [`BODY_BYTES_MAX`], or take so much in memory.
    fn to_body(&self) -> Result<Vec<u8>> {
        let what = Self::NAME;
        let over = |found| FormatError::Limit { what, found, limit: BODY_BYTES_MAX as u64 };
        let raw = bincode::encode_to_vec(self, bincode::config::standard()).map_err(|_| over(0))?;
        if raw.len() > BODY_BYTES_MAX || (raw.len() >= READ_BACK_FROM_BYTES && decode::<Self>(what, &raw).is_err()) {
            return Err(over(raw.len() as u64));
        }
        let level = if raw.len() <= SMALL_BYTES_MAX { ZSTD_LEVEL_SMALL } else { ZSTD_LEVEL };
        let packed = if raw.len() >= COMPRESS_FROM_BYTES { zframe::pack(&raw, level) } else { None };
        let (compression, bytes) = packed.map_or((RAW, raw), |packed| (ZSTD, packed));
        let mut out = Vec::with_capacity(2 + bytes.len());
        out.extend_from_slice(&[VERSION, compression]);
        out.extend_from_slice(&bytes);
        Ok(out)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`FormatError::NewerVersion`], [`FormatError::Malformed`] for bytes that no writer makes,
    /// [`FormatError::Limit`].
    fn from_body(bytes: &[u8]) -> Result<Self> {
        let what = Self::NAME;
        let mut reader = crate::codec::Reader::new(what, bytes);
        let version = reader.u8()?;
        reader.version(version.into(), VERSION.into())?;
        let compression = reader.u8()?;
        let bytes = reader.take(reader.remaining())?;
        match compression {
            RAW if bytes.len() > BODY_BYTES_MAX => {
                Err(FormatError::Limit { what, found: bytes.len() as u64, limit: BODY_BYTES_MAX as u64 })
            }
            RAW => decode(what, bytes),
            ZSTD => decode(what, &zframe::unpack(what, bytes, BODY_BYTES_MAX)?),
            _ => Err(reader.malformed("unknown compression")),
        }
    }
}

fn decode<T: Encode + Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T> {
    let malformed = |reason| FormatError::Malformed { what, reason };
    let config = bincode::config::standard().with_limit::<BODY_BYTES_MAX>();
    let (value, read): (T, usize) =
        bincode::decode_from_slice(bytes, config).map_err(|_| malformed("not a body of this kind"))?;
    if read != bytes.len() {
        return Err(malformed("trailing bytes"));
    }
    // bincode reads an integer in more bytes than it needs, too: one value has one form.
    bincode::encode_into_writer(&value, Same(bytes), bincode::config::standard())
        .map_err(|_| malformed("an integer is written in more bytes than it needs"))?;
    Ok(value)
}

/// Takes the bytes of an encoding only as long as they are those that are expected.
struct Same<'a>(&'a [u8]);

impl bincode::enc::write::Writer for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::result::Result<(), bincode::error::EncodeError> {
        let rest = self.0.strip_prefix(bytes);
        self.0 = rest.ok_or(bincode::error::EncodeError::Other("other bytes are expected"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Json;

    fn project(name: &str) -> Project {
        Project { name: name.into(), ..Project::default() }
    }

    #[test]
    fn bodies_read_back_small_and_large() {
        for name in ["a".to_owned(), "long ".repeat(1000)] {
            let body = project(&name).to_body().expect("encodes");
            assert_eq!(body[1], if name.len() >= COMPRESS_FROM_BYTES { ZSTD } else { RAW });
            assert_eq!(Project::from_body(&body), Ok(project(&name)));
        }
    }

    #[test]
    fn bodies_that_no_writer_makes_are_refused() {
        let body = project("digits").to_body().expect("encodes");
        let mut trailing = body.clone();
        trailing.push(0);
        let mut newer = body.clone();
        newer[0] = 2;
        let mut unknown = body.clone();
        unknown[1] = 2;
        // A name of 2 bytes whose length is written in 3, which bincode would read.
        let long_varint = [&[1, 0, 251, 2, 0][..], b"ab", &[0, 0]].concat();
        // A zstd frame with a content size of 4 GiB: one segment, size of 4 bytes.
        let bomb = [&[1, 1, 0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0xff][..], &[1, 0, 0]].concat();
        let packed = project(&"long ".repeat(100)).to_body().expect("encodes");
        let doubled = [&packed[..], &packed[2..]].concat();
        assert!(matches!(Project::from_body(&trailing), Err(FormatError::Malformed { .. })));
        assert!(matches!(Project::from_body(&newer), Err(FormatError::NewerVersion { found: 2, .. })));
        assert!(matches!(Project::from_body(&unknown), Err(FormatError::Malformed { .. })));
        assert!(matches!(Project::from_body(&long_varint), Err(FormatError::Malformed { .. })));
        assert_eq!(Project::from_body(&[1, 0, 2, b'a', b'b', 0, 0]), Ok(project("ab")));
        assert!(matches!(Project::from_body(&bomb), Err(FormatError::Limit { .. })));
        assert!(matches!(Project::from_body(&doubled), Err(FormatError::Malformed { .. })));
        for len in 0..body.len() {
            assert!(Project::from_body(&body[..len]).is_err(), "length {len}");
        }
        // A stated vector length of 2^62 is refused by the limit before anything is allocated.
        assert!(Project::from_body(&[1, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x40]).is_err());
    }

    #[test]
    fn what_no_reader_would_take_is_not_written() {
        let list = |items: usize| {
            let start = Start { config: Tokens::new(&vec![0_i64; items].into()).expect("shallow"), ..Start::default() };
            start.to_body()
        };
        let whole = list(600_000).expect("fits");
        Start::from_body(&whole).expect("reads back");
        assert!(matches!(list(3_000_000), Err(FormatError::Limit { .. })));
    }

    #[test]
    fn a_config_value_stands_in_a_record_as_tokens() {
        let field = FieldChange::new(FieldId::Config, "optimizer", &Json::Map(vec![("lr".into(), 0.1.into())]))
            .expect("shallow");
        assert_eq!(field.value().expect("reads"), Json::Map(vec![("lr".into(), 0.1.into())]));
    }
}
