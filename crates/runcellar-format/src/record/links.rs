//! How the links of a collection came to be and which were taken away, so that these do not come back from a copy that still
//! has them.

use bincode::{Decode, Encode};

use super::{Artifact, Body, VersionRef, extra_body, set_extra_body};
use crate::error::Result;

/// Field of [`Artifact::extra`] that holds [`Links`].
const LINKS_FIELD: u16 = 1;

/// A making of a link: the version that it leads to, and when it was made, microseconds UTC since 1970.
pub type Making = ([u8; 16], i64);

/// What is known of a collection's links besides [`Artifact::versions`]. A link stands as long as a making of it was not
/// taken away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Links {
    /// Makings of links that stand, besides those that are listed: devices may link a version before they know of each other.
    pub more: Vec<Making>,
    /// Makings that were taken away, with the number that the link had: no other link is given it.
    pub taken: Vec<VersionRef>,
}

impl Body for Links {
    const NAME: &'static str = "links";
}

impl VersionRef {
    /// Returns the making of a link.
    #[must_use]
    pub fn making(&self) -> Making {
        (self.version, self.time)
    }
}

impl Links {
    /// Reads what is known of a collection's links.
    ///
    /// # Errors
    /// As [`Body::from_body`].
    pub fn of(collection: &Artifact) -> Result<Links> {
        Ok(extra_body(&collection.extra, LINKS_FIELD)?.unwrap_or_default())
    }

    /// Notes it in the record.
    ///
    /// # Errors
    /// As [`Body::to_body`].
    pub fn note(mut self, collection: &mut Artifact) -> Result<()> {
        if self == Links::default() {
            collection.extra.retain(|(field, _)| *field != LINKS_FIELD);
            return Ok(());
        }
        self.more.sort_unstable();
        self.taken.sort_unstable_by_key(VersionRef::making);
        set_extra_body(&mut collection.extra, LINKS_FIELD, &self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makings_are_written_in_order_and_a_record_without_any_has_no_field() {
        let taken = |version, time, number| VersionRef { number, version: [version; 16], time };
        let mut collection = Artifact { extra: vec![(7, vec![1])], ..Artifact::default() };
        let links = Links { more: vec![([2; 16], 1), ([1; 16], 9)], taken: vec![taken(3, 5, 0), taken(3, -5, 1)] };
        links.note(&mut collection).expect("short");
        let bytes =
            [&[1, 0, 2][..], &[1; 16], &[18], &[2; 16], &[2, 2, 1], &[3; 16], &[9, 0], &[3; 16], &[10]].concat();
        assert_eq!(collection.extra, [(LINKS_FIELD, bytes), (7, vec![1])]);
        let links = Links::of(&collection).expect("reads");
        assert_eq!(links.more, [([1; 16], 9), ([2; 16], 1)]);
        assert_eq!(links.taken, [taken(3, -5, 1), taken(3, 5, 0)]);
        Links::default().note(&mut collection).expect("short");
        assert_eq!(collection.extra, [(7, vec![1])]);
        collection.extra = vec![(LINKS_FIELD, vec![1, 0, 9])];
        assert!(Links::of(&collection).is_err(), "cut short");
    }
}
