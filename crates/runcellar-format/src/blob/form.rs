//! The forms in which the content of a chunk is stored.

use super::CHUNK_BYTES_MAX;
use super::planes;
use crate::error::{FormatError, Result};
use crate::zframe::{self, Method};

const WHAT: &str = "chunk";

/// How the content of a chunk is stored. The first thing that is known of a chunk, since its key depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Form {
    /// As it is.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// The bytes of elements of 2 bytes in planes: bfloat16, float16.
    Planes2 = 2,
    /// The bytes of elements of 4 bytes in planes: float32, int32.
    Planes4 = 3,
    /// The bytes of elements of 8 bytes in planes: float64, int64.
    Planes8 = 4,
}

impl Form {
    /// Returns the form of a number in a directory.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Form> {
        [Form::Raw, Form::Zstd, Form::Planes2, Form::Planes4, Form::Planes8].get(usize::from(number)).copied()
    }
}

/// How much work smaller chunks are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effort {
    /// What costs less time than it saves in writing.
    Default,
    /// What makes content smallest, within a few times the work.
    Best,
}

impl Effort {
    /// Returns the zstd level.
    pub(super) fn level(self) -> i32 {
        match self {
            Effort::Default => 3,
            Effort::Best => 7,
        }
    }
}

/// Appends content in a form, or as it is where the form would not make it smaller; returns the form that it took.
///
/// Content is at most [`CHUNK_BYTES_MAX`] bytes long; more cannot be read again.
pub fn encode(form: Form, effort: Effort, content: &[u8], out: &mut Vec<u8>) -> Form {
    let from = out.len();
    match form {
        Form::Raw => {}
        Form::Zstd => {
            zframe::pack_into(content, Method::Level(effort.level()), out);
        }
        Form::Planes2 => planes::encode::<2>(content, effort, out),
        Form::Planes4 => planes::encode::<4>(content, effort, out),
        Form::Planes8 => planes::encode::<8>(content, effort, out),
    }
    let stored = out.len() - from;
    if stored > 0 && stored < content.len() {
        return form;
    }
    out.truncate(from);
    out.extend_from_slice(content);
    Form::Raw
}

/// Fills `out` with the content that `stored` holds, which is as long as `out`.
///
/// # Errors
/// [`FormatError::Limit`] for a length above [`CHUNK_BYTES_MAX`]; else [`FormatError::Malformed`] and
/// [`FormatError::Truncated`] for what no writer makes. Then `out` holds nothing of use.
pub fn decode(form: Form, stored: &[u8], out: &mut [u8]) -> Result<()> {
    if out.len() > CHUNK_BYTES_MAX {
        return Err(FormatError::Limit { what: WHAT, found: out.len() as u64, limit: CHUNK_BYTES_MAX as u64 });
    }
    let malformed = |reason| Err(FormatError::Malformed { what: WHAT, reason });
    if form == Form::Raw {
        if stored.len() != out.len() {
            return malformed("raw content is of another length than said");
        }
        out.copy_from_slice(stored);
        return Ok(());
    }
    if stored.len() >= out.len() {
        return malformed("no smaller than its content");
    }
    match form {
        Form::Raw | Form::Zstd => zframe::unpack_exactly(WHAT, stored, out),
        Form::Planes2 => planes::decode::<2>(stored, out),
        Form::Planes4 => planes::decode::<4>(stored, out),
        Form::Planes8 => planes::decode::<8>(stored, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Form; 5] = [Form::Raw, Form::Zstd, Form::Planes2, Form::Planes4, Form::Planes8];

    /// Numbers that rise slowly: small in each form.
    fn counters(len: usize) -> Vec<u8> {
        (0_u64..).flat_map(|number| (number * 3).to_le_bytes()).take(len).collect()
    }

    fn stored(form: Form, content: &[u8]) -> (Form, Vec<u8>) {
        let mut out = b"before".to_vec();
        let took = encode(form, Effort::Default, content, &mut out);
        assert_eq!(out.drain(..6).as_slice(), b"before");
        (took, out)
    }

    #[test]
    fn each_form_gives_its_content_back() {
        for form in ALL {
            for len in [0, 1, 7, 8, 100, 1000, 4099, 131_075, CHUNK_BYTES_MAX] {
                let content = counters(len);
                let (took, bytes) = stored(form, &content);
                assert!(took == form || len < 1000, "{form:?} of {len}");
                let mut out = vec![0xa5; len];
                decode(took, &bytes, &mut out).expect("just written");
                assert_eq!(out, content, "{form:?} of {len}");
            }
        }
    }

    #[test]
    fn content_that_no_form_makes_smaller_stays_as_it_is() {
        let hash = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes();
        let noise: Vec<u8> = (0..2048).flat_map(hash).collect();
        for form in ALL {
            assert_eq!(stored(form, &noise), (Form::Raw, noise.clone()), "{form:?}");
        }
    }

    #[test]
    fn lengths_other_than_those_said_are_refused() {
        for form in ALL {
            let content = counters(10_000);
            let (_, bytes) = stored(form, &content);
            let decoded = |len: usize, bytes: &[u8]| decode(form, bytes, &mut vec![0; len]);
            for len in [0, 1, 9_992, 9_999, 10_001, 10_008, CHUNK_BYTES_MAX] {
                assert!(decoded(len, &bytes).is_err(), "{form:?} as {len}");
            }
            for len in [0, 1, bytes.len() - 1] {
                assert!(decoded(content.len(), &bytes[..len]).is_err(), "{form:?} cut to {len}");
            }
            let longer = [&*bytes, &[0]].concat();
            assert!(decoded(content.len(), &longer).is_err(), "{form:?} with a byte more");
            assert!(matches!(decoded(CHUNK_BYTES_MAX + 1, &bytes), Err(FormatError::Limit { .. })), "{form:?}");
        }
    }
}
