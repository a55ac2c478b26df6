//! A limit of bandwidth, shared by all that goes to and comes from a remote.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes that are sent or received between two looks at the limit. Small enough that a slow line stays even.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// Spreads bytes over time.
///
/// Each piece of a transfer is announced, and waits as long as is said: the pieces stand in one line, however many threads
/// they come from. Unused time is not saved up beyond [`Pace::BURST`].
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: Option<u64>,
    /// When the line will be free.
    free: Mutex<Duration>,
}

impl Pace {
    /// How much of the past may be made up for.
    pub const BURST: Duration = Duration::from_millis(250);

    /// Makes a limit; none for none or 0.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Self {
        Pace { bytes_per_second: bytes_per_second.filter(|rate| *rate > 0), free: Mutex::new(Duration::ZERO) }
    }

    /// Takes room for so many bytes at a time, and returns how long to wait before they may go.
    #[must_use]
    pub fn take(&self, bytes: u64, now: Duration) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(now.saturating_sub(Self::BURST)).saturating_add(takes);
        free.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_at_the_rate_that_was_set_however_they_are_cut() {
        for piece in [1000, 64 << 10, 1 << 20] {
            let pace = Pace::new(Some(1 << 20));
            let mut now = Duration::from_secs(100);
            for _ in 0..(8 << 20) / piece {
                now += pace.take(piece, now);
            }
            let took = (now - Duration::from_secs(100) + Pace::BURST).as_secs_f64();
            assert!((took - 8.0).abs() < 0.02, "{piece}: {took}");
        }
    }

    #[test]
    fn time_in_which_nothing_was_sent_is_not_made_up_for() {
        let pace = Pace::new(Some(1000));
        assert_eq!(pace.take(250, Duration::from_secs(1_000)), Duration::ZERO);
        assert_eq!(pace.take(1000, Duration::from_secs(1_000)), Duration::from_secs(1));
        assert_eq!(pace.take(1000, Duration::from_secs(1_000)), Duration::from_secs(2));
        assert_eq!(pace.take(1250, Duration::from_secs(2_000)), Duration::from_secs(1));
        for none in [None, Some(0)] {
            assert_eq!(Pace::new(none).take(u64::MAX, Duration::ZERO), Duration::ZERO);
        }
    }
}
