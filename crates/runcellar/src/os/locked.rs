//! Memory for keys: not swapped out, and left out of core dumps, where the system lets us.
//!
//! Forked children keep it (`MADV_WIPEONFORK` would empty it there): a child of a training run goes on logging under the
//! run's key. Nothing here is locked by a mutex that could be held at a fork.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar_format::Secret;

/// Secrets that find room: those of the workspace and of some hundred runs. As many as every system lets a user lock,
/// 64 KiB. Keys beyond lie in ordinary memory, and are wiped like these.
const CELLS: usize = 2048;
const CELL_BYTES: usize = 32;

struct Region {
    start: usize,
    /// A bit for each cell that is lent.
    lent: [AtomicU64; CELLS / 64],
}

fn region() -> Option<&'static Region> {
    static REGION: OnceLock<Option<Region>> = OnceLock::new();
    REGION.get_or_init(map).as_ref()
}

fn map() -> Option<Region> {
    let bytes = CELLS * CELL_BYTES;
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of its own, at a place that the system chooses.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    // What the system refuses (a limit, a container's rules) is done without.
    // SAFETY: the range is the mapping made above, which is never unmapped.
    unsafe { libc::mlock(start, bytes) };
    #[cfg(target_os = "linux")]
    // SAFETY: as above; the advice changes what a core dump holds, and nothing else.
    unsafe {
        libc::madvise(start, bytes, libc::MADV_DONTDUMP)
    };
    Some(Region { start: start as usize, lent: std::array::from_fn(|_| AtomicU64::new(0)) })
}

/// Keeps this process out of core dumps, and other processes of its user from looking into it: for programs of their own,
/// not for libraries in somebody else's.
pub fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers alone; where it is refused nothing changes.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)
    };
    // SAFETY: an all-zero rlimit is a valid value of this plain C struct.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: `limit` is writable for the length of the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) } == 0 {
        // The soft limit alone: a program that is started from here may raise it again.
        limit.rlim_cur = 0;
        // SAFETY: `limit` was filled in above.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    }
}

/// Moves a secret that is kept for long into this memory, if there is room.
pub(crate) fn guarded(secret: Secret) -> Secret {
    match region().and_then(take) {
        Some(cell) => secret.moved_to(cell, give_back),
        None => secret,
    }
}

#[allow(clippy::mut_from_ref, reason = "the cell is lent to one caller at a time, by its bit")]
fn take(region: &'static Region) -> Option<&'static mut [u8; CELL_BYTES]> {
    for (word, lent) in region.lent.iter().enumerate() {
        let mut seen = lent.load(Ordering::Relaxed);
        while seen != u64::MAX {
            let bit = seen.trailing_ones() as usize;
            match lent.compare_exchange_weak(seen, seen | 1 << bit, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    let cell = region.start + (word * 64 + bit) * CELL_BYTES;
                    // SAFETY: the cell lies in the mapping, which lives for ever, and the bit that was just set gives it
                    // to this caller alone until `give_back` clears it. Any bytes are a valid array.
                    return Some(unsafe { &mut *(cell as *mut [u8; CELL_BYTES]) });
                }
                Err(now) => seen = now,
            }
        }
    }
    None
}

fn give_back(cell: &'static mut [u8; CELL_BYTES]) {
    let Some(region) = region() else { return };
    let index = (cell.as_ptr() as usize - region.start) / CELL_BYTES;
    if let Some(word) = region.lent.get(index / 64) {
        word.fetch_and(!(1 << (index % 64)), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_cells_of_their_own_and_more_than_fit_stay_whole() {
        let key = |number: usize| Secret::new(std::array::from_fn(|at| (number >> (8 * (at % 4))) as u8));
        for _ in 0..2 {
            let all: Vec<Secret> = (0..CELLS + 100).map(|number| guarded(key(number))).collect();
            for (number, secret) in all.iter().enumerate() {
                assert_eq!(secret.expose(), key(number).expose(), "{number}");
            }
        }
        let start = region().expect("mapped").start;
        let one = guarded(key(1));
        let at = one.expose().as_ptr() as usize;
        assert!((start..start + CELLS * CELL_BYTES).contains(&at), "what was given back is lent again");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_keys_is_left_out_of_core_dumps() {
        let start = region().expect("mapped").start;
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
        let is_ours = |line: &&str| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            range.is_some_and(|(from, to)| number(from) <= Some(start) && Some(start) < number(to))
        };
        let mut lines = maps.lines().skip_while(|line| !is_ours(line));
        let flags = lines.find(|line| line.starts_with("VmFlags:")).expect("the mapping has flags");
        assert!(flags.contains(" dd"), "{flags}");
    }
}
