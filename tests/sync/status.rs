//! What is said to be unsent is what a sync then sends, and how it ended is remembered.

use runcellar_sync::remote::fake::{Fake, Last, Store};

use crate::devices::{Device, ORIGIN};

#[test]
fn what_is_unsent_is_what_a_sync_then_sends() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    let unsent = |device: &Device| device.workspace.unsent(ORIGIN).expect("looks");
    assert!(unsent(&first).is_empty(), "nothing was recorded");
    for round in 0..3 {
        first.record(&format!("run-{round}"), 3_000);
        if round == 2 {
            first.tag("run-0", "good");
        }
        let told = unsent(&first);
        assert_eq!(unsent(&first), told, "looking changes nothing");
        let mut names: Vec<&str> = told.runs.iter().map(|run| run.id.as_str()).collect();
        names.sort_unstable();
        let newest = format!("run-{round}");
        assert_eq!(names, if round == 2 { vec!["run-0", &newest] } else { vec![newest.as_str()] });
        let before = store.ever().len();
        first.sync(&remote).expect("syncs");
        let sent = store.ever().split_off(before);
        let bytes: usize = sent.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(told.objects, sent.len() as u64, "round {round}");
        assert!(told.bytes.abs_diff(bytes as u64) <= bytes as u64 / 4, "{} told, {bytes} sent", told.bytes);
        assert!(unsent(&first).is_empty());
    }
    // What came in from elsewhere is not to be sent back.
    let second = Device::another(&first, &remote);
    second.sync(&remote).expect("syncs");
    assert!(unsent(&second).is_empty(), "{:?}", unsent(&second));
}

/// Whatever request is the last, what is left is told until it is sent.
#[test]
fn what_a_broken_sync_left_is_still_unsent() {
    for requests in 1..6 {
        let store = Store::new();
        let (first, remote) = (Device::first(), Fake::new(&store, 1));
        first.record("one", 10);
        remote.stop_after(requests, Last::Unsent);
        first.sync(&remote).expect_err("breaks off");
        let left = first.workspace.unsent(ORIGIN).expect("looks");
        assert_eq!(left.runs.len(), 1, "after {requests} requests: {left:?}");
        let last = first.workspace.last_exchange(ORIGIN).expect("reads");
        assert!(last.succeeded.is_none() && last.failed.is_some(), "{last:?}");
        remote.revive();
        assert_eq!(first.sync(&remote).expect("syncs").devices, 1);
        assert!(first.workspace.unsent(ORIGIN).expect("looks").is_empty());
        assert!(first.workspace.last_exchange(ORIGIN).expect("reads").succeeded.is_some());
    }
}

/// The agent looks while its exchanges are under way.
#[test]
fn what_is_unsent_can_be_looked_at_while_it_is_sent() {
    let (first, remote) = (Device::first(), Fake::new(&Store::new(), 1));
    first.sync(&remote).expect("syncs");
    let other = first.keys().open(&first.root().join("w")).expect("opens");
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) || looks == 0 {
                other.unsent(ORIGIN).expect("looks");
                other.last_exchange(ORIGIN).expect("reads");
                looks += 1;
                // As the agent does, it lets others at the replica in between.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            looks
        });
        let synced = (0..10).try_for_each(|round| {
            first.record(&format!("run-{round}"), 3);
            if round % 5 == 4 {
                first.workspace.rotate_keys().expect("rotates");
            }
            first.sync(&remote).map(drop)
        });
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        synced.expect("syncs while others look");
        assert!(looks.join().expect("ends") > 0);
    });
    assert!(other.unsent(ORIGIN).expect("looks").is_empty());
}

#[test]
fn one_process_at_a_time_follows_a_workspace() {
    let first = Device::first();
    assert_eq!(first.workspace.agent().expect("looks"), None);
    let lock = first.workspace.become_agent().expect("is free");
    lock.touch().expect("writes");
    assert_eq!(first.workspace.agent().expect("looks"), Some(std::process::id()));
    let other = first.keys().open(&first.root().join("w")).expect("opens");
    assert_eq!(other.become_agent().expect_err("is taken").kind(), runcellar::ErrorKind::Busy);
    drop(lock);
    assert_eq!(first.workspace.agent().expect("looks"), None);
    other.become_agent().expect("is free again");
    // What is left of it is no damage.
    first.is_whole();
}
