//! How often each byte comes in the planes of a sample, and what that says of their size.

use std::array;
use std::sync::LazyLock;

/// The most planes.
const PLANES: usize = 8;
/// Elements that are counted at most, in runs evenly spread over what is given.
const ELEMENTS: usize = 1024;
const RUNS: usize = 8;
/// Counts whose logarithms are looked up.
const KNOWN: usize = 512;

/// `count * log2(count)` of small counts.
static WEIGHTS: LazyLock<[f32; KNOWN]> = LazyLock::new(|| array::from_fn(|count| weigh(count as f32)));

/// Counts of the bytes of up to eight planes.
pub(super) struct Counts {
    planes: [[u16; 256]; PLANES],
    /// Bytes that equal the one before them in the plane.
    repeats: [u16; PLANES],
    /// Bytes of a plane.
    len: u16,
}

impl Counts {
    /// Counts the bytes of elements by their places in them.
    pub(super) fn of_planes<const STRIDE: usize>(elements: &[[u8; STRIDE]]) -> Counts {
        let mut counts = Counts { planes: [[0; 256]; PLANES], repeats: [0; PLANES], len: 0 };
        let (run, step) = match elements.len().checked_sub(ELEMENTS) {
            Some(_) => (ELEMENTS / RUNS, elements.len() / RUNS),
            None => (elements.len().max(1), elements.len().max(1)),
        };
        for run in elements.chunks(step).filter_map(|chunk| chunk.get(..run)) {
            let mut last = run.first().copied().unwrap_or([0; STRIDE]);
            for element in run {
                for index in 0..STRIDE {
                    counts.planes[index][usize::from(element[index])] += 1;
                    counts.repeats[index] += u16::from(element[index] == last[index]);
                }
                last = *element;
            }
            counts.len += run.len() as u16;
        }
        counts
    }

    /// Counts of `STRIDE` planes, each twice as long, of counts of twice as many.
    pub(super) fn folded<const STRIDE: usize>(&self) -> Counts {
        let mut planes = [[0; 256]; PLANES];
        for (index, plane) in planes.iter_mut().take(STRIDE).enumerate() {
            let both = self.planes[index].iter().zip(&self.planes[index + STRIDE]);
            plane.iter_mut().zip(both).for_each(|(count, (left, right))| *count = left + right);
        }
        Counts { planes, repeats: [0; PLANES], len: self.len * 2 }
    }

    /// Returns the bits that a byte of a plane carries if it tells nothing of the next one.
    ///
    /// Source: Miller, Note on the bias of information estimates, 1955: few samples look less even than they are.
    pub(super) fn bits(&self, plane: usize) -> f32 {
        let counts = &self.planes[plane];
        let len = f32::from(self.len);
        if self.len == 0 {
            return 8.0;
        }
        let weight =
            |count: &u16| WEIGHTS.get(usize::from(*count)).copied().unwrap_or_else(|| weigh(f32::from(*count)));
        let weights: f32 = counts.iter().map(weight).sum();
        let kinds = counts.iter().filter(|count| **count > 0).count();
        let bias = (kinds as f32 - 1.0) / (2.0 * len) * std::f32::consts::LOG2_E;
        (len.log2() - weights / len + bias).clamp(0.0, 8.0)
    }

    /// Tells whether the bytes of a plane stand in runs: many more equal the one before them than chance would have it.
    pub(super) fn runs(&self, plane: usize) -> bool {
        f32::from(self.repeats[plane]) / f32::from(self.len.max(1)) > self.meets(plane) + 0.25
    }

    /// Returns how likely two bytes of a plane are equal.
    fn meets(&self, plane: usize) -> f32 {
        let len = u32::from(self.len);
        let squares: u32 = self.planes[plane].iter().map(|count| u32::from(*count) * u32::from(*count)).sum();
        if len < 2 { 0.0 } else { (squares - len) as f32 / (len * (len - 1)) as f32 }
    }

    /// Returns how even the bytes of eight planes are: 1 for noise, and never more than [`Counts::ratio`] of many samples
    /// is. It takes less time, and few samples do not look less even than they are.
    pub(super) fn noise(&self) -> f32 {
        let bits = |plane| -self.meets(plane).max(1.0 / 512.0).log2();
        (0..PLANES).map(bits).sum::<f32>() / (8 * PLANES) as f32
    }

    /// Returns what is left of content if each byte takes the bits that it carries.
    pub(super) fn ratio<const STRIDE: usize>(&self) -> f32 {
        (0..STRIDE).map(|plane| self.bits(plane)).sum::<f32>() / (8 * STRIDE) as f32
    }
}

fn weigh(count: f32) -> f32 {
    if count > 0.0 { count * count.log2() } else { 0.0 }
}
