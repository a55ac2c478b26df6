//! The fuzz targets without libFuzzer: the corpus, and changes of it by a seeded mutator.
//!
//! `RUNCELLAR_FUZZ_ROUNDS` sets the number of inputs a target; `fuzz/` goes on from here with coverage.

use std::path::PathBuf;

use runcellar_format::fuzz::{TARGETS, Target};

use crate::support::{Seeded, root};

/// Inputs a target in each run of the tests: a few seconds in all, unoptimised.
const ROUNDS: usize = 20_000;
/// Inputs a target whose bodies decompress or derive keys, and take a hundred times as long.
const ROUNDS_SLOW: usize = 2_000;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = root().join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("can be listed").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("can be read")).collect()
}

/// Changes bytes as storage and enemies do: bits, bytes, numbers at their ends, runs, lengths, pieces of other inputs.
fn mutate(seeded: &mut Seeded, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[seeded.below(seeds.len())].clone();
    for _ in 0..=seeded.below(4) {
        let at = seeded.below(bytes.len() + 1);
        let end = bytes.len().min(at + 1 + seeded.below(16));
        match seeded.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << seeded.below(8),
            2 if at < bytes.len() => bytes[at] = seeded.next() as u8,
            3 if at < bytes.len() => {
                let value = [0_u64, 1, 0x7f, 0xff, 0x8000, u32::MAX.into(), u64::MAX, 1 << 24][seeded.below(8)];
                bytes[at..end].iter_mut().zip(value.to_le_bytes()).for_each(|(byte, new)| *byte = new);
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let piece = bytes[at..end].to_vec();
                let to = seeded.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            6 => {
                let other = &seeds[seeded.below(seeds.len())];
                let from = seeded.below(other.len() + 1);
                let piece = other[from..].to_vec();
                bytes.splice(at.., piece);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn drive(name: &str, target: Target, rounds: usize) {
    let rounds = std::env::var("RUNCELLAR_FUZZ_ROUNDS").map_or(rounds, |text| text.parse().expect("a number"));
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has seeds");
    target(&[]);
    seeds.iter().for_each(|seed| target(seed));
    let mut seeded = Seeded(name.bytes().map(u64::from).sum());
    for round in 0..rounds {
        let input = mutate(&mut seeded, &seeds);
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "{name}: round {round}: {}", crate::support::hex(&input));
    }
}

macro_rules! targets_hold {
    ($($name:ident: $rounds:expr,)*) => {
        $(
            #[test]
            fn $name() {
                let target = TARGETS.iter().find(|(known, _)| *known == stringify!($name)).expect("a target").1;
                drive(stringify!($name), target, $rounds);
            }
        )*

        #[test]
        fn every_target_is_driven() {
            let driven = [$(stringify!($name)),*];
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(driven));
        }
    };
}

targets_hold! {
    seal: ROUNDS,
    keyslots: ROUNDS_SLOW,
    key_file: ROUNDS,
    backup_mark: ROUNDS,
    mirror: ROUNDS,
    recovery_code: ROUNDS,
    journal_header: ROUNDS_SLOW,
    journal: ROUNDS,
    records: ROUNDS,
    group: ROUNDS_SLOW,
    column: ROUNDS,
    overview: ROUNDS,
    pack: ROUNDS,
    bucket: ROUNDS,
    chunk: ROUNDS,
    catalogue: ROUNDS_SLOW,
    change: ROUNDS,
    bodies: ROUNDS,
    tar: ROUNDS,
    welcome: ROUNDS_SLOW,
}
