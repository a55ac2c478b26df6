//! Objects, names and a clock that needs no time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runcellar_format::blob::{BlobKeys, Entry, Form, finish, header};
use runcellar_format::object::{ReadAt, SealedObject};
use runcellar_format::seal::{Kind, OwnerKey, Place};
use runcellar_format::{ChunkId, KeyId, ObjectId, Secret, WorkspaceId};
use runcellar_sync::remote::{Clock, ObjectName};

const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);
const PACK: ObjectId = ObjectId([3; 16]);

fn key() -> OwnerKey {
    OwnerKey::new(KeyId([9; 16]), Secret::new([8; 32]))
}

pub(crate) fn name(name: &str) -> ObjectName {
    ObjectName::new(name).expect("a name")
}

/// An object of about so many bytes, which differ from those of other salts.
pub(crate) fn object(salt: u8, bytes: usize) -> SealedObject {
    let place = Place::of(WORKSPACE, Kind::Segment, ObjectId([2; 16]));
    key().seal_object([salt; 24], &place, &vec![salt; bytes]).expect("short")
}

struct Pack(Vec<u8>);

impl ReadAt for Pack {
    fn read_at(&self, out: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let len = out.len().min(rest.len());
        out[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// A pack of so many chunks of 256 KiB, as a file.
pub(crate) fn pack(chunks: usize) -> SealedObject {
    const CHUNK: u32 = 256 << 10;
    let entry = |n: usize| {
        let mut id = ChunkId([4; 16]);
        id.0[..8].copy_from_slice(&(n as u64).to_le_bytes());
        Entry { id, raw_len: CHUNK, stored_len: CHUNK + 16, form: Form::Raw }
    };
    let entries: Vec<Entry> = (0..chunks).map(entry).collect();
    let keys = BlobKeys::derive(WORKSPACE, &key());
    let (tail, _) = finish(&keys, &key(), [7; 24], PACK, &entries).expect("chunks");
    let mut bytes = header(PACK).to_vec();
    bytes.extend((0..chunks * (CHUNK as usize + 16)).map(|place| (place % 251) as u8));
    bytes.extend(tail);
    let len = bytes.len() as u64;
    pack_of(Arc::new(Pack(bytes)), len)
}

/// The pack that a file holds.
pub(crate) fn pack_of(file: Arc<dyn ReadAt>, len: u64) -> SealedObject {
    SealedObject::of_pack(WORKSPACE, &key(), PACK, file, len).expect("a pack")
}

/// A clock on which waiting takes no time.
#[derive(Default)]
pub(crate) struct TestClock {
    pub(crate) now: Mutex<Duration>,
    pub(crate) waits: Mutex<Vec<Duration>>,
    /// After so many waits nothing is waited for any more.
    pub(crate) patience: Option<usize>,
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        *self.now.lock().expect("sound")
    }

    fn sleep(&self, duration: Duration) -> bool {
        *self.now.lock().expect("sound") += duration;
        let mut waits = self.waits.lock().expect("sound");
        waits.push(duration);
        self.patience.is_none_or(|patience| waits.len() < patience)
    }
}

/// Says that something could not be tested here. Written past the capture of a test's output, to be seen.
pub(crate) fn not_tested(what: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "\n!! NOT TESTED: {what}").expect("standard error takes it");
}
