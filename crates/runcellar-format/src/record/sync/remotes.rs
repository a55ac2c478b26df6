//! The remotes of a copy of a workspace, and what the user agreed to.

use bincode::{Decode, Encode};

use crate::record::{Body, Stamped};
use crate::seal::checksum;
use crate::sign::{SigningKey, verify};

/// `Settings.extra`: the remotes of this copy, a [`Remotes`].
pub const REMOTES_FIELD: u16 = 16;
/// `RemoteRecord.extra`: the terms document that a consent to the remote pins, a [`PinnedTerms`].
pub const TERMS_FIELD: u16 = 1;
/// `RemoteRecord.extra`: BLAKE3 of the URL from which the user agreed to read content, 32 bytes.
pub const READ_FIELD: u16 = 2;
/// The longest terms document, bytes: a contract of a hundred pages with its fonts is a tenth of that.
pub const TERMS_BYTES_MAX: usize = 8 << 20;

/// How a remote stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub enum RemoteState {
    /// Known, and never used.
    #[default]
    Added,
    /// The user consented.
    Enabled,
    /// The user consented once, and wants nothing sent now.
    Paused,
}

/// A place to which a workspace may publish.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct RemoteRecord {
    /// Random id: the name of its folder here.
    pub id: [u8; 16],
    /// The user's name for it.
    pub name: String,
    /// Where it is, without a secret.
    pub url: String,
    /// Classes that may go there: 0 metrics, 1 code, 2 media, 3 artifacts.
    pub classes: Vec<u8>,
    /// Projects that may go there; all if none is named.
    pub projects: Vec<String>,
    /// How it stands.
    pub state: Stamped<RemoteState>,
    /// The device that publishes below `prefix`.
    pub device: [u8; 16],
    /// Where this device publishes on it: random.
    pub prefix: [u8; 16],
    /// What the user consented to; none before.
    pub consent: Option<Consent>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

/// A consent of the user.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Consent {
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// The text that was shown.
    pub text: String,
    /// BLAKE3 of the text.
    pub hash: [u8; 32],
    /// The device's public key.
    pub public: [u8; 32],
    /// Its signature over the hash and the time.
    pub signature: Vec<u8>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Consent {
    const NAME: &'static str = "consent";
}

/// What a device signs of a consent.
const CONSENT_LABEL: &str = "runcellar 1 consent";

impl Consent {
    /// Makes the consent to a text, signed.
    #[must_use]
    pub fn sign(text: String, time: i64, key: &SigningKey) -> Consent {
        let hash = checksum(text.as_bytes());
        let signature = key.sign(CONSENT_LABEL, &signed(&hash, time)).to_vec();
        Consent { time, text, hash, public: key.public(), signature, extra: Vec::new() }
    }

    /// Returns whether the hash is that of the text, and the signature that of the key it names.
    #[must_use]
    pub fn holds(&self) -> bool {
        let signature = self.signature.as_slice().try_into();
        self.hash == checksum(self.text.as_bytes())
            && signature.is_ok_and(|signature| {
                verify(&self.public, CONSENT_LABEL, &signed(&self.hash, self.time), signature).is_ok()
            })
    }
}

fn signed(hash: &[u8; 32], time: i64) -> Vec<u8> {
    [&hash[..], &time.to_le_bytes()].concat()
}

/// The terms document that a consent to a remote pins: field [`TERMS_FIELD`] of the remote.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct PinnedTerms {
    /// Object id of the [`TermsDocument`].
    pub id: [u8; 16],
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for PinnedTerms {
    const NAME: &'static str = "pinned terms";
}

/// A document of the terms under which somebody stores what is sent, as the user gave it.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct TermsDocument {
    /// Id of the remote that it was given for.
    pub remote: [u8; 16],
    /// The name that the remote had.
    pub remote_name: String,
    /// Name of the file that it was read from.
    pub name: String,
    /// The date that the user said it has, microseconds UTC since 1970.
    pub date: Option<i64>,
    /// When it was given, microseconds UTC since 1970.
    pub added: i64,
    /// When the first consent that pins it was given; none before.
    pub agreed: Option<i64>,
    /// The document.
    pub bytes: Vec<u8>,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for TermsDocument {
    const NAME: &'static str = "terms document";
}

/// The remotes of a copy of a workspace.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct Remotes {
    /// All of them, in the order of their adding.
    pub all: Vec<RemoteRecord>,
}

impl Body for Remotes {
    const NAME: &'static str = "remotes";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn a_consent_holds_for_its_text_time_and_key_alone() {
        let consent = Consent::sign("to this".into(), 7, &SigningKey::new(&Secret::new([7; 32])));
        assert!(consent.holds());
        let other = SigningKey::new(&Secret::new([8; 32])).public();
        let cases = [
            Consent { text: "to that".into(), ..consent.clone() },
            Consent { text: "to that".into(), hash: checksum(b"to that"), ..consent.clone() },
            Consent { time: 8, ..consent.clone() },
            Consent { public: other, ..consent.clone() },
            Consent { public: [0xff; 32], ..consent.clone() },
            Consent { signature: Vec::new(), ..consent.clone() },
            Consent { signature: [&consent.signature[..], &[0]].concat(), ..consent },
        ];
        for (case, consent) in cases.into_iter().enumerate() {
            assert!(!consent.holds(), "case {case}");
        }
    }
}
