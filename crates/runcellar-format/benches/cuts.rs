//! How much a second version of a file adds to a store, by where chunks are cut: what `blob::CUTS` was chosen by.
//!
//! `cargo bench -p runcellar-format --bench cuts` prints a line for each choice: a file of random bytes is cut, then 1% of
//! it is overwritten in runs of 64 KiB, 64 KiB are inserted near its start, and the chunks that are new are counted. The
//! line of the cuts in use comes first. `RUNCELLAR_BENCH_MIB` sets the length of the file, 256 without it.

#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::collections::HashSet;

use runcellar_format::blob::{BlobKeys, CUTS, Cuts};
use runcellar_format::seal::OwnerKey;
use runcellar_format::{ChunkId, KeyId, Secret, WorkspaceId};

const RUN_BYTES: usize = 64 << 10;
/// Edits of one file, each with other places: the figure is their mean.
const EDITS: u64 = 8;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Overwrites 1% of a file in runs at random places, and inserts a run near its start.
fn edited(file: &[u8], seed: u64) -> Vec<u8> {
    let mut out = file.to_vec();
    let runs = file.len() / 100 / RUN_BYTES;
    let places = noise(seed, runs * 8);
    for (run, place) in places.as_chunks().0.iter().enumerate() {
        let at = usize::try_from(u64::from_le_bytes(*place)).expect("64 bits") % (file.len() - RUN_BYTES);
        out[at..at + RUN_BYTES].copy_from_slice(&noise(seed ^ (run as u64) << 32 ^ 1 << 63, RUN_BYTES));
    }
    out.splice(10_000..10_000, noise(seed ^ 1 << 62, RUN_BYTES));
    out
}

/// The chunks of a file: ids and lengths.
fn chunks(keys: &BlobKeys, cuts: &Cuts, mut file: &[u8]) -> Vec<(ChunkId, usize)> {
    let mut out = Vec::new();
    while !file.is_empty() {
        let (chunk, rest) = file.split_at(keys.cut_by(cuts, file));
        out.push((keys.chunk_id(chunk), chunk.len()));
        file = rest;
    }
    out
}

fn print(keys: &BlobKeys, cuts: &Cuts, file: &[u8], versions: &[Vec<u8>]) {
    let first = chunks(keys, cuts, file);
    let known: HashSet<ChunkId> = first.iter().map(|(id, _)| *id).collect();
    let mut grown: Vec<f64> = Vec::new();
    for version in versions {
        let chunks = chunks(keys, cuts, version);
        let added: usize = chunks.iter().filter(|(id, _)| !known.contains(id)).map(|(_, len)| len).sum();
        grown.push(added as f64 / file.len() as f64 * 100.0);
    }
    let mean = grown.iter().sum::<f64>() / grown.len() as f64;
    let most = grown.iter().copied().fold(0.0, f64::max);
    let real = file.len() as f64 / first.len() as f64 / 1024.0;
    let Cuts { min, normal, max, hard, easy } = cuts;
    println!(
        "{:4} {:4} {:4} KiB, 1 in {hard:6}, {easy:6}: chunks of {real:5.1} KiB, grows {mean:.2}% (at most {most:.2}%)",
        min >> 10,
        normal >> 10,
        max >> 10,
    );
}

fn main() {
    let mib = std::env::var("RUNCELLAR_BENCH_MIB").map_or(256, |text| text.parse().expect("a number of MiB"));
    let keys = BlobKeys::derive(WorkspaceId([1; 16]), &OwnerKey::new(KeyId([2; 16]), Secret::new([3; 32])));
    let file = noise(1, mib << 20);
    let versions: Vec<Vec<u8>> = (2..2 + EDITS).map(|seed| edited(&file, seed)).collect();
    println!(
        "random bytes, {mib} MiB; shortest, normal and longest chunk; places that are chosen before and from the normal"
    );
    print(&keys, &CUTS, &file, &versions);
    let choices = [
        (16, 64, 64, 64, 192),
        (16, 64, 256, 16, 256),
        (16, 80, 80, 80, 240),
        (24, 80, 160, 40, 240),
        (32, 80, 80, 80, 240),
        (32, 80, 160, 56, 240),
        (32, 96, 96, 67, 288),
        (48, 80, 160, 40, 240),
        (32, 128, 512, 32, 512),
    ];
    for (min, normal, hard, easy, max) in choices {
        let cuts = Cuts { min: min << 10, normal: normal << 10, max: max << 10, hard: hard << 10, easy: easy << 10 };
        print(&keys, &cuts, &file, &versions);
    }
}
