//! Where the file of a pack lies that is not here.

use bincode::{Decode, Encode};

use super::Body;

/// A pack whose file was evicted: a remote has it, as was proven by reading it back. Its directory and keys are still here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Away {
    /// The remote that was read.
    pub remote: [u8; 16],
    /// The device below whose name the pack lies there.
    pub device: [u8; 16],
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub hash: [u8; 32],
    /// When it was read back, microseconds UTC since 1970.
    pub time: i64,
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for Away {
    const NAME: &'static str = "evicted pack";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bytes_are_those_of_the_format_page_and_none_may_be_missing_or_too_many() {
        let away = Away { remote: [1; 16], device: [2; 16], bytes: 4096, hash: [3; 32], time: -1, extra: Vec::new() };
        let body = away.to_body().expect("short");
        let wanted = [&[1, 0][..], &[1; 16], &[2; 16], &[251, 0, 16], &[3; 32], &[1], &[0]].concat();
        assert_eq!(body, wanted);
        assert_eq!(Away::from_body(&body), Ok(away));
        (0..body.len()).for_each(|len| assert!(Away::from_body(&body[..len]).is_err(), "{len} bytes"));
        assert!(Away::from_body(&[&body[..], &[0]].concat()).is_err());
    }
}
