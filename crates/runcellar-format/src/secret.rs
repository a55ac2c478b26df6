//! Secret keys: wiped on drop, without `Debug`, `Clone` or `Display`.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A 32-byte secret of one of the kinds named in docs/FORMAT.md, "Keys".
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes over 32 secret bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Secret(bytes)
    }

    /// Copies 32 secret bytes out of a slice; `None` for another length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Secret)
    }

    /// Returns the bytes, for a cipher or a wrap only.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Makes a second copy, each wiped on its own drop. Explicit, since `Clone` would hide it.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Secret(self.0)
    }
}
