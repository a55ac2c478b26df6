//! Segments in the making: entries as they are found, and row groups behind them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use runcellar_format::object::grid;
use runcellar_format::record::{Body as _, ROWS_FIELD, ReplicaCursor, RowSegments, Segment, SegmentEntry};
use runcellar_format::seal::Kind;
use runcellar_format::sync::segment_hash;
use runcellar_format::{DeviceId, ObjectId};

use super::apply::{Blocks, apply, weight};
use super::exchange::Exchange;
use super::outgoing::Prepared;
use super::status::UnsentRun;
use crate::blob::Class;
use crate::db::{ObjectKey, ObjectRow, WriteTx};
use crate::keys::Purpose;
use crate::merge::LeftOut;
use crate::{Error, Result, io};

/// Bytes that one segment gathers before the next begins.
const SEGMENT_BYTES: usize = 4 << 20;
/// Bytes of row groups that are gathered, in memory, before they are sealed.
const ROWS_BYTES: usize = 32 << 20;
/// Up to so many bytes of row groups stand beside the records that list them: an object of their own would cost a request, and
/// save whoever leaves them where they are no more than these bytes.
const ROWS_BESIDE_BYTES: usize = 16 << 10;

/// What a comparison is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Publish,
    /// Nothing is sealed or kept.
    Measure,
}

/// Segments in the making.
pub(super) struct Log<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) aim: Aim,
    pub(super) at: ReplicaCursor,
    pub(super) entries: Vec<SegmentEntry>,
    pub(super) bytes: usize,
    /// Parts of row groups, which go behind the entries.
    pub(super) rows: Vec<SegmentEntry>,
    pub(super) rows_bytes: usize,
    pub(super) done: Prepared,
    pub(super) runs: Vec<UnsentRun>,
    /// Packs that were taken back.
    pub(super) dropped: Vec<ObjectId>,
    /// Packs with chunks that stay at home, which are to be written anew before anything of them is published.
    pub(super) mixed: Mixed,
    /// Some run was changed since it was searched for secrets.
    pub(super) is_left: bool,
}

/// Packs that are to be written anew, by project and class.
pub(super) type Mixed = BTreeMap<(ObjectId, Class), BTreeSet<ObjectId>>;

impl<'a> Log<'a> {
    pub(super) fn new(exchange: &'a Exchange, at: ReplicaCursor, aim: Aim) -> Log<'a> {
        Log {
            exchange,
            aim,
            at,
            entries: Vec::new(),
            bytes: 0,
            rows: Vec::new(),
            rows_bytes: 0,
            done: Prepared::default(),
            runs: Vec::new(),
            dropped: Vec::new(),
            mixed: Mixed::new(),
            is_left: false,
        }
    }

    /// Has a pack deleted once nobody can be reading it any more.
    pub(super) fn drop_pack(&mut self, pack: ObjectId) {
        self.dropped.push(pack);
    }

    /// Has packs written anew, if there are any; false then, and what lies in them is published afterwards.
    pub(super) fn sets_apart(&mut self, of: (ObjectId, Class), packs: HashSet<ObjectId>) -> bool {
        // Who only looks counts what will be.
        if packs.is_empty() || self.aim == Aim::Measure {
            return true;
        }
        self.mixed.entry(of).or_default().extend(packs);
        false
    }

    /// Names what is not published, as it could not be set apart.
    pub(super) fn name_mixed(&mut self) {
        for ((_, class), packs) in &self.mixed {
            for pack in packs {
                let what = format!("{} beside what stays at home", class.name());
                let why = format!("pack {pack} cannot be written anew without that");
                self.done.left_out.push(LeftOut { what, why, damaged: true });
            }
        }
    }

    pub(super) fn push(&mut self, out: &mut WriteTx<'_>, entry: SegmentEntry) -> Result<()> {
        if let SegmentEntry::Block { .. } = entry {
            self.rows_bytes += weight(&entry);
            self.rows.push(entry);
        } else {
            self.bytes += weight(&entry);
            self.entries.push(entry);
        }
        if self.bytes >= SEGMENT_BYTES || self.rows_bytes >= ROWS_BYTES { self.flush(out) } else { Ok(()) }
    }

    /// Makes segments of what was gathered: one of the entries, and of row groups, if there are many, further ones behind it.
    pub(super) fn flush(&mut self, out: &mut WriteTx<'_>) -> Result<()> {
        if self.entries.is_empty() && self.rows.is_empty() {
            return Ok(());
        }
        (self.bytes, self.rows_bytes) = (0, 0);
        let (mut entries, mut rows) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.rows));
        if rows.iter().map(weight).sum::<usize>() <= ROWS_BESIDE_BYTES {
            entries.append(&mut rows);
        }
        let behind = in_segments(rows);
        let told = RowSegments { runs: behind.iter().map(|entries| runs_in(entries)).collect() };
        self.seal(out, entries, &told)?;
        behind.into_iter().try_for_each(|entries| self.seal(out, entries, &RowSegments::default()))
    }

    /// Seals a segment, has it wait to be sent, and counts it among what is published.
    fn seal(&mut self, out: &mut WriteTx<'_>, entries: Vec<SegmentEntry>, behind: &RowSegments) -> Result<()> {
        self.done.segments += 1;
        if self.aim == Aim::Measure {
            self.done.bytes += grid(entries.iter().map(weight).sum::<usize>() as u64);
            return Ok(());
        }
        let prefix = self.exchange.own.prefix;
        let number = self.at.number + 1;
        let named = |cause| Error::format(format_args!("segment {number}"), cause);
        let (device, previous) = (self.at.device, self.at.segment);
        let extra = match behind.runs.is_empty() {
            true => Vec::new(),
            false => vec![(ROWS_FIELD, behind.to_body().map_err(named)?)],
        };
        let segment = Segment { device, number, previous, entries, extra };
        let key = out.workspace_key(out.keyring, Purpose::Control)?;
        let object = segment.seal(&key, io::random(out.io)?, out.keyring.workspace(), prefix).map_err(named)?;
        let body = object.read().map_err(|cause| Error::new(crate::ErrorKind::Io, cause.to_string()))?;
        apply(out, &segment.entries, Blocks::LeftOut)?;
        (self.at.number, self.at.segment) = (number, segment_hash(&body));
        self.done.bytes += body.len() as u64;
        let key = ObjectKey::new(Kind::Segment, prefix, number);
        out.place_object(&ObjectRow { key, device: DeviceId::NIL, seq: 0, tag: None, body })
    }
}

/// Shares parts of row groups out among segments, in order.
fn in_segments(rows: Vec<SegmentEntry>) -> Vec<Vec<SegmentEntry>> {
    let (mut all, mut bytes) = (Vec::<Vec<SegmentEntry>>::new(), SEGMENT_BYTES);
    for entry in rows {
        if bytes >= SEGMENT_BYTES {
            all.push(Vec::new());
            bytes = 0;
        }
        bytes += weight(&entry);
        all.last_mut().expect("one was begun").push(entry);
    }
    all
}

/// Returns the runs of parts of row groups, each once, in order.
fn runs_in(rows: &[SegmentEntry]) -> Vec<[u8; 16]> {
    let mut runs = Vec::new();
    for entry in rows {
        if let SegmentEntry::Block { run, .. } = entry
            && runs.last() != Some(run)
        {
            runs.push(*run);
        }
    }
    runs
}
