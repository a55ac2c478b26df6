//! Merging: the runs, media, code and artifacts of another workspace come into this one.
//!
//! Object ids stay what they are, so that what came in before is known again: whatever is here already, as far as it is
//! there, is left alone, and a merge that was cut off goes on where it ended. Keys are drawn anew, and every row is sealed
//! anew under them, as its place names the workspace. What is merged how: docs/ARCHITECTURE.md, "Merging".

mod conflicts;
mod fields;
mod files;
mod ids;
mod join;
mod listed;
mod rewinds;
mod rows;
mod run;
mod tails;

use std::collections::{HashMap, HashSet};

use runcellar_format::ObjectId;
use runcellar_format::seal::Kind;

use crate::blob::Class;
use crate::db::ReadTx;
use crate::ingest::data::RunData;
use crate::ingest::{overviews, rows_away, store};
use crate::keys::Keyring;
use crate::query::tail::OpenJournals;
use crate::{Error, ErrorKind, Result, Workspace, artifacts};
use files::Brought;
pub(crate) use files::put_again;
use listed::Published;
use run::Outcome;

/// What is merged.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// Only what belongs to these projects; all if none is named.
    pub projects: Vec<String>,
    /// Say what would come in, and change nothing.
    pub dry_run: bool,
}

/// Something that did not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What: `run a-run`, `artifact p/model:v3`, `journal ..`.
    pub what: String,
    /// Why.
    pub why: String,
    /// True if it is damaged; false if it is whole, and stays out for another reason.
    pub damaged: bool,
}

/// What [`Workspace::merge`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergeReport {
    /// Runs that were not here.
    pub new_runs: u64,
    /// Runs that went on there, or were described anew.
    pub updated_runs: u64,
    /// Runs that are here as they are there.
    pub unchanged_runs: u64,
    /// Versions and links of artifacts that were not here.
    pub new_versions: u64,
    /// Artifacts whose aliases, links or uses were changed there.
    pub updated_artifacts: u64,
    /// Files of runs that were not here: code and media.
    pub new_files: u64,
    /// Runs that have another id, as theirs is that of another run: (the one that they had, the one that they have here).
    pub renamed: Vec<(String, String)>,
    /// What did not come in.
    pub left_out: Vec<LeftOut>,
}

impl MergeReport {
    /// Returns true if nothing was to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let changes = [self.new_runs, self.updated_runs, self.new_versions, self.updated_artifacts, self.new_files];
        changes.iter().all(|count| *count == 0)
    }

    /// Notes that something does not come back.
    pub(crate) fn stays_erased(&mut self, what: String) {
        let why = "it was erased here, and does not come back".to_owned();
        self.left_out.push(LeftOut { what, why, damaged: false });
    }

    /// Counts what another merge did, too.
    pub fn add(&mut self, more: MergeReport) {
        self.new_runs += more.new_runs;
        self.updated_runs += more.updated_runs;
        self.unchanged_runs += more.unchanged_runs;
        self.new_versions += more.new_versions;
        self.updated_artifacts += more.updated_artifacts;
        self.new_files += more.new_files;
        self.renamed.extend(more.renamed);
        self.left_out.extend(more.left_out);
    }

    pub(crate) fn leave_out(&mut self, what: String, error: &Error) {
        let damaged = error.kind() == ErrorKind::Damaged;
        self.left_out.push(LeftOut { what, why: error.to_string(), damaged });
    }
}

impl Workspace {
    /// Brings in the rows of a run that a replica has now.
    pub(crate) fn merge_rows(&self, replica: &Workspace, run: ObjectId) -> Result<()> {
        let options = MergeOptions::default();
        let (projects, report) = (projects_of(replica, &options)?, MergeReport::default());
        let merge = Merge { into: self, other: replica, projects, options: &options, wants_rows: true, report };
        merge.run(run, false, false).map(drop)
    }

    /// Brings in what a replica has.
    pub(crate) fn merge_replica(&self, replica: &Workspace) -> Result<MergeReport> {
        self.merge(replica, &MergeOptions::default())
    }

    /// Brings in the artifacts that a replica has, and nothing else of it.
    pub(crate) fn merge_artifacts(&self, replica: &Workspace) -> Result<MergeReport> {
        let mut report = MergeReport::default();
        let projects = projects_of(replica, &MergeOptions::default())?;
        artifacts::merge(self, replica, &projects, false, &mut report)?;
        Ok(report)
    }

    /// Brings in what another workspace has, which is only read. Whatever came in before is known again, so that a
    /// second merge changes nothing, and a later one brings what is new.
    ///
    /// Damage in `other` is named in the report and costs what it hurts; the rest comes in. What is committed when this is
    /// killed is whole; the next call goes on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if `other` is this workspace, [`ErrorKind::NotFound`] if a project that is named is not
    /// there, [`ErrorKind::ReadOnly`] if this one cannot be written or is full.
    pub fn merge(&self, other: &Workspace, options: &MergeOptions) -> Result<MergeReport> {
        merge(self, other, options)
    }
}

/// What one workspace has of a run that another lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Nothing.
    None,
    /// What is said of it: fields, tags, how it ended.
    Description,
    /// Rows, or all of it.
    Rows,
    /// The other erased it.
    Erased,
}

/// Returns what `to` lacks of a run as `from` has it.
pub(crate) fn difference(
    to: &ReadTx<'_>,
    keys: &Keyring,
    (from, from_keys): (&ReadTx<'_>, &Keyring),
    run: &RunData,
) -> Result<Difference> {
    let is_of_device = from_keys.workspace() == keys.workspace();
    let bring = run::Bring { from, from_keys, theirs: run, project: "", is_of_device, published: None };
    let standing = bring.compare(to, keys)?;
    Ok(match standing {
        run::Standing::Erased => Difference::Erased,
        run::Standing::Same => Difference::None,
        run::Standing::Described | run::Standing::Listed => Difference::Description,
        run::Standing::New | run::Standing::Ahead(_) | run::Standing::Filled => Difference::Rows,
    })
}

/// Whether a run was made or changed.
type Touched = bool;

/// What is merged into what.
struct Merge<'a> {
    into: &'a Workspace,
    other: &'a Workspace,
    /// Names of the other's projects that are merged.
    projects: HashMap<ObjectId, String>,
    options: &'a MergeOptions,
    /// Rows that were left where a device published them come in, too.
    wants_rows: bool,
    report: MergeReport,
}

fn merge(into: &Workspace, other: &Workspace, options: &MergeOptions) -> Result<MergeReport> {
    let file = |workspace: &Workspace| workspace.inner.io.identity(&workspace.path().join(crate::db::FILE_NAME));
    if matches!((file(into), file(other)), (Ok(one), Ok(two)) if one == two) {
        return Err(Error::invalid(format!("{}: it is the workspace itself", other.path().display())));
    }
    if !options.dry_run {
        into.inner.refuse_if_only_read()?;
    }
    // Before the database is read: what is ingested meanwhile is then there.
    let journals = OpenJournals::open(&other.inner)?;
    let projects = projects_of(other, options)?;
    let report = MergeReport::default();
    let mut merge = Merge { into, other, projects, options, wants_rows: false, report };
    let mut runs = merge.runs(options.dry_run)?;
    match options.dry_run {
        true => tails::plan(&mut merge, journals, &mut runs)?,
        false => {
            tails::bring(&mut merge, journals, &mut runs)?;
            merge.files(&runs)?;
        }
    }
    let mut report = merge.report;
    artifacts::merge(into, other, &merge.projects, options.dry_run, &mut report)?;
    into.inner.flush_mirror();
    Ok(report)
}

fn projects_of(other: &Workspace, options: &MergeOptions) -> Result<HashMap<ObjectId, String>> {
    let mut projects = other.inner.read(artifacts::project_names)?;
    let wanted: HashSet<&str> = options.projects.iter().map(String::as_str).collect();
    let mut missing: HashSet<&str> = wanted.clone();
    missing.retain(|name| !projects.values().any(|known| known == name));
    if !missing.is_empty() {
        let in_journals = tails::projects(other)?;
        missing.retain(|name| !in_journals.contains(*name));
    }
    if let Some(missing) = missing.iter().min() {
        return Err(Error::new(ErrorKind::NotFound, format!("no project {missing} in {}", other.path().display())));
    }
    projects.retain(|_, name| wanted.is_empty() || wanted.contains(name.as_str()));
    Ok(projects)
}

impl Merge<'_> {
    /// Brings in what the database has of runs, each in a transaction of its own; returns the runs that are here now.
    fn runs(&mut self, dry_run: bool) -> Result<HashMap<ObjectId, Touched>> {
        let objects = self.other.inner.read(|tx, _| tx.object_ids(Kind::Run))?;
        let (mut here, total) = (HashMap::new(), objects.len() as u64);
        for (done, object) in (0..).zip(objects) {
            self.into.inner.monitor.progress("runs", done, total);
            let mut touched = true;
            let brought = match self.run(object, dry_run, false) {
                // Rows of it are published by several devices, and no one has all: they come in one after the other.
                Err(error) if is_theirs(&error) && matches!(self.lacks_rows(object), Ok(true)) => {
                    self.run(object, dry_run, true)
                }
                brought => brought,
            };
            match brought {
                Ok(Some(Outcome::New { renamed })) => {
                    self.report.new_runs += 1;
                    self.report.renamed.extend(renamed);
                }
                Ok(Some(Outcome::Updated { renamed })) => {
                    self.report.updated_runs += 1;
                    self.report.renamed.extend(renamed);
                }
                Ok(Some(Outcome::Same)) => {
                    self.report.unchanged_runs += 1;
                    touched = false;
                }
                Ok(Some(Outcome::Erased { id })) => {
                    self.report.stays_erased(format!("run {id}"));
                    continue;
                }
                Ok(None) => continue,
                Err(error) if is_theirs(&error) || error.kind() == ErrorKind::Evicted => {
                    self.report.leave_out(format!("run {object}"), &error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            here.insert(object, touched);
        }
        Ok(here)
    }

    /// Returns whether a device lists rows of a run that it did not publish.
    fn lacks_rows(&self, object: ObjectId) -> Result<bool> {
        self.other.inner.read(|from, from_keys| {
            let theirs = RunData::load(from, from_keys, object)?.filter(|_| self.other.inner.rows_there().is_some());
            theirs.map_or(Ok(false), |theirs| Ok(!rows_away::lacking(from, from_keys, &theirs)?.is_empty()))
        })
    }

    /// Brings in one run, or at first what is said of it; none if it is not to be.
    fn run(&self, object: ObjectId, dry_run: bool, is_listed: bool) -> Result<Option<Outcome>> {
        self.other.inner.read(|from, from_keys| {
            let Some(theirs) = RunData::load(from, from_keys, object)? else { return Ok(None) };
            let Some(project) = self.projects.get(&ObjectId(theirs.record.project)) else { return Ok(None) };
            let is_of_device = from_keys.workspace() == self.into.inner.id;
            let published = self.published(from, from_keys, &theirs, is_listed)?;
            let bring = run::Bring { from, from_keys, theirs: &theirs, project, is_of_device, published };
            let planned = self.into.inner.read(|tx, keyring| bring.compare(tx, keyring))?;
            match dry_run || !planned.is_work() {
                true => Ok(Some(planned.outcome(&theirs.record.id))),
                false => {
                    let outcome = self.into.inner.write(None, |tx| bring.apply(tx))?;
                    let writing = self.into.inner.writing(None)?;
                    overviews::update(&writing, object, usize::MAX)?;
                    writing.publish()?;
                    Ok(Some(outcome))
                }
            }
        })
    }

    /// Returns where the rows of a run are, if the other is what a device published.
    fn published(
        &self,
        from: &ReadTx<'_>,
        from_keys: &Keyring,
        theirs: &RunData,
        is_listed: bool,
    ) -> Result<Option<Published>> {
        let Some(there) = self.other.inner.rows_there() else {
            rows_away::refuse(from, from_keys, theirs.object)?;
            return Ok(None);
        };
        let is_told = is_listed || there.runs.contains(&theirs.object);
        // All rows of a device are here that never left any: nobody needs to look.
        let looks = is_told || self.into.inner.read(|tx, _| rows_away::are(tx, theirs.object))?;
        let lacking = if looks { rows_away::lacking(from, from_keys, theirs)? } else { Default::default() };
        let lacking = lacking.into_iter().map(|(writer, ..)| writer).collect();
        Ok(Some(Published { place: there.place, lacking, is_told, are_wanted: self.wants_rows }))
    }

    /// Returns the id that a run has here.
    fn id_of(&self, object: ObjectId) -> Result<String> {
        self.into.inner.read(|tx, keyring| Ok(store::load(tx, keyring, object)?.record.id))
    }

    /// Brings in code and media of runs.
    fn files(&mut self, runs: &HashMap<ObjectId, Touched>) -> Result<()> {
        for object in runs.keys() {
            for class in [Class::Code, Class::Media] {
                match files::bring(self.into, self.other, *object, class) {
                    Ok(Brought::Files(count)) => self.report.new_files += count,
                    Ok(Brought::StaysErased) => {
                        self.report.stays_erased(format!("{} of run {}", class.name(), self.id_of(*object)?));
                    }
                    Err(error) if is_theirs(&error) => {
                        self.report.leave_out(format!("{} of run {object}", class.name()), &error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Returns whether an error is about what was read, so that the rest can come in.
pub(crate) fn is_theirs(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::NewerFormat)
}
