//! Remotes that are not what they should be: of another workspace, full of junk, with other bytes in place of objects; and a disk
//! that fills while something comes in.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar::remotes::RemoteClass;
use runcellar_format::object::SealedObject;
use runcellar_sync::remote::fake::{Fake, Store};
use runcellar_sync::remote::{Entry, ObjectName, Remote};

use crate::content::{put, record, shown};
use crate::devices::Device;

const MILLION: u64 = 1_000_000;

#[test]
fn a_remote_of_another_workspace_is_told_and_nothing_is_sent_there() {
    let store = Store::new();
    let (theirs, mine) = (Device::first(), Device::first());
    theirs.record("theirs", 5);
    theirs.sync(&Fake::new(&store, 1)).expect("syncs");
    mine.record("mine", 5);
    let before = store.ever().len();
    let said = mine.sync(&Fake::new(&store, 2)).expect_err("it is another's").to_string();
    let (mine_id, their_id) = (mine.workspace.id(), theirs.workspace.id());
    assert!(said.contains(&mine_id) && said.contains(&their_id) && said.contains("another workspace"), "{said}");
    assert_eq!(store.ever().len(), before, "nothing is sent");
    assert_eq!(mine.state().len(), 1);
    theirs.sync(&Fake::new(&store, 1)).expect("is as it was");
}

/// A remote whose listings have very many names more, made as they are asked for.
struct Junk {
    fake: Fake,
    /// Of a folder.
    name: fn(&str, u64) -> Option<String>,
    told: AtomicU64,
}

impl Remote for Junk {
    fn put_new(&self, name: &ObjectName, object: &SealedObject) -> runcellar_sync::Result<bool> {
        self.fake.put_new(name, object)
    }

    fn put(&self, name: &ObjectName, object: &SealedObject) -> runcellar_sync::Result<()> {
        self.fake.put(name, object)
    }

    fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> runcellar_sync::Result<Option<Vec<u8>>> {
        self.fake.get(name, range)
    }

    fn list(
        &self,
        below: Option<&ObjectName>,
        each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> runcellar_sync::Result<()> {
        let folder = below.map_or(String::new(), |below| format!("{below}/"));
        let mut any = None;
        self.fake.list(None, &mut |entry| {
            any = Some(entry);
            ControlFlow::Break(())
        })?;
        let any = any.expect("something is there");
        for number in 0..MILLION {
            self.told.fetch_add(1, Ordering::Relaxed);
            let Some(name) = (self.name)(&folder, number) else { break };
            let name = ObjectName::new(format!("{folder}{name}")).expect("a name");
            let mut entry = any.clone();
            entry.name = name;
            if each(entry).is_break() {
                return Ok(());
            }
        }
        self.fake.list(below, each)
    }

    fn delete(&self, name: &ObjectName) -> runcellar_sync::Result<()> {
        self.fake.delete(name)
    }

    fn delete_older(&self, name: &ObjectName) -> runcellar_sync::Result<()> {
        self.fake.delete_older(name)
    }

    fn head(&self, name: &ObjectName) -> runcellar_sync::Result<Option<u64>> {
        self.fake.head(name)
    }
}

#[test]
fn a_million_objects_of_others_are_passed_over_and_a_million_devices_are_refused() {
    let store = Store::new();
    let first = Device::first();
    first.record("one", 5);
    first.sync(&Fake::new(&store, 1)).expect("syncs");
    let junk = |name| Junk { fake: Fake::new(&store, 2), name, told: AtomicU64::new(0) };
    let passed_over = junk(|_, number| Some(format!("junk-{number}")));
    let second = Device::another(&first, &passed_over);
    second.sync(&passed_over).expect("what is there beside them comes in");
    assert_eq!(second.state(), first.state());
    let requests = passed_over.fake.requests().all();
    assert!(requests < 20, "{requests} requests");
    // By their names these could be devices.
    let refused = junk(|_, number| Some(format!("{number:032x}")));
    let said = second.sync(&refused).expect_err("so many cannot be").to_string();
    assert!(said.contains("devices publish there"), "{said}");
    assert!(refused.told.load(Ordering::Relaxed) < 10_000, "nobody listens to the end");
    second.sync(&Fake::new(&store, 3)).expect("is as it was");
}

/// Packs of which nobody knows are deleted where the keys were replaced; a remote can invent as many as it likes.
#[test]
fn a_million_packs_that_nobody_made_end_no_sync_and_keep_no_purge_from_its_end() {
    let store = Store::new();
    let first = Device::first_with(&RemoteClass::ALL);
    record(&first, "goes");
    first.sync(&Fake::new(&store, 1)).expect("syncs");
    let packs = |store: &Store| store.names().iter().filter(|name| name.as_str().starts_with("packs/")).count();
    assert!(packs(&store) > 0);
    first.workspace.purge(&["goes".parse().expect("a run")], Default::default()).expect("purges");
    let name = |folder: &str, number: u64| folder.starts_with("packs/").then(|| format!("{number:032x}"));
    let invented = Junk { fake: Fake::new(&store, 2), name, told: AtomicU64::new(0) };
    let is_complete = || first.workspace.receipts().expect("lists")[0].is_complete();
    for _ in 0..2 {
        first.sync(&invented).expect("syncs");
        assert!(!is_complete(), "who knows what is there");
    }
    let requests = invented.fake.requests().all();
    assert!(requests < 5000, "{requests} requests");
    first.sync(&Fake::new(&store, 3)).expect("syncs");
    assert!(is_complete() && packs(&store) == 0);
}

/// Numbers that are always the same (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn mutated(bytes: &[u8], others: &[Vec<u8>], state: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let len = bytes.len().max(1);
    let at = (next(state) % len as u64) as usize;
    match next(state) % 7 {
        0 => bytes.truncate(at),
        1 => bytes.clear(),
        2 => bytes[at] ^= 1 << (next(state) % 8),
        // A length that claims very much.
        3 => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
        4 => bytes.extend(std::iter::repeat_n(0, 4096)),
        5 => bytes = others[next(state) as usize % others.len()].clone(),
        _ => bytes = vec![0x28; 3 << 20],
    }
    bytes
}

/// Whatever bytes a remote has under a name: who begins with them names an object, and takes in nothing that nobody published.
#[test]
fn whatever_stands_in_place_of_an_object_is_told_and_nothing_of_it_comes_in() {
    let (store, remote) = (Store::new(), |store: &Store| Fake::new(store, 1));
    let first = Device::first_with(&RemoteClass::ALL);
    record(&first, "one");
    put(&first, &[7; 9000], Some("one"), &["best"]);
    first.sync(&remote(&store)).expect("syncs");
    first.record("two", 5);
    first.sync(&remote(&store)).expect("syncs");
    let good: BTreeMap<ObjectName, Vec<u8>> =
        store.names().into_iter().map(|name| (name.clone(), store.bytes(&name).expect("is there").to_vec())).collect();
    let others: Vec<Vec<u8>> = good.values().cloned().collect();
    let (wanted, all) = (first.state(), shown(&first));
    let second = Device::another(&first, &remote(&store));
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut told = 0;
    for (name, bytes) in good.iter().cycle().take(good.len() * 4) {
        let wrong = mutated(bytes, &others, &mut state);
        if wrong == *bytes {
            continue;
        }
        store.replace(name, wrong);
        let outcome = second.sync(&remote(&store));
        let what = match &outcome {
            Ok(report) => format!("{:?}", report.merged.left_out),
            Err(failure) => failure.to_string(),
        };
        // A welcome is read by those who begin, and packs but once.
        told += usize::from(what != "[]");
        let id = name.as_str().rsplit('/').next().unwrap_or_default();
        let prefix = name.as_str().split('/').next().unwrap_or_default();
        assert!(what == "[]" || what.contains(id) || what.contains(prefix), "{name}: {what}");
        assert!(second.state().iter().all(|run| wanted.contains(run)), "{name}: {what}");
        store.replace(name, bytes.clone());
    }
    assert!(told > 3, "{told} were told of");
    second.sync(&remote(&store)).expect("syncs when it is whole again");
    assert_eq!((second.state(), shown(&second)), (wanted, all));
    second.is_whole();
}

/// A disk of eight megabytes, if this process may mount one.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_while_something_comes_in_ends_the_sync_and_the_next_goes_on() {
    use crate::folder::SmallDisk;

    let Some(disk) = SmallDisk::mount("8m") else {
        return crate::support::not_tested("a real full disk while something comes in: tmpfs may not be mounted here");
    };
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    record(&first, "one");
    first.sync(&remote).expect("syncs");
    let second = Device::another_in(disk.folder(), &first, &remote);
    second.sync(&remote).expect("there is room for it");
    let before = second.state();
    let mut state = 7;
    let noise: Vec<u8> = (0..1 << 20).flat_map(|_| next(&mut state).to_le_bytes()).collect();
    put(&first, &noise, Some("one"), &["best"]);
    first.record("two", 5);
    first.sync(&remote).expect("syncs");
    let said = second.sync(&remote).expect_err("there is no room").to_string();
    assert!(said.contains("No space left") || said.contains("full"), "{said}");
    second.is_whole();
    assert!(before.iter().all(|run| second.state().contains(run)), "what was there is there");
    disk.grow("64m");
    second.sync(&remote).expect("goes on");
    assert_eq!((second.state(), shown(&second)), (first.state(), shown(&first)));
    second.is_whole();
}
