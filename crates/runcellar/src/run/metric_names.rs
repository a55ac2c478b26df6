//! The names of a writer's metrics: found by what they were for the last row, numbered in order of first use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar_format::journal::{METRIC_INDEX_MAX, METRIC_NAME_BYTES_MAX, push_metric};

/// The names of a writer's metrics.
#[derive(Default)]
pub(super) struct Names {
    indexes: HashMap<Arc<str>, u32>,
    list: Vec<Arc<str>>,
    /// How many of the list, from its start, stand in the current file. Readers take indexes in order and without a
    /// gap, so a name is framed even if the value that brought it was refused.
    framed: usize,
    /// The indexes of the last row by position: rows mostly repeat.
    guess: Vec<u32>,
    serial: u64,
}

impl Names {
    pub(super) fn new() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        Names { serial: SERIAL.fetch_add(1, Ordering::Relaxed), ..Names::default() }
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) fn index(&mut self, name: &str, position: usize) -> Option<u32> {
        if let Some(guess) = self.guess.get(position)
            && self.list.get(*guess as usize).is_some_and(|known| **known == *name)
        {
            return Some(*guess);
        }
        if let Some(index) = self.indexes.get(name) {
            return Some(*index);
        }
        let index = u32::try_from(self.list.len()).ok().filter(|index| *index < METRIC_INDEX_MAX)?;
        if name.len() > METRIC_NAME_BYTES_MAX {
            return None;
        }
        let name: Arc<str> = name.into();
        self.indexes.insert(name.clone(), index);
        self.list.push(name);
        Some(index)
    }

    pub(super) fn guess(&mut self, position: usize, index: u32) {
        if position == self.guess.len() {
            self.guess.push(index);
        } else if let Some(guess) = self.guess.get_mut(position) {
            *guess = index;
        }
    }

    /// Returns true if the current file lacks a name.
    pub(super) fn has_news(&self) -> bool {
        self.framed < self.list.len()
    }

    /// Appends the names that the current file lacks.
    pub(super) fn frame_news(&self, out: &mut Vec<u8>) {
        for (index, name) in (0..).zip(&self.list).skip(self.framed) {
            push_metric(out, index, name);
        }
    }

    /// Appends all names to frames of about `frame_bytes`, the last of which is begun.
    pub(super) fn frame_all(&self, frame_bytes: usize, frames: &mut Vec<Vec<u8>>) {
        for (index, name) in (0..).zip(&self.list) {
            match frames.last_mut().filter(|last| last.len() <= frame_bytes) {
                Some(last) => push_metric(last, index, name),
                None => {
                    let mut frame = Vec::new();
                    push_metric(&mut frame, index, name);
                    frames.push(frame);
                }
            }
        }
    }

    /// Takes note that the current file has all names.
    pub(super) fn all_framed(&mut self) {
        self.framed = self.list.len();
    }
}
