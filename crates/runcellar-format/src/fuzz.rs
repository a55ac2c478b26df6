//! Bodies of the fuzz targets: each takes any bytes, and panics if a decoder does not keep its promises.
//!
//! `fuzz/` drives them with libFuzzer, `tests/format` with its corpus and a seeded mutator. A promise is: no panic, and
//! what was taken is the one form of what it says, so that writing it again gives the same bytes.

use crate::backup::Mark;
use crate::blob::{
    BlobKeys, Bucket, CHUNK_BYTES_MAX, Effort, Form, decode, directory_range, encode, finish, open_directory,
    read_header,
};
use crate::block::{Column, GroupMain, Level, Presence, decode_column, encode_column};
use crate::catalogue::{BlockMain, Shape, from_exact, to_exact};
use crate::error::{FormatError, Result};
use crate::id::{DeviceId, JournalId, KeyId, ObjectId, WorkspaceId, WriterId};
use crate::journal::{Found, FrameKey, Header, Records, Shapes, push_record, scan};
use crate::keyslots::{KeyFile, Keyslots, SlotSecret, format_recovery_code, parse_recovery_code};
use crate::ledger::{LedgerLine, LedgerMark};
use crate::mirror::Mirror;
use crate::overview::Overview;
use crate::pair::Pair;
use crate::record::{
    Artifact, Away, Body, CarriedGroup, CarriedNames, CarriedRecord, CarriedRun, CarriedVersion, CatalogueDirectory,
    Change, Close, DeviceHead, Event, GroupPage, LastSync, Links, Manifest, PinnedTerms, Project, PurgeRecord, Remotes,
    ReplicaCursor, RootRow, RowSegments, RowsAway, RunHead, RunRecord, Segment, SeriesPage, Settings, Siblings, Start,
    TermsDocument, Tombstone, Version, Vouchers, Waste, WriterRow,
};
use crate::seal::{Envelope, Kind, OwnerKey, Place};
use crate::secret::Secret;
use crate::sync::Welcome;
use crate::tar::{BLOCK_BYTES, Headers, Step};

/// The body of a target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("seal", seal),
    ("keyslots", keyslots),
    ("key_file", key_file),
    ("backup_mark", backup_mark),
    ("mirror", mirror),
    ("recovery_code", recovery_code),
    ("journal_header", journal_header),
    ("journal", journal),
    ("records", records),
    ("group", group),
    ("column", column),
    ("overview", overview),
    ("pack", pack),
    ("bucket", bucket),
    ("chunk", chunk),
    ("catalogue", catalogue),
    ("change", change),
    ("bodies", bodies),
    ("tar", tar),
    ("welcome", welcome),
];

/// The workspace that the inputs are of.
pub const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);
/// The journal that the inputs are of.
pub const JOURNAL: JournalId = JournalId(*b"journal id of 16");

/// The pack that the inputs are of.
pub const PACK: ObjectId = ObjectId(*b"id of a pack: 16");

/// Returns the place of that pack's directory.
#[must_use]
pub fn pack_place() -> Place {
    Place::of(WORKSPACE, Kind::Pack, PACK)
}

/// Returns the key that seals the inputs.
#[must_use]
pub fn key() -> OwnerKey {
    OwnerKey::new(KeyId([9; 16]), Secret::new([8; 32]))
}

/// Returns the place of the inputs.
#[must_use]
pub fn place() -> Place {
    Place::of(WORKSPACE, Kind::Run, ObjectId([2; 16])).at(3, 4).version(DeviceId([5; 16]), 6)
}

/// Returns the header of the journals that are fuzzed, and the key of their frames.
#[must_use]
pub fn journal_key() -> (Header, FrameKey) {
    let key = (KeyId([9; 16]), &Secret::new([8; 32]));
    Header::under_run_key(WORKSPACE, JOURNAL, WriterId([2; 16]), 1, key, [5; 24])
}

/// An overview. Packed forms leave the writer a choice, so what is written again may be other bytes of the same meaning.
pub fn overview(data: &[u8]) {
    let Ok(read) = Overview::decode(data) else { return };
    let written = read.encode().expect("what was read can be written");
    let again = Overview::decode(&written).expect("what was written can be read");
    assert_eq!(again.encode(), Ok(written));
}

/// The text of a pack's directory, and a header and a trailer.
pub fn pack(data: &[u8]) {
    let _ = read_header(data);
    if let Some((len, last)) = data.split_first_chunk()
        && let Ok(range) = directory_range(PACK, u64::from_le_bytes(*len), last)
    {
        assert!(range.start < range.end && range.end < u64::from_le_bytes(*len));
    }
    let sealed = key().seal([7; 24], &pack_place(), data);
    let Ok(read) = open_directory(WORKSPACE, &key(), PACK, sealed.as_bytes()) else { return };
    let keys = BlobKeys::derive(WORKSPACE, &key());
    let (_, again) = finish(&keys, &key(), [7; 24], PACK, &read.entries).expect("what was read can be written");
    assert_eq!(again, sealed);
}

/// The text of a bucket.
pub fn bucket(data: &[u8]) {
    if let Ok(read) = Bucket::from_text(data) {
        assert_eq!(&**read.to_text().expect("what was read can be written"), data);
        assert_eq!(read.keys().len(), read.len());
    }
}

/// The content of a chunk, after its form and length.
pub fn chunk(data: &[u8]) {
    let Some(([form, len @ ..], stored)) = data.split_first_chunk::<5>() else { return };
    let Some(form) = Form::from_u8(*form) else { return };
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let mut content = vec![0; len.min(CHUNK_BYTES_MAX + 1)];
    if decode(form, stored, &mut content).is_err() {
        return;
    }
    let (mut once, mut again) = (Vec::new(), vec![0; len]);
    let form = encode(form, Effort::Default, &content, &mut once);
    decode(form, &once, &mut again).expect("what was written can be read");
    assert_eq!(again, content);
}

/// A sealed object.
pub fn seal(data: &[u8]) {
    let opened = key().open(&place(), data);
    if let Ok(envelope) = Envelope::parse("fuzz", data)
        && let Ok(plain) = opened
    {
        assert_eq!(key().seal(envelope.salt, &place(), &plain).as_bytes(), data);
        if let Ok(content) = key().open_object(&place(), data) {
            let again = key()
                .seal_object(envelope.salt, &place(), &content)
                .and_then(|object| key().open_object(&place(), &object.read().expect("in memory")));
            assert_eq!(again, Ok(content));
        }
    }
}

/// A `keyslots` file. Its checksum is set right first, or nothing would come further.
pub fn keyslots(data: &[u8]) {
    let data = &with_checksum(data);
    let Ok(read) = Keyslots::decode(data) else { return };
    let keys: Vec<Secret> = read.epochs.iter().map(|_| Secret::new([2; 32])).collect();
    let written = read.encode(&keys.iter().collect::<Vec<_>>()).expect("what was read can be written");
    let body = data.len() - 32 * (1 + read.epochs.len());
    assert_eq!(written.get(..body), data.get(..body));
    for slot in read.slots.iter().take(2) {
        let _ = slot.open(read.workspace, &read.epochs, &SlotSecret::key_file(Secret::new([3; 32])));
    }
    let _ = Keyslots::verify(data, read.epochs.len(), 0, &Secret::new([2; 32]));
}

/// A key file, its checksum set right; and as text, as it is.
pub fn key_file(data: &[u8]) {
    let _ = KeyFile::decode(&[b"runcellar key file", data].concat());
    let data = &with_checksum(data);
    if let Ok(read) = KeyFile::decode(data) {
        assert_eq!(&*read.encode().expect("what was read can be written"), data);
        let text = read.to_text().expect("what was read can be written");
        assert_eq!(KeyFile::decode(text.as_bytes()).expect("reads").entries.len(), read.entries.len());
    }
}

/// The mark of a backup, its checksum set right.
pub fn backup_mark(data: &[u8]) {
    let data = &with_checksum(data);
    if let Ok(read) = Mark::decode(data) {
        assert_eq!(&read.encode(), data);
    }
}

/// A mirror, its checksum set right.
pub fn mirror(data: &[u8]) {
    let data = &with_checksum(data);
    if let Ok(read) = Mirror::decode(data) {
        assert_eq!(&read.encode(), data);
    }
}

fn with_checksum(data: &[u8]) -> Vec<u8> {
    let body = data.get(..data.len().saturating_sub(32)).unwrap_or_default();
    [body, &crate::seal::checksum(body)].concat()
}

/// A recovery code as somebody typed it.
pub fn recovery_code(data: &[u8]) {
    if let Some(code) = std::str::from_utf8(data).ok().and_then(parse_recovery_code) {
        assert_eq!(parse_recovery_code(&format_recovery_code(&code)), Some(code));
    }
}

/// The header of a journal.
pub fn journal_header(data: &[u8]) {
    let Ok((header, len)) = Header::decode(data) else { return };
    assert_eq!(header.encode().ok().as_deref(), data.get(..len));
    let _ = header.open_with_run_key(WORKSPACE, &Secret::new([8; 32]));
    let _ = header.open_with_ingest_pair(WORKSPACE, &Pair::derive(&Secret::new([8; 32]), &[9; 16]));
}

/// The frames of a journal, and the records in those that open.
pub fn journal(data: &[u8]) {
    let (mut at, mut last) = (0, false);
    scan(&journal_key().1, data, |found| {
        assert!(!last, "nothing comes after a tail");
        match found {
            Found::Frame { plain, end, .. } => {
                assert!(at < end && end <= data.len());
                at = end;
                records(&plain);
            }
            Found::Damage { start, end } => {
                assert!(at == start && start < end && end <= data.len());
                at = end;
            }
            Found::Tail { start } => {
                assert!(at == start && start < data.len());
                (at, last) = (data.len(), true);
            }
        }
        true
    });
    assert_eq!(at, data.len(), "each byte is accounted for");
}

/// The text of a frame.
pub fn records(data: &[u8]) {
    let write = |data: &[u8]| -> Result<Vec<u8>> {
        let mut out = Vec::new();
        Records::new(data, &mut Shapes::default()).try_for_each(|record| push_record(&mut out, &record?))?;
        Ok(out)
    };
    // A float32 is read as a float, a row of a shape as one with its heads, and zstd packs in more ways than one: written once it stays as it is.
    if let Ok(once) = write(data) {
        assert_eq!(write(&once), Ok(once));
    }
}

/// A row group: the main part, after its length in four bytes, and the others after it.
pub fn group(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk() else { return };
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let Some((main, mut rest)) = rest.split_at_checked(len) else { return };
    let Ok(main) = GroupMain::decode(main) else { return };
    let (steps, times) = (main.steps(), main.times());
    assert!([steps, times].iter().flatten().all(|all| all.len() == main.rows as usize));
    for column in &main.columns {
        let mut part = None;
        if column.part != 0 {
            let Some((head, tail)) = rest.split_at_checked(column.encoded_len()) else { return };
            (part, rest) = (Some(head), tail);
        }
        let (values, stats) = (column.decode(part), column.stats());
        if let (Ok(values), Ok(presence)) = (values, column.presence()) {
            assert_eq!(values.len(), column.count as usize);
            assert_eq!(stats.map(|stats| stats.count), Ok(column.count));
            let again = Column { series: column.series, presence, values };
            encode_column(&again, main.rows, Level::Fast).expect("what was read can be written");
        }
    }
}

/// The values of a column, after kind, form and count (one, one and two bytes).
pub fn column(data: &[u8]) {
    let Some(([kind, tag, low, high], bytes)) = data.split_first_chunk() else { return };
    let count = u32::from(u16::from_le_bytes([*low, *high])) + 1;
    let Ok(values) = decode_column([*kind, *tag], bytes, count) else { return };
    assert_eq!((values.kind() as u8, values.len()), (*kind, count as usize));
    let column = Column { series: 0, presence: Presence::Dense, values };
    let once = encode_column(&column, count, Level::Fast).expect("what was read can be written");
    let again = decode_column([*kind, once.tag() as u8], once.bytes(), count).expect("what was written can be read");
    let again = encode_column(&Column { values: again, ..column }, count, Level::Fast);
    assert_eq!(again.map(|again| again.bytes().to_vec()).as_deref(), Ok(once.bytes()));
}

/// A catalogue block: the length of its main part, that, and part 1; and texts of values and shapes.
pub fn catalogue(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(value) = from_exact(text) {
            assert_eq!(to_exact(&value).as_deref(), Ok(text));
        }
        if let Ok(shape) = Shape::from_text(text) {
            assert_eq!(shape.to_text(), text);
        }
    }
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (main, part) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    let Ok(main) = BlockMain::decode(main) else { return };
    for (index, column) in main.columns.iter().enumerate().filter(|(_, column)| column.part == 1).take(64) {
        assert_eq!(main.find(column.space, &column.name, column.kind), Some(index));
        if let Ok(decoded) = column.decode(part) {
            assert!(decoded.cells.json(column.count as usize - 1).is_some());
            assert!(decoded.cells.json(column.count as usize).is_none());
        }
    }
}

/// A change record, padded.
pub fn change(data: &[u8]) {
    if let Ok(read) = Change::from_padded_body(data) {
        read.fields.iter().for_each(|field| drop(field.value()));
        let once = read.to_padded_body().expect("what was read can be written");
        let again = Change::from_padded_body(&once).expect("what was written can be read");
        assert_eq!(again.to_padded_body(), Ok(once));
    }
}

/// A body of a record; the first byte says which.
pub fn bodies(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let all: [Target; 38] = [
        body::<Project>,
        body::<RunRecord>,
        body::<RunHead>,
        body::<SeriesPage>,
        body::<GroupPage>,
        body::<Change>,
        body::<RootRow>,
        body::<Settings>,
        body::<WriterRow>,
        body::<Start>,
        body::<Close>,
        body::<Event>,
        body::<CatalogueDirectory>,
        body::<CarriedRun>,
        body::<CarriedRecord>,
        body::<CarriedNames>,
        body::<CarriedVersion>,
        body::<PurgeRecord>,
        body::<Tombstone>,
        body::<Artifact>,
        body::<Version>,
        body::<Manifest>,
        body::<Segment>,
        body::<DeviceHead>,
        body::<ReplicaCursor>,
        body::<Remotes>,
        body::<LastSync>,
        body::<Waste>,
        body::<Away>,
        body::<LedgerLine>,
        body::<LedgerMark>,
        body::<Siblings>,
        body::<PinnedTerms>,
        body::<TermsDocument>,
        body::<Vouchers>,
        body::<Links>,
        body::<RowSegments>,
        body::<RowsAway>,
    ];
    if let Some(target) = all.get(usize::from(*which)) {
        target(data);
    }
}

/// A welcome without its end: the checksum is set right, and it is filled up.
pub fn welcome(data: &[u8]) {
    let mut data = [data, &crate::seal::checksum(data), &[0x80]].concat();
    data.resize(crate::object::grid(data.len() as u64) as usize, 0);
    if let Ok(read) = Welcome::decode(&data) {
        let written =
            read.encode().and_then(|object| object.read().map_err(|_| FormatError::Damaged { what: "welcome" }));
        assert_eq!(written.as_deref(), Ok(&data[..]));
    }
}

/// The archive of a capsule. The content of its files is taken for row groups of a run.
pub fn tar(data: &[u8]) {
    let (mut headers, mut rest, mut written) = (Headers::default(), data, Vec::new());
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK_BYTES>() {
        rest = after;
        match headers.take(block) {
            Ok(Step::More) => {}
            Ok(Step::Entry(entry)) => {
                written.extend(entry.encode().expect("what was read can be written"));
                let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
                let Some((content, after)) = rest.split_at_checked(size) else { return };
                if let Ok(group) = CarriedGroup::decode(content) {
                    assert_eq!(group.encode().as_deref(), Ok(content));
                }
                written.extend_from_slice(content);
                let Some((padding, after)) = after.split_at_checked(entry.padding()) else { return };
                written.extend_from_slice(padding);
                rest = after;
            }
            Ok(Step::End) => {
                written.extend(crate::tar::END);
                assert!(data.starts_with(&written));
                return;
            }
            Err(_) => return,
        }
    }
}

fn body<T: Body>(data: &[u8]) {
    if let Ok(read) = T::from_body(data) {
        let once = read.to_body().expect("what was read can be written");
        // NaN is no reason for two values to differ, so bytes are compared.
        let again = T::from_body(&once).expect("what was written can be read");
        assert_eq!(again.to_body(), Ok(once));
    }
}
