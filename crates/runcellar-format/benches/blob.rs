//! Speed of what a file goes through on its way into a pack, each beside a reference of the same bytes.
//!
//! `cargo bench -p runcellar-format --bench blob`; a word behind `--` picks benchmarks. All work on one chunk of the greatest
//! length after another, out of 16 MiB, so that bytes come from memory as they do in a put.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use runcellar_format::blob::{BlobKeys, CHUNK_BYTES_MAX, Effort, Form, decode, encode, open_chunk, probe, seal_chunk};
use runcellar_format::seal::OwnerKey;
use runcellar_format::{ChunkId, KeyId, Secret, WorkspaceId};

const FILE_BYTES: usize = 16 << 20;
const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);

fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

/// Returns numbers of a normal distribution, by the method of Box and Muller: weights are much like them.
fn weights(count: usize) -> Vec<f64> {
    let uniform = |bytes: [u8; 8]| (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64;
    let noise = noise(count * 16);
    let pairs =
        noise.as_chunks::<8>().0.as_chunks::<2>().0.iter().map(|[left, right]| (uniform(*left), uniform(*right)));
    pairs
        .map(|(left, right)| 0.02 * (-2.0 * (1.0 - left).ln()).sqrt() * (std::f64::consts::TAU * right).cos())
        .collect()
}

/// The contents that are measured, by their names.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let floats: Vec<u8> = weights(FILE_BYTES / 4).iter().flat_map(|weight| (*weight as f32).to_le_bytes()).collect();
    let halves = |[_, _, low, high]: &[u8; 4]| [*low, *high];
    let brain: Vec<u8> = floats.as_chunks().0.iter().flat_map(halves).collect();
    let doubles = weights(FILE_BYTES / 8).iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let bytes = weights(FILE_BYTES).iter().map(|weight| (weight * 1600.0) as i8 as u8).collect();
    let words = ["loss", "step", "{\"lr\": ", "0.001", "epoch", "}\n", "accuracy", " = ", "model.layers."];
    let mut text = String::with_capacity(FILE_BYTES + 16);
    for byte in noise(FILE_BYTES) {
        if text.len() >= FILE_BYTES {
            break;
        }
        text.push_str(words.get(usize::from(byte)).copied().unwrap_or("x"));
        text.push_str(&byte.to_string());
    }
    vec![
        ("random", noise(FILE_BYTES)),
        ("float32", floats),
        ("bfloat16", brain),
        ("float64", doubles),
        ("int8", bytes),
        ("text", text.into_bytes()),
    ]
}

fn chunks(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.chunks(CHUNK_BYTES_MAX)
}

/// Cutting, naming and sealing, which every byte goes through.
fn every_byte(c: &mut Criterion) {
    let mut group = c.benchmark_group("16 MiB");
    group.throughput(Throughput::Bytes(FILE_BYTES as u64)).sample_size(10);
    let keys = BlobKeys::derive(WORKSPACE, &OwnerKey::new(KeyId([2; 16]), Secret::new([3; 32])));
    let file = noise(FILE_BYTES);
    group.bench_function("cut", |b| {
        b.iter(|| {
            let mut rest = black_box(file.as_slice());
            while !rest.is_empty() {
                rest = &rest[keys.cut(rest)..];
            }
        });
    });
    group.bench_function("id", |b| b.iter(|| chunks(&file).map(|chunk| keys.chunk_id(chunk)).max()));
    group.bench_function("probe", |b| b.iter(|| chunks(&file).map(|chunk| probe(chunk, Effort::Default) as u8).max()));
    let (secret, id, len) = (Secret::new([4; 32]), ChunkId([5; 16]), CHUNK_BYTES_MAX as u32);
    let mut text = Vec::with_capacity(CHUNK_BYTES_MAX + 16);
    group.bench_function("seal a copy", |b| {
        b.iter(|| {
            for chunk in chunks(&file) {
                text.clear();
                text.extend_from_slice(chunk);
                seal_chunk(WORKSPACE, &secret, id, Form::Raw, len, &mut text, 0);
            }
        });
    });
    let sealed = text.clone();
    group.bench_function("open a copy", |b| {
        b.iter(|| {
            for _ in chunks(&file) {
                text.clone_from(&sealed);
                open_chunk(WORKSPACE, &secret, id, Form::Raw, len, &mut text).expect("just sealed");
            }
        });
    });
    let ring = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("32 bytes"));
    group.bench_function("reference: ring seals a copy", |b| {
        b.iter(|| {
            for chunk in chunks(&file) {
                text.clear();
                text.extend_from_slice(chunk);
                let nonce = Nonce::assume_unique_for_key([0; 12]);
                ring.seal_in_place_append_tag(nonce, Aad::empty(), &mut text).expect("short enough");
            }
        });
    });
    group.bench_function("reference: a copy", |b| {
        b.iter(|| {
            for chunk in chunks(&file) {
                text.clear();
                text.extend_from_slice(black_box(chunk));
            }
        });
    });
    group.finish();
}

/// What probing and encoding makes of content, beside zstd 3 with the same bytes.
fn forms(c: &mut Criterion) {
    for (name, file) in contents() {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(FILE_BYTES as u64)).sample_size(10);
        let mut zstd = zstd::bulk::Compressor::new(3).expect("level 3");
        let small: usize = chunks(&file).map(|chunk| zstd.compress(chunk).expect("memory").len()).sum();
        for effort in [Effort::Default, Effort::Best] {
            let form = probe(&file[..CHUNK_BYTES_MAX], effort);
            let mut out = Vec::with_capacity(2 * CHUNK_BYTES_MAX);
            let all = |out: &mut Vec<u8>| {
                let stored = chunks(&file).map(|chunk| {
                    out.clear();
                    encode(probe(chunk, effort), effort, chunk, out);
                    out.len()
                });
                stored.sum::<usize>()
            };
            let stored = all(&mut out);
            let (whole, less) = (stored as f64 / FILE_BYTES as f64, stored as f64 / small as f64);
            group.bench_function(format!("{effort:?}: {form:?}, {whole:.3} of raw, {less:.3} of zstd 3"), |b| {
                b.iter(|| all(&mut out));
            });
        }
        let mut out = Vec::with_capacity(2 * CHUNK_BYTES_MAX);
        let form = encode(
            probe(&file[..CHUNK_BYTES_MAX], Effort::Default),
            Effort::Default,
            &file[..CHUNK_BYTES_MAX],
            &mut out,
        );
        let mut plain = vec![0; CHUNK_BYTES_MAX];
        group.bench_function("decode", |b| {
            b.iter(|| {
                for _ in chunks(&file) {
                    decode(form, black_box(&out), &mut plain).expect("just encoded");
                }
            });
        });
        group.bench_function("reference: zstd 3", |b| {
            b.iter(|| chunks(&file).map(|chunk| zstd.compress(black_box(chunk)).expect("memory").len()).sum::<usize>());
        });
        group.finish();
    }
}

criterion_group!(benches, every_byte, forms);
criterion_main!(benches);
