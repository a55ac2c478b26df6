//! Capsules: runs and artifacts in one encrypted file. docs/CAPSULE.md.
//!
//! `seal` is the age format, `sums` the digests, `writer` and `reader` the archive inside. What the pieces of the store mean, and how
//! they are taken in, is the store's (`runcellar::transfer`); what people read in a capsule is made by `verbs::export`.

pub(crate) mod reader;
pub(crate) mod seal;
mod sums;
pub(crate) mod writer;

use runcellar_format::MediaId;
use runcellar_format::record::{Body as _, MEDIA_FIELD, ManifestEntry, Media};

use runcellar::transfer::FileClass;

/// The version of capsules that this build writes, and the newest that it reads.
pub(crate) const VERSION: u64 = 1;
/// What `capsule.json` says that it is.
pub(crate) const FORMAT: &str = "runcellar capsule";
/// The first file.
pub(crate) const HEAD: &str = "capsule.json";
/// The directory of what is read back, beside what people read.
const EXACT: &str = "exact";
/// Characters of a path's component that is made of a name at most; file systems take 255 bytes.
const NAME_BYTES_MAX: usize = 150;

/// Makes a path's component of a name: what is not a letter or digit of ASCII, `-`, `_` or an inner `.` is written as
/// `%` and two hexadecimal digits, and a long name ends in a part of its hash.
pub(crate) fn component(name: &str) -> String {
    let mut out = String::new();
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if index > 0 => out.push('.'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out.len() > NAME_BYTES_MAX {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        out.truncate(NAME_BYTES_MAX);
        out.push_str(&format!("-{hash:016x}"));
    }
    out
}

/// Returns the path of a file below the directory of its run or version.
///
/// Media are called by the id that points refer to, so that their ending tells what opens them; other files keep their paths.
pub(crate) fn place_of(class: FileClass, entry: &ManifestEntry) -> Vec<u8> {
    let below = |folder: &str| [folder.as_bytes(), b"/", &entry.path].concat();
    match class {
        FileClass::Code => below("code"),
        FileClass::Artifact => below("files"),
        FileClass::Media => {
            let text = String::from_utf8_lossy(&entry.path);
            let (id, name) = text.split_once('/').unwrap_or((&text, ""));
            let media = entry.extra.iter().find(|(field, _)| *field == MEDIA_FIELD);
            let media = media.and_then(|(_, bytes)| Media::from_body(bytes).ok());
            let ending = media.map_or_else(
                || name.to_owned(),
                |media| if media.format.is_empty() { media.kind } else { media.format },
            );
            match MediaId::from_hex(id) {
                Some(id) => format!("media/{id}.{}", component(&ending)).into_bytes(),
                None => below("media"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::component;

    #[test]
    fn names_become_one_safe_file_name_each() {
        for (name, expected) in [
            ("val/samples", "val%2Fsamples"),
            ("..", "%2E."),
            (".hidden", "%2Ehidden"),
            ("a.b-c_1", "a.b-c_1"),
            ("a\0b\n", "a%00b%0A"),
        ] {
            assert_eq!(component(name), expected);
        }
        let long = |end: &str| component(&("x".repeat(4000) + end));
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() < 200);
    }
}
