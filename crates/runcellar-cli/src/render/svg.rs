//! Line charts as static SVG: no scripts, nothing loaded from elsewhere, light and dark from the viewer's setting.
//!
//! The size of the file is bounded by the width of the chart and the number of series, whatever the points.

use unicode_width::UnicodeWidthStr as _;

use crate::render::number::trim_zeros;
use crate::render::{Chart, PlotSeries, is_unprintable, shorten};

/// Colours of the dashboard, light and dark, in its order; they differ in lightness as well as in hue.
const COLORS: [(&str, &str); 8] = [
    ("#1565c0", "#5b9bf0"),
    ("#e0700d", "#ff9140"),
    ("#00856a", "#35c3a3"),
    ("#d873a8", "#ee9cc6"),
    ("#8d1d3f", "#e06a8a"),
    ("#58a6dd", "#8fd0ff"),
    ("#4b2d8f", "#a58be8"),
    ("#8f8a00", "#c9c24a"),
];
/// Dash patterns, one after the other.
const DASHES: [&str; 4] = ["", "6 3", "2 3", "8 3 2 3"];
/// Series with one pattern; fewer than there are colours, so that no two series of a colour share a pattern.
const SERIES_PER_DASH: usize = 6;
/// The colour of a line that is alone: the accent of the dashboard.
const ACCENT: usize = 4;
/// Drawn around a point without neighbours, which as a line of no length could be missed.
const LONE_POINT: &str = "m-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0";
/// Most series drawn; after these, colours and dashes repeat together.
const SERIES_MAX: usize = 24;

/// Rules for everything but the colours of the lines.
const CSS_LIGHT: &str = "\
.rc{font:11.5px \"IBM Plex Sans\",Inter,system-ui,-apple-system,\"Segoe UI\",sans-serif}
.rc text{font-variant-numeric:tabular-nums}
.rc .page{fill:#fbfaf8}
.rc .title{fill:#1d1b19;font-size:14px;font-weight:600}
.rc .name{fill:#3d3a36}
.rc .dim{fill:#77726a}
.rc .mid{text-anchor:middle}
.rc .end{text-anchor:end}
.rc .grid{stroke:#e9e6e0}
.rc .line{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
";
/// Begins the rules for dark pages.
const CSS_DARK: &str = "\
@media (prefers-color-scheme:dark){
.rc .page{fill:#141416}
.rc .title{fill:#ecebe8}
.rc .name{fill:#cfcecc}
.rc .dim{fill:#96938d}
.rc .grid{stroke:#29292c}
";

/// Room around everything, in pixels like all that follow.
const MARGIN: f64 = 20.0;
/// Room between the edge of the area and the topmost and lowest value, so that lines there are whole.
const INSET: f64 = 6.0;
/// Height of a line of text below the title.
const LINE_HEIGHT: f64 = 19.0;
/// Width of a column of text of the title and of the rest; text cannot be measured here, so these are generous.
const TITLE_CHAR_WIDTH: f64 = 8.4;
const CHAR_WIDTH: f64 = 6.6;
/// Room for the short line before a name in the legend, and after the name.
const KEY_WIDTH: f64 = 23.0;
const ENTRY_GAP: f64 = 18.0;
/// Most columns of text for one name in the legend.
const NAME_WIDTH_MAX: usize = 40;
/// Smallest picture in which everything has a place.
const SIZE_MIN: (u32, u32) = (200, 140);
/// Greatest width and height, beyond any screen; it bounds the size of the file.
const SIZE_MAX: u32 = 10_000;

/// What surrounds the lines.
#[derive(Clone, Debug)]
pub(crate) struct SvgOptions {
    /// In pixels.
    pub(crate) width: u32,
    /// In pixels.
    pub(crate) height: u32,
    /// Above the chart, and its name for screen readers; no space is spent if empty.
    pub(crate) title: String,
    /// What x is and its unit; no space is spent if empty.
    pub(crate) x_label: String,
    /// The y axis is logarithmic.
    pub(crate) log_y: bool,
}

impl Default for SvgOptions {
    fn default() -> SvgOptions {
        SvgOptions { width: 720, height: 400, title: String::new(), x_label: String::new(), log_y: false }
    }
}

/// Returns an SVG document with a chart of at most 24 series.
pub(crate) fn svg(series: &[PlotSeries], opts: &SvgOptions) -> String {
    let (series, rest) = series.split_at(series.len().min(SERIES_MAX));
    let mut chart = Chart::over(series, opts.log_y);
    if !rest.is_empty() {
        chart.notes.push(format!("series not drawn: {}", rest.len()));
    }
    let (width, height) = (opts.width.clamp(SIZE_MIN.0, SIZE_MAX), opts.height.clamp(SIZE_MIN.1, SIZE_MAX));
    let mut page = Page { width: f64::from(width), height: f64::from(height), body: String::new() };
    let top = page.title(&opts.title);
    let top = page.legend(series, top);
    let bottom = page.footer(&chart.notes.join("; "), &opts.x_label);
    if chart.drawable {
        page.chart(&chart, series, top, bottom);
    } else {
        page.text("dim mid", (page.width / 2.0, (top + bottom) / 2.0), "no points");
    }
    let name = if opts.title.is_empty() { "line chart" } else { &opts.title };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"rc\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n<style>\n{}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{}</svg>\n",
        escape(name),
        css(),
        page.body,
    )
}

/// A document that is filled from the top and the bottom inwards.
struct Page {
    width: f64,
    height: f64,
    body: String,
}

impl Page {
    /// Returns how many columns of text lie between the margins.
    fn columns(&self, char_width: f64) -> usize {
        ((self.width - 2.0 * MARGIN) / char_width) as usize
    }

    fn text(&mut self, class: &str, at: (f64, f64), content: &str) {
        let (x, y) = (px(at.0), px(at.1));
        self.body += &format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(content));
    }

    /// Adds a line in the colour and dashes of a series.
    fn line(&mut self, series: usize, series_count: usize, path: &str) {
        let color = if series_count == 1 { ACCENT } else { series % COLORS.len() };
        let dash = match DASHES[series / SERIES_PER_DASH % DASHES.len()] {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        self.body += &format!("<path class=\"line c{color}\"{dash} d=\"{path}\"/>\n");
    }

    /// Adds the title; returns where the space below begins.
    fn title(&mut self, title: &str) -> f64 {
        if title.is_empty() {
            return MARGIN;
        }
        self.text("title", (MARGIN, MARGIN + 11.0), &shorten(title, self.columns(TITLE_CHAR_WIDTH)));
        MARGIN + 20.0
    }

    /// Adds keys and names in rows of equal columns, to a third of the height; returns where the space below begins.
    fn legend(&mut self, series: &[PlotSeries], top: f64) -> f64 {
        let name_width_max = self.columns(CHAR_WIDTH).saturating_sub(4).min(NAME_WIDTH_MAX);
        let named = series.iter().enumerate().filter(|(_, one)| !one.name.is_empty());
        let entries: Vec<(usize, String)> =
            named.map(|(index, one)| (index, shorten(&one.name, name_width_max))).collect();
        let Some(widest) = entries.iter().map(|(_, name)| name.width()).max() else { return top };

        let column_width = KEY_WIDTH + widest as f64 * CHAR_WIDTH + ENTRY_GAP;
        let per_row = (((self.width - 2.0 * MARGIN + ENTRY_GAP) / column_width) as usize).max(1);
        let places = per_row * (self.height / 3.0 / LINE_HEIGHT) as usize;
        let place = |place: usize| {
            let (row, column) = (place / per_row, place % per_row);
            (MARGIN + column as f64 * column_width, top + (row + 1) as f64 * LINE_HEIGHT - 4.0)
        };
        let shown = if entries.len() > places { places - 1 } else { entries.len() };
        for (at, (index, name)) in entries[..shown].iter().enumerate() {
            let (x, y) = place(at);
            self.line(*index, series.len(), &format!("M{} {}h16", px(x), px(y - 4.0)));
            self.text("name", (x + KEY_WIDTH, y), name);
        }
        if shown < entries.len() {
            self.text("dim", place(shown), &format!("and {} more", entries.len() - shown));
        }
        place(entries.len().min(places) - 1).1 + 14.0
    }

    /// Adds the notes on the left and the label of x on the right; returns where the space above ends.
    fn footer(&mut self, notes: &str, x_label: &str) -> f64 {
        let columns = self.columns(CHAR_WIDTH);
        let (notes, x_label) = (shorten(notes, columns), shorten(x_label, columns));
        let mut baseline = self.height - 14.0;
        if !x_label.is_empty() {
            self.text("dim end", (self.width - MARGIN, baseline), &x_label);
            if notes.is_empty() || notes.width() + x_label.width() + 2 > columns {
                baseline -= LINE_HEIGHT;
            }
        }
        if !notes.is_empty() {
            self.text("dim", (MARGIN, baseline), &notes);
            baseline -= LINE_HEIGHT;
        }
        baseline
    }

    /// Adds grid, labels and lines; the labels of x stand on `bottom`.
    fn chart(&mut self, chart: &Chart, series: &[PlotSeries], top: f64, bottom: f64) {
        let floor = bottom - 16.0;
        let y_ticks = chart.y.ticks(((floor - top) / 44.0) as usize);
        let gutter = y_ticks.iter().map(|(_, label)| label.len()).max().unwrap_or(0) as f64 * CHAR_WIDTH + 10.0;
        let (left, right) = (MARGIN + gutter, self.width - MARGIN);
        let across = |fraction: f64| left + fraction * (right - left);
        let up = |fraction: f64| floor - INSET - fraction * (floor - top - 2.0 * INSET);

        for (fraction, label) in y_ticks {
            let y = up(fraction).round() + 0.5;
            self.body += &format!("<path class=\"grid\" d=\"M{} {}H{}\"/>\n", px(left), px(y), px(right));
            self.text("dim end", (left - 10.0, y + 4.0), &label);
        }
        for (fraction, label) in chart.x.ticks(((right - left) / 90.0) as usize) {
            let half = label.len() as f64 * CHAR_WIDTH / 2.0;
            self.text("dim mid", (across(fraction).min(self.width - half - 4.0), bottom), &label);
        }
        for (index, one) in series.iter().enumerate() {
            let mut path = String::new();
            for stroke in chart.strokes(one, (right - left) as usize) {
                for (place, (x, y)) in stroke.iter().enumerate() {
                    let command = if place == 0 { 'M' } else { 'L' };
                    path += &format!("{command}{} {}", px(across(*x)), px(up(*y)));
                }
                if stroke.len() == 1 {
                    path.push_str(LONE_POINT);
                }
            }
            if !path.is_empty() {
                self.line(index, series.len(), &path);
            }
        }
    }
}

/// Returns the rules for light pages, then those for dark ones.
fn css() -> String {
    let mut rules = String::from(CSS_LIGHT);
    let colors = |pick: fn(&(&'static str, &'static str)) -> &'static str| -> String {
        let rule = |(index, pair)| format!(".rc .c{index}{{stroke:{}}}\n", pick(pair));
        COLORS.iter().enumerate().map(rule).collect()
    };
    rules += &colors(|pair| pair.0);
    rules += CSS_DARK;
    rules += &colors(|pair| pair.1);
    rules + "}\n"
}

/// Returns a coordinate to a tenth of a pixel, in as few characters as that takes.
fn px(value: f64) -> String {
    trim_zeros(&format!("{value:.1}")).to_owned()
}

/// Returns `text` as XML character data or as an attribute's value, on one line, without unprintable characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            // XML 1.0 has no place for the last two, not even as references.
            _ if is_unprintable(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, y: &[f64]) -> PlotSeries {
        PlotSeries { name: name.to_owned(), x: (0..y.len()).map(|i| i as f64).collect(), y: y.to_vec() }
    }

    /// Returns the path data of the lines that are not keys of the legend.
    fn paths(doc: &str) -> Vec<&str> {
        let lines = doc.lines().filter(|line| line.starts_with("<path class=\"line"));
        let data = lines.filter_map(|line| line.split(" d=\"").nth(1)).map(|data| data.trim_end_matches("\"/>"));
        data.filter(|data| !data.ends_with("h16")).collect()
    }

    #[test]
    fn the_document_is_whole_and_loads_nothing() {
        let opts =
            SvgOptions { width: 300, height: 200, title: "val/acc".into(), x_label: "step".into(), log_y: false };
        let doc = svg(&[series("a", &[0.0, 1.0]), series("b", &[1.0, 0.0])], &opts);
        let expected = r#"<rect class="page" width="300" height="200"/>
<text class="title" x="20" y="31">val/acc</text>
<path class="line c0" d="M20 51h16"/>
<text class="name" x="43" y="55">a</text>
<path class="line c1" d="M67.6 51h16"/>
<text class="name" x="90.6" y="55">b</text>
<text class="dim end" x="280" y="186">step</text>
<path class="grid" d="M49.8 145.5H280"/>
<text class="dim end" x="39.8" y="149.5">0</text>
<path class="grid" d="M49.8 110.5H280"/>
<text class="dim end" x="39.8" y="114.5">0.5</text>
<path class="grid" d="M49.8 75.5H280"/>
<text class="dim end" x="39.8" y="79.5">1</text>
<text class="dim mid" x="49.8" y="167">0</text>
<text class="dim mid" x="164.9" y="167">0.5</text>
<text class="dim mid" x="280" y="167">1</text>
<path class="line c0" d="M49.8 145L280 75"/>
<path class="line c1" d="M49.8 75L280 145"/>
</svg>
"#;
        assert_eq!(doc.split_once("</style>\n").map(|(_, body)| body), Some(expected));
        assert!(doc.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"rc\" width=\"300\" height=\"200\""));
        assert!(doc.contains("@media (prefers-color-scheme:dark){"));
        for loader in ["<script", "href", "url(", "@import", "@font-face", "http"] {
            assert!(!doc[40..].contains(loader), "{loader}");
        }
    }

    #[test]
    fn text_is_escaped_and_without_control_characters() {
        assert_eq!(escape("<a b=\"c\">&'\n\0\x1b\u{9b}\u{202e}\u{ffff}d"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39; d");
        let opts = SvgOptions { title: "\"><script>".into(), x_label: "</svg>".into(), ..SvgOptions::default() };
        let doc = svg(&[series("</text>&\x07", &[1.0])], &opts);
        assert!(doc.contains("aria-label=\"&quot;&gt;&lt;script&gt;\""));
        assert!(doc.contains(">&lt;/text&gt;&amp;</text>") && doc.contains(">&lt;/svg&gt;</text>"));
    }

    #[test]
    fn a_spike_is_kept_and_the_size_bounded() {
        let mut y: Vec<f64> = (0..300_000).map(|i| f64::from(i % 7)).collect();
        y[222_222] = 100.0;
        let doc = svg(&[series("", &y)], &SvgOptions::default());
        let top = MARGIN + INSET;
        assert!(paths(&doc)[0].contains(&format!(" {}L", px(top))));
        assert!(doc.len() < 50_000, "{}", doc.len());
    }

    #[test]
    fn nan_breaks_the_line_and_lone_points_are_dots() {
        let doc = svg(&[series("", &[1.0, 2.0, f64::NAN, 3.0, f64::NAN, 2.0, 1.0])], &SvgOptions::default());
        let path = paths(&doc)[0];
        assert_eq!(path.matches('M').count(), 3);
        assert_eq!(path.matches(LONE_POINT).count(), 1);
        assert!(doc.contains(">NaN values left as gaps: 2</text>"));
    }

    #[test]
    fn every_series_has_its_own_colour_and_dashes() {
        let opts = SvgOptions { height: 2000, ..SvgOptions::default() };
        let doc = svg(&vec![series("", &[1.0, 2.0]); SERIES_MAX + 2], &opts);
        let lines = doc.lines().filter(|line| line.starts_with("<path class=\"line"));
        let mut styles: Vec<&str> = lines.filter_map(|line| line.split(" d=").next()).collect();
        styles.sort_unstable();
        styles.dedup();
        assert_eq!(styles.len(), SERIES_MAX);
        assert!(doc.contains(">series not drawn: 2</text>"));
    }

    #[test]
    fn a_long_legend_ends_in_a_count() {
        let many: Vec<PlotSeries> = (0..20).map(|i| series(&format!("a-rather-long-name-{i}"), &[1.0])).collect();
        let doc = svg(&many, &SvgOptions { width: 400, height: 200, ..SvgOptions::default() });
        assert_eq!(doc.matches("class=\"name\"").count(), 5);
        assert!(doc.contains(">and 15 more</text>"));
    }

    #[test]
    fn no_points_and_extreme_sizes_still_make_a_document() {
        assert!(svg(&[], &SvgOptions::default()).contains(">no points</text>"));
        for (width, height) in [(0, 0), (u32::MAX, u32::MAX)] {
            let opts = SvgOptions { width, height, title: "t".into(), x_label: "x".into(), log_y: true };
            assert!(svg(&[series("a", &[f64::MAX, 5e-324, f64::INFINITY])], &opts).ends_with("</svg>\n"));
        }
    }
}
