//! What differs between two versions.

use runcellar_format::record::Content;

use super::ArtifactVersion;
use super::entries::{Entry, Whole, WholeEntries};
use crate::blob::path_order;
use crate::{Error, Result, Workspace};

/// What differs between two versions, by path. Contents are compared by the ids of their chunks; nothing is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionDiff {
    /// What only the second has.
    pub added: Vec<Entry>,
    /// What only the first has.
    pub removed: Vec<Entry>,
    /// What both have, and not alike.
    pub changed: Vec<Changed>,
    /// How many entries are alike.
    pub unchanged: u64,
}

/// A path that two versions have, and not alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What the first has there.
    pub before: Entry,
    /// What the second has there.
    pub after: Entry,
}

impl Workspace {
    /// Compares two versions of a project's artifacts.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] if they are of two projects: equal contents have different ids there. If a
    /// manifest cannot be read.
    pub fn diff_versions(&self, before: &ArtifactVersion, after: &ArtifactVersion) -> Result<VersionDiff> {
        if before.content_project != after.content_project {
            let (before, after) = (before.full_name(), after.full_name());
            return Err(Error::invalid(format!("{before} and {after}: versions of two projects cannot be compared")));
        }
        let mut diff = VersionDiff::default();
        let [mut left, mut right] = [before, after].map(|version| WholeEntries(version.manifest().peekable()));
        let (mut first, mut second) = (left.next().transpose()?, right.next().transpose()?);
        loop {
            let order = match (&first, &second) {
                (None, None) => return Ok(diff),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(first), Some(second)) => path_order(&first.entry.path, &second.entry.path),
            };
            match (&first, &second) {
                (Some(first), _) if order.is_lt() => diff.removed.push(Entry::of(&first.entry)),
                (_, Some(second)) if order.is_gt() => diff.added.push(Entry::of(&second.entry)),
                (Some(first), Some(second)) if is_alike(first, second) => diff.unchanged += 1,
                (Some(first), Some(second)) => {
                    let (before, after) = (Entry::of(&first.entry), Entry::of(&second.entry));
                    diff.changed.push(Changed { before, after });
                }
                _ => {}
            }
            if order.is_le() {
                first = left.next().transpose()?;
            }
            if order.is_ge() {
                second = right.next().transpose()?;
            }
        }
    }
}

fn is_alike(first: &Whole, second: &Whole) -> bool {
    match (&first.entry.content, &second.entry.content) {
        // Not compared: in which packs the chunks are, and what file it was read from.
        (Content::File(left), Content::File(right)) => {
            (left.size, left.executable) == (right.size, right.executable) && first.chunks == second.chunks
        }
        (left, right) => left == right,
    }
}
