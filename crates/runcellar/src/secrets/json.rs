//! Secrets in JSON documents, text by text: whatever is no secret stays as it was written, to the last digit.
//!
//! A text is judged by its look, and by its name: the key that it stands under, the column of a table, or the first of a pair
//! in a `map` of a table's cell (docs/FORMAT.md, "Media").

use std::borrow::Cow;

use runcellar_format::value::NESTING_MAX;
use serde::de::IgnoredAny;

use super::name::{self, Suspicion};
use super::{Finding, Language, Scanner};

/// Where a text stands, and what that says of it.
struct Frame {
    is_map: bool,
    /// The text that comes next is a key.
    wants_key: bool,
    /// Members or items that came before.
    index: usize,
    /// The name that stands over what is within.
    name: String,
    suspicion: Option<Suspicion>,
}

/// What a document says of the names in it, as it is read.
#[derive(Default)]
struct Walk {
    frames: Vec<Frame>,
    /// Levels deeper than frames are kept: nothing is named there.
    deeper: usize,
    columns: Vec<String>,
}

impl Scanner {
    /// Redacts the texts of a JSON document; `place` names it as a whole. What is no JSON is redacted line by line.
    pub fn json<'a>(&self, text: &'a str, place: &str) -> (Cow<'a, str>, Vec<Finding>) {
        let mut findings = Vec::new();
        if !self.is_on() {
            return (Cow::Borrowed(text), findings);
        }
        if serde_json::from_str::<IgnoredAny>(text).is_err() {
            return self.text(text, Language::Text, |line| format!("{place} line {line}"));
        }
        let (mut walk, mut out, mut copied, mut at) = (Walk::default(), String::new(), 0, 0);
        while let Some(byte) = text.as_bytes().get(at) {
            let begin = at;
            at += 1;
            match byte {
                b'{' | b'[' => walk.enter(*byte == b'{'),
                b'}' | b']' => walk.leave(),
                b',' => walk.next(),
                b'"' => {
                    at = end_of_literal(text, begin);
                    let literal = &text[begin..at];
                    let decoded = decoded(literal);
                    if walk.takes_for_key(&decoded) {
                        continue;
                    }
                    let (name, row, suspicion) = walk.place();
                    let place = || {
                        let dot = if name.is_empty() { "" } else { "." };
                        let row = row.map(|row| format!(" row {row}")).unwrap_or_default();
                        format!("{place}{dot}{name}{row}")
                    };
                    if let Cow::Owned(redacted) = self.named(&place, suspicion, &decoded, &mut findings) {
                        out.push_str(&text[copied..begin]);
                        out.push_str(&serde_json::Value::String(redacted).to_string());
                        copied = at;
                    }
                    walk.learn(&decoded);
                }
                _ => {}
            }
        }
        if copied == 0 {
            return (Cow::Borrowed(text), findings);
        }
        out.push_str(&text[copied..]);
        (Cow::Owned(out), findings)
    }
}

/// Returns what a text in quotes says; of one that stands for no Unicode (a lone surrogate), what is written.
fn decoded(literal: &str) -> Cow<'_, str> {
    let inner = literal.get(1..literal.len() - 1).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(literal).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// Returns where a text that begins with quotes ends, behind its quotes; the end of all if it does not.
fn end_of_literal(text: &str, begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

impl Walk {
    fn enter(&mut self, is_map: bool) {
        if self.frames.len() >= NESTING_MAX {
            self.deeper += 1;
            return;
        }
        let (name, _, suspicion) = self.place();
        // What stands in lists bears the name of the list, and what a map holds the names of its keys.
        let (name, suspicion) = (name.to_owned(), suspicion.filter(|_| !is_map));
        self.frames.push(Frame { is_map, wants_key: is_map, index: 0, name, suspicion });
    }

    fn leave(&mut self) {
        match self.deeper {
            0 => drop(self.frames.pop()),
            _ => self.deeper -= 1,
        }
    }

    fn next(&mut self) {
        if let Some(frame) = self.frames.last_mut().filter(|_| self.deeper == 0) {
            frame.wants_key = frame.is_map;
            frame.index += 1;
        }
    }

    /// Takes a text for the key of what follows, if that is what it is.
    fn takes_for_key(&mut self, text: &str) -> bool {
        let Some(frame) = self.frames.last_mut().filter(|frame| self.deeper == 0 && frame.wants_key) else {
            return false;
        };
        frame.wants_key = false;
        text.clone_into(&mut frame.name);
        frame.suspicion = name::judge(text);
        true
    }

    /// Takes in a text that names others: a column, or the first of a pair.
    fn learn(&mut self, text: &str) {
        let is_pair = matches!(&self.frames[..], [.., list, _] if list.name == "map");
        match &mut self.frames[..] {
            _ if self.deeper > 0 => {}
            [top, _] if top.name == "columns" => self.columns.push(text.to_owned()),
            [.., pair] if is_pair && !pair.is_map && pair.index == 0 => {
                pair.name = text.to_owned();
                pair.suspicion = name::judge(text);
            }
            _ => {}
        }
    }

    /// Returns the name of what comes next, its row in a table from 1, and what its name says of it.
    fn place(&self) -> (&str, Option<usize>, Option<Suspicion>) {
        let Some(last) = self.frames.last().filter(|_| self.deeper == 0) else { return ("", None, None) };
        let [top, rows, rest @ ..] = &self.frames[..] else { return (&last.name, None, last.suspicion) };
        if top.name != "rows" || rows.is_map {
            return (&last.name, None, last.suspicion);
        }
        let row = Some(rows.index + 1);
        match rest {
            [cells] if !cells.is_map => match self.columns.get(cells.index) {
                Some(column) => (column, row, name::judge(column)),
                None => ("", row, None),
            },
            _ => (&last.name, row, last.suspicion),
        }
    }
}
