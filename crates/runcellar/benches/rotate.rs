//! Replacing the root key of a workspace with an index of eight million chunks, beside the least that the same work could
//! take: opening and sealing as many keys, and writing as many rows.
//!
//! `cargo bench -p runcellar --bench rotate`. Chunk keys stand in the buckets of their packs, so what is wrapped anew is a
//! key a pack: rows of the key table are made here for packs that are not there.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::path::Path;
use std::time::Instant;

use runcellar::{Keys, Workspace};
use runcellar_format::keyslots::{KeyFile, Keyslots, SlotSecret};
use runcellar_format::seal::{Kind, OwnerKey, Place};
use runcellar_format::{DeviceId, KeyId, ObjectId, Secret, WorkspaceId};
use rusqlite::{Connection, params};

const CHUNKS: usize = 8_000_000;
/// A pack of 16 MiB and chunks of 84 KiB, as they come out on average.
const CHUNKS_OF_PACK: usize = 195;
const PROJECT_EPOCH: u8 = 33;
const BUCKET: u8 = 36;

fn bytes<const N: usize>(number: usize, salt: u8) -> [u8; N] {
    let mut hasher = runcellar_format::seal::checksum(&[&number.to_le_bytes()[..], &[salt]].concat()).to_vec();
    hasher.truncate(N);
    hasher.try_into().expect("at most 32 bytes")
}

fn wrap_place(workspace: WorkspaceId, epoch: [u8; 16], owner: [u8; 16], purpose: u8, key: [u8; 16]) -> Place {
    Place::of(workspace, Kind::Wrap, ObjectId(owner)).part(epoch).at(purpose.into(), 0).version(DeviceId(key), 0)
}

/// Adds a key for each pack, as the store would have; returns how many.
fn fill(workspace: &Path, key_file: &Path) -> usize {
    let slots = Keyslots::decode(&std::fs::read(workspace.join("keyslots")).expect("reads")).expect("keyslots");
    let mut entries = KeyFile::decode(&std::fs::read(key_file).expect("reads")).expect("a key file").entries;
    let secret = SlotSecret::key_file(entries.remove(0).secret);
    let (epoch, root) = slots.slots[0].open(slots.workspace, &slots.epochs, &secret).expect("opens").remove(0);
    let root = OwnerKey::new(KeyId(epoch.0), root);
    let mut connection = Connection::open(workspace.join("cellar.db")).expect("opens");
    let sql = "SELECT id, owner, wrap FROM key WHERE purpose = ?1";
    let (id, owner, wrap): ([u8; 16], [u8; 16], Vec<u8>) = connection
        .query_row(sql, [PROJECT_EPOCH], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .expect("a project");
    let place = wrap_place(slots.workspace, epoch.0, owner, PROJECT_EPOCH, id);
    let project = root.open(&place, &wrap).expect("opens");
    let project = OwnerKey::new(KeyId(id), Secret::from_slice(&project).expect("32 bytes"));
    let transaction = connection.transaction().expect("begins");
    let count = CHUNKS.div_ceil(CHUNKS_OF_PACK);
    for number in 0..count {
        let (key, pack): ([u8; 16], [u8; 16]) = (bytes(number, 1), bytes(number, 2));
        let place = wrap_place(slots.workspace, epoch.0, pack, BUCKET, key);
        let wrap = project.seal(bytes(number, 3), &place, &bytes::<32>(number, 4)).into_bytes();
        let sql = "INSERT INTO key (id, owner, purpose, epoch, wrap) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut statement = transaction.prepare_cached(sql).expect("SQL");
        statement.execute(params![key, pack, BUCKET, epoch.0, wrap]).expect("inserts");
    }
    transaction.commit().expect("commits");
    count
}

/// The same keys opened and sealed in memory, and as many rows of that length changed in one commit.
fn reference(directory: &Path, count: usize) -> (f64, f64) {
    let key = OwnerKey::new(KeyId([1; 16]), Secret::new([2; 32]));
    let place = wrap_place(WorkspaceId([3; 16]), [4; 16], [5; 16], BUCKET, [6; 16]);
    let wraps: Vec<Vec<u8>> =
        (0..count).map(|number| key.seal(bytes(number, 1), &place, &bytes::<32>(number, 2)).into_bytes()).collect();
    let begun = Instant::now();
    let again: Vec<Vec<u8>> = wraps
        .iter()
        .zip(0..)
        .map(|(wrap, number)| key.seal(bytes(number, 3), &place, &key.open(&place, wrap).expect("opens")).into_bytes())
        .collect();
    let sealing = begun.elapsed().as_secs_f64();
    let mut connection = Connection::open(directory.join("reference.db")).expect("opens");
    let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
                  CREATE TABLE key (id BLOB PRIMARY KEY, owner BLOB, purpose INTEGER, epoch BLOB, wrap BLOB) WITHOUT ROWID";
    connection.execute_batch(schema).expect("SQL");
    let transaction = connection.transaction().expect("begins");
    for (number, wrap) in wraps.iter().enumerate() {
        let values = params![bytes::<16>(number, 1), bytes::<16>(number, 2), BUCKET, [0_u8; 16], wrap];
        transaction
            .prepare_cached("INSERT INTO key VALUES (?1, ?2, ?3, ?4, ?5)")
            .expect("SQL")
            .execute(values)
            .expect("inserts");
    }
    transaction.commit().expect("commits");
    let begun = Instant::now();
    let transaction = connection.transaction().expect("begins");
    for (number, wrap) in again.iter().enumerate() {
        let sql = "UPDATE key SET epoch = ?2, wrap = ?3 WHERE id = ?1";
        transaction
            .prepare_cached(sql)
            .expect("SQL")
            .execute(params![bytes::<16>(number, 1), [1_u8; 16], wrap])
            .expect("updates");
    }
    transaction.commit().expect("commits");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("empties the log");
    (sealing, begun.elapsed().as_secs_f64())
}

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key_file = directory.path().join("bench.key");
    let open = || {
        let keys = Keys { file: Some(key_file.clone()), ..Keys::default() };
        Workspace::open_or_create(directory.path().join("w"), keys).expect("opens")
    };
    let run = open().run("bench").start().expect("starts");
    run.finish().expect("finishes");
    drop(run);
    let count = fill(&directory.path().join("w"), &key_file);
    println!("replacing the root key: {CHUNKS} chunks in {count} packs");
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let workspace = open();
            let begun = Instant::now();
            workspace.rotate_keys().expect("rotates");
            begun.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let (sealing, rows) = reference(directory.path(), count);
    println!("  rotate, median of 5                      {:8.3} s", times[2]);
    println!("  reference: open and seal these keys      {sealing:8.3} s");
    println!("  reference: write these rows, one commit  {rows:8.3} s");
    println!("  ratio to both references                 {:8.2}", times[2] / (sealing + rows));
}
