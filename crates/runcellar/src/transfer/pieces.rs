//! Pieces that come in, and their order.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};

use runcellar_format::FormatError;
use runcellar_format::record::{Body, Content, MEDIA_FIELD, Manifest, ManifestEntry, Media};

use super::FileClass;
use crate::blob::{Source, Stream, What, check_path};
use crate::{Error, ErrorKind, Result};

/// A piece that comes in: the counterpart of [`super::Departing`].
pub enum Arriving {
    /// An artifact version begins.
    Version(Vec<u8>),
    /// A run begins.
    Run(Vec<u8>),
    /// Files follow, as this lists them.
    Files(FileClass, Vec<u8>),
    /// The next of these.
    Entry {
        /// What it is: its path, and of a file its size, are those that the list says, or it is refused.
        entry: Box<ManifestEntry>,
        /// Its content; it is read before the next piece is asked for, if at all.
        content: Arc<Mutex<dyn Read + Send>>,
    },
    /// The run's record.
    Record(Vec<u8>),
    /// Names of series.
    Names(Vec<u8>),
    /// A row group.
    Group(Vec<u8>),
}

/// Where pieces come from, in order.
pub trait Pieces {
    /// Returns the next piece; none at the end. What is between pieces is passed over.
    ///
    /// `listed` is the entry that is expected where files have been listed.
    ///
    /// # Errors
    /// If there is none that can be read.
    fn next(&mut self, listed: Option<&ManifestEntry>) -> std::io::Result<Option<Arriving>>;
}

/// Pieces with the next one at hand.
pub(super) struct Queue<'a> {
    pieces: &'a mut dyn Pieces,
    next: Option<Arriving>,
}

/// Makes the error of pieces that no writer gives.
pub(super) fn refused(what: impl std::fmt::Display) -> Error {
    Error::damaged(what.to_string())
}

/// Reads a body.
pub(super) fn opened<T: Body>(body: &[u8]) -> Result<T> {
    // The cause names what it is.
    T::from_body(body)
        .map_err(|cause| if cause.is_newer() { Error::format("what comes in", cause) } else { refused(cause) })
}

/// Makes the error of bytes that no writer gives: unlike in a workspace, a limit that is passed is no slip of the caller's.
pub(super) fn malformed(noun: impl std::fmt::Display, cause: FormatError) -> Error {
    if cause.is_newer() { Error::format(noun, cause) } else { refused(format_args!("{noun}: {cause}")) }
}

fn read_failed(cause: std::io::Error) -> Error {
    let kind = if cause.kind() == std::io::ErrorKind::InvalidData { ErrorKind::Damaged } else { ErrorKind::Io };
    Error::new(kind, cause.to_string()).with_cause(cause)
}

impl<'a> Queue<'a> {
    pub(super) fn new(pieces: &'a mut dyn Pieces) -> Queue<'a> {
        Queue { pieces, next: None }
    }

    fn peek(&mut self) -> Result<Option<&Arriving>> {
        if self.next.is_none() {
            self.next = self.pieces.next(None).map_err(read_failed)?;
        }
        Ok(self.next.as_ref())
    }

    /// Takes the next piece if it fits.
    pub(super) fn take<T>(
        &mut self,
        fits: impl FnOnce(Arriving) -> std::result::Result<T, Arriving>,
    ) -> Result<Option<T>> {
        self.peek()?;
        let Some(piece) = self.next.take() else { return Ok(None) };
        match fits(piece) {
            Ok(taken) => Ok(Some(taken)),
            Err(piece) => {
                self.next = Some(piece);
                Ok(None)
            }
        }
    }

    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.peek()?.is_none())
    }

    pub(super) fn names(&mut self) -> Result<Option<Vec<u8>>> {
        self.take(|piece| match piece {
            Arriving::Names(body) => Ok(body),
            other => Err(other),
        })
    }

    pub(super) fn group(&mut self) -> Result<Option<Vec<u8>>> {
        self.take(|piece| match piece {
            Arriving::Group(bytes) => Ok(bytes),
            other => Err(other),
        })
    }

    pub(super) fn record(&mut self) -> Result<Option<Vec<u8>>> {
        self.take(|piece| match piece {
            Arriving::Record(body) => Ok(body),
            other => Err(other),
        })
    }

    /// Returns the files of a class that come next.
    pub(super) fn files<'q>(&'q mut self, class: FileClass) -> FilesIn<'q, 'a> {
        FilesIn { queue: self, class, listed: VecDeque::new(), last: None }
    }

    fn content_of(&mut self, listed: &ManifestEntry) -> Result<Arc<Mutex<dyn Read + Send>>> {
        let path = listed.path.escape_ascii();
        let missing = || refused(format_args!("{path}: is listed, and not what comes next"));
        if self.next.is_some() {
            return Err(missing());
        }
        match self.pieces.next(Some(listed)).map_err(read_failed)? {
            Some(Arriving::Entry { entry, content }) if entry.path == listed.path => Ok(content),
            _ => Err(missing()),
        }
    }
}

/// Files that come in, in the order of manifests.
pub(super) struct FilesIn<'q, 'a> {
    queue: &'q mut Queue<'a>,
    class: FileClass,
    listed: VecDeque<ManifestEntry>,
    last: Option<Vec<u8>>,
}

impl FilesIn<'_, '_> {
    /// Returns true if there are any.
    pub(super) fn are_there(&mut self) -> Result<bool> {
        let class = self.class;
        Ok(matches!(self.queue.peek()?, Some(Arriving::Files(of, _)) if *of == class))
    }

    fn one(&mut self) -> Result<Option<Source>> {
        while self.listed.is_empty() {
            let class = self.class;
            let list = self.queue.take(|piece| match piece {
                Arriving::Files(of, body) if of == class => Ok(body),
                other => Err(other),
            })?;
            let Some(list) = list else { return Ok(None) };
            self.listed = opened::<Manifest>(&list)?.entries.into();
        }
        let Some(entry) = self.listed.pop_front() else { return Ok(None) };
        check_path(&entry.path).map_err(refused)?;
        let is_later = |last: &Vec<u8>| crate::blob::path_order(last, &entry.path) == std::cmp::Ordering::Less;
        if !self.last.as_ref().is_none_or(is_later) {
            return Err(refused(format_args!("{}: stands in no order of paths", entry.path.escape_ascii())));
        }
        self.last = Some(entry.path.clone());
        let what = match &entry.content {
            Content::File(file) => {
                if !file.chunks.is_empty() || file.offset != 0 {
                    return Err(refused(format_args!("{}: is listed with chunks", entry.path.escape_ascii())));
                }
                let content = self.queue.content_of(&entry)?;
                What::Stream(Stream { content, size: file.size, executable: file.executable })
            }
            Content::Reference(reference) if self.class == FileClass::Artifact => What::Reference(reference.clone()),
            other if self.class == FileClass::Artifact => {
                self.queue.content_of(&entry)?;
                match other {
                    Content::Link(target) => What::Link(target.clone()),
                    _ => What::Directory,
                }
            }
            _ => return Err(refused(format_args!("{}: not a file", entry.path.escape_ascii()))),
        };
        Ok(Some(Source { extra: extra_of(self.class, &entry)?, path: entry.path, what }))
    }
}

impl Iterator for FilesIn<'_, '_> {
    type Item = Result<Source>;

    fn next(&mut self) -> Option<Result<Source>> {
        self.one().transpose()
    }
}

/// Returns what is said of a file besides, once it is known to be readable.
fn extra_of(class: FileClass, entry: &ManifestEntry) -> Result<Vec<(u16, Vec<u8>)>> {
    let path = entry.path.escape_ascii();
    if class == FileClass::Media {
        let checked = crate::media::checked_path(&entry.path);
        let (_, name) = checked.ok_or_else(|| refused(format_args!("{path}: not a path of media")))?;
        if (name == crate::media::CONTENT) == entry.extra.is_empty() {
            return Err(refused(format_args!("{path}: what it is is not said, or said twice")));
        }
    }
    for (field, bytes) in &entry.extra {
        if (class, *field) != (FileClass::Media, MEDIA_FIELD) {
            return Err(refused(format_args!("{path}: field {field} is not known")));
        }
        let media = opened::<Media>(bytes)?;
        media.metadata.json().map_err(|cause| malformed(&path, cause))?;
    }
    Ok(entry.extra.clone())
}
