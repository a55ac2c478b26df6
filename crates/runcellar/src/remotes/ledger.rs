//! The ledger of a remote: every object that was ever sent there, written down before it goes. docs/FORMAT.md, "Ledger".
//!
//! `remotes/<remote>/ledger` is only ever appended to, by who exchanges with the remote, and stays when the remote is
//! removed. How far it went is remembered in the own replica, so that a ledger whose end is missing is told from a
//! shorter one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runcellar_format::ObjectId;
use runcellar_format::ledger::{CONSENT_FIELD, LedgerEvent, LedgerLine, LedgerMark, LedgerPart, read_ledger};
use runcellar_format::object::SealedObject;
use runcellar_format::record::{Consent, LAST_SYNC_FIELD, LastSync, extra_body, set_extra_body};
use runcellar_format::seal::{Envelope, Kind, OwnerKey, checksum};

use super::consent::terms_in;
use super::exchange::Exchange;
use super::packs::PackName;
use super::record::{RemoteClass, find, hex, load};
use super::replica::{cursor, folder, put_cursor};
use crate::blob::Class;
use crate::db::ObjectKey;
use crate::io::{self, IoFile};
use crate::keys::Purpose;
use crate::workspace::{Inner, REMOTES, TMP};
use crate::{Error, ErrorKind, Result, Selection, Workspace};

/// Name of the file.
pub(super) const LEDGER: &str = "ledger";
/// Field of `LastSync.extra`: how far the ledger went at the end of an exchange.
const MARK_FIELD: u16 = 1;
/// Field of `LastSync.extra`: the consent of which the ledger told last.
const AGREED_FIELD: u16 = 2;

/// What an object is, for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A welcome or a head: of the device as a whole.
    Device,
    /// A segment of this device.
    Segment(u64),
    /// A pack.
    Pack(&'a PackName),
}

/// An object that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentObject {
    /// When it was about to be sent, microseconds UTC since 1970.
    pub time: i64,
    /// Its name on the remote.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// BLAKE3 of it: 64 hexadecimal digits.
    pub hash: String,
    /// Its class; none if it is of the device as a whole.
    pub class: Option<RemoteClass>,
    /// Ids of the runs of which it tells; object ids of those that are not here any more. Content is shared by runs, so a pack
    /// names none: segments say what it holds.
    pub runs: Vec<String>,
    /// BLAKE3 of the text that the user had agreed to.
    pub consent: String,
    /// BLAKE3 of the terms document that this text names.
    pub terms: Option<String>,
    /// When the remote said that it has it; none if that was never heard.
    pub stored: Option<i64>,
    /// When it was deleted there.
    pub deleted: Option<i64>,
}

/// What the user agreed to before something was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedTo {
    /// When, microseconds UTC since 1970.
    pub time: i64,
    /// The text.
    pub text: String,
    /// BLAKE3 of it: 64 hexadecimal digits.
    pub hash: String,
    /// BLAKE3 of the terms document that it names.
    pub terms: Option<String>,
    /// The key of the device that signed it: 64 hexadecimal digits.
    pub public_key: String,
    /// Its signature: 128 hexadecimal digits.
    pub signature: String,
    /// Whether text, hash, time and signature belong together.
    pub holds: bool,
}

impl AgreedTo {
    fn of(consent: &Consent) -> AgreedTo {
        AgreedTo {
            time: consent.time,
            text: consent.text.clone(),
            hash: hex(&consent.hash),
            terms: terms_in(&consent.text).map(str::to_owned),
            public_key: hex(&consent.public),
            signature: hex(&consent.signature),
            holds: consent.holds(),
        }
    }
}

/// The ledger of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The remote's name, or the one that it had.
    pub remote: String,
    /// What the user agreed to, in order.
    pub agreed: Vec<AgreedTo>,
    /// What was sent, in order.
    pub objects: Vec<SentObject>,
    /// What is wrong with it: it was altered or cut.
    pub problems: Vec<String>,
}

/// A ledger that is written.
pub struct LedgerWriter<'a> {
    exchange: &'a Exchange,
    key: Arc<OwnerKey>,
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    file: Arc<dyn IoFile>,
    mark: LedgerMark,
    /// Where it stood when that was remembered.
    remembered: LedgerMark,
}

impl std::fmt::Debug for LedgerWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

fn mark_of(last: &LastSync) -> Result<LedgerMark> {
    let mark = extra_body(&last.extra, MARK_FIELD).map_err(|cause| Error::format("ledger mark", cause))?;
    Ok(mark.unwrap_or_default())
}

/// Returns whether the ledger has told of this very consent.
fn is_told(last: &LastSync, consent: &Consent) -> bool {
    last.extra.iter().any(|(field, signature)| *field == AGREED_FIELD && *signature == consent.signature)
}

/// Reads a ledger from a mark on; none if there is no file.
fn part_from(
    inner: &Inner,
    path: &Path,
    mark: LedgerMark,
    key: &OwnerKey,
    remote: ObjectId,
) -> Result<Option<LedgerPart>> {
    let failed = |cause| Error::io("read", path, cause);
    let file = match inner.io.open(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let len = file.len().map_err(failed)?;
    let rest = usize::try_from(len.saturating_sub(mark.bytes)).unwrap_or(usize::MAX);
    let bytes = io::read_range(&*file, mark.bytes, rest).map_err(failed)?;
    let mut part = read_ledger(mark, &bytes, key, (inner.id, remote));
    if len < mark.bytes {
        // What is there is another one.
        part.end = LedgerMark::default();
    }
    Ok(Some(part))
}

impl Exchange {
    /// Opens the ledger, to write down what is sent from now on.
    ///
    /// One that does not go on where it had ended says so from then on.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn ledger(&self) -> Result<LedgerWriter<'_>> {
        let inner = &*self.workspace.inner;
        let remote = ObjectId(self.remote.id);
        let key = inner.read(|tx, keyring| tx.workspace_key(keyring, Purpose::Control))?;
        let path = folder(inner, remote).join(LEDGER);
        let last = self.last_sync()?;
        let known = mark_of(&last)?;
        let mut broken = None;
        let mut part = part_from(inner, &path, known, &key, remote)?;
        let is_short = part.as_ref().is_none_or(|part| part.end.lines < known.lines);
        if is_short || part.as_ref().is_some_and(|part| part.problem.is_some()) {
            // Not as it was left: what can be read of it is kept.
            part = part_from(inner, &path, LedgerMark::default(), &key, remote)?;
            let whole = part.as_ref().map_or(0, |part| part.end.lines);
            broken = (known.lines > 0 || whole > 0 || part.as_ref().is_some_and(|part| part.problem.is_some()))
                .then(|| format!("it had {} lines, and {whole} of them were found whole", known.lines));
        }
        let mark = part.as_ref().map_or_else(LedgerMark::default, |part| part.end);
        let failed = |cause| Error::io("write", &path, cause);
        let file = match part {
            None => {
                let made = inner.io.create_new(&path).map_err(failed)?;
                inner.io.sync_dir(path.parent().unwrap_or(&path)).map_err(failed)?;
                made
            }
            Some(_) => {
                let file = inner.io.open(&path).map_err(failed)?;
                match file.len().map_err(failed)? == mark.bytes {
                    true => file,
                    // A line that a crash cut off, or what is no line, goes: the next one stands where readers look.
                    false => {
                        let len = usize::try_from(mark.bytes).unwrap_or(usize::MAX);
                        let whole = io::read_range(&*file, 0, len).map_err(failed)?;
                        let temporary = inner.path.join(TMP).join(format!("{remote}.{LEDGER}"));
                        let _ = inner.io.remove(&temporary);
                        io::replace(&*inner.io, &path, &temporary, &whole).map_err(failed)?;
                        inner.io.open(&path).map_err(failed)?
                    }
                }
            }
        };
        let open = Mutex::new(Open { file, mark, remembered: known });
        let writer = LedgerWriter { exchange: self, key, path, open };
        if mark.lines == 0 {
            writer.write(
                LedgerLine { event: LedgerEvent::Began, name: self.remote.name.clone(), ..Default::default() },
                true,
            )?;
        }
        let is_whole = mark.lines > 0 && broken.is_none();
        if let Some(what) = broken {
            writer.write(LedgerLine { event: LedgerEvent::Broken, name: what, ..LedgerLine::default() }, true)?;
        }
        if let Some(consent) = self.remote.consent.as_ref().filter(|consent| !is_whole || !is_told(&last, consent)) {
            let named = |cause| Error::format("consent", cause);
            let mut line = LedgerLine { event: LedgerEvent::Agreed, consent: consent.hash, ..LedgerLine::default() };
            set_extra_body(&mut line.extra, CONSENT_FIELD, consent).map_err(named)?;
            writer.write(line, true)?;
        }
        Ok(writer)
    }

    /// Returns how long objects are that were sent, by name, as far as the ledger is whole.
    pub(super) fn sent_bytes(&self) -> Result<HashMap<String, u64>> {
        let (inner, remote, key) = (&*self.workspace.inner, ObjectId(self.remote.id), self.control_key()?);
        let part = part_from(inner, &folder(inner, remote).join(LEDGER), LedgerMark::default(), &key, remote)?;
        let lines = part.unwrap_or_default().lines.into_iter();
        let sent = lines.filter(|line| line.event == LedgerEvent::Sending);
        Ok(sent.map(|line| (line.name, line.bytes)).collect())
    }

    pub(super) fn last_sync(&self) -> Result<LastSync> {
        let last = extra_body(&self.own.cursor()?.extra, LAST_SYNC_FIELD);
        Ok(last.map_err(|cause| Error::format("last sync", cause))?.unwrap_or_default())
    }

    fn remember(&self, mark: LedgerMark) -> Result<()> {
        let own = &self.own;
        own.inner().write(None, |tx| {
            let mut at = cursor(tx, tx.keyring, own.prefix)?;
            let named = |cause| Error::format("last sync", cause);
            let mut last: LastSync = extra_body(&at.extra, LAST_SYNC_FIELD).map_err(named)?.unwrap_or_default();
            set_extra_body(&mut last.extra, MARK_FIELD, &mark).map_err(named)?;
            if let Some(consent) = &self.remote.consent {
                last.extra.retain(|(field, _)| *field != AGREED_FIELD);
                last.extra.push((AGREED_FIELD, consent.signature.clone()));
            }
            set_extra_body(&mut at.extra, LAST_SYNC_FIELD, &last).map_err(named)?;
            put_cursor(tx, own.prefix, &at)
        })
    }

    /// Returns class and runs of an object.
    fn content_of(&self, subject: Subject<'_>) -> Result<(Option<u8>, Vec<[u8; 16]>)> {
        match subject {
            Subject::Device => Ok((None, Vec::new())),
            Subject::Segment(number) => {
                let runs = self.runs_of_segment(number)?;
                Ok((Some(RemoteClass::Metrics as u8), runs.into_iter().map(|run| run.0).collect()))
            }
            Subject::Pack(name) => Ok((self.class_of_pack(name)?.map(|class| class as u8), Vec::new())),
        }
    }

    fn class_of_pack(&self, name: &PackName) -> Result<Option<RemoteClass>> {
        let Some(pack) = ObjectId::from_hex(&name.pack) else { return Ok(None) };
        self.workspace.inner.read(|tx, _| {
            let Some(row) = tx.object(ObjectKey::new(Kind::Pack, pack, 0))? else { return Ok(None) };
            let envelope = Envelope::parse("pack directory", &row.body);
            let envelope = envelope.map_err(|cause| Error::format(format_args!("pack {pack}"), cause))?;
            let purpose = tx.key_row(envelope.key)?.map(|row| row.purpose);
            let class = Class::ALL.into_iter().find(|class| Some(class.purpose() as u8) == purpose);
            Ok(class.map(|class| match class {
                Class::Artifacts => RemoteClass::Artifacts,
                Class::Code => RemoteClass::Code,
                Class::Media => RemoteClass::Media,
            }))
        })
    }
}

impl LedgerWriter<'_> {
    /// Writes down that an object is about to be sent; when this returns a crash does not lose it.
    ///
    /// # Errors
    /// If it cannot be written: then nothing may be sent.
    pub fn sending(&self, name: &str, subject: Subject<'_>, object: &SealedObject) -> Result<()> {
        let bytes = object.read().map_err(|cause| Error::new(ErrorKind::Io, format!("{name}: {cause}")))?;
        let (class, runs) = self.exchange.content_of(subject)?;
        let consent = self.exchange.remote.consent.as_ref().map_or([0; 32], |consent| consent.hash);
        let (name, len, hash) = (name.to_owned(), object.len(), checksum(&bytes));
        let event = LedgerEvent::Sending;
        self.write(LedgerLine { event, name, bytes: len, hash, class, runs, consent, ..LedgerLine::default() }, true)
    }

    /// Writes down that an object was stored.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn sent(&self, name: &str) -> Result<()> {
        self.write(LedgerLine { event: LedgerEvent::Sent, name: name.to_owned(), ..LedgerLine::default() }, false)
    }

    /// Writes down that an object is about to be deleted.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn deleting(&self, name: &str) -> Result<()> {
        self.write(LedgerLine { event: LedgerEvent::Deleting, name: name.to_owned(), ..LedgerLine::default() }, true)
    }

    /// Writes down that an object was deleted.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn deleted(&self, name: &str) -> Result<()> {
        self.write(LedgerLine { event: LedgerEvent::Deleted, name: name.to_owned(), ..LedgerLine::default() }, false)
    }

    /// Writes down that what had an object's name before was deleted.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn deleted_older(&self, name: &str) -> Result<()> {
        let event = LedgerEvent::DeletedOlder;
        self.write(LedgerLine { event, name: name.to_owned(), ..LedgerLine::default() }, false)
    }

    /// Remembers how far the ledger goes, by which it is told if its end goes missing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn settle(&self) -> Result<()> {
        let mut open = self.open();
        if open.mark == open.remembered {
            return Ok(());
        }
        open.file.sync().map_err(|cause| Error::io("sync", &self.path, cause))?;
        self.exchange.remember(open.mark)?;
        open.remembered = open.mark;
        Ok(())
    }

    /// Ends the ledger: the remote is removed here.
    pub(super) fn forget(&self) -> Result<()> {
        self.write(LedgerLine { event: LedgerEvent::Forgotten, ..LedgerLine::default() }, true)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, line: LedgerLine, durably: bool) -> Result<()> {
        let inner = &*self.exchange.workspace.inner;
        let mut open = self.open();
        let line = LedgerLine { time: inner.io.wall_us(), ..line };
        let of = (inner.id, ObjectId(self.exchange.remote.id));
        let sealed = line.seal_after(open.mark, &self.key, io::random(&*inner.io)?, of);
        let (bytes, after) = sealed.map_err(|cause| Error::format("ledger line", cause))?;
        let failed = |cause| Error::io("write", &self.path, cause);
        io::write_all(&*open.file, &bytes).map_err(failed)?;
        if durably {
            open.file.sync().map_err(failed)?;
        }
        open.mark = after;
        Ok(())
    }
}

impl Workspace {
    /// Reads the ledgers of all remotes, or of one: those that were removed, too.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such remote, and was none; if a ledger cannot be read. What is wrong with one
    /// stands in [`Ledger::problems`].
    pub fn ledgers(&self, name: Option<&str>) -> Result<Vec<Ledger>> {
        let inner = &*self.inner;
        let remotes = inner.read(load)?;
        let key = inner.read(|tx, keyring| tx.workspace_key(keyring, Purpose::Control))?;
        let folders = match inner.io.list(&inner.path.join(REMOTES)) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|cause| Error::io("list", &inner.path.join(REMOTES), cause))?,
        };
        let mut ids: Vec<ObjectId> = remotes.all.iter().map(|remote| ObjectId(remote.id)).collect();
        let removed = folders.iter().filter_map(|name| ObjectId::from_hex(name.file_name()?.to_str()?));
        let mut removed: Vec<ObjectId> = removed.filter(|id| !ids.contains(id)).collect();
        removed.sort_unstable();
        ids.extend(removed);
        let runs = self.run_ids()?;
        let mut ledgers = Vec::new();
        for id in ids {
            let remote = remotes.all.iter().find(|remote| remote.id == id.0);
            let part = part_from(inner, &folder(inner, id).join(LEDGER), LedgerMark::default(), &key, id)?;
            if part.is_none() && remote.is_none() {
                continue;
            }
            let exchange = remote.map(|remote| self.look_at(remote)).transpose()?.flatten();
            let known = exchange.map(|exchange| exchange.last_sync().and_then(|last| mark_of(&last))).transpose()?;
            let mut ledger = told(part.unwrap_or_default(), known, remote.is_some(), &runs);
            if let Some(remote) = remote {
                ledger.remote.clone_from(&remote.name);
            }
            if name.is_none_or(|name| name == ledger.remote) {
                ledgers.push(ledger);
            }
        }
        match (name, ledgers.is_empty()) {
            (Some(name), true) => Err(find(&remotes, name).map_or_else(|error| error, |_| Error::invalid("no ledger"))),
            _ => Ok(ledgers),
        }
    }

    /// Returns the ids that users see, by object id.
    fn run_ids(&self) -> Result<HashMap<[u8; 16], String>> {
        let mut ids = HashMap::new();
        for removed in [false, true] {
            let runs = self.runs(&Selection { removed, ..Selection::default() })?;
            ids.extend(runs.into_iter().map(|run| (run.object.0, run.id)));
        }
        Ok(ids)
    }
}

/// Makes what users see of the lines of a ledger.
fn told(part: LedgerPart, known: Option<LedgerMark>, is_here: bool, runs: &HashMap<[u8; 16], String>) -> Ledger {
    let mut ledger = Ledger { remote: String::new(), agreed: Vec::new(), objects: Vec::new(), problems: Vec::new() };
    let mut is_ended = false;
    for line in part.lines {
        is_ended = false;
        match line.event {
            LedgerEvent::Began => ledger.remote.clone_from(&line.name),
            LedgerEvent::Sending => ledger.objects.push(SentObject {
                time: line.time,
                bytes: line.bytes,
                hash: hex(&line.hash),
                class: line.class.and_then(|number| RemoteClass::ALL.into_iter().find(|class| *class as u8 == number)),
                runs: line.runs.iter().map(|run| runs.get(run).cloned().unwrap_or_else(|| hex(run))).collect(),
                terms: ledger
                    .agreed
                    .last()
                    .filter(|agreed| agreed.hash == hex(&line.consent))
                    .and_then(|agreed| agreed.terms.clone()),
                consent: hex(&line.consent),
                stored: None,
                deleted: None,
                name: line.name,
            }),
            LedgerEvent::Sent => {
                let last = ledger.objects.iter_mut().rfind(|object| object.name == line.name);
                if let Some(object) = last {
                    object.stored = Some(line.time);
                }
            }
            LedgerEvent::Deleted | LedgerEvent::DeletedOlder => {
                let of_name = ledger.objects.iter_mut().rev().filter(|object| object.name == line.name);
                // Of the older ones the newest is none.
                let gone = of_name.skip(usize::from(line.event == LedgerEvent::DeletedOlder));
                gone.filter(|object| object.deleted.is_none()).for_each(|object| object.deleted = Some(line.time));
            }
            LedgerEvent::Deleting => {}
            LedgerEvent::Broken => ledger.problems.push(format!("before {}: {}", crate::rfc3339(line.time), line.name)),
            LedgerEvent::Forgotten => is_ended = true,
            LedgerEvent::Agreed => match extra_body::<Consent>(&line.extra, CONSENT_FIELD) {
                Ok(Some(consent)) => ledger.agreed.push(AgreedTo::of(&consent)),
                Ok(None) => ledger.problems.push("a consent is missing".to_owned()),
                Err(problem) => ledger.problems.push(format!("a consent: {problem}")),
            },
        }
    }
    if let Some(problem) = part.problem {
        ledger.problems.push(format!("line {}: {problem}", part.end.lines + 1));
    } else if let Some(known) = known.filter(|known| known.lines > part.end.lines) {
        ledger.problems.push(format!("it had {} lines, and {} are there", known.lines, part.end.lines));
    } else if !is_here && !is_ended {
        ledger.problems.push("its end is missing".to_owned());
    }
    ledger
}
