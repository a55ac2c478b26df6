//! What is to be published: the rows in which cellar.db differs from one's own replica.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use runcellar_format::object::SealedObject;
use runcellar_format::record::{DeviceHead, GroupEntry, RunRecord, Segment, SegmentEntry, Stamped};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use super::apply::{Blocks, block_entry, key_entry, object_entry, object_gone};
use super::content::{Files, Pools};
use super::exchange::{Exchange, cited};
use super::held::{Cleared, HeldRun};
use super::log::{Aim, Log, Mixed};
use super::replica::{Replica, cursor, put_cursor};
use super::status::UnsentRun;
use super::waste;
use crate::blob::set_apart;
use crate::db::{EpochRow, GroupKey, OF_RUN, ObjectKey, ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::keys::{KeyRow, Keyring, Purpose};
use crate::merge::{Difference, LeftOut};
use crate::workspace::settings::{self, LOCAL_ONLY};
use crate::workspace::{device_key, known_device_key};
use crate::{Error, Result, RunInfo, io};

/// What [`Exchange::prepare`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prepared {
    /// Segments that were made.
    pub segments: u64,
    /// Runs of which they tell.
    pub runs: u64,
    /// Versions of artifacts of which they tell.
    pub versions: u64,
    /// Bytes of these segments, sealed.
    pub bytes: u64,
    /// Packs of which they tell for the first time.
    pub packs: u64,
    /// Bytes of these packs.
    pub pack_bytes: u64,
    /// What is damaged here, and so is not published.
    pub left_out: Vec<LeftOut>,
    /// Runs in which secrets were found, and so are not published.
    pub held: Vec<HeldRun>,
}

/// A head to publish.
#[derive(Debug, Clone)]
pub struct Head {
    /// The last segment that it speaks of.
    pub number: u64,
    /// What is published.
    pub object: SealedObject,
    /// The welcome of which it speaks.
    welcome: [u8; 32],
    /// Where it says that content was left.
    left: Option<Vec<[u8; 16]>>,
}

impl Exchange {
    /// Looks for what is new in the workspace, and makes segments of it, which wait in the own replica until they are sent.
    ///
    /// # Errors
    /// If cellar.db or the replica cannot be read or written.
    pub fn prepare(&self) -> Result<Prepared> {
        // Others seal a new root key to this device if its welcome has it.
        self.workspace.inner.announce()?;
        let counter = self.workspace.inner.read(|tx, keyring| Ok(tx.root(keyring)?.counter))?;
        if self.own.cursor()?.counter == counter {
            return Ok(Prepared::default());
        }
        self.search_all()?;
        let mut mixed = Mixed::new();
        match self.make_segments(&mut mixed, false) {
            Err(_) if !mixed.is_empty() => {}
            made => return made,
        }
        for ((project, class), packs) in std::mem::take(&mut mixed) {
            set_apart(&self.workspace.inner, project, class, packs.into_iter().collect())?;
        }
        self.make_segments(&mut mixed, true)
    }

    /// Makes segments of what is new; fails if something is to be set apart from what stays at home, unless that was tried.
    fn make_segments(&self, mixed: &mut Mixed, was_tried: bool) -> Result<Prepared> {
        let others = self.others()?;
        let own = &self.own;
        self.workspace.inner.read(|tx, keyring| {
            let counter = tx.root(keyring)?.counter;
            own.inner().write(None, |out| {
                if out.epoch().id != tx.epoch().id {
                    let message = "the keys were replaced meanwhile: sync again";
                    return Err(Error::new(crate::ErrorKind::Busy, message));
                }
                let at = cursor(out, out.keyring, own.prefix)?;
                if at.counter == counter {
                    return Ok(Prepared::default());
                }
                let mut log = Log::new(self, at, Aim::Publish);
                if log.at.first() > 1 && log.at.first() == log.at.number + 1 {
                    let EpochRow { number, id, parent } = tx.epoch();
                    log.push(out, SegmentEntry::Epoch { number, id: id.0, parent: parent.0 })?;
                }
                let look = Look::of(self, (tx, keyring), &others)?;
                look.all(out, &mut log)?;
                if !was_tried && !log.mixed.is_empty() {
                    *mixed = log.mixed;
                    return Err(Error::new(crate::ErrorKind::Busy, "what stays at home is set apart first"));
                }
                log.flush(out)?;
                // What could not be set apart, is held back or has changed meanwhile is looked at again by the next sync.
                if log.mixed.is_empty() && log.done.held.is_empty() && !log.is_left {
                    log.at.counter = counter;
                }
                log.name_mixed();
                waste::note(&mut log.at, &log.dropped)?;
                put_cursor(out, own.prefix, &log.at)?;
                Ok(log.done)
            })
        })
    }

    /// Finds out what differs from what is published, and changes nothing: the runs, and how much they take.
    pub(super) fn measure(&self) -> Result<(Vec<UnsentRun>, Prepared)> {
        self.search_all()?;
        let others = self.others()?;
        let own = &self.own;
        let mut found = None;
        let looked = self.workspace.inner.read(|tx, keyring| {
            own.inner().write(None, |out| {
                let mut log = Log::new(self, cursor(out, out.keyring, own.prefix)?, Aim::Measure);
                Look::of(self, (tx, keyring), &others)?.all(out, &mut log)?;
                log.flush(out)?;
                found = Some((log.runs, log.done));
                // Takes back what the transaction itself counted.
                Err(Error::new(crate::ErrorKind::State, "only looked at"))
            })
        });
        match (found, looked) {
            (Some(found), _) => Ok(found),
            (None, looked) => looked,
        }
    }

    /// Returns whether a run, which is here, is not published as it is, or waits for that.
    pub(super) fn lacks(&self, run: &RunInfo) -> Result<bool> {
        if !self.takes(&run.project) || run.tags.iter().any(|tag| tag == LOCAL_ONLY) {
            return Ok(false);
        }
        let at = self.own.cursor()?;
        if at.number != at.headed || !self.outbox()?.is_empty() {
            return Ok(true);
        }
        self.workspace.inner.read(|tx, keyring| {
            let look = Look::of(self, (tx, keyring), &[])?;
            self.own.inner().read(|out, _| look.is_changed(out, run.object))
        })
    }

    /// Lists the segments that wait to be sent, in order.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn outbox(&self) -> Result<Vec<u64>> {
        let mut numbers = self.own.inner().read(|tx, _| tx.positions(Kind::Segment, self.own.prefix))?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns a segment that waits to be sent. It has the same bytes each time.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Damaged`] if it is not there, or not what was prepared.
    pub fn segment(&self, number: u64) -> Result<SealedObject> {
        let missing = || Error::damaged(format!("segment {number}: it does not wait to be sent"));
        self.waiting(number)?.ok_or_else(missing)
    }

    /// Returns a segment that waits to be sent; none if whoever exchanges with the remote has sent it meanwhile.
    pub(super) fn waiting(&self, number: u64) -> Result<Option<SealedObject>> {
        self.own.inner().read(|tx, keyring| {
            let Some(row) = tx.object(ObjectKey::new(Kind::Segment, self.own.prefix, number))? else { return Ok(None) };
            let key = tx.workspace_key(keyring, Purpose::Control)?;
            let place = runcellar_format::sync::segment_place(keyring.workspace(), self.own.prefix, number);
            let kept = key.kept_object(&place, row.body);
            kept.map(Some).map_err(|cause| Error::format(format_args!("segment {number}"), cause))
        })
    }

    /// Returns the runs of which a segment tells; none if it does not wait any more.
    pub(super) fn runs_of_segment(&self, number: u64) -> Result<BTreeSet<ObjectId>> {
        let Some(sealed) = self.waiting(number)? else { return Ok(BTreeSet::new()) };
        let sealed = sealed.read().map_err(|cause| Error::damaged(cause.to_string()))?;
        let key = self.own.inner().read(|tx, keyring| tx.workspace_key(keyring, Purpose::Control))?;
        let segment = Segment::open(&key, self.workspace_id(), self.own.prefix, number, &sealed)
            .map_err(|cause| Error::format(format_args!("segment {number}"), cause))?;
        let run = |entry: &SegmentEntry| match entry {
            SegmentEntry::Block { run, .. } => Some(ObjectId(*run)),
            SegmentEntry::Object(row) if OF_RUN.iter().any(|kind| *kind as u16 == row.kind) => Some(ObjectId(row.id)),
            _ => None,
        };
        Ok(segment.entries.iter().filter_map(run).collect())
    }

    /// Returns the head that tells of all segments there are; none if the last that was sent says so already.
    ///
    /// # Errors
    /// If the own replica cannot be read.
    pub fn head(&self) -> Result<Option<Head>> {
        // Without a welcome nobody could begin with what it tells of.
        let Some(welcome) = self.own.cursor()?.welcome() else { return Ok(None) };
        if !self.head_is_due()? {
            return Ok(None);
        }
        let left = self.left_at()?;
        let cites = self.others()?.iter().map(|other| cited(other)).collect::<Result<Vec<_>>>()?;
        let inner = &self.workspace.inner;
        let (clock, vouchers) =
            inner.read(|tx, keyring| Ok((tx.root(keyring)?.clock, settings::vouchers(tx, keyring)?)))?;
        let signing = match inner.read(known_device_key)? {
            Some(known) => known,
            None => inner.write(None, device_key)?,
        };
        self.own.inner().read(|tx, keyring| {
            let (at, epoch) = (cursor(tx, keyring, self.own.prefix)?, tx.epoch());
            let mut head = DeviceHead {
                device: at.device,
                number: at.number,
                segment: at.segment,
                sum: tx.root(keyring)?.sum,
                epoch: epoch.number,
                epoch_id: epoch.id.0,
                cites,
                clock,
                ..DeviceHead::default()
            };
            head.set_first(at.first());
            head.set_welcome(&welcome);
            head.set_vouchers(&vouchers.all);
            head.set_left(left.as_deref());
            let key = tx.workspace_key(keyring, Purpose::Control)?;
            let salt = io::random(&*self.workspace.inner.io)?;
            let object = head.seal(&signing, &key, salt, keyring.workspace(), self.own.prefix);
            let object = object.map_err(|cause| Error::format("head", cause))?;
            Ok(Some(Head { number: at.number, object, welcome, left }))
        })
    }

    /// Says that a head was stored: the segments that it speaks of need not wait any longer.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn sent(&self, head: &Head) -> Result<()> {
        self.sent_up_to(head.number, Some(head.welcome), head.left.as_deref())
    }

    pub(super) fn sent_up_to(&self, number: u64, welcome: Option<[u8; 32]>, left: Option<&[[u8; 16]]>) -> Result<()> {
        let own = &self.own;
        own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, own.prefix)?;
            tx.take_up_to(ObjectKey::new(Kind::Segment, own.prefix, number))?;
            at.headed = number.max(at.headed);
            if let Some(welcome) = welcome {
                at.set_headed_welcome(&welcome);
            }
            at.set_left(left);
            put_cursor(tx, own.prefix, &at)
        })
    }
}

/// A comparison of cellar.db with the own replica.
pub(super) struct Look<'a, 'tx> {
    pub(super) exchange: &'a Exchange,
    pub(super) tx: &'a ReadTx<'tx>,
    pub(super) keyring: &'a Keyring,
    pub(super) others: &'a [Arc<Replica>],
    /// Packs that another device publishes, and that are not here.
    pub(super) left: HashSet<ObjectId>,
}

impl<'a, 'tx> Look<'a, 'tx> {
    pub(super) fn of(
        exchange: &'a Exchange,
        (tx, keyring): (&'a ReadTx<'tx>, &'a Keyring),
        others: &'a [Arc<Replica>],
    ) -> Result<Look<'a, 'tx>> {
        let left = Look::left_there(exchange, tx, keyring)?;
        Ok(Look { exchange, tx, keyring, others, left })
    }
}

impl Look<'_, '_> {
    fn all(&self, out: &mut WriteTx<'_>, log: &mut Log<'_>) -> Result<()> {
        let projects = crate::artifacts::project_names(self.tx, self.keyring)?;
        let (mut named, mut pools, allowed) = (HashSet::new(), Pools::default(), self.allowed()?);
        // First: what came since may have the name of what went.
        self.gone(out, log, &mut pools)?;
        let runs = self.tx.object_ids(Kind::Run)?.into_iter().map(|run| Ok((run, self.is_changed(out, run)?)));
        let runs = runs.collect::<Result<Vec<_>>>()?;
        let renamed = self.renamed(out, log, &runs)?;
        for (run, is_changed) in runs {
            let mut files = self.files_of(out, run)?;
            if !is_changed && files.is_empty() {
                continue;
            }
            let Some(row) = self.tx.object(ObjectKey::new(Kind::Run, run, 0))? else { continue };
            let mut data = RunData::without_series(self.tx, self.keyring, &row)?;
            let project = ObjectId(data.record.project);
            let name = projects.get(&project).map(String::as_str).unwrap_or_default();
            if !self.is_wanted(name) || data.record.tags.iter().any(|tag| tag.name == LOCAL_ONLY) {
                continue;
            }
            if is_changed && !self.others.is_empty() {
                data.load_series(self.tx, self.keyring)?;
            }
            let is_new = out.object(ObjectKey::new(Kind::Run, run, 0))?.is_none();
            let news = if is_changed { self.is_news(&data)? } else { None };
            if news.is_none() && files.is_empty() && !renamed.contains(&run) {
                continue;
            }
            match self.is_cleared(out, run, &allowed)? {
                Cleared::Yes => {}
                Cleared::Unsearched => {
                    log.is_left = true;
                    continue;
                }
                Cleared::Held(findings) => {
                    let RunRecord { id, name: Stamped { value, .. }, .. } = data.record;
                    let project = name.to_owned();
                    log.done.held.push(HeldRun { id, name: value, project, findings, is_published: !is_new });
                    continue;
                }
            }
            let mut sound = Vec::new();
            for (class, news) in files.drain(..) {
                let what = format!("{} of run {}", class.name(), data.record.id);
                if news == Files::News && !self.has_own(out, &mut pools, (project, class), run)? {
                    continue;
                }
                if news == Files::Gone || self.want(out, log, &mut pools, (project, class), run, &what)? {
                    sound.push((class, news));
                }
            }
            // Files are told beside their run, whoever published that.
            let is_told = !sound.is_empty() || renamed.contains(&run);
            let Some(blocks) = news.or(is_told.then_some(Blocks::LeftOut)) else { continue };
            if named.insert(project) {
                self.owner(out, log, project, &[Kind::Project])?;
            }
            log.runs.push(UnsentRun::new(&data.record, name, is_new));
            self.run(out, log, &data, blocks)?;
            for files in sound {
                self.files(out, log, &mut pools, (project, run), files)?;
            }
            log.done.runs += 1;
        }
        self.artifacts(out, log, &mut pools, &mut named)?;
        self.packs(out, log, pools)?;
        for owner in self.tx.object_ids(Kind::Tombstone)? {
            self.rows(out, log, owner, &[Kind::Tombstone])?;
        }
        Ok(())
    }

    /// Takes back the records of runs that have another id here than they were published with: another run may have that id
    /// now, and only one record can. Returns these runs.
    fn renamed(
        &self,
        out: &mut WriteTx<'_>,
        log: &mut Log<'_>,
        runs: &[(ObjectId, bool)],
    ) -> Result<HashSet<ObjectId>> {
        let mut renamed = HashSet::new();
        for (run, _) in runs.iter().filter(|(_, is_changed)| *is_changed) {
            let key = ObjectKey::new(Kind::Run, *run, 0);
            let Some(published) = out.object(key)? else { continue };
            if self.tx.object(key)?.is_some_and(|mine| mine.tag != published.tag) {
                log.push(out, object_gone(key))?;
                renamed.insert(*run);
            }
        }
        Ok(renamed)
    }

    /// Returns whether something of a project may leave.
    pub(super) fn is_wanted(&self, project: &str) -> bool {
        self.exchange.takes(project)
    }

    /// Returns whether a run differs from what is published of it: every change of its rows changes its record or head.
    pub(super) fn is_changed(&self, out: &ReadTx<'_>, run: ObjectId) -> Result<bool> {
        for kind in [Kind::Run, Kind::Head] {
            let key = ObjectKey::new(kind, run, 0);
            if self.tx.object(key)? != out.object(key)? {
                return Ok(true);
            }
        }
        let mine = self.tx.keys_of(run)?;
        Ok(out.keys_of(run)?.iter().any(|row| !mine.contains(row)))
    }

    /// Compares a run with what other devices published: none if they have all of it, and whether they lack rows.
    fn is_news(&self, data: &RunData) -> Result<Option<Blocks>> {
        let mut blocks = Blocks::Stored;
        for other in self.others {
            let difference = other
                .inner()
                .read(|tx, keyring| crate::merge::difference(tx, keyring, (self.tx, self.keyring), data))?;
            match difference {
                Difference::None | Difference::Erased => return Ok(None),
                Difference::Description => blocks = Blocks::LeftOut,
                Difference::Rows => {}
            }
        }
        Ok(Some(blocks))
    }

    /// Publishes a run: keys, writers, records and pages that changed, and row groups that are new.
    fn run(&self, out: &mut WriteTx<'_>, log: &mut Log<'_>, data: &RunData, blocks: Blocks) -> Result<()> {
        let published = match out.object(ObjectKey::new(Kind::Run, data.object, 0))? {
            Some(row) => RunData::without_series(out, out.keyring, &row)?.all_groups(out, out.keyring)?,
            None => Vec::new(),
        };
        let known: HashSet<([u8; 16], u32)> = published.iter().map(|entry| (entry.writer, entry.number)).collect();
        self.keys(out, log, data.object, &[Purpose::Metrics])?;
        if blocks == Blocks::Stored {
            for entry in data.all_groups(self.tx, self.keyring)? {
                if !known.contains(&(entry.writer, entry.number)) {
                    self.group(out, log, data.object, &entry)?;
                }
            }
        }
        for session in &data.record.sessions {
            self.rows(out, log, ObjectId(session.writer), &[Kind::Writer])?;
        }
        self.rows(out, log, data.object, &OF_RUN)
    }

    fn group(&self, out: &mut WriteTx<'_>, log: &mut Log<'_>, run: ObjectId, entry: &GroupEntry) -> Result<()> {
        let group = GroupKey { run, writer: WriterId(entry.writer), number: entry.number };
        for part in 0..entry.parts {
            let block = self.tx.block(group, part)?;
            let missing = || Error::damaged(format!("run {run}: part {part} of row group {} is missing", entry.number));
            log.push(out, block_entry(block.ok_or_else(missing)?))?;
        }
        Ok(())
    }

    /// Publishes records of an owner with its keys.
    pub(super) fn owner(
        &self,
        out: &mut WriteTx<'_>,
        log: &mut Log<'_>,
        owner: ObjectId,
        kinds: &[Kind],
    ) -> Result<()> {
        self.keys(out, log, owner, &[Purpose::ProjectRecord, Purpose::ProjectEpoch])?;
        self.rows(out, log, owner, kinds)
    }

    /// Publishes an owner's keys of some purposes, as far as they changed, came or went.
    pub(super) fn keys(
        &self,
        out: &mut WriteTx<'_>,
        log: &mut Log<'_>,
        owner: ObjectId,
        purposes: &[Purpose],
    ) -> Result<()> {
        let of_these = |tx: &ReadTx<'_>| -> Result<Vec<KeyRow>> {
            let mut rows = tx.keys_of(owner)?;
            rows.retain(|row| purposes.iter().any(|purpose| row.purpose == *purpose as u8));
            Ok(rows)
        };
        let (mine, published) = (of_these(self.tx)?, of_these(out)?);
        for row in published.iter().filter(|row| mine.iter().all(|mine| mine.id != row.id)) {
            log.push(out, SegmentEntry::KeyGone(row.id.0))?;
        }
        for row in mine.iter().filter(|row| !published.contains(row)) {
            log.push(out, key_entry(row))?;
        }
        Ok(())
    }

    /// Publishes the records of some kinds that changed, came or went.
    pub(super) fn rows(&self, out: &mut WriteTx<'_>, log: &mut Log<'_>, owner: ObjectId, kinds: &[Kind]) -> Result<()> {
        kinds.iter().try_for_each(|kind| self.rows_where(out, log, (*kind, owner), 0..i64::MAX as u64, &|_| true))
    }

    /// Does so with those of a kind at some positions, as far as this device tells of them: the others are as if they were not here.
    pub(super) fn rows_where(
        &self,
        out: &mut WriteTx<'_>,
        log: &mut Log<'_>,
        (kind, owner): (Kind, ObjectId),
        at: Range<u64>,
        is_told: &dyn Fn(u64) -> bool,
    ) -> Result<()> {
        let of_these = |tx: &ReadTx<'_>| tx.objects_within(kind, owner, at.start, at.end - 1);
        let (mut mine, published) = (of_these(self.tx)?, of_these(out)?);
        mine.retain(|row| is_told(row.key.position));
        for row in published.iter().filter(|row| mine.iter().all(|mine| mine.key != row.key)) {
            log.push(out, object_gone(row.key))?;
        }
        // Both are in order of position.
        let mut published = published.iter().peekable();
        for row in &mine {
            while published.next_if(|known| known.key.position < row.key.position).is_some() {}
            if published.peek().is_none_or(|known| *known != row) {
                log.push(out, object_entry(row))?;
            }
        }
        Ok(())
    }

    /// Takes back an owner's records of some kinds, and all its keys.
    pub(super) fn take_back(
        &self,
        out: &mut WriteTx<'_>,
        log: &mut Log<'_>,
        owner: ObjectId,
        kinds: &[Kind],
    ) -> Result<()> {
        for row in out.keys_of(owner)? {
            log.push(out, SegmentEntry::KeyGone(row.id.0))?;
        }
        for kind in kinds {
            for row in out.objects(*kind, Some(owner))? {
                log.push(out, object_gone(row.key))?;
            }
        }
        Ok(())
    }

    /// Takes back what is said of the writers of a run that was erased.
    pub(super) fn writers_of(&self, out: &mut WriteTx<'_>, log: &mut Log<'_>, run: ObjectId) -> Result<()> {
        let Some(row) = out.object(ObjectKey::new(Kind::Run, run, 0))? else { return Ok(()) };
        for session in RunData::without_series(out, out.keyring, &row)?.record.sessions {
            self.rows(out, log, ObjectId(session.writer), &[Kind::Writer])?;
        }
        Ok(())
    }
}
