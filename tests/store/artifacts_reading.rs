//! Taking out parts, listing and comparing versions.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, Entry, EntryKind, Links, PutSettings};
use runcellar::{ArtifactVersion, ErrorKind, Workspace};

use crate::support::Place;

fn put_dir(workspace: &Workspace, dir: &Path) -> ArtifactVersion {
    let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
    draft.add_dir(dir, None, Links::Keep).expect("adds");
    draft.add_reference("s3://bucket/big", "elsewhere/big", Some(1 << 40), Some("sha256:00")).expect("adds");
    let settings = PutSettings { project: "digits".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts").version
}

fn odd() -> &'static OsStr {
    OsStr::from_bytes(b"odd \xff name.npy")
}

fn sample(place: &Place) -> PathBuf {
    let from = place.root().join("from");
    fs::create_dir_all(from.join("a/b")).expect("creates");
    fs::create_dir_all(from.join("empty")).expect("creates");
    fs::write(from.join("a/b/deep.txt"), "deep").expect("writes");
    fs::write(from.join("a/one.npy"), "one").expect("writes");
    fs::write(from.join("two.npy"), "two").expect("writes");
    fs::write(from.join(odd()), "odd").expect("writes");
    symlink("a/one.npy", from.join("link")).expect("links");
    from
}

fn paths(entries: &[Entry]) -> Vec<&Path> {
    entries.iter().map(|entry| entry.path.as_path()).collect()
}

#[test]
fn entries_say_what_stands_where() {
    let place = Place::new();
    let version = put_dir(&place.try_open().expect("opens"), &sample(&place));
    let all = version.entries(None).expect("lists");
    let expected = ["a/b/deep.txt", "a/one.npy", "elsewhere/big", "empty", "link"].map(Path::new);
    assert_eq!(paths(&all), [&expected[..], &[Path::new(odd()), Path::new("two.npy")]].concat());
    assert_eq!(all[1].kind, EntryKind::File { size: 3, executable: false });
    assert_eq!(all[3].kind, EntryKind::Directory);
    assert_eq!(all[4].kind, EntryKind::Link { target: "a/one.npy".into() });
    let reference =
        EntryKind::Reference { uri: "s3://bucket/big".into(), size: Some(1 << 40), digest: "sha256:00".into() };
    assert_eq!(all[2].kind, reference);
    assert_eq!(paths(&version.entries(Some("*.npy")).expect("lists")), [Path::new(odd()), Path::new("two.npy")]);
    assert_eq!(paths(&version.entries(Some("a/b/")).expect("lists")), [Path::new("a/b/deep.txt")]);
    assert_eq!(version.entries(Some("[")).expect_err("no pattern").kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_part_comes_out_alone_and_what_matches_nothing_makes_nothing() {
    let place = Place::new();
    let version = put_dir(&place.try_open().expect("opens"), &sample(&place));
    let to = place.root().join("to");
    let options = |glob: &str| DownloadOptions { glob: Some(glob.to_owned()), ..DownloadOptions::default() };
    assert_eq!(version.download(&to, &options("absent")).expect_err("nothing").kind(), ErrorKind::NotFound);
    assert!(!to.exists(), "nothing was made");
    let got = version.download(&to, &options("**/*.npy")).expect("downloads");
    assert_eq!((got.files, got.bytes, got.hurt.len()), (3, 9, 0));
    assert!(to.join(odd()).exists() && to.join("a/one.npy").exists() && !to.join("a/b").exists());
    version.download(&to, &options("a")).expect("downloads");
    assert_eq!(fs::read(to.join("a/b/deep.txt")).expect("reads"), b"deep");
    let got = version.download(&to, &options("elsewhere/*")).expect("downloads");
    assert_eq!(got.references, [("elsewhere/big".to_owned(), "s3://bucket/big".to_owned())]);
    assert_eq!((got.files, to.join("elsewhere").exists()), (0, false), "it is never fetched");
}

#[test]
fn a_diff_names_what_came_went_and_changed() {
    let place = Place::new();
    let workspace = place.try_open().expect("opens");
    let from = sample(&place);
    let first = put_dir(&workspace, &from);
    fs::write(from.join("two.npy"), "TWO").expect("writes");
    fs::write(from.join("three.npy"), "three").expect("writes");
    fs::remove_file(from.join("a/one.npy")).expect("removes");
    fs::remove_file(from.join("link")).expect("removes");
    fs::write(from.join("link"), "a file now").expect("writes");
    let second = put_dir(&workspace, &from);
    let diff = workspace.diff_versions(&first, &second).expect("compares");
    assert_eq!(paths(&diff.added), [Path::new("three.npy")]);
    assert_eq!(paths(&diff.removed), [Path::new("a/one.npy")]);
    let changed: Vec<_> = diff
        .changed
        .iter()
        .map(|changed| (changed.before.path.as_path(), changed.before.kind.as_str(), changed.after.kind.size()))
        .collect();
    assert_eq!(changed, [(Path::new("link"), "link", Some(10)), (Path::new("two.npy"), "file", Some(3))]);
    assert_eq!(diff.unchanged, 4);
    let back = workspace.diff_versions(&second, &first).expect("compares");
    assert_eq!((back.added.len(), back.removed.len(), back.changed.len()), (1, 1, 2));
    let none = workspace.diff_versions(&second, &second).expect("compares");
    assert_eq!((none.added.len() + none.removed.len() + none.changed.len(), none.unchanged), (0, 7));
}

/// What is put need not come from files: a name of 300 bytes fits into no folder.
#[test]
fn names_that_are_too_long_for_the_target_hurt_themselves_alone() {
    let place = Place::new();
    let workspace = place.open();
    let long = "n".repeat(300);
    let mut draft = ArtifactDraft::new("data", "").expect("a name");
    for path in [&long, &format!("{long}2/below"), &format!("folder/{long}"), "a", "z"] {
        draft.add_bytes(path, path.as_bytes().to_vec()).expect("adds");
    }
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    let version = workspace.put_artifact(&draft, &settings).expect("puts").version;
    assert!(version.verify().expect("reads").hurt.is_empty());
    let to = place.root().join("to");
    let got = version.download(&to, &DownloadOptions::default()).expect("downloads the rest");
    let mut hurt: Vec<&str> = got.hurt.iter().map(|hurt| hurt.path.as_str()).collect();
    hurt.sort_unstable();
    assert_eq!(hurt, [&format!("folder/{long}"), &long, &format!("{long}2/below")]);
    assert!(got.hurt.iter().all(|hurt| hurt.error.kind() == ErrorKind::InvalidArgument), "{:?}", got.hurt);
    assert_eq!(fs::read(to.join("z")).expect("reads"), b"z");
    let mut there: Vec<_> = fs::read_dir(&to).expect("lists").map(|entry| entry.expect("reads").file_name()).collect();
    there.sort();
    assert_eq!(there, ["a", "folder", "z"]);
}
