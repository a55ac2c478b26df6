//! What was removed for good.

use bincode::{Decode, Encode};

use super::Body;

/// Something and its keys are gone: what was sealed under these is no damage, and cannot be read again.
///
/// It names ids alone, never names. docs/FORMAT.md, "Tombstones".
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Tombstone {
    /// Hybrid clock of the removal.
    pub clock: u64,
    /// Ids of the keys that were dropped.
    pub keys: Vec<[u8; 16]>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

/// Field of [`Tombstone::extra`]: the purposes of the keys that were dropped, a byte each, once, rising.
const PURPOSES_FIELD: u16 = 1;
/// Field of [`Tombstone::extra`], without bytes: what was removed is a slot of `keyslots`.
const SLOT_FIELD: u16 = 2;

impl Tombstone {
    /// Returns whether a key of this purpose was dropped, as far as the tombstone tells.
    #[must_use]
    pub fn names_purpose(&self, purpose: u8) -> bool {
        self.purposes().contains(&purpose)
    }

    /// Notes that a key of this purpose was dropped.
    pub fn add_purpose(&mut self, purpose: u8) {
        let mut purposes = self.purposes().to_vec();
        if let Err(place) = purposes.binary_search(&purpose) {
            purposes.insert(place, purpose);
        }
        self.extra.retain(|(field, _)| *field != PURPOSES_FIELD);
        self.extra.push((PURPOSES_FIELD, purposes));
        self.extra.sort_by_key(|(field, _)| *field);
    }

    /// Returns whether all of a run is gone, and not its code or media alone. Tombstones without purposes are of old versions, in
    /// which nothing was erased in part.
    #[must_use]
    pub fn is_whole(&self, purpose: u8) -> bool {
        self.purposes().is_empty() || self.names_purpose(purpose)
    }

    /// Returns whether it is a slot that was removed.
    #[must_use]
    pub fn is_of_slot(&self) -> bool {
        self.extra.iter().any(|(field, _)| *field == SLOT_FIELD)
    }

    /// Says that it is a slot that was removed.
    pub fn set_of_slot(&mut self) {
        self.extra.retain(|(field, _)| *field != SLOT_FIELD);
        self.extra.push((SLOT_FIELD, Vec::new()));
        self.extra.sort_by_key(|(field, _)| *field);
    }

    /// Returns the purposes of the keys that were dropped.
    #[must_use]
    pub fn purposes(&self) -> &[u8] {
        let found = self.extra.iter().find(|(field, _)| *field == PURPOSES_FIELD);
        found.map_or(&[], |(_, purposes)| purposes)
    }
}

impl Body for Tombstone {
    const NAME: &'static str = "tombstone";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_told_once_and_other_fields_stay() {
        let mut tombstone = Tombstone { extra: vec![(7, vec![1])], ..Tombstone::default() };
        assert!(!tombstone.names_purpose(1));
        [9, 4, 9].into_iter().for_each(|purpose| tombstone.add_purpose(purpose));
        assert_eq!(tombstone.extra, [(PURPOSES_FIELD, vec![4, 9]), (7, vec![1])]);
        tombstone.set_of_slot();
        tombstone.set_of_slot();
        assert_eq!(tombstone.extra, [(PURPOSES_FIELD, vec![4, 9]), (SLOT_FIELD, vec![]), (7, vec![1])]);
        assert!(tombstone.is_of_slot() && tombstone.is_whole(4) && !tombstone.is_whole(1));
        assert!(!Tombstone::default().is_of_slot() && Tombstone::default().is_whole(1));
        assert!(tombstone.names_purpose(4) && tombstone.names_purpose(9) && !tombstone.names_purpose(1));
    }
}
