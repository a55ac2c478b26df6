//! Artifacts: what is put comes out equal, once, and what is known is neither stored nor read again.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, Links, PutReport, PutSettings, RemoveOptions};
use runcellar::{CheckOptions, CollectOptions, ErrorKind, Workspace};

use crate::support::{Place, Rng};

fn settings() -> PutSettings {
    PutSettings { project: "digits".into(), ..PutSettings::default() }
}

fn put_dir(workspace: &Workspace, name: &str, dir: &Path) -> PutReport {
    let mut draft = ArtifactDraft::new(name, "dataset").expect("a name");
    draft.add_dir(dir, None, Links::Keep).expect("adds");
    workspace.put_artifact(&draft, &settings()).expect("puts")
}

fn random_bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Everything below a directory: (path, content, executable), links as their target.
fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>, bool)> {
    fn walk(root: &Path, at: &Path, out: &mut Vec<(PathBuf, Vec<u8>, bool)>) {
        for entry in fs::read_dir(at).expect("lists") {
            let path = entry.expect("reads").path();
            let metadata = fs::symlink_metadata(&path).expect("is there");
            let name = path.strip_prefix(root).expect("below").to_owned();
            if metadata.is_symlink() {
                let target = fs::read_link(&path).expect("reads");
                out.push((name, target.into_os_string().into_encoded_bytes(), false));
            } else if metadata.is_dir() {
                out.push((name.join(""), Vec::new(), false));
                walk(root, &path, out);
            } else {
                let content = fs::read(&path).expect("reads");
                out.push((name, content, metadata.permissions().mode() & 0o100 != 0));
            }
        }
    }
    let mut out = Vec::new();
    walk(root, root, &mut out);
    out.sort();
    out
}

fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("has one")).expect("creates");
    fs::write(path, content).expect("writes");
}

/// A tree with all sorts of files, of about 5 MiB.
fn sample(root: &Path, rng: &mut Rng) {
    write(root, "model.bin", &random_bytes(rng, 3_000_000));
    write(root, "empty", b"");
    write(root, "a/b/c/deep.txt", "words and words and words. ".repeat(20_000).as_bytes());
    write(root, "a.b/sorts/before", b"a/b by bytes, and after it by component");
    write(root, "zeros", &vec![0; 2_000_000]);
    for number in 0..300 {
        write(root, &format!("small/{number}"), &random_bytes(rng, 100 + number));
    }
    fs::create_dir(root.join("empty-dir")).expect("creates");
    symlink("a/b/c/deep.txt", root.join("link")).expect("links");
    symlink("nowhere/at/all", root.join("dangling")).expect("links");
    fs::set_permissions(root.join("small/7"), fs::Permissions::from_mode(0o755)).expect("sets");
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"not \xff utf-8");
    fs::write(root.join(odd), b"bytes").expect("writes");
}

#[test]
fn what_was_put_comes_out_equal() {
    let (place, mut rng) = (Place::new(), Rng::seeded());
    let (from, to) = (place.root().join("from"), place.root().join("to"));
    fs::create_dir(&from).expect("creates");
    sample(&from, &mut rng);
    let workspace = place.try_open().expect("opens");
    let report = put_dir(&workspace, "data", &from);
    assert_eq!((report.version.full_name().as_str(), report.is_new), ("digits/data:v0", true));
    let workspace = place.open_silently();
    let version = workspace.artifact("data:latest").expect("finds");
    assert_eq!(version.digest, report.version.digest);
    let got = version.download(&to, &DownloadOptions::default()).expect("downloads");
    assert!(got.hurt.is_empty(), "{:?}", got.hurt);
    assert_eq!(tree(&from), tree(&to));
    let verified = version.verify().expect("verifies");
    assert!(verified.hurt.is_empty(), "{:?}", verified.hurt);
    assert_eq!(verified.bytes, version.bytes);
    let again = version.download(&to, &DownloadOptions::default()).expect("downloads");
    assert_eq!(again.written_bytes, 0, "all of it stood there");
    fs::write(to.join("small/9"), vec![1; 109]).expect("writes");
    let mended = version.download(&to, &DownloadOptions::default()).expect("downloads");
    assert_eq!(mended.written_bytes, 109);
    assert_eq!(tree(&from), tree(&to));
}

#[test]
fn unchanged_content_makes_no_version_and_is_not_read() {
    let (place, mut rng) = (Place::new(), Rng::seeded());
    let from = place.root().join("from");
    fs::create_dir(&from).expect("creates");
    sample(&from, &mut rng);
    let workspace = place.try_open().expect("opens");
    let first = put_dir(&workspace, "data", &from);
    assert!(first.read_bytes >= first.version.bytes);
    let second = put_dir(&workspace, "data", &from);
    assert_eq!((second.is_new, second.new_bytes, second.version.number), (false, 0, 0));
    assert_eq!(second.version.digest, first.version.digest);
    write(&from, "small/7", b"another content");
    let third = put_dir(&workspace, "data", &from);
    assert_eq!((third.is_new, third.version.number), (true, 1));
    assert_eq!(third.new_bytes, 15);
    assert_eq!(workspace.artifacts(None).expect("lists").len(), 2);
    assert_eq!(workspace.artifact("data:v0").expect("finds").digest, first.version.digest);
    let wrong = workspace.artifact("data:v7").expect_err("is not there");
    assert_eq!(wrong.kind(), ErrorKind::NotFound);
}

/// Bytes of all packs.
fn pack_bytes(place: &Place) -> u64 {
    let directories = crate::support::list(&place.workspace().join("packs"));
    let packs = directories.iter().flat_map(|directory| crate::support::list(directory));
    packs.map(|pack| fs::metadata(pack).expect("is there").len()).sum()
}

#[test]
fn a_removed_version_gives_its_space_back_and_the_others_stay_whole() {
    let (place, mut rng) = (Place::new(), Rng::seeded());
    let from = place.root().join("from");
    let shared = random_bytes(&mut rng, 1_500_000);
    write(&from, "shared", &shared);
    write(&from, "first", &random_bytes(&mut rng, 4_000_000));
    let workspace = place.try_open().expect("opens");
    let first = put_dir(&workspace, "data", &from).version;
    fs::remove_file(from.join("first")).expect("removes");
    write(&from, "second", &random_bytes(&mut rng, 300_000));
    let second = put_dir(&workspace, "data", &from).version;
    let full = pack_bytes(&place);
    workspace.remove_version(&first, RemoveOptions::default()).expect("removes");
    assert_eq!(workspace.artifact("data:v0").expect_err("is gone").kind(), ErrorKind::NotFound);
    let collected = workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    assert!(pack_bytes(&place) + 3_900_000 < full, "{collected:?}: {full} bytes before, {} after", pack_bytes(&place));
    for version in [&second, &place.open_silently().artifact("data").expect("finds")] {
        let verified = version.verify().expect("verifies");
        assert!(verified.hurt.is_empty(), "{:?}", verified.hurt);
        assert_eq!(verified.bytes, 1_800_000);
    }
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:?}", report.problems);
    let third = put_dir(&workspace, "data", &from);
    assert!(!third.is_new, "what is left is still known");
}

#[test]
fn an_alias_protects_its_version() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    let mut draft = ArtifactDraft::new("model", "model").expect("a name");
    draft.add_bytes("weights", vec![1; 100]).expect("adds");
    draft.alias("best").expect("an alias");
    let version = workspace.put_artifact(&draft, &settings()).expect("puts").version;
    assert_eq!(version.aliases, ["latest", "best"]);
    let refused = workspace.remove_version(&version, RemoveOptions::default()).expect_err("is protected");
    assert_eq!(refused.kind(), ErrorKind::State);
    workspace.remove_version(&version, RemoveOptions { aliases_too: true }).expect("removes");
    assert_eq!(workspace.artifact("model:best").expect_err("is gone").kind(), ErrorKind::NotFound);
    let mut draft = ArtifactDraft::new("model", "model").expect("a name");
    draft.add_bytes("weights", vec![1; 100]).expect("adds");
    let next = workspace.put_artifact(&draft, &settings()).expect("puts");
    assert_eq!((next.version.version().as_str(), next.new_bytes), ("v1", 100), "its key had been dropped");
}
