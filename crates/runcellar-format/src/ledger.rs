//! The ledger of a remote: what was ever sent there, a sealed line each, chained by hash. docs/FORMAT.md, "Ledger".

use bincode::{Decode, Encode};

use crate::codec::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::id::{ObjectId, WorkspaceId};
use crate::record::Body;
use crate::seal::{Kind, OwnerKey, Place, SALT_BYTES, checksum};

/// The longest line, sealed: one that names all runs of a full segment is far shorter.
pub const LEDGER_LINE_BYTES_MAX: u32 = 1 << 20;
/// Bytes before a line, which say how long it is.
const LENGTH_BYTES: usize = 4;
/// Tells the place of a line from other places of its kind.
const PART: [u8; 16] = *b"runcellar ledger";

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub enum LedgerEvent {
    /// The ledger begins; the name is that of the remote.
    #[default]
    Began,
    /// An object is about to be sent.
    Sending,
    /// It was stored.
    Sent,
    /// An object is about to be deleted.
    Deleting,
    /// It was deleted.
    Deleted,
    /// The ledger did not go on where it had ended; the name says what was found.
    Broken,
    /// The remote was removed here, and the ledger ends.
    Forgotten,
    /// What had an object's name before was deleted, with all versions.
    DeletedOlder,
    /// What the user agreed to, and what is sent after it rests on.
    Agreed,
}

/// `LedgerLine.extra` of [`LedgerEvent::Agreed`]: the [`Consent`](crate::record::Consent).
pub const CONSENT_FIELD: u16 = 1;

/// A line of a ledger.
#[derive(Debug, Clone, PartialEq, Default, Encode, Decode)]
pub struct LedgerLine {
    /// BLAKE3 of the line before, sealed; zeros for the first.
    pub previous: [u8; 32],
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// What happened.
    pub event: LedgerEvent,
    /// The object's name.
    pub name: String,
    /// Its bytes, when it is sent.
    pub bytes: u64,
    /// Its BLAKE3, when it is sent.
    pub hash: [u8; 32],
    /// Its class: 0 metrics, 1 code, 2 media, 3 artifacts; none if it is of the device as a whole.
    pub class: Option<u8>,
    /// The runs of which it tells.
    pub runs: Vec<[u8; 16]>,
    /// BLAKE3 of the text that the user had agreed to.
    pub consent: [u8; 32],
    /// Fields of later minor versions, kept as they are: (field, bytes).
    pub extra: Vec<(u16, Vec<u8>)>,
}

impl Body for LedgerLine {
    const NAME: &'static str = "ledger line";
}

/// How far a ledger goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct LedgerMark {
    /// Lines.
    pub lines: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// BLAKE3 of the last, sealed; zeros if there is none.
    pub last: [u8; 32],
}

impl Body for LedgerMark {
    const NAME: &'static str = "ledger mark";
}

fn place(workspace: WorkspaceId, remote: ObjectId, number: u64) -> Place {
    Place { part: PART, ..Place::of(workspace, Kind::Remote, remote) }.at(number, 0)
}

impl LedgerLine {
    /// Seals it as the line after `mark`; returns its bytes, and where the ledger ends then.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if it is longer than [`LEDGER_LINE_BYTES_MAX`].
    pub fn seal_after(
        mut self,
        mark: LedgerMark,
        key: &OwnerKey,
        salt: [u8; SALT_BYTES],
        (workspace, remote): (WorkspaceId, ObjectId),
    ) -> Result<(Vec<u8>, LedgerMark)> {
        self.previous = mark.last;
        let sealed = key.seal(salt, &place(workspace, remote, mark.lines), &self.to_body()?).into_bytes();
        let mut out = Writer::with_capacity(LENGTH_BYTES + sealed.len());
        out.bytes(Self::NAME, &sealed, LEDGER_LINE_BYTES_MAX)?;
        let bytes = out.into_vec();
        let after =
            LedgerMark { lines: mark.lines + 1, bytes: mark.bytes + bytes.len() as u64, last: checksum(&sealed) };
        Ok((bytes, after))
    }
}

/// What stands after a mark.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LedgerPart {
    /// Lines that are whole, and go on where the one before ended.
    pub lines: Vec<LedgerLine>,
    /// Where they end.
    pub end: LedgerMark,
    /// What is wrong with the next line, which is not merely one that was cut off while it was written.
    pub problem: Option<FormatError>,
}

/// Reads the lines after a mark from the bytes that stand there.
#[must_use]
pub fn read_ledger(
    mark: LedgerMark,
    bytes: &[u8],
    key: &OwnerKey,
    (workspace, remote): (WorkspaceId, ObjectId),
) -> LedgerPart {
    let mut part = LedgerPart { end: mark, ..LedgerPart::default() };
    let mut reader = Reader::new(LedgerLine::NAME, bytes);
    while reader.remaining() > 0 {
        let sealed = match reader.bytes(LEDGER_LINE_BYTES_MAX) {
            Ok(sealed) => sealed,
            // The last one, which a crash cut off.
            Err(FormatError::Truncated { .. }) => break,
            Err(problem) => {
                part.problem = Some(problem);
                break;
            }
        };
        match open(part.end, sealed, key, (workspace, remote)) {
            Ok(line) => {
                part.lines.push(line);
                part.end.lines += 1;
                part.end.bytes += (LENGTH_BYTES + sealed.len()) as u64;
                part.end.last = checksum(sealed);
            }
            Err(problem) => {
                part.problem = Some(problem);
                break;
            }
        }
    }
    part
}

fn open(
    mark: LedgerMark,
    sealed: &[u8],
    key: &OwnerKey,
    (workspace, remote): (WorkspaceId, ObjectId),
) -> Result<LedgerLine> {
    let line = LedgerLine::from_body(&key.open(&place(workspace, remote, mark.lines), sealed)?)?;
    match line.previous == mark.last {
        true => Ok(line),
        false => Err(FormatError::Malformed { what: LedgerLine::NAME, reason: "it follows another line" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use crate::id::KeyId;

    const OF: (WorkspaceId, ObjectId) = (WorkspaceId([1; 16]), ObjectId([2; 16]));

    fn key() -> OwnerKey {
        OwnerKey::new(KeyId([9; 16]), Secret::new([8; 32]))
    }

    /// A ledger of three lines; where each begins.
    fn ledger() -> (Vec<u8>, Vec<usize>) {
        let (mut all, mut mark, mut starts) = (Vec::new(), LedgerMark::default(), Vec::new());
        for n in 0..3 {
            let line = LedgerLine { name: format!("object-{n}"), bytes: n, ..LedgerLine::default() };
            let (bytes, after) = line.seal_after(mark, &key(), [n as u8; 24], OF).expect("short");
            starts.push(all.len());
            all.extend(bytes);
            mark = after;
        }
        (all, starts)
    }

    #[test]
    fn lines_read_back_from_the_beginning_and_from_any_mark() {
        let (bytes, starts) = ledger();
        let all = read_ledger(LedgerMark::default(), &bytes, &key(), OF);
        assert_eq!((all.lines.len(), all.end.bytes, all.problem), (3, bytes.len() as u64, None));
        let first = read_ledger(LedgerMark::default(), &bytes[..starts[1]], &key(), OF).end;
        let rest = read_ledger(first, &bytes[starts[1]..], &key(), OF);
        assert_eq!((rest.lines.len(), rest.end), (2, all.end));
    }

    #[test]
    fn every_bit_counts_and_no_line_can_be_left_out_moved_or_added() {
        let (bytes, starts) = ledger();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let read = read_ledger(LedgerMark::default(), &changed, &key(), OF);
            assert!(read.lines.len() < 3, "byte {at}");
        }
        let (one, two, three) = (&bytes[..starts[1]], &bytes[starts[1]..starts[2]], &bytes[starts[2]..]);
        for wrong in [[one, three].concat(), [two, three].concat(), [one, three, two].concat(), [one, one].concat()] {
            assert!(read_ledger(LedgerMark::default(), &wrong, &key(), OF).problem.is_some());
        }
        let elsewhere = (OF.0, ObjectId([3; 16]));
        assert!(read_ledger(LedgerMark::default(), &bytes, &key(), elsewhere).problem.is_some());
        // What a crash cut off is no problem: whoever knows how far it went knows better.
        let cut = read_ledger(LedgerMark::default(), &bytes[..bytes.len() - 1], &key(), OF);
        assert_eq!((cut.lines.len(), cut.problem), (2, None));
    }
}
