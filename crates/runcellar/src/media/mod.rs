//! Media of runs: images, audio, tables and the like, whose points in a series are references to files of the run.
//!
//! What is logged comes as a [`NewMedia`], which knows how to make its bytes; the run's media thread ([`crate::run`]) has
//! them made, adds them to the run's manifest of media, and only then writes the reference: whoever finds a reference
//! finds the file. Nothing here knows a format of pictures or sound. docs/FORMAT.md, "Media".

mod read;
mod store;

pub use read::{MediaInfo, RunMedia};
pub(crate) use store::{CONTENT, Made, RunFiles, checked_path, is_text, screened};

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Json, Result};

/// Bytes of one media file at most: it is held in memory while it is sealed. Larger ones are artifacts.
pub const MEDIA_BYTES_MAX: u64 = 256 << 20;
/// Bytes of what is said of a media file at most: a part of a manifest is half a megabyte.
pub const MEDIA_TEXT_MAX: usize = 256 << 10;
/// Media files at most that one is made of, such as the pictures of a panel or those in a table.
pub const MEDIA_PARTS_MAX: usize = 4096;
/// How deep media may be made of others: a panel of pictures with masks needs 2.
const DEPTH_MAX: usize = 8;

/// Makes the bytes of a media file, in a thread of the run's.
pub trait MediaContent: Send + Sync {
    /// Returns about how much memory it takes until it is stored, in bytes.
    fn cost(&self) -> u64;

    /// Makes the bytes.
    ///
    /// # Errors
    /// What is wrong, in words; the value is dropped and counted.
    fn make(&self) -> std::result::Result<Vec<u8>, String>;
}

impl MediaContent for Vec<u8> {
    fn cost(&self) -> u64 {
        self.len() as u64
    }

    fn make(&self) -> std::result::Result<Vec<u8>, String> {
        Ok(self.clone())
    }
}

/// A file that was there when it was logged: it may be removed or renamed afterwards, and must not be written to.
pub struct MediaFile {
    file: File,
    len: u64,
    path: PathBuf,
}

impl MediaFile {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened, is no plain file, or is longer than [`MEDIA_BYTES_MAX`].
    pub fn open(path: &Path) -> Result<MediaFile> {
        let failed = |cause| Error::io("open", path, cause);
        // Looked at first: to open a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::invalid(format!("{}: not a plain file", path.display())));
        }
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len > MEDIA_BYTES_MAX {
            return Err(Error::invalid(format!(
                "{}: {len} bytes, and media of at most {MEDIA_BYTES_MAX} are kept; log it as an artifact",
                path.display()
            )));
        }
        Ok(MediaFile { file, len, path: path.to_owned() })
    }
}

impl MediaContent for MediaFile {
    fn cost(&self) -> u64 {
        self.len
    }

    fn make(&self) -> std::result::Result<Vec<u8>, String> {
        let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", self.path.display());
        let mut bytes = vec![0; usize::try_from(self.len).map_err(|error| failed(&error))?];
        self.file.read_exact_at(&mut bytes, 0).map_err(|error| failed(&error))?;
        match self.file.metadata().map(|metadata| metadata.len()) {
            Ok(len) if len == self.len => Ok(bytes),
            _ => Err(failed(&"it was changed after it was logged")),
        }
    }
}

/// A media file as it is logged.
#[derive(Clone)]
pub struct NewMedia {
    /// What it is: `image`, `table`.
    pub kind: String,
    /// The form of its bytes, as file names end: `png`, `json`.
    pub format: String,
    /// What is said of it: a map.
    pub metadata: Json,
    /// Its bytes.
    pub content: Arc<dyn MediaContent>,
    /// Files beside it, by name: `static.png`.
    pub companions: Vec<(String, Arc<dyn MediaContent>)>,
    /// Media that it is made of. What it says of them names them by their place here.
    pub parts: Vec<NewMedia>,
}

impl NewMedia {
    /// Makes a panel: several media in one point, in order.
    #[must_use]
    pub fn panel(parts: Vec<NewMedia>) -> NewMedia {
        NewMedia {
            kind: PANEL.into(),
            format: String::new(),
            metadata: Json::Map(Vec::new()),
            content: Arc::new(Vec::new()),
            companions: Vec::new(),
            parts,
        }
    }

    /// Returns about how much memory it takes until it is stored, in bytes.
    #[must_use]
    pub fn cost(&self) -> u64 {
        let companions = self.companions.iter().map(|(_, content)| content.cost()).sum::<u64>();
        self.content.cost() + companions + self.parts.iter().map(NewMedia::cost).sum::<u64>()
    }

    /// Checks names and limits.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] with what is wrong.
    pub fn check(&self) -> Result<()> {
        self.check_at(0)
    }

    fn check_at(&self, depth: usize) -> Result<()> {
        if !is_word(&self.kind) || !(self.format.is_empty() || is_word(&self.format)) {
            let message = format!("media of kind {:?} and format {:?}: no such words", self.kind, self.format);
            return Err(Error::invalid(message));
        }
        if let Some((name, _)) = self.companions.iter().find(|(name, _)| !name.split('.').all(is_word)) {
            return Err(Error::invalid(format!("media file {name:?}: not a name of lower-case words with dots")));
        }
        if depth > DEPTH_MAX || self.parts.len() > MEDIA_PARTS_MAX {
            let message = format!("{} of over {MEDIA_PARTS_MAX} media, or nested over {DEPTH_MAX} deep", self.kind);
            return Err(Error::invalid(message));
        }
        self.parts.iter().try_for_each(|part| part.check_at(depth + 1))
    }
}

/// The kind of what holds several media in one point.
pub(crate) const PANEL: &str = "panel";

/// Returns true for what kinds, formats and parts of file names may be: 1 to 32 of `a-z`, `0-9`, `-`, `_`.
fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=32).contains(&text.len()) && text.bytes().all(fits)
}
