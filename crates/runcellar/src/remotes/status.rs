//! How a remote stands: what it lacks, and how the last exchanges with it ended.

use std::time::Duration;

use runcellar_format::record::{LAST_SYNC_FIELD, LastSync, RunRecord, RunState, extra_body, set_extra_body};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, object};

use super::exchange::Exchange;
use super::held::HeldRun;
use super::record::{find, load};
use super::replica::{Replica, cursor, put_cursor};
use crate::db::ObjectKey;
use crate::ingest::data::RunData;
use crate::{Error, ErrorKind, Result, RunInfo, Workspace};

/// The longest reason that is kept of a failure, bytes.
const WHY_BYTES_MAX: usize = 1024;
/// How long is waited for another process to make the replica, which takes it some milliseconds.
const MADE_WAIT_US: i64 = 10_000_000;
/// Pause between looks for it.
const PAUSE: Duration = Duration::from_millis(10);

/// A run of which a remote does not have all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentRun {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The project's name.
    pub project: String,
    /// How it stands here.
    pub state: RunState,
    /// True if nothing of it was published by this device.
    pub is_new: bool,
}

impl UnsentRun {
    pub(super) fn new(record: &RunRecord, project: &str, is_new: bool) -> UnsentRun {
        UnsentRun {
            id: record.id.clone(),
            name: record.name.value.clone(),
            project: project.to_owned(),
            state: record.state,
            is_new,
        }
    }
}

/// What a remote does not have yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsent {
    /// Runs of which something is missing there.
    pub runs: Vec<UnsentRun>,
    /// Objects that would be stored.
    pub objects: u64,
    /// Their bytes, about.
    pub bytes: u64,
    /// Runs in which secrets were found: they are not sent, and not counted.
    pub held: Vec<HeldRun>,
}

impl Unsent {
    /// Returns whether the remote has all there is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects == 0
    }
}

/// How the last exchanges with a remote ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastExchange {
    /// When one came to its end, microseconds UTC since 1970.
    pub succeeded: Option<i64>,
    /// When one failed, and why.
    pub failed: Option<(i64, String)>,
    /// Devices that are not known here and replaced the keys: nothing of them comes in.
    pub strangers: u64,
}

impl Workspace {
    /// Finds out what a remote does not have yet of what may go there by its classes and projects. Nothing is sent, and
    /// nothing asked of it; whether something may be sent is another question ([`Workspace::may_send`]).
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is no such remote; if the workspace cannot be read, or be written at all.
    pub fn unsent(&self, name: &str) -> Result<Unsent> {
        let exchange = self.exchange_to_look(name)?;
        let (mut runs, made) = exchange.measure()?;
        let (objects, bytes) = (made.segments + made.packs, made.bytes + made.pack_bytes);
        let mut unsent = Unsent { runs: Vec::new(), objects, bytes, held: made.held };
        let waiting = exchange.outbox()?;
        for number in &waiting {
            let Some(segment) = exchange.waiting(*number)? else { continue };
            unsent.objects += 1;
            unsent.bytes += segment.len();
        }
        for pack in exchange.packs()? {
            unsent.objects += 1;
            unsent.bytes += exchange.pack(&pack)?.map_or(0, |object| object.len());
        }
        for run in exchange.runs_of(&waiting)? {
            if runs.iter().all(|known| known.id != run.id) {
                runs.push(run);
            }
        }
        if unsent.objects > 0 || exchange.head_is_due()? {
            unsent.objects += 1;
            unsent.bytes += object::GRID_BYTES;
        }
        if let Some(welcome) = exchange.welcome()?.filter(|_| !unsent.is_empty()) {
            unsent.objects += 1;
            unsent.bytes += welcome.len();
        }
        Ok(Unsent { runs, ..unsent })
    }

    /// Returns whether a remote does not have all there is of a run that may go there. Far cheaper than [`Workspace::unsent`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is no such remote; if the workspace cannot be read.
    pub fn lacks_run(&self, name: &str, run: &RunInfo) -> Result<bool> {
        self.exchange_to_look(name)?.lacks(run)
    }

    /// Returns how the last exchanges with a remote ended.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], or if it cannot be read.
    pub fn last_exchange(&self, name: &str) -> Result<LastExchange> {
        let remotes = self.inner.read(load)?;
        let Some(exchange) = self.look_at(&remotes.all[find(&remotes, name)?])? else {
            return Ok(LastExchange::default());
        };
        let last = last_sync(&exchange.own)?;
        let strangers = exchange.own.cursor()?.strangers();
        Ok(LastExchange { succeeded: last.succeeded, failed: last.failed.map(|time| (time, last.why)), strangers })
    }

    /// Remembers how an exchange with a remote ended: well, or why not.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], or if it cannot be written.
    pub fn remember_exchange(&self, name: &str, failure: Option<&str>) -> Result<()> {
        let exchange = self.exchange_to_look(name)?;
        let (own, now) = (&exchange.own, self.inner.io.wall_us());
        own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, own.prefix)?;
            let mut last: LastSync = last_of(&at.extra)?;
            match failure {
                None => last.succeeded = Some(now),
                Some(why) => {
                    last.failed = Some(now);
                    last.why = why[..why.floor_char_boundary(WHY_BYTES_MAX)].to_owned();
                }
            }
            set_extra_body(&mut at.extra, LAST_SYNC_FIELD, &last).map_err(|cause| Error::format("last sync", cause))?;
            put_cursor(tx, own.prefix, &at)
        })
    }

    /// Opens what is known of a remote beside whoever exchanges with it. The first look makes what the first exchange would.
    fn exchange_to_look(&self, name: &str) -> Result<Exchange> {
        let deadline = self.inner.io.monotonic_us() + MADE_WAIT_US;
        loop {
            let (remotes, device) =
                self.inner.read(|tx, keyring| Ok((load(tx, keyring)?, tx.root(keyring)?.device)))?;
            let remote = &remotes.all[find(&remotes, name)?];
            if remote.device == device
                && let Some(exchange) = self.look_at(remote)?
            {
                return Ok(exchange);
            }
            match self.exchange_now(name) {
                // Another process is just making it.
                Err(error) if error.kind() == ErrorKind::Busy && self.inner.io.monotonic_us() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                made => drop(made?),
            }
        }
    }
}

pub(super) fn last_of(extra: &[(u16, Vec<u8>)]) -> Result<LastSync> {
    let last = extra_body(extra, LAST_SYNC_FIELD).map_err(|cause| Error::format("last sync", cause))?;
    Ok(last.unwrap_or_default())
}

fn last_sync(own: &Replica) -> Result<LastSync> {
    last_of(&own.cursor()?.extra)
}

impl Exchange {
    /// Remembers how many devices that are not known here replaced the keys.
    ///
    /// # Errors
    /// If the own replica cannot be written.
    pub fn note_strangers(&self, count: u64) -> Result<()> {
        if self.own.cursor()?.strangers() == count {
            return Ok(());
        }
        self.own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, self.own.prefix)?;
            at.set_strangers(count);
            put_cursor(tx, self.own.prefix, &at)
        })
    }

    /// Returns whether the head that was sent last does not say all that there is to say.
    pub(super) fn head_is_due(&self) -> Result<bool> {
        let at = self.own.cursor()?;
        Ok(at.number != at.headed || at.welcome() != at.headed_welcome() || at.left() != self.left_at()?)
    }

    /// Returns the runs of which segments tell that wait to be sent.
    fn runs_of(&self, numbers: &[u64]) -> Result<Vec<UnsentRun>> {
        let mut ids = std::collections::BTreeSet::new();
        for number in numbers {
            ids.extend(self.runs_of_segment(*number)?);
        }
        let projects = self.workspace.inner.read(crate::artifacts::project_names)?;
        self.own.inner().read(|tx, keyring| {
            let mut runs = Vec::new();
            for id in ids {
                let Some(row) = tx.object(ObjectKey::new(Kind::Run, id, 0))? else { continue };
                let record = RunData::without_series(tx, keyring, &row)?.record;
                let project = projects.get(&ObjectId(record.project)).map(String::as_str).unwrap_or_default();
                runs.push(UnsentRun::new(&record, project, false));
            }
            Ok(runs)
        })
    }
}
