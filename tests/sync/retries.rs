//! What is done again, how often, and after how long.

use std::sync::Arc;
use std::time::Duration;

use runcellar_sync::ErrorKind;
use runcellar_sync::remote::fake::{Fake, Faults, Store};
use runcellar_sync::remote::{Folder, Remote, Retries, Retry};

use crate::conformance::{Kind, conforms};
use crate::support::{TestClock, name, object};

#[test]
fn a_remote_that_refuses_every_fifth_call_conforms_for_who_is_patient() {
    for seed in 0..4 {
        let fake = Fake::new(&Store::new(), seed);
        fake.set_faults(Faults { refused: 200, ..Faults::default() });
        let retries = Retries { attempts: 30, ..Retries::default() };
        let remote = Retry::seeded(fake, retries, Arc::new(TestClock::default()), seed);
        conforms(&remote, Kind { conditional: true, atomic: true });
    }
}

#[test]
fn waits_grow_up_to_a_limit_and_differ() {
    let clock = Arc::new(TestClock::default());
    let fake = Fake::new(&Store::new(), 0);
    fake.set_connected(false);
    let retries = Retries { attempts: 50, first: Duration::from_millis(100), longest: Duration::from_secs(2) };
    let remote = Retry::seeded(fake, retries, clock.clone(), 7);
    let error = remote.get(&name("a"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let waits = clock.waits.lock().expect("sound");
    assert_eq!(waits.len(), 49);
    for (n, wait) in waits.iter().enumerate() {
        let limit = Duration::from_millis(100 << n.min(5)).min(Duration::from_secs(2));
        assert!(*wait <= limit, "wait {n}: {wait:?}");
    }
    assert!(waits.iter().skip(5).any(|wait| *wait > Duration::from_secs(1)));
    assert!(waits.windows(2).all(|two| two[0] != two[1]));
}

#[test]
fn what_a_second_attempt_cannot_mend_is_said_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(TestClock::default());
    let remote = Retry::new(Folder::new(folder.path().join("absent")), Retries::default(), clock.clone());
    assert_eq!(remote.put(&name("a"), &object(1, 1)).unwrap_err().kind(), ErrorKind::NoSuchPlace);
    assert!(clock.waits.lock().expect("sound").is_empty());
}

#[test]
fn nobody_waits_longer_than_is_wanted() {
    let clock = Arc::new(TestClock { patience: Some(2), ..TestClock::default() });
    let fake = Fake::new(&Store::new(), 0);
    fake.set_connected(false);
    let remote = Retry::new(fake, Retries::default(), clock.clone());
    assert_eq!(remote.head(&name("a")).unwrap_err().kind(), ErrorKind::Unreachable);
    assert_eq!(clock.waits.lock().expect("sound").len(), 2);
}
