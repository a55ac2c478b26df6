//! Secret keys: wiped on drop, without `Debug`, `Clone` or `Display`.

use zeroize::Zeroize as _;

/// A 32-byte secret of one of the kinds named in docs/FORMAT.md, "Keys".
pub struct Secret(Room);

enum Room {
    Here([u8; 32]),
    Lent {
        /// Taken when it is given back.
        cell: Option<&'static mut [u8; 32]>,
        give_back: fn(&'static mut [u8; 32]),
    },
}

impl Secret {
    /// Takes over 32 secret bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Secret(Room::Here(bytes))
    }

    /// Copies 32 secret bytes out of a slice; `None` for another length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Secret::new)
    }

    /// Moves the secret into memory of the caller's choice, such as is kept out of swap and core dumps. Wiped, that is
    /// given back when the secret is dropped.
    #[must_use]
    pub fn moved_to(self, cell: &'static mut [u8; 32], give_back: fn(&'static mut [u8; 32])) -> Self {
        *cell = *self.expose();
        Secret(Room::Lent { cell: Some(cell), give_back })
    }

    /// Returns the bytes, for a cipher or a wrap only.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        const GIVEN_BACK: &[u8; 32] = &[0; 32];
        match &self.0 {
            Room::Here(bytes) => bytes,
            // None only while it is dropped.
            Room::Lent { cell, .. } => cell.as_deref().unwrap_or(GIVEN_BACK),
        }
    }

    /// Makes a second copy, each wiped on its own drop. Explicit, since `Clone` would hide it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Secret::new(*self.expose())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        match &mut self.0 {
            Room::Here(bytes) => bytes.zeroize(),
            Room::Lent { cell, give_back } => {
                if let Some(cell) = cell.take() {
                    cell.zeroize();
                    give_back(cell);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_memory_comes_back_wiped() {
        static BACK: std::sync::Mutex<Option<[u8; 32]>> = std::sync::Mutex::new(None);
        let give_back = |cell: &'static mut [u8; 32]| *BACK.lock().expect("unpoisoned") = Some(*cell);
        let secret = Secret::new([7; 32]).moved_to(Box::leak(Box::new([1; 32])), give_back);
        assert_eq!((secret.expose(), secret.duplicate().expose()), (&[7; 32], &[7; 32]));
        assert_eq!(*BACK.lock().expect("unpoisoned"), None);
        drop(secret);
        assert_eq!(*BACK.lock().expect("unpoisoned"), Some([0; 32]));
    }
}
