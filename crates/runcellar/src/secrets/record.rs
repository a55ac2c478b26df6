//! Secrets in the record of a run: whatever text stands in it.

use std::borrow::Cow;

use runcellar_format::record::{ARGUMENTS_FIELD, Arguments, RunRecord, Tokens, extra_body, set_extra_body};
use runcellar_format::value::Value;

use super::{Finding, Language, Scanner, name};
use crate::{Error, Result};

impl Scanner {
    /// Redacts the texts of a run's record: what was set for it, what is said of it, and where it comes from. Its id stays.
    pub(crate) fn record(&self, record: &mut RunRecord) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
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

    /// Returns what is found in a text that was logged under a name.
    pub(crate) fn logged(&self, name: &str, text: &str) -> Vec<Finding> {
        let mut found = Vec::new();
        self.named(&|| name.to_owned(), name::judge(name), text, &mut found);
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
