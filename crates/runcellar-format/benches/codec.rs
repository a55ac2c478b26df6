//! Speed of sealing, framing and coding, each beside the same work done by what it is built from.
//!
//! `cargo bench -p runcellar-format --bench codec`; a word behind `--` picks benchmarks. Groups hold a reference of the
//! same bytes in the same run, so that what counts is how far two lines of a group lie apart.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use runcellar_format::block::{Column, GroupMain, GroupRows, Level, Presence, Values, encode_column, encode_group};
use runcellar_format::journal::{FRAME_OVERHEAD_BYTES, Header};
use runcellar_format::seal::{Kind, OwnerKey, Place};
use runcellar_format::{JournalId, KeyId, ObjectId, Secret, WorkspaceId, WriterId};

const LARGE_BYTES: usize = 64 << 20;
const GROUP_ROWS: usize = 4096;
/// Plaintext of a row of 20 scalars.
const ROW_BYTES: usize = 20 * 9 + 21;

fn ring_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("32 bytes"))
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn objects(c: &mut Criterion) {
    let mut group = c.benchmark_group("64 MiB");
    group.throughput(Throughput::Bytes(LARGE_BYTES as u64)).sample_size(10);
    let key = OwnerKey::new(KeyId([1; 16]), Secret::new([2; 32]));
    let place = Place::of(WorkspaceId([3; 16]), Kind::Block, ObjectId([4; 16]));
    let plain = vec![0x5a; LARGE_BYTES];
    let sealed = key.seal([5; 24], &place, &plain);
    group.bench_function("seal", |b| b.iter(|| key.seal([5; 24], &place, black_box(&plain))));
    group.bench_function("open", |b| b.iter(|| key.open(&place, black_box(sealed.as_bytes())).expect("opens")));
    let ring = ring_key();
    group.bench_function("reference: ring seals a copy", |b| {
        b.iter(|| {
            let mut text = black_box(&plain).clone();
            ring.seal_in_place_append_tag(nonce(1), Aad::empty(), &mut text).expect("short enough");
            text
        });
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame of 20 scalars");
    group.throughput(Throughput::Bytes((ROW_BYTES + FRAME_OVERHEAD_BYTES) as u64));
    let run_key = (KeyId([1; 16]), &Secret::new([2; 32]));
    let journal = (WorkspaceId([3; 16]), JournalId([4; 16]), WriterId([5; 16]));
    let (_, key) = Header::under_run_key(journal.0, journal.1, journal.2, 1, run_key, [6; 24]);
    let plain = [0x5a; ROW_BYTES];
    let (mut frame, mut sequence) = (Vec::new(), 0);
    group.bench_function("seal", |b| {
        b.iter(|| {
            frame.clear();
            sequence += 1;
            key.seal_into(sequence, black_box(&plain), &mut frame).expect("within the limit");
        });
    });
    group.bench_function("open", |b| b.iter(|| key.open(black_box(&frame)).expect("opens")));
    let (ring, mut counter) = (ring_key(), 0);
    let mut text = plain.to_vec();
    group.bench_function("reference: ring seals", |b| {
        b.iter(|| {
            counter += 1;
            ring.seal_in_place_separate_tag(nonce(counter), Aad::from([0; 48]), &mut text).expect("short enough")
        });
    });
    group.finish();
}

/// Returns a loss in 32 bits of precision, with noise from a multiplicative hash.
fn losses() -> Vec<f64> {
    let noise = |step: usize| (step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as f64 / u64::MAX as f64;
    (0..GROUP_ROWS).map(|step| f64::from((4.0 / (1.0 + step as f64 / 500.0) + 0.2 * noise(step)) as f32)).collect()
}

fn columns(c: &mut Criterion) {
    let mut group = c.benchmark_group("column of 4,096 losses");
    group.throughput(Throughput::Elements(GROUP_ROWS as u64));
    let steps: Vec<i64> = (0..).take(GROUP_ROWS).collect();
    let column = Column { series: 0, presence: Presence::Dense, values: Values::Float(losses()) };
    let encoded = |level| encode_column(&column, GROUP_ROWS as u32, level).expect("within the limits");
    for level in [Level::Fast, Level::Best] {
        group.bench_function(BenchmarkId::new("encode", format!("{level:?}")), |b| b.iter(|| encoded(level)));
    }
    let rows =
        GroupRows { writer: WriterId::NIL, first_sequence: 0, last_sequence: 1 << 20, steps: &steps, times: &steps };
    let parts = encode_group(&rows, vec![encoded(Level::Best)], Level::Best).expect("within the limits").parts;
    let main = GroupMain::decode(&parts[0]).expect("just written");
    let read = &main.columns[0];
    let separate = parts.get(read.part as usize).map(Vec::as_slice);
    group.bench_function("decode", |b| b.iter(|| read.decode(black_box(separate)).expect("just written")));
    let plain: Vec<u8> = losses().iter().flat_map(|value| value.to_le_bytes()).collect();
    group.bench_function("reference: zstd 3 encodes", |b| {
        b.iter(|| zstd::bulk::compress(black_box(&plain), 3).expect("memory"));
    });
    group.finish();
}

criterion_group!(benches, objects, frames, columns);
criterion_main!(benches);
