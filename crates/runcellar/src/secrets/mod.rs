//! Secrets in what a run records of its surroundings: found and taken out before a byte is written.
//!
//! Text comes in, and goes out with each secret replaced by `[redacted RULE ID]`, beside findings that say where each stood
//! and never what it was. An id is a keyed hash, equal for equal secrets in one workspace, so that a person can allow
//! what is none; without the workspace's key it confirms no guess. Pure functions: nothing here reads or writes.
//!
//! What is looked for: [`rules`]. How well that works is measured in `tests/`, and stands in docs/PRIVACY.md.

mod assign;
mod config;
mod json;
mod lines;
mod name;
mod record;
mod rule;
mod scan;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::collections::HashSet;

use runcellar_format::Secret;
use runcellar_format::record::{ARGUMENTS_FIELD, Arguments, Redacted, Settings, extra_body};
use runcellar_format::seal::finding_id;

pub use lines::Lines;
pub use rule::{Rule, rules};
pub use scan::Language;
use scan::Span;

use crate::ingest::fold;
use crate::keys::Purpose;
use crate::query::tail::with_run;
use crate::workspace::settings;
use crate::{Error, Json, Result, RunInfo, Workspace};

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

impl Finding {
    pub(crate) fn of(record: &Redacted) -> Finding {
        let Redacted { id, rule, place, length } = record.clone();
        Finding { id, rule, place, length }
    }

    pub(crate) fn to_record(&self) -> Redacted {
        let Finding { id, rule, place, length } = self.clone();
        Redacted { id, rule, place, length }
    }
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

    /// Redacts the notes of a run.
    pub fn notes<'a>(&self, notes: &'a str) -> (Cow<'a, str>, Vec<Finding>) {
        self.text(notes, Language::Text, |line| format!("notes line {line}"))
    }

    /// Redacts a file line by line; `place` names it. A line that is no UTF-8 is looked at with replacements, and changed only
    /// if it must be.
    pub fn bytes(&self, bytes: Vec<u8>, language: Language, place: &str, findings: &mut Vec<Finding>) -> Vec<u8> {
        if !self.is_on() {
            return bytes;
        }
        let mut lines = Lines::new(language);
        let mut out: Option<Vec<u8>> = None;
        let mut at = 0;
        for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            let text = String::from_utf8_lossy(line);
            let (clean, found) = lines.line(self, &text, || format!("{place} line {number}"));
            if found.is_empty() {
                if let Some(out) = &mut out {
                    out.extend_from_slice(line);
                }
            } else {
                let out = out.get_or_insert_with(|| bytes.get(..at).unwrap_or_default().to_vec());
                out.extend_from_slice(clean.as_bytes());
                findings.extend(found);
            }
            at += line.len();
        }
        out.unwrap_or(bytes)
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
        if redact == Some(false) {
            return Ok(Scanner::off());
        }
        self.inner.read(|tx, keyring| {
            let settings = settings::load(tx, keyring)?;
            if redact.is_none() && settings::value(&settings, "redact")? != Json::Bool(true) {
                return Ok(Scanner::off());
            }
            let allowed = allowed(&settings::value(&settings, "secrets.allow")?);
            Ok(Scanner::new(tx.workspace_key(keyring, Purpose::Lookup)?.secret().duplicate(), allowed))
        })
    }

    /// Lists the secrets that were found in what a run recorded of its surroundings, and are not in the record.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn findings(&self, run: &RunInfo) -> Result<Vec<Finding>> {
        with_run(&self.inner, run, |_, _, view| {
            Ok(fold::findings(&view.data.record)?.all.iter().map(Finding::of).collect())
        })
    }

    /// Returns the arguments of the program that started a run; none if they were not recorded.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn arguments(&self, run: &RunInfo) -> Result<Vec<String>> {
        with_run(&self.inner, run, |_, _, view| {
            let arguments: Option<Arguments> = extra_body(&view.data.record.start.extra, ARGUMENTS_FIELD)
                .map_err(|cause| Error::format(format_args!("arguments of run {}", run.id), cause))?;
            Ok(arguments.unwrap_or_default().all)
        })
    }

    /// Keeps what a finding names from now on, as it is no secret.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for what is no id, or if the workspace cannot be written.
    pub fn allow_findings(&self, ids: &[impl AsRef<str>]) -> Result<()> {
        let mut all = allowed(&self.setting("secrets.allow")?);
        for id in ids {
            if !settings::is_finding_id(id.as_ref()) {
                let message = format!("finding {:?}: 12 hexadecimal digits are expected", id.as_ref());
                return Err(Error::invalid(message));
            }
            if !all.iter().any(|known| known == id.as_ref()) {
                all.push(id.as_ref().to_owned());
            }
        }
        self.set_setting("secrets.allow", Some(&all.join(",")))
    }
}

/// Returns the findings that are no secrets.
pub(crate) fn allowed_by(settings: &Settings) -> Result<HashSet<String>> {
    Ok(allowed(&settings::value(settings, "secrets.allow")?).into_iter().collect())
}

/// Returns the ids that the setting `secrets.allow` lists.
fn allowed(setting: &Json) -> Vec<String> {
    match setting {
        Json::Text(ids) => ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
