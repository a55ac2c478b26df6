//! The handwritten digits of `digits.csv` (origin and licence in `SOURCE.md`), read and split.

use crate::rng::Rng;

/// Pixels of one image: 8 x 8, row-major.
pub(crate) const PIXELS: usize = 64;
/// The digits 0 to 9.
pub(crate) const CLASSES: usize = 10;
/// Images held back from training: a fifth of the 1,797, which leaves 1,437.
const VALIDATION_COUNT: usize = 360;
/// Largest value of a pixel in the file.
const PIXEL_MAX: u8 = 16;
/// Every run validates on the same images, whatever its own seed, so that their accuracies can be compared.
const SPLIT_SEED: u64 = 0x6469_6769_7473;

/// One image and what it shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Digit {
    /// Ink per pixel, 0.0 to 1.0.
    pub(crate) pixels: [f64; PIXELS],
    /// The digit, less than [`CLASSES`].
    pub(crate) label: usize,
}

/// The images to learn from and those to judge by.
pub(crate) struct Split {
    pub(crate) train: Vec<Digit>,
    pub(crate) validation: Vec<Digit>,
}

/// Returns the data set, divided at random but always in the same way.
///
/// The file is part of the program, so the example runs from any directory.
pub(crate) fn load() -> Result<Split, String> {
    let mut digits = parse(include_str!("digits.csv"))?;
    Rng::new(SPLIT_SEED).shuffle(&mut digits);
    let train = digits.split_off(VALIDATION_COUNT);
    Ok(Split { train, validation: digits })
}

fn parse(text: &str) -> Result<Vec<Digit>, String> {
    text.lines()
        .enumerate()
        .map(|(index, line)| parse_row(line).map_err(|cause| format!("digits.csv line {}: {cause}", index + 1)))
        .collect()
}

fn parse_row(line: &str) -> Result<Digit, String> {
    let cells = line
        .split(',')
        .map(|cell| cell.parse::<u8>().map_err(|cause| format!("{cell:?}: {cause}")))
        .collect::<Result<Vec<_>, _>>()?;
    let Some((&label, row)) = cells.split_last() else {
        return Err("empty".to_owned());
    };
    let row: &[u8; PIXELS] = row.try_into().map_err(|_| format!("expected {PIXELS} pixels, found {}", row.len()))?;
    if row.iter().any(|&pixel| pixel > PIXEL_MAX) || usize::from(label) >= CLASSES {
        return Err("a pixel or the label is out of range".to_owned());
    }
    Ok(Digit { pixels: row.map(|pixel| f64::from(pixel) / f64::from(PIXEL_MAX)), label: usize::from(label) })
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, load, parse};

    #[test]
    fn both_halves_have_their_size_and_every_digit() {
        let split = load().unwrap();
        assert_eq!((split.train.len(), split.validation.len()), (1437, 360));
        for half in [&split.train, &split.validation] {
            assert!((0..CLASSES).all(|label| half.iter().any(|digit| digit.label == label)));
        }
        assert_eq!(split.validation, load().unwrap().validation);
    }

    #[test]
    fn a_bad_row_is_refused_with_its_line() {
        let good = format!("{}9", "16,".repeat(64));
        assert_eq!(parse(&good).unwrap()[0].pixels, [1.0; 64]);
        for bad in ["", "1,2,3", &format!("{}10", "0,".repeat(64)), &format!("{}9", "17,".repeat(64))] {
            let error = parse(&format!("{good}\n{bad}\n")).unwrap_err();
            assert!(error.starts_with("digits.csv line 2: "), "{error}");
        }
    }
}
