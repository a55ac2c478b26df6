//! A plain folder as a remote: a disk, a mount, a USB stick, a folder that another program carries to other machines.
//!
//! An object is a file of its name. It is written under [`TEMPORARY`], synced, and renamed, so that no reader sees half of
//! one; the names are synced after it. What is there besides is none of our business: names with other letters (conflicted
//! copies are called so), links, what is no file. The folder itself is made when it is asked for alone, or a disk that is not
//! mounted would be taken for an empty remote.

use std::fs::{self, File, OpenOptions, ReadDir};
use std::io::{self, ErrorKind as Io, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use runcellar_format::object::{OBJECT_BYTES_MAX, SealedObject};

use super::pace::PIECE_BYTES;
use super::{Clock, Entry, NAME_SEGMENTS_MAX, ObjectName, Pace, Remote, SystemClock};
use crate::{Error, ErrorKind, Result};

/// Where files are before they have their name; no object can be called so.
const TEMPORARY: &str = ".runcellar-tmp";
/// When a file there belongs to nobody any more: no object takes as long to be written.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Files there that one handle looks at, at most.
const SWEPT_MAX: usize = 1000;

/// A folder that holds objects as files.
pub struct Folder {
    root: PathBuf,
    pace: Arc<Pace>,
    clock: Arc<dyn Clock>,
    swept: Once,
}

impl Folder {
    /// Makes a remote of a folder, which need not be there yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Folder::paced(root, Arc::new(Pace::new(None)), Arc::new(SystemClock::default()))
    }

    /// Makes a remote of a folder, under a limit of bandwidth.
    pub fn paced(root: impl Into<PathBuf>, pace: Arc<Pace>, clock: Arc<dyn Clock>) -> Self {
        Folder { root: root.into(), pace, clock, swept: Once::new() }
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        name.as_str().split('/').fold(self.root.clone(), |path, segment| path.join(segment))
    }

    /// Writes and syncs a file that has no name of an object yet.
    fn write(&self, object: &SealedObject) -> Result<Temporary> {
        let failed = |error| self.failed("written", Doing::Writing, error);
        if !self.root.is_dir() {
            return Err(self.no_such_folder());
        }
        let folder = self.root.join(TEMPORARY);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != Io::AlreadyExists => return Err(failed(error)),
            _ => self.swept.call_once(|| sweep(&folder)),
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| self.local("random bytes", io::Error::other(error.to_string())))?;
        let path = folder.join(format!("{:032x}", u128::from_be_bytes(id)));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        let temporary = Temporary(path);
        let mut piece = vec![0; PIECE_BYTES];
        let mut offset = 0;
        while offset < object.len() {
            let len = (object.len() - offset).min(PIECE_BYTES as u64);
            let piece = piece.get_mut(..len as usize).unwrap_or_default();
            object.read_exact_at(piece, offset).map_err(|error| self.local("the object's file", error))?;
            self.wait(len)?;
            file.write_all(piece).map_err(failed)?;
            offset += len;
        }
        file.sync_all().map_err(failed)?;
        Ok(temporary)
    }

    fn wait(&self, bytes: u64) -> Result<()> {
        let wait = self.pace.take(bytes, self.clock.now());
        if wait.is_zero() || self.clock.sleep(wait) {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unreachable, "stopped").at(&self.label()))
        }
    }

    /// Makes the folders above an object, and their names durable.
    fn make_folders(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(path);
        if parent == self.root {
            return Ok(());
        }
        match fs::create_dir(parent) {
            Ok(()) => sync_folder(parent.parent().unwrap_or(parent)),
            Err(error) if error.kind() == Io::AlreadyExists => Ok(()),
            Err(error) if error.kind() == Io::NotFound => {
                self.make_folders(parent)?;
                match fs::create_dir(parent) {
                    Err(error) if error.kind() != Io::AlreadyExists => Err(error),
                    _ => sync_folder(parent.parent().unwrap_or(parent)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the file of an object; none if there is none.
    fn open(&self, name: &ObjectName) -> Result<Option<(File, u64)>> {
        let path = self.path(name);
        let failed = |error| self.failed("opened", Doing::Reading, error).of(name);
        // A link or a pipe under the name of an object is none; opening a pipe would wait for ever.
        match fs::symlink_metadata(&path) {
            Ok(found) if !found.is_file() => return Ok(None),
            Err(error) if is_absent(&error) => return self.absent(),
            Err(error) => return Err(failed(error)),
            Ok(_) => {}
        }
        match File::open(&path) {
            Ok(file) => {
                let len = file.metadata().map_err(failed)?.len();
                Ok(Some((file, len)))
            }
            Err(error) if is_absent(&error) => self.absent(),
            Err(error) => Err(failed(error)),
        }
    }

    /// Tells an object that is not there from a folder that is not there.
    fn absent<T>(&self) -> Result<Option<T>> {
        match fs::metadata(&self.root) {
            Ok(root) if root.is_dir() => Ok(None),
            Ok(_) => Err(self.no_such_folder()),
            Err(error) if is_absent(&error) => Err(self.no_such_folder()),
            Err(error) => Err(self.failed("opened", Doing::Reading, error)),
        }
    }

    fn label(&self) -> String {
        self.root.display().to_string()
    }

    fn no_such_folder(&self) -> Error {
        Error::new(ErrorKind::NoSuchPlace, "there is no such folder").at(&self.label())
    }

    fn local(&self, what: &str, cause: io::Error) -> Error {
        Error::new(ErrorKind::Local, format!("{what}: {cause}")).with_cause(cause).at(&self.label())
    }

    fn failed(&self, done: &str, doing: Doing, cause: io::Error) -> Error {
        Error::new(kind_of(doing, &cause), format!("cannot be {done}: {cause}")).with_cause(cause).at(&self.label())
    }
}

impl Remote for Folder {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> Result<bool> {
        let path = self.path(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Ok(false);
        }
        let failed = |error| self.failed("written", Doing::Writing, error).of(name);
        let temporary = self.write(object).map_err(|error| error.of(name))?;
        self.make_folders(&path).map_err(failed)?;
        let new = match fs::hard_link(&temporary.0, &path) {
            Ok(()) => true,
            // An answer that NFS has lost: the second attempt finds the name, and it is this file's.
            Err(error) if error.kind() == Io::AlreadyExists => is_same_file(&temporary.0, &path),
            // No links, as on a stick: another writer of equal bytes may be overwritten in between.
            Err(_) if fs::symlink_metadata(&path).is_ok() => false,
            Err(_) => fs::rename(&temporary.0, &path).map(|()| true).map_err(failed)?,
        };
        sync_folder(path.parent().unwrap_or(&self.root)).map_err(failed)?;
        Ok(new)
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> Result<()> {
        let path = self.path(name);
        let failed = |error| self.failed("written", Doing::Writing, error).of(name);
        let temporary = self.write(object).map_err(|error| error.of(name))?;
        self.make_folders(&path).map_err(failed)?;
        fs::rename(&temporary.0, &path).map_err(failed)?;
        sync_folder(path.parent().unwrap_or(&self.root)).map_err(failed)
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        let Some((mut file, len)) = self.open(name)? else { return Ok(None) };
        let range = range.unwrap_or(0..len);
        let (start, end) = (range.start.min(len), range.end.min(len));
        let wanted = end.saturating_sub(start);
        if wanted > OBJECT_BYTES_MAX {
            let message = format!("longer than any object: {wanted} bytes");
            return Err(Error::new(ErrorKind::Damaged, message).at(&self.label()).of(name));
        }
        let failed = |error| self.failed("read", Doing::Reading, error).of(name);
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut bytes = vec![0; wanted as usize];
        for piece in bytes.chunks_mut(PIECE_BYTES) {
            self.wait(piece.len() as u64)?;
            match file.read_exact(piece) {
                // Somebody wrote into the file: nobody of ours does.
                Err(error) if error.kind() == Io::UnexpectedEof => {
                    let message = "became shorter while it was read";
                    return Err(Error::new(ErrorKind::Damaged, message).at(&self.label()).of(name));
                }
                read => read.map_err(failed)?,
            }
        }
        Ok(Some(bytes))
    }

    fn list(&self, below: Option<&ObjectName>, each: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<()> {
        let failed = |error| self.failed("listed", Doing::Reading, error);
        let start = below.map_or_else(|| self.root.clone(), |below| self.path(below));
        // Only folders on the way down are open: as many as a name has segments, however many files there are.
        let mut open: Vec<(ReadDir, Option<ObjectName>)> = match fs::read_dir(start) {
            Ok(entries) => vec![(entries, below.cloned())],
            Err(error) if is_absent(&error) => return self.absent::<()>().map(drop),
            Err(error) => return Err(failed(error)),
        };
        while let Some((entries, above)) = open.last_mut() {
            let Some(entry) = entries.next() else {
                open.pop();
                continue;
            };
            let entry = match entry {
                Ok(entry) => entry,
                // The folder was removed meanwhile.
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(failed(error)),
            };
            let file_name = entry.file_name();
            let name = file_name.to_str().and_then(|segment| match above {
                Some(above) => above.join(segment).ok(),
                None => ObjectName::new(segment).ok(),
            });
            let (Some(name), Ok(found)) = (name, entry.metadata()) else { continue };
            if found.is_file() {
                if each(Entry { name, bytes: found.len() }).is_break() {
                    return Ok(());
                }
            } else if found.is_dir() && open.len() < NAME_SEGMENTS_MAX {
                match fs::read_dir(entry.path()) {
                    Ok(entries) => open.push((entries, Some(name))),
                    Err(error) if is_absent(&error) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(())
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let path = self.path(name);
        let failed = |error| self.failed("deleted", Doing::Writing, error).of(name);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)).map_err(failed),
            Err(error) if is_absent(&error) => self.absent::<()>().map(drop),
            Err(error) => Err(failed(error)),
        }
    }

    fn delete_older(&self, _name: &ObjectName) -> Result<()> {
        // It keeps none.
        Ok(())
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        Ok(self.open(name)?.map(|(_, len)| len))
    }

    fn make_place(&self) -> Result<()> {
        match fs::create_dir(&self.root) {
            Ok(()) => sync_folder(self.root.parent().unwrap_or(&self.root)),
            Err(error) if error.kind() == Io::AlreadyExists => Ok(()),
            Err(error) if is_absent(&error) => return Err(self.no_such_folder()),
            Err(error) => Err(error),
        }
        .map_err(|error| self.failed("made", Doing::Writing, error))
    }
}

/// A file without a name of an object; it goes when it got one, or when writing failed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays is swept up by a later handle.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what writers that died have left.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().take(SWEPT_MAX) {
        let age = entry.metadata().and_then(|found| found.modified()).map(|time| time.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > ABANDONED_AFTER) {
            // Somebody else may have swept it up.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Reading,
    Writing,
}

fn kind_of(doing: Doing, error: &io::Error) -> ErrorKind {
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
        Io::ReadOnlyFilesystem => ErrorKind::ReadOnly,
        Io::PermissionDenied if doing == Doing::Writing => ErrorKind::ReadOnly,
        Io::PermissionDenied => ErrorKind::Refused,
        Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::InvalidInput | Io::InvalidFilename => {
            ErrorKind::Other
        }
        // What is left is a disk or a mount that does not answer: EIO, ESTALE, ENODEV, ETIMEDOUT.
        _ => ErrorKind::Unreachable,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), Io::NotFound | Io::NotADirectory)
}

#[cfg(unix)]
fn is_same_file(left: &Path, right: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path| fs::symlink_metadata(path).map(|found| (found.dev(), found.ino())).ok();
    identity(left).is_some_and(|left| identity(right) == Some(left))
}

#[cfg(not(unix))]
fn is_same_file(_: &Path, _: &Path) -> bool {
    false
}

/// Makes the names in a folder durable, where the file system can.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), Io::InvalidInput | Io::Unsupported | Io::PermissionDenied) => Ok(()),
        // A folder that was removed in between has no names to lose.
        Err(error) if is_absent(&error) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_read_only_one_and_one_that_is_gone_are_told_apart() {
        let of = |doing, kind: Io| kind_of(doing, &kind.into());
        assert_eq!(of(Doing::Writing, Io::StorageFull), ErrorKind::Full);
        assert_eq!(of(Doing::Writing, Io::QuotaExceeded), ErrorKind::Full);
        assert_eq!(of(Doing::Writing, Io::ReadOnlyFilesystem), ErrorKind::ReadOnly);
        assert_eq!(of(Doing::Writing, Io::PermissionDenied), ErrorKind::ReadOnly);
        assert_eq!(of(Doing::Reading, Io::PermissionDenied), ErrorKind::Refused);
        assert_eq!(of(Doing::Reading, Io::StaleNetworkFileHandle), ErrorKind::Unreachable);
        const EIO: i32 = 5;
        assert_eq!(kind_of(Doing::Writing, &io::Error::from_raw_os_error(EIO)), ErrorKind::Unreachable);
    }

    #[test]
    fn only_what_nobody_can_be_writing_is_swept_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, young) = (folder.path().join("old"), folder.path().join("young"));
        let aged = File::create(&old).expect("made");
        aged.set_modified(std::time::SystemTime::now() - ABANDONED_AFTER - Duration::from_secs(60)).expect("aged");
        File::create(&young).expect("made");
        sweep(folder.path());
        assert_eq!((old.exists(), young.exists()), (false, true));
    }
}
