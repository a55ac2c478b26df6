//! What of a run's surroundings was redacted: told once each, listed in the run's record, and counted.

use std::sync::{Mutex, PoisonError};

use runcellar_format::record::FINDINGS_MAX;

use crate::os::Forkable;
use crate::secrets::{Finding, Scanner};

/// Places that a message names; the others are counted.
const NAMED_MAX: usize = 3;

/// The scanner of a run in one process, and what it found.
pub(crate) struct Redaction {
    scanner: Scanner,
    found: Forkable<Mutex<Vec<Finding>>>,
}

impl Redaction {
    pub(crate) fn new(scanner: Scanner) -> Redaction {
        Redaction { scanner, found: Forkable::new(Mutex::default()) }
    }

    pub(crate) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Takes findings in, and returns those that are new: a secret that is printed again and again is one.
    pub(crate) fn take(&self, findings: Vec<Finding>) -> Vec<Finding> {
        if findings.is_empty() {
            return findings;
        }
        let made = self.found.get(|_| Ok::<_, std::convert::Infallible>(Mutex::default()));
        let Ok(found) = made;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        for finding in findings {
            let is_same = |known: &Finding| known.id == finding.id && stream(&known.place) == stream(&finding.place);
            if found.len() < FINDINGS_MAX && !found.iter().any(is_same) {
                found.push(finding.clone());
                new.push(finding);
            }
        }
        new
    }

    /// Returns what was found in this process.
    pub(crate) fn all(&self) -> Vec<Finding> {
        let found = self.found.own();
        found.map_or_else(Vec::new, |found| found.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Returns a place without the number of its line or row: the console, a file, a table.
fn stream(place: &str) -> &str {
    let numbered = [" line ", " row "].into_iter().filter_map(|word| place.rsplit_once(word));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    numbered.filter(|(_, number)| is_number(number)).map(|(stream, _)| stream).next().unwrap_or(place)
}

/// Says how many secrets were redacted, and where; `None` if there were none.
pub(crate) fn told(findings: &[Finding], run: &str) -> Option<String> {
    let named: Vec<&str> = findings.iter().take(NAMED_MAX).map(|finding| finding.place.as_str()).collect();
    let more = match findings.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = match findings.len() {
        0 => return None,
        1 => "1 secret".to_owned(),
        count => format!("{count} secrets"),
    };
    Some(format!("{what} redacted ({}{more}); runcellar secrets {run} lists them", named.join(", ")))
}
