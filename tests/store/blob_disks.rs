//! Disks that fill up for real, and calls that fail, in the middle of putting, getting, removing, purging and collecting.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, PutSettings, RemoveOptions};
use runcellar::{CollectOptions, ErrorKind, Keys, OpenOptions, PurgeOptions, Workspace};

use crate::blobs::{NOW, assert_opens, assert_whole, fail_at_every_call, noise, put, try_put};
use crate::faults::SmallDisk;
use crate::support::{Place, list, not_tested};

/// Opens a workspace on a small disk, with its keys elsewhere.
fn open(disk: &SmallDisk, keys: &Path) -> Workspace {
    let keys = Keys { directory: Some(keys.to_owned()), ..Keys::default() };
    OpenOptions { keys, create: true, ..OpenOptions::default() }.open(&disk.path().join("w")).expect("opens")
}

fn large(len: usize) -> ArtifactDraft {
    let mut draft = ArtifactDraft::new("large", "dataset").expect("a name");
    draft.add_bytes("all", noise(7, len)).expect("adds");
    draft
}

/// Fills a disk; what is returned gives the room back.
fn fill(disk: &SmallDisk) -> PathBuf {
    let ballast = disk.path().join("ballast");
    let full = Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", ballast.display())).output();
    assert!(!full.expect("dd runs").status.success(), "dd stops at the full disk");
    ballast
}

#[test]
fn a_real_disk_that_fills_while_files_are_put_costs_nothing_that_was_there() {
    let Some(disk) = SmallDisk::mount("24m") else {
        return not_tested("a put on a real full disk: tmpfs may not be mounted here");
    };
    let keys = tempfile::tempdir().expect("a temporary directory");
    let workspace = open(&disk, keys.path());
    let first = put(&workspace, "data", 1);
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    // Of two packs the first is closed and durable when there is no room for the second.
    let error = workspace.put_artifact(&large(30 << 20), &settings).expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert_eq!(list(&disk.path().join("w/tmp")), Vec::<PathBuf>::new(), "nothing half is left");
    assert_opens(&first, "the version that was there");
    assert_whole(&workspace, "after a full disk");
    // What went into the first pack gives its room back: nobody refers to it.
    workspace.collect_garbage(NOW).expect("collects");
    assert_opens(&put(&workspace, "data", 2), "once there is room again");
    assert_whole(&workspace, "once there is room again");
}

#[test]
fn a_real_disk_that_fills_while_files_are_got_leaves_no_half_file() {
    let Some(disk) = SmallDisk::mount("2m") else {
        return not_tested("a get onto a real full disk: tmpfs may not be mounted here");
    };
    let place = Place::new();
    let workspace = place.open();
    let mut draft = ArtifactDraft::new("large", "dataset").expect("a name");
    for number in 0..6 {
        draft.add_bytes(&format!("{number}"), noise(number, 700_000)).expect("adds");
    }
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    let version = workspace.put_artifact(&draft, &settings).expect("puts").version;
    let to = disk.path().join("to");
    let error = version.download(&to, &DownloadOptions::default()).expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    for path in list(&to) {
        let number = path.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a file of the artifact");
        assert!(fs::read(&path).expect("reads") == noise(number, 700_000), "{}: whole", path.display());
    }
    let one = DownloadOptions { glob: Some("3".into()), ..DownloadOptions::default() };
    fs::remove_dir_all(&to).expect("removes");
    assert_eq!(version.download(&to, &one).expect("downloads").files, 1, "what there is room for");
}

#[test]
fn a_real_disk_that_is_full_while_garbage_is_collected_loses_nothing() {
    let Some(disk) = SmallDisk::mount("24m") else {
        return not_tested("a collection on a real full disk: tmpfs may not be mounted here");
    };
    let keys = tempfile::tempdir().expect("a temporary directory");
    let workspace = open(&disk, keys.path());
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    let dead = workspace.put_artifact(&large(3 << 20), &settings).expect("puts").version;
    let mut draft = ArtifactDraft::new("alive", "dataset").expect("a name");
    draft.add_bytes("part", noise(7, 1 << 20)).expect("adds");
    let alive = workspace.put_artifact(&draft, &settings).expect("puts").version;
    workspace.remove_version(&dead, RemoveOptions::default()).expect("removes");
    let ballast = fill(&disk);
    // The thin pack cannot be written anew.
    let error = workspace.collect_garbage(NOW).expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    assert_whole(&workspace, "on a full disk");
    assert!(alive.verify().expect("verifies").hurt.is_empty());
    fs::remove_file(ballast).expect("removes");
    let collected = workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    assert!(collected.packs >= 1 && collected.bytes > 1 << 20, "{collected:?}");
    assert_whole(&workspace, "once there is room again");
    assert!(alive.verify().expect("verifies").hurt.is_empty());
}

#[test]
fn a_get_that_fails_at_any_call_leaves_whole_files_only() {
    fail_at_every_call(
        |workspace| drop(put(workspace, "data", 1)),
        |workspace| {
            let to = tempfile::tempdir().expect("a temporary directory");
            let got =
                workspace.artifact("data").and_then(|version| version.download(to.path(), &DownloadOptions::default()));
            for path in list(to.path()) {
                let wanted = if path.ends_with("own") { noise(2, 100_000) } else { noise(0, 200_000) };
                assert!(fs::read(&path).expect("reads") == wanted, "{}: whole", path.display());
            }
            got.is_ok_and(|got| got.hurt.is_empty())
        },
        |_, workspace, _, noun| assert_opens(&workspace.artifact("data").expect("finds"), noun),
    );
}

#[test]
fn a_removal_that_fails_at_any_call_is_done_or_not() {
    fail_at_every_call(
        |workspace| {
            put(workspace, "data", 1);
            put(workspace, "data", 2);
        },
        |workspace| {
            let first = workspace.artifact("data:v0");
            first.and_then(|first| workspace.remove_version(&first, RemoveOptions::default())).is_ok()
        },
        |_, workspace, done, noun| {
            assert_whole(workspace, noun);
            assert_opens(&workspace.artifact("data:v1").expect("finds"), noun);
            match workspace.artifact("data:v0") {
                Ok(first) => {
                    assert!(!done, "{noun}: said to be gone");
                    assert_opens(&first, noun);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{noun}: {error}"),
            }
            try_put(workspace, "data", 3).expect("puts");
            assert_whole(workspace, noun);
        },
    );
}

#[test]
fn a_purge_on_a_real_full_disk_changes_nothing_or_is_finished_once_there_is_room() {
    let (mut refused, mut done) = (0, 0);
    for room in (0..).map(|step: u64| (step * 24) << 10) {
        let Some(disk) = SmallDisk::mount("12m") else {
            return not_tested("a purge on a real full disk: tmpfs may not be mounted here");
        };
        let keys = tempfile::tempdir().expect("a temporary directory");
        let workspace = open(&disk, keys.path());
        for id in ["goes", "stays"] {
            let run = workspace.run("p").id(id).start().expect("starts");
            (0..2000).for_each(|step| run.log([("loss", f64::from(step).sqrt())]).expect("logs"));
            run.finish().expect("finishes");
        }
        let kept = put(&workspace, "kept", 1);
        let ballast = fs::OpenOptions::new().write(true).open(fill(&disk)).expect("opens");
        ballast.set_len(ballast.metadata().expect("is there").len().saturating_sub(room)).expect("gives room");
        let purged = workspace.purge(&["goes".parse().expect("a target")], PurgeOptions::default());
        ballast.set_len(0).expect("gives room");
        drop(workspace);
        let workspace = open(&disk, keys.path());
        let points = |id: &str| Some(workspace.series(&workspace.find_run(id).ok()?, "loss", None).ok()?.steps.len());
        assert_eq!(points("stays"), Some(2000), "room for {room} bytes");
        assert_opens(&kept, "what stays");
        match points("goes") {
            Some(points) => {
                let error = purged.expect_err("it says so");
                assert_eq!((points, error.kind()), (2000, ErrorKind::ReadOnly), "room for {room} bytes: {error}");
                assert_eq!(workspace.receipts().expect("lists"), []);
                refused += 1;
            }
            None => {
                let receipts = workspace.receipts().expect("lists");
                assert!(receipts.len() == 1 && receipts[0].is_complete(), "room for {room} bytes");
                done += 1;
            }
        }
        assert_whole(&workspace, "once there is room again");
        if done == 3 {
            break;
        }
    }
    assert!(refused > 0, "nothing refused");
}
