//! Key pairs and sealing to a public half: HPKE (RFC 9180), base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305.
//!
//! A slot's pair is derived from its secret and never stored; the ingest pair's private half is a key of the key
//! table. docs/FORMAT.md, "Key pairs".

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};

use crate::error::{FormatError, Result};
use crate::secret::Secret;

/// The only pair suite of version 1; the byte leaves room for a hybrid with a post-quantum KEM.
pub const PAIR_SUITE: u8 = 1;
/// Bytes that sealing to a public half adds: the encapsulated key and the tag.
pub const SEAL_BYTES: usize = 32 + 16;

type Kem = X25519HkdfSha256;
type Private = <Kem as hpke::Kem>::PrivateKey;
type Public = <Kem as hpke::Kem>::PublicKey;

/// The public half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicHalf(pub [u8; 32]);

/// A key pair whose private half is derived from a secret.
pub struct Pair {
    private: Private,
    public: PublicHalf,
}

impl Pair {
    /// Derives the pair of `secret` for the owner named by `salt` (a slot id, or a key id).
    #[must_use]
    pub fn derive(secret: &Secret, salt: &[u8; 16]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("runcellar 1 pair");
        hasher.update(secret.expose()).update(salt);
        let bytes = zeroize::Zeroizing::new(*hasher.finalize().as_bytes());
        let private = Private::from_bytes(bytes.as_slice()).expect("any 32 bytes are an X25519 private key");
        let mut public = [0; 32];
        public.copy_from_slice(Kem::sk_to_pk(&private).to_bytes().as_slice());
        Pair { private, public: PublicHalf(public) }
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> PublicHalf {
        self.public
    }

    /// Opens what [`PublicHalf::seal`] made for this pair under the same `label` and for the same place.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] if it was changed or sealed to another pair, [`FormatError::Truncated`].
    pub fn open(&self, what: &'static str, label: &[u8], place: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let Some((encapsulated, ciphertext)) = sealed.split_at_checked(32) else {
            return Err(FormatError::Truncated { what, needed: 32 - sealed.len() });
        };
        let damaged = |_| FormatError::Damaged { what };
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(damaged)?;
        let mut context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            &[label, place].concat(),
        )
        .map_err(damaged)?;
        context.open(ciphertext, &[]).map_err(damaged)
    }
}

impl PublicHalf {
    /// Seals `plain` so that only the private half opens it, under the same `label` and for the same `place`, which
    /// is of fixed width. `ephemeral` must be fresh random bytes.
    ///
    /// Both stand in HPKE's info. It would be the same to have the place in the associated data of the one message, but
    /// some libraries' single-shot HPKE takes none.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if this is not the public half of any pair.
    pub fn seal(
        &self,
        what: &'static str,
        label: &[u8],
        place: &[u8],
        plain: &[u8],
        ephemeral: [u8; 32],
    ) -> Result<Vec<u8>> {
        let malformed = |_| FormatError::Malformed { what, reason: "not an X25519 public key" };
        let public = Public::from_bytes(&self.0).map_err(malformed)?;
        let mut source = GivenRandom(ephemeral);
        let (encapsulated, mut context) = hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &public,
            &[label, place].concat(),
            &mut source,
        )
        .map_err(malformed)?;
        let mut out = encapsulated.to_bytes().to_vec();
        out.extend(context.seal(plain, &[]).map_err(malformed)?);
        Ok(out)
    }
}

/// Hands the caller's random bytes to HPKE, which draws its ephemeral key in one call: this crate has no
/// randomness of its own. Later draws are BLAKE3 of the earlier, so that no draw repeats.
struct GivenRandom([u8; 32]);

impl hpke::rand_core::TryRng for GivenRandom {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
        let mut out = [0; 4];
        self.try_fill_bytes(&mut out)?;
        Ok(u32::from_le_bytes(out))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
        let mut out = [0; 8];
        self.try_fill_bytes(&mut out)?;
        Ok(u64::from_le_bytes(out))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> std::result::Result<(), Self::Error> {
        for part in out.chunks_mut(32) {
            part.copy_from_slice(&self.0[..part.len()]);
            self.0 = *blake3::keyed_hash(&self.0, b"next").as_bytes();
        }
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for GivenRandom {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_private_half_opens() {
        let pair = Pair::derive(&Secret::new([1; 32]), &[2; 16]);
        let sealed = pair.public().seal("slot", b"info", b"ad", b"epoch key", [3; 32]).expect("seals");
        assert_eq!(sealed.len(), 9 + SEAL_BYTES);
        assert_eq!(pair.open("slot", b"info", b"ad", &sealed), Ok(b"epoch key".to_vec()));
        let other = Pair::derive(&Secret::new([1; 32]), &[3; 16]);
        assert!(other.open("slot", b"info", b"ad", &sealed).is_err());
        assert!(pair.open("slot", b"info", b"da", &sealed).is_err());
        assert!(pair.open("slot", b"other", b"ad", &sealed).is_err());
        for len in 0..sealed.len() {
            assert!(pair.open("slot", b"info", b"ad", &sealed[..len]).is_err());
        }
        assert!(PublicHalf([0; 32]).seal("slot", b"", b"", b"x", [3; 32]).is_err());
    }
}
