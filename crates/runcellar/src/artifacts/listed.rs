//! The paths of a draft in order, in some 24 bytes each beside the path, so that a million files are no burden.
//!
//! Files of a folder are found in any order and sorted once. What is added one by one mostly comes in order; what does not waits
//! apart, and is sorted in when there is much of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::blob::{Source, What, path_order};

/// Paths that wait apart, unless they are few beside the others.
const LATE_MAX: usize = 1 << 12;

/// What stands at which path.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    /// The paths of `sorted`, one after the other.
    text: Vec<u8>,
    sorted: Vec<Entry>,
    late: BTreeMap<LatePath, What>,
    folders: Vec<Folder>,
    others: Vec<What>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: usize,
    len: u32,
    what: Held,
}

#[derive(Debug, Clone, Copy)]
enum Held {
    /// A file of a folder.
    File(FolderNumber),
    /// Anything else, by its number.
    Other(u32),
}

/// Which folder a file is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct FolderNumber(u32);

/// A folder whose files are listed.
#[derive(Debug, Clone)]
struct Folder {
    path: PathBuf,
    /// Bytes of the listed paths that are not of the paths below it.
    prefix: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LatePath(Vec<u8>);

impl Ord for LatePath {
    fn cmp(&self, other: &Self) -> Ordering {
        path_order(&self.0, &other.0)
    }
}

impl PartialOrd for LatePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Listed {
    /// Adds something; false if something stands at its path.
    pub(super) fn add(&mut self, path: &[u8], what: What) -> bool {
        let last = self.sorted.last().map(|last| path_order(self.path(last), path));
        if self.late.is_empty() && last.is_none_or(|last| last == Ordering::Less) {
            let what = self.other(what);
            self.push(path, what);
            return true;
        }
        let is_there = |entry: &Entry| path_order(self.path(entry), path);
        let path = LatePath(path.to_vec());
        if self.sorted.binary_search_by(is_there).is_ok() || self.late.contains_key(&path) {
            return false;
        }
        self.late.insert(path, what);
        if self.late.len() > LATE_MAX.max(self.sorted.len() / 8) {
            self.sort();
        }
        true
    }

    /// Begins a folder, whose files are listed by paths of which the first `prefix` bytes are not of the paths below it.
    pub(super) fn folder(&mut self, path: PathBuf, prefix: usize) -> FolderNumber {
        self.folders.push(Folder { path, prefix });
        FolderNumber(number_of(&self.folders))
    }

    /// Adds a file of a folder; in any order, as long as [`Listed::sort`] comes before anything else.
    pub(super) fn push_file(&mut self, folder: FolderNumber, path: &[u8]) {
        self.push(path, Held::File(folder));
    }

    /// Adds something else that was found in a folder, as [`Listed::push_file`] does.
    pub(super) fn push_other(&mut self, path: &[u8], what: What) {
        let what = self.other(what);
        self.push(path, what);
    }

    /// Sorts what was added. Of a path that came twice the first stays, and the path is returned.
    pub(super) fn sort(&mut self) -> Option<Vec<u8>> {
        for (path, what) in std::mem::take(&mut self.late) {
            self.push_other(&path.0, what);
        }
        let Listed { text, sorted, .. } = self;
        let path = |entry: &Entry| text.get(entry.at..entry.at + entry.len as usize).unwrap_or_default();
        sorted.sort_unstable_by(|left, right| path_order(path(left), path(right)).then(left.at.cmp(&right.at)));
        let mut twice = None;
        sorted.dedup_by(|later, first| {
            let is_twice = path(later) == path(first);
            if is_twice {
                twice.get_or_insert_with(|| path(later).to_vec());
            }
            is_twice
        });
        twice
    }

    /// Returns everything in order of path.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> {
        let mut late = self.late.iter().peekable();
        let mut sorted = self.sorted.iter().peekable();
        std::iter::from_fn(move || {
            let is_late = match (sorted.peek(), late.peek()) {
                (Some(entry), Some((path, _))) => path_order(&path.0, self.path(entry)) == Ordering::Less,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            let (path, what) = if is_late {
                late.next().map(|(path, what)| (path.0.clone(), what.clone()))?
            } else {
                sorted.next().map(|entry| (self.path(entry).to_vec(), self.what(entry)))?
            };
            Some(Source { path, what, extra: Vec::new() })
        })
    }

    /// Returns how many bytes the files have, as far as that can be told now.
    pub(super) fn bytes(&self) -> u64 {
        let of_file = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let bytes_of = |what: &What| match what {
            What::File(path) => of_file(path),
            What::Bytes(bytes) => bytes.len() as u64,
            What::Stream(stream) => stream.size,
            What::Stored(file) => file.size,
            What::Link(_) | What::Directory | What::Reference(_) => 0,
        };
        let of_folders = self.sorted.iter().filter_map(|entry| match entry.what {
            Held::File(folder) => Some(of_file(&self.file(folder, entry))),
            Held::Other(_) => None,
        });
        of_folders.chain(self.others.iter().map(bytes_of)).chain(self.late.values().map(bytes_of)).sum()
    }

    fn file(&self, FolderNumber(number): FolderNumber, entry: &Entry) -> PathBuf {
        let Folder { path, prefix } = self.folders.get(number as usize).expect("begun before its number was given");
        path.join(OsStr::from_bytes(self.path(entry).get(*prefix..).unwrap_or_default()))
    }

    fn path(&self, entry: &Entry) -> &[u8] {
        self.text.get(entry.at..entry.at + entry.len as usize).unwrap_or_default()
    }

    fn what(&self, entry: &Entry) -> What {
        match entry.what {
            Held::File(folder) => What::File(self.file(folder, entry)),
            Held::Other(number) => {
                self.others.get(number as usize).expect("pushed before its number was given").clone()
            }
        }
    }

    fn other(&mut self, what: What) -> Held {
        self.others.push(what);
        Held::Other(number_of(&self.others))
    }

    fn push(&mut self, path: &[u8], what: Held) {
        let (at, len) = (self.text.len(), u32::try_from(path.len()).unwrap_or(u32::MAX));
        self.text.extend_from_slice(path);
        self.sorted.push(Entry { at, len, what });
    }
}

/// Returns the number of the last of a list.
fn number_of<T>(list: &[T]) -> u32 {
    u32::try_from(list.len() - 1).expect("no memory holds 2^32 of them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(listed: &Listed) -> Vec<String> {
        let what = |source: Source| match source.what {
            What::File(path) => format!("{} = {}", String::from_utf8_lossy(&source.path), path.display()),
            other => format!("{} = {other:?}", String::from_utf8_lossy(&source.path)),
        };
        listed.sources().map(what).collect()
    }

    #[test]
    fn what_comes_in_any_order_is_listed_in_order_and_once() {
        let mut listed = Listed::default();
        for path in ["b", "a/z", "a.txt", "c", "a"] {
            assert!(listed.add(path.as_bytes(), What::Directory));
        }
        assert!(!listed.add(b"a/z", What::Directory) && !listed.add(b"c", What::Directory));
        let folder = listed.folder(PathBuf::from("/from"), 2);
        for path in ["d/y", "d/x/2", "d/x.1"] {
            listed.push_file(folder, path.as_bytes());
        }
        assert_eq!(listed.sort(), None);
        let expected = [
            "a = Directory",
            "a/z = Directory",
            "a.txt = Directory",
            "b = Directory",
            "c = Directory",
            "d/x/2 = /from/x/2",
            "d/x.1 = /from/x.1",
            "d/y = /from/y",
        ];
        assert_eq!(shown(&listed), expected);
        listed.push_file(folder, b"b");
        assert_eq!(listed.sort().as_deref(), Some(b"b".as_slice()));
        assert_eq!(shown(&listed), expected);
    }

    #[test]
    fn many_that_come_backwards_are_sorted_in() {
        let mut listed = Listed::default();
        let count = 3 * LATE_MAX;
        let path = |number: usize| format!("{number:09}").into_bytes();
        assert!((0..count).rev().all(|number| listed.add(&path(number), What::Directory)));
        assert!(!(0..count).any(|number| listed.add(&path(number), What::Directory)));
        assert!(listed.sources().map(|source| source.path).eq((0..count).map(path)));
    }
}
