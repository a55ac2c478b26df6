//! Row groups that come in.

use runcellar_format::WriterId;
use runcellar_format::block::{Column, GroupMain};
use runcellar_format::record::{CarriedGroup, GroupEntry};

use super::pieces::{malformed, refused};
use crate::Result;
use crate::ingest::groups::Group;
use crate::ingest::prepare;

/// Cells of a group that is taken in at most: four times what a batch holds, as a few bytes can stand for very many.
const CELLS_MAX: u64 = 4 << 20;
/// Bytes of texts and histograms of such a group at most, counted after each column.
const LONG_BYTES_MAX: usize = 64 << 20;

/// A row group that was decoded as a whole: nothing in it is unknown.
pub(super) struct GroupIn {
    /// Place and sum are left to whoever stores it.
    pub(super) entry: GroupEntry,
    pub(super) rows: Group,
    pub(super) parts: Vec<Vec<u8>>,
}

/// Decodes a group of a run that has so many series.
pub(super) fn decoded(bytes: &[u8], series: usize) -> Result<GroupIn> {
    let CarriedGroup { number, best, parts } =
        CarriedGroup::decode(bytes).map_err(|cause| malformed("row group", cause))?;
    let named = |cause| malformed(format_args!("row group {number}"), cause);
    let wrong = |what: &str| refused(format_args!("row group {number}: {what}"));
    let main = GroupMain::decode(parts.first().ok_or_else(|| wrong("it has no parts"))?).map_err(named)?;
    let points: u64 = main.columns.iter().map(|column| u64::from(column.count)).sum();
    if points > CELLS_MAX {
        return Err(wrong("more values than a row group holds"));
    }
    let apart = main.columns.iter().filter(|column| column.part != 0).count();
    if apart + 1 != parts.len() {
        return Err(wrong("its parts are not those that it tells of"));
    }
    let (mut columns, mut long_bytes) = (Vec::with_capacity(main.columns.len()), 0);
    for column in &main.columns {
        if column.series as usize >= series {
            return Err(wrong("a series without a name"));
        }
        let part = (column.part != 0).then(|| parts.get(column.part as usize).map(Vec::as_slice)).flatten();
        let values = column.decode(part).map_err(named)?;
        let column = Column { series: column.series, presence: column.presence().map_err(named)?, values };
        long_bytes += prepare::long_bytes(&column);
        if long_bytes > LONG_BYTES_MAX {
            return Err(wrong("longer texts than a row group holds"));
        }
        columns.push(column);
    }
    let (steps, times) = (main.steps().map_err(named)?, main.times().map_err(named)?);
    let rows = Group { sequences: (main.first_sequence, main.last_sequence), steps, times, columns };
    let parts_count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let entry = GroupEntry { number, best, parts: parts_count, ..prepare::entry_of(main.writer, &rows) };
    Ok(GroupIn { entry, rows, parts })
}

impl GroupIn {
    pub(super) fn writer(&self) -> WriterId {
        WriterId(self.entry.writer)
    }
}
