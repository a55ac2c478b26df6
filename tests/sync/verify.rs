//! Reading back what was published: whatever is missing or altered is named, and nothing else.

use runcellar::remotes::RemoteClass;
use runcellar_sync::engine::{self, Verified};
use runcellar_sync::remote::Remote;
use runcellar_sync::remote::fake::{Fake, Store};

use crate::content::put;
use crate::devices::{Device, ORIGIN};

fn verify(device: &Device, remote: &dyn Remote) -> Verified {
    engine::verify(&device.workspace, ORIGIN, remote).expect("reads")
}

#[test]
fn whatever_is_missing_or_altered_is_named_and_nothing_else() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    assert_eq!(verify(&first, &remote), Verified::default(), "nothing was published");
    for id in ["one", "two"] {
        first.record(id, 10);
        put(&first, &[id.as_bytes(), &[7; 50_000]].concat(), None, &[]);
        first.sync(&remote).expect("syncs");
    }
    let names = store.names();
    assert!(names.iter().any(|name| name.as_str().starts_with("packs/")), "{names:?}");
    let whole = verify(&first, &remote);
    assert_eq!((whole.objects, whole.wrong.len()), (names.len() as u64, 0), "{whole:?}");
    for (nth, name) in names.iter().enumerate() {
        let good = store.bytes(name).expect("is there");
        let mut flipped = good.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let other = names.iter().find(|other| *other != name).and_then(|other| store.bytes(other)).expect("is there");
        // A head is looked at for a while before it is called wrong, so not all is tried with all.
        let all = [Some(flipped), None, Some(good[..good.len() - 4096].to_vec()), Some(other.to_vec())];
        for wrong in all.into_iter().skip(nth % 2).step_by(2) {
            match wrong {
                Some(wrong) => store.replace(name, wrong),
                None => assert!(store.remove(name)),
            }
            let found = verify(&first, &remote);
            let named: Vec<&str> = found.wrong.iter().map(|wrong| wrong.object.as_str()).collect();
            assert_eq!(named, [name.as_str()]);
            assert_eq!(found.objects, names.len() as u64 - 1);
            store.replace(name, good.clone());
        }
    }
    assert_eq!(verify(&first, &remote), whole);
}

#[test]
fn an_older_state_of_the_remote_is_no_proof_and_what_waits_is_no_fault() {
    let store = Store::new();
    let (first, remote) = (Device::first(), Fake::new(&store, 1));
    first.record("one", 10);
    first.sync(&remote).expect("syncs");
    let moment = store.moment();
    first.record("two", 10);
    assert!(verify(&first, &remote).wrong.is_empty(), "what was not sent is not missing");
    first.sync(&remote).expect("syncs");
    store.roll_back(moment);
    let wrong = verify(&first, &remote).wrong;
    assert_eq!(wrong.len(), 2, "the second segment and the head: {wrong:?}");
}

#[test]
fn what_was_published_under_a_new_key_is_verified_alone() {
    let store = Store::new();
    let (first, remote) = (Device::first_with(&RemoteClass::ALL), Fake::new(&store, 1));
    first.record("one", 10);
    put(&first, &[7; 50_000], None, &[]);
    first.sync(&remote).expect("syncs");
    first.workspace.rotate_keys().expect("rotates");
    first.sync(&remote).expect("syncs");
    let found = verify(&first, &remote);
    assert!(found.wrong.is_empty(), "{found:?}");
    assert_eq!(found.objects, store.names().len() as u64);
}
