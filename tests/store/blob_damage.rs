//! P4 for blobs: what is flipped, cut off, swapped or taken away in packs is reported with the artifact and path that it
//! hurts, and the rest comes out.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, PutSettings};
use runcellar::{CheckOptions, CheckReport, ProblemKind, Repair, RepairAction, Workspace};

use crate::support::{Place, Rng, list};

/// Less than the shortest chunk, so that each file is one; stored with a tag of 16 bytes, in order of path.
const FILES: [(&str, usize); 3] = [("a", 20_000), ("b/c", 25_000), ("d", 30_000)];
const HEADER_BYTES: usize = 28;
const TAG_BYTES: usize = 16;

pub(crate) fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng(seed);
    (0..len).map(|_| rng.next() as u8).collect()
}

fn put(workspace: &Workspace, name: &str, files: &[(&str, Vec<u8>)]) {
    let mut draft = ArtifactDraft::new(name, "dataset").expect("a name");
    for (path, content) in files {
        draft.add_bytes(path, content.clone()).expect("adds");
    }
    let settings = PutSettings { project: "digits".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}

fn put_files(workspace: &Workspace) {
    put(workspace, "data", &FILES.map(|(path, len)| (path, content(len as u64, len))));
}

pub(crate) fn packs(place: &Place) -> Vec<PathBuf> {
    list(&place.workspace().join("packs")).iter().flat_map(|directory| list(directory)).collect()
}

pub(crate) fn only_pack(place: &Place) -> PathBuf {
    let packs = packs(place);
    assert_eq!(packs.len(), 1, "{packs:?}");
    packs[0].clone()
}

fn check(workspace: &Workspace, read_data: bool) -> CheckReport {
    workspace.check(CheckOptions { read_data }).expect("checks")
}

/// The paths that a report says are hurt, of `digits/data:v0` alone.
fn hurt_paths(report: &CheckReport) -> Vec<String> {
    let of_paths = report.problems.iter().filter(|problem| problem.path.is_some());
    of_paths
        .map(|problem| {
            assert_eq!(problem.artifact.as_deref(), Some("digits/data:v0"), "{problem:?}");
            problem.path.clone().expect("filtered")
        })
        .collect()
}

/// Downloads, and compares what comes out; returns the paths that do not.
fn downloaded(workspace: &Workspace, to: &Path) -> Vec<String> {
    let _ = fs::remove_dir_all(to);
    let version = workspace.artifact("data").expect("finds");
    let got = version.download(to, &DownloadOptions::default()).expect("downloads");
    let hurt: Vec<String> = got.hurt.iter().map(|hurt| hurt.path.clone()).collect();
    for (path, len) in FILES {
        let there = fs::read(to.join(path)).ok();
        let wanted = (!hurt.contains(&path.to_owned())).then(|| content(len as u64, len));
        assert!(there == wanted, "{path}: comes out whole or not at all");
    }
    hurt
}

/// What stands where in the only pack: its parts by name, and of chunks their path.
pub(crate) fn parts(bytes: &[u8]) -> Vec<(&'static str, Option<&'static str>, Range<usize>)> {
    let mut parts = vec![("header", None, 0..HEADER_BYTES)];
    let mut at = HEADER_BYTES;
    for (path, len) in FILES {
        parts.push(("chunk", Some(path), at..at + len + TAG_BYTES));
        at += len + TAG_BYTES;
    }
    let trailer = bytes.len() - 8;
    let directory = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().expect("four bytes")) as usize;
    parts.push(("padding", None, at..trailer - directory));
    parts.push(("directory", None, trailer - directory..trailer));
    parts.push(("trailer", None, trailer..bytes.len()));
    parts
}

#[test]
fn a_flipped_byte_of_any_part_of_a_pack_is_named_and_the_rest_comes_out() {
    let (place, mut rng) = (Place::new(), Rng::seeded());
    let workspace = place.try_open().expect("opens");
    put_files(&workspace);
    let report = check(&workspace, true);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.checked.chunks, 3);
    let pack = only_pack(&place);
    let whole = fs::read(&pack).expect("reads");
    for (part, path, range) in parts(&whole) {
        for at in [range.start, range.end - 1, range.start + rng.below(range.len() as u64) as usize] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << rng.below(8);
            fs::write(&pack, bytes).expect("writes");
            let noun = format!("byte {at}, {part}");
            let report = check(&workspace, true);
            assert!(!report.is_ok(), "{noun}: nothing said so");
            let named = report.problems.iter().all(|problem| {
                problem.kind == ProblemKind::Damaged && problem.file.as_ref().is_some_and(|file| pack.ends_with(file))
            });
            assert!(named, "{noun}: {:?}", report.problems);
            let hurt: Vec<String> = path.iter().map(|path| (*path).to_owned()).collect();
            assert_eq!(hurt_paths(&report), hurt, "{noun}");
            assert_eq!(downloaded(&workspace, &place.root().join("to")), hurt, "{noun}");
            let quick = ["header", "directory", "trailer"].contains(&part);
            assert_eq!(!check(&workspace, false).is_ok(), quick, "{noun}: what is found without opening chunks");
        }
    }
    fs::write(&pack, &whole).expect("writes");
    assert!(check(&workspace, true).is_ok(), "whole again");
}

#[test]
fn a_pack_that_ends_early_or_is_gone_hurts_what_it_had() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    put_files(&workspace);
    let pack = only_pack(&place);
    let whole = fs::read(&pack).expect("reads");
    let second_ends = HEADER_BYTES + FILES[0].1 + FILES[1].1 + 2 * TAG_BYTES;
    for (len, hurt) in
        [(whole.len() - 1, &[][..]), (second_ends, &["d"]), (second_ends - 1, &["b/c", "d"]), (0, &["a", "b/c", "d"])]
    {
        fs::write(&pack, &whole[..len]).expect("writes");
        for read_data in [false, true] {
            let report = check(&workspace, read_data);
            assert!(!report.is_ok(), "cut to {len}");
            assert_eq!(hurt_paths(&report), hurt, "cut to {len}");
        }
        assert_eq!(downloaded(&workspace, &place.root().join("to")), hurt, "cut to {len}");
    }
    fs::remove_file(&pack).expect("removes");
    let report = check(&workspace, false);
    assert_eq!(hurt_paths(&report), ["a", "b/c", "d"]);
    assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::Missing), "{:?}", report.problems);
    // Who has the files mends it: what has no pack any more is stored again.
    put(&workspace, "data", &[("a", content(20_000, 20_000)), ("b/c", content(25_000, 25_000)), ("other", vec![1])]);
    assert_eq!(hurt_paths_of(&check(&workspace, true), "digits/data:v0"), ["d"]);
}

fn hurt_paths_of(report: &CheckReport, artifact: &str) -> Vec<String> {
    let of_it = report.problems.iter().filter(|problem| problem.artifact.as_deref() == Some(artifact));
    of_it.filter_map(|problem| problem.path.clone()).collect()
}

#[test]
fn swapped_packs_and_files_of_nobody_are_named() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    put_files(&workspace);
    put(&workspace, "other", &FILES.map(|(path, len)| (path, content(len as u64 + 1, len))));
    let packs = packs(&place);
    let [first, second] = packs.as_slice() else { panic!("two packs: {packs:?}") };
    let aside = place.root().join("aside");
    for (from, to) in [(first, &aside), (second, first), (&aside, second)] {
        fs::rename(from, to).expect("renames");
    }
    let report = check(&workspace, false);
    assert_eq!(report.problems.iter().filter(|problem| problem.file.is_some()).count(), 2, "{:?}", report.problems);
    let report = check(&workspace, true);
    for artifact in ["digits/data:v0", "digits/other:v0"] {
        assert_eq!(hurt_paths_of(&report, artifact), ["a", "b/c", "d"]);
    }
    for (from, to) in [(first, &aside), (second, first), (&aside, second)] {
        fs::rename(from, to).expect("renames");
    }
    let stranger = first.with_file_name(format!("{}.pack", "0".repeat(32)));
    fs::copy(first, &stranger).expect("copies");
    let report = check(&workspace, true);
    assert!(report.is_ok(), "{:?}", report.problems);
    let noted: Vec<ProblemKind> = report.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(noted, [ProblemKind::Unreferenced]);
}

/// Flips a byte of the chunk of `b/c` in a pack that `put_files` made.
fn flip(pack: &Path) {
    let mut bytes = fs::read(pack).expect("reads");
    bytes[HEADER_BYTES + FILES[0].1 + TAG_BYTES + 100] ^= 1;
    fs::write(pack, bytes).expect("writes");
}

/// All versions of `data`, each with whether all of it opens.
fn whole(workspace: &Workspace) -> Vec<bool> {
    let versions = workspace.artifacts(None).expect("lists");
    versions.iter().map(|version| version.verify().expect("reads").hurt.is_empty()).collect()
}

fn suspects(place: &Place) -> usize {
    fs::read_dir(place.workspace().join("suspects")).map_or(0, Iterator::count)
}

/// Who finds damage says so to whoever puts next, in another process as well: older versions are healed by it.
#[test]
fn damage_that_was_found_is_healed_by_the_next_put_of_the_content() {
    type Find = fn(&Workspace, &Place);
    let by_verify: Find = |workspace, _| assert!(!whole(workspace)[0]);
    let by_get: Find = |workspace, place| assert_eq!(downloaded(workspace, &place.root().join("to")), ["b/c"]);
    let by_check: Find = |workspace, _| assert_eq!(hurt_paths(&check(workspace, true)), ["b/c"]);
    for find in [by_verify, by_get, by_check] {
        let place = Place::new();
        let workspace = place.try_open().expect("opens");
        put_files(&workspace);
        flip(&only_pack(&place));
        find(&workspace, &place);
        assert_eq!(suspects(&place), 1);
        let other = place.try_open().expect("opens");
        put(&other, "data", &[("b/c", content(25_000, 25_000)), ("new", content(1, 10))]);
        assert_eq!(whole(&workspace), [true, true]);
        let report = check(&workspace, true);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(suspects(&place), 0, "all of it opens now");
    }
}

#[test]
fn content_that_the_newest_version_has_heals_it_and_makes_no_new_one() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    put_files(&workspace);
    flip(&only_pack(&place));
    assert_eq!(whole(&workspace), [false]);
    put_files(&workspace);
    assert_eq!(whole(&workspace), [true]);
    assert_eq!(packs(&place).len(), 2);
    put_files(&workspace);
    assert_eq!(packs(&place).len(), 2, "what was healed is stored once");
}

#[test]
fn a_suspected_pack_that_is_whole_is_relied_on() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    put_files(&workspace);
    let pack = only_pack(&place);
    let before = fs::read(&pack).expect("reads");
    flip(&pack);
    assert_eq!(whole(&workspace), [false]);
    fs::write(&pack, before).expect("writes");
    put(&workspace, "data", &[("b/c", content(25_000, 25_000))]);
    assert_eq!(packs(&place).len(), 1, "nothing was stored again");
    assert!(check(&workspace, true).is_ok());
    assert_eq!(suspects(&place), 0);
}

/// A file that was lost had its content stored again, and then it came back: each chunk lies in two packs.
#[test]
fn repair_reads_a_damaged_chunk_from_another_pack_that_has_it_whole() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    put_files(&workspace);
    let (pack, aside) = (only_pack(&place), place.root().join("aside"));
    fs::rename(&pack, &aside).expect("renames");
    put(
        &workspace,
        "data",
        &FILES[..2].iter().map(|(path, len)| (*path, content(*len as u64, *len))).collect::<Vec<_>>(),
    );
    fs::rename(&aside, &pack).expect("renames");
    flip(&pack);
    let report = check(&workspace, true);
    assert!(!report.is_ok());
    let repairable = report.problems.iter().all(|problem| problem.repairable);
    assert!(repairable, "{:?}", report.problems);
    let done = workspace.repair(&Repair::default()).expect("repairs").done;
    let done: Vec<_> = done.iter().map(|done| (done.action.clone(), pack.ends_with(&done.file))).collect();
    assert_eq!(done, [(RepairAction::Replaced, true)]);
    assert_eq!(whole(&workspace), [true, true]);
    assert!(check(&workspace, true).is_ok());
}
