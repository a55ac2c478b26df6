//! P4: whichever bit of a workspace is flipped, the store says so or reads what it read before, and never panics.
//!
//! Of the bits of files one in `RUNCELLAR_FLIP_EVERY` (50) is flipped; 1 flips them all. Totals are printed:
//! `RUNCELLAR_FLIP_EVERY=1 cargo test --release -p runcellar --test store flips:: -- --nocapture`.

use std::fs;
use std::path::{Path, PathBuf};

use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::{CheckOptions, Value, Workspace};
use rusqlite::Connection;

use crate::support::io::is_journal;
use crate::support::outsider::files_below;
use crate::support::{Place, Rng, child, count_from, everything, is_network, list};

const ROWS: i64 = 10;
/// A frame of one row of a known shape is shorter than this, and longer than half of it.
const LAST_FRAME_BYTES_MAX: usize = 80;
/// Bytes of a page of the database.
const PAGE_BYTES: usize = 4096;

/// What became of flips.
#[derive(Debug, Default)]
struct Tally {
    flips: u64,
    refused: u64,
    named: u64,
    harmless: u64,
    /// In the last frame of a journal, which is then taken for one that a crash cut off.
    torn: u64,
}

/// A workspace of which files are changed, and what reads back from it while nobody changes it.
struct Subject {
    place: Place,
    rows: Vec<String>,
    /// Files as they were, to be put back: what reading writes is undone, too.
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Subject {
    /// Records a run, an artifact and, if asked for, a run of whose writer a journal is left.
    fn new(with_journal: bool) -> Subject {
        let place = Place::new();
        let workspace = place.open();
        let run = workspace.run("p").id("whole").start().expect("starts");
        (0..ROWS).for_each(|n| run.log([("x", n)]).expect("logs"));
        run.finish().expect("finishes");
        let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
        draft.add_bytes("file", vec![7; 700]).expect("adds");
        let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
        workspace.put_artifact(&draft, &settings).expect("puts");
        drop((run, workspace));
        if with_journal {
            child::play("dies_after_rows", &place, "left");
            drop(place.look());
        }
        let files =
            files_below(&place.workspace()).into_iter().map(|path| (path.clone(), fs::read(&path).expect("reads")));
        let files = files.collect();
        let rows = if with_journal { Vec::new() } else { dump(&place.database()).expect("reads") };
        Subject { place, rows, files }
    }

    fn content(&self, path: &Path) -> &[u8] {
        &self.files.iter().find(|(known, _)| known == path).expect("a file").1
    }

    /// Puts everything back, in place, and takes away the mirrors, which would notice that.
    fn put_back(&self) {
        for path in files_below(&self.place.workspace()) {
            match self.files.iter().any(|(known, _)| *known == path) {
                true => {}
                false => fs::remove_file(&path).expect("removes"),
            }
        }
        self.files.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("writes"));
        let mirrors =
            list(&self.place.keys_dir()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "root"));
        mirrors.for_each(|mirror| fs::remove_file(mirror).expect("removes"));
    }

    /// Flips a bit of a file, and looks at what the store makes of it.
    fn flip(&self, path: &Path, byte: usize, bit: u8, runs: &[&str], tally: &mut Tally) {
        self.put_back();
        let mut bytes = self.content(path).to_vec();
        bytes[byte] ^= 1 << bit;
        fs::write(path, bytes).expect("writes");
        tally.flips += 1;
        let Ok(workspace) = self.place.try_open() else {
            tally.refused += 1;
            return;
        };
        // Whatever is read is what was logged, or an error.
        let readable = runs.iter().filter(|run| reads(&workspace, run)).count();
        let says = workspace.check(CheckOptions { read_data: true }).map_or(true, |report| !report.is_ok());
        drop(workspace);
        if says {
            tally.named += 1;
            return;
        }
        if is_journal(path) && byte >= self.content(path).len() - LAST_FRAME_BYTES_MAX {
            tally.torn += 1;
            return;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert_eq!(readable, runs.len(), "{name}: byte {byte}, bit {bit}: values are gone, and nothing said so");
        // What no reader looks at: the rows are what they were.
        let same = self.rows.is_empty() || dump(&self.place.database()).as_ref() == Some(&self.rows);
        assert!(same, "{name}: byte {byte}, bit {bit}: rows differ, and nothing said so");
        assert!(!is_journal(path), "{name}: byte {byte} of {}, bit {bit}: nothing said so", self.content(path).len());
        tally.harmless += 1;
    }
}

/// Returns whether a run reads as it was logged, or not at all; panics if it reads otherwise.
fn reads(workspace: &Workspace, id: &str) -> bool {
    let Ok(run) = workspace.find_run(id) else { return false };
    let Ok(series) = workspace.series(&run, "x", None) else { return false };
    for (at, step) in series.steps.iter().enumerate() {
        assert_eq!(series.values.get(at), Some(Value::Int(*step)), "{id}: a wrong value");
    }
    series.steps.len() as i64 == ROWS
}

/// Returns every row of every table as text; none if SQLite refuses to read them. The root row changes with each opening.
fn dump(database: &Path) -> Option<Vec<String>> {
    let connection = Connection::open(database).ok()?;
    let mut all = Vec::new();
    for (table, condition) in [("epoch", "1"), ("key", "1"), ("object", "kind <> 9"), ("block", "1")] {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} WHERE {condition}")).ok()?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns).map(|column| Ok(format!("{:?}", row.get_ref(column)?))).collect::<rusqlite::Result<Vec<_>>>()
        });
        for row in rows.ok()? {
            all.push(format!("{table} {:?}", row.ok()?));
        }
    }
    Some(all)
}

#[allow(clippy::print_stderr, reason = "figures, shown on request")]
fn said(what: &str, tally: &Tally) {
    eprintln!("flips of {what}: {tally:?}, 0 panics, 0 wrong values");
    assert_eq!(tally.flips, tally.refused + tally.named + tally.harmless + tally.torn);
}

#[test]
fn a_flipped_bit_of_keyslots_and_of_a_journal_is_refused_or_named() {
    if is_network() {
        return;
    }
    let (every, mut rng) = (count_from("RUNCELLAR_FLIP_EVERY", 50), Rng::seeded());
    let subject = Subject::new(true);
    let keyslots = subject.place.workspace().join("keyslots");
    let mut tally = Tally::default();
    for byte in 0..subject.content(&keyslots).len() {
        for bit in (0..8).filter(|_| rng.below(every.min(8)) == 0) {
            subject.flip(&keyslots, byte, bit, &["whole", "left"], &mut tally);
        }
    }
    assert_eq!((tally.refused, tally.harmless), (tally.flips, 0), "a checksum, and MACs, cover all of it");
    said("keyslots", &tally);
    let journal = subject.place.journals();
    let journal =
        subject.files.iter().map(|(path, _)| path).find(|path| path.starts_with(&journal)).expect("one is left");
    let mut tally = Tally::default();
    for byte in 0..subject.content(journal).len() {
        for bit in (0..8).filter(|_| rng.below(every) == 0) {
            subject.flip(journal, byte, bit, &["whole"], &mut tally);
        }
    }
    assert!(tally.flips > 0 && tally.harmless == 0, "{tally:?}");
    said("a journal", &tally);
}

#[test]
fn a_flipped_bit_of_the_database_or_a_pack_is_refused_named_or_harmless() {
    if is_network() {
        return;
    }
    let (every, mut rng) = (count_from("RUNCELLAR_FLIP_EVERY", 50), Rng::seeded());
    let subject = Subject::new(false);
    let database = subject.place.database();
    let packs = subject.place.workspace().join("packs");
    let pack =
        subject.files.iter().map(|(path, _)| path.clone()).find(|path| path.starts_with(&packs)).expect("a pack");
    for (what, path, range) in
        [("a pack", &pack, 0..subject.content(&pack).len()), ("the database's first page", &database, 0..PAGE_BYTES)]
    {
        let mut tally = Tally::default();
        for byte in range {
            for bit in (0..8).filter(|_| rng.below(every) == 0) {
                subject.flip(path, byte, bit, &["whole"], &mut tally);
            }
        }
        assert!(tally.flips > 0, "{tally:?}");
        said(what, &tally);
    }
    let mut tally = Tally::default();
    for byte in (PAGE_BYTES..subject.content(&database).len()).step_by(2) {
        if rng.below(every) == 0 {
            subject.flip(&database, byte, rng.below(8) as u8, &["whole"], &mut tally);
        }
    }
    assert!(tally.refused + tally.named > 0, "{tally:?}");
    said("every other byte of the database", &tally);
    subject.put_back();
    let mut tally = Tally::default();
    subject.flip(&database, 0, 0, &["whole"], &mut tally);
    assert_eq!(tally.refused, 1, "the first byte tells that it is a database");
}

/// What is looked up by an index is not found if the index is damaged, though the row is whole.
#[test]
fn a_damaged_index_is_named_and_made_anew() {
    if is_network() {
        return;
    }
    let subject = Subject::new(false);
    let database = subject.place.database();
    let bytes = subject.content(&database).to_vec();
    let tag: Vec<u8> = {
        let connection = Connection::open(&database).expect("opens");
        let sql = "SELECT tag FROM object WHERE kind = 3";
        connection.query_row(sql, [], |row| row.get(0)).expect("a run")
    };
    // The tag stands in the row, and in the index.
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, &tag).collect();
    assert_eq!(places.len(), 2, "{places:?}");
    let found = places.into_iter().find(|at| {
        let mut changed = bytes.clone();
        changed[at + 3] ^= 1;
        subject.put_back();
        fs::write(&database, changed).expect("writes");
        let workspace = subject.place.open();
        let report = workspace.check(CheckOptions::default()).expect("checks");
        assert!(!report.is_ok(), "byte {at} is changed, and nothing said so");
        report.problems.iter().all(|problem| problem.repairable)
    });
    assert!(found.is_some(), "the one of the index can be repaired");
    let workspace = subject.place.open();
    let report = workspace.repair(&runcellar::Repair::default()).expect("repairs");
    assert_eq!(report.done.iter().map(|done| done.file.as_str()).collect::<Vec<_>>(), ["cellar.db"]);
    assert!(reads(&workspace, "whole") && workspace.check(CheckOptions::default()).expect("checks").is_ok());
}

#[test]
fn a_flipped_bit_of_any_kind_of_sealed_object_is_refused() {
    let place = Place::new();
    let (outsider, all) = crate::swaps::opened(&place);
    let mut tally = Tally::default();
    for kind in everything::KINDS {
        let row = all.iter().find(|row| row.place.kind as i64 == kind).expect("one of each kind");
        let mut body = row.body.clone();
        for at in 0..body.len() * 8 {
            body[at / 8] ^= 1 << (at % 8);
            assert!(outsider.open_at(&row.place, &body).is_err(), "kind {kind}: bit {at}");
            body[at / 8] ^= 1 << (at % 8);
            tally.flips += 1;
        }
        assert!(outsider.open(row).is_ok());
    }
    tally.refused = tally.flips;
    said("one sealed object of each kind", &tally);
}
