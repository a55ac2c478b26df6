//! Listing and finding runs.

use std::borrow::Cow;
use std::collections::HashMap;

use runcellar_format::ObjectId;
use runcellar_format::record::{Body, FieldChange, FieldId, Project, RunState, SeriesEntry};
use runcellar_format::seal::Kind;

use super::filter::{Field, Fields, Filter, Scalar, compare_for_sort};
use super::tail::{OpenJournals, View, with_run};
use crate::db::ReadTx;
use crate::ingest::data::RunData;
use crate::ingest::{fold, store};
use crate::keys::Keyring;
use crate::own::is_own;
use crate::workspace::Inner;
use crate::{Error, ErrorKind, Json, Result, Value, Workspace};

/// The least length of an id's prefix that finds a run.
const PREFIX_MIN: usize = 4;
/// Choices that an ambiguous name is answered with.
const CHOICES_MAX: usize = 5;

/// A run as listings show it.
#[derive(Debug, Clone)]
pub struct RunInfo {
    pub(crate) object: ObjectId,
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
    /// `float`, `int`, `bool`, `text`, `histogram`, or `mixed`.
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
}

impl Selection {
    /// Reads sort keys such as `summary.loss,-created`.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] with the column of an unknown key.
    pub fn order_by(mut self, text: &str) -> Result<Self> {
        let mut column = 1;
        self.order.clear();
        for part in text.split(',') {
            let key = part.trim();
            let (name, descending) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
            if !key.is_empty() {
                let field = Field::parse(name).ok_or_else(|| {
                    Error::query(column, format!("column {column}: unknown sort key {name:?}; config and summary keys are config.NAME and summary.NAME"))
                })?;
                self.order.push((field, descending));
            }
            column += part.chars().count() + 1;
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

impl RunInfo {
    fn of(view: &View, project: String) -> Result<RunInfo> {
        let record = &view.data.record;
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
            object: view.data.object,
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
        self.finished.unwrap_or(now_us).saturating_sub(self.created).max(0) as f64 / 1e6
    }
}

/// Reads one run as listings show it.
pub(super) fn info_of(inner: &Inner, run: ObjectId) -> Result<RunInfo> {
    with_run(inner, run, |tx, keyring, view| {
        let project = ObjectId(view.data.record.project);
        let name = project_names(tx, keyring).remove(&project);
        RunInfo::of(view, name.unwrap_or_else(|| view.data.record.start.project_name.clone()))
    })
}

/// A run's fields at one moment, for a filter.
struct AtTime<'a> {
    run: &'a RunInfo,
    now_us: i64,
}

fn text_scalar(text: &str) -> Option<Scalar<'_>> {
    (!text.is_empty()).then_some(Scalar::Text(Cow::Borrowed(text)))
}

fn json_scalar(value: &Json) -> Scalar<'_> {
    match value {
        Json::Null | Json::Map(_) => Scalar::Null,
        Json::Bool(value) => Scalar::Bool(*value),
        Json::Int(value) => Scalar::Int(*value),
        Json::Float(value) => Scalar::Float(*value),
        Json::Text(value) => Scalar::Text(Cow::Borrowed(value)),
        Json::List(items) => Scalar::List(items.iter().map(json_scalar).collect()),
    }
}

fn value_scalar(value: &Value) -> Scalar<'_> {
    match value {
        Value::Float(value) => Scalar::Float(*value),
        Value::Int(value) => Scalar::Int(*value),
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Text(value) => Scalar::Text(Cow::Borrowed(value)),
        // No summary holds one.
        Value::Histogram(_) => Scalar::Null,
    }
}

impl Fields for AtTime<'_> {
    fn get(&self, field: &Field) -> Option<Scalar<'_>> {
        let run = self.run;
        match field {
            Field::Id => text_scalar(&run.id),
            Field::Name => text_scalar(&run.name),
            Field::Project => text_scalar(&run.project),
            Field::State => text_scalar(run.state.as_str()),
            Field::Group => text_scalar(&run.group),
            Field::JobType => text_scalar(&run.job_type),
            Field::Notes => text_scalar(&run.notes),
            Field::Created => Some(Scalar::Time(run.created)),
            Field::Finished => run.finished.map(Scalar::Time),
            Field::Duration => Some(Scalar::Float(run.duration_secs(self.now_us))),
            Field::Tags => Some(Scalar::List(run.tags.iter().filter_map(|tag| text_scalar(tag)).collect())),
            // Labels come with sync; until then no run has one.
            Field::Labels => Some(Scalar::List(Vec::new())),
            Field::Config(path) => run.config.at(path).map(json_scalar),
            Field::Summary(key) => run.summary(key).map(value_scalar),
        }
    }
}

/// Reads every run, those of journals that are not ingested too. One that is damaged is told to the monitor.
fn all_runs(workspace: &Workspace) -> Result<Vec<RunInfo>> {
    let inner = &workspace.inner;
    let journals = OpenJournals::open(inner)?;
    inner.read(|tx, keyring| {
        let projects = project_names(tx, keyring);
        let mut views: Vec<View> = Vec::new();
        let mut places = HashMap::new();
        for row in tx.objects(Kind::Run, None)? {
            match RunData::without_series(tx, keyring, &row) {
                Ok(data) => {
                    places.insert(data.object, views.len());
                    views.push(View { data, tails: Vec::new() });
                }
                Err(error) => inner.monitor.warn(&format!("{error}; runcellar check says more")),
            }
        }
        for (run, batch) in journals.tails(inner, tx, keyring, None)? {
            let at = match places.get(&run) {
                Some(at) => *at,
                None => {
                    let Some(start) = batch.start.as_deref() else { continue };
                    places.insert(run, views.len());
                    views.push(View::of_start(run, start)?);
                    views.len() - 1
                }
            };
            let Some(view) = views.get_mut(at) else { continue };
            if !view.data.record.metrics.is_empty() && view.data.series.entries.is_empty() {
                view.data.load_series(tx, keyring)?;
            }
            view.absorb(batch)?;
        }
        let name = |view: &View| {
            let project = ObjectId(view.data.record.project);
            projects.get(&project).cloned().unwrap_or_else(|| view.data.record.start.project_name.clone())
        };
        views.iter().map(|view| RunInfo::of(view, name(view))).collect()
    })
}

fn project_names(tx: &ReadTx<'_>, keyring: &Keyring) -> HashMap<ObjectId, String> {
    let name = |row: &crate::db::ObjectRow| Some(Project::from_body(&tx.open_object(keyring, row).ok()?).ok()?.name);
    // A damaged project record costs the name only, which each run's start record repeats; `check` reports it.
    let rows = tx.objects(Kind::Project, None).unwrap_or_default();
    rows.iter().filter_map(|row| Some((row.key.id, name(row)?))).collect()
}

impl Workspace {
    /// Lists runs.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn runs(&self, selection: &Selection) -> Result<Vec<RunInfo>> {
        let now_us = self.inner.io.wall_us();
        let wanted = |run: &RunInfo| {
            run.removed.is_some() == selection.removed
                && selection.project.as_ref().is_none_or(|project| *project == run.project)
                && selection.filter.as_ref().is_none_or(|filter| filter.matches(&AtTime { run, now_us }, now_us))
        };
        let mut runs: Vec<RunInfo> = all_runs(self)?.into_iter().filter(wanted).collect();
        let latest_first = [(Field::Created, true)];
        let order = if selection.order.is_empty() { &latest_first[..] } else { &selection.order };
        runs.sort_by(|left, right| {
            let (left_fields, right_fields) = (AtTime { run: left, now_us }, AtTime { run: right, now_us });
            let by_keys = order.iter().map(|(field, descending)| {
                compare_for_sort(left_fields.get(field).as_ref(), right_fields.get(field).as_ref(), *descending)
            });
            let by_keys = by_keys.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
            by_keys.then_with(|| left.id.cmp(&right.id))
        });
        runs.truncate(selection.limit.unwrap_or(usize::MAX));
        Ok(runs)
    }

    /// Finds a run by id, by a unique prefix of at least four characters of it, by a unique name, or as
    /// `project/name`. Runs that `rm` hid are found by their whole id only.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Ambiguous`] with the choices.
    pub fn find_run(&self, wanted: &str) -> Result<RunInfo> {
        self.find(&all_runs(self)?, wanted, false).cloned()
    }

    /// Finds several runs at the cost of one, each as [`Workspace::find_run`] does; `removed` looks among the runs that
    /// `rm` hid instead, and there finds one that shows by its whole id only.
    ///
    /// # Errors
    /// As [`Workspace::find_run`], for the first that is not found.
    pub fn find_runs(&self, wanted: &[impl AsRef<str>], removed: bool) -> Result<Vec<RunInfo>> {
        let runs = all_runs(self)?;
        wanted.iter().map(|wanted| self.find(&runs, wanted.as_ref(), removed).cloned()).collect()
    }

    fn find<'a>(&self, runs: &'a [RunInfo], wanted: &str, removed: bool) -> Result<&'a RunInfo> {
        if let Some(run) = runs.iter().find(|run| run.id == wanted) {
            return Ok(run);
        }
        let eligible = || runs.iter().filter(|run| run.removed.is_some() == removed);
        let tests: [&dyn Fn(&&RunInfo) -> bool; 3] = [
            &|run| run.name == wanted,
            &|run| wanted.strip_prefix(&run.project).and_then(|rest| rest.strip_prefix('/')) == Some(&run.name),
            &|run| wanted.len() >= PREFIX_MIN && run.id.starts_with(wanted),
        ];
        for test in tests {
            let mut found = eligible().filter(test);
            match (found.next(), found.next()) {
                (Some(run), None) => return Ok(run),
                (Some(_), Some(_)) => {
                    let mut all: Vec<&RunInfo> = eligible().filter(test).collect();
                    all.sort_by(|left, right| left.id.cmp(&right.id));
                    let choices: Vec<String> = all
                        .iter()
                        .take(CHOICES_MAX)
                        .map(|run| format!("{} ({}/{})", run.id, run.project, run.name))
                        .collect();
                    let message = format!("run {wanted}: it can be {}", choices.join(" or "));
                    return Err(Error::new(ErrorKind::Ambiguous, message));
                }
                _ => {}
            }
        }
        let what = if removed { "removed run" } else { "run" };
        Err(Error::new(ErrorKind::NotFound, format!("no {what} {wanted} in {}", self.path().display())))
    }

    /// Reads a run again, as it is now.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn refresh_run(&self, run: &RunInfo) -> Result<RunInfo> {
        info_of(&self.inner, run.object)
    }

    /// Lists the metrics of a run, in order of first use.
    ///
    /// # Errors
    /// If the run cannot be read.
    pub fn metrics(&self, run: &RunInfo) -> Result<Vec<MetricInfo>> {
        with_run(&self.inner, run.object, |_, _, view| {
            let shown = |entry: &&SeriesEntry| entry.points > 0 && !is_own(&entry.name);
            Ok(view.data.series.entries.iter().filter(shown).map(metric_info).collect())
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

    /// Replaces the notes of a run.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    pub fn annotate_run(&self, run: &RunInfo, notes: &str) -> Result<()> {
        self.set_fields(std::slice::from_ref(run), FieldId::Notes, &Json::Text(notes.to_owned()))
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
            store::set_fields(tx, run.object, changes)
        })
    }

    fn set_fields(&self, runs: &[RunInfo], field: FieldId, value: &Json) -> Result<()> {
        self.inner.write(None, |tx| {
            for run in runs {
                let change = FieldChange::new(field, "", value).map_err(|cause| Error::format("field", cause))?;
                store::set_fields(tx, run.object, vec![change])?;
            }
            Ok(())
        })
    }
}

pub(super) fn metric_info(entry: &SeriesEntry) -> MetricInfo {
    let kind = match entry.kinds {
        1 => "float",
        2 => "int",
        4 => "bool",
        8 => "text",
        16 => "histogram",
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
    }
}
