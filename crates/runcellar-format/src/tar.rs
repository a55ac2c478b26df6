//! The tar archive inside of a capsule: POSIX ustar, with pax headers for what does not fit into it.
//!
//! [`Entry::encode`] makes the blocks that stand before a file's content, [`Headers`] reads them one by one. It takes what
//! this module writes and nothing else: one form for each entry, relative paths without `.` and `..`, no devices, no owners, no
//! times. docs/CAPSULE.md.

use crate::error::{FormatError, Result};
use crate::record::PATH_BYTES_MAX;

/// Bytes of a block: headers are as long, and content is padded to it.
pub const BLOCK_BYTES: usize = 512;
/// Bytes of the records of a pax header at most: a path, a link's target, and a size.
pub const PAX_BYTES_MAX: usize = 2 * (PATH_BYTES_MAX + 64) + 64;
/// What stands at the end: two blocks of zeros.
pub const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// The longest path in the header itself.
const NAME_BYTES: usize = 100;
/// The largest size in the header itself: eleven octal digits.
const SIZE_MAX: u64 = (1 << 33) - 1;
const WHAT: &str = "tar header";

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file, whose content follows.
    File {
        /// Bytes of its content.
        size: u64,
        /// True if its owner may run it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// What it names.
        target: Vec<u8>,
    },
    /// A directory.
    Directory,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Components joined by `/`, none of them empty, `.` or `..`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
}

impl Entry {
    /// Describes a file.
    #[must_use]
    pub fn file(path: impl Into<Vec<u8>>, size: u64) -> Entry {
        Entry { path: path.into(), kind: EntryKind::File { size, executable: false } }
    }

    /// Returns the bytes of the content that follows.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.kind {
            EntryKind::File { size, .. } => size,
            EntryKind::Link { .. } | EntryKind::Directory => 0,
        }
    }

    /// Returns how many bytes of zeros follow the content.
    #[must_use]
    pub fn padding(&self) -> usize {
        padding(self.size())
    }

    /// Returns the blocks that stand before the content.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for a path that no archive may hold, [`FormatError::Limit`] if it is too long.
    pub fn encode(&self) -> Result<Vec<u8>> {
        check_path(&self.path)?;
        let (size, mut records) = (self.size(), Vec::new());
        let target: &[u8] = match &self.kind {
            EntryKind::Link { target } => target,
            _ => &[],
        };
        if !is_plain(&self.path) {
            record(&mut records, b"path", &self.path);
        }
        if !is_plain(target) {
            check_target(target)?;
            record(&mut records, b"linkpath", target);
        }
        if size > SIZE_MAX {
            record(&mut records, b"size", size.to_string().as_bytes());
        }
        let mut out = Vec::new();
        if !records.is_empty() {
            out.extend_from_slice(&header(b"pax", b"", records.len() as u64, 0o644, b'x'));
            let padding = padding(records.len() as u64);
            out.append(&mut records);
            out.resize(out.len() + padding, 0);
        }
        let (mode, flag) = match self.kind {
            EntryKind::File { executable: true, .. } => (0o755, b'0'),
            EntryKind::File { .. } => (0o644, b'0'),
            EntryKind::Link { .. } => (0o777, b'2'),
            EntryKind::Directory => (0o755, b'5'),
        };
        let plain = |text| if is_plain(text) { text } else { b"long" };
        let in_header = if size > SIZE_MAX { 0 } else { size };
        out.extend_from_slice(&header(plain(&self.path), plain(target), in_header, mode, flag));
        Ok(out)
    }
}

/// Refuses paths that lead out of the directory into which an archive is unpacked.
fn check_path(path: &[u8]) -> Result<()> {
    if path.len() > PATH_BYTES_MAX {
        return Err(FormatError::Limit { what: "path", found: path.len() as u64, limit: PATH_BYTES_MAX as u64 });
    }
    let is_fine = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    match path.split(|byte| *byte == b'/').all(is_fine) {
        true => Ok(()),
        false => Err(malformed("a path that is absolute, or has a component that is empty, `.` or `..`")),
    }
}

fn check_target(target: &[u8]) -> Result<()> {
    match target.len() {
        0..=PATH_BYTES_MAX if !target.contains(&0) => Ok(()),
        0..=PATH_BYTES_MAX => Err(malformed("a link's target with a zero byte")),
        len => Err(FormatError::Limit { what: "link's target", found: len as u64, limit: PATH_BYTES_MAX as u64 }),
    }
}

/// Returns true for what the header itself can hold in a way that all programs read alike.
fn is_plain(text: &[u8]) -> bool {
    text.len() <= NAME_BYTES && text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn padding(size: u64) -> usize {
    let rest = usize::try_from(size % BLOCK_BYTES as u64).unwrap_or(0);
    (BLOCK_BYTES - rest) % BLOCK_BYTES
}

fn malformed(reason: &'static str) -> FormatError {
    FormatError::Malformed { what: WHAT, reason }
}

/// Adds a record of a pax header: its own length in decimal, a space, `key=value`, a line feed.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + digits(len) != len {
        len = rest + digits(len);
    }
    out.extend_from_slice(format!("{len} ").as_bytes());
    out.extend_from_slice(&[key, b"=", value, b"\n"].concat());
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

fn header(name: &[u8], target: &[u8], size: u64, mode: u32, flag: u8) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        block.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, name);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\x000000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0        ");
    put(156, &[flag]);
    put(157, target);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()).for_each(|(to, from)| *to = from);
    block
}

/// Reads the headers of an archive, block by block.
#[derive(Debug, Default)]
pub struct Headers {
    /// Bytes of pax records that are to come.
    awaited: usize,
    records: Vec<u8>,
    /// The blocks of the entry so far: another form of the same entry is none.
    seen: Vec<u8>,
    zeros: u8,
}

/// What a block brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Another block is needed.
    More,
    /// An entry; its content follows.
    Entry(Entry),
    /// The archive ends here.
    End,
}

impl Headers {
    /// Takes the next block, which is not content.
    ///
    /// # Errors
    /// [`FormatError`] for what [`Entry::encode`] does not make.
    pub fn take(&mut self, block: &[u8; BLOCK_BYTES]) -> Result<Step> {
        if self.awaited > 0 {
            let (len, rest) = (self.awaited.min(BLOCK_BYTES), self.awaited.saturating_sub(BLOCK_BYTES));
            self.records.extend(block.iter().take(len));
            self.seen.extend_from_slice(block);
            self.awaited = rest;
            return Ok(Step::More);
        }
        if block.iter().all(|byte| *byte == 0) {
            self.zeros += 1;
            return match (self.seen.is_empty(), self.zeros) {
                (true, 1) => Ok(Step::More),
                (true, 2) => Ok(Step::End),
                _ => Err(malformed("an entry is expected")),
            };
        }
        if self.zeros > 0 {
            return Err(malformed("a block of zeros inside of the archive"));
        }
        self.seen.extend_from_slice(block);
        let [name, target] = [(0, 100), (157, 100)].map(|(from, len)| text(block, from, len));
        let size = octal(block, 124, 11)?;
        let flag = block.get(156).copied().unwrap_or_default();
        if flag == b'x' {
            let len = usize::try_from(size).unwrap_or(usize::MAX);
            if len > PAX_BYTES_MAX || len == 0 || !self.records.is_empty() {
                let (found, limit) = (size, PAX_BYTES_MAX as u64);
                return Err(FormatError::Limit { what: "pax header", found, limit });
            }
            self.awaited = len;
            return Ok(Step::More);
        }
        let entry = self.entry(name, target, size, flag, block)?;
        if entry.encode()? != self.seen {
            return Err(malformed("an entry in another form than capsules have"));
        }
        *self = Headers::default();
        Ok(Step::Entry(entry))
    }

    fn entry(&self, name: Vec<u8>, target: Vec<u8>, size: u64, flag: u8, block: &[u8; BLOCK_BYTES]) -> Result<Entry> {
        let (mut path, mut target, mut size) = (name, target, size);
        let mut rest = self.records.as_slice();
        while !rest.is_empty() {
            let (key, value, after) = first_record(rest)?;
            match key {
                b"path" => path = value.to_vec(),
                b"linkpath" => target = value.to_vec(),
                b"size" => size = number(value).ok_or_else(|| malformed("size"))?,
                _ => return Err(malformed("a pax record of another kind than capsules have")),
            }
            rest = after;
        }
        let kind = match flag {
            b'0' => EntryKind::File { size, executable: octal(block, 100, 7)? == 0o755 },
            b'2' if size == 0 => EntryKind::Link { target },
            b'5' if size == 0 => EntryKind::Directory,
            _ => return Err(malformed("an entry of another kind than capsules have")),
        };
        check_path(&path)?;
        Ok(Entry { path, kind })
    }
}

fn text(block: &[u8; BLOCK_BYTES], from: usize, len: usize) -> Vec<u8> {
    block.iter().skip(from).take(len).take_while(|byte| **byte != 0).copied().collect()
}

fn octal(block: &[u8; BLOCK_BYTES], from: usize, digits: usize) -> Result<u64> {
    block.iter().skip(from).take(digits).try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'7' => Ok(number << 3 | u64::from(digit - b'0')),
        _ => Err(malformed("a number that is not octal")),
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Takes the first of some pax records apart: key, value, and what follows.
fn first_record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let wrong = || malformed("a pax record that is none");
    let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
    let len = bytes.get(..space).and_then(number).and_then(|len| usize::try_from(len).ok()).ok_or_else(wrong)?;
    let (whole, after) = bytes.split_at_checked(len).ok_or_else(wrong)?;
    let body = whole.get(space + 1..).and_then(|body| body.strip_suffix(b"\n")).ok_or_else(wrong)?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
    Ok((body.get(..equals).ok_or_else(wrong)?, body.get(equals + 1..).ok_or_else(wrong)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Step> {
        let (mut headers, mut step) = (Headers::default(), Step::More);
        for block in bytes.as_chunks().0 {
            assert_eq!(step, Step::More, "blocks follow what is whole");
            step = headers.take(block)?;
        }
        Ok(step)
    }

    #[test]
    fn entries_of_every_sort_read_back() {
        let long = [vec![b'a'; 90], vec![b'b'; 90]].join(&b'/');
        let kinds = [
            EntryKind::File { size: 0, executable: false },
            EntryKind::File { size: 513, executable: true },
            EntryKind::File { size: u64::MAX / 2, executable: false },
            EntryKind::Link { target: b"../elsewhere".to_vec() },
            EntryKind::Link { target: vec![0xff; 300] },
            EntryKind::Directory,
        ];
        for path in [&b"plain/name.txt"[..], &long, b"not \xff utf-8", b"line\nfeed"] {
            for kind in &kinds {
                let entry = Entry { path: path.to_vec(), kind: kind.clone() };
                let bytes = entry.encode().expect("a path");
                assert_eq!(bytes.len() % BLOCK_BYTES, 0);
                assert_eq!(read(&bytes), Ok(Step::Entry(entry)));
            }
        }
        assert_eq!(read(&END), Ok(Step::End));
    }

    #[test]
    fn paths_that_lead_out_are_neither_written_nor_read() {
        for path in [&b"/etc/passwd"[..], b"../up", b"a/../b", b"a//b", b"./a", b"", b"a/", b"nul\0"] {
            let entry = Entry::file(path, 1);
            assert!(entry.encode().is_err(), "{}", path.escape_ascii());
            let mut records = Vec::new();
            record(&mut records, b"path", path);
            let mut bytes = header(b"pax", b"", records.len() as u64, 0o644, b'x').to_vec();
            bytes.extend_from_slice(&records);
            bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
            bytes.extend_from_slice(&header(b"long", b"", 1, 0o644, b'0'));
            assert!(read(&bytes).is_err(), "{}", path.escape_ascii());
            // What follows a zero byte is no part of the name there.
            if !path.contains(&0) {
                assert!(read(&header(path, b"", 1, 0o644, b'0')).is_err(), "{}", path.escape_ascii());
            }
        }
        assert!(Entry::file(vec![b'x'; PATH_BYTES_MAX + 1], 1).encode().is_err());
    }

    #[test]
    fn every_changed_bit_of_a_header_is_refused() {
        let bytes = Entry::file(b"runs/digits/metrics.csv.gz", 77).encode().expect("a path");
        let mut other = 0;
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // A changed name or size has a sum of its own, so none of these is an entry.
            other += usize::from(read(&changed).is_ok());
        }
        assert_eq!(other, 0);
    }

    #[test]
    fn headers_that_would_take_memory_are_refused_before_they_do() {
        let huge = header(b"pax", b"", SIZE_MAX, 0o644, b'x');
        assert!(matches!(read(&huge), Err(FormatError::Limit { .. })));
        for flag in [b'1', b'3', b'4', b'6', b'7', b'L', b'K', b'g', b'S', 0] {
            assert!(read(&header(b"a", b"b", 0, 0o644, flag)).is_err(), "{}", char::from(flag));
        }
        let half = [&[0; BLOCK_BYTES][..], &Entry::file(b"a", 1).encode().expect("a path")].concat();
        assert!(read(&half).is_err());
    }
}
