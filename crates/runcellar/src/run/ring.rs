//! The frames since the last good sync, kept so that a failed file can be written anew.

/// Most bytes kept. At 20 scalars a call this is about 30,000 calls; at a higher rate the oldest part relies on the
/// file alone until the next sync.
pub(super) const RING_BYTES_MAX: usize = 8 << 20;
const HEAD_BYTES: usize = 4 + 8;

/// Plaintext frames in order of sequence. Positions count bytes since the ring was made, over all that was forgotten.
#[derive(Default)]
pub(super) struct Ring {
    bytes: Vec<u8>,
    /// Position of the first byte kept.
    start: u64,
}

impl Ring {
    /// Appends a frame if there is room; returns whether there was.
    pub(super) fn push(&mut self, sequence: u64, plain: &[u8]) -> bool {
        if self.bytes.len() + plain.len() + HEAD_BYTES > RING_BYTES_MAX {
            return false;
        }
        let Ok(len) = u32::try_from(plain.len()) else { return false };
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&sequence.to_le_bytes());
        self.bytes.extend_from_slice(plain);
        true
    }

    /// Returns the position after the last frame.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Forgets the frames before `position`, which lies between two frames.
    pub(super) fn forget_to(&mut self, position: u64) {
        let count = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.drain(..count);
        self.start += count as u64;
    }

    /// Walks the frames in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.frames_from(self.start)
    }

    /// Walks the frames from `position` on, which lies between two frames.
    pub(super) fn frames_from(&self, position: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let at = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let mut rest = self.bytes.get(at..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first_chunk::<4>()?;
            let (sequence, tail) = tail.split_first_chunk::<8>()?;
            let (plain, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = tail;
            Some((u64::from_le_bytes(*sequence), plain))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_order_and_the_bound_holds() {
        let mut ring = Ring::default();
        assert!(ring.push(1, b"one") && ring.push(2, b""));
        let written = ring.end();
        assert!(ring.push(3, b"three"));
        let all: Vec<(u64, &[u8])> = ring.frames().collect();
        assert_eq!(all, [(1, &b"one"[..]), (2, b""), (3, b"three")]);
        assert_eq!(ring.frames_from(written).collect::<Vec<_>>(), [(3, &b"three"[..])]);
        assert!(!ring.push(4, &vec![0; RING_BYTES_MAX]));
        ring.forget_to(written);
        assert_eq!(ring.frames().collect::<Vec<_>>(), [(3, &b"three"[..])]);
        assert_eq!(ring.frames_from(written).count(), 1);
        ring.forget_to(written);
        assert_eq!(ring.frames().count(), 1, "a position that is forgotten already changes nothing");
        ring.forget_to(ring.end());
        assert!(ring.frames().next().is_none() && ring.frames_from(ring.end()).next().is_none());
    }
}
