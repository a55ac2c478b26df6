//! Forks and copies: no key is used twice with one nonce, but for the same content.
//!
//! Every journal is kept by a second name, and the frames of all of them, and the objects of each database, are compared by
//! what their ciphers are keyed with: the header of the file and the nonce, or the id of the key and the salt.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use runcellar::Resume;
use runcellar_format::WorkspaceId;
use runcellar_format::journal::Header;

use crate::forks::{End, fork, wait};
use crate::support::io::{Call, Fate, Hooked, is_journal};
use crate::support::outsider::rows;
use crate::support::{Heard, Place, child, copy_dir, is_network, list};

const CHILDREN: u64 = 64;
const ROWS: i64 = 1_000;

/// What was sealed under each pair of key and nonce.
#[derive(Default)]
struct Used {
    texts: HashMap<(Vec<u8>, Vec<u8>), Vec<u8>>,
    frames: usize,
    objects: usize,
    repeats: usize,
}

impl Used {
    fn note(&mut self, key: &[u8], nonce: &[u8], sealed: &[u8]) {
        let before = self.texts.insert((key.to_vec(), nonce.to_vec()), sealed.to_vec());
        self.repeats += usize::from(before.is_some_and(|before| before != sealed));
    }

    /// Notes the frames of a journal: mark 4, length 4, sequence 8, nonce 12, ciphertext, tag 16.
    fn journal(&mut self, bytes: &[u8]) {
        let Ok((_, header)) = Header::decode(bytes) else { return };
        let mut rest = &bytes[header..];
        while rest.len() > 44 {
            let len = u32::from_le_bytes(rest[4..8].try_into().expect("four bytes")) as usize + 44;
            let Some(frame) = rest.get(..len) else { break };
            self.note(&bytes[..header], &frame[16..28], frame);
            self.frames += 1;
            rest = &rest[len..];
        }
    }

    fn database(&mut self, path: &Path, workspace: WorkspaceId) {
        for row in rows(path, workspace) {
            self.note(&row.body[4..20], &row.body[20..44], &row.body);
            self.objects += 1;
        }
    }
}

/// Gives each journal a second name before anything is appended to it.
fn keeping(kept: PathBuf) -> std::sync::Arc<Hooked> {
    Hooked::new(move |call: Call, path: &Path| {
        if call == Call::Append && is_journal(path) {
            // The second frame finds it there.
            let _ = std::fs::hard_link(path, kept.join(path.file_name().expect("a name")));
        }
        Fate::Done
    })
}

fn kept(place: &Place) -> PathBuf {
    place.root().join("kept")
}

/// Logs, forks children that log into the same run, is copied meanwhile, and goes on.
pub(crate) fn forks_and_is_copied(place: &Place, copy: &str) {
    let workspace = place.open_with(keeping(kept(place)), std::sync::Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").id("the-run").journal_bytes(40_000).start().expect("starts");
    let log = |from: i64| (from..from + ROWS).for_each(|n| run.log([("n", n)]).expect("logs"));
    log(0);
    let mut children = Vec::new();
    for number in 0..CHILDREN {
        let end = [End::Exit, End::ExitAtOnce, End::Finish, End::Killed][number as usize % 4];
        let act = || {
            // All log the same, at the same steps.
            log(0);
            if matches!(end, End::Finish) {
                run.finish().expect("ends its own writer");
            }
        };
        children.push((fork(end, act), end));
        if children.len() == 8 {
            children.drain(..).for_each(|(pid, end)| wait(pid, end));
        }
    }
    let there = Place::at(copy);
    copy_dir(&place.workspace(), &there.workspace());
    copy_dir(&place.keys_dir(), &there.keys_dir());
    child::play("goes_on_in_a_copy", &there, "");
    log(ROWS);
    run.finish().expect("finishes");
}

pub(crate) fn goes_on_in_a_copy(place: &Place, _: &str) {
    let workspace = place.open_with(keeping(kept(place)), std::sync::Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").id("the-run").resume(Resume::Allow).start().expect("resumes");
    (ROWS..2 * ROWS).for_each(|n| run.log([("n", n)]).expect("logs"));
    run.finish().expect("finishes");
}

#[test]
#[allow(clippy::print_stderr, reason = "figures, shown on request")]
fn forked_children_and_copies_repeat_no_nonce_for_another_content() {
    let (place, copy) = (Place::new(), Place::new());
    std::fs::create_dir(kept(&place)).expect("creates");
    std::fs::create_dir(kept(&copy)).expect("creates");
    let workspace = WorkspaceId::from_hex(&place.open().id()).expect("an id");
    child::play("forks_and_is_copied", &place, copy.root().display());
    let mut used = Used::default();
    for place in [&place, &copy] {
        list(&kept(place)).iter().for_each(|path| used.journal(&std::fs::read(path).expect("reads")));
        // Takes in what killed children left.
        drop(place.open());
        used.database(&place.database(), workspace);
    }
    eprintln!("{} frames, {} objects, {} repeated pairs", used.frames, used.objects, used.repeats);
    assert!(used.frames as i64 >= (CHILDREN as i64 + 3) * ROWS, "{} frames", used.frames);
    assert!(used.objects > 100, "{} objects", used.objects);
    assert_eq!(used.repeats, 0);
    // The test can fail.
    used.note(b"a key", b"a nonce", b"one text");
    used.note(b"a key", b"a nonce", b"one text");
    assert_eq!(used.repeats, 0);
    used.note(b"a key", b"a nonce", b"another");
    assert_eq!(used.repeats, 1);
    assert!(is_network() || !used.texts.is_empty());
}
