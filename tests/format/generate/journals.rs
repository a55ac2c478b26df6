//! Journals: headers, frames, records.

use runcellar_format::journal::{
    Header, METRIC_INDEX_MAX, Record, RowValue, RowWriter, push_metric, push_record, push_shape,
};
use runcellar_format::pair::Pair;
use runcellar_format::record::{Close, Event, RunState};
use runcellar_format::{JournalId, KeyId, Secret, WorkspaceId, WriterId, fuzz};

use super::bodies::{fields, start};
use super::{Maker, flip, joined, set};
use crate::support::Vector;

pub(super) fn journal_headers(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8], key: [u8; 32]| {
        Vector::named(name)
            .bytes("workspace", &fuzz::WORKSPACE.0)
            .bytes("key id", &[9; 16])
            .bytes("key", &key)
            .bytes("bytes", bytes)
    };
    let run = fuzz::journal_key().0.encode().expect("short");
    let ingest = ingest_journal(&[]);
    maker.accepted(vector("under the run's key", &run, [8; 32]));
    maker.accepted(vector("sealed to the ingest key", &ingest, [8; 32]));
    maker.refused("wrong key", vector("another key", &run, [7; 32]));
    maker.refused("damaged", vector("another ingest key", &ingest, [7; 32]));
    maker.refused("malformed", vector("other magic", &flip(&run, 0), [8; 32]));
    maker.refused("malformed", vector("version 0", &set(&run, 8, &[0]), [8; 32]));
    maker.refused("newer", vector("version 2", &set(&run, 8, &[2]), [8; 32]));
    maker.refused("suite", vector("suite 2", &set(&run, 9, &[2]), [8; 32]));
    for (name, at) in [
        ("another journal id", 10),
        ("another writer", 26),
        ("another first sequence", 42),
        ("another key id", 55),
        ("another salt", 71),
        ("another commitment", 95),
    ] {
        maker.refused("wrong key", vector(name, &flip(&run, at), [8; 32]));
    }
    for (name, at, outcome) in [
        ("ingest: another journal id", 10, "damaged"),
        ("ingest: another writer", 26, "damaged"),
        ("ingest: another first sequence", 42, "wrong key"),
        ("ingest: another generation", 55, "wrong key"),
        ("ingest: a changed sealed key", 100, "damaged"),
        ("ingest: another salt", 139, "wrong key"),
    ] {
        maker.refused(outcome, vector(name, &flip(&ingest, at), [8; 32]));
    }
    maker.refused("malformed", vector("key source 0", &set(&run, 50, &[0]), [8; 32]));
    maker.refused("malformed", vector("key source 3", &set(&run, 50, &[3]), [8; 32]));
    maker.refused("truncated", vector("key source 2 with the field of 1", &set(&run, 50, &[2]), [8; 32]));
    maker.refused("malformed", vector("key source 1 with the field of 2", &set(&ingest, 50, &[1]), [8; 32]));
    maker.refused("malformed", vector("a key field of 17 bytes", &set(&run, 51, &[17]), [8; 32]));
    maker.refused("truncated", vector("a key field of 15 bytes", &set(&run, 51, &[15]), [8; 32]));
    maker.refused("limit", vector("a key field of 257 bytes", &set(&run, 51, &[1, 1]), [8; 32]));
    maker.refused("truncated", vector("cut in the key field", &run[..60], [8; 32]));
    maker.refused("truncated", vector("a byte less", &run[..run.len() - 1], [8; 32]));
    maker.refused("truncated", vector("nothing", b"", [8; 32]));
    "Headers of journals, opened with the run's key, or the secret and key id of the ingest pair."
}

pub(super) fn ingest_journal(frames: &[(u64, &[u8])]) -> Vec<u8> {
    let ids = (fuzz::WORKSPACE, fuzz::JOURNAL, WriterId([2; 16]));
    let public = Pair::derive(&Secret::new([8; 32]), &[9; 16]).public();
    let made = Header::under_ingest_key(ids, 5, (3, public), &Secret::new([6; 32]), [0x66; 32], [5; 24]);
    let (header, key) = made.expect("seals");
    let mut out = header.encode().expect("short");
    frames.iter().for_each(|(sequence, plain)| key.seal_into(*sequence, plain, &mut out).expect("short"));
    out
}

/// Seals frames under the fixed key, without a header.
pub(super) fn sealed_frames(frames: &[(u64, &[u8])]) -> Vec<u8> {
    let (_, key) = fuzz::journal_key();
    let mut out = Vec::new();
    frames.iter().for_each(|(sequence, plain)| key.seal_into(*sequence, plain, &mut out).expect("short"));
    out
}

pub(super) fn journals(maker: &mut Maker) -> &'static str {
    let header = fuzz::journal_key().0.encode().expect("short");
    let vector = |name: &str, bytes: &[u8]| {
        Vector::named(name)
            .bytes("workspace", &fuzz::WORKSPACE.0)
            .bytes("key id", &[9; 16])
            .bytes("key", &[8; 32])
            .bytes("bytes", bytes)
    };
    let file = |frames: &[u8]| joined(&[&header, frames]);
    let frames = sealed_frames(&[(0, b"start"), (1, b"one"), (2, b""), (3, b"three")]);
    // Where the frames begin.
    let (one, two, three, end) = (49, 49 + 47, 49 + 47 + 44, 49 + 47 + 44 + 49);
    assert_eq!(frames.len(), end);
    maker.accepted(vector("four frames", &file(&frames)));
    maker.accepted(vector("no frame", &file(&[])));
    maker.accepted(vector("sealed to the ingest key", &ingest_journal(&[(0, b"start"), (5, b"five")])));
    let found = |name: &str, frames: &[u8], outcome: &str, found: &str, maker: &mut Maker| {
        maker.refused(outcome, vector(name, &file(frames)).with("found", found));
    };
    let texts = ["0 7374617274", "1 6f6e65", "2 ", "3 7468726565"];
    let first = |count: usize| texts[..count].join(", ");
    found("a torn last frame", &frames[..end - 1], "truncated", &format!("{}, tail {three}", first(3)), maker);
    found("one byte of a frame", &frames[..one + 1], "truncated", &format!("{}, tail {one}", first(1)), maker);
    found("zeros at the end", &joined(&[&frames, &[0; 100]]), "truncated", &format!("{}, tail {end}", first(4)), maker);
    let damaged = |skipped: usize, start: usize, end: usize| {
        let mut all: Vec<String> = texts.iter().map(ToString::to_string).collect();
        all[skipped] = format!("damage {start}..{end}");
        all.join(", ")
    };
    for (name, at) in [
        ("a changed mark", one),
        ("a changed length", one + 4),
        ("a changed sequence", one + 8),
        ("a changed nonce", one + 16),
        ("a changed text", one + 28),
        ("a changed tag", two - 1),
    ] {
        found(name, &flip(&frames, at), "damaged", &damaged(1, one, two), maker);
    }
    let missing = joined(&[&frames[..one], &frames[one + 1..]]);
    found(
        "a byte taken out",
        &missing,
        "damaged",
        &format!("{}, damage {one}..{}, {}, {}", texts[0], two - 1, texts[2], texts[3]),
        maker,
    );
    let between = joined(&[&frames[..two], b"junk", &frames[two..]]);
    found(
        "junk between two frames",
        &between,
        "damaged",
        &format!("{}, damage {two}..{}, {}, {}", first(2), two + 4, texts[2], texts[3]),
        maker,
    );
    let over = set(&frames, one + 4, &((16_u32 << 20) + 1).to_le_bytes());
    found("a length over 16 MiB", &over, "damaged", &damaged(1, one, two), maker);
    let other = Header::under_run_key(
        fuzz::WORKSPACE,
        JournalId([0x6a; 16]),
        WriterId([2; 16]),
        1,
        (KeyId([9; 16]), &Secret::new([8; 32])),
        [5; 24],
    )
    .1;
    let mut foreign = Vec::new();
    other.seal_into(1, b"one", &mut foreign).expect("short");
    found(
        "a frame of another journal",
        &joined(&[&frames[..one], &foreign]),
        "truncated",
        &format!("{}, tail {one}", first(1)),
        maker,
    );
    let moved = Header::under_run_key(
        WorkspaceId([9; 16]),
        fuzz::JOURNAL,
        WriterId([2; 16]),
        1,
        (KeyId([9; 16]), &Secret::new([8; 32])),
        [5; 24],
    )
    .1;
    let mut foreign = Vec::new();
    moved.seal_into(1, b"one", &mut foreign).expect("short");
    found(
        "a frame of another workspace",
        &joined(&[&frames[..one], &foreign]),
        "truncated",
        &format!("{}, tail {one}", first(1)),
        maker,
    );
    let both = flip(&flip(&frames, three + 30), one + 30);
    found(
        "damage and a bad tail",
        &both,
        "damaged",
        &format!("{}, damage {one}..{two}, {}, tail {three}", texts[0], texts[2]),
        maker,
    );
    "Whole journals. What is found stands in `found` or `value`: sequence and text of each frame, stretches of damage, and\n\
     where a torn tail begins, counted from the end of the header. A tail is `truncated`, damage `damaged`."
}

pub(super) fn rows() -> Vec<u8> {
    let mut out = Vec::new();
    push_metric(&mut out, 0, "train/loss");
    push_metric(&mut out, 1, "\u{3b1} \u{1f989}");
    push_row(&mut out, None);
    out
}

/// Appends a row with a value of each type; returns its heads.
fn push_row(out: &mut Vec<u8>, shape: Option<u8>) -> Vec<u32> {
    let mut heads = Vec::new();
    let mut row = RowWriter::begin(out, &mut heads, -3, 1_700_000_000_000_000);
    row.push(0, RowValue::Float(0.25));
    row.push(1, RowValue::Float32(0.1));
    row.push(METRIC_INDEX_MAX - 1, RowValue::Int(i64::MIN));
    row.push(2, RowValue::Bool(true));
    row.push(3, RowValue::Text("ok"));
    row.end(shape);
    heads
}

/// A shape, a row of it, and where the row begins.
fn shaped() -> (Vec<u8>, usize) {
    let heads = push_row(&mut Vec::new(), None);
    let mut out = Vec::new();
    push_shape(&mut out, 255, &heads);
    let row = out.len();
    push_row(&mut out, Some(255));
    (out, row)
}

pub(super) fn records(maker: &mut Maker) -> &'static str {
    let vector = |name: &str, bytes: &[u8]| Vector::named(name).bytes("bytes", bytes);
    let of = |record: Record| {
        let mut out = Vec::new();
        push_record(&mut out, &record).expect("short");
        out
    };
    let all = [
        of(Record::Start(Box::new(start()))),
        rows(),
        of(Record::Fields { clock: 5 << 16, fields: fields() }),
        of(Record::Heartbeat { time: -1 }),
        of(Record::Event(Event { time: 1, kind: 1, text: "the wall clock jumped".into() })),
        of(Record::Close(Close { state: RunState::Failed, exit_code: Some(-1), time: 2, dropped: 3, extra: vec![] })),
    ];
    for (name, bytes) in ["a start", "names and a row", "fields", "a heartbeat", "an event", "a close"].iter().zip(&all)
    {
        maker.accepted(vector(name, bytes));
    }
    maker.accepted(vector("all of them in one frame", &all.concat()));
    maker.accepted(vector("nothing", b""));
    let row = |entries: &[u8], count: u32| joined(&[&[3], &[0; 16], &count.to_le_bytes(), entries]);
    maker.accepted(vector("a row without values", &row(&[], 0)));
    maker.accepted(vector("a float32 NaN with a payload", &row(&[0, 0, 0, 2, 1, 0, 0x80, 0xff], 1)));
    maker.accepted(vector("a float NaN with a payload", &row(&[0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0xf0, 0xff], 1)));

    let media = joined(&[&[1, 0, 0, 7], &[9; 16]]);
    maker.accepted(vector("a reference to a media file", &row(&media, 1)));
    maker.refused("truncated", vector("a reference of 15 bytes", &row(&media[..19], 1)));

    maker.refused("malformed", vector("kind 0", &[0]));
    let (shape, row_at) = shaped();
    maker.accepted(vector("a shape and a row of it", &shape));
    maker.accepted(vector("a shape that is said twice", &joined(&[&shape[..row_at], &shape])));
    maker.accepted(vector("a shape without values, and a row of it", &joined(&[&[8, 0, 0, 0, 0, 0, 9, 0], &[0; 16]])));
    maker.refused("newer", vector("kind 10", &[10]));
    maker.refused("malformed", vector("a row of a shape that was not said", &shape[row_at..]));
    maker.refused("malformed", vector("a row of another shape", &set(&shape, row_at + 1, &[254])));
    maker.refused("truncated", vector("a row of a shape cut short", &shape[..shape.len() - 1]));
    maker.refused("truncated", vector("a shape cut short", &shape[..row_at - 1]));
    maker.refused("truncated", vector("a shape of 2^32 - 1 values", &[8, 0, 0xff, 0xff, 0xff, 0xff]));
    maker.refused("malformed", vector("a shape with a value of type 0", &[8, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
    maker.refused("newer", vector("a shape with a value of type 8", &[8, 0, 1, 0, 0, 0, 0, 0, 0, 8]));
    let other = set(&shape[..row_at], 6, &[1]);
    maker.refused("malformed", vector("a shape that becomes another", &joined(&[&shape, &other])));
    maker.refused("newer", vector("kind 255 after a good record", &joined(&[&all[3], &[255]])));
    maker.refused("truncated", vector("a heartbeat cut short", &all[3][..8]));
    maker.refused("truncated", vector("a heartbeat without a time", &[5]));
    maker.refused("truncated", vector("a row cut in its head", &[3, 1, 2]));
    maker.refused("truncated", vector("a row of 2^32 - 1 values", &row(&[], u32::MAX)));
    maker.refused("truncated", vector("a row with one value fewer than it says", &row(&[0, 0, 0, 4, 1], 2)));
    maker.refused("malformed", vector("a value of type 0", &row(&[0, 0, 0, 0, 1], 1)));
    maker.refused("newer", vector("a value of type 8", &row(&[0, 0, 0, 8, 1], 1)));
    let histogram = |bins: u32, numbers: &[f64]| {
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_bits().to_le_bytes()).collect();
        row(&joined(&[&[0, 0, 0, 6], &bins.to_le_bytes(), &numbers]), 1)
    };
    maker.accepted(vector("a histogram", &histogram(2, &[-1.0, 0.5, f64::INFINITY, 3.0, 0.25])));
    maker.refused("malformed", vector("a histogram without bins", &histogram(0, &[1.0])));
    maker.refused("limit", vector("a histogram of 4,097 bins", &histogram(4097, &[])));
    maker.refused("truncated", vector("a histogram cut short", &histogram(2, &[-1.0, 0.5, 1.0, 3.0])));
    maker.refused("malformed", vector("a histogram whose edges fall", &histogram(1, &[1.0, 0.0, 3.0])));
    maker.refused("malformed", vector("a histogram with a count below 0", &histogram(1, &[0.0, 1.0, -1.0])));
    maker.refused("malformed", vector("a bool of 2", &row(&[0, 0, 0, 4, 2], 1)));
    maker.refused("malformed", vector("a text that is not UTF-8", &row(&[0, 0, 0, 5, 1, 0, 0, 0, 0xff], 1)));
    maker.refused("malformed", vector("a surrogate in UTF-8", &row(&[0, 0, 0, 5, 3, 0, 0, 0, 0xed, 0xa0, 0x80], 1)));
    maker.refused("limit", vector("a text of 4 MiB and a byte", &row(&[0, 0, 0, 5, 1, 0, 0x40, 0], 1)));
    maker.refused("truncated", vector("a text cut short", &row(&[0, 0, 0, 5, 2, 0, 0, 0, b'a'], 1)));
    maker.refused("truncated", vector("an int of 7 bytes", &row(&[0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7], 1)));
    let name = |index: u32, len: u32, name: &[u8]| joined(&[&[2], &index.to_le_bytes(), &len.to_le_bytes(), name]);
    maker.refused("malformed", vector("a metric of index 2^24", &name(1 << 24, 1, b"a")));
    maker.refused("limit", vector("a name of 4,097 bytes", &name(0, 4097, &[b'a'; 4097])));
    maker.refused("malformed", vector("a name that is not UTF-8", &name(0, 1, &[0x80])));
    maker.refused("truncated", vector("a name cut short", &name(0, 2, b"a")));
    maker.refused("truncated", vector("a start of 2^32 - 1 bytes", &[1, 0xff, 0xff, 0xff, 0xff]));
    maker.refused("truncated", vector("a start of no bytes", &[1, 0, 0, 0, 0]));
    maker.refused(
        "malformed",
        vector("a close whose body goes on", &set(&joined(&[&all[5], &[0]]), 1, &[all[5][1] + 1])),
    );
    maker.refused("newer", vector("a close of body version 2", &set(&all[5], 5, &[2])));
    maker.refused("malformed", vector("a close in state 5", &set(&all[5], 7, &[5])));
    "Texts of frames. An accepted one gives its records, as the Rust types show themselves."
}
