//! Somebody who has bytes and secrets, and reads them by docs/FORMAT.md alone: no code of the store is in between.
//!
//! Files are searched as they are, so that what stands in free pages, logs and temporary files is found, too.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use runcellar_format::journal::{Found, Header, KeySource, scan};
use runcellar_format::keyslots::{KeyFile, Keyslots, SlotSecret};
use runcellar_format::seal::{ENVELOPE_START, Envelope, HEADER_BYTES, Kind, OVERHEAD_BYTES, OwnerKey, Place};
use runcellar_format::{DeviceId, FormatError, KeyId, ObjectId, Secret, SlotId, WorkspaceId};
use rusqlite::Connection;

use super::list;

pub(crate) type Id = [u8; 16];

/// The clear header of a sealed object, which no other object shares: it has the salt.
pub(crate) type Trace = [u8; HEADER_BYTES];

const WRAP_BYTES: usize = OVERHEAD_BYTES + 32;
/// Bytes of a row of the key table before its wrap: key id, owner, purpose, epoch. SQLite stores a purpose of 1 in none.
const ROW_BYTES: usize = 16 + 16 + 1 + 16;

/// A sealed object of the database, and where it belongs.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) place: Place,
    pub(crate) body: Vec<u8>,
}

impl Row {
    pub(crate) fn trace(&self) -> Trace {
        self.body[..HEADER_BYTES].try_into().expect("a sealed object")
    }

    pub(crate) fn key(&self) -> Id {
        Envelope::parse("object", &self.body).expect("a sealed object").key.0
    }
}

/// What somebody found out: keys by their ids, those of epochs among them.
#[derive(Default)]
pub(crate) struct Outsider {
    workspace: Option<WorkspaceId>,
    keys: HashMap<Id, OwnerKey>,
    /// Slots that a secret opened.
    pub(crate) slots: HashSet<SlotId>,
}

impl Outsider {
    fn workspace(&self) -> WorkspaceId {
        self.workspace.expect("keyslots were read")
    }

    /// Tries each secret on each slot of a `keyslots` file: what key files have, and what can be typed.
    pub(crate) fn unlock(&mut self, keyslots: &[u8], key_files: &[Vec<u8>], passphrases: &[&str]) {
        let file = Keyslots::decode(keyslots).expect("keyslots");
        self.workspace = Some(file.workspace);
        let entries = key_files.iter().flat_map(|bytes| KeyFile::decode(bytes).expect("a key file").entries);
        let held: Vec<Secret> = entries.map(|entry| entry.secret).collect();
        for slot in &file.slots {
            let mut tried: Vec<SlotSecret> =
                held.iter().map(|secret| SlotSecret::key_file(secret.duplicate())).collect();
            for (passphrase, params) in passphrases.iter().zip(std::iter::repeat(slot.argon2)) {
                let Some(params) = params else { continue };
                let typed = SlotSecret::passphrase(passphrase.as_bytes(), params).expect("stretches");
                tried.extend(held.iter().map(|secret| typed.with_key(secret.duplicate())));
                tried.push(typed);
            }
            for secret in tried {
                for (epoch, key) in slot.open(file.workspace, &file.epochs, &secret).unwrap_or_default() {
                    self.slots.insert(slot.id);
                    self.keys.insert(epoch.0, OwnerKey::new(KeyId(epoch.0), key));
                }
            }
        }
    }

    /// Opens wraps, for as long as one more key is found.
    pub(crate) fn unwrap_all(&mut self, wraps: &Wraps) {
        let mut known = 0;
        while known != self.keys.len() {
            known = self.keys.len();
            wraps.iter().for_each(|(row, wrap)| self.unwrap_one(row, wrap));
        }
    }

    fn unwrap_one(&mut self, row: &[u8], wrap: &[u8]) {
        let by = Envelope::parse("wrap", wrap).expect("it begins as one").key.0;
        let Some(wrapping) = self.keys.get(&by) else { return };
        let id_at = |at: usize| -> Id { row[at..at + 16].try_into().expect("16 bytes") };
        // With a purpose of one byte, and with one of none.
        for (id, owner, purpose) in [(id_at(0), id_at(16), row[32]), (id_at(1), id_at(17), 1)] {
            let place = Place::of(self.workspace(), Kind::Wrap, ObjectId(owner)).part(id_at(33)).at(purpose.into(), 0);
            if let Ok(key) = wrapping.open(&place.version(DeviceId(id), 0), wrap) {
                let secret = Secret::from_slice(&key).expect("a wrap has 32 bytes");
                self.keys.insert(id, OwnerKey::new(KeyId(id), secret));
                return;
            }
        }
    }

    /// Returns whether a key is known that an object was sealed with.
    pub(crate) fn opens(&self, trace: &Trace) -> bool {
        let Some(key) = self.keys.get(&trace[4..20]) else { return false };
        // The commitment is compared before all else, so that a wrong place or tag says that the key is the right one.
        let empty = [&trace[..], &[0; OVERHEAD_BYTES - HEADER_BYTES]].concat();
        let place = Place::of(self.workspace(), Kind::Run, ObjectId([0; 16]));
        !matches!(key.open(&place, &empty), Err(FormatError::WrongKey { .. }))
    }

    pub(crate) fn open(&self, row: &Row) -> Result<Vec<u8>, FormatError> {
        self.open_at(&row.place, &row.body)
    }

    pub(crate) fn open_at(&self, place: &Place, body: &[u8]) -> Result<Vec<u8>, FormatError> {
        let key = Envelope::parse("object", body)?.key;
        self.keys.get(&key.0).ok_or(FormatError::WrongKey { what: "object" })?.open(place, body)
    }

    /// Returns how many frames of a journal open.
    pub(crate) fn frames(&self, journal: &[u8]) -> usize {
        let (header, len) = Header::decode(journal).expect("a header");
        let KeySource::Run(key) = header.source else { return 0 };
        let Some(key) = self.keys.get(&key.0) else { return 0 };
        let frames = header.open_with_run_key(self.workspace(), key.secret()).expect("the key that it names");
        let mut count = 0;
        scan(&frames, &journal[len..], |found| {
            count += usize::from(matches!(found, Found::Frame { .. }));
            true
        });
        count
    }
}

/// Wraps, each with what stands before it.
pub(crate) type Wraps = BTreeSet<(Vec<u8>, Vec<u8>)>;

/// Returns all wraps that stand anywhere in some bytes.
pub(crate) fn wraps_anywhere(bytes: &[u8]) -> Wraps {
    let ats = traces_at(bytes).filter(|at| *at >= ROW_BYTES && bytes.len() >= at + WRAP_BYTES);
    ats.map(|at| (bytes[at - ROW_BYTES..at].to_vec(), bytes[at..at + WRAP_BYTES].to_vec())).collect()
}

/// Returns where objects begin in some bytes.
fn traces_at(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let begins = bytes.windows(4).enumerate().filter(|(_, four)| *four == ENVELOPE_START);
    begins.map(|(at, _)| at).filter(|at| bytes.len() >= at + OVERHEAD_BYTES)
}

/// Returns the headers of all objects that stand anywhere in some bytes.
pub(crate) fn traces(bytes: &[u8]) -> impl Iterator<Item = Trace> {
    traces_at(bytes).map(|at| bytes[at..at + HEADER_BYTES].try_into().expect("as long"))
}

/// Reads every sealed object of a database that nobody uses.
pub(crate) fn rows(database: &Path, workspace: WorkspaceId) -> Vec<Row> {
    let connection = Connection::open(database).expect("opens");
    let mut all = Vec::new();
    let mut statement = connection.prepare("SELECT kind, id, position, device, seq, body FROM object").expect("SQL");
    let objects = statement.query_map([], |row| {
        let place = Place::of(workspace, kind(row.get(0)?), ObjectId(row.get(1)?))
            .at(row.get::<_, i64>(2)? as u64, 0)
            .version(DeviceId(row.get(3)?), row.get::<_, i64>(4)? as u64);
        Ok(Row { place, body: row.get(5)? })
    });
    all.extend(objects.expect("rows").map(|row| row.expect("an object")));
    let mut statement = connection.prepare("SELECT run, writer, number, part, body FROM block").expect("SQL");
    let blocks = statement.query_map([], |row| {
        let place = Place::of(workspace, Kind::Block, ObjectId(row.get(0)?)).part(row.get(1)?);
        Ok(Row { place: place.at(row.get::<_, u32>(2)?.into(), row.get(3)?), body: row.get(4)? })
    });
    all.extend(blocks.expect("rows").map(|row| row.expect("a block")));
    all
}

/// Reads every wrap of a database that nobody uses.
pub(crate) fn wraps(database: &Path, workspace: WorkspaceId) -> Vec<Row> {
    let connection = Connection::open(database).expect("opens");
    let mut statement = connection.prepare("SELECT id, owner, purpose, epoch, wrap FROM key").expect("SQL");
    let wraps = statement.query_map([], |row| {
        let place = Place::of(workspace, Kind::Wrap, ObjectId(row.get(1)?))
            .part(row.get(3)?)
            .at(row.get::<_, u8>(2)?.into(), 0);
        Ok(Row { place: place.version(DeviceId(row.get(0)?), 0), body: row.get(4)? })
    });
    wraps.expect("rows").map(|row| row.expect("a wrap")).collect()
}

fn kind(number: u16) -> Kind {
    use Kind::{
        Artifact, Bucket, Catalogue, Change, GroupPage, Head, Manifest, Overview, Pack, Project, Receipt, Root, Run,
        SeriesPage, Settings, Tombstone, Version, Writer,
    };
    [
        Project, Run, Head, SeriesPage, GroupPage, Change, Root, Settings, Writer, Manifest, Bucket, Catalogue,
        Tombstone, Artifact, Overview, Pack, Version, Receipt,
    ]
    .into_iter()
    .find(|known| *known as u16 == number)
    .unwrap_or_else(|| panic!("an object of kind {number}"))
}

/// Lists all files below a directory.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in list(directory) {
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

/// Reads all files below a directory that nobody uses.
pub(crate) fn contents(directory: &Path) -> Vec<Vec<u8>> {
    files_below(directory).iter().map(|path| std::fs::read(path).expect("reads")).collect()
}
