//! Rows of other devices that stay on the remote, by the setting `sync.content`: the segments that have them are passed over, and
//! read when somebody wants the rows of a run.
//!
//! ```text
//! segment n --tells of--> segments n+1.. with row groups alone --noted in the replica--> read when a run's rows are wanted
//! ```

use std::collections::HashSet;

use runcellar_format::record::{Body as _, RowSegments, RowsPlace, Segment, SegmentEntry};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::apply::{Blocks, apply};
use super::exchange::Exchange;
use super::incoming::Advance;
use super::replica::Replica;
use crate::db::{Cover, ObjectKey, ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::ingest::rows_away::{self, RowsThere};
use crate::keys::{Keyring, Purpose};
use crate::{Error, Result};

/// A segment of another device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Where the device publishes.
    pub prefix: String,
    /// The segment's number.
    pub number: u64,
}

/// Gives segments as a remote has them; none for one that is not there any more.
pub(super) type Segments<'a, E> = dyn FnMut(&SegmentName) -> std::result::Result<Option<Vec<u8>>, E> + 'a;

/// What became of the rows of a run.
pub(super) enum Bringing {
    /// They are here.
    Done,
    /// This segment is not there any more.
    Missing(SegmentName),
    /// Nobody publishes them there now.
    Nowhere,
}

/// Notes in a replica that a segment was passed over, and of which runs it has rows.
pub(super) fn note(tx: &mut WriteTx<'_>, prefix: ObjectId, number: u64, runs: Vec<[u8; 16]>) -> Result<()> {
    let body = RowSegments { runs: vec![runs] }.to_body();
    let body = body.map_err(|cause| Error::format(format_args!("segment {number}"), cause))?;
    let control = tx.workspace_key(tx.keyring, Purpose::Control)?;
    // The sum of what a device published does not count it.
    tx.put(ObjectKey::new(Kind::Segment, prefix, number), None, &control, &body, Cover::Head).map(drop)
}

/// Returns the segments that were passed over: their numbers, and the runs of which they have rows.
fn noted(tx: &ReadTx<'_>, keyring: &Keyring, prefix: ObjectId) -> Result<Vec<(u64, Vec<ObjectId>)>> {
    let mut all = Vec::new();
    for row in tx.objects(Kind::Segment, Some(prefix))? {
        let number = row.key.position;
        let read = RowSegments::from_body(&tx.open_object(keyring, &row)?);
        let read = read.map_err(|cause| Error::format(format_args!("segment {number}"), cause))?;
        all.push((number, read.runs.into_iter().flatten().map(ObjectId).collect()));
    }
    Ok(all)
}

impl Exchange {
    /// Returns whether rows of others stay on the remote.
    pub(super) fn leaves_rows(&self) -> Result<bool> {
        Ok(self.stays_there([0; 16])?.is_some())
    }

    /// Tells who merges a replica what was left of it.
    pub(super) fn tell_what_was_left(&self, replica: &Replica) -> Result<()> {
        let noted = replica.inner().read(|tx, keyring| noted(tx, keyring, replica.prefix))?;
        let runs = noted.into_iter().flat_map(|(_, runs)| runs).collect();
        replica.inner().set_rows_there(RowsThere { place: self.place_of(replica), runs });
        Ok(())
    }

    fn place_of(&self, replica: &Replica) -> RowsPlace {
        RowsPlace { remote: self.remote.id, prefix: replica.prefix.0 }
    }

    /// Brings here what devices published on this remote of the rows of a run. `fetch` gives segments as the remote has them, none for
    /// one that is not there any more.
    pub(super) fn bring_rows<E: From<Error>>(
        &self,
        run: ObjectId,
        fetch: &mut Segments<'_, E>,
    ) -> std::result::Result<Bringing, E> {
        let inner = &self.workspace.inner;
        let Some(away) = inner.read(|tx, keyring| rows_away::of(tx, keyring, run))? else { return Ok(Bringing::Done) };
        let is_here = |place: &&RowsPlace| place.remote == self.remote.id;
        let mut is_anywhere = false;
        for place in away.places.iter().filter(is_here) {
            let Some(replica) = self.other(ObjectId(place.prefix))? else { continue };
            if replica.inner().read(|tx, _| tx.object(ObjectKey::new(Kind::Run, run, 0)))?.is_none() {
                continue;
            }
            if let Some(number) = self.fill(&replica, run, fetch)? {
                return Ok(Bringing::Missing(SegmentName { prefix: replica.prefix.to_string(), number }));
            }
            self.tell_what_was_left(&replica)?;
            self.workspace.merge_rows(&replica.workspace, run)?;
            is_anywhere = true;
        }
        if !is_anywhere {
            return Ok(Bringing::Nowhere);
        }
        // What stands nowhere else now comes in again once its device publishes it.
        inner.write(None, |tx| {
            let Some(mut away) = rows_away::of(tx, tx.keyring, run)? else { return Ok(()) };
            away.places.retain(|place| place.remote != self.remote.id);
            if away.places.is_empty() { rows_away::remove(tx, run) } else { rows_away::put(tx, run, &away) }
        })?;
        Ok(Bringing::Done)
    }

    /// Brings here the rows of all runs that lie where a device publishes under another root key than `advance` tells of: once that
    /// one is taken over, the keys go that open them.
    ///
    /// What is not there any more is published anew, or was lost: it is left as it is.
    ///
    /// # Errors
    /// If the workspace cannot be read or written; those of `fetch`.
    pub fn bring_before<'a, E: From<Error>>(
        &self,
        advance: &Advance,
        heads: impl Iterator<Item = &'a Advance>,
        fetch: &mut Segments<'_, E>,
    ) -> std::result::Result<(), E> {
        let stays = |head: &&Advance| head.head.epoch_id == advance.head.epoch_id;
        let staying: HashSet<ObjectId> = heads.filter(stays).map(|head| head.object).collect();
        let inner = &self.workspace.inner;
        for run in inner.read(|tx, _| tx.object_ids(Kind::RowsAway))? {
            let away = inner.read(|tx, keyring| rows_away::of(tx, keyring, run))?.unwrap_or_default();
            let mut places = away.places.iter().filter(|place| place.remote == self.remote.id);
            if places.any(|place| !staying.contains(&ObjectId(place.prefix))) {
                self.bring_rows(run, fetch)?;
            }
        }
        Ok(())
    }

    /// Puts the row groups of a run into a replica that were left; returns the number of a segment that is not there any more.
    fn fill<E: From<Error>>(
        &self,
        replica: &Replica,
        run: ObjectId,
        fetch: &mut Segments<'_, E>,
    ) -> std::result::Result<Option<u64>, E> {
        let (noted, mut lacks) = replica.inner().read(|tx, keyring| {
            let Some(data) = RunData::load(tx, keyring, run)? else { return Ok(Default::default()) };
            Ok((noted(tx, keyring, replica.prefix)?, rows_away::lacking(tx, keyring, &data)?))
        })?;
        let prefix = replica.prefix.to_string();
        // The latest first: row groups that were written anew stand there, and the earlier ones are not asked for.
        for (number, _) in noted.into_iter().rev().filter(|(_, runs)| runs.contains(&run)) {
            if lacks.is_empty() {
                break;
            }
            let name = SegmentName { prefix: prefix.clone(), number };
            let Some(sealed) = fetch(&name)? else { return Ok(Some(number)) };
            let segment = Segment::open(&*self.control_key()?, self.workspace_id(), replica.prefix, number, &sealed)
                .map_err(|cause| Error::damaged(format!("segment {number} of device {prefix}: {cause}")))?;
            let mut entries = segment.entries;
            entries.retain(|entry| matches!(entry, SegmentEntry::Block { run: of, .. } if *of == run.0));
            for entry in &entries {
                if let SegmentEntry::Block { writer, number, part, .. } = entry {
                    lacks.remove(&(WriterId(*writer), *number, *part));
                }
            }
            replica.inner().write(None, |tx| apply(tx, &entries, Blocks::Stored))?;
        }
        Ok(None)
    }
}
