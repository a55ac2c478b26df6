//! The one error of sync: a kind for programs, a message for people that names remote and object, the cause.

use std::fmt;
use std::time::Duration;

use crate::remote::ObjectName;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong, as programs act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A URL or name cannot be used.
    InvalidArgument,
    /// No answer, or one that asks to come back later: the network, the server, a disk that was pulled out.
    Unreachable,
    /// The credentials are missing, wrong, or not enough for this; or the server is not the one that was meant.
    Refused,
    /// The bucket or folder is not there.
    NoSuchPlace,
    /// The place can be read and not written.
    ReadOnly,
    /// The disk or the quota is full.
    Full,
    /// An object may not be deleted yet: [`Error::locked_until_us`].
    ObjectLocked,
    /// The answer is not whole, or not one that the protocol has.
    Damaged,
    /// Something local failed: the file of a pack could not be read.
    Local,
    /// The remote said something else; the message has it.
    Other,
}

/// An error of sync.
#[derive(Debug)]
#[non_exhaustive]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    remote: Option<String>,
    object: Option<ObjectName>,
    locked_until_us: Option<i64>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

const _: () = assert!(size_of::<Error>() == 8, "errors stay small");

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        let (remote, object, locked_until_us, retry_after, cause) = (None, None, None, None, None);
        Error(Box::new(Inner { kind, message, remote, object, locked_until_us, retry_after, cause }))
    }

    /// Makes the error of an object that may not be deleted before a time; none if nobody knows when.
    pub(crate) fn object_locked(until_us: Option<i64>) -> Self {
        let mut error = Error::new(ErrorKind::ObjectLocked, "an object lock forbids to delete it");
        error.0.locked_until_us = until_us;
        error
    }

    /// Says when the server wants to be asked again.
    pub(crate) fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    pub(crate) fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Names the remote.
    pub(crate) fn at(mut self, remote: &str) -> Self {
        self.0.remote.get_or_insert_with(|| remote.to_owned());
        self
    }

    /// Names the object.
    pub(crate) fn of(mut self, object: &ObjectName) -> Self {
        self.0.object.get_or_insert_with(|| object.clone());
        self
    }

    /// Returns the kind, for programs.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the object that it is about, if it is about one.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectName> {
        self.0.object.as_ref()
    }

    /// Returns until when an object is locked, microseconds UTC since 1970, if the remote says so.
    #[must_use]
    pub fn locked_until_us(&self) -> Option<i64> {
        self.0.locked_until_us
    }

    /// Returns after how long the remote wants to be asked again, if it says so.
    #[must_use]
    pub fn asks_to_wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns true if doing the same again later can help without anybody doing something about it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unreachable | ErrorKind::Damaged)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { remote, object, message, .. } = &*self.0;
        if let Some(remote) = remote {
            write!(f, "remote {remote}: ")?;
        }
        if let Some(object) = object {
            write!(f, "object {object}: ")?;
        }
        f.write_str(message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| -> &(dyn std::error::Error + 'static) { cause.as_ref() })
    }
}
