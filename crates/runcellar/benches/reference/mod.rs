//! What figures are measured against in the same run: what `ring` takes to seal, and SQLite to commit.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn aead() -> ring::aead::LessSafeKey {
    let key = ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, &[7; 32]).expect("32 bytes");
    ring::aead::LessSafeKey::new(key)
}

pub(crate) fn seal(key: &ring::aead::LessSafeKey, counter: u64, text: &mut [u8]) -> [u8; 16] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&counter.to_le_bytes());
    let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, ring::aead::Aad::from([0; 48]), text).expect("short");
    tag.as_ref().try_into().expect("16 bytes")
}

pub(crate) fn ring_seal_64_mib() -> Duration {
    let (key, mut bytes) = (aead(), vec![0; 64 << 20]);
    let start = Instant::now();
    black_box(seal(&key, 1, &mut bytes));
    start.elapsed()
}

/// The median of 20 commits of one small row with `synchronous=FULL` in WAL mode.
pub(crate) fn full_commit(path: &Path) -> Duration {
    let connection = rusqlite::Connection::open(path.join("reference.db")).expect("opens");
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x BLOB);")
        .expect("plain SQL");
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            connection.execute("INSERT INTO t VALUES (zeroblob(100))", []).expect("inserts");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[10]
}
