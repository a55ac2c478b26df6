//! Values that lost: two copies of the workspace set one field apart, and the later setting stands.

use runcellar_format::record::{FieldId, Lost};

use super::tail::with_run;
use crate::ingest::fold;
use crate::{Error, Json, Result, RunInfo, Workspace};

/// A value that another copy of the workspace set, and that a later one took the place of in ignorance of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The field, as queries name it: `name`, `notes`, `group`, `job_type`, or `config.` and a key.
    pub field: String,
    /// What was set.
    pub value: Json,
    /// When, microseconds UTC since 1970 by the clock of that device.
    pub time: i64,
}

impl Workspace {
    /// Lists what was set of a run on another device at the same time as what stands now, and lost to it, oldest first. It
    /// is forgotten once the field is set anew by somebody who has both.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn conflicts(&self, run: &RunInfo) -> Result<Vec<Conflict>> {
        with_run(&self.inner, run, |_, _, view| {
            let lost = fold::edits(&view.data.record)?.lost;
            lost.iter().map(conflict).collect()
        })
    }
}

fn conflict(lost: &Lost) -> Result<Conflict> {
    let field = match lost.field {
        FieldId::Name => "name".to_owned(),
        FieldId::Notes => "notes".to_owned(),
        FieldId::Group => "group".to_owned(),
        FieldId::JobType => "job_type".to_owned(),
        // No other is kept.
        _ => format!("config.{}", lost.key),
    };
    let value = lost.value.json().map_err(|cause| Error::format(format_args!("field {field}"), cause))?;
    Ok(Conflict { field, value, time: ((lost.clock >> 16) * 1000).cast_signed() })
}
