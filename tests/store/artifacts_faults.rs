//! Artifacts under faults: killed, out of disk, raced, damaged, and files that do what files do.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, Links, PutReport, PutSettings};
use runcellar::{CheckOptions, CollectOptions, ErrorKind, Monitor, OpenOptions, Result, Workspace};

use crate::blob_damage::packs;
use crate::support::child::{command, start};
use crate::support::io::{Call, Fate, Hooked};
use crate::support::{Heard, Place, Rng};

fn try_put(workspace: &Workspace, from: &Path) -> Result<PutReport> {
    let mut draft = ArtifactDraft::new("data", "dataset")?;
    draft.add_dir(from, None, Links::Keep)?;
    workspace.put_artifact(&draft, &PutSettings { project: "digits".into(), ..PutSettings::default() })
}

fn from(place: &Place) -> PathBuf {
    place.root().join("from")
}

/// Writes files of 700 kB, each longer than the longest chunk.
fn sample(place: &Place, names: &[&str]) {
    fs::create_dir_all(from(place)).expect("creates");
    let mut rng = Rng::seeded();
    for name in names {
        let bytes: Vec<u8> = std::iter::repeat_with(|| rng.next().to_le_bytes()).take(87_500).flatten().collect();
        fs::write(from(place).join(name), bytes).expect("writes");
    }
}

#[track_caller]
fn is_whole(place: &Place, names: &[&str]) {
    let workspace = place.open_silently();
    let version = workspace.artifact("data").expect("finds");
    let to = place.root().join("to");
    let got = version.download(&to, &DownloadOptions::default()).expect("downloads");
    assert!(got.hurt.is_empty(), "{:?}", got.hurt);
    for name in names {
        let equal = fs::read(to.join(name)).expect("reads") == fs::read(from(place).join(name)).expect("reads");
        assert!(equal, "{name}");
    }
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:?}", report.problems);
}

/// A workspace where the n-th call about packs while `armed` has a fate.
fn with_fault(place: &Place, n: u64, fate: impl Fn() -> Fate + Send + Sync + 'static) -> (Workspace, Arc<AtomicBool>) {
    let (armed, seen) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
    let is_armed = armed.clone();
    let io = Hooked::new(move |call: Call, path: &Path| {
        let is_content = path.extension().is_some_and(|extension| extension == "pack")
            || (call == Call::SyncDir && path.components().any(|part| part.as_os_str() == "packs"));
        if is_content && is_armed.load(Ordering::SeqCst) && seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
            return fate();
        }
        Fate::Done
    });
    (place.open_with(io, Arc::new(Heard::default())).expect("opens"), armed)
}

pub(crate) fn dies_putting(place: &Place, n: &str) {
    let n = n.parse().expect("a number");
    let (workspace, armed) = with_fault(place, n, || {
        // SAFETY: ends the process without running anything of ours.
        unsafe { libc::_exit(77) }
    });
    armed.store(true, Ordering::SeqCst);
    try_put(&workspace, &from(place)).expect("puts");
}

#[test]
fn killed_at_any_moment_a_put_leaves_nothing_half_and_goes_on() {
    let place = Place::new();
    let names = ["a", "b", "c"];
    sample(&place, &names);
    place.open();
    let mut killed = 0;
    for n in 1.. {
        let status = command("dies_putting", &place, n).status().expect("a child starts");
        if status.code() != Some(77) {
            assert!(status.success(), "call {n}: {status}");
            break;
        }
        killed += 1;
        let workspace = place.open_silently();
        assert_eq!(workspace.artifact("data").expect_err("nothing half").kind(), ErrorKind::NotFound, "call {n}");
        let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
        assert!(report.is_ok(), "call {n}: {:?}", report.problems);
    }
    assert!(killed > 5, "only {killed} calls to the disk");
    is_whole(&place, &names);
    // What was written a moment ago may be somebody's who is at work.
    let left = crate::support::list(&place.workspace().join("tmp")).into_iter().chain(packs(&place));
    left.for_each(|path| crate::support::age(&path, "-11 minutes"));
    let workspace = place.open();
    workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    assert_eq!(packs(&place).len(), 1, "what the killed ones left is gone");
    assert_eq!(crate::support::list(&place.workspace().join("tmp")), Vec::<PathBuf>::new());
    is_whole(&place, &names);
}

#[test]
fn a_full_disk_is_an_error_and_costs_nothing_that_was_there() {
    let place = Place::new();
    sample(&place, &["a"]);
    try_put(&place.open(), &from(&place)).expect("puts");
    let mut failed = 0;
    for n in 1.. {
        sample(&place, &["a", "b", "c"]);
        fs::write(from(&place).join("number"), format!("{n}")).expect("writes");
        let (workspace, armed) = with_fault(&place, n, || Fate::Fails(libc::ENOSPC));
        armed.store(true, Ordering::SeqCst);
        match try_put(&workspace, &from(&place)) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ReadOnly, "call {n}: {error}");
                failed += 1;
            }
            Ok(_) => break,
        }
        armed.store(false, Ordering::SeqCst);
        drop(workspace);
        assert_eq!(place.open_silently().artifact("data").expect("finds").number, 0, "call {n}");
    }
    assert!(failed > 3, "only {failed} calls to the disk");
    is_whole(&place, &["a", "b", "c", "number"]);
}

pub(crate) fn puts(place: &Place, _: &str) {
    let workspace = place.open();
    try_put(&workspace, &from(place)).expect("puts");
}

#[test]
fn two_that_put_the_same_content_at_once_store_one_version() {
    let place = Place::new();
    let names = ["a", "b", "c", "d"];
    sample(&place, &names);
    place.open();
    let children: Vec<_> = (0..3).map(|_| start("puts", &place, "")).collect();
    for mut child in children {
        assert!(child.wait().expect("waits").success());
    }
    assert_eq!(place.open().artifacts(None).expect("lists").len(), 1);
    is_whole(&place, &names);
}

#[test]
fn damage_hurts_the_files_that_lie_there_and_no_others() {
    let place = Place::new();
    sample(&place, &["a", "b", "c"]);
    let version = try_put(&place.open(), &from(&place)).expect("puts").version;
    let pack = packs(&place).remove(0);
    let whole = fs::read(&pack).expect("reads");
    let flipped = [&whole[..1000], &[whole[1000] ^ 1], &whole[1001..]].concat();
    // Chunks stand in the pack in the order of reading, so what lies early is of the first file.
    for (bytes, hurt) in
        [(Some(flipped), &["a"][..]), (Some(whole[..800_000].to_vec()), &["b", "c"]), (None, &["a", "b", "c"])]
    {
        match &bytes {
            Some(bytes) => fs::write(&pack, bytes).expect("writes"),
            None => fs::remove_file(&pack).expect("removes"),
        }
        let to = place.root().join(format!("to-{}", hurt.len()));
        let got = version.download(&to, &DownloadOptions::default()).expect("downloads");
        let named: Vec<&str> = got.hurt.iter().map(|hurt| hurt.path.as_str()).collect();
        assert_eq!(named, hurt);
        assert!(got.hurt.iter().all(|hurt| hurt.error.kind() == ErrorKind::Damaged), "{:?}", got.hurt);
        for name in ["a", "b", "c"] {
            assert_eq!(to.join(name).exists(), !hurt.contains(&name), "{name}");
        }
        assert_eq!(crate::support::list(&to).len(), 3 - hurt.len(), "nothing half is left");
        let named: Vec<String> = version.verify().expect("verifies").hurt.into_iter().map(|hurt| hurt.path).collect();
        assert_eq!(named, hurt);
        fs::write(&pack, &whole).expect("writes");
    }
    is_whole(&place, &["a", "b", "c"]);
}

/// Changes a file when the store reports progress, as often as it is told.
struct Changes {
    path: PathBuf,
    times: AtomicU64,
}

impl Monitor for Changes {
    fn note(&self, _text: &str) {}

    fn warn(&self, _text: &str) {}

    fn progress(&self, _what: &str, _done: u64, _total: u64) {
        if self.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok() {
            let mut file = fs::OpenOptions::new().append(true).open(&self.path).expect("opens");
            file.write_all(b"more").expect("writes");
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again_or_refused() {
    for (times, is_put) in [(1, true), (u64::MAX, false)] {
        let place = Place::new();
        sample(&place, &["before"]);
        let path = from(&place).join("growing");
        fs::write(&path, vec![1; 4 << 20]).expect("writes");
        let monitor = Arc::new(Changes { path: path.clone(), times: AtomicU64::new(times) });
        let workspace = OpenOptions { monitor, ..place.options() }.open(&place.workspace()).expect("opens");
        match try_put(&workspace, &from(&place)) {
            Ok(report) => {
                assert!(is_put, "it changed all the time");
                assert_eq!(report.version.bytes, 700_000 + (4 << 20) + 4);
                is_whole(&place, &["before", "growing"]);
            }
            Err(error) => {
                assert!(!is_put, "{error}");
                assert_eq!(error.kind(), ErrorKind::State);
                assert!(error.to_string().contains(&path.display().to_string()), "{error}");
                assert_eq!(workspace.artifacts(None).expect("lists").len(), 0);
            }
        }
    }
}

#[test]
fn what_stands_in_the_way_of_a_download_is_named_and_nothing_is_written_through_links() {
    let place = Place::new();
    fs::create_dir_all(from(&place).join("dir")).expect("creates");
    for name in ["dir/inside", "file", "other", "taken"] {
        fs::write(from(&place).join(name), name).expect("writes");
    }
    symlink("other", from(&place).join("link")).expect("links");
    let version = try_put(&place.open(), &from(&place)).expect("puts").version;
    let (to, outside) = (place.root().join("to"), place.root().join("outside"));
    fs::create_dir_all(to.join("taken/by-a-directory")).expect("creates");
    fs::create_dir(to.join("link")).expect("creates");
    fs::create_dir(&outside).expect("creates");
    fs::write(outside.join("file"), "untouched").expect("writes");
    symlink(&outside, to.join("dir")).expect("links");
    symlink(outside.join("file"), to.join("file")).expect("links");
    fs::write(to.join("mine"), "stays").expect("writes");
    let got = version.download(&to, &DownloadOptions::default()).expect("downloads");
    let named: Vec<&str> = got.hurt.iter().map(|hurt| hurt.path.as_str()).collect();
    assert_eq!(named, ["dir/inside", "link", "taken"]);
    assert!(got.hurt.iter().all(|hurt| hurt.error.kind() == ErrorKind::InvalidArgument), "{:?}", got.hurt);
    assert!(!outside.join("inside").exists());
    assert_eq!(fs::read(outside.join("file")).expect("reads"), b"untouched");
    assert_eq!(fs::read(to.join("file")).expect("reads"), b"file", "the link itself is replaced");
    assert!(!fs::symlink_metadata(to.join("file")).expect("is there").is_symlink());
    assert_eq!((fs::read(to.join("mine")).expect("reads"), to.join("other").exists()), (b"stays".to_vec(), true));
}

#[test]
fn what_cannot_be_put_is_named() {
    let place = Place::new();
    sample(&place, &["a"]);
    let workspace = place.open();
    let gone = from(&place).join("gone");
    fs::write(&gone, "x").expect("writes");
    let mut draft = ArtifactDraft::new("data", "").expect("a name");
    draft.add_dir(&from(&place), None, Links::Keep).expect("adds");
    fs::remove_file(&gone).expect("removes");
    let settings = PutSettings { project: "digits".into(), ..PutSettings::default() };
    let error = workspace.put_artifact(&draft, &settings).expect_err("it is gone");
    assert!(error.to_string().contains(&gone.display().to_string()), "{error}");
    fs::create_dir(&gone).expect("creates");
    let error = workspace.put_artifact(&draft, &settings).expect_err("it is a directory");
    assert!(error.to_string().contains(&gone.display().to_string()), "{error}");
    let mut draft = ArtifactDraft::new("data", "").expect("a name");
    for name in ["../out", "/etc/passwd", "a//b", "a/./b", "", "a/", "nul\0", &"x/".repeat(3000)] {
        let error = draft.add_bytes(name, Vec::new()).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}");
    }
    draft.add_bytes("a", Vec::new()).expect("adds");
    assert_eq!(draft.add_bytes("a", vec![1]).expect_err("twice").kind(), ErrorKind::Exists);
    for uri in ["", "line\nbreak"] {
        assert!(draft.add_reference(uri, "b", None, None).is_err(), "{uri:?}");
    }
}

#[test]
fn an_empty_artifact_is_one() {
    let place = Place::new();
    let workspace = place.open();
    let draft = ArtifactDraft::new("nothing", "").expect("a name");
    let settings = PutSettings { project: "digits".into(), ..PutSettings::default() };
    let report = workspace.put_artifact(&draft, &settings).expect("puts");
    assert_eq!((report.version.files, report.version.bytes, report.is_new), (0, 0, true));
    assert!(!workspace.put_artifact(&draft, &settings).expect("puts").is_new);
    let version = place.open_silently().artifact("nothing").expect("finds");
    assert_eq!(version.verify().expect("verifies").files, 0);
    let to = place.root().join("to");
    version.download(&to, &DownloadOptions::default()).expect("downloads");
    assert_eq!(crate::support::list(&to), Vec::<PathBuf>::new());
}
