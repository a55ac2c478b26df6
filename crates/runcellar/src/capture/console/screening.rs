//! What each line of the console passes through before it is recorded: secrets are taken out of it.

use std::sync::Arc;

use super::Stream;
use super::screen::Progress;
use crate::run::{OwnSeries, Redaction};
use crate::secrets::{Finding, Language, Lines};

/// Takes secrets out of lines; by default, nothing.
#[derive(Default)]
pub(super) struct Screening {
    redaction: Option<Arc<Redaction>>,
    /// What is known of the lines so far, by stream.
    lines: Vec<(Stream, Lines)>,
    /// What is to be told.
    found: Vec<Finding>,
    /// What has not ended will not go on.
    pub(super) is_last: bool,
}

impl Screening {
    pub(super) fn new(redaction: Arc<Redaction>) -> Screening {
        Screening { redaction: Some(redaction), ..Screening::default() }
    }

    /// Returns a line without its secrets. `cut`: there was more of it than is kept.
    pub(super) fn screened(
        &mut self,
        stream: Stream,
        text: &str,
        number: i64,
        progress: Progress,
        cut: bool,
    ) -> String {
        let Some(redaction) = self.redaction.as_ref().filter(|redaction| redaction.scanner().is_on()) else {
            return text.to_owned();
        };
        let scanner = redaction.scanner();
        let at = self.lines.iter().position(|(known, _)| *known == stream).unwrap_or_else(|| {
            self.lines.push((stream, Lines::new(Language::Text)));
            self.lines.len() - 1
        });
        let Some((_, lines)) = self.lines.get_mut(at) else { return String::new() };
        let place = || format!("console line {}", number + 1);
        let (redacted, found) = match progress {
            Progress::Open if !self.is_last => return lines.open_line(scanner, text).into_owned(),
            // What is between this line and those that came last is not known: it says nothing of the next.
            Progress::DrawnOver | Progress::Open => lines.clone().line(scanner, text, place),
            Progress::Ended => lines.line(scanner, text, place),
        };
        self.found.extend(found);
        match cut {
            true => lines.open_line(scanner, &redacted).into_owned(),
            false => redacted.into_owned(),
        }
    }

    /// Tells what was found.
    pub(super) fn tell(&mut self, own: &OwnSeries) {
        if let Some(redaction) = self.redaction.as_ref().filter(|_| !self.found.is_empty()) {
            redaction.take(std::mem::take(&mut self.found)).iter().for_each(|finding| own.redacted(finding));
        }
    }
}
