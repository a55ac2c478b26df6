//! Bodies of sealed records: bincode 2 under a byte limit, behind one version byte.
//!
//! In: the plain structs of the submodules. Out: plaintext for [`crate::seal`], and back. docs/FORMAT.md,
//! "Record bodies", gives the byte rules, so that another implementation can take the place of the `bincode`
//! crate; golden vectors freeze them.

mod change;
mod head;
mod run;

pub use change::{Change, ChangeKind, FieldChange, FieldId};
pub use head::{GroupEntry, GroupPage, PAGE_ENTRIES, RootRow, RunHead, SeriesEntry, SeriesPage, WriterRow};
pub use run::{
    Close, Event, MetricDefinition, Project, RunRecord, RunState, Session, Settings, SlotInfo, Stamped, Start, Tag,
    Tokens,
};

use bincode::{Decode, Encode};

use crate::error::{FormatError, Result};

/// The version of all record bodies that this build writes.
pub const VERSION: u8 = 1;
/// The longest body: a config or summary of this size is a mistake, and the limit bounds what a reader allocates.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// Bodies from this length on are compressed where that makes them smaller.
const COMPRESS_FROM_BYTES: usize = 256;
const ZSTD_LEVEL: i32 = 3;
const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// A struct that stands as the body of a sealed record.
pub trait Body: Encode + Decode<()> {
    /// The name that errors use.
    const NAME: &'static str;

    /// Returns the body's bytes: version, compression, and the struct.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if the body would be longer than [`BODY_BYTES_MAX`].
    fn to_body(&self) -> Result<Vec<u8>> {
        let what = Self::NAME;
        let over = |found| FormatError::Limit { what, found, limit: BODY_BYTES_MAX as u64 };
        let mut out = vec![VERSION, RAW];
        out.extend(bincode::encode_to_vec(self, bincode::config::standard()).map_err(|_| over(0))?);
        let raw_bytes = out.len() - 2;
        if raw_bytes > BODY_BYTES_MAX {
            return Err(over(raw_bytes as u64));
        }
        if raw_bytes >= COMPRESS_FROM_BYTES
            && let Ok(packed) = zstd::bulk::compress(&out[2..], ZSTD_LEVEL)
            && packed.len() + 4 < raw_bytes
        {
            out.truncate(1);
            out.push(ZSTD);
            out.extend(u32::try_from(raw_bytes).map_err(|_| over(raw_bytes as u64))?.to_le_bytes());
            out.extend(packed);
        }
        Ok(out)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`FormatError::NewerVersion`], [`FormatError::Malformed`] for bytes that no writer makes,
    /// [`FormatError::Limit`].
    fn from_body(bytes: &[u8]) -> Result<Self> {
        let what = Self::NAME;
        let malformed = |reason| FormatError::Malformed { what, reason };
        let mut reader = crate::codec::Reader::new(what, bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(FormatError::NewerVersion { what, found: version.into(), newest: VERSION.into() });
        }
        match reader.u8()? {
            RAW => decode(what, reader.take(reader.remaining())?),
            ZSTD => {
                let raw_bytes = reader.count(BODY_BYTES_MAX as u32)?;
                let packed = reader.take(reader.remaining())?;
                let raw = zstd::bulk::decompress(packed, raw_bytes).map_err(|_| malformed("zstd frame"))?;
                if raw.len() != raw_bytes {
                    return Err(malformed("length differs from the one stated"));
                }
                decode(what, &raw)
            }
            _ => Err(malformed("unknown compression")),
        }
    }
}

fn decode<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T> {
    let config = bincode::config::standard().with_limit::<BODY_BYTES_MAX>();
    match bincode::decode_from_slice(bytes, config) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok(_) => Err(FormatError::Malformed { what, reason: "trailing bytes" }),
        Err(_) => Err(FormatError::Malformed { what, reason: "not a body of this kind" }),
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
            assert_eq!(body[1], if name.len() > 256 { ZSTD } else { RAW });
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
        let bomb = [&[1, 1, 0xff, 0xff, 0xff, 0x7f][..], &[0; 8]].concat();
        assert!(matches!(Project::from_body(&trailing), Err(FormatError::Malformed { .. })));
        assert!(matches!(Project::from_body(&newer), Err(FormatError::NewerVersion { found: 2, .. })));
        assert!(matches!(Project::from_body(&unknown), Err(FormatError::Malformed { .. })));
        assert!(matches!(Project::from_body(&bomb), Err(FormatError::Limit { .. })));
        for len in 0..body.len() {
            assert!(Project::from_body(&body[..len]).is_err(), "length {len}");
        }
        // A stated vector length of 2^62 is refused by the limit before anything is allocated.
        assert!(Project::from_body(&[1, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x40]).is_err());
    }

    #[test]
    fn a_config_value_stands_in_a_record_as_tokens() {
        let field = FieldChange::new(FieldId::Config, "optimizer", &Json::Map(vec![("lr".into(), 0.1.into())]))
            .expect("shallow");
        assert_eq!(field.value().expect("reads"), Json::Map(vec![("lr".into(), 0.1.into())]));
    }
}
