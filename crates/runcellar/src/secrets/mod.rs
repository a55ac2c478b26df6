//! Secrets in what a run records of its surroundings: found and taken out before a byte is written.
//!
//! Text comes in, and goes out with each secret replaced by `[redacted RULE ID]`, beside findings that say where each stood
//! and never what it was. An id is a keyed hash, equal for equal secrets in one workspace, so that a person can allow
//! what is none; without the workspace's key it confirms no guess. Pure functions: nothing here reads or writes.
//!
//! What is looked for: [`rules`]. How well that works is measured in `tests/`, and stands in docs/PRIVACY.md.

mod assign;
mod config;
mod lines;
mod name;
mod rule;
mod scan;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::collections::HashSet;

use runcellar_format::Secret;
use runcellar_format::seal::finding_id;

pub use lines::Lines;
pub use rule::{Rule, rules};
pub use scan::Language;
use scan::Span;

use crate::keys::Purpose;
use crate::{Error, Json, Result, Workspace};

/// A secret that was found and taken out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// 12 hexadecimal digits, equal for equal secrets in one workspace.
    pub id: String,
    /// Name of the rule that it falls under.
    pub rule: String,
    /// Where it stood: `config.db.password`, `argv 3`, `console line 17`.
    pub place: String,
    /// How long it was, in characters.
    pub length: u64,
}

/// Looks for secrets, as a workspace is set to.
pub struct Scanner {
    /// None if nothing is looked for.
    key: Option<Secret>,
    allowed: HashSet<String>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}

impl Scanner {
    /// Makes one that finds all but what is allowed, by id.
    pub(crate) fn new(key: Secret, allowed: impl IntoIterator<Item = String>) -> Scanner {
        Scanner { key: Some(key), allowed: allowed.into_iter().collect() }
    }

    /// Makes one that finds nothing.
    pub(crate) fn off() -> Scanner {
        Scanner { key: None, allowed: HashSet::new() }
    }

    /// Returns true if it looks for secrets.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.key.is_some()
    }

    /// Redacts a text of any number of lines; `place` names each line that has a finding, by its number from 1.
    pub fn text<'a>(
        &self,
        text: &'a str,
        language: Language,
        place: impl Fn(u64) -> String,
    ) -> (Cow<'a, str>, Vec<Finding>) {
        let mut lines = Lines::new(language);
        let mut findings = Vec::new();
        let mut changed = String::new();
        let mut copied = 0;
        let mut at = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let (redacted, found) = lines.line(self, line, || place(number));
            if let Cow::Owned(redacted) = redacted {
                changed.push_str(&text[copied..at]);
                changed.push_str(&redacted);
                copied = at + line.len();
                findings.extend(found);
            }
            at += line.len();
        }
        if copied == 0 {
            return (Cow::Borrowed(text), findings);
        }
        changed.push_str(&text[copied..]);
        (Cow::Owned(changed), findings)
    }

    /// Replaces stretches of a text, but for those that are allowed.
    fn redacted<'a>(&self, text: &'a str, spans: &[Span], place: impl Fn() -> String) -> (Cow<'a, str>, Vec<Finding>) {
        let Some(key) = self.key.as_ref().filter(|_| !spans.is_empty()) else {
            return (Cow::Borrowed(text), Vec::new());
        };
        let mut findings = Vec::new();
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for span in spans {
            let secret = &text[span.begin..span.end];
            let id = finding_id(key, span.rule.name, secret);
            if self.allowed.contains(&id) {
                continue;
            }
            out.push_str(&text[copied..span.begin]);
            out.push_str(&format!("[redacted {} {id}]", span.rule.name));
            copied = span.end;
            let length = secret.chars().count() as u64;
            findings.push(Finding { id, rule: span.rule.name.to_owned(), place: place(), length });
        }
        if findings.is_empty() {
            return (Cow::Borrowed(text), findings);
        }
        out.push_str(&text[copied..]);
        (Cow::Owned(out), findings)
    }
}

impl Workspace {
    /// Returns what looks for secrets as this workspace is set to, or as the caller says.
    ///
    /// # Errors
    /// If the settings cannot be read.
    pub fn scanner(&self, redact: Option<bool>) -> Result<Scanner> {
        if !redact.map_or_else(|| Ok(self.setting("redact")? == Json::Bool(true)), Ok::<_, Error>)? {
            return Ok(Scanner::off());
        }
        let allowed = match self.setting("secrets.allow")? {
            Json::Text(ids) => ids.split(',').map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let key = self.inner.read(|tx, keyring| tx.workspace_key(keyring, Purpose::Lookup))?;
        Ok(Scanner::new(key.secret().duplicate(), allowed))
    }
}
