//! Digests of the files of a capsule, as `sha256sum --check` reads them.

use sha2::{Digest as _, Sha256};

/// The file that they stand in; further ones end in `-2` and so on.
const NAME: &str = "SHA256SUMS";
/// Bytes of one such file from which another is begun, so that neither side has to keep more.
pub(super) const BYTES_MAX: usize = 16 << 20;

/// Returns the name of the nth file of digests, counted from 1.
pub(super) fn name(number: u32) -> String {
    if number == 1 { NAME.to_owned() } else { format!("{NAME}-{number}") }
}

/// Returns a file's line.
pub(super) fn line(path: &[u8], digest: Sha256) -> Vec<u8> {
    let mut line = Vec::with_capacity(path.len() + 68);
    let is_escaped = path.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
    if is_escaped {
        line.push(b'\\');
    }
    for byte in digest.finalize() {
        line.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    line.extend_from_slice(b"  ");
    for byte in path {
        match byte {
            b'\\' if is_escaped => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_sha256sum() {
        let of = |path: &[u8]| String::from_utf8(line(path, Sha256::new_with_prefix(b"abc"))).expect("UTF-8");
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"a b"), format!("{digest}  a b\n"));
        assert_eq!(of(b"a\\b\nc"), format!("\\{digest}  a\\\\b\\nc\n"));
    }
}
