//! A folder as a remote, and what else may stand in one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runcellar_sync::ErrorKind;
use runcellar_sync::remote::{Clock as _, Folder, Pace, Remote as _};

use crate::conformance::{Kind, conforms, listed};
use crate::support::{TestClock, name, object};

fn files(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path.to_string_lossy().into_owned()) }
    }
    all
}

#[test]
fn a_folder_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    conforms(&Folder::new(folder.path()), Kind { conditional: true, atomic: true });
    assert_eq!(files(folder.path()), [""; 0], "files are left over");
}

#[test]
fn a_folder_that_is_not_there_is_not_made_and_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("written");
    for path in [folder.path().join("not mounted"), folder.path().join("not/mounted"), file] {
        let remote = Folder::new(&path);
        let a = name("devices/a");
        let kinds = [
            remote.put(&a, &object(1, 1)).unwrap_err(),
            remote.put_new(&a, &object(1, 1)).unwrap_err(),
            remote.get(&a, None).unwrap_err(),
            remote.head(&a).unwrap_err(),
            remote.delete(&a).unwrap_err(),
            remote.list(None, &mut |_| unreachable!()).unwrap_err(),
            remote.list(Some(&a), &mut |_| unreachable!()).unwrap_err(),
        ];
        for error in kinds {
            assert_eq!(error.kind(), ErrorKind::NoSuchPlace, "{error}");
            assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        }
        assert!(!path.is_dir());
    }
}

#[test]
fn conflicted_copies_and_foreign_files_are_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let remote = Folder::new(folder.path());
    remote.put(&name("devices/ab/head"), &object(1, 1)).expect("stored");
    let ab = folder.path().join("devices/ab");
    for foreign in [
        "head (conflicted copy 2026-11-21)",
        "head.sync-conflict-20261121-101500-ABCDEFG",
        "head~",
        ".head.swp",
        "Thumbs.db",
        "\u{e9}",
    ] {
        fs::write(ab.join(foreign), "x").expect("written");
    }
    fs::create_dir(folder.path().join(".stfolder")).expect("made");
    fs::write(folder.path().join(".stfolder/marker"), "x").expect("written");
    assert_eq!(listed(&remote, None), BTreeMap::from([(name("devices/ab/head"), 4096)]));
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_no_objects() {
    let folder = tempfile::tempdir().expect("a folder");
    let remote = Folder::new(folder.path());
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("made");
    std::os::unix::fs::symlink("/", folder.path().join("root")).expect("made");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
    for odd in ["link", "pipe", "root"] {
        assert_eq!(remote.get(&name(odd), None).expect("an answer"), None);
        assert_eq!(remote.head(&name(odd)).expect("an answer"), None);
    }
    assert_eq!(listed(&remote, None), BTreeMap::new());
}

#[test]
fn a_file_longer_than_any_object_is_not_read_into_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let huge = fs::File::create(folder.path().join("huge")).expect("made");
    huge.set_len(1 << 40).expect("sparse");
    let remote = Folder::new(folder.path());
    assert_eq!(remote.get(&name("huge"), None).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(remote.get(&name("huge"), Some(1 << 39..(1 << 39) + 3)).expect("a part"), Some(vec![0; 3]));
}

#[test]
fn a_write_that_cannot_be_finished_leaves_nothing_to_see() {
    let folder = tempfile::tempdir().expect("a folder");
    // A file stands where a folder would have to be.
    fs::write(folder.path().join("packs"), "x").expect("written");
    let remote = Folder::new(folder.path());
    let error = remote.put(&name("packs/ab"), &object(1, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("packs/ab"), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
}

/// The bytes of an object become too few while they are written: a pack whose file was cut.
#[test]
fn an_object_that_cannot_be_read_to_its_end_is_not_stored() {
    use runcellar_format::object::{ReadAt, SealedObject};
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Cut(SealedObject, Arc<AtomicBool>);
    impl ReadAt for Cut {
        fn read_at(&self, out: &mut [u8], offset: u64) -> std::io::Result<usize> {
            if self.1.load(Ordering::Relaxed) && offset > 100_000 {
                return Ok(0);
            }
            self.0.read_exact_at(out, offset)?;
            Ok(out.len())
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let remote = Folder::new(folder.path());
    let cut = Arc::new(AtomicBool::new(false));
    let whole = crate::support::pack(1);
    let object = crate::support::pack_of(Arc::new(Cut(whole.clone(), cut.clone())), whole.len());
    cut.store(true, Ordering::Relaxed);
    assert_eq!(remote.put(&name("packs/ab"), &object).unwrap_err().kind(), ErrorKind::Local);
    assert_eq!(remote.head(&name("packs/ab")).expect("an answer"), None);
    assert_eq!(files(folder.path()), [""; 0]);
}

#[test]
fn a_limit_of_bandwidth_spreads_what_is_written_and_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TestClock::default());
    let remote = Folder::paced(folder.path(), Arc::new(Pace::new(Some(1 << 20))), clock.clone());
    remote.put(&name("a"), &object(1, 4 << 20)).expect("stored");
    remote.get(&name("a"), None).expect("an answer");
    let took = clock.now();
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(9), "8 MiB at 1 MiB/s took {took:?}");
}

/// A small file system in memory; unmounted at the end.
#[cfg(target_os = "linux")]
pub(crate) struct SmallDisk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// Mounts one of a size; none where this process may not.
    pub(crate) fn mount(size: &str) -> Option<SmallDisk> {
        let at = tempfile::tempdir().expect("a folder");
        let size = format!("size={size}");
        Self::run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], at.path()).then_some(SmallDisk(at))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn grow(&self, size: &str) {
        assert!(Self::run("mount", &["-o", &format!("remount,size={size}")], self.0.path()));
    }

    fn run(program: &str, arguments: &[&str], at: &Path) -> bool {
        let output = std::process::Command::new(program).args(arguments).arg(at).output();
        output.is_ok_and(|output| output.status.success())
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        Self::run("umount", &["-l"], self.0.path());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_or_may_only_be_read_loses_nothing_and_shows_nothing_half() {
    let Some(disk) = SmallDisk::mount("1m") else {
        return crate::support::not_tested("a remote on a real full disk: tmpfs may not be mounted here");
    };
    let remote = Folder::new(disk.0.path());
    let mut stored = 0;
    let full = loop {
        let name = name(&format!("packs/{stored}"));
        let put = if stored % 2 == 0 {
            remote.put(&name, &object(1, 300_000))
        } else {
            remote.put_new(&name, &object(1, 300_000)).map(|_| ())
        };
        match put {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    assert!(!full.is_retryable());
    assert_eq!(listed(&remote, None).len(), stored);
    assert_eq!(files(disk.0.path()).len(), stored, "temporary files take what room there is");
    remote.delete(&name("packs/0")).expect("deleted");
    remote.put(&name("packs/new"), &object(1, 300_000)).expect("there is room again");

    assert!(SmallDisk::run("mount", &["-o", "remount,ro"], disk.0.path()));
    for error in [
        remote.put(&name("packs/0"), &object(1, 1)).unwrap_err(),
        remote.put_new(&name("packs/0"), &object(1, 1)).unwrap_err(),
        remote.delete(&name("packs/1")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
    assert!(remote.get(&name("packs/new"), None).expect("it can be read").is_some());
}
