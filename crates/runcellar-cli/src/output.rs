//! The two ends of the terminal: data on stdout, everything else on stderr.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use rustix::termios::tcgetwinsize;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::failure::Failure;
use crate::render::{is_unprintable, visible};

/// What stdout can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Display {
    /// Stdout is a terminal.
    pub(crate) terminal: bool,
    /// Escapes for colour may be used.
    pub(crate) color: bool,
    /// Columns; none if stdout is no terminal and nobody said.
    pub(crate) width: Option<usize>,
    /// Lines, if stdout is a terminal.
    pub(crate) height: Option<usize>,
    /// Only ASCII may be used.
    pub(crate) ascii: bool,
}

impl Display {
    /// Looks at stdout, `COLUMNS`, `NO_COLOR`, `TERM` and the locale.
    pub(crate) fn detect() -> Display {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let size = tcgetwinsize(io::stdout()).ok().filter(|_| terminal);
        let columns = var("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
        let seen = |cells: u16| Some(usize::from(cells)).filter(|cells| *cells > 0);
        let dumb = var("TERM").is_some_and(|term| term == "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(var).map(|locale| locale.to_lowercase());
        Display {
            terminal,
            color: terminal && !dumb && var("NO_COLOR").is_none(),
            width: columns.or_else(|| seen(size?.ws_col)),
            height: size.and_then(|size| seen(size.ws_row)),
            // Containers mostly name no locale at all, and their terminals show UTF-8.
            ascii: locale.is_some_and(|locale| !locale.contains("utf-8") && !locale.contains("utf8")),
        }
    }
}

/// Returns stdout, buffered; the caller flushes it.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Writes text to stdout as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a value to stdout as one JSON document: indented for people, on one line for programs.
pub(crate) fn print_json(value: &impl Serialize, display: Display) -> Result<(), Failure> {
    let mut out = stdout();
    if display.terminal {
        let formatter = Escaped(PrettyFormatter::new());
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    } else {
        write_json(&mut out, value)?;
    }
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Writes a value as JSON on one line, without a newline.
pub(crate) fn write_json(out: &mut impl io::Write, value: &impl Serialize) -> Result<(), Failure> {
    Ok(value.serialize(&mut serde_json::Serializer::with_formatter(out, Escaped(CompactFormatter)))?)
}

/// Escapes every character that acts on a terminal; JSON itself asks that only of the first 32.
struct Escaped<F>(F);

impl<F: Formatter> Formatter for Escaped<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, letter) in fragment.char_indices().filter(|(_, letter)| is_unprintable(*letter)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + letter.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// Writes one line to stderr under our name, with nothing in it that drives a terminal.
pub(crate) fn say(text: &str) {
    to_stderr(&format!("runcellar: {}\n", visible(text)));
}

/// Writes to stderr as it is. If nobody listens there, nobody can be told so.
pub(crate) fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Returns whether stderr is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Returns whether a person sits at stdin and stdout.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_cannot_drive_a_terminal_and_reads_back() {
        let text = "a\u{1b}[2J\u{9b}31m\u{202e}\"\n\u{1f600}\u{e9}";
        let mut out = Vec::new();
        write_json(&mut out, &text).expect("memory takes everything");
        let json = String::from_utf8(out).expect("UTF-8");
        assert_eq!(json, "\"a\\u001b[2J\\u009b31m\\u202e\\\"\\n\u{1f600}\u{e9}\"");
        assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(text));
    }

    #[test]
    fn floats_stay_exact_and_integral_ones_stay_floats() {
        let floats: [f64; 7] = [1.0, -0.0, 0.1 + 0.2, 1e16, 1e300, 5e-324, 123_456_789_012_345_680.0];
        let mut out = Vec::new();
        write_json(&mut out, &floats).expect("memory takes everything");
        let json = String::from_utf8(out).expect("UTF-8");
        let back: Vec<f64> = serde_json::from_str(&json).expect("numbers");
        assert!(floats.iter().zip(&back).all(|(left, right)| left.to_bits() == right.to_bits()), "{json}");
        let numbers = json.trim_matches(['[', ']']).split(',');
        assert!(numbers.clone().all(|number| number.contains(['.', 'e'])), "{json}");
    }
}
