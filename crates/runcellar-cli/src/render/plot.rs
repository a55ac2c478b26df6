//! Line plots on a terminal, from braille dots or from ASCII letters.
//!
//! Every pixel column shows the whole span of its points, so that a spike is drawn however many points there are.

use unicode_width::UnicodeWidthStr as _;

use crate::render::chart::{Chart, PlotSeries, Scales};
use crate::render::{Style, sgr, shorten, visible};

/// Colours of the 256-colour palette that are told apart on dark and on light, in the order of the dashboard's.
const COLORS: [&str; 8] = ["38;5;33", "38;5;208", "38;5;36", "38;5;175", "38;5;161", "38;5;74", "38;5;99", "38;5;142"];
/// Marks of series that colour cannot tell apart.
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// Bits of a braille character, by column and row of its dots.
const BRAILLE_BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
/// Least width and height of the area inside the axes, in characters: two ticks each way.
const AREA_MIN: (usize, usize) = (10, 3);
/// Greatest width and height of the area, beyond any terminal.
const AREA_MAX: (usize, usize) = (1000, 500);

/// How a plot is drawn.
#[derive(Clone, Debug)]
pub(crate) struct PlotOptions {
    /// Of the whole plot, in columns of the terminal; the area inside the axes has 10 at least.
    pub(crate) width: usize,
    /// Of the area inside the axes, in lines; title, axis and legend come on top.
    pub(crate) height: usize,
    /// Escapes for colour may be used.
    pub(crate) color: bool,
    /// Only ASCII may be used.
    pub(crate) ascii: bool,
    /// Above the plot; no line is spent if empty.
    pub(crate) title: String,
    /// What x is and its unit; no line is spent if empty.
    pub(crate) x_label: String,
    /// Of both axes.
    pub(crate) scales: Scales,
}

impl Default for PlotOptions {
    fn default() -> PlotOptions {
        PlotOptions {
            width: 80,
            height: 16,
            color: false,
            ascii: false,
            title: String::new(),
            x_label: String::new(),
            scales: Scales::default(),
        }
    }
}

/// Returns a plot of at most 52 series as lines of text, each ended by a newline.
///
/// Series differ by colour and by a letter at their end or, where there is no colour or too little of it, by letters
/// alone. Where several meet in one character, neighbouring characters take turns, so that equal series all stay in
/// sight. What is drawn behind smoothed series is dim, and left out without colour.
pub(crate) fn plot(series: &[PlotSeries], opts: &PlotOptions) -> String {
    let (series, rest) = series.split_at(series.len().min(LETTERS.len()));
    let mut chart = Chart::over(series, opts.scales);
    if !rest.is_empty() {
        chart.notes.push(format!("series not drawn: {}", rest.len()));
    }
    let dim = |text: &str| Style::Dim.paint(text, opts.color);
    let mut lines = vec![Style::Bold.paint(&fitted(&opts.title, opts.width, opts), opts.color)];
    if chart.drawable {
        let ink = Ink::choose(series.len(), opts);
        lines.extend(axes_and_area(&chart, series, &ink, opts));
        lines.extend(legend(series, &ink, opts));
    } else {
        lines.push(dim("no points"));
    }
    lines.extend(chart.notes.iter().map(|note| dim(&fitted(note, opts.width, opts))));
    lines.into_iter().filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

/// What the lines are made of.
struct Ink {
    braille: bool,
    /// One letter for each series.
    lettered: bool,
    /// Lines of dots end in a letter, so that they are told apart without their colour too.
    ends_lettered: bool,
    color: bool,
}

impl Ink {
    fn choose(series_count: usize, opts: &PlotOptions) -> Ink {
        let told_apart = series_count <= if opts.color { COLORS.len() } else { 1 };
        let braille = told_apart && !opts.ascii;
        Ink { braille, lettered: !told_apart, ends_lettered: braille && series_count > 1, color: opts.color }
    }

    /// Returns dots across and down one character.
    fn dots(&self) -> (usize, usize) {
        if self.braille { (2, 4) } else { (1, 1) }
    }

    /// Returns `text` in the colour of a series.
    fn paint(&self, text: &str, series: usize) -> String {
        sgr(if self.color { COLORS[series % COLORS.len()] } else { "" }, text)
    }

    /// Returns the character for dots of a series.
    fn glyph(&self, dots: u8, series: usize) -> char {
        if self.braille {
            char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' ')
        } else if self.lettered {
            char::from(LETTERS[series % LETTERS.len()])
        } else {
            '*'
        }
    }

    /// Returns the letter at the end of a line of dots.
    fn letter(&self, series: usize) -> Option<char> {
        self.ends_lettered.then(|| char::from(LETTERS[series % LETTERS.len()]))
    }

    /// Returns what stands for a series in the legend.
    fn key(&self, series: usize) -> String {
        let key = match self.letter(series) {
            Some(letter) => format!("\u{2812}{letter}"),
            None if self.braille => "\u{2812}\u{2812}".to_owned(),
            None => self.glyph(0, series).to_string(),
        };
        self.paint(&key, series)
    }
}

/// The characters inside the axes.
struct Raster {
    columns: usize,
    dots: Vec<u8>,
    /// For each character, the series in it as a set of bits.
    owners: Vec<u64>,
    /// Characters that hold the letter of a series.
    letters: Vec<(usize, usize)>,
    /// What is drawn behind, if something is.
    behind: Option<Box<Raster>>,
}

impl Raster {
    /// Returns the strokes of all series, drawn.
    fn draw(chart: &Chart, series: &[PlotSeries], ink: &Ink, columns: usize, rows: usize) -> Raster {
        let across = columns * ink.dots().0;
        let mut raster = Raster::empty(columns, rows);
        for (index, one) in series.iter().enumerate() {
            raster.strokes(&chart.strokes(one, across), index, ink);
        }
        if ink.color && series.iter().any(|one| !one.behind.is_empty()) {
            let mut behind = Raster::empty(columns, rows);
            for (index, one) in series.iter().enumerate() {
                behind.strokes(&chart.strokes_behind(one, across), index, ink);
            }
            raster.behind = Some(Box::new(behind));
        }
        for index in 0..series.len() {
            raster.letter_end(index, ink);
        }
        raster
    }

    fn empty(columns: usize, rows: usize) -> Raster {
        let size = columns * rows;
        Raster { columns, dots: vec![0; size], owners: vec![0; size], letters: Vec::new(), behind: None }
    }

    fn strokes(&mut self, strokes: &[Vec<(f64, f64)>], series: usize, ink: &Ink) {
        let (across, down) = (self.columns * ink.dots().0, self.dots.len() / self.columns * ink.dots().1);
        let pixel = |at: (f64, f64)| ((at.0 * (across - 1) as f64).round(), ((1.0 - at.1) * (down - 1) as f64).round());
        for stroke in strokes {
            if let [lone] = stroke[..] {
                self.lone_point(pixel(lone), series, ink);
            }
            for ends in stroke.windows(2) {
                self.line(pixel(ends[0]), pixel(ends[1]), series, ink);
            }
        }
    }

    /// Puts the letter of a series into the rightmost character that it has and that no other letter took.
    fn letter_end(&mut self, series: usize, ink: &Ink) {
        if ink.letter(series).is_none() {
            return;
        }
        let is_its = |cell: &usize| self.owners[*cell] >> series & 1 == 1;
        let is_free = |cell: &usize| self.letters.iter().all(|(taken, _)| taken != cell);
        let cells = (0..self.owners.len()).filter(is_its).filter(is_free);
        if let Some(cell) = cells.max_by_key(|cell| cell % self.columns) {
            self.letters.push((cell, series));
        }
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), series: usize, ink: &Ink) {
        let (right, down) = (to.0 - from.0, to.1 - from.1);
        let count = right.abs().max(down.abs()).max(1.0);
        for step in 0..=count as usize {
            let part = step as f64 / count;
            let at = (from.0 + right * part, from.1 + down * part);
            self.dot(at.0.round() as usize, at.1.round() as usize, series, ink);
        }
    }

    /// Draws two dots by two where there are so many in a character, as one alone is easily missed.
    fn lone_point(&mut self, at: (f64, f64), series: usize, ink: &Ink) {
        let (across, down) = (ink.dots().0.min(2), ink.dots().1.min(2));
        let (x, y) = (at.0 as usize / across * across, at.1 as usize / down * down);
        for offset in 0..across * down {
            self.dot(x + offset % across, y + offset / across, series, ink);
        }
    }

    fn dot(&mut self, x: usize, y: usize, series: usize, ink: &Ink) {
        let (across, down) = ink.dots();
        let cell = y / down * self.columns + x / across;
        self.dots[cell] |= BRAILLE_BITS[x % across][y % down];
        self.owners[cell] |= 1 << series;
    }

    /// Returns one line of characters, without spaces at its end.
    fn row(&self, row: usize, ink: &Ink) -> String {
        let cells: Vec<Option<Drawn>> = (0..self.columns).map(|column| self.cell(row, column, ink)).collect();
        let mut text = String::new();
        let shown = cells.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let look = |cell: &Option<Drawn>| cell.map(|cell| (cell.series, cell.dim));
        for run in cells[..shown].chunk_by(|a, b| look(a) == look(b)) {
            let glyphs: String = run.iter().map(|cell| cell.map_or(' ', |cell| cell.glyph)).collect();
            match run[0] {
                Some(Drawn { dim: true, .. }) => text.push_str(&Style::Dim.paint(&glyphs, ink.color)),
                Some(Drawn { series, .. }) => text.push_str(&ink.paint(&glyphs, series)),
                None => text.push_str(&glyphs),
            }
        }
        text
    }

    /// Returns what stands in one character, if something does.
    fn cell(&self, row: usize, column: usize, ink: &Ink) -> Option<Drawn> {
        let cell = row * self.columns + column;
        if let Some(&(_, series)) = self.letters.iter().find(|(taken, _)| *taken == cell) {
            return ink.letter(series).map(|glyph| Drawn { series, glyph, dim: false });
        }
        match nth_bit(self.owners[cell], column + row) {
            Some(series) => Some(Drawn { series, glyph: ink.glyph(self.dots[cell], series), dim: false }),
            None => self.behind.as_ref()?.cell(row, column, ink).map(|cell| Drawn { dim: true, ..cell }),
        }
    }
}

/// One character inside the axes.
#[derive(Clone, Copy)]
struct Drawn {
    series: usize,
    glyph: char,
    dim: bool,
}

/// Returns the index of one of the set bits, a higher `turn` giving the next; none if none is set.
fn nth_bit(bits: u64, turn: usize) -> Option<usize> {
    let set: Vec<usize> = (0..64).filter(|bit| bits >> bit & 1 == 1).collect();
    (!set.is_empty()).then(|| set[turn % set.len()])
}

fn axes_and_area(chart: &Chart, series: &[PlotSeries], ink: &Ink, opts: &PlotOptions) -> Vec<String> {
    let rows = opts.height.clamp(AREA_MIN.1, AREA_MAX.1);
    let y_ticks = chart.y.ticks(rows / 3);
    let gutter = y_ticks.iter().map(|(_, label)| label.len()).max().unwrap_or(0);
    let columns = opts.width.saturating_sub(gutter + 2).clamp(AREA_MIN.0, AREA_MAX.0);
    let raster = Raster::draw(chart, series, ink, columns, rows);
    let [side, side_tick, corner, floor, floor_tick] = if opts.ascii {
        ['|', '+', '+', '-', '+']
    } else {
        ['\u{2502}', '\u{2524}', '\u{2514}', '\u{2500}', '\u{252c}']
    };
    let dim = |text: &str| Style::Dim.paint(text, opts.color);

    let down = rows * ink.dots().1;
    let row_of = |fraction: f64| ((1.0 - fraction) * (down - 1) as f64).round() as usize / ink.dots().1;
    let mut lines = Vec::with_capacity(rows + 3);
    for row in 0..rows {
        let tick = y_ticks.iter().find(|(fraction, _)| row_of(*fraction) == row);
        let (label, edge) = tick.map_or(("", side), |(_, label)| (label.as_str(), side_tick));
        lines.push(format!("{}{}", dim(&format!("{label:>gutter$} {edge}")), raster.row(row, ink)));
    }

    let mut edge = vec![floor; columns];
    let mut labels = String::new();
    for (fraction, label) in chart.x.ticks(columns / 12) {
        let column = (fraction * (columns - 1) as f64).round() as usize;
        // Centred under its tick, but never past the right end.
        let from = (gutter + 2 + column).saturating_sub(label.len() / 2);
        let from = from.min((gutter + 2 + columns).saturating_sub(label.len()));
        if labels.is_empty() || from > labels.len() + 1 {
            labels = format!("{labels:from$}{label}");
            edge[column] = floor_tick;
        }
    }
    lines.push(dim(&format!("{:gutter$} {corner}{}", "", edge.into_iter().collect::<String>())));
    lines.push(dim(&labels));
    if !opts.x_label.is_empty() {
        let day = chart.x.day().map(|day| format!(", {day}")).unwrap_or_default();
        let x_label = fitted(&format!("{}{day}", opts.x_label), opts.width, opts);
        let indent = (gutter + 2 + columns).saturating_sub(x_label.width());
        lines.push(dim(&format!("{:indent$}{x_label}", "")));
    }
    lines
}

/// Returns the keys and names of the series, as many on a line as fit.
fn legend(series: &[PlotSeries], ink: &Ink, opts: &PlotOptions) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for (index, one) in series.iter().enumerate().filter(|(_, one)| !one.name.is_empty()) {
        let name = fitted(&one.name, opts.width.saturating_sub(3), opts);
        let entry = format!("{} {name}", ink.key(index));
        let entry_width = name.width() + if ink.braille { 3 } else { 2 };
        match lines.last_mut() {
            Some(line) if used + 3 + entry_width <= opts.width => {
                line.push_str("   ");
                line.push_str(&entry);
                used += 3 + entry_width;
            }
            _ => {
                lines.push(entry);
                used = entry_width;
            }
        }
    }
    lines
}

/// Returns `text` as it may be shown, at most `width` columns wide.
fn fitted(text: &str, width: usize, opts: &PlotOptions) -> String {
    let text = visible(text);
    if opts.ascii {
        shorten(&text.replace(|c: char| !c.is_ascii(), "?"), width).replace('\u{2026}', "~")
    } else {
        shorten(&text, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::axis::Scale;

    const LOG: Scales = Scales { x: Scale::Linear, y: Scale::Log };

    fn series(name: &str, y: &[f64]) -> PlotSeries {
        let x = (0..y.len()).map(|i| i as f64).collect();
        PlotSeries { name: name.to_owned(), x, y: y.to_vec(), ..PlotSeries::default() }
    }

    fn small() -> PlotOptions {
        PlotOptions { width: 24, height: 4, ..PlotOptions::default() }
    }

    /// Counts the characters that are drawn in the area inside the axes.
    fn ink_per_row(text: &str) -> Vec<usize> {
        let area = text.lines().filter_map(|line| line.split_once(['\u{2502}', '\u{2524}']));
        area.map(|(_, row)| row.chars().filter(|c| *c != ' ').count()).collect()
    }

    #[test]
    fn a_line_is_drawn_in_braille() {
        let opts = PlotOptions { title: "train/loss".into(), x_label: "step".into(), ..small() };
        let expected = "\
train/loss
4 \u{2524}\u{2811}\u{2824}\u{2840}
  \u{2502}  \u{2808}\u{2822}\u{2884}
2 \u{2524}     \u{2809}\u{2812}\u{2822}\u{2884}\u{28c0}
  \u{2502}          \u{2809}\u{2809}\u{2812}\u{2812}\u{2822}\u{2824}\u{2824}\u{2824}\u{28c0}\u{28c0}\u{28c0}
  \u{2514}\u{252c}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\
\u{252c}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{252c}
   0         2         4
                    step
\u{2812}\u{2812} a
";
        assert_eq!(plot(&[series("a", &[4.0, 2.0, 1.0, 0.5, 0.25])], &opts), expected);
    }

    #[test]
    fn a_line_is_drawn_in_ascii() {
        let opts = PlotOptions { ascii: true, title: "\u{5b66}".into(), ..small() };
        let expected = "\
?
4 +**
  |  **
2 +    *********
  |             ********
  ++---------+---------+
   0         2         4
* caf?
";
        assert_eq!(plot(&[series("caf\u{e9}", &[4.0, 2.0, 1.0, 0.5, 0.25])], &opts), expected);
    }

    #[test]
    fn several_series_have_letters_without_colour_and_take_turns() {
        let both = [series("left", &[0.0, 1.0]), series("right", &[0.0, 1.0])];
        let expected = concat!(
            "  1 \u{2524}                aba\n",
            "    \u{2502}          bababa\n",
            "0.5 \u{2524}    ababab\n",
            "  0 \u{2524}baba\n",
            "    \u{2514}\u{252c}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}",
            "\u{252c}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{252c}\n",
            "     0       0.5       1\n",
            "a left   b right\n",
        );
        assert_eq!(plot(&both, &small()), expected);
    }

    #[test]
    fn colour_tells_series_apart_while_there_are_enough() {
        let opts = PlotOptions { color: true, ..small() };
        let many = |count| plot(&vec![series("s", &[1.0, 2.0]); count], &opts);
        assert!(many(8).contains("\x1b[38;5;142m\u{2812}h\x1b[0m s"));
        assert!(many(9).contains("\x1b[38;5;33mi\x1b[0m s"));
        assert!(many(60).contains("series not drawn: 8"));
    }

    #[test]
    fn coloured_lines_end_in_a_letter_of_their_own() {
        let opts = PlotOptions { color: true, ..small() };
        let text = plot(&[series("s", &[1.0, 2.0]), series("t", &[2.0, 1.0]), series("u", &[2.0, 1.0])], &opts);
        let area: Vec<&str> = text.lines().filter(|line| line.contains(['\u{2502}', '\u{2524}'])).collect();
        let ends = ["a", "b", "c"].map(|letter| area.iter().filter(|line| line.contains(letter)).count());
        assert_eq!(ends, [1, 1, 1], "{text}");
        assert!(text.contains(&format!("{} s   ", sgr(COLORS[0], "\u{2812}a"))), "{text}");
    }

    #[test]
    fn what_lies_behind_is_dim_and_only_where_there_is_colour() {
        let noisy = PlotSeries { behind: vec![0.0, 4.0, 0.0], ..series("s", &[2.0, 2.0, 2.0]) };
        let drawn = plot(std::slice::from_ref(&noisy), &PlotOptions { color: true, ..small() });
        assert!(drawn.split("\x1b[2m").any(|dim| dim.starts_with(|c| c > '\u{2800}')), "{drawn:?}");
        assert_eq!(ink_per_row(&plot(&[noisy], &small())).iter().filter(|ink| **ink > 0).count(), 1);
    }

    #[test]
    fn a_spike_reaches_the_top_however_many_points_there_are() {
        let mut y = vec![0.0; 200_000];
        y[123_456] = 1.0;
        assert_eq!(ink_per_row(&plot(&[series("", &y)], &small())), [1, 1, 1, 19]);
    }

    #[test]
    fn what_is_not_finite_is_clipped_or_left_out_and_said() {
        let text = plot(&[series("", &[0.0, f64::INFINITY, f64::NAN, 1.0])], &PlotOptions { width: 80, ..small() });
        assert!(text.ends_with("\ninfinite values drawn at the edge: 1\nNaN values left as gaps: 1\n"));
    }

    #[test]
    fn one_point_and_constant_series_stand_in_the_middle() {
        assert_eq!(ink_per_row(&plot(&[series("", &[5.0])], &small())), [0, 0, 1, 0]);
        assert_eq!(ink_per_row(&plot(&[series("", &[5.0, 5.0])], &small())), [0, 0, 21, 0]);
    }

    #[test]
    fn nothing_to_draw_is_said() {
        assert_eq!(plot(&[], &small()), "no points\n");
        let opts = PlotOptions { title: "loss".into(), scales: LOG, width: 80, ..small() };
        let expected = "loss\nno points\nvalues at or below zero not on the log scale: 1\n";
        assert_eq!(plot(&[series("a", &[-1.0])], &opts), expected);
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        let opts = PlotOptions { title: "a\x1b[2J".into(), x_label: "\r".into(), ..small() };
        let text = plot(&[series("\x1b]0;x\x07", &[1.0])], &opts);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }

    #[test]
    fn extreme_sizes_and_values_are_drawn() {
        for (width, height) in [(0, 0), (1, 1), (usize::MAX, usize::MAX)] {
            for scales in [Scales::default(), LOG] {
                let opts = PlotOptions { width, height, scales, ..PlotOptions::default() };
                let text = plot(&[series("a", &[f64::MIN, f64::MAX, 5e-324, -0.0, f64::NEG_INFINITY])], &opts);
                assert!(text.lines().count() >= 5);
            }
        }
    }
}
