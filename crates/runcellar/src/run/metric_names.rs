//! The names of a writer's metrics, found by what they were for the last row, and the shapes of its rows; both numbered
//! in order of first use.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runcellar_format::journal::{
    METRIC_INDEX_MAX, METRIC_NAME_BYTES_MAX, SHAPE_HEADS_MAX, SHAPES_MAX, Shapes, push_metric, push_shape,
};

use crate::interned::Interned;
use crate::own::is_own;

/// How often a file says a shape, in frames of their own: with the first rows that have it. A damaged frame then costs no
/// other row.
const SHAPE_SAID: u8 = 2;

/// How many names and shapes, from the first on, stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Framed {
    pub(super) names: u32,
    shapes: usize,
}

/// What the current file was given.
pub(super) struct Said {
    framed: u32,
    shapes: Vec<u8>,
    unsaid: bool,
}

/// The names of a writer's metrics, and the shapes of its rows.
#[derive(Default)]
pub(super) struct Names {
    list: Interned,
    /// How many of the list stand in the current file. Readers take indexes in order and without a gap, so a name is
    /// framed even if the value that brought it was refused.
    framed: u32,
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

    /// Returns the index of a name; `None` for one that cannot be stored.
    #[inline]
    pub(super) fn index(&mut self, name: &str, position: usize) -> Option<u32> {
        if let Some(guess) = self.guess.get(position)
            && self.list.get(*guess).is_some_and(|known| is_same(known.as_bytes(), name.as_bytes()))
        {
            return Some(*guess);
        }
        self.find_or_add(name)
    }

    fn find_or_add(&mut self, name: &str) -> Option<u32> {
        if let Some(index) = self.list.find(name) {
            return Some(index);
        }
        if self.list.len() >= METRIC_INDEX_MAX || name.len() > METRIC_NAME_BYTES_MAX || is_own(name) != self.own {
            return None;
        }
        self.list.add(name)
    }

    #[inline]
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

    /// Returns how many names there are.
    pub(super) fn len(&self) -> u32 {
        self.list.len()
    }

    /// Returns true if the current file lacks a name or a shape.
    pub(super) fn has_news(&self) -> bool {
        let said = self.shapes_said.get(usize::from(self.last_shape));
        self.framed < self.list.len() || self.shapes_unsaid || said.is_some_and(|said| *said < SHAPE_SAID)
    }

    /// Appends what the current file lacks: names until there are about `frame_bytes`, and the shapes behind the last of
    /// them. Returns false if there are names left, for a frame of their own.
    pub(super) fn frame_news(&mut self, frame_bytes: usize, out: &mut Vec<u8>) -> bool {
        self.framed = self.frame_names(self.framed, frame_bytes, out);
        let whole = self.framed == self.list.len();
        if whole {
            for (number, heads) in self.unsaid_shapes() {
                push_shape(out, number, heads);
            }
            self.say_shapes();
        }
        whole
    }

    /// Appends what a file that has `framed` lacks, until there are about `frame_bytes`; returns what it has then.
    pub(super) fn frame_more(&self, framed: Framed, frame_bytes: usize, out: &mut Vec<u8>) -> Framed {
        let Framed { mut names, mut shapes } = framed;
        names = self.frame_names(names, frame_bytes, out);
        if out.len() <= frame_bytes {
            // All shapes together are short.
            for (number, heads) in (0..=u8::MAX).zip(&self.shapes).skip(shapes) {
                push_shape(out, number, heads);
            }
            shapes = self.shapes.len();
        }
        Framed { names, shapes }
    }

    fn frame_names(&self, from: u32, frame_bytes: usize, out: &mut Vec<u8>) -> u32 {
        let mut next = from;
        for (index, name) in self.list.walk(from) {
            if out.len() > frame_bytes {
                break;
            }
            push_metric(out, index, name);
            next = index + 1;
        }
        next
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

    /// Returns what the current file has, for [`Names::unsay`].
    pub(super) fn said(&self) -> Said {
        Said { framed: self.framed, shapes: self.shapes_said.clone(), unsaid: self.shapes_unsaid }
    }

    /// Takes back what [`Names::frame_news`] noted since: its frame was not written.
    pub(super) fn unsay(&mut self, said: Said) {
        (self.framed, self.shapes_said, self.shapes_unsaid) = (said.framed, said.shapes, said.unsaid);
    }

    /// Takes note that the current file has what [`Names::unsaid_shapes`] gave.
    fn say_shapes(&mut self) {
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

    /// Takes note that a new file has begun, with so much in it.
    pub(super) fn begin_file(&mut self, framed: Framed) {
        self.framed = framed.names;
        for (number, said) in self.shapes_said.iter_mut().enumerate() {
            *said = u8::from(number < framed.shapes);
        }
        self.shapes_unsaid = framed.shapes < self.shapes.len();
    }
}

/// Compares as `==` does, without a call: names are short, and there is one for each value.
#[inline]
fn is_same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let (left, right) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    left.0.iter().zip(right.0).all(|(left, right)| left == right)
        && left.1.iter().zip(right.1).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &mut Names) -> Vec<u8> {
        let said = names.unsaid_shapes().map(|(number, _)| number).collect();
        assert!(names.frame_news(1 << 20, &mut Vec::new()));
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
        names.begin_file(names.frame_more(Framed::default(), 1 << 20, &mut Vec::new()));
        assert_eq!((names.shape(&[1]), said(&mut names)), (Some(0), vec![0]));
        assert_eq!((names.shape(&[1]), said(&mut names)), (Some(0), vec![]));
    }

    #[test]
    fn names_go_into_frames_of_bounded_length_and_each_goes_once() {
        let mut names = Names::new(false);
        for index in 0..1000_u32 {
            assert_eq!(names.index(&format!("metric/{index}"), 0), Some(index));
        }
        let (mut framed, mut all) = (Framed::default(), Vec::new());
        loop {
            let mut out = Vec::new();
            let more = names.frame_more(framed, 256, &mut out);
            assert!(out.len() < 256 + 32);
            all.extend(out);
            if more == framed {
                break;
            }
            framed = more;
        }
        let (mut at_once, mut in_rows) = (Vec::new(), Vec::new());
        assert_eq!(names.frame_more(Framed::default(), usize::MAX, &mut at_once), framed);
        assert_eq!(all, at_once);
        while !names.frame_news(in_rows.len() + 256, &mut in_rows) {}
        assert_eq!(in_rows, at_once);
        assert!(!names.has_news());
    }

    #[test]
    fn names_are_compared_whole() {
        for len in 0..40_usize {
            let name: Vec<u8> = (0..len as u8).collect();
            assert!(is_same(&name, &name.clone()));
            assert!(!is_same(&name, &[&name[..], &[0]].concat()));
            for at in 0..len {
                let mut other = name.clone();
                other[at] ^= 1;
                assert!(!is_same(&name, &other), "{len} {at}");
            }
        }
    }
}
