//! `export --format capsule`: everything about runs in one encrypted file.

mod page;

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use runcellar::{ArtifactVersion, Error, ErrorKind, RunInfo, Window, Workspace};

use super::long::{console_series, csv_rows, system_series};
use crate::capsule::seal::Lock;
use crate::capsule::writer::CapsuleWriter;
use crate::capsule::{FORMAT, HEAD, VERSION, component};
use crate::failure::Failure;
use crate::files::NewFile;
use crate::session::{Session, now_us};
use crate::shapes::{RunName, ShowShape, Time};
use crate::verbs::artifact::VersionShape;

/// Bytes of a compressed table from which it goes on in another file: a file's length stands before its content, so that it is made
/// in memory.
const TABLE_BYTES_MAX: usize = 64 << 20;

#[derive(serde::Serialize)]
struct Head<'a> {
    format: &'static str,
    version: u64,
    id: Option<&'a str>,
    written: Time,
    writer: &'static str,
    runs: Vec<RunName<'a>>,
    artifacts: Vec<String>,
}

/// A capsule under way.
struct Job<'a, W: Write> {
    workspace: &'a Workspace,
    out: CapsuleWriter<W>,
    now: i64,
}

/// Writes a capsule of runs into a file.
pub(super) fn write(
    session: &Session,
    workspace: &Workspace,
    runs: &[RunInfo],
    lock: &Lock,
    (path, used): (&Path, bool),
) -> Result<(), Failure> {
    if runs.is_empty() {
        return Err(Failure::new(crate::failure::Code::NotFound, "no run matches"));
    }
    let work = session.work("exporting");
    let versions = versions_of(workspace, runs, used)?;
    let mut file = NewFile::create(path)?;
    let failed = |cause: &std::io::Error| Failure::file("write", path, cause);
    let id = match workspace.note_capsule(runs, &versions) {
        Ok(id) => Some(id),
        Err(error) if error.kind() == ErrorKind::ReadOnly => {
            session.warn("the workspace can only be read: that there is a capsule is not recorded in it");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let sealed = lock.seal(&mut file).map_err(|cause| failed(&cause))?;
    let mut job = Job { workspace, out: CapsuleWriter::new(sealed), now: now_us() };
    let outcome = job.all(runs, &versions, id.as_deref(), |done| work.reached("exporting runs", done, runs.len()));
    outcome.map_err(|failure| super::in_file(failure, path))?;
    let files = job.out.files;
    let sealed = job.out.finish().map_err(|cause| failed(&cause))?;
    sealed.finish().map_err(|cause| failed(&cause))?;
    file.finish()?;
    drop(work);
    let what = format!("runs: {}, artifact versions: {}, files: {files}", runs.len(), versions.len());
    session.note(&format!("wrote {} ({what}); removing or purging here does not reach it", path.display()));
    Ok(())
}

/// Returns the versions that runs made, and those that they used if that is wanted, each once.
fn versions_of(workspace: &Workspace, runs: &[RunInfo], used: bool) -> Result<Vec<ArtifactVersion>, Failure> {
    let mut all: Vec<ArtifactVersion> = Vec::new();
    for run in runs {
        let of_run = workspace.artifacts_of_run(run)?;
        let wanted = of_run.made.into_iter().chain(of_run.used.into_iter().filter(|_| used));
        for version in wanted {
            if all.iter().all(|known| known.full_name() != version.full_name()) {
                all.push(version);
            }
        }
    }
    Ok(all)
}

fn json(shape: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    let mut text = serde_json::to_vec_pretty(shape)?;
    text.push(b'\n');
    Ok(text)
}

impl<W: Write> Job<'_, W> {
    fn all(
        &mut self,
        runs: &[RunInfo],
        versions: &[ArtifactVersion],
        id: Option<&str>,
        reached: impl Fn(usize),
    ) -> Result<(), Failure> {
        let head = Head {
            format: FORMAT,
            version: VERSION,
            id,
            written: Time(self.now),
            writer: concat!("runcellar ", env!("CARGO_PKG_VERSION")),
            runs: runs.iter().map(RunName::of).collect(),
            artifacts: versions.iter().map(ArtifactVersion::full_name).collect(),
        };
        self.out.top(HEAD, &json(&head)?)?;
        let index = match runs {
            [run] => page::of_run(self.workspace, run, self.now, &directory_of(run))?,
            runs => page::of_runs(runs, directory_of),
        };
        self.out.top("index.html", index.as_bytes())?;
        for version in versions {
            self.version(version)?;
        }
        for (done, run) in runs.iter().enumerate() {
            reached(done);
            self.out.enter(&directory_of(run));
            if runs.len() > 1 {
                let page = page::of_run(self.workspace, run, self.now, "")?;
                self.out.file("index.html", page.as_bytes())?;
            }
            self.run(run)?;
        }
        Ok(())
    }

    fn version(&mut self, version: &ArtifactVersion) -> Result<(), Failure> {
        let (project, name) = (component(&version.project), component(&version.name));
        self.out.enter(&format!("artifacts/{project}/{name}/{}", version.version()));
        self.out.file("version.json", &json(&VersionShape::of(version))?)?;
        let out = &mut self.out;
        self.workspace.carry_version_out(version, &mut |piece| out.piece(piece)).map_err(cause_of)
    }

    fn run(&mut self, run: &RunInfo) -> Result<(), Failure> {
        let workspace = self.workspace;
        let (metrics, system) = (workspace.metrics(run)?, workspace.system_metrics(run)?);
        let (lineage, source, code) = (workspace.lineage(run)?, workspace.source(run)?, workspace.code(run)?);
        let (arguments, redacted) = (workspace.arguments(run)?, workspace.findings(run)?.len());
        let artifacts = workspace.artifacts_of_run(run)?;
        let mut shape = ShowShape::of(run, &metrics, &system, (&lineage, &source, &code, &artifacts), self.now);
        (shape.arguments, shape.redacted) = (&arguments, redacted);
        self.out.file("run.json", &json(&shape)?)?;
        let mut table = Table::new("metrics", lineage.ranks > 1);
        for metric in &metrics {
            table.add(
                &mut self.out,
                run,
                &metric.name,
                &workspace.series_in(run, &metric.name, Window::default(), None)?,
            )?;
        }
        table.finish(&mut self.out)?;
        let mut table = Table::new("system", false);
        for metric in &system {
            table.add(&mut self.out, run, &metric.name, &system_series(workspace, run, &metric.name)?)?;
        }
        table.finish(&mut self.out)?;
        let mut table = Table::new("console", false);
        let console = console_series(workspace, run)?;
        if !console.steps.is_empty() {
            table.add(&mut self.out, run, "console", &console)?;
        }
        table.finish(&mut self.out)?;
        let out = &mut self.out;
        workspace.carry_run_out(run, &mut |piece| out.piece(piece)).map_err(cause_of)
    }
}

/// Leaves the errors of the store as they are; those of the file come back in them.
fn cause_of(error: Error) -> Failure {
    let of_file = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    match of_file {
        Some(cause) if error.kind() == ErrorKind::Io => std::io::Error::from(cause.kind()).into(),
        _ => error.into(),
    }
}

fn directory_of(run: &RunInfo) -> String {
    format!("runs/{}", component(&run.id))
}

/// A table of points as CSV, compressed.
struct Table {
    name: &'static str,
    rank_column: bool,
    files: u32,
    open: Option<GzEncoder<Vec<u8>>>,
}

impl Table {
    fn new(name: &'static str, rank_column: bool) -> Table {
        Table { name, rank_column, files: 0, open: None }
    }

    fn add<W: Write>(
        &mut self,
        out: &mut CapsuleWriter<W>,
        run: &RunInfo,
        metric: &str,
        series: &runcellar::Series,
    ) -> Result<(), Failure> {
        if self.open.as_ref().is_some_and(|open| open.get_ref().len() >= TABLE_BYTES_MAX) {
            self.finish(out)?;
        }
        let columns = (false, self.rank_column);
        let to = match &mut self.open {
            Some(open) => open,
            None => {
                let mut open = GzEncoder::new(Vec::new(), Compression::default());
                open.write_all(b"run,project,metric,step,time,value")?;
                open.write_all(if self.rank_column { b",rank\n" } else { b"\n" })?;
                self.open.insert(open)
            }
        };
        csv_rows(columns, to, run, metric, series)
    }

    /// Writes the file that was begun, if one was.
    fn finish<W: Write>(&mut self, out: &mut CapsuleWriter<W>) -> Result<(), Failure> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.files += 1;
        let name = match self.files {
            1 => format!("{}.csv.gz", self.name),
            number => format!("{}-{number}.csv.gz", self.name),
        };
        Ok(out.file(&name, &open.finish()?)?)
    }
}
