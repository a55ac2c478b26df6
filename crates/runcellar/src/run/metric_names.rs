//! The names of a writer's metrics, found by what they were for the last row, and the shapes of its rows; both numbered
//! in order of first use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar_format::journal::{
    METRIC_INDEX_MAX, METRIC_NAME_BYTES_MAX, SHAPE_HEADS_MAX, SHAPES_MAX, Shapes, push_metric, push_shape,
};

use crate::own::is_own;

/// How often a file says a shape, in frames of their own: with the first rows that have it. A damaged frame then costs no
/// other row.
const SHAPE_SAID: u8 = 2;

/// The names of a writer's metrics, and the shapes of its rows.
#[derive(Default)]
pub(super) struct Names {
    indexes: HashMap<Arc<str>, u32>,
    list: Vec<Arc<str>>,
    /// How many of the list, from its start, stand in the current file. Readers take indexes in order and without a
    /// gap, so a name is framed even if the value that brought it was refused.
    framed: usize,
    /// The indexes of the last row by position: rows mostly repeat.
    guess: Vec<u32>,
    shapes: Vec<Arc<[u32]>>,
    shape_numbers: HashMap<Arc<[u32]>, u8>,
    shape_heads: usize,
    /// How often each shape was said in the current file, up to [`SHAPE_SAID`].
    shapes_said: Vec<u8>,
    /// True if it lacks one.
    shapes_unsaid: bool,
    last_shape: u8,
    serial: u64,
    /// True for a writer of the store's own series: it has no others, and no other writer has them.
    own: bool,
}

impl Names {
    pub(super) fn new(own: bool) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        Names { serial: SERIAL.fetch_add(1, Ordering::Relaxed), own, ..Names::default() }
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
        if name.len() > METRIC_NAME_BYTES_MAX || is_own(name) != self.own {
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

    /// Returns the number of the shape of a row; none if there are too many, and the row carries its heads itself.
    pub(super) fn shape(&mut self, heads: &[u32]) -> Option<u8> {
        if self.shapes.get(usize::from(self.last_shape)).is_some_and(|last| **last == *heads) {
            return Some(self.last_shape);
        }
        let known = self.shape_numbers.get(heads).copied();
        let number = match known {
            Some(number) => number,
            None => {
                let number = u8::try_from(self.shapes.len()).ok().filter(|_| self.shapes.len() < SHAPES_MAX)?;
                if self.shape_heads + heads.len() > SHAPE_HEADS_MAX {
                    return None;
                }
                let heads: Arc<[u32]> = heads.into();
                self.shape_heads += heads.len();
                self.shape_numbers.insert(heads.clone(), number);
                self.shapes.push(heads);
                self.shapes_said.push(0);
                self.shapes_unsaid = true;
                number
            }
        };
        self.last_shape = number;
        Some(number)
    }

    /// Returns the shapes of all rows so far.
    pub(super) fn all_shapes(&self) -> Shapes {
        let mut shapes = Shapes::default();
        for (number, heads) in (0..=u8::MAX).zip(&self.shapes) {
            shapes.define(number, heads).expect("each is new, and all are within the limits");
        }
        shapes
    }

    /// Returns true if the current file lacks a name or a shape.
    pub(super) fn has_news(&self) -> bool {
        self.framed < self.list.len() || self.unsaid_shapes().next().is_some()
    }

    /// Appends the names and shapes that the current file lacks.
    pub(super) fn frame_news(&self, out: &mut Vec<u8>) {
        for (index, name) in (0..).zip(&self.list).skip(self.framed) {
            push_metric(out, index, name);
        }
        for (number, heads) in self.unsaid_shapes() {
            push_shape(out, number, heads);
        }
    }

    /// Appends all names and shapes to frames of about `frame_bytes`, the last of which is begun.
    pub(super) fn frame_all(&self, frame_bytes: usize, frames: &mut Vec<Vec<u8>>) {
        let mut add = |push: &dyn Fn(&mut Vec<u8>)| match frames.last_mut().filter(|last| last.len() <= frame_bytes) {
            Some(last) => push(last),
            None => {
                let mut frame = Vec::new();
                push(&mut frame);
                frames.push(frame);
            }
        };
        for (index, name) in (0..).zip(&self.list) {
            add(&|frame| push_metric(frame, index, name));
        }
        for (number, heads) in (0..=u8::MAX).zip(&self.shapes) {
            add(&|frame| push_shape(frame, number, heads));
        }
    }

    /// Returns the shapes that the file has not said, as a frame may bring several, and that of the last row while it was
    /// not said often enough: others wait for their next row.
    fn unsaid_shapes(&self) -> impl Iterator<Item = (u8, &Arc<[u32]>)> {
        let unsaid = |number: u8, said: u8| said == 0 || (number == self.last_shape && said < SHAPE_SAID);
        let from = if self.shapes_unsaid { 0 } else { self.last_shape };
        let to = if self.shapes_unsaid { u8::MAX } else { self.last_shape };
        let all = (from..=to).zip(self.shapes.iter().zip(&self.shapes_said).skip(from.into()));
        all.filter(move |(number, (_, said))| unsaid(*number, **said)).map(|(number, (heads, _))| (number, heads))
    }

    /// Takes note that the current file has what [`Names::frame_news`] gave.
    pub(super) fn news_framed(&mut self) {
        self.framed = self.list.len();
        let last = self.last_shape;
        let say = |(number, said): (u8, &mut u8)| {
            if *said == 0 || number == last {
                *said = said.saturating_add(1).min(SHAPE_SAID);
            }
        };
        if std::mem::take(&mut self.shapes_unsaid) {
            (0..=u8::MAX).zip(&mut self.shapes_said).for_each(say);
        } else if let Some(said) = self.shapes_said.get_mut(usize::from(last)) {
            say((last, said));
        }
    }

    /// Takes note that a file began with all names and shapes.
    pub(super) fn all_framed(&mut self) {
        self.framed = self.list.len();
        self.shapes_said.fill(1);
        self.shapes_unsaid = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &mut Names) -> Vec<u8> {
        let said = names.unsaid_shapes().map(|(number, _)| number).collect();
        names.news_framed();
        said
    }

    #[test]
    fn every_shape_is_said_with_the_first_two_rows_that_have_it() {
        let mut names = Names::new(false);
        assert_eq!(names.shape(&[1]), Some(0));
        assert_eq!(names.shape(&[1, 2]), Some(1));
        assert_eq!(said(&mut names), [0, 1], "a frame may bring several");
        assert_eq!((names.shape(&[1, 2]), said(&mut names)), (Some(1), vec![1]));
        assert_eq!((names.shape(&[1, 2]), said(&mut names)), (Some(1), vec![]));
        assert_eq!((names.shape(&[1]), said(&mut names)), (Some(0), vec![0]));
        assert!(!names.has_news());
        // A new file begins with all of them.
        names.all_framed();
        assert_eq!((names.shape(&[1]), said(&mut names)), (Some(0), vec![0]));
        assert_eq!((names.shape(&[1]), said(&mut names)), (Some(0), vec![]));
    }
}
