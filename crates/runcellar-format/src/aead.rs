//! ChaCha20-Poly1305 (RFC 8439), by one of two libraries that give the same bytes.
//!
//! `ring` is 1.5 to 5 times faster (feature `fast-aead`, on in shipped builds); `chacha20poly1305` is the
//! reference, always compiled, and a test compares the two. Keys are derived per object (see [`crate::seal`]), so a
//! nonce never meets the same key with another plaintext.

#[cfg(any(test, not(feature = "fast-aead")))]
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
#[cfg(any(test, not(feature = "fast-aead")))]
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};

/// Bytes of the authentication tag.
pub(crate) const TAG_BYTES: usize = 16;

/// A key ready for use, so that many frames under one key set up the cipher once.
pub(crate) struct Aead {
    #[cfg(feature = "fast-aead")]
    fast: ring::aead::LessSafeKey,
    #[cfg(not(feature = "fast-aead"))]
    reference: ChaCha20Poly1305,
}

impl Aead {
    #[cfg(feature = "fast-aead")]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, key)
            .expect("32 bytes are the length of a ChaCha20 key");
        Aead { fast: ring::aead::LessSafeKey::new(key) }
    }

    #[cfg(not(feature = "fast-aead"))]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Aead { reference: ChaCha20Poly1305::new(&Key::from(*key)) }
    }

    /// Encrypts `text` in place and returns the tag.
    pub(crate) fn seal(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        #[cfg(feature = "fast-aead")]
        {
            let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
            let tag = self
                .fast
                .seal_in_place_separate_tag(nonce, ring::aead::Aad::from(associated), text)
                .expect("the length is far below 256 GiB");
            let mut out = [0; TAG_BYTES];
            out.copy_from_slice(tag.as_ref());
            out
        }
        #[cfg(not(feature = "fast-aead"))]
        reference_seal(&self.reference, nonce, associated, text)
    }

    /// Decrypts `text` in place; false, with `text` unspecified, if the tag does not fit.
    #[must_use]
    pub(crate) fn open(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        #[cfg(feature = "fast-aead")]
        {
            let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
            self.fast
                .open_in_place_separate_tag(
                    nonce,
                    ring::aead::Aad::from(associated),
                    ring::aead::Tag::from(*tag),
                    text,
                    0..,
                )
                .is_ok()
        }
        #[cfg(not(feature = "fast-aead"))]
        reference_open(&self.reference, nonce, associated, text, tag)
    }
}

#[cfg(any(test, not(feature = "fast-aead")))]
fn reference_seal(cipher: &ChaCha20Poly1305, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; 16] {
    cipher
        .encrypt_inout_detached(&Nonce::from(nonce), associated, text.into())
        .expect("the length is far below 256 GiB")
        .into()
}

#[cfg(any(test, not(feature = "fast-aead")))]
fn reference_open(
    cipher: &ChaCha20Poly1305,
    nonce: [u8; 12],
    associated: &[u8],
    text: &mut [u8],
    tag: &[u8; 16],
) -> bool {
    cipher.decrypt_inout_detached(&Nonce::from(nonce), associated, text.into(), &Tag::from(*tag)).is_ok()
}

/// Seals and opens with the reference, whichever library is shipped.
#[cfg(test)]
pub(crate) struct Reference(ChaCha20Poly1305);

#[cfg(test)]
impl Reference {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Reference(ChaCha20Poly1305::new(&Key::from(*key)))
    }

    pub(crate) fn seal(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        reference_seal(&self.0, nonce, associated, text)
    }

    pub(crate) fn open(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        reference_open(&self.0, nonce, associated, text, tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ciphers_give_equal_bytes() {
        let key = [7; 32];
        let shipped = Aead::new(&key);
        let reference = Reference::new(&key);
        for len in [0_usize, 1, 15, 16, 63, 64, 65, 255, 1000, 70_000] {
            let plain: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let nonce = [len as u8; 12];
            let associated = &plain[..len.min(100)];
            let (mut left, mut right) = (plain.clone(), plain.clone());
            let tag = shipped.seal(nonce, associated, &mut left);
            assert_eq!(tag, reference.seal(nonce, associated, &mut right), "tag at {len}");
            assert_eq!(left, right, "ciphertext at {len}");
            assert!(shipped.open(nonce, associated, &mut right, &tag));
            assert_eq!(right, plain);
            assert!(reference.open(nonce, associated, &mut left, &tag));
            let mut wrong = tag;
            wrong[3] ^= 1;
            assert!(!shipped.open(nonce, associated, &mut left, &wrong));
        }
    }
}
