//! Objects of a remote: ciphertext whose length is on the size grid, the only thing that leaves.
//!
//! In: what a key seals, or a whole pack, which consists of ciphertext already. Out: [`SealedObject`], which nothing else can
//! make, and which a remote takes alone. docs/FORMAT.md, "Remote objects".

use std::fmt;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::sync::Arc;

use crate::blob::{PACK_HEADER_BYTES, TRAILER_BYTES, check_header, directory_range, open_directory};
use crate::error::{FormatError, Result};
use crate::id::{ObjectId, WorkspaceId};
use crate::seal::{OVERHEAD_BYTES, OwnerKey, Place, SALT_BYTES};

/// The step of the size grid, as disks and remotes give out room anyway.
pub const GRID_BYTES: u64 = 4096;
/// The longest object: the longest pack has a quarter of it. Whoever reads from a remote takes no more than this at once.
pub const OBJECT_BYTES_MAX: u64 = 64 << 20;
/// Ends what was sealed, before the zeros that fill up to the grid.
const END: u8 = 0x80;

/// Rounds a length up to the size grid.
///
/// A full pack has one of 64 lengths then, and 0.012% of it are padding on average; what a shorter object holds shows to
/// 4 KiB.
#[must_use]
pub fn grid(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(GRID_BYTES).unwrap_or(bytes)
}

/// Bytes that are read at any place: an open file.
pub trait ReadAt: Send + Sync {
    /// Reads up to `out.len()` bytes at `offset`; 0 at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, out: &mut [u8], offset: u64) -> IoResult<usize>;
}

/// Ciphertext on the size grid, in memory or in the file of a pack. Cloning one copies no bytes.
#[derive(Clone)]
pub struct SealedObject {
    body: Body,
    len: u64,
}

#[derive(Clone)]
enum Body {
    Bytes(Arc<[u8]>),
    File(Arc<dyn ReadAt>),
}

impl OwnerKey {
    /// Seals `plain` for `place`, filled up to the size grid.
    ///
    /// `salt` must be fresh random bytes, as for [`OwnerKey::seal`].
    ///
    /// # Errors
    /// [`FormatError::Limit`] if the object would be longer than [`OBJECT_BYTES_MAX`].
    pub fn seal_object(&self, salt: [u8; SALT_BYTES], place: &Place, plain: &[u8]) -> Result<SealedObject> {
        let len = grid((plain.len() + 1 + OVERHEAD_BYTES) as u64);
        if len > OBJECT_BYTES_MAX {
            return Err(FormatError::Limit { what: place.kind.name(), found: len, limit: OBJECT_BYTES_MAX });
        }
        let mut padded = zeroize::Zeroizing::new(Vec::with_capacity(len as usize - OVERHEAD_BYTES));
        padded.extend_from_slice(plain);
        padded.push(END);
        padded.resize(len as usize - OVERHEAD_BYTES, 0);
        Ok(SealedObject { body: Body::Bytes(self.seal(salt, place, &padded).into_bytes().into()), len })
    }

    /// Takes an object that was kept since it was sealed for `place`, if it opens.
    ///
    /// # Errors
    /// Those of [`OwnerKey::open_object`].
    pub fn kept_object(&self, place: &Place, object: Vec<u8>) -> Result<SealedObject> {
        self.open_object(place, &object)?;
        Ok(SealedObject { len: object.len() as u64, body: Body::Bytes(object.into()) })
    }

    /// Opens what [`OwnerKey::seal_object`] has sealed for `place`.
    ///
    /// # Errors
    /// Those of [`OwnerKey::open`]; [`FormatError::Malformed`] for a length off the grid, or another filling than the shortest.
    pub fn open_object(&self, place: &Place, object: &[u8]) -> Result<Vec<u8>> {
        let what = place.kind.name();
        if object.len() as u64 != grid(object.len() as u64) {
            return Err(FormatError::Malformed { what, reason: "a length off the size grid" });
        }
        let mut plain = self.open(place, object)?;
        let end = plain.iter().rposition(|byte| *byte != 0).filter(|end| plain.get(*end) == Some(&END));
        let shortest = |end: &usize| grid((*end + 1 + OVERHEAD_BYTES) as u64) == object.len() as u64;
        let end = end.filter(shortest).ok_or(FormatError::Malformed { what, reason: "filled up as no writer does" })?;
        plain.truncate(end);
        Ok(plain)
    }
}

impl SealedObject {
    /// Makes an object of bytes that are ciphertext already, such as wraps and public halves, filled up to the size grid.
    pub(crate) fn of_ciphertext(mut bytes: Vec<u8>) -> SealedObject {
        bytes.push(END);
        let len = grid(bytes.len() as u64);
        bytes.resize(len as usize, 0);
        SealedObject { body: Body::Bytes(bytes.into()), len }
    }

    /// Makes an object of a whole pack, after a look at what tells that it is one: header, trailer, and the directory,
    /// which only `key` opens, and which says how long the file is.
    ///
    /// # Errors
    /// What the system says while the file is read; `InvalidData` with the [`FormatError`] for a file that is not that pack.
    pub fn of_pack(
        workspace: WorkspaceId,
        key: &OwnerKey,
        pack: ObjectId,
        file: Arc<dyn ReadAt>,
        len: u64,
    ) -> IoResult<SealedObject> {
        let object = SealedObject { body: Body::File(file), len };
        let mut header = [0; PACK_HEADER_BYTES];
        object.read_exact_at(&mut header, 0)?;
        check_header(pack, &header).map_err(invalid)?;
        let mut last = [0; TRAILER_BYTES];
        object.read_exact_at(&mut last, len.saturating_sub(TRAILER_BYTES as u64))?;
        let range = directory_range(pack, len, &last).map_err(invalid)?;
        let mut sealed = vec![0; (range.end - range.start) as usize];
        object.read_exact_at(&mut sealed, range.start)?;
        let directory = open_directory(workspace, key, pack, &sealed).map_err(invalid)?;
        if directory.file_bytes() != len {
            let what = "pack";
            return Err(invalid(FormatError::Malformed { what, reason: "not as long as its directory says" }));
        }
        Ok(object)
    }

    /// Returns the length in bytes, a multiple of [`GRID_BYTES`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an object has a header at least")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the end, or for a file that became shorter; what the system says.
    pub fn read_exact_at(&self, mut out: &mut [u8], mut offset: u64) -> IoResult<()> {
        match &self.body {
            Body::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let from = bytes.get(start..).and_then(|rest| rest.get(..out.len()));
                out.copy_from_slice(from.ok_or(ErrorKind::UnexpectedEof)?);
            }
            Body::File(file) => {
                while !out.is_empty() {
                    match file.read_at(out, offset) {
                        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                        Ok(read) => {
                            out = out.get_mut(read..).ok_or(ErrorKind::InvalidData)?;
                            offset += read as u64;
                        }
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the whole object.
    ///
    /// # Errors
    /// Those of [`SealedObject::read_exact_at`].
    pub fn read(&self) -> IoResult<Vec<u8>> {
        let mut out = vec![0; usize::try_from(self.len).map_err(|_| ErrorKind::FileTooLarge)?];
        self.read_exact_at(&mut out, 0)?;
        Ok(out)
    }
}

impl fmt::Debug for SealedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedObject({} bytes)", self.len)
    }
}

fn invalid(cause: FormatError) -> Error {
    Error::new(ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobKeys, Entry, Form, finish, header};
    use crate::id::{ChunkId, KeyId};
    use crate::seal::Kind;
    use crate::secret::Secret;

    const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);
    const PACK: ObjectId = ObjectId([3; 16]);

    fn key(byte: u8) -> OwnerKey {
        OwnerKey::new(KeyId([9; 16]), Secret::new([byte; 32]))
    }

    fn place() -> Place {
        Place::of(WORKSPACE, Kind::Segment, ObjectId([2; 16]))
    }

    #[test]
    fn the_grid_takes_little_and_what_stands_on_it_stays() {
        for bytes in [1, 100, 4096, 4097, 70_000, 16 << 20, (16 << 20) + 300_000] {
            let up = grid(bytes);
            assert!(up >= bytes && up - bytes < GRID_BYTES);
            assert_eq!(grid(up), up);
        }
        assert_eq!([grid(1), grid(4097), grid((16 << 20) + 1)], [4096, 8192, (16 << 20) + 4096]);
        assert_eq!(grid(u64::MAX), u64::MAX);
    }

    #[test]
    fn an_object_is_as_long_as_the_grid_says_and_opens_to_what_was_sealed() {
        let room = GRID_BYTES as usize - OVERHEAD_BYTES;
        for (plain, len) in [(0, 1), (1, 1), (room - 1, 1), (room, 2), (room + GRID_BYTES as usize - 1, 2)] {
            for filling in [0, END] {
                let plain = vec![filling; plain];
                let object = key(8).seal_object([7; 24], &place(), &plain).expect("short");
                assert_eq!(object.len(), len * GRID_BYTES);
                let bytes = object.read().expect("in memory");
                assert_eq!(key(8).open_object(&place(), &bytes), Ok(plain));
            }
        }
        let too_long = vec![0; OBJECT_BYTES_MAX as usize];
        assert!(matches!(key(8).seal_object([7; 24], &place(), &too_long), Err(FormatError::Limit { .. })));
    }

    #[test]
    fn an_object_that_no_writer_makes_is_refused() {
        let room = GRID_BYTES as usize - OVERHEAD_BYTES;
        let seal = |plain: &[u8]| key(8).seal([7; 24], &place(), plain).into_bytes();
        let longer = [&[1, END][..], &vec![0; room + GRID_BYTES as usize - 2]].concat();
        for (reason, bytes) in [
            ("filled up as no writer does", seal(&vec![0; room])),
            ("filled up as no writer does", seal(&vec![1; room])),
            ("filled up as no writer does", seal(&longer)),
            ("a length off the size grid", seal(&[1, END])),
            ("a length off the size grid", Vec::from([1])),
        ] {
            let refused = Err(FormatError::Malformed { what: "changeset segment", reason });
            assert_eq!(key(8).open_object(&place(), &bytes), refused);
        }
        let whole = key(8).seal_object([7; 24], &place(), b"x").map(|object| object.read().expect("in memory"));
        let mut whole = whole.expect("short");
        assert!(matches!(key(7).open_object(&place(), &whole), Err(FormatError::WrongKey { .. })));
        whole[1000] ^= 1;
        assert!(matches!(key(8).open_object(&place(), &whole), Err(FormatError::Damaged { .. })));
        assert!(key(8).open_object(&place(), &[]).is_err());
    }

    /// A file that gives a few bytes at a time.
    struct Slow(Vec<u8>);

    impl ReadAt for Slow {
        fn read_at(&self, out: &mut [u8], offset: u64) -> IoResult<usize> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            let len = out.len().min(rest.len()).min(1000);
            out[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }
    }

    fn pack() -> Vec<u8> {
        let keys = BlobKeys::derive(WORKSPACE, &key(8));
        let entries = [Entry { id: ChunkId([4; 16]), raw_len: 5000, stored_len: 5016, form: Form::Raw }];
        let (tail, _) = finish(&keys, &key(8), [7; 24], PACK, &entries).expect("one chunk");
        [&header(PACK)[..], &[5; 5016], &tail].concat()
    }

    #[test]
    fn a_whole_pack_is_an_object_and_nothing_else_is() {
        let of = |bytes: Vec<u8>, opener: u8| {
            let len = bytes.len() as u64;
            SealedObject::of_pack(WORKSPACE, &key(opener), PACK, Arc::new(Slow(bytes)), len)
        };
        let object = of(pack(), 8).expect("a pack");
        assert_eq!(object.read().expect("all there"), pack());
        assert_eq!(object.len(), pack().len() as u64);
        assert_eq!(
            object.clone().read_exact_at(&mut [0; 2], object.len() - 1).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );

        let mut other_header = pack();
        other_header[20] ^= 1;
        let mut damaged = pack();
        let near_the_end = damaged.len() - 100;
        damaged[near_the_end] ^= 1;
        let longer = [&pack()[..pack().len() - 8], &vec![0; 4096], &pack()[pack().len() - 8..]].concat();
        for bytes in [other_header, damaged, longer, pack()[..4096].to_vec(), b"plain text".to_vec(), Vec::new()] {
            let kind = of(bytes, 8).unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::InvalidData | ErrorKind::UnexpectedEof), "{kind}");
        }
        assert_eq!(of(pack(), 9).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
