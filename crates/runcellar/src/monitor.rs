//! What the store has to say while it works. The library never prints; front ends implement [`Monitor`].

/// Receives notes, warnings and progress.
pub trait Monitor: Send + Sync {
    /// Something that the user should know, and that is not an error.
    fn note(&self, text: &str);

    /// Something that went wrong and that the store goes on from.
    fn warn(&self, text: &str);

    /// Progress of long work: `done` of `total` units of `what`.
    fn progress(&self, what: &str, done: u64, total: u64) {
        let _ = (what, done, total);
    }

    /// True if long work is to end as soon as it can end well: a put then fails, and what it has read is stored for the
    /// next.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A monitor that drops everything.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn note(&self, _text: &str) {}

    fn warn(&self, _text: &str) {}
}
