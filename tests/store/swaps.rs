//! P4: no sealed object passes for another. Each is put into the place of every other, whole and by one column of its row, and
//! the frames of a journal are exchanged. What is swapped on the disk, where the store reads it, `blob_swaps` holds.

use std::fs;
use std::path::Path;

use runcellar::{CheckOptions, Value};
use runcellar_format::WorkspaceId;
use runcellar_format::journal::Header;
use runcellar_format::seal::Place as At;
use rusqlite::{Connection, params};

use crate::replay::{put_back, reports};
use crate::support::everything;
use crate::support::outsider::{Outsider, Row, contents, rows, wraps, wraps_anywhere};
use crate::support::{Place, Rng, child, count_from, is_network, list};

/// Returns the objects and wraps of a workspace with everything in it, and somebody who has the key file.
pub(crate) fn opened(place: &Place) -> (Outsider, Vec<Row>) {
    everything::record(place, || {});
    let workspace = WorkspaceId::from_hex(&place.open().id()).expect("an id");
    let key_files = contents(&place.keys_dir()).into_iter().filter(|bytes| bytes.starts_with(b"rckeyfil"));
    let mut outsider = Outsider::default();
    let keyslots = fs::read(place.workspace().join("keyslots")).expect("reads");
    outsider.unlock(&keyslots, &key_files.collect::<Vec<_>>(), &[]);
    outsider.unwrap_all(&wraps_anywhere(&fs::read(place.database()).expect("reads")));
    let mut all = rows(&place.database(), workspace);
    for kind in everything::KINDS {
        assert!(all.iter().any(|row| row.place.kind as i64 == kind), "no object of kind {kind}");
    }
    all.extend(wraps(&place.database(), workspace));
    // Change records of what was erased are sealed under keys that are no more.
    all.retain(|row| outsider.open(row).is_ok());
    (outsider, all)
}

/// The place of one object with one column of another's.
fn with_one_of(here: At, there: At) -> [At; 7] {
    [
        At { kind: there.kind, ..here },
        At { object: there.object, ..here },
        At { part: there.part, ..here },
        At { position: there.position, ..here },
        At { sub_position: there.sub_position, ..here },
        At { device: there.device, ..here },
        At { device_seq: there.device_seq, ..here },
    ]
}

#[test]
#[allow(clippy::print_stderr, reason = "figures, shown on request")]
fn no_object_opens_in_the_place_of_another_nor_with_one_column_of_it() {
    let place = Place::new();
    let (outsider, all) = opened(&place);
    assert!(all.len() >= 200, "{}", all.len());
    let every = count_from("RUNCELLAR_SWAP_EVERY", 10) as usize;
    let (mut swapped, mut columns) = (0, 0);
    for (number, left) in all.iter().enumerate() {
        for right in all.iter().skip((number % every) + 1).step_by(every).filter(|right| right.place != left.place) {
            assert!(outsider.open_at(&left.place, &right.body).is_err(), "{:?} as {:?}", right.place, left.place);
            swapped += 1;
            for mixed in with_one_of(left.place, right.place).into_iter().filter(|mixed| *mixed != left.place) {
                assert!(outsider.open_at(&mixed, &left.body).is_err(), "{:?} as {mixed:?}", left.place);
                columns += 1;
            }
        }
    }
    eprintln!("swapped: {swapped} pairs of {} objects, {columns} times one column alone: all refused", all.len());
    assert!(swapped > all.len() * all.len() / every / 2);
}

/// Rows are found by the tags of their names, which stand beside what is sealed and count in the sums.
#[test]
fn swapped_tags_of_names_are_reported() {
    let place = Place::new();
    everything::record(&place, || {});
    let pristine = place.root().join("pristine.db");
    fs::copy(place.database(), &pristine).expect("copies");
    let tags: Vec<Vec<u8>> = {
        let connection = Connection::open(&pristine).expect("opens");
        let mut statement = connection.prepare("SELECT tag FROM object WHERE tag IS NOT NULL").expect("SQL");
        statement.query_map([], |row| row.get(0)).expect("rows").map(|tag| tag.expect("a tag")).collect()
    };
    assert!(tags.len() >= 6, "projects, runs and an artifact: {}", tags.len());
    for (number, left) in tags.iter().enumerate() {
        for right in &tags[number + 1..] {
            put_back(&place, &pristine);
            let connection = Connection::open(place.database()).expect("opens");
            let change = |to: &[u8], from: &[u8]| {
                let changed = connection.execute("UPDATE object SET tag = ?1 WHERE tag = ?2", params![to, from]);
                assert_eq!(changed.expect("changes"), 1);
            };
            change(&[0; 32], left);
            change(left, right);
            change(right, &[0; 32]);
            connection.close().expect("closes");
            assert!(reports(&place), "two tags are swapped, and nothing said so");
        }
    }
    put_back(&place, &pristine);
    assert!(!reports(&place), "whole again");
}

#[test]
fn every_swapped_pair_of_frames_is_reported() {
    if is_network() {
        // The key of a journal stands in its own header there; frames are the same.
        return;
    }
    let place = Place::new();
    drop(place.open());
    child::play("dies_after_rows", &place, "frames");
    // Closes the database, so that all of it is in one file, and leaves the journal.
    drop(place.look());
    let (database, journal) = (place.root().join("pristine.db"), place.journal_files().remove(0));
    fs::copy(place.database(), &database).expect("copies");
    let whole = fs::read(&journal).expect("reads");
    let (_, header) = Header::decode(&whole).expect("a header");
    let mut frames: Vec<&[u8]> = Vec::new();
    let mut rest = &whole[header..];
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes")) as usize + 44;
        let (frame, after) = rest.split_at(len);
        frames.push(frame);
        rest = after;
    }
    assert!(frames.len() >= 11, "{}", frames.len());
    let (every, mut rng) = (count_from("RUNCELLAR_SWAP_EVERY", 10), Rng::seeded());
    let mut swapped = 0;
    for left in 0..frames.len() {
        for right in left + 1..frames.len() {
            if left > 1 && rng.below(every) != 0 {
                continue;
            }
            let mut order = frames.clone();
            order.swap(left, right);
            back(&place, &database);
            fs::write(&journal, [&whole[..header], &order.concat()].concat()).expect("writes");
            // Behind the first row the start says nothing that the database does not: every value reads as it was.
            let harmless = (left, right) == (0, 1) && is_whole(&place);
            assert!(harmless || reports(&place), "frames {left} and {right} of {} are swapped", frames.len());
            swapped += 1;
        }
    }
    assert!(swapped >= 10, "{swapped}");
    back(&place, &database);
    fs::write(&journal, &whole).expect("writes");
    assert!(is_whole(&place));
    let report = place.open().check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:#?}", report.problems);
}

/// Puts the database of before back, and takes away what would notice that.
fn back(place: &Place, database: &Path) {
    put_back(place, database);
    list(&place.keys_dir()).iter().filter(|path| path.extension().is_some_and(|end| end == "root")).for_each(
        |mirror| {
            fs::remove_file(mirror).expect("removes");
        },
    );
}

/// Returns whether the ten values of the run are there, in order.
fn is_whole(place: &Place) -> bool {
    let workspace = place.open();
    let Ok(run) = workspace.find_run("frames") else { return false };
    let series = workspace.series(&run, "x", None);
    series.is_ok_and(|series| {
        series.steps == (0..10).collect::<Vec<_>>()
            && (0..10).all(|at| series.values.get(at) == Some(Value::Int(at as i64)))
    })
}
