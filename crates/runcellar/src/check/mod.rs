//! Verifying a workspace: every row against its sum, every sealed object against its place, every journal.
//!
//! Nothing is changed. What is wrong is named by run, metric, step range or file; what cannot be named is reported as
//! such, never passed over. `read_data` opens and decodes all blocks and chunks too.

pub(crate) mod blobs;
mod catalogue;
mod journals;
mod rows;
mod runs;

use crate::{Result, Workspace};

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Bytes were changed, or moved from where they belong.
    Damaged,
    /// Something that was written is not there.
    Missing,
    /// Something stands in an older version than was written.
    Replayed,
    /// The end of a journal is no whole frame: its writer was cut off.
    TornTail,
    /// Something is there that nothing refers to.
    Unreferenced,
    /// Content that lies on a remote alone.
    Evicted,
}

impl ProblemKind {
    /// Returns the word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProblemKind::Damaged => "damaged",
            ProblemKind::Missing => "missing",
            ProblemKind::Replayed => "replayed",
            ProblemKind::TornTail => "torn_tail",
            ProblemKind::Unreferenced => "unreferenced",
            ProblemKind::Evicted => "evicted",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Data is hurt.
    Error,
    /// Nothing that was acknowledged is hurt.
    Note,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// How bad.
    pub severity: Severity,
    /// The run that is hurt, by its id, or by its object id where that is all that can be read.
    pub run: Option<String>,
    /// The metric that is hurt.
    pub metric: Option<String>,
    /// The first and last step that are hurt.
    pub steps: Option<(i64, i64)>,
    /// The artifact or version that is hurt: `project/name` or `project/name:v3`.
    pub artifact: Option<String>,
    /// The path that is hurt, in the artifact, or in the code or media of the run.
    pub path: Option<String>,
    /// The file of the workspace, relative to it.
    pub file: Option<String>,
    /// True if `repair` can mend it.
    pub repairable: bool,
    /// What was expected and found, for people.
    pub message: String,
}

impl Problem {
    fn error(kind: ProblemKind, message: impl Into<String>) -> Problem {
        Problem {
            kind,
            severity: Severity::Error,
            run: None,
            metric: None,
            steps: None,
            artifact: None,
            path: None,
            file: None,
            repairable: false,
            message: message.into(),
        }
    }

    fn note(kind: ProblemKind, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Note, ..Problem::error(kind, message) }
    }

    fn of_run(self, run: &str) -> Problem {
        Problem { run: Some(run.to_owned()), ..self }
    }

    fn of_file(self, file: impl Into<String>) -> Problem {
        Problem { file: Some(file.into()), ..self }
    }
}

/// How thoroughly to check.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Open and decode every block and chunk, instead of comparing sums alone.
    pub read_data: bool,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Runs.
    pub runs: u64,
    /// Parts of row groups.
    pub blocks: u64,
    /// Journals.
    pub journals: u64,
    /// Chunks of blobs.
    pub chunks: u64,
    /// Sealed bytes.
    pub bytes: u64,
}

/// What [`Workspace::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// What was looked at.
    pub checked: Checked,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// Returns true if nothing is hurt; notes do not count.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity == Severity::Note)
    }

    fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

impl Workspace {
    /// Verifies the workspace. Progress goes to the monitor.
    ///
    /// # Errors
    /// If the database cannot be read at all; everything less is a problem in the report.
    pub fn check(&self, options: CheckOptions) -> Result<CheckReport> {
        let inner = &self.inner;
        let mut report = CheckReport::default();
        let lines = inner.structure_problems()?;
        let repairable = lines.iter().all(|line| crate::db::is_of_index(line)) && !inner.is_network();
        for line in lines {
            let problem = Problem::error(ProblemKind::Damaged, format!("cellar.db: {line}"));
            report.add(Problem { repairable, ..problem.of_file(crate::db::FILE_NAME) });
        }
        if let Some(problem) = inner.mirror_problem()? {
            report.add(
                Problem::error(ProblemKind::Replayed, format!("cellar.db: {problem}")).of_file(crate::db::FILE_NAME),
            );
        }
        let journals = journals::Journals::open(inner, &mut report)?;
        let known = inner.read(|tx, keyring| {
            let known = rows::check(tx, keyring, &mut report)?;
            runs::check(inner, tx, keyring, &known, options, &journals.writers(), &mut report)?;
            catalogue::check(tx, keyring, options, &mut report)?;
            journals.check(tx, keyring, &known, &mut report)?;
            Ok(known)
        })?;
        let mends = blobs::check(inner, &known, options, &mut report)?;
        if let Some(problem) = known.sum_problem.and_then(|at| report.problems.get_mut(at)) {
            problem.repairable = inner.read(|tx, keyring| rows::add_up_with(tx, keyring, blobs::rows_of(&mends)))?;
        }
        Ok(report)
    }
}
