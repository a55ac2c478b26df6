//! Bounded little-endian reading and writing: the only byte arithmetic of the crate.
//!
//! Fixed widths, no `usize` in bytes, limits checked before anything is allocated, and trailing bytes refused by
//! [`Reader::finish`]. docs/FORMAT.md, "Notation".

use crate::error::{FormatError, Result};

/// Reads fixed-width little-endian fields from a byte slice, and never past its end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Makes a reader over `bytes`; `what` names the structure in errors.
    #[must_use]
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Reader { what, rest: bytes }
    }

    /// Returns the number of bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `len` bytes.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(FormatError::Truncated { what: self.what, needed: len - self.rest.len() });
        };
        self.rest = tail;
        Ok(head)
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Reads a `u16`.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] at the end.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Reads a `u32`.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] at the end.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads a `u64`.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] at the end.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads an `i64`.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] at the end.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Reads a `u32` that counts something, refused above `limit`.
    ///
    /// # Errors
    /// [`FormatError::Limit`] above the limit, [`FormatError::Truncated`] at the end.
    pub fn count(&mut self, limit: u32) -> Result<usize> {
        let found = self.u32()?;
        if found > limit {
            return Err(FormatError::Limit { what: self.what, found: found.into(), limit: limit.into() });
        }
        usize::try_from(found).map_err(|_| self.malformed("count does not fit this machine"))
    }

    /// Reads a `u32` length and then so many bytes, refused above `limit`.
    ///
    /// # Errors
    /// [`FormatError::Limit`] above the limit, [`FormatError::Truncated`] at the end.
    pub fn bytes(&mut self, limit: u32) -> Result<&'a [u8]> {
        let len = self.count(limit)?;
        self.take(len)
    }

    /// Reads a length-prefixed UTF-8 text.
    ///
    /// # Errors
    /// As [`Reader::bytes`], and [`FormatError::Malformed`] if it is not UTF-8.
    pub fn text(&mut self, limit: u32) -> Result<&'a str> {
        let bytes = self.bytes(limit)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text is not UTF-8"))
    }

    /// Makes the error for a field of this structure that no writer makes.
    #[must_use]
    pub fn malformed(&self, reason: &'static str) -> FormatError {
        FormatError::Malformed { what: self.what, reason }
    }

    /// Refuses a version that this build does not read.
    ///
    /// # Errors
    /// [`FormatError::NewerVersion`] above `newest`, [`FormatError::Malformed`] for 0, which was never written.
    pub fn version(&self, found: u32, newest: u32) -> Result<()> {
        match found {
            0 => Err(self.malformed("version 0 was never written")),
            found if found > newest => Err(FormatError::NewerVersion { what: self.what, found, newest }),
            _ => Ok(()),
        }
    }

    /// Ends reading; bytes left over are refused.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] if bytes are left.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("trailing bytes")) }
    }
}

/// Appends fixed-width little-endian fields to a byte vector.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Makes an empty writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Writer { out: Vec::with_capacity(capacity) }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Appends a `u16`.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a `u32`.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a `u64`.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends an `i64`.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Appends a count or length as `u32`.
    ///
    /// # Errors
    /// [`FormatError::Limit`] above `limit`, so that what is written can be read again.
    pub fn count(&mut self, what: &'static str, count: usize, limit: u32) -> Result<&mut Self> {
        match u32::try_from(count) {
            Ok(fits) if fits <= limit => Ok(self.u32(fits)),
            _ => Err(FormatError::Limit { what, found: count as u64, limit: limit.into() }),
        }
    }

    /// Appends a `u32` length and the bytes.
    ///
    /// # Errors
    /// [`FormatError::Limit`] above `limit`.
    pub fn bytes(&mut self, what: &'static str, bytes: &[u8], limit: u32) -> Result<&mut Self> {
        Ok(self.count(what, bytes.len(), limit)?.raw(bytes))
    }

    /// Returns what was written so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.out
    }

    /// Returns the bytes.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_and_trailing_bytes_are_refused() {
        let mut writer = Writer::default();
        writer.u8(7).u16(0x0102).u32(3).u64(u64::MAX).i64(-5);
        writer.bytes("test", b"abc", 8).expect("within the limit");
        let bytes = writer.into_vec();
        let mut reader = Reader::new("test", &bytes);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u16(), Ok(0x0102));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u64(), Ok(u64::MAX));
        assert_eq!(reader.i64(), Ok(-5));
        assert_eq!(reader.clone().text(8), Ok("abc"));
        assert!(matches!(reader.clone().finish(), Err(FormatError::Malformed { .. })));
        assert_eq!(reader.bytes(8), Ok(&b"abc"[..]));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn versions_from_the_future_are_told_from_those_that_never_were() {
        let reader = Reader::new("test", &[]);
        assert_eq!(reader.version(1, 2), Ok(()));
        assert_eq!(reader.version(3, 2), Err(FormatError::NewerVersion { what: "test", found: 3, newest: 2 }));
        assert!(matches!(reader.version(0, 2), Err(FormatError::Malformed { .. })));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_read() {
        let mut reader = Reader::new("test", &[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(reader.bytes(16), Err(FormatError::Limit { what: "test", found: 0xffff_ffff, limit: 16 }));
        assert_eq!(Reader::new("test", &[1, 2]).u32(), Err(FormatError::Truncated { what: "test", needed: 2 }));
        assert!(Writer::default().bytes("test", &[0; 9], 8).is_err());
    }
}
