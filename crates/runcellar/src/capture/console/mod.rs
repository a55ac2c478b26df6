//! The console of a run: bytes of its streams in, rows of lines out.
//!
//! Where the bytes come from is the caller's affair. A line is recorded when it ends; what is drawn over again and again is
//! recorded now and then, under the number that the line has. Both a flood and a long run are bounded, and what is
//! left out is counted and said.

mod screen;
mod screening;

use std::sync::{Arc, Mutex, PoisonError};

use runcellar_format::journal::RowValue;

use crate::own::CONSOLE;
use crate::run::{OwnRow, OwnSeries, Redaction};
use screen::{Line, Progress, Recorder, Screen};
use screening::Screening;

/// Lines a second that are recorded in the long run: some twenty times what a person could read.
const LINES_PER_SECOND: i64 = 500;
/// Lines that may come at once, such as the source code that a program prints when it starts.
const LINES_AT_ONCE: i64 = 20_000;
/// Bytes a second that are recorded in the long run.
const BYTES_PER_SECOND: i64 = 256 << 10;
/// Bytes that may come at once.
const BYTES_AT_ONCE: i64 = 8 << 20;
/// Lines that one process records of a run.
const LINES_MAX: i64 = 1_000_000;
/// Bytes that one process records of a run.
const BYTES_MAX: i64 = 256 << 20;
/// Pause between records of what has changed without a line's end, such as a progress bar.
const REDRAWN_EVERY_US: i64 = 10_000_000;
/// Rows of one frame.
const FRAME_ROWS: usize = 256;
/// Text from which a frame ends.
const FRAME_BYTES: usize = 64 << 10;

/// Where a line of the console was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Standard output or standard error, which were one and the same file.
    Both,
    /// Nowhere: the store says what it left out.
    Note,
}

impl Stream {
    /// The character that stands before each line in the bytes.
    const MARKS: [(Stream, char); 4] =
        [(Stream::Out, '1'), (Stream::Err, '2'), (Stream::Both, '&'), (Stream::Note, '!')];

    pub(crate) fn of_mark(mark: char) -> Option<Stream> {
        Stream::MARKS.iter().find(|(_, known)| *known == mark).map(|(stream, _)| *stream)
    }

    fn mark(self) -> char {
        Stream::MARKS.iter().find(|(known, _)| *known == self).map_or('!', |(_, mark)| *mark)
    }

    /// Returns the stream as JSON and Python name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
            Stream::Both => "both",
            Stream::Note => "note",
        }
    }
}

/// The console of a run, in one process.
pub(super) struct Console {
    state: Mutex<State>,
}

struct State {
    screens: Vec<(Stream, Screen)>,
    ledger: Ledger,
    redrawn_us: Option<i64>,
}

impl Console {
    pub(super) fn new(redaction: Arc<Redaction>) -> Console {
        let ledger = Ledger::new(Screening::new(redaction));
        Console { state: Mutex::new(State { screens: Vec::new(), ledger, redrawn_us: None }) }
    }

    /// Takes in what was written to `stream`; nothing but the time that passed, if there are no bytes.
    pub(super) fn write(&self, own: &OwnSeries, stream: Stream, bytes: &[u8], now_us: i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { screens, ledger, redrawn_us } = &mut *state;
        ledger.refill(now_us);
        if !bytes.is_empty() {
            let place = screens.iter().position(|(known, _)| *known == stream).unwrap_or_else(|| {
                screens.push((stream, Screen::new()));
                screens.len() - 1
            });
            if let Some((_, screen)) = screens.get_mut(place) {
                // Bounded pieces, so that rows do not pile up.
                for piece in bytes.chunks(FRAME_BYTES) {
                    screen.write(piece, &mut Entries { stream, ledger });
                    ledger.flush(own);
                }
            }
        }
        let due = *redrawn_us.get_or_insert(now_us) + REDRAWN_EVERY_US;
        if now_us >= due {
            *redrawn_us = Some(now_us);
            record_changes(screens, ledger);
        }
        ledger.flush(own);
    }

    /// Records what has not ended.
    pub(super) fn finish(&self, own: &OwnSeries) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { screens, ledger, .. } = &mut *state;
        ledger.screening.is_last = true;
        record_changes(screens, ledger);
        ledger.note_left_out();
        ledger.flush(own);
        screens.clear();
    }
}

fn record_changes(screens: &mut [(Stream, Screen)], ledger: &mut Ledger) {
    for (stream, screen) in screens {
        screen.record_changes(&mut Entries { stream: *stream, ledger });
    }
}

/// The lines to be recorded, and what may be.
struct Ledger {
    next: i64,
    rows: Vec<(i64, String)>,
    /// What may be recorded at this moment.
    lines: i64,
    bytes: i64,
    /// What may be recorded at all.
    lines_left: i64,
    bytes_left: i64,
    left_out: u64,
    full: bool,
    refilled_us: Option<i64>,
    screening: Screening,
}

impl Ledger {
    fn new(screening: Screening) -> Self {
        Ledger {
            next: 0,
            rows: Vec::new(),
            lines: LINES_AT_ONCE,
            bytes: BYTES_AT_ONCE,
            lines_left: LINES_MAX,
            bytes_left: BYTES_MAX,
            left_out: 0,
            full: false,
            refilled_us: None,
            screening,
        }
    }
}

struct Entries<'a> {
    stream: Stream,
    ledger: &'a mut Ledger,
}

impl Recorder for Entries<'_> {
    fn record(&mut self, line: &mut Line, progress: Progress) {
        let ledger = &mut *self.ledger;
        if ledger.full {
            return;
        }
        if ledger.lines <= 0 || ledger.bytes <= 0 {
            ledger.left_out += u64::from(line.number.is_none());
            return;
        }
        ledger.note_left_out();
        let number = *line.number.get_or_insert_with(|| ledger.next_number());
        let text = line.text(|text, cut| ledger.screening.screened(self.stream, text, number, progress, cut));
        ledger.push(number, self.stream, &text);
        if ledger.lines_left <= 0 || ledger.bytes_left <= 0 {
            ledger.full = true;
            let number = ledger.next_number();
            ledger.push(number, Stream::Note, "[the console is as long as it may get; what follows is not recorded]");
        }
    }
}

impl Ledger {
    fn refill(&mut self, now_us: i64) {
        // Whole tenths of a second, so that frequent calls lose nothing to rounding.
        let tenths = (now_us - *self.refilled_us.get_or_insert(now_us)) / 100_000;
        if tenths > 0 {
            self.refilled_us = self.refilled_us.map(|then| then + tenths * 100_000);
            let more = |now: i64, rate: i64, most: i64| now.saturating_add(tenths.saturating_mul(rate) / 10).min(most);
            self.lines = more(self.lines, LINES_PER_SECOND, LINES_AT_ONCE);
            self.bytes = more(self.bytes, BYTES_PER_SECOND, BYTES_AT_ONCE);
        }
    }

    fn next_number(&mut self) -> i64 {
        self.next += 1;
        self.next - 1
    }

    fn note_left_out(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let number = self.next_number();
            self.push(number, Stream::Note, &format!("[{left_out} lines came too fast and are not recorded]"));
        }
    }

    fn push(&mut self, number: i64, stream: Stream, text: &str) {
        let bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
        (self.lines, self.lines_left) = (self.lines - 1, self.lines_left - 1);
        (self.bytes, self.bytes_left) = (self.bytes - bytes, self.bytes_left - bytes);
        self.rows.push((number, format!("{}{text}", stream.mark())));
    }

    /// Writes the rows down.
    fn flush(&mut self, own: &OwnSeries) {
        self.screening.tell(own);
        let mut rows = self.rows.as_slice();
        while !rows.is_empty() {
            let mut bytes = 0;
            let fits = |(_, text): &&(i64, String)| {
                bytes += text.len();
                bytes <= FRAME_BYTES
            };
            let count = rows.iter().take(FRAME_ROWS).take_while(fits).count().max(1);
            let (frame, rest) = rows.split_at(count);
            let frame =
                frame.iter().map(|(step, text)| OwnRow { step: *step, values: vec![(CONSOLE, RowValue::Text(text))] });
            own.record(&frame.collect::<Vec<_>>());
            rows = rest;
        }
        self.rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(screen: &mut Screen, ledger: &mut Ledger, count: usize) {
        for _ in 0..count {
            screen.write(b"a line\n", &mut Entries { stream: Stream::Out, ledger });
        }
    }

    fn last(ledger: &Ledger) -> &str {
        &ledger.rows.last().expect("a row").1
    }

    #[test]
    fn a_flood_is_bounded_and_what_is_left_out_is_said() {
        let (mut screen, mut ledger) = (Screen::new(), Ledger::new(Screening::default()));
        ledger.refill(0);
        lines(&mut screen, &mut ledger, LINES_AT_ONCE as usize + 777);
        assert_eq!(ledger.rows.len() as i64, LINES_AT_ONCE);
        ledger.refill(1_000_000);
        lines(&mut screen, &mut ledger, 1);
        let [.., note, line] = &ledger.rows[..] else { panic!("two rows") };
        assert_eq!((note.1.as_str(), line.1.as_str()), ("![777 lines came too fast and are not recorded]", "1a line"));
        assert!(ledger.rows.iter().map(|(number, _)| *number).eq(0..LINES_AT_ONCE + 2), "numbers have no gap");
        ledger.refill(i64::MAX / 2);
        assert_eq!(ledger.lines, LINES_AT_ONCE);
    }

    #[test]
    fn a_console_without_end_stops_and_says_so() {
        let (mut screen, mut ledger) = (Screen::new(), Ledger::new(Screening::default()));
        let mut now_us = 0;
        while !ledger.full {
            now_us += 100_000_000;
            ledger.refill(now_us);
            lines(&mut screen, &mut ledger, 10_000);
        }
        assert!(last(&ledger).starts_with("![the console is as long as it may get"));
        assert_eq!(ledger.next, LINES_MAX + 1);
        let before = ledger.rows.len();
        lines(&mut screen, &mut ledger, 10);
        assert_eq!(ledger.rows.len(), before);
    }

    #[test]
    fn every_stream_has_a_mark_of_its_own() {
        for (stream, mark) in Stream::MARKS {
            assert_eq!((Stream::of_mark(mark), stream.mark()), (Some(stream), mark));
        }
        assert_eq!(Stream::of_mark('x'), None);
    }
}
