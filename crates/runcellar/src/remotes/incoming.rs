//! What other devices published: into their replicas, and from there into cellar.db.

use std::sync::Arc;

use runcellar_format::record::{DeviceHead, ROWS_FIELD, ReplicaCursor, RowSegments, Segment, extra_body};
use runcellar_format::seal::{Kind, OwnerKey};
use runcellar_format::sync::segment_hash;
use runcellar_format::{DeviceId, ObjectId};

use super::apply::{Blocks, apply};
use super::exchange::Exchange;
use super::left;
use super::packs::{Fetched, PackName, drop_fetched};
use super::replica::{Replica, cursor, put_cursor};
use crate::keys::Purpose;
use crate::workspace::forget_claim;
use crate::{Error, MergeReport, Result, Workspace};

/// What stands in a cursor for the hash of a segment that was passed over. The sum of the head tells that nothing else is missing.
const UNREAD: [u8; 32] = [0; 32];

/// What a head says, beside what is known of its device.
#[derive(Debug, Clone)]
pub struct Advance {
    /// Where the device publishes.
    pub prefix: String,
    /// The first segment that there is.
    pub first: u64,
    /// The first segment that is to be fetched.
    pub from: u64,
    /// The last; below `from` if nothing is new.
    pub to: u64,
    /// Heads that the device has seen: where they stand, and their last segments.
    pub cites: Vec<(String, u64)>,
    pub(super) head: DeviceHead,
    pub(super) object: ObjectId,
}

impl Advance {
    /// Returns the device that published: 32 hexadecimal digits. It may have done so elsewhere before.
    #[must_use]
    pub fn device(&self) -> String {
        DeviceId(self.head.device).to_string()
    }
}

/// What the remote has of this device, beside what it knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnHead {
    /// What was sent last.
    Fits,
    /// More than this copy of the workspace ever published: it is an older copy, or another went on under its name.
    Ahead,
}

impl Exchange {
    /// Compares the head of this device, as it was fetched, with what it has sent.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if the remote does not have it any more, or an older one.
    pub fn own_head(&self, sealed: Option<&[u8]>) -> Result<OwnHead> {
        let at = self.own.cursor()?;
        let lost = |what: String| {
            let message = format!(
                "{what}: the remote was rolled back, emptied, or is another; if that is meant, remove it with \
                                   remote rm and add it again"
            );
            Error::damaged(message)
        };
        let Some(sealed) = sealed else {
            return match at.headed {
                0 => Ok(OwnHead::Fits),
                sent => Err(lost(format!("what this device published up to segment {sent} is not there"))),
            };
        };
        let head = DeviceHead::open(&*self.control_key()?, self.workspace_id(), self.own.prefix, sealed)
            .map_err(|cause| Error::damaged(format!("head of this device: {cause}")).with_cause(cause))?;
        if head.number < at.headed {
            return Err(lost(format!(
                "this device published up to segment {}, and {} is there",
                at.headed, head.number
            )));
        }
        if head.number > at.headed {
            // It was stored, and the answer did not arrive.
            let sent = match self.outbox()?.contains(&head.number) {
                true => {
                    let sent = self.segment(head.number)?.read().map_err(|cause| Error::damaged(cause.to_string()))?;
                    Some(segment_hash(&sent))
                }
                // The root key was replaced since, and what waited to be sent was dropped.
                false => (head.number == at.number).then_some(at.segment),
            };
            if sent == Some(head.segment) {
                self.sent_up_to(head.number, head.welcome(), head.left().as_deref())?;
                return Ok(OwnHead::Fits);
            }
        }
        let same = head.number == at.headed && (at.number != at.headed || head.segment == at.segment);
        Ok(if same { OwnHead::Fits } else { OwnHead::Ahead })
    }

    /// Goes on as another device, which publishes elsewhere: this copy of the workspace is older than what it published, or
    /// another goes on in its place. What was published before comes in as any other device's.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn go_on_apart(self) -> Result<Exchange> {
        let (workspace, name) = (self.workspace.clone(), self.remote.name.clone());
        let inner = &workspace.inner;
        inner.settle_restored()?;
        forget_claim(&*inner.io, &inner.path, inner.id, None, &[])?;
        drop(self);
        workspace.exchange(&name)
    }

    /// Looks at the head that was fetched from under a prefix.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if it is not what a device of this workspace wrote there, if it went back in time, or
    /// tells of another past than was seen before.
    pub fn advance(&self, prefix: &str, sealed: &[u8]) -> Result<Advance> {
        let named = || format!("head of device {prefix}");
        let object = ObjectId::from_hex(prefix).ok_or_else(|| Error::damaged(format!("{}: no name", named())))?;
        let key = self.control_key()?;
        let head = DeviceHead::open(&key, self.workspace_id(), object, sealed)
            .map_err(|cause| Error::damaged(format!("{}: {cause}", named())).with_cause(cause))?;
        let at = match self.other(object)? {
            Some(replica) => replica.cursor()?,
            None => ReplicaCursor { device: head.device, ..ReplicaCursor::default() },
        };
        if at.device != head.device || (at.public != [0; 32] && at.public != head.public) {
            return Err(Error::damaged(format!("{}: another device writes there now", named())));
        }
        if head.number < at.headed {
            let message = format!(
                "{}: it went back from segment {} to {}: the remote was rolled back, or lost what it had",
                named(),
                at.headed,
                head.number
            );
            return Err(Error::damaged(message));
        }
        let first = head.first();
        if first < at.first() || first == 0 || first - 1 > head.number {
            let message = format!("{}: it tells of segments from {first} on: the remote was rolled back", named());
            return Err(Error::damaged(message));
        }
        if head.number == at.number && head.segment != at.segment && at.segment != UNREAD {
            return Err(Error::damaged(format!("{}: it tells of another past than before: it forked", named())));
        }
        let cites = head.cites.iter().map(|cited| (ObjectId(cited.prefix).to_string(), cited.number)).collect();
        let from = first.max(at.number + 1);
        Ok(Advance { prefix: prefix.to_owned(), first, from, to: head.number, cites, head, object })
    }

    /// Takes in a segment that was fetched. They come in order. Returns the number of the next one to fetch: segments that have row
    /// groups alone are passed over if these are to stay where they are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if it is not the one that its device published there.
    pub fn take_segment(&self, advance: &Advance, number: u64, sealed: &[u8]) -> Result<u64> {
        let named = || format!("segment {number} of device {}", advance.prefix);
        let key = self.control_key()?;
        let segment = Segment::open(&key, self.workspace_id(), advance.object, number, sealed)
            .map_err(|cause| Error::damaged(format!("{}: {cause}", named())).with_cause(cause))?;
        let behind: Option<RowSegments> =
            extra_body(&segment.extra, ROWS_FIELD).map_err(|cause| Error::format(named(), cause))?;
        let mut behind = behind.unwrap_or_default();
        if number + behind.runs.len() as u64 > advance.to {
            return Err(Error::damaged(format!("{}: it tells of segments that no head tells of", named())));
        }
        if !self.leaves_rows()? {
            behind.runs.clear();
        }
        let replica = self.replica_of(advance)?;
        replica.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, replica.prefix)?;
            if number <= at.number {
                return Ok(at.number + 1);
            }
            // Of what a generation goes on from nothing is there any more.
            let goes_on = number == at.first() || segment.previous == at.segment || at.segment == UNREAD;
            if number != at.number + 1 || !goes_on || segment.device != at.device {
                return Err(Error::damaged(format!("{}: it does not go on where the one before ended", named())));
            }
            apply(tx, &segment.entries, Blocks::Stored)?;
            (at.number, at.segment) = (number, segment_hash(sealed));
            for runs in behind.runs {
                (at.number, at.segment) = (at.number + 1, UNREAD);
                left::note(tx, replica.prefix, at.number, runs)?;
            }
            put_cursor(tx, replica.prefix, &at)?;
            Ok(at.number + 1)
        })
    }

    /// Compares what was taken in with what the head says of it: nothing is missing, and nothing too many.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if it is something else.
    pub fn settle(&self, advance: &Advance) -> Result<()> {
        let replica = self.replica_of(advance)?;
        replica.inner().write(None, |tx| {
            let at = cursor(tx, tx.keyring, replica.prefix)?;
            let head = &advance.head;
            let is_last = at.segment == head.segment || at.segment == UNREAD;
            if at.number != head.number || !is_last || tx.present_sum() != head.sum {
                let message = format!("device {}: what it published is not what its head says", advance.prefix);
                return Err(Error::damaged(message));
            }
            // Who merges it goes on from there.
            tx.root_mut().clock = head.clock;
            let mut at = ReplicaCursor { headed: head.number, segment: head.segment, public: head.public, ..at };
            at.set_epoch(head.epoch, head.epoch_id);
            let mine = head.cites.iter().find(|cited| cited.prefix == self.own.prefix.0);
            at.set_acknowledged(mine.map_or(0, |cited| cited.number));
            at.set_left(head.left().as_deref());
            put_cursor(tx, replica.prefix, &at)
        })
    }

    /// Merges what other devices published since the last time. `fetch` is asked for packs, as they are read.
    ///
    /// What is damaged is named in the report, and taken in by a later merge if it is whole then.
    ///
    /// # Errors
    /// As [`crate::Workspace::merge`], and those of `fetch`.
    pub fn merge<E: From<Error>>(
        &self,
        fetch: &mut dyn FnMut(&PackName) -> std::result::Result<Fetched, E>,
    ) -> std::result::Result<MergeReport, E> {
        let (mut waiting, mut taken) = (Vec::new(), Vec::new());
        for replica in self.others()? {
            let at = replica.cursor()?;
            // What was taken in only in part waits for the rest.
            if at.number == at.headed {
                let list = if at.counter == at.headed { &mut taken } else { &mut waiting };
                list.push(replica);
            }
        }
        let mut all = MergeReport::default();
        // What one device says of a run or version that another published finds it here the second time.
        for round in 0.. {
            let mut now = MergeReport::default();
            for replica in &waiting {
                // What was erased there first: it is not to come in, and what is here of it goes.
                self.workspace.erase_with(&replica.workspace)?;
                self.tell_what_was_left(replica)?;
                now.add(self.merge_by(Workspace::merge_replica, replica, fetch)?);
            }
            let is_settled = now.is_empty() || waiting.len() < 2;
            if round > 0 {
                now.unchanged_runs = 0;
            }
            all.left_out.clear();
            all.add(now);
            if is_settled {
                break;
            }
        }
        if all.new_versions > 0 {
            // What others said of a version before its content came was passed over.
            for replica in &taken {
                let more = self.merge_by(Workspace::merge_artifacts, replica, fetch)?;
                all.add(MergeReport { left_out: Vec::new(), ..more });
                drop_fetched(replica.inner())?;
            }
        }
        if !waiting.is_empty() && !self.leaves_rows()? {
            for run in self.workspace.inner.read(|tx, _| tx.object_ids(Kind::RowsAway))? {
                // What was left to be fetched stays where it is.
                self.bring_rows(run, &mut |_| Ok::<_, E>(None))?;
            }
        }
        self.follow_packs(!waiting.is_empty(), fetch)?;
        let is_whole = all.left_out.iter().all(|left| !left.damaged);
        for replica in &waiting {
            drop_fetched(replica.inner())?;
            if is_whole {
                replica.inner().write(None, |tx| {
                    let now = cursor(tx, tx.keyring, replica.prefix)?;
                    put_cursor(tx, replica.prefix, &ReplicaCursor { counter: now.headed, ..now })
                })?;
            }
        }
        Ok(all)
    }

    /// Returns the replica of a device; one of an earlier generation begins anew.
    pub(super) fn replica_of(&self, advance: &Advance) -> Result<Arc<Replica>> {
        let (inner, remote) = (&self.workspace.inner, ObjectId(self.remote.id));
        let replica = match self.other(advance.object)? {
            Some(replica) => replica,
            None => self.keep_open(Replica::open_or_make(inner, remote, advance.object, advance.head.device)?),
        };
        let mut at = replica.cursor()?;
        if at.first() >= advance.first {
            return Ok(replica);
        }
        at.set_first(advance.first);
        (at.number, at.segment) = (advance.first - 1, [0; 32]);
        Ok(self.keep_open(self.close(replica)?.renewed(inner, &at)?))
    }

    pub(super) fn control_key(&self) -> Result<Arc<OwnerKey>> {
        self.workspace.inner.read(|tx, keyring| tx.workspace_key(keyring, Purpose::Control))
    }
}
