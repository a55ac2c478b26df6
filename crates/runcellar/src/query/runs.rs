//! Runs as listings show them, which ones and in which order, and changing them from outside.

use runcellar_format::ObjectId;
use runcellar_format::record::{FieldChange, FieldId, RunState, SeriesEntry};

use super::bind::seconds;
use super::filter::{Field, Filter, split_list};
use super::scan::{Rows, Scan};
use super::tail::{View, Wanted, with_rows, with_run};
use super::window::Window;
use crate::catalogue::project_names;
use crate::ingest::data::RunData;
use crate::ingest::{fold, store};
use crate::lineage::recount::Recount;
use crate::own::is_own;
use crate::secrets::Finding;
use crate::workspace::Inner;
use crate::{Error, Json, Result, Value, Workspace};

/// A run as listings show it.
#[derive(Debug, Clone)]
pub struct RunInfo {
    pub(crate) object: ObjectId,
    pub(crate) project_object: ObjectId,
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The project's name.
    pub project: String,
    /// How it stands.
    pub state: RunState,
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
    /// When it ended, microseconds UTC since 1970; none while it runs.
    pub finished: Option<i64>,
    /// Tags, in order of adding.
    pub tags: Vec<String>,
    /// The group; empty if none.
    pub group: String,
    /// The job type; empty if none.
    pub job_type: String,
    /// Notes.
    pub notes: String,
    /// Config, a map.
    pub config: Json,
    /// Summary, flat, in order of first setting.
    pub summary: Vec<(String, Value)>,
    /// Exit code, if a writer gave one.
    pub exit_code: Option<i32>,
    /// Values that were logged and could not be kept.
    pub dropped: u64,
    /// Commit of the git work tree it was started in; empty if none.
    pub git_commit: String,
    /// Branch of that work tree; empty if detached or none.
    pub git_branch: String,
    /// The program.
    pub program: String,
    /// The language runtime.
    pub runtime: String,
    /// The host it was started on.
    pub host: String,
    /// When `rm` hid it, microseconds UTC since 1970; none if it shows.
    pub removed: Option<i64>,
}

/// One metric of a run, as `show` lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricInfo {
    /// The name.
    pub name: String,
    /// `float`, `int`, `bool`, `text`, `histogram`, `media`, or `mixed`.
    pub kind: &'static str,
    /// Points.
    pub points: u64,
    /// Lowest step.
    pub first_step: i64,
    /// Highest step.
    pub last_step: i64,
    /// Smallest finite value; none if there is none.
    pub min: Option<Value>,
    /// Largest finite value; none if there is none.
    pub max: Option<Value>,
    /// Value at the highest step.
    pub last: Value,
    /// The metric that stands for its steps, if `define_metric` named one.
    pub step_metric: Option<String>,
}

/// Which runs, and in which order.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only those of this project.
    pub project: Option<String>,
    /// Only those that match.
    pub filter: Option<Filter>,
    /// Sort keys, the first strongest, each with whether it descends. Empty: the latest first.
    pub order: Vec<(Field, bool)>,
    /// At most so many; none for all.
    pub limit: Option<usize>,
    /// The ones that `rm` hid instead of those that show.
    pub removed: bool,
    /// Fields whose values [`Workspace::list`] gives beside each run: those that a [`RunInfo`] does not hold.
    pub also: Vec<Field>,
}

impl Selection {
    /// Reads sort keys such as `summary.loss,-max(acc)`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Query`] with the column of an unknown key.
    pub fn order_by(mut self, text: &str) -> Result<Self> {
        self.order.clear();
        for (column, key) in list_of(text) {
            let (name, descending) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
            self.order.push((read_field(column, name, "sort key")?, descending));
        }
        Ok(self)
    }

    /// Reads a filter.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] with the column where it stops being understood.
    pub fn filter(mut self, text: &str) -> Result<Self> {
        self.filter = Some(Filter::parse(text)?);
        Ok(self)
    }
}

/// Reads fields parted by commas, such as `config.lr, max(acc)`.
///
/// # Errors
/// [`crate::ErrorKind::Query`] with the column of an unknown field.
pub fn parse_fields(text: &str) -> Result<Vec<Field>> {
    list_of(text).map(|(column, name)| read_field(column, name, "field")).collect()
}

/// Returns the parts of a list that are not empty, each with its column.
pub(super) fn list_of(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let column = |first: usize, part: &str| first + 1 + part.chars().take_while(|c| c.is_whitespace()).count();
    let parts = split_list(text).into_iter().map(move |(first, part)| (column(first, part), part.trim()));
    parts.filter(|(_, part)| !part.is_empty())
}

fn read_field(column: usize, name: &str, what: &str) -> Result<Field> {
    Field::parse(name).ok_or_else(|| {
        let hint = "config and summary keys are config.NAME and summary.NAME";
        Error::query(column, format!("column {column}: unknown {what} {name:?}; {hint}"))
    })
}

impl RunInfo {
    /// Reads what a record says, in a project of this name.
    pub(crate) fn of(data: &RunData, project: String) -> Result<RunInfo> {
        let record = &data.record;
        let mut config = Vec::with_capacity(record.config.len());
        for (key, value) in &record.config {
            let value = value
                .value
                .json()
                .map_err(|cause| Error::format(format_args!("config of run {}", record.id), cause))?;
            config.push((key.clone(), value));
        }
        let mut tags: Vec<String> = Vec::new();
        for tag in &record.tags {
            if !tags.contains(&tag.name) {
                tags.push(tag.name.clone());
            }
        }
        let shown = |name: &str| !fold::is_summarised(&record.metrics, name);
        let summary = record.summary.iter().filter(|(key, _)| shown(key));
        Ok(RunInfo {
            object: data.object,
            project_object: ObjectId(record.project),
            id: record.id.clone(),
            name: record.name.value.clone(),
            project,
            state: record.state,
            created: record.created,
            finished: record.finished,
            tags,
            group: record.group.value.clone(),
            job_type: record.job_type.value.clone(),
            notes: record.notes.value.clone(),
            config: Json::Map(config),
            summary: summary.map(|(key, value)| (key.clone(), value.value.clone())).collect(),
            exit_code: record.exit_code,
            dropped: record.dropped,
            git_commit: record.start.git_commit.clone(),
            git_branch: record.start.git_branch.clone(),
            program: record.start.program.clone(),
            runtime: record.start.runtime.clone(),
            host: record.start.host.clone(),
            removed: record.removed.value,
        })
    }

    /// Returns a summary value.
    #[must_use]
    pub fn summary(&self, key: &str) -> Option<&Value> {
        self.summary.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Returns how long it took, or has taken so far at `now_us`, in seconds.
    #[must_use]
    pub fn duration_secs(&self, now_us: i64) -> f64 {
        seconds(self.created, self.finished.unwrap_or(now_us))
    }
}

/// Reads one run as listings show it.
pub(super) fn info_of<'a>(inner: &Inner, run: impl Into<Wanted<'a>>) -> Result<RunInfo> {
    with_run(inner, run, |tx, keyring, view| {
        let project = ObjectId(view.data.record.project);
        let name = project_names(tx, keyring).remove(&project);
        RunInfo::of(&view.data, name.unwrap_or_else(|| view.data.record.start.project_name.clone()))
    })
}

impl Workspace {
    /// Reads a run again, as it is now.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn refresh_run(&self, run: &RunInfo) -> Result<RunInfo> {
        info_of(&self.inner, run)
    }

    /// Finds a run by its object id, in hexadecimal; none if it is gone.
    pub(crate) fn run_of_object(&self, object: &str) -> Result<Option<RunInfo>> {
        let Some(object) = ObjectId::from_hex(object) else { return Ok(None) };
        match info_of(&self.inner, object) {
            Ok(run) => Ok(Some(run)),
            Err(error) if error.kind() == crate::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the metrics of a run, in order of first use.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn metrics(&self, run: &RunInfo) -> Result<Vec<MetricInfo>> {
        with_run(&self.inner, run, |_, _, view| Ok(metric_infos(view, &view.data.series.entries)))
    }

    /// Lists the metrics of a run as [`Workspace::metrics`] does, with the statistics of the points in a window; those
    /// without a point there are left out.
    ///
    /// Row groups that lie inside as a whole are counted by their stored figures, others are read.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn metrics_in(&self, run: &RunInfo, window: Window) -> Result<Vec<MetricInfo>> {
        if window == Window::default() {
            return self.metrics(run);
        }
        let cache = self.inner.read_cache()?;
        with_rows(self, run, |tx, keyring, view| {
            let scan = Scan::new(tx, keyring, view, window, cache)?;
            let mut count = Recount::new(&view.data.series).without_own();
            for seen in &scan.groups()? {
                if seen.whole {
                    count.add_group(tx, keyring, &view.data, &seen.entry)?;
                } else {
                    let add = |_, rows: Rows| count.add_rows(&rows.steps, &rows.times, &rows.columns);
                    scan.read_groups(std::iter::once(seen), &|_| true, add)?;
                }
            }
            scan.read_tails(|_| true, |rows| count.add_rows(&rows.steps, &rows.times, &rows.columns));
            Ok(metric_infos(view, &count.entries))
        })
    }

    /// Hides runs; nothing of them is lost until `gc`.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn remove_runs(&self, runs: &[RunInfo]) -> Result<()> {
        let now = Json::Int(self.inner.io.wall_us());
        self.set_fields(runs, FieldId::Removed, &now)
    }

    /// Shows runs again that [`Workspace::remove_runs`] hid.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn restore_runs(&self, runs: &[RunInfo]) -> Result<()> {
        self.set_fields(runs, FieldId::Removed, &Json::Null)
    }

    /// Renames a run.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn rename_run(&self, run: &RunInfo, name: &str) -> Result<()> {
        self.set_fields(std::slice::from_ref(run), FieldId::Name, &Json::Text(name.to_owned()))
    }

    /// Replaces the notes of a run, without the secrets in them unless the workspace is set to keep these.
    /// [`Workspace::findings`] lists them.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn annotate_run(&self, run: &RunInfo, notes: &str) -> Result<()> {
        let (notes, findings) = self.scanner(None)?.notes(notes);
        let change = FieldChange::new(FieldId::Notes, "", &Json::Text(notes.into_owned()));
        let change = change.map_err(|cause| Error::format("notes", cause))?;
        self.inner.write(None, |tx| {
            let redacted = findings.iter().map(Finding::to_record).collect();
            store::set_fields(tx, run.object, vec![change.clone()], redacted)
        })?;
        if let Some(text) = crate::run::redaction_told(&findings, &run.id) {
            self.inner.monitor.note(&format!("run {}: {text}", run.id));
        }
        Ok(())
    }

    /// Adds tags to a run and takes tags away from it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a tag that is empty, longer than 128 bytes or holds a control character; if
    /// the workspace cannot be written.
    pub fn tag_run(&self, run: &RunInfo, add: &[String], remove: &[String]) -> Result<()> {
        let mut fields = Vec::new();
        for tag in add {
            let tag = crate::run::checked_name("tag", tag.clone(), &[])?;
            let id = ObjectId(crate::io::random(&*self.inner.io)?);
            fields.push((FieldId::AddTag, tag, Json::Text(id.to_string())));
        }
        self.inner.write(None, |tx| {
            let data = RunData::load(tx, tx.keyring, run.object)?;
            let known = data.map(|data| data.record.tags).unwrap_or_default();
            for name in remove {
                let seen: Vec<String> =
                    known.iter().filter(|tag| tag.name == *name).map(|tag| ObjectId(tag.add_id).to_string()).collect();
                fields.push((FieldId::RemoveTag, name.clone(), Json::Text(seen.join(" "))));
            }
            let changes = fields.iter().map(|(field, key, value)| FieldChange::new(*field, key.clone(), value));
            let changes = changes.collect::<Result<Vec<_>, _>>().map_err(|cause| Error::format("tag", cause))?;
            store::set_fields(tx, run.object, changes, Vec::new())
        })
    }

    fn set_fields(&self, runs: &[RunInfo], field: FieldId, value: &Json) -> Result<()> {
        self.inner.write(None, |tx| {
            for run in runs {
                let change = FieldChange::new(field, "", value).map_err(|cause| Error::format("field", cause))?;
                store::set_fields(tx, run.object, vec![change], Vec::new())?;
            }
            Ok(())
        })
    }
}

/// Returns what is to be seen of the user's metrics that have points.
fn metric_infos(view: &View, entries: &[SeriesEntry]) -> Vec<MetricInfo> {
    let shown = entries.iter().filter(|entry| entry.points > 0 && !is_own(&entry.name));
    let definitions = &view.data.record.metrics;
    let step_metric = |entry: &SeriesEntry| {
        let definition = fold::definition_of(definitions, &entry.name)?;
        Some(definition.step_metric.clone()).filter(|name| !name.is_empty() && *name != entry.name)
    };
    shown.map(|entry| MetricInfo { step_metric: step_metric(entry), ..metric_info(entry) }).collect()
}

pub(super) fn metric_info(entry: &SeriesEntry) -> MetricInfo {
    let kind = match entry.kinds {
        1 => "float",
        2 => "int",
        4 => "bool",
        8 => "text",
        16 => "histogram",
        32 => "media",
        _ => "mixed",
    };
    MetricInfo {
        name: entry.name.clone(),
        kind,
        points: entry.points,
        first_step: entry.first_step,
        last_step: entry.last_step,
        min: entry.min.clone(),
        max: entry.max.clone(),
        last: entry.last.clone(),
        step_metric: None,
    }
}
