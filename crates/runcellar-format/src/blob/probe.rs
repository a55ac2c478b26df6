//! Which form pays: told from a sample, since most bytes that come in large files do not become smaller.

use super::form::{Effort, Form};

/// Bytes that are looked at.
const SAMPLE_BYTES: usize = 8 << 10;
/// Saved at least, in percent.
const PAYS_PERCENT: usize = 10;

/// Returns the form that pays for content.
#[must_use]
pub fn probe(content: &[u8], effort: Effort) -> Form {
    let from = (content.len().saturating_sub(SAMPLE_BYTES) / 2) & !7;
    let sample = &content[from..content.len().min(from + SAMPLE_BYTES)];
    let pays = match effort {
        Effort::Default => sample.len() * (100 - PAYS_PERCENT) / 100,
        Effort::Best => sample.len(),
    };
    let packed = |form| {
        let mut out = Vec::new();
        super::encode(form, effort, sample, &mut out);
        out.len()
    };
    [Form::Zstd, Form::Planes2, Form::Planes4, Form::Planes8]
        .into_iter()
        .map(|form| (packed(form), form))
        .filter(|(len, _)| *len < pays)
        .min_by_key(|(len, _)| *len)
        .map_or(Form::Raw, |(_, form)| form)
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
        let normal = |word: &[[u8; 8]]| word.iter().map(|word| f32::from(word[0]) / 256.0 - 0.5).sum::<f32>();
        let floats: Vec<u8> = words.windows(12).flat_map(|words| normal(words).to_le_bytes()).collect();
        let doubles: Vec<u8> = words.windows(12).flat_map(|words| f64::from(normal(words)).to_le_bytes()).collect();
        for effort in [Effort::Default, Effort::Best] {
            assert_eq!(probe(&noise, effort), Form::Raw);
            assert_eq!(probe(text.as_bytes(), effort), Form::Zstd);
            assert_eq!(probe(&floats, effort), Form::Planes4);
            assert_eq!(probe(&doubles, effort), Form::Planes8);
            assert_eq!(probe(&[], effort), Form::Raw);
        }
    }
}
