//! How far a writer's frames were taken in.

use runcellar_format::record::WriterRow;

/// The frames of one writer that were taken in: all up to a sequence, but for gaps.
///
/// A gap is filled by whoever finds its frames later: files are read in order, but one may have been out of reach when
/// those after it were ingested.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The last sequence that was taken in.
    pub(crate) sequence: u64,
    /// Sequences before it that were not found: (first, last).
    pub(crate) missing: Vec<(u64, u64)>,
}

impl Progress {
    /// Returns what the database has of a writer.
    pub(crate) fn of(row: &WriterRow) -> Progress {
        Progress { sequence: row.sequence, missing: row.missing.clone() }
    }

    /// Takes note of a frame; false if it was taken in before.
    pub(crate) fn take(&mut self, sequence: u64) -> bool {
        if sequence > self.sequence {
            if sequence > self.sequence + 1 {
                self.missing.push((self.sequence + 1, sequence - 1));
            }
            self.sequence = sequence;
            return true;
        }
        let Some(at) = self.missing.iter().position(|(first, last)| (*first..=*last).contains(&sequence)) else {
            return false;
        };
        let (first, last) = self.missing.remove(at);
        let rest = [(first, sequence - 1), (sequence + 1, last)];
        self.missing.splice(at..at, rest.into_iter().filter(|(first, last)| first <= last));
        true
    }

    /// Returns whether frames that come after `sequence` were not found although later ones were.
    pub(crate) fn has_gap_after(&self, sequence: u64) -> bool {
        self.missing.iter().any(|(first, _)| *first > sequence)
    }

    /// Takes back a frame whose content was of no use: it counts as not found.
    pub(crate) fn give_back(&mut self, sequence: u64) {
        self.missing.push((sequence, sequence));
        self.missing.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_taken_once_in_whatever_order_it_comes() {
        let mut progress = Progress::default();
        let mut taken = std::collections::HashSet::new();
        for sequence in [1, 2, 2, 9, 5, 5, 6, 3, 1, 12, 4, 10, 8, 7, 9, 11, 12] {
            assert_eq!(progress.take(sequence), taken.insert(sequence), "{sequence}");
        }
        assert_eq!(progress, Progress { sequence: 12, missing: Vec::new() });
        assert!(progress.take(15));
        assert_eq!(progress.missing, [(13, 14)]);
        assert!(progress.has_gap_after(12) && !progress.has_gap_after(13));
        progress.give_back(15);
        assert_eq!(progress.missing, [(13, 14), (15, 15)]);
        assert!(progress.take(15) && progress.take(14) && !progress.take(15));
        assert_eq!(progress, Progress { sequence: 15, missing: vec![(13, 13)] });
    }
}
