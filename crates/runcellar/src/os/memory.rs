//! Memory in large pages.

/// Bytes from which a vector is worth large pages, as numpy has it.
const LARGE_BYTES_MIN: usize = 4 << 20;

/// Asks the system for large pages under the room of a vector that is about to be filled.
///
/// A page of 4 KiB costs more to come by than to fill: without, a series of a million points spent four fifths of its
/// time in page faults when it was read again (benches: `bench_read.py`).
pub(crate) fn prefer_large_pages<T>(vector: &mut Vec<T>) {
    let room = vector.spare_capacity_mut();
    if size_of_val(room) >= LARGE_BYTES_MIN {
        advise(room.as_mut_ptr().cast(), size_of_val(room));
    }
}

#[cfg(target_os = "linux")]
fn advise(room: *mut u8, bytes: usize) {
    let page = usize::try_from(super::page_bytes()).unwrap_or(4096);
    let offset = room.align_offset(page);
    let Some(len) = bytes.checked_sub(offset) else { return };
    // SAFETY: the range lies within the room of a vector that the caller holds alone, and the advice changes what pages
    // it stands on, not what it holds. A system that does not take advice says so, and nothing depends on it.
    unsafe { libc::madvise(room.wrapping_add(offset).cast(), len, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: *mut u8, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_holds_what_it_held_wherever_its_pages_lie() {
        for room in [0, 7, LARGE_BYTES_MIN / 8, LARGE_BYTES_MIN] {
            let mut vector: Vec<usize> = Vec::with_capacity(room + 3);
            vector.extend([1, 2, 3]);
            prefer_large_pages(&mut vector);
            vector.extend(3..room);
            assert!(vector.starts_with(&[1, 2, 3]) && vector.iter().skip(3).copied().eq(3..room));
        }
    }
}
