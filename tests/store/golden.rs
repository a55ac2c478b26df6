//! P9: workspaces of every version of the format, as they were made then, open and say what they said.

use std::path::{Path, PathBuf};

use runcellar::{CheckOptions, Keys, Passphrase, Workspace};

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
    assert!(["v1", "v2", "v3"].iter().all(|version| all.iter().any(|golden| golden.ends_with(version))), "{all:?}");
    for golden in all {
        let place = tempfile::tempdir().expect("a temporary directory");
        let (path, keys) = copy(&golden, place.path());
        let expected = std::fs::read_to_string(golden.join("expected.json")).expect("is there");
        let expected: serde_json::Value = serde_json::from_str(&expected).expect("JSON");
        let workspace = Workspace::open(&path, keys.clone()).expect("opens");
        assert_same(&dump::dump(&workspace).expect("reads"), &expected, &golden);
        let files = std::fs::read_to_string(golden.join("files.json")).ok();
        let files = files.map(|text| serde_json::from_str::<serde_json::Value>(&text).expect("JSON"));
        assert_same_files(&workspace, files.as_ref(), &golden);
        let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
        assert!(report.is_ok(), "{}: {:?}", golden.display(), report.problems);

        // It is written by this version, too, and what it held stays.
        workspace.run("new").id("new").start().and_then(|run| run.finish()).expect("records");
        drop(workspace);
        let workspace = Workspace::open(&path, keys).expect("opens again");
        assert_same_files(&workspace, files.as_ref(), &golden);
        let mut after = dump::dump(&workspace).expect("reads");
        after.as_object_mut().expect("a map").remove("new").expect("the new run");
        assert_same(&after, &expected, &golden);
    }
}

/// What is there beside runs: none before version 3.
fn assert_same_files(workspace: &Workspace, expected: Option<&serde_json::Value>, golden: &Path) {
    let found = dump::dump_files(workspace).expect("reads");
    let Some(expected) = expected else {
        for empty in ["artifacts", "media", "code", "receipts"] {
            let len =
                found[empty].as_object().map_or_else(|| found[empty].as_array().map_or(1, Vec::len), |of| of.len());
            assert_eq!(len, 0, "{}: {empty}", golden.display());
        }
        return;
    };
    for (part, expected) in expected.as_object().expect("a map") {
        assert!(found[part] == *expected, "{}: {part} differ: {:#}", golden.display(), found[part]);
    }
}

#[test]
fn a_golden_recovery_code_opens_what_the_key_file_opens() {
    let all: Vec<PathBuf> = golden().into_iter().filter(|golden| golden.join("recovery.txt").exists()).collect();
    assert_eq!(all.len(), 1, "version 3 has one");
    let place = tempfile::tempdir().expect("a temporary directory");
    let (path, _) = copy(&all[0], place.path());
    std::fs::remove_file(place.path().join("workspace.key")).expect("removes");
    let code = std::fs::read_to_string(all[0].join("recovery.txt")).expect("reads");
    let keys = Keys { passphrase: Some(Passphrase::from(code.trim().to_owned())), ..Keys::default() };
    let workspace = Workspace::open(&path, keys).expect("opens");
    assert_eq!(workspace.artifact("digits/data:best").expect("finds").number, 0);
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
