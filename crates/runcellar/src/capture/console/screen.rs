//! What a terminal would show of a stream of bytes, as lines: carriage returns and cursor movements draw over what was
//! there, so that a progress bar of a thousand redraws is one line. Colours and titles are left out.
//!
//! A line counts as soon as it ends. The last [`WINDOW_LINES`] may be drawn again, as progress bars below each other
//! are.

use std::collections::VecDeque;

/// Longest line that is kept, in bytes; the line says how much more there was.
pub(super) const LINE_BYTES_MAX: usize = 8 << 10;
/// Lines above the last that can be drawn over: more than the nested progress bars of any one program.
const WINDOW_LINES: usize = 64;
/// Bytes of a title or hyperlink after which it is taken for text that only looked like one.
const STRING_BYTES_MAX: usize = 4 << 10;

/// A line as it stands.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Its number, once it was recorded.
    pub(super) number: Option<i64>,
    text: String,
    /// Bytes that it had no room for.
    cut: usize,
    /// True if it differs from what was recorded.
    dirty: bool,
}

impl Line {
    /// Returns the text to be recorded, after `screened` has looked at what there is of it and whether there was more.
    pub(super) fn text(&self, screened: impl FnOnce(&str, bool) -> String) -> String {
        match self.cut {
            0 => screened(&self.text, false),
            cut => format!("{} [{cut} bytes more]", screened(&self.text, true)),
        }
    }
}

/// How far a line is that is to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has just ended.
    Ended,
    /// It ended before, and was drawn over.
    DrawnOver,
    /// It has not ended.
    Open,
}

/// Takes lines that have changed, to be recorded.
pub(super) trait Recorder {
    fn record(&mut self, line: &mut Line, progress: Progress);
}

/// One stream, as lines.
#[derive(Debug)]
pub(super) struct Screen {
    /// The last lines; there is at least one.
    lines: VecDeque<Line>,
    row: usize,
    /// Place of the cursor in its line, in bytes; on the boundary of a character.
    at: usize,
    state: State,
    /// The beginning of a character whose other bytes are to come.
    partial: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Text,
    Escape,
    /// After ESC and a byte that takes one more.
    Skip,
    /// A control sequence, with its parameters so far.
    Control(Vec<u8>),
    /// A title or the like, until BEL or ESC \; with its length so far, and whether ESC came last.
    Text7(usize, bool),
}

impl Screen {
    pub(super) fn new() -> Screen {
        let lines = VecDeque::from([Line::default()]);
        Screen { lines, row: 0, at: 0, state: State::Text, partial: Vec::new() }
    }

    /// Takes bytes in.
    pub(super) fn write(&mut self, mut bytes: &[u8], recorder: &mut impl Recorder) {
        while let Some(first) = bytes.first() {
            match &mut self.state {
                State::Text => {
                    let end = bytes.iter().position(|byte| is_control(*byte)).unwrap_or(bytes.len());
                    let (text, rest) = bytes.split_at(end);
                    if !text.is_empty() {
                        self.text(text);
                    }
                    bytes = rest;
                    if let Some((control, rest)) = bytes.split_first() {
                        self.control(*control, recorder);
                        bytes = rest;
                    }
                    continue;
                }
                State::Escape => {
                    self.state = match first {
                        b'[' => State::Control(Vec::new()),
                        b']' | b'P' | b'X' | b'^' | b'_' => State::Text7(0, false),
                        b' '..=b'/' => State::Skip,
                        _ => State::Text,
                    };
                }
                State::Skip => self.state = State::Text,
                State::Control(params) => match first {
                    b'\x20'..=b'\x3f' if params.len() < 32 => params.push(*first),
                    b'\x40'..=b'\x7e' => {
                        let params = std::mem::take(params);
                        self.state = State::Text;
                        self.act(*first, &params);
                    }
                    // Not a sequence after all: what ends it counts for itself.
                    _ => {
                        self.state = State::Text;
                        continue;
                    }
                },
                State::Text7(length, escaped) => {
                    *length += 1;
                    let ends = *first == b'\x07' || (*escaped && *first == b'\\') || *length > STRING_BYTES_MAX;
                    *escaped = *first == b'\x1b';
                    if ends {
                        self.state = State::Text;
                    }
                }
            }
            bytes = bytes.get(1..).unwrap_or_default();
        }
    }

    /// Records every line that has changed and is not recorded: those drawn over, and the one that has not ended.
    pub(super) fn record_changes(&mut self, recorder: &mut impl Recorder) {
        let last = self.lines.len() - 1;
        for (at, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| line.dirty) {
            line.dirty = false;
            recorder.record(line, if at < last { Progress::DrawnOver } else { Progress::Open });
        }
    }

    fn control(&mut self, control: u8, recorder: &mut impl Recorder) {
        if !self.partial.is_empty() {
            self.partial.clear();
            self.put("\u{fffd}");
        }
        match control {
            b'\n' => self.end_line(recorder),
            b'\r' => self.at = 0,
            b'\x08' => self.left(1),
            b'\t' => self.put("\t"),
            b'\x1b' => self.state = State::Escape,
            // A bell and the like show nothing.
            _ => {}
        }
    }

    fn end_line(&mut self, recorder: &mut impl Recorder) {
        self.at = 0;
        self.row += 1;
        if self.row < self.lines.len() {
            return;
        }
        if let Some(ended) = self.lines.back_mut()
            && (ended.dirty || ended.number.is_none())
        {
            ended.dirty = false;
            recorder.record(ended, Progress::Ended);
        }
        self.lines.push_back(Line::default());
        if self.lines.len() > WINDOW_LINES {
            if let Some(mut gone) = self.lines.pop_front().filter(|gone| gone.dirty) {
                recorder.record(&mut gone, Progress::DrawnOver);
            }
            self.row -= 1;
        }
    }

    /// Takes in text without controls.
    fn text(&mut self, bytes: &[u8]) {
        let joined = match self.partial.is_empty() {
            true => None,
            false => Some([std::mem::take(&mut self.partial).as_slice(), bytes].concat()),
        };
        let mut rest = joined.as_deref().unwrap_or(bytes);
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.put(text);
                    return;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    self.put(std::str::from_utf8(valid).unwrap_or_default());
                    let Some(invalid) = error.error_len() else {
                        self.partial = after.to_vec();
                        return;
                    };
                    self.put("\u{fffd}");
                    rest = after.get(invalid..).unwrap_or_default();
                }
            }
        }
    }

    /// Writes text at the cursor, over what is there.
    fn put(&mut self, text: &str) {
        if !text.is_ascii() && text.chars().any(|letter| letter.is_control()) {
            let shown: String = text.chars().filter(|letter| !letter.is_control()).collect();
            return self.put(&shown);
        }
        let Some(line) = self.lines.get_mut(self.row) else { return };
        let mut letters = text.chars();
        // Over what is there, letter by letter; usually there is nothing.
        while let Some(old) = line.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            let Some(new) = letters.next() else { return };
            if new != old {
                line.text.replace_range(self.at..self.at + old.len_utf8(), new.encode_utf8(&mut [0; 4]));
                line.dirty = true;
            }
            self.at += new.len_utf8();
        }
        let rest = letters.as_str();
        if rest.is_empty() {
            return;
        }
        let room = LINE_BYTES_MAX.saturating_sub(line.text.len()).min(rest.len());
        let end = (0..=room).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(0);
        let (kept, cut) = rest.split_at(end);
        line.text.push_str(kept);
        line.cut += cut.len();
        line.dirty = true;
        self.at = line.text.len();
    }

    /// Does what a control sequence says.
    fn act(&mut self, action: u8, params: &[u8]) {
        let number = std::str::from_utf8(params).ok().and_then(|text| text.split(';').next()?.parse::<usize>().ok());
        let count = number.unwrap_or(1).max(1);
        match action {
            b'A' => self.to(self.row.saturating_sub(count), self.column()),
            b'B' => self.to(self.row.saturating_add(count), self.column()),
            b'C' => self.to(self.row, self.column().saturating_add(count)),
            b'D' => self.left(count),
            b'E' => self.to(self.row.saturating_add(count), 0),
            b'F' => self.to(self.row.saturating_sub(count), 0),
            b'G' => self.to(self.row, count - 1),
            b'J' if number.unwrap_or(0) == 0 => {
                self.erase(self.row, self.at);
                (self.row + 1..self.lines.len()).for_each(|row| self.erase(row, 0));
            }
            b'K' => match number.unwrap_or(0) {
                0 => self.erase(self.row, self.at),
                2 => {
                    self.erase(self.row, 0);
                    self.at = 0;
                }
                _ => {}
            },
            // Colours, modes, and what needs a whole screen.
            _ => {}
        }
    }

    fn column(&self) -> usize {
        let line = self.lines.get(self.row);
        line.and_then(|line| line.text.get(..self.at)).map_or(0, |before| before.chars().count())
    }

    /// Moves the cursor, no further than there are lines and letters.
    fn to(&mut self, row: usize, column: usize) {
        self.row = row.min(self.lines.len() - 1);
        let text = self.lines.get(self.row).map_or("", |line| line.text.as_str());
        self.at = text.char_indices().nth(column).map_or(text.len(), |(at, _)| at);
    }

    fn left(&mut self, count: usize) {
        self.to(self.row, self.column().saturating_sub(count));
    }

    fn erase(&mut self, row: usize, from: usize) {
        if let Some(line) = self.lines.get_mut(row)
            && (line.text.len() > from || line.cut > 0)
        {
            line.text.truncate(from);
            line.cut = 0;
            line.dirty = true;
        }
    }
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == b'\x7f'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept {
        lines: Vec<String>,
        records: usize,
    }

    impl Recorder for Kept {
        fn record(&mut self, line: &mut Line, _: Progress) {
            self.records += 1;
            let number = *line.number.get_or_insert(self.lines.len() as i64) as usize;
            if number == self.lines.len() {
                self.lines.push(String::new());
            }
            self.lines[number] = line.text(|text, _| text.to_owned());
        }
    }

    /// Returns the lines, and how often one was recorded, of bytes that come in pieces of `piece`.
    fn folded_by(bytes: &[u8], piece: usize) -> Kept {
        let (mut screen, mut kept) = (Screen::new(), Kept::default());
        bytes.chunks(piece).for_each(|piece| screen.write(piece, &mut kept));
        screen.record_changes(&mut kept);
        kept
    }

    /// Returns the lines, which do not depend on how the bytes were cut.
    #[track_caller]
    fn folded(bytes: impl AsRef<[u8]>) -> Vec<String> {
        let bytes = bytes.as_ref();
        let whole = folded_by(bytes, bytes.len().max(1)).lines;
        for piece in [1, 2, 3, 7] {
            assert_eq!(folded_by(bytes, piece).lines, whole, "in pieces of {piece}");
        }
        whole
    }

    #[test]
    fn lines_are_what_a_terminal_shows() {
        assert_eq!(folded("a\nb\r\n\nlast"), ["a", "b", "", "last"]);
        assert_eq!(folded("a\n"), ["a"], "the line that has not begun is none");
        assert_eq!(folded(""), [""; 0]);
        assert_eq!(folded("long line\rshort\n"), ["shortline"]);
        assert_eq!(folded("50%\r\x1b[K99%\r\x1b[2K100%\n"), ["100%"]);
        assert_eq!(folded("abc\x08\x08X\n"), ["aXc"]);
        assert_eq!(folded("a\tb\x07\x00c\n"), ["a\tbc"]);
    }

    #[test]
    fn colours_titles_and_links_are_left_out() {
        assert_eq!(folded("\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[m\n"), ["red true"]);
        assert_eq!(folded("\x1b]0;title\x07a \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n"), ["a link"]);
        assert_eq!(folded("\x1b(Bx\x1b=y\x1b[?25l\x1b[6n\n"), ["xy"]);
        assert_eq!(folded("a\x1b[3\nb\n"), ["a", "b"], "a broken sequence costs no line");
        let endless = format!("\x1b]{}\nafter\n", "x".repeat(2 * STRING_BYTES_MAX));
        assert_eq!(folded(endless).last().map(String::as_str), Some("after"));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(folded(b"\xff\xfe ok \xe2\x82\n\xe2\x82\xac\n"), ["\u{fffd}\u{fffd} ok \u{fffd}", "\u{20ac}"]);
        assert_eq!(folded("\u{9b}31m\u{85}\n"), ["31m"], "controls of eight bits are no text either");
    }

    #[test]
    fn a_progress_bar_is_one_line_and_recorded_once() {
        let mut bytes = String::new();
        for done in 0..=1000 {
            bytes += &format!("\r{:3}%|{:<50}| {done}/1000", done / 10, "\u{2588}".repeat(done / 20));
        }
        let kept = folded_by((bytes + "\n").as_bytes(), 64);
        assert_eq!(kept.records, 1);
        assert_eq!(kept.lines, [format!("100%|{}| 1000/1000", "\u{2588}".repeat(50))]);
    }

    #[test]
    fn bars_below_each_other_are_lines_of_their_own() {
        // As tqdm draws at position 1: down, draw, up.
        let mut bytes = "\router 0".to_owned();
        for step in 0..5 {
            bytes += &format!("\n\rinner {step}\x1b[A\router {step}");
        }
        assert_eq!(folded(bytes + "\n\n"), ["outer 4", "inner 4"]);
        assert_eq!(folded("1\n2\n3\n\x1b[2Ax\x1b[Jy\nz\n"), ["1", "xy", "z"]);
        assert_eq!(folded("a\x1b[99A\x1b[99B\x1b[99C\x1b[99D\x1b[99Gb\n"), ["ab"], "no further than there is");
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory_and_says_what_is_missing() {
        let long = "\u{e9}".repeat(100_000);
        let [line] = &folded_by(long.as_bytes(), 1000).lines[..] else { panic!("one line") };
        assert!(line.len() < LINE_BYTES_MAX + 64 && line.ends_with(" [191808 bytes more]"), "{}", &line[8180..]);
        let mut screen = Screen::new();
        let mut kept = Kept::default();
        for line in 0..10_000 {
            screen.write(format!("{line}\n").as_bytes(), &mut kept);
        }
        assert_eq!((kept.lines.len(), screen.lines.len()), (10_000, WINDOW_LINES));
    }
}
