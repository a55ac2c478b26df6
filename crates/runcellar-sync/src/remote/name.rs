//! Names of objects: short relative paths that every file system and server takes as they are.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// The longest name, in bytes: with a prefix of as many it stays below what S3 and file systems allow.
pub const NAME_BYTES_MAX: usize = 255;
/// The most segments of a name, and so how deep a walk over a folder goes.
pub const NAME_SEGMENTS_MAX: usize = 8;

/// The name of an object on a remote: segments of `a-z`, `0-9`, `.`, `_`, `-`, joined by `/`.
///
/// A segment begins and ends with a letter or digit, so none is hidden, climbs, or is refused by another system; and no
/// name differs from another by case alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// Takes a name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is not as names are.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if name.len() <= NAME_BYTES_MAX
            && name.split('/').count() <= NAME_SEGMENTS_MAX
            && name.split('/').all(is_segment)
        {
            Ok(ObjectName(name))
        } else {
            Err(Error::new(ErrorKind::InvalidArgument, format!("no name of an object: {name:?}")))
        }
    }

    /// Returns the name of an object below this one.
    ///
    /// # Errors
    /// Those of [`ObjectName::new`].
    pub fn join(&self, rest: &str) -> Result<Self> {
        ObjectName::new(format!("{}/{rest}", self.0))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if this stands below `folder`; everything stands below none.
    #[must_use]
    pub fn is_below(&self, folder: Option<&ObjectName>) -> bool {
        folder.is_none_or(|folder| self.0.strip_prefix(&folder.0).is_some_and(|rest| rest.starts_with('/')))
    }
}

fn is_segment(segment: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = segment.as_bytes();
    let ends = bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain);
    ends && bytes.iter().all(|byte| plain(byte) || b"._-".contains(byte))
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        ObjectName::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_safe_everywhere_are_names() {
        for good in ["a", "0", "devices/3fk2/00000001.seg", "packs/ab/ab-cd_ef.pack", "a/b/c/d/e/f/g/h"] {
            assert_eq!(ObjectName::new(good).expect("good").as_str(), good);
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            ".a",
            "a.",
            "-a",
            "_a",
            "a/.tmp",
            "A",
            "a b",
            "a:b",
            "a\\b",
            "a\0",
            "\u{e9}",
            "a%2f",
            "a (conflicted copy)",
            "head.sync-conflict-20261121-101500-ABCDEFG",
            "a/b/c/d/e/f/g/h/i",
            &long,
        ] {
            assert_eq!(ObjectName::new(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn what_stands_below_a_folder_is_told_by_whole_segments() {
        let name = |name: &str| ObjectName::new(name).expect("good");
        assert!(name("devices/ab/1").is_below(None));
        assert!(name("devices/ab/1").is_below(Some(&name("devices/ab"))));
        assert!(!name("devices/abc/1").is_below(Some(&name("devices/ab"))));
        assert!(!name("devices/ab").is_below(Some(&name("devices/ab"))));
    }
}
