//! Where chunks end: a rolling hash over the last 64 bytes, by a table that only the project's key gives.
//!
//! Source: FastCDC, Xia et al., USENIX ATC 2016: gear hash, no test before the minimum, and a test that is harder at first,
//! which draws lengths together. Unlike there, the hash at a place depends on the 64 bytes before it
//! alone and not on where the chunk begins, so that cuts behind an edit fall into step again at the first place that
//! both versions may choose.

use super::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};

/// Bytes that the hash at a place depends on: a byte is shifted out of 64 bits after so many.
const WINDOW_BYTES: usize = 64;

/// The table of the rolling hash: a random number for each byte.
pub(super) type Gear = [u64; 256];

/// The lengths between which chunks are cut, and how often a place is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    /// The shortest chunk, at least 64 bytes.
    pub min: usize,
    /// From this length on the test is easier.
    pub normal: usize,
    /// The longest chunk.
    pub max: usize,
    /// Before `normal`, one place in so many is chosen.
    pub hard: u64,
    /// From `normal` on, one place in so many is chosen.
    pub easy: u64,
}

/// The cuts of every workspace. Others would store everything anew, so they are part of the format.
///
/// Source: `cargo bench --bench cuts`: of the choices by which 1% of a file, overwritten in runs of 64 KiB, makes a store
/// grow by 3.5% or less, one of the longest chunks. A harder test before `normal`, as FastCDC has it, draws lengths
/// together, and cuts behind an edit come into step later: at one in 2^19 and 2^15 around 128 KiB by 4.6%.
pub const CUTS: Cuts =
    Cuts { min: CHUNK_BYTES_MIN, normal: 80 << 10, max: CHUNK_BYTES_MAX, hard: 160 << 10, easy: 40 << 10 };

/// Returns the length of the first chunk of `data`, which is `cuts.max` bytes long or more unless the file ends with it.
#[inline]
pub(super) fn cut(gear: &Gear, cuts: &Cuts, data: &[u8]) -> usize {
    let data = data.get(..cuts.max).unwrap_or(data);
    let Some(window) = data.get(cuts.min - WINDOW_BYTES..cuts.min) else { return data.len() };
    let mut hash = window.iter().fold(0, |hash, byte| roll(gear, hash, *byte));
    let (hard, easy) = data.split_at(data.len().min(cuts.normal));
    let hard = hard.get(cuts.min..).unwrap_or_default();
    if let Some(at) = find(gear, &mut hash, hard, cuts.hard) {
        return cuts.min + at;
    }
    find(gear, &mut hash, easy, cuts.easy).map_or(data.len(), |at| cuts.normal + at)
}

#[inline]
fn roll(gear: &Gear, hash: u64, byte: u8) -> u64 {
    (hash << 1).wrapping_add(gear[usize::from(byte)])
}

/// Returns how many bytes of `data` come before the first place that is chosen. The highest bits decide, as all of the
/// window has a part in them.
#[inline]
fn find(gear: &Gear, hash: &mut u64, data: &[u8], one_in: u64) -> Option<usize> {
    let most = u64::MAX / one_in;
    let (pairs, last) = data.as_chunks::<2>();
    // Two bytes a step: what each adds is looked up apart, so that the second need not wait for the first.
    for (at, [first, second]) in pairs.iter().enumerate() {
        let (first, second) = (gear[usize::from(*first)], gear[usize::from(*second)]);
        let between = (*hash << 1).wrapping_add(first);
        *hash = (*hash << 2).wrapping_add((first << 1).wrapping_add(second));
        if between <= most {
            return Some(2 * at + 1);
        }
        if *hash <= most {
            return Some(2 * at + 2);
        }
    }
    let [last] = last else { return None };
    *hash = roll(gear, *hash, *last);
    (*hash <= most).then_some(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobKeys, CHUNK_BYTES_AVERAGE};
    use crate::id::{KeyId, WorkspaceId};
    use crate::seal::OwnerKey;
    use crate::secret::Secret;

    fn keys(secret: u8) -> BlobKeys {
        BlobKeys::derive(WorkspaceId([1; 16]), &OwnerKey::new(KeyId([9; 16]), Secret::new([secret; 32])))
    }

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
        out
    }

    /// Where the chunks of `data` end.
    fn ends(keys: &BlobKeys, data: &[u8]) -> Vec<usize> {
        let mut ends = vec![0];
        while let last = ends[ends.len() - 1]
            && last < data.len()
        {
            ends.push(last + keys.cut(&data[last..]));
        }
        ends.split_off(1)
    }

    #[test]
    fn chunks_keep_their_lengths_and_what_lies_behind_their_end_does_not_matter() {
        let data = noise(1, 8 << 20);
        let all = ends(&keys(8), &data);
        let lens: Vec<usize> = all.windows(2).map(|ends| ends[1] - ends[0]).collect();
        assert!(lens.iter().all(|len| *len <= CHUNK_BYTES_MAX));
        assert!(lens[..lens.len() - 1].iter().all(|len| *len >= CHUNK_BYTES_MIN));
        let average = data.len() / all.len();
        assert!((CHUNK_BYTES_AVERAGE / 2..CHUNK_BYTES_AVERAGE * 2).contains(&average), "{average}");
        assert_eq!(keys(8).cut(&data[..CHUNK_BYTES_MAX]), all[0]);
        for len in [0, 1, WINDOW_BYTES, CHUNK_BYTES_MIN, CHUNK_BYTES_MIN + 1] {
            assert_eq!(keys(8).cut(&data[..len]), len);
        }
    }

    #[test]
    fn an_insertion_moves_only_the_cuts_near_it() {
        let data = noise(2, 8 << 20);
        let before = ends(&keys(8), &data);
        let at = 3 << 20;
        let inserted = noise(3, 1000);
        let after = ends(&keys(8), &[&data[..at], &inserted, &data[at..]].concat());
        let moved: Vec<usize> = before.iter().map(|end| if *end <= at { *end } else { end + inserted.len() }).collect();
        let lost = moved.iter().filter(|end| !after.contains(end)).count();
        assert!(lost <= 4, "{lost} of {} cuts are elsewhere", before.len());
    }

    #[test]
    fn each_key_cuts_elsewhere() {
        let data = noise(4, 4 << 20);
        let (left, right) = (ends(&keys(8), &data), ends(&keys(7), &data));
        assert!(left.iter().filter(|end| right.contains(end)).count() <= 1, "the end of the file at most");
    }
}
