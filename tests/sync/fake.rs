//! The fake remote: it conforms when nothing is wrong with it, and each fault is what it says.

use std::ops::ControlFlow;

use runcellar_sync::ErrorKind;
use runcellar_sync::remote::fake::{Fake, Faults, Last, Store};
use runcellar_sync::remote::{Entry, Remote as _};

use crate::conformance::{Kind, conforms, listed};
use crate::support::{name, object};

const ALWAYS: u32 = Faults::OF;

#[test]
fn the_fake_conforms() {
    conforms(&Fake::new(&Store::new(), 1), Kind { conditional: true, atomic: true });
    let unconditional = Fake::new(&Store::new(), 1);
    unconditional.set_faults(Faults { unconditional: true, ..Faults::default() });
    conforms(&unconditional, Kind { conditional: false, atomic: true });
}

fn with(faults: Faults) -> (Store, Fake) {
    let store = Store::new();
    let before = Fake::new(&store, 1);
    before.put(&name("a"), &object(1, 10)).expect("stored");
    before.put(&name("a"), &object(2, 10)).expect("stored");
    before.put(&name("b"), &object(3, 10)).expect("stored");
    let fake = Fake::new(&store, 5);
    fake.set_faults(faults);
    (store, fake)
}

#[test]
fn a_lost_answer_is_the_answer_to_something_that_was_done() {
    let (store, fake) = with(Faults { lost_answers: ALWAYS, ..Faults::default() });
    assert_eq!(fake.put(&name("c"), &object(4, 1)).unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(store.bytes(&name("c")).is_some());
    assert!(fake.delete(&name("c")).is_err());
    assert!(store.bytes(&name("c")).is_none());
    fake.set_faults(Faults { refused: ALWAYS, ..Faults::default() });
    assert!(fake.put(&name("c"), &object(4, 1)).is_err());
    assert!(store.bytes(&name("c")).is_none());
}

#[test]
fn bodies_are_cut_flipped_old_or_withheld() {
    let whole = object(2, 10).read().expect("at hand");
    let get = |faults| with(faults).1.get(&name("a"), None).expect("an answer");
    let cut = get(Faults { truncated: ALWAYS, ..Faults::default() }).expect("there");
    assert!(cut.len() < whole.len() && whole.starts_with(&cut));
    let flipped = get(Faults { flipped: ALWAYS, ..Faults::default() }).expect("there");
    let bits: u32 = flipped.iter().zip(&whole).map(|(left, right)| (left ^ right).count_ones()).sum();
    assert_eq!((flipped.len(), bits), (whole.len(), 1));
    assert_eq!(get(Faults { hidden: ALWAYS, ..Faults::default() }), None);
    let (_, fake) = with(Faults { replayed: ALWAYS, ..Faults::default() });
    let seen: Vec<_> = (0..20).map(|_| fake.get(&name("a"), None).expect("an answer").expect("there")).collect();
    assert!(seen.contains(&object(1, 10).read().expect("at hand")) && seen.contains(&whole));
}

#[test]
fn ones_own_write_is_refused_after_it_was_done() {
    let (store, fake) = with(Faults { own_write_refused: ALWAYS, ..Faults::default() });
    assert!(!fake.put_new(&name("c"), &object(4, 1)).expect("an answer"));
    assert_eq!(store.bytes(&name("c")).expect("stored").to_vec(), object(4, 1).read().expect("at hand"));
}

#[test]
fn a_stale_list_shows_the_past() {
    let (_, fake) = with(Faults { stale_lists: ALWAYS, ..Faults::default() });
    let lengths: Vec<usize> = (0..50).map(|_| listed(&fake, None).len()).collect();
    assert!(lengths.contains(&0) && lengths.contains(&1), "{lengths:?}");
}

#[test]
fn a_store_goes_back_in_time_and_keeps_what_it_ever_had() {
    let (store, fake) = with(Faults::default());
    let then = store.moment();
    fake.put(&name("a"), &object(7, 1)).expect("stored");
    fake.put(&name("c"), &object(8, 1)).expect("stored");
    fake.delete(&name("b")).expect("deleted");
    store.roll_back(then);
    assert_eq!(store.names(), [name("a"), name("b")]);
    assert_eq!(store.bytes(&name("a")).expect("there").to_vec(), object(2, 10).read().expect("at hand"));
    assert!(store.ever().iter().any(|(of, _)| *of == name("c")));
    store.clear();
    assert_eq!(store.names(), []);
}

#[test]
fn a_device_that_is_killed_makes_no_request_after_its_last() {
    for (last, stored) in [(Last::Unsent, 1), (Last::Unanswered, 2)] {
        let store = Store::new();
        let fake = Fake::new(&store, 1);
        fake.stop_after(2, last);
        fake.put(&name("a"), &object(1, 1)).expect("stored");
        assert!(fake.put(&name("b"), &object(1, 1)).is_err());
        assert!(fake.put(&name("c"), &object(1, 1)).is_err());
        assert!(fake.list(None, &mut |_: Entry| ControlFlow::Continue(())).is_err());
        assert_eq!(store.names().len(), stored);
        assert_eq!((fake.requests().puts, fake.requests().all()), (3, 4));
        fake.revive();
        fake.put(&name("c"), &object(1, 1)).expect("stored");
    }
}

#[test]
fn the_same_seed_does_the_same() {
    let run = |seed| -> Vec<bool> {
        let fake = Fake::new(&Store::new(), seed);
        fake.set_faults(Faults { refused: 300, ..Faults::default() });
        (0..64).map(|_| fake.head(&name("a")).is_ok()).collect()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
