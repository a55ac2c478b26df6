//! The one error of the store: a kind for programs, a message for people, the cause.

use std::fmt;
use std::path::Path;

use runcellar_format::FormatError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, as programs act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument cannot be used.
    InvalidArgument,
    /// The workspace, run, metric or file is not there.
    NotFound,
    /// Two things have the name.
    Ambiguous,
    /// The thing is there already.
    Exists,
    /// No key or passphrase at hand opens the workspace, or it belongs to somebody else.
    Locked,
    /// Bytes were changed, moved, lost or replaced by older ones.
    Damaged,
    /// A later version of runcellar wrote it.
    NewerFormat,
    /// A filter or sort key is not understood.
    Query,
    /// Another process holds the database for too long; a retry can help.
    Busy,
    /// The place cannot be written, or has no space left.
    ReadOnly,
    /// The run is finished, or another state forbids the call.
    State,
    /// The user did not agree to it.
    Consent,
    /// The content lies on a remote alone, and nobody could fetch it.
    Evicted,
    /// The operating system refused; the cause says what.
    Io,
}

/// An error of the store.
#[derive(Debug)]
#[non_exhaustive]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    column: Option<usize>,
    cause: Option<Cause>,
}

const _: () = assert!(size_of::<Error>() == 8, "errors stay small");

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), column: None, cause: None }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Damaged, message)
    }

    pub(crate) fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    pub(crate) fn query(column: usize, message: impl Into<String>) -> Self {
        let mut error = Error::new(ErrorKind::Query, message);
        error.0.column = Some(column);
        error
    }

    /// Makes the error of a failed operation on `path`.
    pub(crate) fn io(doing: &str, path: &Path, cause: std::io::Error) -> Self {
        Error::new(io_kind(&cause), format!("{doing} {}: {cause}", path.display())).with_cause(cause)
    }

    /// Makes the error of bytes that `noun` (run, block, path) did not give.
    pub(crate) fn format(noun: impl fmt::Display, cause: FormatError) -> Self {
        let kind = match &cause {
            FormatError::WrongKey { .. } => ErrorKind::Locked,
            cause if cause.is_newer() => ErrorKind::NewerFormat,
            FormatError::Limit { .. } => ErrorKind::InvalidArgument,
            _ => ErrorKind::Damaged,
        };
        Error::new(kind, format!("{noun}: {cause}")).with_cause(cause)
    }

    /// As [`Error::format`], of a file that was read: a number over its limit is nobody's argument, but damage.
    pub(crate) fn unreadable(noun: impl fmt::Display, cause: FormatError) -> Self {
        match cause {
            FormatError::Limit { .. } => Error::damaged(format!("{noun}: {cause}")).with_cause(cause),
            cause => Error::format(noun, cause),
        }
    }

    /// Names the thing that an error is about, before its message.
    pub(crate) fn of(mut self, noun: impl fmt::Display) -> Self {
        self.0.message = format!("{noun}: {}", self.0.message);
        self
    }

    /// Names the thing whose content is not here, if that is what an error is about.
    pub(crate) fn of_evicted(self, noun: impl fmt::Display) -> Self {
        if self.kind() == ErrorKind::Evicted { self.of(noun) } else { self }
    }

    /// Returns the kind, for programs.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the 1-based column in a filter where it stops being understood.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.0.column
    }

    /// Returns true if doing the same again later can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind() == ErrorKind::Busy
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| -> &(dyn std::error::Error + 'static) { cause.as_ref() })
    }
}

impl From<crate::query::filter::FilterError> for Error {
    fn from(error: crate::query::filter::FilterError) -> Self {
        Error::query(error.column, error.to_string())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let kind = match error.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => ErrorKind::Busy,
            Some(Code::ReadOnly | Code::DiskFull | Code::PermissionDenied) => ErrorKind::ReadOnly,
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => ErrorKind::Damaged,
            _ => ErrorKind::Io,
        };
        let message = match kind {
            ErrorKind::Busy => "cellar.db: another process holds the write lock".to_owned(),
            _ => format!("cellar.db: {error}"),
        };
        Error::new(kind, message).with_cause(error)
    }
}

fn io_kind(cause: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match cause.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::StorageFull | Io::QuotaExceeded => ErrorKind::ReadOnly,
        _ => ErrorKind::Io,
    }
}
