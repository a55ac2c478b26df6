//! The frames since the last good sync, kept so that a failed file can be written anew.

/// Most bytes kept. At 20 scalars a call this is about 30,000 calls; at a higher rate the oldest part relies on the
/// file alone until the next sync.
pub(super) const RING_BYTES_MAX: usize = 8 << 20;

/// Plaintext frames in order of sequence.
#[derive(Default)]
pub(super) struct Ring {
    bytes: Vec<u8>,
}

impl Ring {
    /// Appends a frame if there is room; returns whether there was.
    pub(super) fn push(&mut self, sequence: u64, plain: &[u8]) -> bool {
        if self.bytes.len() + plain.len() + 12 > RING_BYTES_MAX {
            return false;
        }
        let Ok(len) = u32::try_from(plain.len()) else { return false };
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&sequence.to_le_bytes());
        self.bytes.extend_from_slice(plain);
        true
    }

    /// Returns true if a frame of this length would still fit.
    pub(super) fn has_room(&self, plain_bytes: usize) -> bool {
        self.bytes.len() + plain_bytes + 12 <= RING_BYTES_MAX
    }

    /// Forgets all frames and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Appends the frames of a later ring.
    pub(super) fn append(&mut self, later: &mut Ring) {
        self.bytes.append(&mut later.bytes);
    }

    /// Walks the frames in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = self.bytes.as_slice();
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
        let mut later = Ring::default();
        assert!(later.push(3, b"three"));
        ring.append(&mut later);
        let all: Vec<(u64, &[u8])> = ring.frames().collect();
        assert_eq!(all, [(1, &b"one"[..]), (2, b""), (3, b"three")]);
        assert!(!ring.push(4, &vec![0; RING_BYTES_MAX]));
        ring.clear();
        assert!(ring.frames().next().is_none());
    }
}
