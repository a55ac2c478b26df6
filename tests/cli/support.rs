//! A home of its own for each test, runs made through the store under a clock of the test's, and calls of the binary.

use std::ffi::OsStr;
use std::io::{Result as IoResult, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use runcellar::io::{FileIdentity, Io, IoFile, SystemIo};
use runcellar::{Keys, OpenOptions, Run, Workspace};
use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_runcellar");

/// A temporary directory that is home and current directory, with a workspace in `w`.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    /// Makes an empty home.
    pub(crate) fn new() -> Home {
        Home { directory: tempfile::tempdir().expect("temporary directory") }
    }

    /// Makes a home with an empty workspace.
    pub(crate) fn with_workspace() -> Home {
        let home = Home::new();
        home.ok(["init"]);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn workspace_path(&self) -> PathBuf {
        self.path("w")
    }

    /// Returns the text of a path in this home.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Returns a call of the binary that sees nothing of the machine's environment.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args);
        self.isolate(&mut command);
        command
    }

    /// Gives a command this home as its whole surroundings.
    pub(crate) fn isolate(&self, command: &mut Command) {
        command.env_clear().current_dir(self.directory.path()).stdin(Stdio::null());
        command.env("HOME", self.directory.path()).env("RUNCELLAR_DIR", self.workspace_path()).env("LC_ALL", "C.UTF-8");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Outcome {
        outcome(&mut self.command(args))
    }

    /// Runs the binary and expects that it succeeds; returns what it wrote to stdout.
    pub(crate) fn ok<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        let outcome = self.run(args);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome.stdout
    }

    /// Runs the binary with `--json` and expects that it succeeds.
    pub(crate) fn json<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Value {
        let mut command = self.command(args);
        let outcome = outcome(command.arg("--json"));
        assert_eq!(outcome.code, 0, "{outcome:?}");
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
    }

    /// Runs the binary and expects this exit code; returns the lines on stderr. Nothing may be on stdout.
    pub(crate) fn fails<A: AsRef<OsStr>>(&self, code: i32, args: impl IntoIterator<Item = A>) -> Vec<String> {
        let outcome = self.run(args);
        assert_eq!(outcome.code, code, "{outcome:?}");
        assert_eq!(outcome.stdout, "");
        outcome.stderr_lines()
    }

    /// Runs the binary without a controlling terminal, whatever this test runs on.
    pub(crate) fn without_terminal<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Outcome {
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(BINARY).args(args);
        self.isolate(&mut command);
        outcome(&mut command)
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys { directory: Some(self.path(".config/runcellar/keys")), ..Keys::default() }
    }

    /// Opens the workspace through the store.
    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::open(self.workspace_path(), self.keys()).expect("opens")
    }

    /// Opens the workspace through the store under a clock that stands still.
    pub(crate) fn workspace_at(&self, clock: &Arc<Clock>) -> Workspace {
        let io: Arc<dyn Io> = clock.clone();
        OpenOptions { keys: self.keys(), io, ..OpenOptions::default() }.open(&self.workspace_path()).expect("opens")
    }

    /// Returns the only key file.
    pub(crate) fn key_file(&self) -> PathBuf {
        let directory = self.path(".config/runcellar/keys");
        let mut keys =
            std::fs::read_dir(directory).expect("the key directory").map(|entry| entry.expect("entry").path());
        keys.find(|path| path.extension() == Some(OsStr::new("key"))).expect("a key file")
    }

    /// Moves the key file away, as if it were lost.
    pub(crate) fn lose_key_file(&self) -> PathBuf {
        let moved = self.path("moved.key");
        std::fs::rename(self.key_file(), &moved).expect("renames");
        moved
    }

    /// Changes one file of the workspace.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let path = self.workspace_path().join(name);
        let mut bytes = std::fs::read(&path).expect("reads");
        edit(&mut bytes);
        std::fs::write(&path, bytes).expect("writes");
    }
}

impl Outcome {
    pub(crate) fn stderr_lines(&self) -> Vec<String> {
        self.stderr.lines().map(str::to_owned).collect()
    }

    pub(crate) fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}

/// Waits for a command and returns what it came to.
pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = loop {
        match command.output() {
            // Another test's child was forked while this test was still writing its copy of the binary, and has not
            // closed what it inherited yet.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            other => break other.expect("the command starts"),
        }
    };
    let Output { status, stdout, stderr } = output;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Outcome { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

/// Says past the harness's capture that this machine cannot show something.
pub(crate) fn not_tested(why: &str) {
    writeln!(std::io::stderr(), "NOT TESTED: {why}").expect("stderr takes it");
}

/// Logs `values` of one metric, one a step.
pub(crate) fn log_all(run: &Run, metric: &str, values: &[f64]) {
    for value in values {
        run.log([(metric, *value)]).expect("logs");
    }
}

/// The system's files under a clock that the test moves.
pub(crate) struct Clock {
    wall_us: AtomicI64,
    monotonic_us: AtomicI64,
}

const DAY_US: i64 = 86_400_000_000;

impl Clock {
    /// Starts three days and an hour ago, so that listings say `3d ago` however slow the test is.
    pub(crate) fn three_days_ago() -> Arc<Clock> {
        let now = SystemIo.wall_us();
        Arc::new(Clock { wall_us: AtomicI64::new(now - 3 * DAY_US - DAY_US / 24), monotonic_us: AtomicI64::new(0) })
    }

    pub(crate) fn advance(&self, us: i64) {
        self.wall_us.fetch_add(us, Ordering::SeqCst);
        self.monotonic_us.fetch_add(us, Ordering::SeqCst);
    }
}

impl Io for Clock {
    fn wall_us(&self) -> i64 {
        self.wall_us.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        self.monotonic_us.load(Ordering::SeqCst)
    }

    fn random(&self, out: &mut [u8]) -> IoResult<()> {
        SystemIo.random(out)
    }

    fn create_new(&self, path: &Path) -> IoResult<Arc<dyn IoFile>> {
        SystemIo.create_new(path)
    }

    fn open(&self, path: &Path) -> IoResult<Arc<dyn IoFile>> {
        SystemIo.open(path)
    }

    fn read(&self, path: &Path, limit: u64) -> IoResult<Vec<u8>> {
        SystemIo.read(path, limit)
    }

    fn list(&self, path: &Path) -> IoResult<Vec<PathBuf>> {
        SystemIo.list(path)
    }

    fn create_dir(&self, path: &Path) -> IoResult<()> {
        SystemIo.create_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> IoResult<()> {
        SystemIo.sync_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> IoResult<()> {
        SystemIo.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> IoResult<()> {
        SystemIo.link(from, to)
    }

    fn remove(&self, path: &Path) -> IoResult<()> {
        SystemIo.remove(path)
    }

    fn identity(&self, path: &Path) -> IoResult<FileIdentity> {
        SystemIo.identity(path)
    }

    fn modified_us(&self, path: &Path) -> IoResult<i64> {
        SystemIo.modified_us(path)
    }
}
