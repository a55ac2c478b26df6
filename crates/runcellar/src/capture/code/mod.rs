//! The text of a run's code, gathered when a user asks for it: the diff, the main file, folders, cells of a notebook.
//!
//! Paths and bytes come out, each file with its secrets redacted, and notes on what was left out. Nothing here writes.

mod file;
mod folder;
mod notebook;
mod patch;
mod save;

pub use folder::CodeFolder;
pub(super) use save::CodeKeeper;
pub(crate) use save::CodeOptions;
pub use save::{SaveCode, SavedCode};

use std::path::Path;

use crate::secrets::{Finding, Language, Scanner};

/// The longest file that is kept, in bytes. What people write is far below; data and what programs made are above.
pub(super) const FILE_BYTES_MAX: u64 = 2 << 20;
/// The most that one capture keeps, in bytes: all of it is in memory at once.
const TOTAL_BYTES_MAX: usize = 64 << 20;
/// The most files of one capture.
pub(super) const FILES_MAX: usize = 20_000;
/// Notes that say each file that was left out; of more only their number is said.
const NOTES_MAX: usize = 20;

/// A file of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capture) struct CodeFile {
    /// Where it stands among the code of the run: components joined by `/`, as bytes.
    path: Vec<u8>,
    bytes: Vec<u8>,
}

/// What one capture gathered.
#[derive(Debug, Default)]
pub(in crate::capture) struct Gathered {
    pub(in crate::capture) files: Vec<CodeFile>,
    pub(in crate::capture) findings: Vec<Finding>,
    pub(in crate::capture) bytes: usize,
    notes: Vec<String>,
    left_out: usize,
}

impl Gathered {
    /// Takes a file in, without its secrets, if there is room for it.
    fn add(&mut self, scanner: &Scanner, path: Vec<u8>, bytes: Vec<u8>) {
        let shown = String::from_utf8_lossy(&path).into_owned();
        if self.files.len() >= FILES_MAX || self.bytes + bytes.len() > TOTAL_BYTES_MAX {
            self.leave_out(&shown, "more code than is kept of a run");
            return;
        }
        let bytes = scanner.bytes(bytes, Language::Code, &format!("code {shown}"), &mut self.findings);
        self.bytes += bytes.len();
        self.files.push(CodeFile { path, bytes });
    }

    /// Notes that something was left out.
    fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out += 1;
        if self.notes.len() < NOTES_MAX {
            self.notes.push(format!("{what}: {why}"));
        }
    }

    /// Returns what was left out, a line each; the last counts the rest.
    pub(in crate::capture) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        match self.left_out - self.notes.len() {
            0 => {}
            more => notes.push(format!("{more} more files")),
        }
        notes
    }

    /// Brings the files into the order in which they are stored, each path once: the last of it stands.
    pub(in crate::capture) fn sort(&mut self) {
        self.files.sort_by(|left, right| crate::blob::path_order(&left.path, &right.path));
        self.files.reverse();
        self.files.dedup_by(|left, right| left.path == right.path);
        self.files.reverse();
    }

    /// Adds the main file, under its name below `main/`.
    pub(in crate::capture) fn add_main(&mut self, scanner: &Scanner, path: &Path) {
        let name = path.file_name().unwrap_or(path.as_os_str());
        match file::read(path) {
            Ok(bytes) => self.add(scanner, below("main", name.as_encoded_bytes()), bytes),
            Err(why) => self.leave_out(&path.to_string_lossy(), &why),
        }
    }

    /// Adds the cells that a notebook has run, as a script.
    pub(in crate::capture) fn add_cells(&mut self, scanner: &Scanner, cells: &[String]) {
        if !cells.is_empty() {
            self.add(scanner, below("main", b"notebook.py"), notebook::script(cells).into_bytes());
        }
    }
}

fn below(directory: &str, name: &[u8]) -> Vec<u8> {
    [directory.as_bytes(), b"/", name].concat()
}
