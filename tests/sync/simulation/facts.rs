//! What has to be true in the end: rows that were logged, files and versions that were kept, tags and links that were made and
//! taken away, and what was erased. What only a device knew that was lost is allowed to be missing.

use std::collections::{BTreeMap, BTreeSet};

use runcellar::{Selection, SeriesValues};

use super::shown::versions;
use crate::devices::Device;

/// A collection into which a version is linked once at most. Into others, and out of them, it goes at will.
pub(super) const ONCE: &str = "registry/once";

/// Something that a device did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// A row of a run.
    Rows(String, i64),
    /// A picture of a run.
    Picture(String),
    Tag(String, String),
    Untag(String, String),
    /// A version of an artifact, which holds this text.
    Version(String),
    /// The version of a text went into the collection [`ONCE`].
    Link(String),
    Unlink(String),
    PurgeRun(String),
    PurgeMedia(String),
    PurgeVersion(String),
    /// The slot of a device that was lost.
    ShutOut(String),
}

/// A deed, and which one it was.
pub(super) type Fact = (u64, Deed);

/// What is to be found of something.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sure: i64,
    /// Known to a device alone that was lost.
    perhaps: i64,
}

impl Count {
    fn add(&mut self, count: i64, is_sure: bool) {
        if is_sure { self.sure += count } else { self.perhaps += count }
    }

    fn allows(self, found: i64) -> bool {
        (self.sure..=self.sure + self.perhaps).contains(&found)
    }
}

/// All that was done.
#[derive(Default)]
pub(super) struct Facts {
    all: BTreeMap<u64, (Deed, bool)>,
    next: u64,
    /// Runs that do not leave their device.
    pub(super) at_home: BTreeSet<String>,
}

impl Facts {
    pub(super) fn add(&mut self, deed: Deed) -> Fact {
        self.next += 1;
        self.all.insert(self.next, (deed.clone(), true));
        (self.next, deed)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn has(&self, deed: &Deed) -> bool {
        self.all.values().any(|(known, _)| known == deed)
    }

    /// A device that alone knew this was lost.
    pub(super) fn doubt(&mut self, fact: &Fact) {
        self.all.entry(fact.0).and_modify(|(_, is_sure)| *is_sure = false);
    }

    /// Compares what a device has with what was done.
    pub(super) fn hold_on(&self, device: &Device) {
        let (mut rows, mut pictures) = (BTreeMap::<&str, Count>::new(), BTreeMap::<&str, Count>::new());
        let (mut tags, mut put) = (BTreeMap::<(&str, &str), Count>::new(), BTreeMap::<&str, bool>::new());
        let (mut erased, mut untagged) = (BTreeMap::<&Deed, bool>::new(), BTreeMap::new());
        let (mut linked, mut unlinked) = (BTreeMap::<&str, bool>::new(), BTreeMap::<&str, bool>::new());
        for (deed, is_sure) in self.all.values() {
            match deed {
                Deed::Rows(run, count) => rows.entry(run).or_default().add(*count, *is_sure),
                Deed::Picture(run) => pictures.entry(run).or_default().add(1, *is_sure),
                Deed::Tag(run, tag) => tags.entry((run, tag)).or_default().add(1, *is_sure),
                Deed::Untag(run, tag) => *untagged.entry((run.as_str(), tag.as_str())).or_insert(false) |= *is_sure,
                Deed::Version(text) => drop(put.insert(text, *is_sure)),
                Deed::Link(text) => drop(linked.insert(text, *is_sure)),
                Deed::Unlink(text) => *unlinked.entry(text).or_insert(false) |= *is_sure,
                Deed::PurgeRun(_) | Deed::PurgeMedia(_) | Deed::PurgeVersion(_) => {
                    *erased.entry(deed).or_insert(false) |= *is_sure;
                }
                // Which slots there are is looked at on all devices.
                Deed::ShutOut(_) => {}
            }
        }
        let workspace = &device.workspace;
        let found: BTreeMap<_, _> = workspace
            .runs(&Selection::default())
            .expect("lists")
            .into_iter()
            .map(|run| (run.id.clone(), run))
            .collect();
        for (id, count) in &rows {
            if self.at_home.contains(*id) {
                continue;
            }
            let is_erased = erased.get(&Deed::PurgeRun((*id).to_owned()));
            let Some(run) = found.get(*id) else {
                assert!(is_erased.is_some() || count.sure == 0, "{id} is lost");
                continue;
            };
            assert!(is_erased != Some(&true), "{id} was erased, and came back");
            let loss = workspace.series(run, "loss", None).expect("reads");
            let len = loss.steps.len() as i64;
            assert!(count.allows(len), "{id} has {len} rows of {count:?}");
            self.pictures(
                device,
                run,
                pictures.get(*id).copied().unwrap_or_default(),
                erased.get(&Deed::PurgeMedia((*id).to_owned())),
            );
            for ((_, tag), count) in tags.range((*id, "")..).take_while(|((run, _), _)| run == id) {
                let has = run.tags.iter().any(|known| known == tag);
                match untagged.get(&(*id, *tag)) {
                    None => assert!(has || count.sure == 0, "{id} lost its tag {tag}"),
                    Some(true) => assert!(!has, "{id} has its tag {tag} again"),
                    Some(false) => {}
                }
            }
        }
        for id in found.keys() {
            assert!(rows.contains_key(id.as_str()), "nobody recorded {id}");
        }
        let versions = versions(device);
        for (text, is_sure) in linked {
            let is_linked = versions.iter().any(|version| version.text == text && version.artifact == ONCE);
            match unlinked.get(text) {
                None if !erased.contains_key(&Deed::PurgeVersion(text.to_owned())) => {
                    assert!(is_linked || !is_sure, "the link to {text} is lost");
                }
                Some(true) => assert!(!is_linked, "the link to {text} was taken away, and came back"),
                _ => {}
            }
        }
        let shown: BTreeSet<String> = versions.into_iter().map(|version| version.text).collect();
        for (text, is_sure) in &put {
            match (shown.contains(*text), erased.get(&Deed::PurgeVersion((*text).to_owned()))) {
                (true, Some(true)) => panic!("{text} was erased, and came back"),
                (false, None) => assert!(!is_sure, "{text} is lost"),
                _ => {}
            }
        }
        for text in &shown {
            assert!(put.contains_key(text.as_str()), "nobody put {text}");
        }
    }

    fn pictures(&self, device: &Device, run: &runcellar::RunInfo, count: Count, erased: Option<&bool>) {
        let media = device.workspace.media(run).expect("lists");
        let readable = match device.workspace.series(run, "sample", None) {
            Ok(series) => {
                let SeriesValues::Media(ids) = series.values else { panic!("sample is of media") };
                ids.into_iter().filter(|id| media.read(*id).is_ok()).count() as i64
            }
            Err(_) => 0,
        };
        match erased {
            // Those that came since are allowed.
            Some(_) => {}
            None => assert!(count.allows(readable), "{} has {readable} pictures of {count:?}", run.id),
        }
    }
}
