//! The seam to time: waiting between attempts and under a limit of bandwidth.

use std::time::{Duration, Instant};

/// Tells time and waits.
pub trait Clock: Send + Sync {
    /// Returns a time that never runs backwards, since some start.
    fn now(&self) -> Duration;

    /// Waits; returns false if it was cut short because nothing should be waited for any more.
    fn sleep(&self, duration: Duration) -> bool;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> bool {
        std::thread::sleep(duration);
        true
    }
}
