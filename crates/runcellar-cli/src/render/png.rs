//! Charts as PNG: the same picture as the SVG, drawn pixel by pixel.
//!
//! Text is set in the typeface that the command carries. Letters that it lacks are looked for in the fonts of the
//! system, which are read only then; a letter that nobody has is left out.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{FontResolver, Options, Tree};

/// Inter, reduced to Latin, Greek, Cyrillic and common signs. License: assets/OFL.txt.
const REGULAR: &[u8] = include_bytes!("../../assets/Inter-Regular.otf");
const SEMI_BOLD: &[u8] = include_bytes!("../../assets/Inter-SemiBold.otf");
const FAMILY: &str = "Inter";
/// Most pixels of a picture: 400 MB of memory, and past any screen or printer.
pub(crate) const PIXELS_MAX: u64 = 100_000_000;

/// Returns a PNG of an SVG document, `scale` pixels for each of its own.
///
/// # Errors
/// In words, if the document is not SVG or the picture would have more than [`PIXELS_MAX`] pixels.
pub(crate) fn png(svg: &str, scale: f32) -> Result<Vec<u8>, String> {
    let tree = Tree::from_str(svg, &options()).map_err(|error| error.to_string())?;
    let size = tree.size().to_int_size().scale_by(scale).ok_or("a picture has at least one pixel")?;
    let pixels = u64::from(size.width()) * u64::from(size.height());
    if pixels > PIXELS_MAX {
        return Err(format!("{} x {} pixels are more than {PIXELS_MAX} in all", size.width(), size.height()));
    }
    let mut pixmap = Pixmap::new(size.width(), size.height()).ok_or("too little memory for the picture")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|error| error.to_string())
}

fn options() -> Options<'static> {
    let of_known_fonts = FontResolver::default_fallback_selector();
    let mut options = Options {
        font_family: FAMILY.to_owned(),
        font_resolver: FontResolver {
            select_fallback: Box::new(move |letter, used, fonts| {
                of_known_fonts(letter, used, fonts).or_else(|| {
                    Arc::make_mut(fonts).load_system_fonts();
                    of_known_fonts(letter, used, fonts)
                })
            }),
            ..FontResolver::default()
        },
        ..Options::default()
    };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(SEMI_BOLD.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    fonts.set_serif_family(FAMILY);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"40\" height=\"20\">\
                          <rect width=\"40\" height=\"20\" fill=\"white\"/>\
                          <text x=\"4\" y=\"15\" font-size=\"14\" fill=\"black\">Ag1</text></svg>";

    /// Returns width, height, and how many pixels are neither white nor black nor between them.
    fn looked_at(png: &[u8]) -> (u32, u32, usize) {
        let pixmap = Pixmap::decode_png(png).expect("a PNG");
        let dark = pixmap.pixels().iter().filter(|pixel| pixel.red() < 128).count();
        (pixmap.width(), pixmap.height(), dark)
    }

    #[test]
    fn text_is_set_in_the_carried_typeface() {
        let (width, height, dark) = looked_at(&png(SQUARE, 2.0).expect("draws"));
        assert_eq!((width, height), (80, 40));
        assert!((100..800).contains(&dark), "{dark}");
    }

    #[test]
    fn a_picture_past_all_bounds_is_refused() {
        let refused = png(SQUARE, 1000.0).expect_err("too large");
        assert_eq!(refused, "40000 x 20000 pixels are more than 100000000 in all");
        assert!(png("<svg", 1.0).is_err());
    }
}
