//! Reading where the code of a run comes from.

use std::collections::BTreeMap;

use runcellar_format::WriterId;
use runcellar_format::value::Value;

use super::runs::RunInfo;
use super::scan::Scan;
use super::series::cells;
use super::tail::with_run;
use super::window::Window;
use crate::own::{SOURCE_BRANCH, SOURCE_COMMIT, SOURCE_DIRTY, SOURCE_PACKAGES, SOURCE_REMOTE};
use crate::{ErrorKind, Result, Workspace};

/// Where the code of a run comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Commit of the git work tree; empty if none.
    pub commit: String,
    /// Branch; empty if detached or none.
    pub branch: String,
    /// Address of the remote, without credentials; empty if none.
    pub remote: String,
    /// Whether tracked files differed from the commit; none if that is not known.
    pub dirty: Option<bool>,
    /// Packages by name and version.
    pub packages: Vec<(String, String)>,
}

impl Workspace {
    /// Reads where the code of a run comes from: as of its last session, if it was resumed. Of a run whose rows are not here it is
    /// what its record says, without packages: nothing is fetched for that.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn source(&self, run: &RunInfo) -> Result<Source> {
        // By writer: when it recorded, and what.
        let mut sessions: BTreeMap<WriterId, (i64, Source)> = BTreeMap::new();
        let cache = self.inner.read_cache()?;
        let read = with_run(&self.inner, run, |tx, keyring, view| {
            let number = |name| view.data.series.number(name);
            let of_source = [SOURCE_COMMIT, SOURCE_BRANCH, SOURCE_REMOTE, SOURCE_DIRTY, SOURCE_PACKAGES].map(number);
            if of_source.iter().all(Option::is_none) {
                return Ok(());
            }
            let [commit, branch, remote, ..] = of_source;
            let scan = Scan::new(tx, keyring, view, Window::default(), cache)?;
            scan.read(
                |series| of_source.contains(&Some(series)),
                |found| {
                    for column in &found.columns {
                        for (row, value) in cells(column) {
                            let Some(time) = found.times.get(row) else { break };
                            let (last, source) = sessions.entry(found.writer).or_default();
                            *last = (*last).max(*time);
                            let series = Some(column.series);
                            match value {
                                Value::Bool(dirty) => source.dirty = Some(dirty),
                                Value::Text(text) if series == commit => source.commit = text,
                                Value::Text(text) if series == branch => source.branch = text,
                                Value::Text(text) if series == remote => source.remote = text,
                                Value::Text(text) => source.packages.extend(package(&text)),
                                _ => {}
                            }
                        }
                    }
                },
            )
        });
        match read {
            Err(error) if error.kind() == ErrorKind::Evicted => {}
            read => read?,
        }
        let last = sessions.into_values().max_by_key(|(time, _)| *time).map(|(_, source)| source);
        let of_start =
            || Source { commit: run.git_commit.clone(), branch: run.git_branch.clone(), ..Source::default() };
        Ok(last.unwrap_or_else(of_start))
    }
}

fn package(text: &str) -> Option<(String, String)> {
    text.split_once("==").map(|(name, version)| (name.to_owned(), version.to_owned()))
}
