//! The step of the next row.

use std::sync::atomic::{AtomicI64, Ordering};

/// Where the next row goes. Plain atomics: a forked child goes on from here without a lock.
#[derive(Default)]
pub(in crate::run) struct Place {
    step: AtomicI64,
}

impl Place {
    pub(in crate::run) fn new(step: i64) -> Self {
        Place { step: AtomicI64::new(step) }
    }

    pub(in crate::run) fn step(&self) -> i64 {
        self.step.load(Ordering::Relaxed)
    }

    /// Returns the step of a row and moves on if it is closed. An explicit lower step moves nothing.
    pub(in crate::run) fn take(&self, step: Option<i64>, commit: bool) -> i64 {
        let mut row = 0;
        let moved = self.step.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |current| {
            row = step.unwrap_or(current);
            let after = if commit { row.saturating_add(1) } else { row };
            (row >= current && after != current).then_some(after)
        });
        // Err says that nothing moved, which is one of the two outcomes.
        let (Ok(_) | Err(_)) = moved;
        row
    }
}
