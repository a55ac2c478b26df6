//! 16-byte ids, random but for those of chunks and media, one type a kind, so that a run's id cannot stand where a key's is wanted.
//!
//! Ids that stand in clear are random (never time-ordered, which would tell when things were made). Text form:
//! 32 lower-case hexadecimal digits.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bincode::Encode, bincode::Decode)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The id of nothing: sixteen zero bytes, where a field does not apply.
            pub const NIL: $name = $name([0; 16]);

            /// Returns the bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Parses 32 lower-case hexadecimal digits; `None` for anything else.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                hex_16(text).map($name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}

ids! {
    /// One workspace, and all its copies.
    WorkspaceId;
    /// One way to unlock a workspace.
    SlotId;
    /// One generation of the root key.
    EpochId;
    /// One key of the key table.
    KeyId;
    /// A run, project, artifact or other owner of sealed records.
    ObjectId;
    /// One journal file.
    JournalId;
    /// One process that writes to one run; a forked child is another.
    WriterId;
    /// One installation that writes to a workspace.
    DeviceId;
    /// One history of a copy of a workspace; a copy that goes its own way draws another.
    LineageId;
    /// The content of one chunk, by a keyed hash.
    ChunkId;
    /// A media file of a run, by a keyed hash of what it is and says: with chunks' the one kind of id that is not random.
    MediaId;
}

fn hex_16(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    let mut out = [0; 16];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?;
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_textual_form() {
        let id = KeyId(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff");
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(KeyId::from_hex(&id.to_string()), Some(id));
        assert_eq!(KeyId::from_hex("000102030405060708090A0B0C0D0EFF"), None);
        assert_eq!(KeyId::from_hex("00"), None);
    }
}
