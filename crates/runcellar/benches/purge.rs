//! Purging one run among ten thousand, and an artifact of ten gigabytes, beside commits of the same disk.
//!
//! `cargo bench -p runcellar --bench purge`. The limits are 150 ms and a second, and the fsyncs. What is put is cut, sealed and
//! entered like any content, and the bytes of the packs are thrown away: a purge does not read them.
//! `RUNCELLAR_BENCH_GIGABYTES` (10) sets how much.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use runcellar::artifacts::{ArtifactDraft, PutSettings};
use runcellar::io::{FileIdentity, Io, IoFile, SystemIo};
use runcellar::{Keys, OpenOptions, PurgeOptions, WholeRun, Workspace, json};

const RUNS: usize = 10_000;
const PURGES: usize = 5;

fn whole(number: usize) -> WholeRun {
    WholeRun {
        id: format!("run-{number}"),
        project: "bench".into(),
        config: json!({"lr": 0.1, "layers": [64, 32], "optimizer": "adam"}),
        created: 1_700_000_000_000_000 + number as i64,
        finished: 1_700_000_100_000_000 + number as i64,
        metrics: (0..10).map(|metric| (format!("metric/{metric}"), 0.0, number as f64)).collect(),
    }
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("reads");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: f64 = [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

/// One durable commit of a small row.
fn commit_ms(directory: &Path) -> f64 {
    let connection = rusqlite::Connection::open(directory.join("reference.db")).expect("opens");
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (v BLOB)")
        .expect("SQL");
    let mut times: Vec<f64> = (0..21)
        .map(|_| {
            let begun = Instant::now();
            connection.execute("INSERT INTO t VALUES (zeroblob(100))", []).expect("inserts");
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[10]
}

/// Content that is put as one version.
const VERSION_BYTES: usize = 512 << 20;

/// The system, but for packs, which take no bytes.
struct WithoutPacks;

impl Io for WithoutPacks {
    fn wall_us(&self) -> i64 {
        SystemIo.wall_us()
    }

    fn monotonic_us(&self) -> i64 {
        SystemIo.monotonic_us()
    }

    fn random(&self, out: &mut [u8]) -> Result<()> {
        SystemIo.random(out)
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        let file = SystemIo.create_new(path)?;
        match path.extension().is_some_and(|end| end == "pack") {
            true => Ok(Arc::new(NoBytes(file, AtomicU64::new(0)))),
            false => Ok(file),
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn IoFile>> {
        SystemIo.open(path)
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        SystemIo.read(path, limit)
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>> {
        SystemIo.list(path)
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        SystemIo.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        SystemIo.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        SystemIo.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        SystemIo.link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        SystemIo.remove(path)
    }

    fn identity(&self, path: &Path) -> Result<FileIdentity> {
        SystemIo.identity(path)
    }

    fn modified_us(&self, path: &Path) -> Result<i64> {
        SystemIo.modified_us(path)
    }
}

struct NoBytes(Arc<dyn IoFile>, AtomicU64);

impl IoFile for NoBytes {
    fn append(&self, bytes: &[u8]) -> Result<usize> {
        self.1.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize> {
        self.0.read_at(out, offset)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.1.load(Ordering::Relaxed))
    }

    fn try_lock(&self) -> Result<bool> {
        self.0.try_lock()
    }

    fn lock_holder(&self) -> Result<Option<u32>> {
        self.0.lock_holder()
    }

    fn identity(&self) -> Result<FileIdentity> {
        self.0.identity()
    }
}

/// Puts versions of an artifact until they have so many gigabytes, and purges all of it.
fn artifact() {
    let gigabytes = std::env::var("RUNCELLAR_BENCH_GIGABYTES").map_or(10, |text| text.parse().expect("a number"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = Keys { directory: Some(directory.path().join("keys")), ..Keys::default() };
    let options = OpenOptions { keys, create: true, io: Arc::new(WithoutPacks), ..OpenOptions::default() };
    let workspace = options.open(&directory.path().join("w")).expect("opens");
    let settings = PutSettings { project: "bench".into(), ..PutSettings::default() };
    let mut state = 1_u64;
    for _ in 0..gigabytes * (1 << 30) / VERSION_BYTES {
        let mut content = vec![0; VERSION_BYTES];
        for word in content.as_chunks_mut::<8>().0 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *word = (state ^ (state >> 29)).to_le_bytes();
        }
        let mut draft = ArtifactDraft::new("large", "dataset").expect("a name");
        draft.add_bytes("content", content).expect("adds");
        workspace.put_artifact(&draft, &settings).expect("puts");
    }
    let mut kept = ArtifactDraft::new("kept", "dataset").expect("a name");
    kept.add_bytes("content", vec![7; 1 << 20]).expect("adds");
    workspace.put_artifact(&kept, &settings).expect("puts");
    let commit = commit_ms(directory.path());
    let (begun, used) = (Instant::now(), cpu());
    let purged =
        workspace.purge(&["artifact:large".parse().expect("a target")], PurgeOptions::default()).expect("purges");
    let (wall, used) = (begun.elapsed().as_secs_f64() * 1e3, (cpu() - used) * 1e3);
    assert!(purged.receipt.is_complete(), "{}", purged.receipt.to_json());
    println!("purge of an artifact of {gigabytes} GiB; one FULL commit here takes {commit:.2} ms");
    println!("wall {wall:.0} ms, {used:.0} ms of CPU (at most 1000 ms)");
}

fn main() {
    runs();
    artifact();
}

fn runs() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = Keys { directory: Some(directory.path().join("keys")), ..Keys::default() };
    let workspace = Workspace::open_or_create(directory.path().join("w"), keys).expect("opens");
    workspace.make_whole_runs((0..RUNS).map(whole)).expect("makes runs");
    assert_eq!(workspace.runs(&Default::default()).expect("lists").len(), RUNS);
    let commit = commit_ms(directory.path());
    println!("purge of one run among {RUNS}; one FULL commit here takes {commit:.2} ms");
    for number in 0..PURGES {
        let target = format!("run-{}", number * 1999).parse().expect("a target");
        let (begun, used) = (Instant::now(), cpu());
        let purged = workspace.purge(&[target], PurgeOptions::default()).expect("purges");
        let (wall, used) = (begun.elapsed().as_secs_f64() * 1e3, (cpu() - used) * 1e3);
        assert!(purged.receipt.is_complete(), "{}", purged.receipt.to_json());
        println!("wall {wall:.0} ms, {used:.0} ms of CPU (at most 150 ms and the fsyncs)");
    }
}
