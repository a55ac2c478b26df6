//! Secrets in the record of a run: whatever text stands in it.

use std::borrow::Cow;

use runcellar_format::record::{ARGUMENTS_FIELD, Arguments, FieldId, RunRecord, Tokens, extra_body, set_extra_body};
use runcellar_format::value::{Json, Value};

use super::{Finding, Language, Lines, Scanner, name};
use crate::ingest::fold;
use crate::own::CONSOLE;
use crate::{Error, Result};

impl Scanner {
    /// Redacts the texts of a run's record: what was set for it, what is said of it, and where it comes from. Its id stays.
    pub(crate) fn record(&self, record: &mut RunRecord) -> Result<Vec<Finding>> {
        let mut found = self.lost(record)?;
        let named = |cause| Error::format(format_args!("run {}", record.id), cause);
        self.in_place("id", &mut record.id.clone(), &mut found);
        self.in_place("name", &mut record.name.value, &mut found);
        self.in_place("notes", &mut record.notes.value, &mut found);
        self.in_place("group", &mut record.group.value, &mut found);
        self.in_place("job_type", &mut record.job_type.value, &mut found);
        for tag in &mut record.tags {
            self.in_place("tag", &mut tag.name, &mut found);
        }
        for (key, stamped) in &mut record.config {
            let (clean, more) = self.config_key(key, stamped.value.json().map_err(named)?);
            if !more.is_empty() {
                stamped.value = Tokens::new(&clean).map_err(named)?;
                found.extend(more);
            }
        }
        for (key, stamped) in &mut record.summary {
            if let Value::Text(text) = &mut stamped.value {
                let place = || format!("summary.{key}");
                if let Cow::Owned(clean) = self.named(&place, name::judge(key), text, &mut found) {
                    *text = clean;
                }
            }
        }
        let start = &mut record.start;
        self.in_place("program", &mut start.program, &mut found);
        self.in_place("notes", &mut start.notes, &mut found);
        self.in_place("name", &mut start.name, &mut found);
        self.in_place("git branch", &mut start.git_branch, &mut found);
        let arguments: Option<Arguments> = extra_body(&start.extra, ARGUMENTS_FIELD).map_err(named)?;
        if let Some(Arguments { all }) = arguments {
            let (all, more) = self.arguments(&all);
            if !more.is_empty() {
                set_extra_body(&mut start.extra, ARGUMENTS_FIELD, &Arguments { all }).map_err(named)?;
                found.extend(more);
            }
        }
        Ok(found)
    }

    /// Redacts what was set elsewhere and lost to what stands.
    fn lost(&self, record: &mut RunRecord) -> Result<Vec<Finding>> {
        let named = |cause| Error::format("edits", cause);
        let (mut edits, mut found) = (fold::edits(record)?, Vec::new());
        for lost in &mut edits.lost {
            let (clean, more) = match (lost.field, lost.value.json().map_err(named)?) {
                (FieldId::Config, value) => self.config_key(&lost.key, value),
                (_, Json::Text(mut text)) => {
                    let mut more = Vec::new();
                    self.in_place("conflict", &mut text, &mut more);
                    (Json::Text(text), more)
                }
                (_, value) => (value, Vec::new()),
            };
            if !more.is_empty() {
                lost.value = Tokens::new(&clean).map_err(named)?;
                found.extend(more);
            }
        }
        if !found.is_empty() {
            edits.note(record).map_err(named)?;
        }
        Ok(found)
    }

    /// Redacts texts of one series, in order: those of the console are lines of one text.
    pub(crate) fn logged_in_place(&self, series: &str, texts: &mut [String]) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut console = Lines::new(Language::Text);
        let public = series.trim_start_matches('\0');
        for text in texts {
            let clean = match series {
                CONSOLE => {
                    let lines = text.split_inclusive('\n').map(|line| {
                        let (clean, more) = console.line(self, line, || public.to_owned());
                        found.extend(more);
                        clean.into_owned()
                    });
                    lines.collect::<String>()
                }
                _ => self.named(&|| public.to_owned(), name::judge(public), text, &mut found).into_owned(),
            };
            *text = clean;
        }
        found
    }

    fn in_place(&self, place: &str, text: &mut String, found: &mut Vec<Finding>) {
        let (clean, more) = self.text(text, Language::Text, |_| place.to_owned());
        if let Cow::Owned(clean) = clean {
            *text = clean;
        }
        found.extend(more);
    }
}
