//! Errors of the format crate: what was wrong with which bytes.

/// A result of this crate.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// Why bytes were refused, or could not be made.
///
/// The variants are few on purpose: callers add the noun (run, block, slot, path), and act on the difference
/// between damage, a wrong secret and a format from the future.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end before the named field does.
    #[error("{what}: ends early, {needed} more bytes expected")]
    Truncated {
        /// The field or structure that was being read.
        what: &'static str,
        /// Bytes that were missing.
        needed: usize,
    },
    /// A field holds a value that no writer makes.
    #[error("{what}: {reason}")]
    Malformed {
        /// The field or structure.
        what: &'static str,
        /// What was expected and found.
        reason: &'static str,
    },
    /// A row of a journal has a shape that was not said before it: the frame that said it is damaged.
    #[error("{what}: a row of an unknown shape")]
    UnknownShape {
        /// The structure.
        what: &'static str,
    },
    /// A length, count or depth passes the limit of its kind.
    #[error("{what}: {found} is over the limit of {limit}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The count found.
        found: u64,
        /// The most that is allowed.
        limit: u64,
    },
    /// The version byte is above what this build reads.
    #[error("{what}: version {found} is newer than this build reads ({newest})")]
    NewerVersion {
        /// The structure.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The newest version that this build reads.
        newest: u32,
    },
    /// The cipher suite is unknown.
    #[error("{what}: suite {found} is unknown")]
    UnknownSuite {
        /// The structure.
        what: &'static str,
        /// The suite byte found.
        found: u8,
    },
    /// The key that was tried is not the one that sealed the bytes.
    #[error("{what}: sealed under another key")]
    WrongKey {
        /// The structure.
        what: &'static str,
    },
    /// Authentication failed: the bytes were changed, or moved from where they belong.
    #[error("{what}: authentication failed: changed, or moved from its place")]
    Damaged {
        /// The structure.
        what: &'static str,
    },
}

impl FormatError {
    /// Returns true where the bytes come from a later version of runcellar rather than from damage.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(self, FormatError::NewerVersion { .. } | FormatError::UnknownSuite { .. })
    }
}

const _: () = assert!(size_of::<FormatError>() <= 40, "errors stay small");
