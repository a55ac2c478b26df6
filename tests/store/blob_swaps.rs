//! P4 for blobs, exhaustively: every pair of rows and of chunks swapped, one bit of each byte flipped.
//!
//! Of the bytes one in `RUNCELLAR_FLIP_EVERY` (50) is flipped; 1 flips them all.

use std::fs;

use runcellar::artifacts::{ArtifactDraft, PutSettings, RemoveOptions};
use runcellar::{CheckOptions, ProblemKind, Workspace};
use rusqlite::{Connection, params};

use crate::blob_damage::{content, only_pack};
use crate::replay::{put_back, reports, rows};
use crate::support::{Place, Rng, count_from};

/// Manifests, buckets, tombstones, artifacts, packs, versions: docs/FORMAT.md, "Sealed object".
const KINDS: [i64; 6] = [13, 14, 18, 20, 23, 24];
/// Keys of artifacts, versions, buckets, and of a project's blobs.
const PURPOSES: [i64; 4] = [34, 35, 36, 40];

fn put(workspace: &Workspace, name: &str, files: &[(String, Vec<u8>)]) {
    let mut draft = ArtifactDraft::new(name, "dataset").expect("a name");
    for (path, content) in files {
        draft.add_bytes(path, content.clone()).expect("adds");
    }
    let settings = PutSettings { project: "digits".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}

/// Two artifacts of two versions each.
fn workspace_of_blobs(place: &Place) {
    let workspace = place.open();
    for (name, seed) in [("data", 1), ("data", 2), ("model", 3), ("model", 4)] {
        let files = |seed: u64| vec![("same".to_owned(), content(9, 600)), ("own".to_owned(), content(seed, 700))];
        put(&workspace, name, &files(seed));
    }
    assert!(workspace.check(CheckOptions { read_data: true }).expect("checks").problems.is_empty());
}

/// Removes one, which leaves a tombstone.
fn remove_one(place: &Place) {
    let workspace = place.open();
    let first = workspace.artifact("data:v0").expect("finds");
    workspace.remove_version(&first, RemoveOptions::default()).expect("removes");
}

#[test]
fn every_swapped_pair_of_rows_of_blobs_is_reported() {
    let place = Place::new();
    workspace_of_blobs(&place);
    remove_one(&place);
    let pristine = place.root().join("pristine.db");
    fs::copy(place.database(), &pristine).expect("copies");
    let list = |sql: &str, kinds: &[i64]| -> Vec<i64> {
        let connection = Connection::open(&pristine).expect("opens");
        let sql = sql.replace("KINDS", &kinds.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
        let mut statement = connection.prepare(&sql).expect("SQL");
        statement.query_map([], |row| row.get(0)).expect("rows").map(|row| row.expect("a number")).collect()
    };
    // Rows are told by their rank in the order of their keys, as these tables have no numbers.
    let of_table = [
        ("object", "kind, id, position", "device, seq, body", "kind IN (KINDS)", &KINDS[..]),
        ("key", "id", "owner, purpose, epoch, wrap", "purpose IN (KINDS)", &PURPOSES[..]),
    ];
    let mut swapped = 0;
    for (table, key, columns, condition, kinds) in of_table {
        let ranked = format!("SELECT {key}, row_number() OVER (ORDER BY {key}) AS rank FROM {table} WHERE {condition}");
        let ranks = list(&format!("SELECT rank FROM ({ranked})"), kinds);
        let kinds = kinds.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        let ranked = ranked.replace("KINDS", &kinds);
        for left in &ranks {
            for right in ranks.iter().filter(|right| *right > left) {
                put_back(&place, &pristine);
                let connection = Connection::open(place.database()).expect("opens");
                // Each takes all but the key of the other.
                let sql = format!(
                    "CREATE TEMP TABLE pair AS SELECT {table}.*, ranked.rank FROM {table} JOIN ({ranked}) AS ranked \
                     USING ({key}) WHERE ranked.rank IN (?1, ?2)"
                );
                connection.execute(&sql, params![left, right]).expect("reads the pair");
                let sql = format!(
                    "UPDATE {table} SET ({columns}) = (SELECT {theirs} FROM pair AS own, pair AS other \
                     WHERE own.rank <> other.rank AND {same}) WHERE ({key}) IN (SELECT {key} FROM pair)",
                    theirs = columns.split(", ").map(|name| format!("other.{name}")).collect::<Vec<_>>().join(", "),
                    same = key
                        .split(", ")
                        .map(|name| format!("own.{name} = {table}.{name}"))
                        .collect::<Vec<_>>()
                        .join(" AND "),
                );
                assert_eq!(connection.execute(&sql, []).expect("swaps"), 2);
                connection.close().expect("closes");
                assert!(reports(&place), "{table}: rows {left} and {right} are swapped, and nothing said so");
                swapped += 1;
            }
        }
    }
    assert!(swapped > 150, "{swapped}");
    put_back(&place, &pristine);
    assert!(!reports(&place), "whole again");
}

/// Aim: what is lost of an artifact is told by its name, though the record that has the name is what is lost.
#[test]
fn lost_and_replayed_records_of_artifacts_are_named() {
    const ARTIFACT: i64 = 20;
    const VERSION: i64 = 24;
    let place = Place::new();
    let older = place.root().join("older.db");
    put(&place.open(), "data", &[("own".to_owned(), content(1, 700))]);
    fs::copy(place.database(), &older).expect("copies");
    put(&place.open(), "data", &[("own".to_owned(), content(2, 700))]);
    let pristine = place.root().join("pristine.db");
    fs::copy(place.database(), &pristine).expect("copies");
    let replay = format!("INSERT OR REPLACE INTO object SELECT * FROM older.object WHERE kind = {ARTIFACT}");
    for (statement, kind, artifact) in [
        (format!("DELETE FROM object WHERE kind = {ARTIFACT}"), ProblemKind::Missing, "digits/data"),
        (format!("UPDATE object SET body = x'00' WHERE kind = {ARTIFACT}"), ProblemKind::Damaged, "digits/data"),
        (replay, ProblemKind::Replayed, "digits/data"),
        (
            format!(
                "DELETE FROM object WHERE kind = {VERSION} AND seq = (SELECT max(seq) FROM object WHERE kind = 24)"
            ),
            ProblemKind::Missing,
            "digits/data:v1",
        ),
        (format!("UPDATE object SET body = x'00' WHERE kind = {VERSION}"), ProblemKind::Damaged, "digits/data:v0"),
        ("DELETE FROM object WHERE kind = 13".to_owned(), ProblemKind::Missing, "digits/data:v0"),
    ] {
        put_back(&place, &pristine);
        let connection = Connection::open(place.database()).expect("opens");
        connection.execute("ATTACH ?1 AS older", [older.to_string_lossy()]).expect("attaches");
        assert!(connection.execute(&statement, []).expect("changes") > 0, "{statement}");
        connection.close().expect("closes");
        let report = place.open().check(CheckOptions { read_data: true }).expect("checks");
        let named =
            report.problems.iter().any(|problem| problem.kind == kind && problem.artifact.as_deref() == Some(artifact));
        assert!(named, "{statement}: {:#?}", report.problems);
        let nameless = report.problems.iter().filter(|problem| problem.artifact.is_none() && problem.file.is_none());
        assert_eq!(nameless.count(), 0, "{statement}: {:#?}", report.problems);
    }
}

#[test]
fn every_swapped_pair_of_chunks_is_named_by_its_paths() {
    const BYTES: usize = 5_000;
    let place = Place::new();
    let workspace = place.open();
    let files: Vec<_> = (0..6).map(|number| (format!("{number}"), content(number, BYTES))).collect();
    put(&workspace, "data", &files);
    let pack = only_pack(&place);
    let whole = fs::read(&pack).expect("reads");
    let at = |chunk: usize| 28 + chunk * (BYTES + 16)..28 + (chunk + 1) * (BYTES + 16);
    for left in 0..files.len() {
        for right in left + 1..files.len() {
            let mut bytes = whole.clone();
            bytes[at(left)].copy_from_slice(&whole[at(right)]);
            bytes[at(right)].copy_from_slice(&whole[at(left)]);
            fs::write(&pack, bytes).expect("writes");
            let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
            let named: Vec<_> = report.problems.iter().filter_map(|problem| problem.path.clone()).collect();
            assert_eq!(named, [left.to_string(), right.to_string()]);
            let hurt = workspace.artifact("data").expect("finds").verify().expect("verifies").hurt;
            assert_eq!(hurt.into_iter().map(|hurt| hurt.path).collect::<Vec<_>>(), named);
        }
    }
}

#[test]
fn a_flipped_bit_of_any_byte_of_packs_and_sealed_rows_is_reported() {
    let (place, mut rng) = (Place::new(), Rng::seeded());
    workspace_of_blobs(&place);
    let every = count_from("RUNCELLAR_FLIP_EVERY", 50);
    let mut flipped = 0;
    for pack in crate::blob_damage::packs(&place) {
        let (workspace, whole) = (place.open(), fs::read(&pack).expect("reads"));
        for at in (rng.below(every) as usize..whole.len()).step_by(every as usize) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << rng.below(8);
            fs::write(&pack, bytes).expect("writes");
            let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
            assert!(!report.is_ok(), "{}: byte {at}: nothing said so", pack.display());
            flipped += 1;
        }
        fs::write(&pack, whole).expect("writes");
    }
    // Of a chunk whose key was dropped nobody reads a byte.
    remove_one(&place);
    let pristine = place.root().join("pristine.db");
    fs::copy(place.database(), &pristine).expect("copies");
    let all = rows(&Connection::open(&pristine).expect("opens"), "object", "kind, id, position, length(body)");
    for row in all {
        let [rusqlite::types::Value::Integer(kind), .., rusqlite::types::Value::Integer(len)] = row[..] else {
            panic!("{row:?}")
        };
        if !KINDS.contains(&kind) {
            continue;
        }
        for at in (rng.below(every) as i64..len).step_by(every as usize) {
            put_back(&place, &pristine);
            let connection = Connection::open(place.database()).expect("opens");
            let (key, bit) = (&row[..3], 1 << rng.below(8));
            let place_of = "kind = ?1 AND id = ?2 AND position = ?3";
            let body: Vec<u8> = connection
                .query_row(
                    &format!("SELECT body FROM object WHERE {place_of}"),
                    rusqlite::params_from_iter(key),
                    |row| row.get(0),
                )
                .expect("reads");
            let mut bytes = body;
            bytes[at as usize] ^= bit;
            let sql = format!("UPDATE object SET body = ?4 WHERE {place_of}");
            connection.execute(&sql, params![key[0], key[1], key[2], bytes]).expect("writes");
            connection.close().expect("closes");
            assert!(reports(&place), "kind {kind}, byte {at} of {len}: nothing said so");
            flipped += 1;
        }
    }
    assert!(flipped > 100, "{flipped}");
}
