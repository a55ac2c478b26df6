//! What takes how much of the disk: the parts add up to the files, and each is where it belongs.

use std::path::Path;

use runcellar::{DiskUsage, UsageKind};

use crate::support::{Place, is_network};

/// Sums the sizes of all files below a directory.
fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("lists").map(|entry| entry.expect("entry"));
    entries
        .map(|entry| (entry.path(), entry.metadata().expect("metadata")))
        .fold(0, |sum, (path, metadata)| sum + if metadata.is_dir() { bytes_below(&path) } else { metadata.len() })
}

fn of_kind(usage: &DiskUsage, kind: UsageKind) -> u64 {
    usage.by_kind().into_iter().find(|(known, _)| *known == kind).map_or(0, |(_, bytes)| bytes)
}

fn of_run(usage: &DiskUsage, id: &str, kind: UsageKind) -> u64 {
    let all = usage.by_run();
    let run = all.iter().find(|usage| usage.run.is_some_and(|run| run.id == id)).expect("the run is listed");
    run.kinds.iter().filter(|usage| usage.kind == kind).map(|usage| usage.bytes).sum()
}

fn assert_adds_up(usage: &DiskUsage, place: &Place) {
    assert_eq!(usage.total, bytes_below(&place.workspace()), "{:?}", usage.by_kind());
    assert_eq!(usage.by_kind().iter().map(|(_, bytes)| bytes).sum::<u64>(), usage.total);
    assert_eq!(usage.by_run().iter().map(|usage| usage.bytes).sum::<u64>(), usage.total);
    assert_eq!(usage.by_project().iter().map(|usage| usage.bytes).sum::<u64>(), usage.total);
}

#[test]
fn every_byte_of_every_file_is_somebodys() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    assert_adds_up(&workspace.disk_usage().expect("measures"), &place);
    let large = workspace.run("a").id("large").start().expect("starts");
    let mut state = 1_u64;
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        large.log([("noise", state as f64)]).expect("logs");
    }
    large.finish().expect("finishes");
    let small = workspace.run("b").id("small").start().expect("starts");
    small.log([("x", 1.0)]).expect("logs");
    small.finish().expect("finishes");
    let removed = workspace.run("b").id("removed").start().expect("starts");
    removed.finish().expect("finishes");
    workspace.remove_runs(&[workspace.find_run("removed").expect("finds")]).expect("removes");
    let live = workspace.run("c").id("live").start().expect("starts");
    live.log([("text", "x".repeat(100_000).as_str())]).expect("logs");
    std::fs::create_dir_all(place.workspace().join("packs/00")).expect("creates");
    std::fs::write(place.workspace().join("packs/00/one.pack"), [0; 1000]).expect("writes");
    std::fs::write(place.workspace().join("tmp/left"), [0; 200]).expect("writes");
    std::fs::write(place.workspace().join("journals/notes.txt"), [0; 30]).expect("writes");
    std::fs::write(place.workspace().join("README"), [0; 4]).expect("writes");
    let usage = workspace.disk_usage().expect("measures");
    assert_adds_up(&usage, &place);

    // 20,000 values of 8 random bytes cannot be stored in less.
    assert!(of_run(&usage, "large", UsageKind::Metrics) > 20_000 * 6);
    assert!((1..2_000).contains(&of_run(&usage, "small", UsageKind::Metrics)));
    assert!(of_run(&usage, "live", UsageKind::Journals) > 100_000);
    assert_eq!(of_run(&usage, "live", UsageKind::Journals), of_kind(&usage, UsageKind::Journals));
    for id in ["large", "small", "removed", "live"] {
        // On a network file system a run at work stands in its journal alone.
        let known = id != "live" || !is_network();
        assert_eq!(of_run(&usage, id, UsageKind::Records) > 100, known, "{id}");
        assert_eq!(of_run(&usage, id, UsageKind::Keys) > 50, known, "{id}");
    }
    assert_eq!(of_kind(&usage, UsageKind::Artifacts), 1000);
    assert_eq!(of_kind(&usage, UsageKind::Temporary), 200);
    assert_eq!(of_kind(&usage, UsageKind::Other), 34);
    assert_eq!(usage.by_run()[0].run.map(|run| run.id.as_str()), Some("large"), "the largest stands first");
    let projects: Vec<_> = usage.by_project().iter().map(|usage| (usage.project, usage.runs)).collect();
    assert_eq!(projects, [(Some("a"), 1), (Some("c"), 1), (Some("b"), 2), (None, 0)]);
    live.finish().expect("finishes");
}

#[test]
fn a_closed_workspace_takes_no_shared_memory() {
    let place = Place::new();
    drop(place.try_open().expect("opens"));
    let closed = bytes_below(&place.workspace());
    let mut usage = place.try_open().expect("opens").disk_usage().expect("measures");
    usage.leave_out_shared_memory();
    assert_eq!(usage.total, closed);
    assert_eq!(usage.by_kind().iter().map(|(_, bytes)| bytes).sum::<u64>(), closed);
}
