//! Shapes: the heads that rows have in common. A training loop logs the same metrics again and again; with their heads
//! named by a number, a row is its values and little else.

use super::row::{BOOL, FLOAT, FLOAT32, HISTOGRAM, INT, MEDIA, TEXT};
use crate::error::{FormatError, Result};

/// Most shapes of a writer: their number is one byte.
pub const SHAPES_MAX: usize = 256;
/// Most heads of all shapes of a writer together, as every file begins with them; rows beyond carry their own.
pub const SHAPE_HEADS_MAX: usize = 1 << 16;

/// The shapes of a journal file, as far as it was read.
#[derive(Debug, Clone, Default)]
pub struct Shapes {
    /// None where the frame that defined one was damaged: it may be defined again.
    list: Vec<Option<Box<[u32]>>>,
    heads: usize,
}

impl Shapes {
    /// Returns the heads of a shape.
    #[must_use]
    pub fn get(&self, number: u8) -> Option<&[u32]> {
        self.list.get(usize::from(number))?.as_deref()
    }

    /// Takes in what a file says of a shape. Files repeat what they said; a shape that becomes another is damage.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for one that was another before, [`FormatError::Limit`] above [`SHAPE_HEADS_MAX`].
    pub fn define(&mut self, number: u8, heads: &[u32]) -> Result<()> {
        let at = usize::from(number);
        if self.list.len() <= at {
            self.list.resize(at + 1, None);
        }
        match self.list.get_mut(at) {
            Some(Some(known)) if **known != *heads => {
                Err(FormatError::Malformed { what: "shape of rows", reason: "it was another before" })
            }
            Some(place @ None) => {
                let (found, limit) = ((self.heads + heads.len()) as u64, SHAPE_HEADS_MAX as u64);
                if found > limit {
                    return Err(FormatError::Limit { what: "heads of shapes", found, limit });
                }
                self.heads += heads.len();
                *place = Some(heads.into());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Forgets all, as a new file begins.
    pub fn clear(&mut self) {
        *self = Shapes::default();
    }
}

/// Returns how many of `bytes`, from their start, are the value of a head; none if they are too few.
pub(super) fn value_bytes(head: u32, bytes: &[u8]) -> Option<usize> {
    let len = match head & 0xff00_0000 {
        FLOAT | INT => 8,
        FLOAT32 => 4,
        BOOL => 1,
        MEDIA => 16,
        TEXT => 4 + u32::from_le_bytes(*bytes.first_chunk()?) as usize,
        HISTOGRAM => 4 + (2 * u32::from_le_bytes(*bytes.first_chunk()?) as usize + 1) * 8,
        _ => return None,
    };
    (len <= bytes.len()).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_defined_once_and_may_be_repeated() {
        let mut shapes = Shapes::default();
        shapes.define(3, &[FLOAT, INT | 1]).expect("new");
        shapes.define(3, &[FLOAT, INT | 1]).expect("the same again");
        assert!(shapes.define(3, &[FLOAT]).is_err());
        assert_eq!(shapes.get(3), Some(&[FLOAT, INT | 1][..]));
        assert_eq!((shapes.get(2), shapes.get(4)), (None, None));
        shapes.define(2, &[]).expect("one that a damaged frame had defined");
        assert!(matches!(shapes.define(255, &vec![FLOAT; SHAPE_HEADS_MAX]), Err(FormatError::Limit { .. })));
        shapes.clear();
        assert_eq!(shapes.get(3), None);
    }
}
