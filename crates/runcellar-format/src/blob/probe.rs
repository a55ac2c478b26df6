//! Which form pays: told from a sample, since most bytes that come in large files do not become smaller.
//!
//! Random bytes must cost next to nothing, so they are told first: no byte of any plane is more frequent than others, and
//! nothing repeats. Whatever else it is will be compressed, and what the probe takes is little beside that.

use super::counts::Counts;
use super::form::{Effort, Form};
use crate::zframe::{Method, pack_into};

/// Pieces of a sample, evenly spread over the content.
const PIECES: usize = 8;
/// Bytes of a piece by which noise is told, of one whose bytes are counted for more, and of one that is compressed for trial.
const GLANCED_BYTES: usize = 256;
const COUNTED_BYTES: usize = 512;
const TRIED_BYTES: usize = 2048;
/// Bytes that are compared to find a repetition: five of a normal float32 hold three of noise.
const WORD_BYTES: usize = 5;
/// One in so many places must repeat others for a trial to be made; places are compared with a quarter of the others.
const REPEATS_ONE_IN: usize = 64;
/// What is more even than this is taken for noise.
const NOISE: f32 = 0.96;
/// What a trial is worse at than the whole content, as it is short; planes must be smaller than it by this.
const TRIAL_MARGIN: f32 = 0.02;

/// Returns the form that pays for content: by default one that saves a tenth, at best effort one that saves anything.
#[must_use]
pub fn probe(content: &[u8], effort: Effort) -> Form {
    let pays = match effort {
        Effort::Default => 0.9,
        Effort::Best => 0.98,
    };
    // A mixture of planes is never more even than they are: if planes of 8 are noise, so is each other form.
    let glance = pieces(content, GLANCED_BYTES);
    if Counts::of_planes::<8>(glance.as_chunks().0).noise() > NOISE && !repeats(&glance) {
        return Form::Raw;
    }
    let sample = pieces(content, COUNTED_BYTES);
    let by_eights = Counts::of_planes::<8>(sample.as_chunks().0);
    let (form, ratio) = match by_eights.noise() {
        noise if noise > NOISE => (Form::Raw, 1.0),
        _ if content.len() < PIECES * COUNTED_BYTES => (Form::Zstd, 1.0),
        _ => smallest(&by_eights),
    };
    let short = content.len() < PIECES * COUNTED_BYTES && form != Form::Raw;
    let tried = if short || repeats(&sample) { trial(content) } else { 1.0 };
    match form {
        Form::Raw | Form::Zstd if tried.min(ratio) < pays => Form::Zstd,
        Form::Raw | Form::Zstd => Form::Raw,
        _ if tried - TRIAL_MARGIN < ratio && tried < pays => Form::Zstd,
        _ if ratio < pays => form,
        _ => Form::Raw,
    }
}

/// The form of planes, or of none, whose bytes are least even; of those that are alike, the one of fewest planes.
fn smallest(by_eights: &Counts) -> (Form, f32) {
    let (by_fours, by_twos) = (by_eights.folded::<4>(), by_eights.folded::<2>());
    let ratios = [
        (Form::Zstd, by_twos.folded::<1>().ratio::<1>()),
        (Form::Planes2, by_twos.ratio::<2>()),
        (Form::Planes4, by_fours.ratio::<4>()),
        (Form::Planes8, by_eights.ratio::<8>()),
    ];
    let least = ratios.iter().fold(1.0_f32, |least, (_, ratio)| least.min(*ratio));
    ratios.into_iter().find(|(_, ratio)| *ratio < least + 0.02).unwrap_or((Form::Raw, 1.0))
}

/// Joins pieces of content, each from a multiple of 8 bytes, or all of it where it is short.
fn pieces(content: &[u8], len: usize) -> Vec<u8> {
    let Some(room) = content.len().checked_sub(PIECES * len) else { return content.to_vec() };
    let mut out = Vec::with_capacity(PIECES * len);
    for index in 0..PIECES {
        let start = index * len + (room / (PIECES - 1) * index) / 8 * 8;
        out.extend_from_slice(&content[start..start + len]);
    }
    out
}

/// Tells whether words of the first half of a sample come again in it.
fn repeats(sample: &[u8]) -> bool {
    let word = |at: usize| {
        let bytes = sample.get(at..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes) << (64 - 8 * WORD_BYTES))
    };
    let slot = |word: u64| (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize;
    let mut seen = [0_u64; 1024];
    let (mut found, mut looked) = (0, 0);
    // What is noted stands 4 bytes apart, and what is looked up 3, so that they meet whatever lies between them.
    for at in (0..sample.len() / 2).step_by(12) {
        for place in [at, at + 3, at + 6, at + 9] {
            let Some(word) = word(place) else { continue };
            looked += 1;
            found += usize::from(seen[slot(word)] == word);
        }
        for place in [at, at + 4, at + 8] {
            let Some(word) = word(place) else { continue };
            seen[slot(word)] = word;
        }
    }
    found * REPEATS_ONE_IN > looked
}

/// Compresses pieces of content, and returns what is left of them.
fn trial(content: &[u8]) -> f32 {
    let sample = pieces(content, TRIED_BYTES);
    let mut out = Vec::new();
    match pack_into(&sample, Method::Level(1), &mut out) {
        true => out.len() as f32 / sample.len() as f32,
        false => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_gets_the_form_that_fits_it() {
        let mut noise = vec![0; 100_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let words = noise.as_chunks::<8>().0;
        let text: String = words.iter().map(|word| format!("{{\"loss\": {}}}\n", word[0])).collect();
        // A sum of twelve uniform numbers is nearly normal.
        let uniform = |word: &[u8; 8]| u64::from_le_bytes(*word) as f64 / u64::MAX as f64 - 0.5;
        let normal: Vec<f64> = words.windows(12).map(|words| words.iter().map(uniform).sum()).collect();
        let floats: Vec<u8> = normal.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
        let halves: Vec<u8> = floats.as_chunks::<4>().0.iter().flat_map(|[_, _, low, high]| [*low, *high]).collect();
        let doubles: Vec<u8> = normal.iter().flat_map(|number| number.to_le_bytes()).collect();
        for effort in [Effort::Default, Effort::Best] {
            assert_eq!(probe(&noise, effort), Form::Raw);
            assert_eq!(probe(text.as_bytes(), effort), Form::Zstd);
            assert_eq!(probe(&floats, effort), Form::Planes4);
            assert_eq!(probe(&halves, effort), Form::Planes2);
            assert_eq!(probe(&doubles, effort), Form::Planes8);
            assert_eq!(probe(&[], effort), Form::Raw);
        }
    }
}
