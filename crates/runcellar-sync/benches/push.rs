//! Packs pushed to remotes, beside `rclone copy` of the same files to the same place.
//!
//! `cargo bench -p runcellar-sync --bench push`; `RUNCELLAR_BENCH_PACKS` is the number of packs of 16 MiB (64: 1 GiB). Folder: both copy from
//! disk to disk; only ours waits for the disk. S3: `rclone serve s3` on loopback. Four transfers at once, as rclone has them. Last a
//! workspace with an artifact of as many bytes: the first sync of one device, and that of another, which takes all of it in.
#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use runcellar::artifacts::{ArtifactDraft, Links, PutSettings};
use runcellar::remotes::{RemoteClass, clone_from};
use runcellar::{Keys, OpenOptions};
use runcellar_format::blob::{BlobKeys, Entry, Form, finish, header};
use runcellar_format::object::{ReadAt, SealedObject};
use runcellar_format::seal::OwnerKey;
use runcellar_format::{ChunkId, KeyId, ObjectId, Secret, WorkspaceId};
use runcellar_sync::engine;
use runcellar_sync::remote::{Folder, Location, ObjectName, Options, Remote, open};

const WORKSPACE: WorkspaceId = WorkspaceId([1; 16]);
const CHUNK: u32 = 256 << 10;
const TRANSFERS: usize = 4;
const ROUNDS: usize = 3;
const KEYS: [&str; 2] = ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"];

struct Pack(File);

impl ReadAt for Pack {
    fn read_at(&self, out: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(out, offset)
    }
}

fn key() -> OwnerKey {
    OwnerKey::new(KeyId([9; 16]), Secret::new([8; 32]))
}

/// Writes a pack of 16 MiB; its chunks are noise, as nobody here opens them.
fn write_pack(path: &Path, number: usize) {
    let mut pack = ObjectId([3; 16]);
    pack.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
    let entry = |n: u8| Entry { id: ChunkId([n; 16]), raw_len: CHUNK, stored_len: CHUNK + 16, form: Form::Raw };
    let entries: Vec<Entry> = (0..63).map(entry).collect();
    let (tail, _) = finish(&BlobKeys::derive(WORKSPACE, &key()), &key(), [7; 24], pack, &entries).expect("chunks");
    let mut file = File::create(path).expect("made");
    let mut noise = vec![0; 63 * (CHUNK as usize + 16)];
    getrandom::fill(&mut noise).expect("random");
    for part in [&header(pack)[..], &noise, &tail] {
        file.write_all(part).expect("written");
    }
    file.sync_all().expect("synced");
}

fn object(path: &Path, number: usize) -> SealedObject {
    let mut pack = ObjectId([3; 16]);
    pack.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
    let file = File::open(path).expect("there");
    let len = file.metadata().expect("there").len();
    SealedObject::of_pack(WORKSPACE, &key(), pack, Arc::new(Pack(file)), len).expect("a pack")
}

fn push(remote: &dyn Remote, packs: &[PathBuf], round: usize) -> f64 {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..TRANSFERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = packs.get(number) else { return };
                    let name = ObjectName::new(format!("round{round}/packs/{number:04}")).expect("a name");
                    assert!(remote.put_new(&name, &object(path, number)).expect("stored"));
                }
            });
        }
    });
    begun.elapsed().as_secs_f64()
}

fn copy(rclone: &Path, from: &Path, to: &str, variables: &[(&str, String)]) -> f64 {
    let begun = Instant::now();
    let mut command = Command::new(rclone);
    command.args(["copy", "--config", "/dev/null", "--transfers", "4"]).arg(from).arg(to);
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    assert!(command.status().expect("it runs").success());
    begun.elapsed().as_secs_f64()
}

/// Syncs a workspace that has an artifact of noise to a folder, and takes it in on another device.
fn whole(rclone: &Path, folder: &Path, count: usize) {
    let noise = folder.join("noise");
    let mut file = File::create(&noise).expect("made");
    let mut piece = vec![0; 16 << 20];
    for _ in 0..count {
        getrandom::fill(&mut piece).expect("random");
        file.write_all(&piece).expect("written");
    }
    drop((file, piece));
    let options = || {
        let keys = Keys { directory: Some(folder.join("keys")), ..Keys::default() };
        OpenOptions { keys, ..OpenOptions::default() }
    };
    let first = OpenOptions { create: true, ..options() }.open(&folder.join("first")).expect("made");
    let mut draft = ArtifactDraft::new("noise", "").expect("a name");
    draft.add_file(&noise, None, Links::Keep).expect("there");
    first.put_artifact(&draft, &PutSettings { project: "p".into(), ..PutSettings::default() }).expect("put");
    std::fs::remove_file(noise).expect("removed");
    let (to, copied) = (folder.join("synced"), folder.join("copied"));
    std::fs::create_dir(&to).expect("made");
    let remote = Folder::new(&to);
    first.add_remote("origin", "folder", &RemoteClass::ALL, &[]).expect("added");
    let hash = first.consent_request("origin").expect("asks").hash;
    first.enable_remote("origin", &hash).expect("enabled");
    let reference = copy(rclone, &folder.join("first/packs"), copied.to_str().expect("UTF-8"), &[]);
    let before = peak_mib();
    let begun = Instant::now();
    let sent = engine::sync(&first, "origin", &remote).expect("syncs");
    let ours = begun.elapsed().as_secs_f64();
    println!(
        "sync    rclone {reference:6.2}  ours {ours:6.2}  ratio {:.2}  {} packs",
        ours / reference,
        sent.sent_packs
    );
    println!("peak memory {} MiB, {before} MiB before", peak_mib());
    std::fs::remove_dir_all(copied).expect("removed");
    let welcome = engine::welcome(&remote).expect("answers").expect("there");
    let second = clone_from(&welcome, &folder.join("second"), options()).expect("made");
    second.add_remote("origin", "folder", &RemoteClass::ALL, &[]).expect("added");
    let begun = Instant::now();
    let fetched = engine::pull(&second, "origin", &remote).expect("pulls");
    let ours = begun.elapsed().as_secs_f64();
    assert_eq!(fetched.merged.new_versions, 1);
    println!("pull    rclone {reference:6.2}  ours {ours:6.2}  ratio {:.2}", ours / reference);
    println!("peak memory {} MiB", peak_mib());
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("told");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

fn main() {
    let count = std::env::var("RUNCELLAR_BENCH_PACKS").map_or(64, |count| count.parse().expect("a number"));
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin");
    let servers = std::env::var_os("RUNCELLAR_TEST_SERVERS").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let rclone = servers.join("rclone");
    if !rclone.exists() {
        println!("rclone is missing: sh tests/run.sh installs it");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    std::fs::create_dir(&source).expect("made");
    let packs: Vec<PathBuf> = (0..count).map(|number| source.join(format!("{number:04}"))).collect();
    packs.iter().enumerate().for_each(|(number, path)| write_pack(path, number));
    println!("{count} packs of 16 MiB, {TRANSFERS} at once; seconds, and the ratio to rclone copy");

    let to = folder.path().join("disk");
    std::fs::create_dir_all(to.join("bucket")).expect("made");
    let location: Location = to.to_str().expect("UTF-8").parse().expect("a path");
    let remote = open(&location, &Options::default()).expect("opened");
    for round in 0..ROUNDS {
        let reference = copy(&rclone, &source, to.join(format!("ref{round}")).to_str().expect("UTF-8"), &[]);
        let ours = push(&*remote, &packs, round);
        println!("folder  rclone {reference:6.2}  ours {ours:6.2}  ratio {:.2}", ours / reference);
        std::fs::remove_dir_all(to.join(format!("ref{round}"))).expect("removed");
        std::fs::remove_dir_all(to.join(format!("round{round}"))).expect("removed");
    }

    let mut server = Command::new(&rclone)
        .args(["serve", "s3", "--addr", "127.0.0.1:0", "--config", "/dev/null", "-v", "--auth-key"])
        .arg(KEYS.join(","))
        .arg(&to)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(server.stderr.take().expect("piped"));
    let address = loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).expect("UTF-8"), 0, "the server ended");
        if let Some((_, rest)) = line.split_once("http://") {
            break rest.split(['/', ']']).next().expect("one").to_owned();
        }
    };
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    let location: Location = format!("s3://bucket?endpoint=http://{address}").parse().expect("a URL");
    let variables = Arc::new(|name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some(KEYS[0].to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(KEYS[1].to_owned()),
        _ => None,
    });
    let remote = open(&location, &Options { variables, ..Options::default() }).expect("opened");
    let reference_variables = [
        ("RCLONE_S3_PROVIDER", "Rclone".to_owned()),
        ("RCLONE_S3_ENDPOINT", format!("http://{address}")),
        ("RCLONE_S3_ACCESS_KEY_ID", KEYS[0].to_owned()),
        ("RCLONE_S3_SECRET_ACCESS_KEY", KEYS[1].to_owned()),
    ];
    for round in 0..ROUNDS {
        let reference = copy(&rclone, &source, &format!(":s3:bucket/ref{round}"), &reference_variables);
        let ours = push(&*remote, &packs, round);
        println!("s3      rclone {reference:6.2}  ours {ours:6.2}  ratio {:.2}", ours / reference);
        std::fs::remove_dir_all(to.join(format!("bucket/ref{round}"))).expect("removed");
        std::fs::remove_dir_all(to.join(format!("bucket/round{round}"))).expect("removed");
    }
    println!("peak memory {} MiB", peak_mib());
    // It has served.
    let _ = server.kill();
    let _ = server.wait();
    std::fs::remove_dir_all(source).expect("removed");
    whole(&rclone, folder.path(), count);
}
