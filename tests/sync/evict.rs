//! Content that leaves a disk because a remote has it: nothing goes unproven, nothing of it is lost on any way, and it comes
//! back where it is read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use runcellar::remotes::{ContentSource, EvictionPlan, FetchError, PackName, RemoteClass, RemoteInfo, SegmentName};
use runcellar::{BackupOptions, CheckOptions, CollectOptions, ErrorKind, ProblemKind, Target};
use runcellar_sync::engine::{self, Evicted};
use runcellar_sync::remote::fake::{Fake, Store};
use runcellar_sync::remote::{ObjectName, Remote};

use crate::content::{noise, put, record, shown};
use crate::devices::{Device, ORIGIN};
use crate::io::{Call, Fate, Faults, Hooked};

/// Fetches from a remote in memory.
pub(crate) struct Source(Arc<Fake>);

impl ContentSource for Source {
    fn segment(&self, _: &RemoteInfo, segment: &SegmentName) -> Result<Option<Vec<u8>>, FetchError> {
        let name = ObjectName::new(format!("{}/{:010}", segment.prefix, segment.number))?;
        Ok(self.0.get(&name, None)?)
    }

    fn fetch(&self, remote: &RemoteInfo, pack: &PackName) -> Result<Option<Vec<u8>>, FetchError> {
        assert_eq!(remote.url, "memory");
        let name = ObjectName::new(format!("packs/{}/{}", pack.device, pack.pack))?;
        Ok(self.0.get(&name, None)?)
    }
}

pub(crate) fn with_source(device: &Device, store: &Store) {
    device.workspace.set_content_source(Some(Arc::new(Source(Arc::new(Fake::new(store, 9))))));
}

fn target(text: &str) -> Target {
    text.parse().expect("a target")
}

/// A device that has published a run with code and media, and two versions that share nothing.
fn published() -> (Store, Fake, Device) {
    let store = Store::new();
    let (device, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    record(&device, "one");
    put(&device, &[1; 40_000], Some("one"), &["first"]);
    device.sync(&remote).expect("syncs");
    put(&device, &[2; 50_000], None, &[]);
    device.sync(&remote).expect("syncs");
    (store, remote, device)
}

fn plan(device: &Device, what: &str) -> EvictionPlan {
    device.workspace.plan_eviction(&[target(what)], ORIGIN).expect("plans")
}

fn evict(device: &Device, remote: &dyn Remote, what: &str) -> Evicted {
    engine::evict(&device.workspace, ORIGIN, remote, &plan(device, what)).expect("evicts")
}

/// The files of packs, with what is in them.
pub(crate) fn files(device: &Device) -> BTreeMap<PathBuf, Vec<u8>> {
    let list = |path: PathBuf| std::fs::read_dir(path).expect("lists").map(|entry| entry.expect("reads").path());
    let packs = list(device.workspace.path().join("packs")).flat_map(list);
    packs.map(|path| (path.clone(), std::fs::read(path).expect("reads"))).collect()
}

pub(crate) fn packs_on(store: &Store) -> Vec<ObjectName> {
    store.names().into_iter().filter(|name| name.as_str().starts_with("packs/")).collect()
}

/// Nothing is wrong; what is noted is that content was evicted, or nothing.
#[track_caller]
pub(crate) fn assert_sound(device: &Device, has_evicted: bool) {
    let report = device.workspace.check(CheckOptions { read_data: true }).expect("checks");
    // What a cut off fetch leaves is swept away by a collection.
    let is_left = |kind: ProblemKind| kind == ProblemKind::Unreferenced;
    let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).filter(|kind| !is_left(*kind)).collect();
    assert_eq!(kinds, vec![ProblemKind::Evicted; usize::from(has_evicted)], "{:?}", report.problems);
}

#[test]
fn what_was_evicted_is_off_the_disk_and_comes_back_where_it_is_read() {
    let (store, remote, device) = published();
    let (before, there) = (shown(&device), files(&device));
    let planned = plan(&device, "project:p");
    assert_eq!((planned.packs.len(), planned.stays.len(), planned.shared_bytes), (there.len(), 0, 0));
    let done = evict(&device, &remote, "project:p");
    assert_eq!((done.packs, done.wrong.len()), (there.len() as u64, 0));
    assert_eq!((done.bytes, planned.bytes), (planned.bytes, there.values().map(|file| file.len() as u64).sum()));
    assert!(files(&device).is_empty());
    assert_eq!(device.workspace.evicted_bytes().expect("reads"), (done.packs, done.bytes));
    assert_sound(&device, true);
    // Without somebody who fetches, what is read says what it is, where it lies, and how it comes back.
    let version = device.workspace.artifact("p/model:v0").expect("is there");
    let error = version.download(&device.root().join("to"), &Default::default()).expect_err("is not here");
    assert_eq!(error.kind(), ErrorKind::Evicted);
    for part in ["artifact p/model:v0: ", "lies on origin alone", "runcellar fetch"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let run = device.run("one");
    let path = device.workspace.code(&run).expect("lists")[0].path.clone();
    let code = device.workspace.code_file(&run, &path).expect_err("is not here");
    assert!(code.kind() == ErrorKind::Evicted && code.to_string().starts_with("code of run one: "), "{code}");
    with_source(&device, &store);
    assert_eq!(shown(&device), before);
    assert_eq!(files(&device), there, "it stays here, as it was");
    assert_eq!(device.workspace.evicted_bytes().expect("reads"), (0, 0));
    assert_sound(&device, false);
    // And again, all at once.
    evict(&device, &remote, "project:p");
    let found = device.workspace.plan_fetch(&[]).expect("plans");
    assert_eq!(device.workspace.fetch_evicted(&[]).expect("fetches"), found);
    assert_eq!((found.packs, files(&device)), (there.len() as u64, there));
}

/// A file of many chunks: the first that is read brings the pack of all.
#[test]
fn a_large_file_comes_back_whole_by_one_fetch_a_pack() {
    let store = Store::new();
    let (device, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    put(&device, &noise(7, 6_000_000), None, &[]);
    device.sync(&remote).expect("syncs");
    let before = shown(&device);
    let packs = evict(&device, &remote, "project:p").packs;
    let from = Arc::new(Fake::new(&store, 9));
    device.workspace.set_content_source(Some(Arc::new(Source(from.clone()))));
    assert_eq!(shown(&device), before);
    assert_eq!(from.requests().all(), packs);
}

#[test]
fn nothing_goes_that_the_remote_lacks_or_has_altered() {
    let (store, remote, device) = published();
    let there = files(&device);
    let packs = packs_on(&store);
    let mut whole: Vec<_> = packs.iter().map(|name| (name.clone(), store.bytes(name).expect("is there"))).collect();
    for (nth, (name, bytes)) in whole.iter().enumerate() {
        let mut altered = bytes.to_vec();
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        match nth % 3 {
            0 => store.replace(name, altered),
            1 => assert!(store.remove(name)),
            _ => store.replace(name, bytes[..bytes.len() - 4096].to_vec()),
        }
    }
    let done = evict(&device, &remote, "project:p");
    let named: Vec<_> = done.wrong.iter().map(|wrong| wrong.object.clone()).collect();
    assert_eq!(named, packs.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!((done.packs, files(&device)), (0, there.clone()));
    assert_sound(&device, false);
    // One that is whole goes, and no other.
    let (name, bytes) = whole.remove(0);
    store.replace(&name, bytes);
    assert_eq!(evict(&device, &remote, "project:p").packs, 1);
    assert_eq!(files(&device).len(), there.len() - 1);
    // A remote that does not answer, or was paused, proves nothing.
    remote.set_connected(false);
    assert!(engine::evict(&device.workspace, ORIGIN, &remote, &plan(&device, "project:p")).is_err());
    remote.set_connected(true);
    device.workspace.pause_remote(ORIGIN).expect("is paused");
    assert!(engine::evict(&device.workspace, ORIGIN, &remote, &plan(&device, "project:p")).is_err());
    assert_eq!(files(&device).len(), there.len() - 1);
    with_source(&device, &store);
    let paused = device.workspace.fetch_evicted(&[]).expect_err("is paused");
    assert!(paused.kind() == ErrorKind::Evicted && paused.to_string().contains("it is paused"), "{paused}");
}

#[test]
fn what_something_else_needs_stays_and_what_was_not_sent_says_why() {
    let store = Store::new();
    let (device, remote) = (Device::first_with(&[RemoteClass::Metrics, RemoteClass::Artifacts]), Fake::new(&store, 1));
    record(&device, "one");
    put(&device, &[1; 40_000], None, &[]);
    let whys = |what: &str| plan(&device, what).stays.into_iter().map(|stays| stays.why).collect::<Vec<_>>();
    assert_eq!(whys("artifact:p/model"), ["nothing was sent to origin from here yet"]);
    device.sync(&remote).expect("syncs");
    assert_eq!(whys("one"), ["origin does not take code", "origin does not take media"]);
    // A version with the same weights needs the pack of the first.
    let mut draft = runcellar::ArtifactDraft::new("other", "model").expect("a name");
    draft.add_bytes("weights.bin", vec![1; 40_000]).expect("adds");
    let settings = runcellar::artifacts::PutSettings { project: "p".into(), ..Default::default() };
    device.workspace.put_artifact(&draft, &settings).expect("is put");
    let shared = plan(&device, "artifact:p/model");
    assert!(shared.packs.is_empty() && shared.shared_bytes > 0 && shared.stays.is_empty(), "{shared:?}");
    assert_eq!(plan(&device, "project:p").packs.len(), 1, "both together need it alone");
    // What came from another device lies there as that one's.
    let second = Device::another(&device, &remote);
    second.sync(&remote).expect("syncs");
    let came = plan(&second, "artifact:p/model");
    assert!(came.packs.is_empty() && came.stays[0].why.contains("came from another device"), "{came:?}");
}

/// Whatever is synced, collected, taken back or given new keys afterwards: the packs stay on the remote, as they are nowhere
/// else, until what lies in them is purged.
#[test]
fn what_was_evicted_stays_on_the_remote_whatever_happens_here() {
    let (store, remote, device) = published();
    let before = shown(&device);
    evict(&device, &remote, "project:p");
    let packs = packs_on(&store);
    let still_there = |what: &str| {
        assert!(packs.iter().all(|name| store.bytes(name).is_some()), "{what}");
        assert_sound(&device, true);
    };
    device.tag("one", "seen");
    assert!(device.sync(&remote).expect("syncs").not_sent.is_empty());
    still_there("a sync");
    device.workspace.collect_garbage(CollectOptions { now: true }).expect("collects");
    device.sync(&remote).expect("syncs");
    still_there("a collection");
    put(&device, &[3; 60_000], None, &[]);
    device.sync(&remote).expect("syncs");
    device.workspace.purge(&[target("artifact:p/model:v2")], Default::default()).expect("purges");
    let report = device.sync(&remote).expect("syncs");
    assert!(report.not_sent.is_empty() && report.deleted > 0, "{report:?}");
    still_there("a purge of something else");
    device.workspace.rotate_keys().expect("rotates");
    let report = device.sync(&remote).expect("syncs");
    assert!(report.not_sent.is_empty() && report.sent_packs == 0, "{report:?}");
    still_there("a rotation");
    assert!(engine::verify(&device.workspace, ORIGIN, &remote).expect("reads").wrong.is_empty());
    // Another device has all of it, from the remote.
    let second = Device::another(&device, &remote);
    second.sync(&remote).expect("syncs");
    assert_eq!(shown(&second), before);
    // Agreed to anew, without content, and published anew: then nothing tells of the packs.
    device.workspace.remove_remote(ORIGIN).expect("is removed");
    let device = device.with_remote();
    device.sync(&remote).expect("syncs");
    device.workspace.rotate_keys().expect("rotates");
    device.sync(&remote).expect("syncs");
    assert!(packs.iter().all(|name| store.bytes(name).is_some()), "a remote that was removed and added again");
    with_source(&device, &store);
    assert_eq!(shown(&device), before);
}

#[test]
fn a_purge_reaches_what_was_evicted() {
    let (store, remote, device) = published();
    evict(&device, &remote, "project:p");
    let packs = packs_on(&store);
    device.workspace.purge(&[target("artifact:p/model:v0")], Default::default()).expect("purges");
    let report = device.sync(&remote).expect("syncs");
    assert!(report.not_sent.is_empty(), "{report:?}");
    assert_eq!(packs_on(&store).len(), packs.len() - 1, "one pack had that version alone");
    with_source(&device, &store);
    assert_eq!(device.workspace.artifacts(None).expect("lists").len(), 1);
    assert_eq!(shown(&device).len(), 3, "code, media, and the version that stays");
    assert_sound(&device, false);
    device.workspace.purge(&[target("project:p")], Default::default()).expect("purges");
    device.sync(&remote).expect("syncs");
    assert_eq!(packs_on(&store), []);
}

#[test]
fn a_pack_that_the_remote_lost_since_is_named_and_everything_else_goes_on() {
    let (store, remote, device) = published();
    evict(&device, &remote, "artifact:p/model:v0");
    let gone = plan(&device, "artifact:p/model:v0");
    assert!(gone.packs.is_empty() && gone.evicted_bytes > 0, "{gone:?}");
    let lost = packs_on(&store).into_iter().find(|name| {
        let id = name.as_str().rsplit('/').next().expect("a name");
        !files(&device).keys().any(|path| path.to_str().expect("UTF-8").contains(id))
    });
    let lost = lost.expect("one is not here");
    let bytes = store.bytes(&lost).expect("is there");
    store.remove(&lost);
    with_source(&device, &store);
    let version = device.workspace.artifact("p/model:v0").expect("is there");
    let got = version.download(&device.root().join("to"), &Default::default()).expect("names what is hurt");
    assert!(got.hurt.iter().all(|hurt| hurt.error.to_string().contains("origin has lost it")), "{:?}", got.hurt);
    assert_eq!(got.hurt.len(), 2);
    let found = engine::verify(&device.workspace, ORIGIN, &remote).expect("reads");
    assert_eq!(found.wrong.iter().map(|wrong| wrong.object.as_str()).collect::<Vec<_>>(), [lost.as_str()]);
    // Published anew, it is told of, and that it is missing.
    device.workspace.rotate_keys().expect("rotates");
    let report = device.sync(&remote).expect("syncs");
    assert_eq!(report.not_sent.len(), 1, "{report:?}");
    assert!(report.not_sent[0].why.contains("the remote has lost it"));
    // Something else in its place is not believed; what was evicted is.
    store.replace(&lost, vec![7; bytes.len()]);
    let error = device.workspace.fetch_evicted(&[]).expect_err("is something else");
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains("something else there"), "{error}");
    store.replace(&lost, bytes);
    assert_eq!(device.workspace.fetch_evicted(&[]).expect("fetches").packs, 1);
    assert_sound(&device, false);
    // Who still has the content heals what was lost, by putting it.
    evict(&device, &remote, "artifact:p/model:v0");
    store.remove(&lost);
    device.workspace.set_content_source(None);
    let again = put(&device, &[1; 40_000], None, &[]);
    assert!(again.download(&device.root().join("again"), &Default::default()).expect("reads").hurt.is_empty());
    let version = device.workspace.artifact("p/model:v0").expect("is there");
    assert!(version.download(&device.root().join("old"), &Default::default()).expect("reads").hurt.is_empty());
}

fn changes(call: Call) -> bool {
    matches!(call, Call::Create | Call::Rename | Call::Link | Call::Remove | Call::Append | Call::Sync | Call::SyncDir)
}

/// From some change of a file on every one fails, as if the process had been killed there, or as if the disk were full: what
/// was named is here or on the remote, and what follows brings it to its end.
#[test]
fn an_eviction_or_a_fetch_that_ends_at_any_change_of_a_file_loses_nothing() {
    let (store, remote, mut device) = published();
    let (before, mut ends) = (shown(&device), 0);
    for at in 1.. {
        let faults = Faults::new(changes, at, u64::MAX, Fate::Fails([libc::EIO, libc::ENOSPC][at as usize % 2]));
        device = device.opened_with(Hooked::shared(faults.clone()));
        with_source(&device, &store);
        let planned = plan(&device, "project:p");
        faults.arm(true);
        let evicted = engine::evict(&device.workspace, ORIGIN, &remote, &planned).is_ok();
        let fetched = evicted && device.workspace.fetch_evicted(&[]).is_ok();
        faults.arm(false);
        device = device.opened_again();
        let has_evicted = device.workspace.evicted_bytes().expect("reads").0 > 0;
        assert_sound(&device, has_evicted);
        with_source(&device, &store);
        assert_eq!(shown(&device), before, "change {at}");
        ends += u64::from(!fetched);
        if faults.seen() < at {
            break;
        }
    }
    assert!(ends > 10, "{ends}");
    assert!(device.sync(&remote).expect("syncs").not_sent.is_empty());
}

#[test]
fn a_backup_says_what_it_lacks_and_keeps_what_it_has() {
    let (store, remote, device) = published();
    let (early, late) = (device.root().join("early"), device.root().join("late"));
    device.workspace.backup(&early, BackupOptions::default()).expect("is made");
    let evicted = evict(&device, &remote, "project:p");
    let again = device.workspace.backup(&early, BackupOptions { verify: true }).expect("is made");
    assert!(again.is_whole() && again.evicted_files == 0, "{again:?}");
    let without = device.workspace.backup(&late, BackupOptions { verify: true }).expect("is made");
    assert!(without.is_whole(), "{without:?}");
    assert_eq!((without.evicted_files, without.evicted_bytes), (evicted.packs, evicted.bytes));
    drop(store);
}
