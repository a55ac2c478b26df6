//! P9: workspaces of every version of the format, as they were made then, open and say what they said.

use std::path::{Path, PathBuf};

use runcellar::{CheckOptions, Keys, Workspace};

#[path = "../data/dump.rs"]
mod dump;

fn golden() -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/workspaces"));
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("is there").map(|entry| entry.expect("reads").path()).collect();
    all.sort();
    all
}

/// Copies a golden workspace, as nothing is ever written to one; returns the copy and the keys that open it.
fn copy(golden: &Path, to: &Path) -> (PathBuf, Keys) {
    use std::os::unix::fs::PermissionsExt as _;
    fn copy_folder(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("can be made");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("reads");
            let target = to.join(entry.file_name());
            match entry.file_type().expect("reads").is_dir() {
                true => copy_folder(&entry.path(), &target),
                false => drop(std::fs::copy(entry.path(), target).expect("can be copied")),
            }
        }
    }
    copy_folder(golden, to);
    let key_file = to.join("workspace.key");
    // A version control system keeps no mode, and a key file that others can read is refused.
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).expect("our own");
    (to.join("workspace"), Keys { file: Some(key_file), ..Keys::default() })
}

#[test]
fn workspaces_of_every_version_read_as_they_did() {
    let all = golden();
    assert!(["v1", "v2"].iter().all(|version| all.iter().any(|golden| golden.ends_with(version))), "{all:?}");
    for golden in all {
        let place = tempfile::tempdir().expect("a temporary directory");
        let (path, keys) = copy(&golden, place.path());
        let expected = std::fs::read_to_string(golden.join("expected.json")).expect("is there");
        let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
        let workspace = Workspace::open(&path, keys.clone()).expect("opens");
        assert_same(&dump::dump(&workspace).expect("reads"), &expected, &golden);
        let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
        assert!(report.is_ok(), "{}: {:?}", golden.display(), report.problems);

        // It is written by this version, too, and what it held stays.
        workspace.run("new").id("new").start().and_then(|run| run.finish()).expect("records");
        drop(workspace);
        let mut after = dump::dump(&Workspace::open(&path, keys).expect("opens again")).expect("reads");
        after.as_object_mut().expect("a map").remove("new").expect("the new run");
        assert_same(&after, &expected, &golden);
    }
}

fn assert_same(found: &serde_json::Value, expected: &serde_json::Value, golden: &Path) {
    let (Some(found), Some(expected)) = (found.as_object(), expected.as_object()) else { panic!("maps") };
    assert!(found.keys().eq(expected.keys()), "{}: {:?}", golden.display(), found.keys());
    for (run, expected) in expected {
        for (field, expected) in expected.as_object().expect("a map") {
            assert!(found[run][field] == *expected, "{}: {field} of run {run} differs", golden.display());
        }
    }
}
