//! Line charts as static SVG: no scripts, nothing loaded from elsewhere, light and dark from the viewer's setting.
//!
//! The size of the file is bounded by the width of the charts and the number of series, whatever the points.

use unicode_width::UnicodeWidthStr as _;

use crate::render::chart::{Chart, PlotSeries, Scales};
use crate::render::number::trim_zeros;
use crate::render::{is_unprintable, shorten};

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
/// Dash patterns of one line and the next, so that neighbours are told apart without their hue.
const DASHES: [&str; 4] = ["", "6 3", "2 3", "9 3 2 3"];
/// The colour of a line that is alone: the accent of the dashboard.
const ACCENT: usize = 4;
/// Drawn around a point without neighbours, which as a line of no length could be missed.
const LONE_POINT: &str = "m-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0";
/// Most series drawn into one chart; after these, colours and dashes repeat together.
pub(crate) const SERIES_MAX: usize = 24;

/// Rules for everything but the colours.
const CSS: &str = "\
.rc{font-family:Inter,system-ui,-apple-system,\"Segoe UI\",sans-serif;font-size:11.5px}
.rc text{font-variant-numeric:tabular-nums}
.rc .title{font-size:14px;font-weight:600}
.rc .panel{font-size:12px;font-weight:600}
.rc .mid{text-anchor:middle}
.rc .end{text-anchor:end}
.rc .line{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
.rc .raw{stroke-width:1;stroke-opacity:.3}
";
/// Colours of light pages, and of dark ones.
const CSS_LIGHT: &str = "\
.rc .page{fill:#fbfaf8}
.rc .title,.rc .panel{fill:#1d1b19}
.rc .name{fill:#3d3a36}
.rc .dim{fill:#77726a}
.rc .grid{stroke:#e9e6e0}
";
const CSS_DARK: &str = "\
.rc .page{fill:#141416}
.rc .title,.rc .panel{fill:#ecebe8}
.rc .name{fill:#cfcecc}
.rc .dim{fill:#96938d}
.rc .grid{stroke:#29292c}
";

/// Room around everything, in pixels like all that follow.
const MARGIN: f64 = 20.0;
/// Room between two charts side by side.
const GAP: f64 = 28.0;
/// Room between the edge of the area and the topmost and lowest value, so that lines there are whole.
const INSET: f64 = 6.0;
/// Height of a line of text below the title.
const LINE_HEIGHT: f64 = 19.0;
/// Width of a column of text of the title and of the rest; text cannot be measured here, so these are generous.
const TITLE_CHAR_WIDTH: f64 = 8.4;
const CHAR_WIDTH: f64 = 6.6;
/// Room for the short line before a name in the legend, and after the name.
const KEY_WIDTH: f64 = 29.0;
const ENTRY_GAP: f64 = 18.0;
/// Most columns of text for one name in the legend.
const NAME_WIDTH_MAX: usize = 40;
/// Room that a label of an axis takes beside its text.
const TICK_GAP: f64 = 40.0;
/// Size of a chart that is alone, and height of one of several.
const SIZE_DEFAULT: (u32, u32) = (720, 400);
const PANEL_HEIGHT: u32 = 250;
/// Smallest picture in which everything has a place.
const SIZE_MIN: (u32, u32) = (200, 140);
/// Greatest width and height, beyond any screen; it bounds the size of the file.
const SIZE_MAX: u32 = 10_000;

/// For which pages a picture is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Those that the viewer's setting says.
    #[default]
    Viewer,
    /// Light ones.
    Light,
    /// Dark ones.
    Dark,
}

/// What surrounds the charts.
#[derive(Clone, Debug, Default)]
pub(crate) struct SvgOptions {
    /// In pixels; by default what suits the number of charts.
    pub(crate) width: Option<u32>,
    /// In pixels; by default what suits the number of charts.
    pub(crate) height: Option<u32>,
    /// Above the charts, and their name for screen readers; no space is spent if empty.
    pub(crate) title: String,
    /// What x is and its unit; no space is spent if empty.
    pub(crate) x_label: String,
    /// Of both axes.
    pub(crate) scales: Scales,
    /// Colours.
    pub(crate) theme: Theme,
}

/// One chart of a picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    /// Above the chart; no space is spent if empty.
    pub(crate) title: String,
    /// What x is in this chart, if it is not what the options say.
    pub(crate) x_label: Option<String>,
    /// The lines, in the colours of their places.
    pub(crate) series: Vec<PlotSeries>,
}

/// Returns an SVG document with a chart of at most 24 series in each panel.
///
/// Where each of several panels has the same names, they stand once above all.
pub(crate) fn svg(panels: &[Panel], opts: &SvgOptions) -> String {
    let columns = if panels.len() > 2 { 2 } else { 1 };
    let rows = panels.len().div_ceil(columns).max(1);
    let height = match u32::try_from(rows) {
        Ok(rows @ 2..) => rows.saturating_mul(PANEL_HEIGHT),
        _ => SIZE_DEFAULT.1,
    };
    let width = opts.width.unwrap_or(SIZE_DEFAULT.0 * columns as u32 * 3 / (columns as u32 + 2));
    let (width, height) =
        (width.clamp(SIZE_MIN.0, SIZE_MAX), opts.height.unwrap_or(height).clamp(SIZE_MIN.1, SIZE_MAX));
    let mut page = Page { body: String::new() };
    let (right, bottom) = (f64::from(width) - MARGIN, f64::from(height) - MARGIN);
    let mut frame = Frame { left: MARGIN, top: MARGIN, right, bottom };
    page.title(&opts.title, &mut frame);
    let shared = panels.len() > 1 && panels.windows(2).all(|pair| names(&pair[0]).eq(names(&pair[1])));
    if let Some(first) = panels.first().filter(|_| shared) {
        page.legend(&first.series, &mut frame);
    }
    for (index, panel) in panels.iter().enumerate() {
        page.panel(panel, frame.cell(index % columns, columns, index / columns, rows), !shared, opts);
    }
    if panels.is_empty() {
        page.panel(&Panel::default(), frame, false, opts);
    }
    let name = if opts.title.is_empty() { "line chart" } else { &opts.title };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"rc\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n<style>\n{}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{}</svg>\n",
        escape(name),
        css(opts.theme),
        page.body,
    )
}

fn names(panel: &Panel) -> impl Iterator<Item = &str> {
    panel.series.iter().map(|one| one.name.as_str())
}

/// A part of the picture that is filled from the top and the bottom inwards.
#[derive(Clone, Copy, Debug)]
struct Frame {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Frame {
    /// Returns how many columns of text lie between the sides.
    fn columns(&self, char_width: f64) -> usize {
        ((self.right - self.left) / char_width) as usize
    }

    /// Returns one cell of a grid.
    fn cell(&self, column: usize, columns: usize, row: usize, rows: usize) -> Frame {
        let place = |at: usize, count: usize, from: f64, to: f64, gap: f64| {
            let size = (to - from + gap) / count as f64;
            let from = from + at as f64 * size;
            (from, from + size - gap)
        };
        let (left, right) = place(column, columns, self.left, self.right, GAP);
        let (top, bottom) = place(row, rows, self.top, self.bottom, LINE_HEIGHT);
        Frame { left, top, right, bottom }
    }
}

/// The elements of a document.
struct Page {
    body: String,
}

impl Page {
    fn text(&mut self, class: &str, at: (f64, f64), content: &str) {
        let (x, y) = (px(at.0), px(at.1));
        self.body += &format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(content));
    }

    /// Adds a line in the colour and dashes of a series.
    fn line(&mut self, series: usize, series_count: usize, path: &str) {
        let color = if series_count == 1 { ACCENT } else { series % COLORS.len() };
        let dash = match DASHES[(series + series / COLORS.len()) % DASHES.len()] {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        self.body += &format!("<path class=\"line c{color}\"{dash} d=\"{path}\"/>\n");
    }

    /// Adds a faint line in the colour of a series.
    fn raw_line(&mut self, series: usize, series_count: usize, path: &str) {
        let color = if series_count == 1 { ACCENT } else { series % COLORS.len() };
        self.body += &format!("<path class=\"line raw c{color}\" d=\"{path}\"/>\n");
    }

    /// Adds the title.
    fn title(&mut self, title: &str, frame: &mut Frame) {
        if !title.is_empty() {
            self.text("title", (frame.left, frame.top + 11.0), &shorten(title, frame.columns(TITLE_CHAR_WIDTH)));
            frame.top += 20.0;
        }
    }

    /// Adds one chart with its title, legend, notes and label of x.
    fn panel(&mut self, panel: &Panel, mut frame: Frame, legend: bool, opts: &SvgOptions) {
        let (series, rest) = panel.series.split_at(panel.series.len().min(SERIES_MAX));
        let mut chart = Chart::over(series, opts.scales);
        if !rest.is_empty() {
            chart.notes.push(format!("series not drawn: {}", rest.len()));
        }
        if !panel.title.is_empty() {
            self.text("panel", (frame.left, frame.top + 14.0), &shorten(&panel.title, frame.columns(TITLE_CHAR_WIDTH)));
            frame.top += LINE_HEIGHT + 4.0;
        }
        if legend {
            self.legend(series, &mut frame);
        }
        let day = chart.x.day().map(|day| format!(", {day}")).unwrap_or_default();
        let x_label = panel.x_label.as_ref().unwrap_or(&opts.x_label);
        let x_label = if x_label.is_empty() { String::new() } else { format!("{x_label}{day}") };
        self.footer(&chart.notes.join("; "), &x_label, &mut frame);
        if chart.drawable {
            self.chart(&chart, series, frame);
        } else {
            let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
            self.text("dim mid", middle, "no points");
        }
    }

    /// Adds keys and names in rows of equal columns, to a third of the height.
    fn legend(&mut self, series: &[PlotSeries], frame: &mut Frame) {
        let name_width_max = frame.columns(CHAR_WIDTH).saturating_sub(5).min(NAME_WIDTH_MAX);
        let named = series.iter().enumerate().filter(|(_, one)| !one.name.is_empty());
        let entries: Vec<(usize, String)> =
            named.map(|(index, one)| (index, shorten(&one.name, name_width_max))).collect();
        let Some(widest) = entries.iter().map(|(_, name)| name.width()).max() else { return };

        let column_width = KEY_WIDTH + widest as f64 * CHAR_WIDTH + ENTRY_GAP;
        let per_row = (((frame.right - frame.left + ENTRY_GAP) / column_width) as usize).max(1);
        let rows_max = ((frame.bottom - frame.top) / 3.0 / LINE_HEIGHT) as usize;
        let places = per_row * rows_max.max(1);
        let (left, top) = (frame.left, frame.top);
        let place = |place: usize| {
            let (row, column) = (place / per_row, place % per_row);
            (left + column as f64 * column_width, top + (row + 1) as f64 * LINE_HEIGHT - 4.0)
        };
        let shown = if entries.len() > places { places - 1 } else { entries.len() };
        for (at, (index, name)) in entries[..shown].iter().enumerate() {
            let (x, y) = place(at);
            self.line(*index, series.len(), &format!("M{} {}h22", px(x), px(y - 4.0)));
            self.text("name", (x + KEY_WIDTH, y), name);
        }
        if shown < entries.len() {
            self.text("dim", place(shown), &format!("and {} more", entries.len() - shown));
        }
        frame.top = place(entries.len().min(places) - 1).1 + 14.0;
    }

    /// Adds the notes on the left and the label of x on the right.
    fn footer(&mut self, notes: &str, x_label: &str, frame: &mut Frame) {
        let columns = frame.columns(CHAR_WIDTH);
        let (notes, x_label) = (shorten(notes, columns), shorten(x_label, columns));
        let mut baseline = frame.bottom + 6.0;
        if !x_label.is_empty() {
            self.text("dim end", (frame.right, baseline), &x_label);
            if notes.is_empty() || notes.width() + x_label.width() + 2 > columns {
                baseline -= LINE_HEIGHT;
            }
        }
        if !notes.is_empty() {
            self.text("dim", (frame.left, baseline), &notes);
            baseline -= LINE_HEIGHT;
        }
        frame.bottom = baseline;
    }

    /// Adds grid, labels and lines; the labels of x stand at the bottom of the frame.
    fn chart(&mut self, chart: &Chart, series: &[PlotSeries], frame: Frame) {
        let Frame { top, bottom, right, .. } = frame;
        let floor = bottom - 16.0;
        let y_ticks = chart.y.ticks(((floor - top) / 40.0) as usize);
        let gutter = y_ticks.iter().map(|(_, label)| label.len()).max().unwrap_or(0) as f64 * CHAR_WIDTH + 10.0;
        let left = frame.left + gutter;
        let across = |fraction: f64| left + fraction * (right - left);
        let up = |fraction: f64| floor - INSET - fraction * (floor - top - 2.0 * INSET);

        for (fraction, label) in y_ticks {
            let y = up(fraction).round() + 0.5;
            self.body += &format!("<path class=\"grid\" d=\"M{} {}H{}\"/>\n", px(left), px(y), px(right));
            self.text("dim end", (left - 10.0, y + 4.0), &label);
        }
        let mut taken = f64::MIN;
        for (fraction, label) in x_ticks(chart, right - left) {
            let half = label.len() as f64 * CHAR_WIDTH / 2.0;
            let x = across(fraction).min(right + MARGIN - half - 4.0);
            if x - half > taken {
                self.text("dim mid", (x, bottom), &label);
                taken = x + half;
            }
        }
        let columns = (right - left) as usize;
        let path = |strokes: Vec<Vec<(f64, f64)>>| {
            let mut path = String::new();
            for stroke in strokes {
                for (place, (x, y)) in stroke.iter().enumerate() {
                    let command = if place == 0 { 'M' } else { 'L' };
                    path += &format!("{command}{} {}", px(across(*x)), px(up(*y)));
                }
                if stroke.len() == 1 {
                    path.push_str(LONE_POINT);
                }
            }
            path
        };
        for (index, one) in series.iter().enumerate() {
            let behind = path(chart.strokes_behind(one, columns));
            if !behind.is_empty() {
                self.raw_line(index, series.len(), &behind);
            }
        }
        for (index, one) in series.iter().enumerate() {
            let line = path(chart.strokes(one, columns));
            if !line.is_empty() {
                self.line(index, series.len(), &line);
            }
        }
    }
}

/// Returns as many ticks of x as there is room for.
fn x_ticks(chart: &Chart, width: f64) -> Vec<(f64, String)> {
    let mut count = (width / 90.0) as usize;
    loop {
        let ticks = chart.x.ticks(count);
        let widest = ticks.iter().map(|(_, label)| label.len()).max().unwrap_or(0) as f64 * CHAR_WIDTH + TICK_GAP;
        if count <= 2 || widest * ticks.len() as f64 <= width + 2.0 * widest {
            return ticks;
        }
        count -= 1;
    }
}

/// Returns the rules: those for light pages, those for dark ones, or both with a question to the viewer.
fn css(theme: Theme) -> String {
    let colors = |pick: fn(&(&'static str, &'static str)) -> &'static str| -> String {
        let rule = |(index, pair)| format!(".rc .c{index}{{stroke:{}}}\n", pick(pair));
        COLORS.iter().enumerate().map(rule).collect()
    };
    let (light, dark) = (colors(|pair| pair.0), colors(|pair| pair.1));
    match theme {
        Theme::Light => format!("{CSS}{CSS_LIGHT}{light}"),
        Theme::Dark => format!("{CSS}{CSS_DARK}{dark}"),
        Theme::Viewer => format!("{CSS}{CSS_LIGHT}{light}@media (prefers-color-scheme:dark){{\n{CSS_DARK}{dark}}}\n"),
    }
}

/// Returns a coordinate to a tenth of a pixel, in as few characters as that takes.
fn px(value: f64) -> String {
    trim_zeros(&format!("{value:.1}")).to_owned()
}

/// Returns `text` as XML character data or as an attribute's value, on one line, without unprintable characters.
pub(crate) fn escape(text: &str) -> String {
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
    use crate::render::axis::Scale;

    fn series(name: &str, y: &[f64]) -> PlotSeries {
        let x = (0..y.len()).map(|i| i as f64).collect();
        PlotSeries { name: name.to_owned(), x, y: y.to_vec(), ..PlotSeries::default() }
    }

    /// Returns a picture of one chart.
    fn one(series: &[PlotSeries], opts: &SvgOptions) -> String {
        svg(&[Panel { series: series.to_vec(), ..Panel::default() }], opts)
    }

    /// Returns the path data of the lines that are not keys of the legend.
    fn paths(doc: &str) -> Vec<&str> {
        let lines = doc.lines().filter(|line| line.starts_with("<path class=\"line"));
        let data = lines.filter_map(|line| line.split(" d=\"").nth(1)).map(|data| data.trim_end_matches("\"/>"));
        data.filter(|data| !data.ends_with("h22")).collect()
    }

    #[test]
    fn the_document_is_whole_and_loads_nothing() {
        let opts = SvgOptions {
            width: Some(300),
            height: Some(200),
            title: "val/acc".into(),
            x_label: "step".into(),
            ..SvgOptions::default()
        };
        let doc = one(&[series("a", &[0.0, 1.0]), series("b", &[1.0, 0.0])], &opts);
        let expected = r#"<rect class="page" width="300" height="200"/>
<text class="title" x="20" y="31">val/acc</text>
<path class="line c0" d="M20 51h22"/>
<text class="name" x="49" y="55">a</text>
<path class="line c1" stroke-dasharray="6 3" d="M73.6 51h22"/>
<text class="name" x="102.6" y="55">b</text>
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
<path class="line c1" stroke-dasharray="6 3" d="M49.8 75L280 145"/>
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
        let doc = one(&[series("</text>&\x07", &[1.0])], &opts);
        assert!(doc.contains("aria-label=\"&quot;&gt;&lt;script&gt;\""));
        assert!(doc.contains(">&lt;/text&gt;&amp;</text>") && doc.contains(">&lt;/svg&gt;</text>"));
    }

    #[test]
    fn a_spike_is_kept_and_the_size_bounded() {
        let mut y: Vec<f64> = (0..300_000).map(|i| f64::from(i % 7)).collect();
        y[222_222] = 100.0;
        let doc = one(&[series("", &y)], &SvgOptions::default());
        let top = MARGIN + INSET;
        assert!(paths(&doc)[0].contains(&format!(" {}L", px(top))));
        assert!(doc.len() < 50_000, "{}", doc.len());
    }

    #[test]
    fn nan_breaks_the_line_and_lone_points_are_dots() {
        let doc = one(&[series("", &[1.0, 2.0, f64::NAN, 3.0, f64::NAN, 2.0, 1.0])], &SvgOptions::default());
        let path = paths(&doc)[0];
        assert_eq!(path.matches('M').count(), 3);
        assert_eq!(path.matches(LONE_POINT).count(), 1);
        assert!(doc.contains(">NaN values left as gaps: 2</text>"));
    }

    #[test]
    fn every_series_has_its_own_colour_and_dashes() {
        let opts = SvgOptions { height: Some(2000), ..SvgOptions::default() };
        let doc = one(&vec![series("", &[1.0, 2.0]); SERIES_MAX + 2], &opts);
        let lines = doc.lines().filter(|line| line.starts_with("<path class=\"line"));
        let mut styles: Vec<&str> = lines.filter_map(|line| line.split(" d=").next()).collect();
        styles.sort_unstable();
        styles.dedup();
        assert_eq!(styles.len(), SERIES_MAX);
        assert!(doc.contains(">series not drawn: 2</text>"));
    }

    #[test]
    fn smoothed_lines_lie_over_faint_ones() {
        let noisy = PlotSeries { behind: vec![0.0, 4.0, 0.0], ..series("s", &[2.0, 2.0, 2.0]) };
        let doc = one(&[noisy], &SvgOptions::default());
        let (raw, line) = (doc.find("class=\"line raw c4\""), doc.rfind("class=\"line c4\""));
        assert!(raw.is_some() && raw < line, "{doc}");
        assert!(doc.contains(">4</text>"), "the axis holds what lies behind");
    }

    #[test]
    fn several_charts_share_one_legend_if_their_lines_have_the_same_names() {
        let panel = |title: &str, names: [&str; 2]| Panel {
            title: title.to_owned(),
            series: names.map(|name| series(name, &[1.0, 2.0])).to_vec(),
            ..Panel::default()
        };
        let shared = svg(&[panel("loss", ["a", "b"]), panel("acc", ["a", "b"])], &SvgOptions::default());
        assert_eq!((shared.matches(">a</text>").count(), shared.matches("class=\"panel\"").count()), (1, 2));
        let apart = svg(&[panel("loss", ["a", "b"]), panel("acc", ["a", "c"])], &SvgOptions::default());
        assert_eq!((apart.matches(">a</text>").count(), apart.matches(">c</text>").count()), (2, 1));
    }

    #[test]
    fn a_long_legend_ends_in_a_count() {
        let many: Vec<PlotSeries> = (0..20).map(|i| series(&format!("a-rather-long-name-{i}"), &[1.0])).collect();
        let doc = one(&many, &SvgOptions { width: Some(400), height: Some(200), ..SvgOptions::default() });
        assert_eq!(doc.matches("class=\"name\"").count(), 3);
        assert!(doc.contains(">and 17 more</text>"));
    }

    #[test]
    fn no_points_and_extreme_sizes_still_make_a_document() {
        assert!(one(&[], &SvgOptions::default()).contains(">no points</text>"));
        for (width, height) in [(0, 0), (u32::MAX, u32::MAX)] {
            let scales = Scales { x: Scale::Time, y: Scale::Log };
            let (width, height) = (Some(width), Some(height));
            let opts = SvgOptions { width, height, title: "t".into(), x_label: "x".into(), scales, theme: Theme::Dark };
            assert!(one(&[series("a", &[f64::MAX, 5e-324, f64::INFINITY])], &opts).ends_with("</svg>\n"));
        }
    }
}
