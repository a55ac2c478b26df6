//! Plain tables that fit the terminal: a header, two spaces between columns, no boxes.
//!
//! A table that is too wide first loses text from the columns that allow it, then whole columns, and says which.
//! Titles and cells may hold anything a user or an imported file can; what reaches the terminal is made harmless.

use std::cmp::Reverse;

use unicode_width::UnicodeWidthStr as _;

use crate::render::{Style, shorten, visible};

/// Blank columns between two columns of a table.
const GAP_WIDTH: usize = 2;

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// The head of one column and how it gives way when space is short.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Shown above the column.
    pub(crate) title: String,
    /// For the title and every cell.
    pub(crate) align: Align,
    /// The least width it may be shortened to; never shortened if `None`.
    pub(crate) min_width: Option<usize>,
    /// The lowest is shortened first and dropped first; of equals, the widest is shortened and the last dropped.
    pub(crate) priority: u8,
}

impl Column {
    /// Returns a column of words, never shortened, of the highest priority.
    pub(crate) fn left(title: impl Into<String>) -> Column {
        Column { title: title.into(), align: Align::Left, min_width: None, priority: u8::MAX }
    }

    /// Returns a column of numbers, never shortened, of the highest priority.
    pub(crate) fn right(title: impl Into<String>) -> Column {
        Column { align: Align::Right, ..Column::left(title) }
    }

    /// Allows the column to be shortened to `min_width` columns of the terminal.
    pub(crate) fn shrink_to(self, min_width: usize) -> Column {
        Column { min_width: Some(min_width), ..self }
    }

    /// Sets how long the column is kept, lowest dropped first.
    pub(crate) fn priority(self, priority: u8) -> Column {
        Column { priority, ..self }
    }
}

/// One entry of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// Any text; shown on one line.
    pub(crate) text: String,
    /// Of the text, not of the space around it.
    pub(crate) style: Style,
}

impl Cell {
    /// Returns a cell in the given style.
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Cell {
        Cell { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, Style::Plain)
    }
}

/// Rows under a header, kept until the widths are known.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    /// The header and the rows, each as long as `columns`, safe to show.
    lines: Vec<Vec<Cell>>,
}

impl Table {
    /// Returns a table without rows.
    pub(crate) fn new(columns: Vec<Column>) -> Table {
        let header = columns.iter().map(|column| Cell::new(column.title.as_str(), Style::Dim)).collect();
        let mut table = Table { columns, lines: Vec::new() };
        table.push(header);
        table
    }

    /// Adds a row; missing cells are empty, cells without a column are not shown.
    pub(crate) fn push(&mut self, mut row: Vec<Cell>) {
        row.resize_with(self.columns.len(), Cell::default);
        for cell in &mut row {
            cell.text = visible(&cell.text).trim_end().to_owned();
        }
        self.lines.push(row);
    }

    /// Returns the header and the rows, each line ended by a newline, none wider than `width` columns.
    ///
    /// Without `width` nothing is shortened or dropped. Without `color` styles are not shown.
    pub(crate) fn render(&self, width: Option<usize>, color: bool) -> String {
        let natural: Vec<usize> = (0..self.columns.len()).map(|index| self.natural_width(index)).collect();
        let width_max = width.unwrap_or(usize::MAX);
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        let mut widths = natural.clone();
        while !self.fit(&kept, &mut widths, width_max) {
            let lowest = kept.iter().copied().min_by_key(|&index| (self.columns[index].priority, Reverse(index)));
            kept.retain(|&index| Some(index) != lowest);
            widths.clone_from(&natural);
        }

        let mut text = String::new();
        for line in &self.lines {
            text.push_str(&self.render_line(line, &kept, &widths, color));
        }
        let dropped = (0..self.columns.len()).filter(|index| !kept.contains(index));
        let dropped: Vec<&str> = dropped.map(|index| self.lines[0][index].text.as_str()).collect();
        if !dropped.is_empty() {
            let note = format!("{} not shown: {}", dropped.len(), dropped.join(", "));
            text.push_str(&Style::Dim.paint(&shorten(&note, width_max), color));
            text.push('\n');
        }
        text
    }

    /// Returns the width of a column's widest text.
    fn natural_width(&self, index: usize) -> usize {
        self.lines.iter().map(|line| line[index].text.width()).max().unwrap_or(0)
    }

    /// Shortens `widths` of the `kept` columns until they fit `width_max`; false if they cannot.
    fn fit(&self, kept: &[usize], widths: &mut [usize], width_max: usize) -> bool {
        if let &[only] = kept {
            // The last column stays whatever it asks for, as a table of nothing helps nobody.
            widths[only] = widths[only].min(width_max);
        }
        loop {
            let total =
                kept.iter().map(|&index| widths[index]).sum::<usize>() + GAP_WIDTH * kept.len().saturating_sub(1);
            if total <= width_max {
                return true;
            }
            let spare = |index: &usize| self.columns[*index].min_width.is_some_and(|min| widths[*index] > min);
            let shrinkable = kept.iter().copied().filter(spare);
            match shrinkable.min_by_key(|&index| (self.columns[index].priority, Reverse(widths[index]))) {
                Some(index) => widths[index] -= 1,
                None => return false,
            }
        }
    }

    fn render_line(&self, line: &[Cell], kept: &[usize], widths: &[usize], color: bool) -> String {
        let mut text = String::new();
        // Spaces are written only before something, so that no line ends in them.
        let mut blank = 0;
        for &index in kept {
            let shown = shorten(&line[index].text, widths[index]);
            let space = widths[index].saturating_sub(shown.width());
            let (before, after) = match self.columns[index].align {
                Align::Left => (0, space),
                Align::Right => (space, 0),
            };
            blank += before;
            if !shown.is_empty() {
                text.push_str(&" ".repeat(blank));
                text.push_str(&line[index].style.paint(&shown, color));
                blank = 0;
            }
            blank += after + GAP_WIDTH;
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Table {
        let mut table = Table::new(vec![
            Column::left("run").shrink_to(8).priority(9),
            Column::left("state").priority(5),
            Column::right("val/acc").priority(7),
            Column::left("notes").shrink_to(6).priority(1),
        ]);
        table.push(vec!["vits16-cosine-wd05".into(), Cell::new("done", Style::Green), "0.8132".into()]);
        table.push(vec!["a".into(), Cell::new("failed", Style::Red), "0.71".into(), "ran out of memory".into()]);
        table
    }

    #[test]
    fn a_wide_table_is_shown_whole() {
        let expected = "\
run                 state   val/acc  notes
vits16-cosine-wd05  done     0.8132
a                   failed     0.71  ran out of memory
";
        assert_eq!(runs().render(None, false), expected);
        assert_eq!(runs().render(Some(54), false), expected);
    }

    #[test]
    fn a_narrow_table_shortens_the_least_important_text_first() {
        let expected = "\
run                 state   val/acc  notes
vits16-cosine-wd05  done     0.8132
a                   failed     0.71  ran ou\u{2026}
";
        assert_eq!(runs().render(Some(44), false), expected);
        let expected = "\
run             state   val/acc  notes
vits16-cosine\u{2026}  done     0.8132
a               failed     0.71  ran o\u{2026}
";
        assert_eq!(runs().render(Some(39), false), expected);
    }

    #[test]
    fn a_narrower_table_drops_columns_and_says_so() {
        let expected = "\
run        state   val/acc
vits16-c\u{2026}  done     0.8132
a          failed     0.71
1 not shown: notes
";
        assert_eq!(runs().render(Some(26), false), expected);
        let expected = "\
run        val/acc
vits16-c\u{2026}   0.8132
a             0.71
2 not shown: stat\u{2026}
";
        assert_eq!(runs().render(Some(18), false), expected);
        let expected = "run\nv\u{2026}\na\n3\u{2026}\n";
        assert_eq!(runs().render(Some(2), false), expected.replace("run", "r\u{2026}"));
        assert_eq!(runs().render(Some(0), false), "\n\n\n\n");
    }

    #[test]
    fn no_line_is_wider_than_asked_or_ends_in_a_space() {
        for width in 0..70 {
            for line in runs().render(Some(width), false).lines() {
                assert!(line.width() <= width && !line.ends_with(' '), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn columns_line_up_by_display_width() {
        let mut table = Table::new(vec![Column::left("run").shrink_to(4), Column::right("lr")]);
        table.push(vec!["\u{5b66}\u{7fd2}\u{7387}".into(), "1e-3".into()]);
        table.push(vec!["\u{1f680} go".into(), "2".into()]);
        let expected = "run       lr\n\u{5b66}\u{7fd2}\u{7387}  1e-3\n\u{1f680} go      2\n";
        assert_eq!(table.render(None, false), expected);
        let expected = "run      lr\n\u{5b66}\u{7fd2}\u{2026}  1e-3\n\u{1f680} go     2\n";
        assert_eq!(table.render(Some(11), false), expected);
    }

    #[test]
    fn user_text_cannot_drive_the_terminal() {
        let mut table = Table::new(vec![Column::left("a\x1b]0;x\x07"), Column::left("b")]);
        table.push(vec!["\x1b[2Jx\ny".into(), "\u{202e}z\r".into()]);
        let expected = "a\u{241b}]0;x\u{2407}  b\n\u{241b}[2Jx\u{21b5}y  \u{fffd}z\u{240d}\n";
        assert_eq!(table.render(None, false), expected);
    }

    #[test]
    fn styles_wrap_the_text_and_not_the_space() {
        let mut table = Table::new(vec![Column::left("state"), Column::right("n")]);
        table.push(vec![Cell::new("ok", Style::Green), "12".into()]);
        let expected = "\x1b[2mstate\x1b[0m   \x1b[2mn\x1b[0m\n\x1b[32mok\x1b[0m     12\n";
        assert_eq!(table.render(None, true), expected);
    }
}
