//! Packs: files of sealed chunks that say themselves what they hold, so that an index is rebuilt from them alone.
//!
//! Every byte is authenticated: chunks by their tags, padding by its own, the directory as a sealed object, and header and
//! trailer, which hold nothing else than the pack's id and a length, by comparison. docs/FORMAT.md, "Packs".

use std::ops::Range;

use super::form::Form;
use super::keys::BlobKeys;
use super::{CHUNK_BYTES_MAX, CHUNK_OVERHEAD_BYTES, PACK_BYTES_TARGET, PACK_CHUNKS_MAX};
use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{ChunkId, ObjectId, WorkspaceId};
use crate::object::grid;
use crate::seal::{Kind, OVERHEAD_BYTES, OwnerKey, Place, SALT_BYTES, SUITE, Sealed};

/// Bytes before the first chunk.
pub const PACK_HEADER_BYTES: usize = 28;
/// Bytes behind the directory: its length, and the first bytes of the pack's id.
pub const TRAILER_BYTES: usize = 8;
/// The least padding: its tag.
pub const PADDING_BYTES_MIN: u32 = 16;

const MAGIC: [u8; 8] = *b"rcpackfl";
const VERSION: u8 = 1;
const WHAT: &str = "pack";
const WHAT_DIRECTORY: &str = "pack directory";
const WHAT_PADDING: &str = "pack padding";
/// The most bytes of a pack's chunks: what a pack may have before its last chunk, and that.
const CHUNKS_BYTES_MAX: u64 = (PACK_BYTES_TARGET + CHUNK_BYTES_MAX + CHUNK_OVERHEAD_BYTES) as u64;
/// Bits of a length less one, above which the form of a chunk stands.
const LENGTH_BITS: u32 = 18;
const _: () = assert!(CHUNK_BYTES_MAX == 1 << LENGTH_BITS);
/// The text of a directory is a multiple of this long, so that its length says little about the number of chunks.
const DIRECTORY_BYTES_STEP: usize = 512;
/// The longest directory: of 4,096 chunks, none of them raw.
const DIRECTORY_BYTES_MAX: usize = text_bytes(PACK_CHUNKS_MAX, PACK_CHUNKS_MAX) + OVERHEAD_BYTES;

/// One chunk of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The chunk.
    pub id: ChunkId,
    /// Bytes of its content, 1 to [`CHUNK_BYTES_MAX`].
    pub raw_len: u32,
    /// Bytes in the pack, the tag among them.
    pub stored_len: u32,
    /// The form of the content.
    pub form: Form,
}

/// What a pack holds, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The chunks.
    pub entries: Vec<Entry>,
    /// Bytes of padding behind the last chunk.
    pub padding: u32,
}

impl Directory {
    /// Returns where each chunk begins, from the file's start.
    pub fn offsets(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().scan(PACK_HEADER_BYTES as u64, |end, entry| {
            let start = *end;
            *end += u64::from(entry.stored_len);
            Some(start)
        })
    }

    /// Returns where the padding stands in the file.
    #[must_use]
    pub fn padding_range(&self) -> Range<u64> {
        let start = PACK_HEADER_BYTES as u64 + chunk_bytes(&self.entries);
        start..start + u64::from(self.padding)
    }

    /// Returns the length of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.padding_range().end + (sealed_bytes(&self.entries) + TRAILER_BYTES) as u64
    }
}

/// Returns the first bytes of a pack.
#[must_use]
pub fn header(pack: ObjectId) -> [u8; PACK_HEADER_BYTES] {
    let mut out = [0; PACK_HEADER_BYTES];
    out[..8].copy_from_slice(&MAGIC);
    out[8] = VERSION;
    out[9] = SUITE;
    out[12..].copy_from_slice(&pack.0);
    out
}

/// Returns the id that the first bytes of a pack tell.
///
/// # Errors
/// [`FormatError::Truncated`], [`FormatError::Malformed`], [`FormatError::NewerVersion`], [`FormatError::UnknownSuite`].
pub fn read_header(bytes: &[u8]) -> Result<ObjectId> {
    let mut reader = Reader::new(WHAT, bytes);
    if reader.array()? != MAGIC {
        return Err(reader.malformed("not a pack"));
    }
    let version = reader.u8()?;
    reader.version(version.into(), VERSION.into())?;
    let suite = reader.u8()?;
    if suite != SUITE {
        return Err(FormatError::UnknownSuite { what: WHAT, found: suite });
    }
    if reader.u16()? != 0 {
        return Err(reader.malformed("a reserved field is not 0"));
    }
    Ok(ObjectId(reader.array()?))
}

/// Compares the first bytes of a file with the header of the pack that it is named after.
///
/// # Errors
/// Those of [`read_header`], and [`FormatError::Malformed`] for the header of another pack.
pub fn check_header(pack: ObjectId, bytes: &[u8]) -> Result<()> {
    if read_header(bytes)? == pack {
        Ok(())
    } else {
        Err(FormatError::Malformed { what: WHAT, reason: "the header is of another pack" })
    }
}

/// Returns what follows the chunks of a pack (padding, directory and trailer), and the directory by itself, sealed.
///
/// `salt` is fresh random bytes. The same bytes stand in the file and in the database.
///
/// # Errors
/// [`FormatError::Limit`] and [`FormatError::Malformed`] for entries that no reader takes.
pub fn finish(
    keys: &BlobKeys,
    key: &OwnerKey,
    salt: [u8; SALT_BYTES],
    pack: ObjectId,
    entries: &[Entry],
) -> Result<(Vec<u8>, Sealed)> {
    check_entries(entries)?;
    let mut directory = Directory { entries: entries.to_vec(), padding: PADDING_BYTES_MIN };
    let least = directory.file_bytes();
    let more = u32::try_from(grid(least) - least).expect("a pack is far below 4 GiB");
    directory.padding += more;
    let sealed = key.seal(salt, &place(keys.workspace(), pack), &to_text(&directory));
    let tail = tail(keys, pack, directory.padding, sealed.as_bytes());
    Ok((tail, sealed))
}

/// Returns what follows the chunks of a pack whose directory is at hand, sealed: the same bytes again.
///
/// `padding` is what the directory says.
///
/// # Panics
/// If `padding` is below [`PADDING_BYTES_MIN`], or the directory longer than any.
#[must_use]
pub fn tail(keys: &BlobKeys, pack: ObjectId, padding: u32, sealed: &[u8]) -> Vec<u8> {
    let mut tail = Vec::with_capacity(padding as usize + sealed.len() + TRAILER_BYTES);
    tail.resize(padding as usize - PADDING_BYTES_MIN as usize, 0);
    let (aead, nonce) = keys.padding(pack, padding);
    let tag = aead.seal(nonce, &padding_associated(keys.workspace(), pack), &mut tail);
    tail.extend_from_slice(&tag);
    tail.extend_from_slice(sealed);
    let len = u32::try_from(sealed.len()).expect("far below 4 GiB");
    tail.extend_from_slice(&len.to_le_bytes());
    tail.extend_from_slice(&pack.0[..4]);
    tail
}

/// Returns where the directory of a pack stands, told from the length of the file and its last [`TRAILER_BYTES`].
///
/// # Errors
/// [`FormatError::Truncated`] for another number of bytes; [`FormatError::Malformed`] for a file that is not as long as
/// any pack, or ends with the trailer of none or of another.
pub fn directory_range(pack: ObjectId, file_len: u64, last: &[u8]) -> Result<Range<u64>> {
    let mut reader = Reader::new("pack trailer", last);
    let len = u64::from(reader.u32()?);
    let start: [u8; 4] = reader.array()?;
    if !pack.0.starts_with(&start) {
        return Err(reader.malformed("it is of another pack"));
    }
    let shortest = (PACK_HEADER_BYTES + CHUNK_OVERHEAD_BYTES + 1 + TRAILER_BYTES) as u64 + u64::from(PADDING_BYTES_MIN);
    let end = file_len.saturating_sub(TRAILER_BYTES as u64);
    let text = len.saturating_sub(OVERHEAD_BYTES as u64);
    let lengths = DIRECTORY_BYTES_STEP as u64..=(DIRECTORY_BYTES_MAX - OVERHEAD_BYTES) as u64;
    let fits = lengths.contains(&text) && text.is_multiple_of(DIRECTORY_BYTES_STEP as u64);
    if file_len != grid(file_len) || !fits || file_len < shortest + len {
        return Err(reader.malformed("no pack has such lengths"));
    }
    reader.finish()?;
    Ok(end - len..end)
}

/// Opens the directory of a pack.
///
/// # Errors
/// Those of [`OwnerKey::open`]; for a text that no writer makes, those of a decoder.
pub fn open_directory(workspace: WorkspaceId, key: &OwnerKey, pack: ObjectId, sealed: &[u8]) -> Result<Directory> {
    from_text(&key.open(&place(workspace, pack), sealed)?)
}

/// Opens the padding of a pack, which is zeros.
///
/// # Errors
/// [`FormatError::Damaged`] if it was changed or is of another pack.
pub fn check_padding(keys: &BlobKeys, pack: ObjectId, padding: &[u8]) -> Result<()> {
    let damaged = FormatError::Damaged { what: WHAT_PADDING };
    let len = u32::try_from(padding.len()).map_err(|_| damaged.clone())?;
    let (text, tag) = padding.split_last_chunk().ok_or(damaged.clone())?;
    let (aead, nonce) = keys.padding(pack, len);
    let mut text = text.to_vec();
    let opened = aead.open(nonce, &padding_associated(keys.workspace(), pack), &mut text, tag);
    if opened && text.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(damaged) }
}

fn place(workspace: WorkspaceId, pack: ObjectId) -> Place {
    Place::of(workspace, Kind::Pack, pack)
}

fn padding_associated(workspace: WorkspaceId, pack: ObjectId) -> [u8; 32] {
    let mut out = [0; 32];
    out[..16].copy_from_slice(&workspace.0);
    out[16..].copy_from_slice(&pack.0);
    out
}

fn chunk_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| u64::from(entry.stored_len)).sum()
}

/// Bytes of a directory's text.
const fn text_bytes(count: usize, formed: usize) -> usize {
    (1 + 4 + count * (16 + 3) + formed * 3 + 4).next_multiple_of(DIRECTORY_BYTES_STEP)
}

fn sealed_bytes(entries: &[Entry]) -> usize {
    text_bytes(entries.len(), entries.iter().filter(|entry| entry.form != Form::Raw).count()) + OVERHEAD_BYTES
}

fn check_entries(entries: &[Entry]) -> Result<()> {
    let malformed = |reason| Err(FormatError::Malformed { what: WHAT_DIRECTORY, reason });
    let limit = |found, limit: usize| Err(FormatError::Limit { what: WHAT_DIRECTORY, found, limit: limit as u64 });
    if entries.is_empty() {
        return malformed("no chunks");
    }
    if entries.len() > PACK_CHUNKS_MAX {
        return limit(entries.len() as u64, PACK_CHUNKS_MAX);
    }
    for entry in entries {
        if entry.raw_len as usize > CHUNK_BYTES_MAX {
            return limit(entry.raw_len.into(), CHUNK_BYTES_MAX);
        }
        if entry.raw_len == 0 {
            return malformed("an empty chunk");
        }
        let Some(stored) = (entry.stored_len as usize).checked_sub(CHUNK_OVERHEAD_BYTES) else {
            return malformed("a chunk shorter than its tag");
        };
        let whole = match entry.form {
            Form::Raw => stored == entry.raw_len as usize,
            _ => stored < entry.raw_len as usize,
        };
        if !whole || stored == 0 {
            return malformed("a chunk of a length that its form does not have");
        }
    }
    match chunk_bytes(entries) {
        found if found > CHUNKS_BYTES_MAX => limit(found, CHUNKS_BYTES_MAX as usize),
        _ => Ok(()),
    }
}

fn to_text(directory: &Directory) -> Vec<u8> {
    let Directory { entries, padding } = directory;
    let len = sealed_bytes(entries) - OVERHEAD_BYTES;
    let mut out = Writer::with_capacity(len);
    out.u8(VERSION).u32(u32::try_from(entries.len()).expect("checked before"));
    for entry in entries {
        out.raw(&entry.id.0);
    }
    for entry in entries {
        out.raw(&three((entry.raw_len - 1) | ((entry.form as u32) << LENGTH_BITS)));
    }
    for entry in entries.iter().filter(|entry| entry.form != Form::Raw) {
        out.raw(&three(entry.stored_len - CHUNK_OVERHEAD_BYTES as u32 - 1));
    }
    out.u32(*padding);
    let mut out = out.into_vec();
    out.resize(len, 0);
    out
}

/// The first three bytes of a number.
fn three(number: u32) -> [u8; 3] {
    let [low, middle, high, _] = number.to_le_bytes();
    [low, middle, high]
}

fn of_three([low, middle, high]: [u8; 3]) -> u32 {
    u32::from_le_bytes([low, middle, high, 0])
}

fn from_text(text: &[u8]) -> Result<Directory> {
    let mut reader = Reader::new(WHAT_DIRECTORY, text);
    let version = reader.u8()?;
    reader.version(version.into(), VERSION.into())?;
    let count = reader.count(PACK_CHUNKS_MAX as u32)?;
    let ids = reader.take(count * 16)?.as_chunks().0;
    let said = reader.take(count * 3)?.as_chunks().0;
    let mut entries = Vec::with_capacity(count);
    for (id, said) in ids.iter().zip(said) {
        let said = of_three(*said);
        let form = u8::try_from(said >> LENGTH_BITS).ok().and_then(Form::from_u8);
        let form = form.ok_or_else(|| reader.malformed("a form that is not listed"))?;
        let raw_len = (said & ((1 << LENGTH_BITS) - 1)) + 1;
        let stored = if form == Form::Raw { raw_len } else { of_three(reader.array()?) + 1 };
        entries.push(Entry { id: ChunkId(*id), raw_len, stored_len: stored + CHUNK_OVERHEAD_BYTES as u32, form });
    }
    check_entries(&entries)?;
    let directory = Directory { entries, padding: reader.u32()? };
    let rest = reader.take(reader.remaining())?;
    let file_bytes = directory.file_bytes();
    let padded = sealed_bytes(&directory.entries) == text.len() + OVERHEAD_BYTES && rest.iter().all(|byte| *byte == 0);
    if !padded {
        return Err(reader.malformed("not filled up with zeros as it must be"));
    }
    let least = file_bytes - u64::from(directory.padding) + u64::from(PADDING_BYTES_MIN);
    if file_bytes != grid(least) {
        return Err(reader.malformed("padding that does not end on the grid"));
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::form::Effort;
    use crate::blob::{encode, open_chunk, seal_chunk};
    use crate::id::KeyId;
    use crate::secret::Secret;

    const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);
    const PACK: ObjectId = ObjectId(*b"the id of a pack");

    fn key() -> OwnerKey {
        OwnerKey::new(KeyId([9; 16]), Secret::new([8; 32]))
    }

    fn keys() -> BlobKeys {
        BlobKeys::derive(WORKSPACE, &key())
    }

    /// A pack of some chunks: the file, and its directory.
    fn pack() -> (Vec<u8>, Sealed) {
        let mut file = header(PACK).to_vec();
        let mut entries = Vec::new();
        for (index, form) in [(1_u8, Form::Raw), (2, Form::Zstd), (3, Form::Planes4)] {
            let content = [index; 100];
            let (id, from) = (keys().chunk_id(&content), file.len());
            let form = encode(form, Effort::Default, &content, &mut file);
            seal_chunk(WORKSPACE, &Secret::new([index; 32]), id, form, 100, &mut file, from);
            entries.push(Entry { id, raw_len: 100, stored_len: (file.len() - from) as u32, form });
        }
        let (tail, sealed) = finish(&keys(), &key(), [7; 24], PACK, &entries).expect("a few chunks");
        file.extend_from_slice(&tail);
        (file, sealed)
    }

    /// Reads all of a pack, as whoever checks it does.
    fn read(file: &[u8]) -> Result<Vec<Vec<u8>>> {
        check_header(PACK, &file[..PACK_HEADER_BYTES])?;
        let at = directory_range(PACK, file.len() as u64, &file[file.len() - TRAILER_BYTES..])?;
        let directory = open_directory(WORKSPACE, &key(), PACK, &file[at.start as usize..at.end as usize])?;
        assert_eq!(directory.file_bytes(), file.len() as u64);
        let padding = directory.padding_range();
        assert_eq!(padding.end, at.start);
        check_padding(&keys(), PACK, &file[padding.start as usize..padding.end as usize])?;
        let mut contents = Vec::new();
        for (index, (entry, at)) in (1..).zip(directory.entries.iter().zip(directory.offsets())) {
            let mut sealed = file[at as usize..][..entry.stored_len as usize].to_vec();
            let key = Secret::new([index; 32]);
            let stored = open_chunk(WORKSPACE, &key, entry.id, entry.form, entry.raw_len, &mut sealed)?;
            let mut content = vec![0; entry.raw_len as usize];
            super::super::decode(entry.form, stored, &mut content)?;
            contents.push(content);
        }
        Ok(contents)
    }

    #[test]
    fn a_pack_says_itself_what_it_holds() {
        let (file, sealed) = pack();
        assert_eq!(file.len(), 4096);
        assert_eq!(read(&file), Ok((1..=3).map(|index| vec![index; 100]).collect()));
        let at = directory_range(PACK, 4096, &file[4088..]).expect("whole");
        assert_eq!(&file[at.start as usize..at.end as usize], sealed.as_bytes());
        assert_eq!(read_header(&file), Ok(PACK));
    }

    #[test]
    fn a_flipped_bit_in_any_byte_of_a_pack_and_every_truncation_is_refused() {
        let (file, _) = pack();
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << (at * 5 % 8);
            assert!(read(&flipped).is_err(), "byte {at}");
        }
        for len in (PACK_HEADER_BYTES + TRAILER_BYTES)..file.len() {
            assert!(read(&file[..len]).is_err(), "cut to {len}");
        }
    }
}
