//! What every remote does, in one function.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::thread;

use runcellar_format::object::SealedObject;
use runcellar_sync::remote::{ObjectName, Remote};

use crate::support::{name, object, pack};

/// How a kind of remote may differ.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Whether `put_new` overwrites nothing.
    pub(crate) conditional: bool,
    /// Whether nobody sees an object while it is being replaced. rclone puts a cache between that shows mixtures, and by WebDAV
    /// there may be a gap: who reads has to find out.
    pub(crate) atomic: bool,
}

/// Runs everything against an empty remote, and leaves it empty.
pub(crate) fn conforms(remote: &dyn Remote, kind: Kind) {
    nothing_is_there(remote);
    what_is_put_is_read_back(remote);
    a_new_object_replaces_nothing(remote, kind);
    objects_are_replaced_as_a_whole(remote, kind);
    many_at_once_do_not_get_in_each_others_way(remote);
    listings_tell_what_is_below(remote);
    deleting_is_done_once_and_again(remote);
    everything(remote).into_keys().for_each(|name| remote.delete(&name).expect("deleted"));
    nothing_is_there(remote);
}

pub(crate) fn listed(remote: &dyn Remote, below: Option<&ObjectName>) -> BTreeMap<ObjectName, u64> {
    let mut all = BTreeMap::new();
    let mut each = |entry: runcellar_sync::remote::Entry| {
        assert_eq!(all.insert(entry.name.clone(), entry.bytes), None, "{} was told twice", entry.name);
        ControlFlow::Continue(())
    };
    remote.list(below, &mut each).expect("listed");
    all
}

fn everything(remote: &dyn Remote) -> BTreeMap<ObjectName, u64> {
    listed(remote, None)
}

fn nothing_is_there(remote: &dyn Remote) {
    let absent = name("devices/ab/1.seg");
    assert_eq!(everything(remote), BTreeMap::new());
    assert_eq!(listed(remote, Some(&name("devices"))), BTreeMap::new());
    assert_eq!(remote.get(&absent, None).expect("an answer"), None);
    assert_eq!(remote.get(&absent, Some(0..10)).expect("an answer"), None);
    assert_eq!(remote.head(&absent).expect("an answer"), None);
    remote.delete(&absent).expect("deleting nothing is no error");
}

/// A whole one, which takes a while to make.
static PACK: LazyLock<SealedObject> = LazyLock::new(|| pack(63));

fn what_is_put_is_read_back(remote: &dyn Remote) {
    for (name, object) in [
        (name("short"), object(1, 10)),
        (name("packs/ab/ab-cd_ef.pack"), pack(1)),
        (name("packs/ab/ab-cd_f0.pack"), PACK.clone()),
        (name("a/b/c/d/e/f/g/h"), object(2, 20_000)),
    ] {
        let bytes = object.read().expect("at hand");
        let len = object.len();
        remote.put(&name, &object).expect("stored");
        assert_eq!(remote.head(&name).expect("an answer"), Some(len));
        let whole = remote.get(&name, None).expect("an answer").expect("there");
        assert!(whole == bytes, "{name} comes back otherwise");
        for range in
            [0..1, 0..len, 5..4000, len - 1..len, 1..len * 2, len - 1..u64::MAX, 7..7, len..len + 5, len + 5..len + 9]
        {
            let part = remote.get(&name, Some(range.clone())).expect("an answer").expect("there");
            let end = range.end.min(len).max(range.start.min(len));
            assert!(part == bytes[range.start.min(len) as usize..end as usize], "{name}: {range:?}");
        }
        // A folder is no object.
        if let Some((folder, _)) = name.as_str().rsplit_once('/') {
            let folder = ObjectName::new(folder).expect("a name");
            assert_eq!(remote.get(&folder, None).expect("an answer"), None);
            assert_eq!(remote.head(&folder).expect("an answer"), None);
        }
    }
}

fn a_new_object_replaces_nothing(remote: &dyn Remote, kind: Kind) {
    let (taken, first, second) = (name("new/taken"), object(3, 100), object(4, 9000));
    assert!(remote.put_new(&taken, &first).expect("stored"));
    let again = remote.put_new(&taken, &second).expect("an answer");
    let bytes = remote.get(&taken, None).expect("an answer").expect("there");
    if kind.conditional {
        assert!(!again, "it says that it stored the second");
        assert_eq!(bytes, first.read().expect("at hand"));
    } else {
        // Whatever it says, it is one of the two and whole.
        assert!([first, second].iter().any(|object| object.read().expect("at hand") == bytes));
    }
}

fn objects_are_replaced_as_a_whole(remote: &dyn Remote, kind: Kind) {
    let head = name("devices/ab/head");
    let versions: Vec<Vec<u8>> =
        (0..4).map(|n| object(n, 300_000 * (4 - usize::from(n))).read().expect("at hand")).collect();
    remote.put(&head, &object(0, 1_200_000)).expect("stored");
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in [1, 2, 3, 0, 1, 2, 3] {
                remote.put(&head, &object(n, 300_000 * (4 - usize::from(n)))).expect("stored");
            }
        });
        while kind.atomic && !writer.is_finished() {
            let seen = remote.get(&head, None).expect("an answer").expect("there all the time");
            assert!(versions.contains(&seen), "half of one object and half of another: {} bytes", seen.len());
        }
    });
    assert!(remote.get(&head, None).expect("an answer").expect("there") == versions[3]);
}

/// Into folders that nobody has made yet.
fn many_at_once_do_not_get_in_each_others_way(remote: &dyn Remote) {
    let folder = name("many/at/once");
    thread::scope(|scope| {
        for thread in 0..4 {
            let (folder, object) = (&folder, object(thread, 5000));
            scope.spawn(move || {
                for n in 0..5 {
                    let name = folder.join(&format!("{n}/{thread}")).expect("a name");
                    // Whether it says new is another matter: an answer may have been lost.
                    remote.put_new(&name, &object).expect("stored");
                    assert_eq!(remote.get(&name, None).expect("an answer"), Some(object.read().expect("at hand")));
                }
            });
        }
    });
    assert_eq!(listed(remote, Some(&folder)).len(), 20);
}

fn listings_tell_what_is_below(remote: &dyn Remote) {
    let devices = name("devices");
    for n in 0..12 {
        remote.put(&name(&format!("devices/cd/{n:08}.seg")), &object(5, 10)).expect("stored");
    }
    let all = listed(remote, Some(&name("devices/cd")));
    assert_eq!(all.len(), 12);
    assert!(all.iter().all(|(name, bytes)| name.as_str().starts_with("devices/cd/") && *bytes == 4096));
    assert_eq!(listed(remote, Some(&devices)).len(), 13);
    assert_eq!(listed(remote, Some(&name("devic"))), BTreeMap::new());
    assert_eq!(listed(remote, Some(&name("devices/cd/00000001.seg"))), BTreeMap::new());
    assert!(everything(remote).len() >= 18);
    let mut told = 0;
    let mut first = |_| {
        told += 1;
        ControlFlow::Break(())
    };
    remote.list(Some(&devices), &mut first).expect("listed");
    assert_eq!(told, 1, "it goes on when told to stop");
}

fn deleting_is_done_once_and_again(remote: &dyn Remote) {
    let gone = name("devices/cd/00000003.seg");
    for _ in 0..2 {
        remote.delete(&gone).expect("deleted");
        assert_eq!(remote.get(&gone, None).expect("an answer"), None);
        assert_eq!(remote.head(&gone).expect("an answer"), None);
    }
    assert_eq!(listed(remote, Some(&name("devices/cd"))).len(), 11);
    assert!(remote.put_new(&gone, &object(6, 1)).expect("stored"));
    assert_eq!(remote.head(&gone).expect("an answer"), Some(4096));
}
