//! Signatures of a device: Ed25519 (RFC 8032), over a label and what is signed. docs/FORMAT.md, "Receipts".

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};

use crate::error::{FormatError, Result};
use crate::secret::Secret;

/// What a device signs with.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Makes the key of a secret, which is its seed.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(secret.expose()))
    }

    /// Returns the public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs `message` for one purpose, which `label` names.
    #[must_use]
    pub fn sign(&self, label: &str, message: &[u8]) -> [u8; 64] {
        self.0.sign(&labelled(label, message)).to_bytes()
    }
}

/// Checks a signature.
///
/// # Errors
/// [`FormatError::Damaged`] if it is not that of this key, label and message; [`FormatError::Malformed`] if the key is none.
pub fn verify(public: &[u8; 32], label: &str, message: &[u8], signature: &[u8; 64]) -> Result<()> {
    let key = VerifyingKey::from_bytes(public)
        .map_err(|_| FormatError::Malformed { what: "public key", reason: "not a point of the curve" })?;
    let signature = Signature::from_bytes(signature);
    key.verify_strict(&labelled(label, message), &signature).map_err(|_| FormatError::Damaged { what: "signature" })
}

fn labelled(label: &str, message: &[u8]) -> Vec<u8> {
    [label.as_bytes(), b"\n", message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_key_label_and_message_alone() {
        let key = SigningKey::new(&Secret::new([7; 32]));
        let signature = key.sign("receipt", b"gone");
        assert_eq!(verify(&key.public(), "receipt", b"gone", &signature), Ok(()));
        let other = SigningKey::new(&Secret::new([8; 32])).public();
        let mut flipped = signature;
        flipped[40] ^= 1;
        for (public, label, message, signature) in [
            (&other, "receipt", &b"gone"[..], &signature),
            (&key.public(), "head", b"gone", &signature),
            (&key.public(), "receipt", b"kept", &signature),
            (&key.public(), "receipt", b"gone", &flipped),
        ] {
            assert_eq!(verify(public, label, message, signature), Err(FormatError::Damaged { what: "signature" }));
        }
    }
}
