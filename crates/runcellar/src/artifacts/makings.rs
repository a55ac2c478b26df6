//! Which links of a collection stand: those of which a making was not taken away.
//!
//! Who takes a link away takes the makings that are known there; one that was made elsewhere meanwhile, or is made again
//! later, is another making, and stands. Copies of a collection are brought together by joining what was made and what was
//! taken away: in whatever order and how often that is done, the same links stand.

use std::collections::{BTreeMap, BTreeSet};

use runcellar_format::ObjectId;
use runcellar_format::record::{Artifact, Links, Making, VersionRef};

use crate::{Error, Result};

fn links_of(collection: &Artifact) -> Result<Links> {
    Links::of(collection).map_err(|cause| Error::format(format_args!("collection {}", collection.name), cause))
}

fn note(links: Links, collection: &mut Artifact) -> Result<()> {
    let noted = links.note(collection);
    noted.map_err(|cause| Error::format(format_args!("collection {}", collection.name), cause))
}

/// Makes it a collection of which nothing is known yet.
pub(super) fn forget(collection: &mut Artifact) -> Result<()> {
    note(Links::default(), collection)
}

/// Returns the makings of the links that stand.
fn made(collection: &Artifact, links: &Links) -> impl Iterator<Item = Making> {
    collection.versions.iter().map(VersionRef::making).chain(links.more.iter().copied())
}

/// Returns the time at which a version is linked again: one at which no making was taken away, for clocks that stand still or
/// are set back.
pub(super) fn time_of_new(collection: &Artifact, version: ObjectId, now: i64) -> Result<i64> {
    let taken = links_of(collection)?.taken;
    let is_free = |time: &i64| taken.iter().all(|known| known.making() != (version.0, *time));
    Ok((now..=i64::MAX).find(is_free).unwrap_or(now))
}

/// Takes a link away.
pub(super) fn take_away(collection: &mut Artifact, version: ObjectId) -> Result<()> {
    let mut links = links_of(collection)?;
    for listed in collection.versions.extract_if(.., |listed| listed.version == version.0) {
        let more = links.more.iter().filter(|(known, _)| *known == version.0);
        links.taken.extend(more.map(|(_, time)| VersionRef { time: *time, ..listed }));
        links.taken.push(listed);
    }
    links.more.retain(|(known, _)| *known != version.0);
    note(links, collection)
}

/// Takes in links of a copy, and that links were taken away there; returns how many are new. A link keeps its number there
/// unless another has it here, or had it.
pub(super) fn join(mine: &mut Artifact, theirs: &Artifact) -> Result<u64> {
    let (mut links, said) = (links_of(mine)?, links_of(theirs)?);
    let before = links.clone();
    let made: BTreeSet<Making> = made(mine, &links).chain(made(theirs, &said)).collect();
    let mut taken: BTreeSet<Making> = links.taken.iter().map(VersionRef::making).collect();
    for gone in &said.taken {
        if taken.insert(gone.making()) {
            let here = mine.versions.iter().find(|listed| listed.version == gone.version);
            let number = here.map_or(gone.number, |here| here.number);
            links.taken.push(VersionRef { number, ..*gone });
            mine.next_version = mine.next_version.max(number.saturating_add(1));
        }
    }
    let mut standing: BTreeMap<[u8; 16], Vec<Making>> = BTreeMap::new();
    for making in made.difference(&taken) {
        standing.entry(making.0).or_default().push(*making);
    }
    mine.versions.retain(|listed| standing.contains_key(&listed.version));
    let mut new = 0;
    for listed in theirs.versions.iter().filter(|listed| standing.contains_key(&listed.version)) {
        if mine.versions.iter().all(|known| known.version != listed.version) {
            let is_given = mine.versions.iter().chain(&links.taken).any(|known| known.number == listed.number);
            let number = if is_given { mine.next_version } else { listed.number };
            mine.versions.push(VersionRef { number, ..*listed });
            mine.next_version = mine.next_version.max(number.saturating_add(1));
            new += 1;
        }
    }
    mine.versions.sort_by_key(|listed| listed.number);
    links.more.clear();
    for listed in &mut mine.versions {
        let mut makings = standing.remove(&listed.version).unwrap_or_default().into_iter();
        listed.time = makings.next().map_or(listed.time, |(_, time)| time);
        links.more.extend(makings);
    }
    links.more.sort_unstable();
    links.taken.sort_unstable_by_key(VersionRef::making);
    if links != before {
        note(links, mine)?;
    }
    Ok(new)
}

/// Returns whether others said all of what is known of links here.
pub(super) fn is_told(mine: &Artifact, said: &[&Artifact]) -> Result<bool> {
    let (mut told, mut told_taken) = (BTreeSet::new(), BTreeSet::new());
    for said in said {
        let links = links_of(said)?;
        told.extend(made(said, &links));
        told_taken.extend(links.taken.iter().map(VersionRef::making));
    }
    let links = links_of(mine)?;
    Ok(made(mine, &links).all(|making| told.contains(&making))
        && links.taken.iter().all(|taken| told_taken.contains(&taken.making())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: ObjectId = ObjectId([1; 16]);
    const Y: ObjectId = ObjectId([2; 16]);

    fn link(collection: &mut Artifact, version: ObjectId, now: i64) {
        if collection.versions.iter().any(|listed| listed.version == version.0) {
            return;
        }
        let time = time_of_new(collection, version, now).expect("reads");
        collection.versions.push(VersionRef { number: collection.next_version, version: version.0, time });
        collection.next_version += 1;
    }

    fn joined(one: &Artifact, other: &Artifact) -> Artifact {
        let mut joined = one.clone();
        join(&mut joined, other).expect("joins");
        joined
    }

    fn numbers(collection: &Artifact) -> Vec<(u32, u8)> {
        collection.versions.iter().map(|listed| (listed.number, listed.version[0])).collect()
    }

    /// What copies with the same links have alike: all but the numbers.
    fn known(collection: &Artifact) -> (BTreeSet<Making>, Vec<Making>, Vec<Making>) {
        let links = links_of(collection).expect("reads");
        let listed = collection.versions.iter().map(VersionRef::making).collect();
        (listed, links.more, links.taken.iter().map(VersionRef::making).collect())
    }

    #[test]
    fn a_link_that_was_taken_away_stays_away_until_it_is_made_again() {
        let mut mine = Artifact::default();
        link(&mut mine, X, 10);
        let copy = mine.clone();
        take_away(&mut mine, X).expect("takes");
        assert_eq!(numbers(&joined(&mine, &copy)), []);
        assert_eq!(numbers(&joined(&copy, &mine)), []);
        assert!(!is_told(&mine, &[&copy]).expect("reads"), "that it was taken away is news");
        // A clock that was set back, or did not go on since.
        link(&mut mine, X, 10);
        assert_eq!(numbers(&joined(&mine, &copy)), [(1, 1)]);
        let after = joined(&copy, &mine);
        assert_eq!(numbers(&after), [(0, 1)], "numbers are each copy's own");
        assert!(is_told(&after, &[&mine]).expect("reads"));
    }

    #[test]
    fn a_link_that_was_made_elsewhere_meanwhile_stands_and_goes_with_what_is_known_of_it() {
        let (mut mine, mut theirs) = (Artifact::default(), Artifact::default());
        link(&mut mine, X, 10);
        link(&mut theirs, X, 5);
        let both = joined(&mine, &theirs);
        take_away(&mut mine, X).expect("takes");
        assert_eq!(numbers(&joined(&mine, &theirs)), [(1, 1)], "nobody took theirs away");
        assert!(is_told(&joined(&both, &mine), &[&mine, &theirs]).expect("reads"));
        let mut gone = both.clone();
        take_away(&mut gone, X).expect("takes");
        for copy in [&mine, &theirs, &both] {
            assert_eq!((numbers(&joined(&gone, copy)), numbers(&joined(copy, &gone))), (vec![], vec![]));
        }
    }

    #[test]
    fn a_number_is_not_given_again() {
        let (mut mine, mut theirs) = (Artifact::default(), Artifact::default());
        link(&mut mine, X, 1);
        link(&mut theirs, Y, 2);
        let mut without = mine.clone();
        take_away(&mut without, X).expect("takes");
        assert_eq!(numbers(&joined(&joined(&mine, &without), &theirs)), [(1, 2)], "0 was that of another link");
        assert_eq!(joined(&Artifact::default(), &without).next_version, 1);
    }

    #[test]
    fn in_whatever_order_copies_come_together_the_same_links_stand() {
        let mut dice = 7_u64;
        let mut below = |bound: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % bound
        };
        let mut stood = 0;
        for _ in 0..500 {
            let mut copies: Vec<Artifact> = vec![Artifact::default(); 3];
            for _ in 0..16 {
                let (at, other, version) = (below(3) as usize, below(3) as usize, ObjectId([below(4) as u8; 16]));
                let now = below(1000) as i64;
                match below(4) {
                    0 | 1 => link(&mut copies[at], version, now),
                    2 => take_away(&mut copies[at], version).expect("takes"),
                    _ => copies[at] = joined(&copies[at], &copies[other]),
                }
            }
            let [a, b, c] = [&copies[0], &copies[1], &copies[2]];
            assert_eq!(known(&joined(a, b)), known(&joined(b, a)));
            assert_eq!(known(&joined(&joined(a, b), c)), known(&joined(a, &joined(b, c))));
            let all = joined(&joined(a, b), c);
            for copy in [a, b, c, &all] {
                assert_eq!(joined(&all, copy), all, "what is known changes nothing");
            }
            let mut numbers: Vec<u32> = all.versions.iter().map(|listed| listed.number).collect();
            numbers.dedup();
            assert_eq!(numbers.len(), all.versions.len(), "each has a number of its own");
            stood += all.versions.len();
        }
        assert!(stood > 500, "{stood}");
    }
}
