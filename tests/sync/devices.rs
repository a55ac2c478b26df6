//! Devices of one workspace, each in a folder of its own, and what they show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use runcellar::io::{Io, SystemIo};
use runcellar::remotes::{RemoteClass, clone_from};
use runcellar::{CheckOptions, Keys, OpenOptions, RunInfo, Selection, SeriesValues, Severity, Workspace, json};
use runcellar_sync::engine::{self, Failure, Report};
use runcellar_sync::remote::Remote;

/// The name of the remote on every device.
pub(crate) const ORIGIN: &str = "origin";

/// A workspace on one device.
pub(crate) struct Device {
    pub(crate) workspace: Workspace,
    root: PathBuf,
    _owned: tempfile::TempDir,
}

/// A folder in memory, where the system has such: this is about what is sent, and not about disks.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

fn options(keys: PathBuf) -> OpenOptions {
    let keys = Keys { directory: Some(keys), ..Keys::default() };
    OpenOptions { keys, ..OpenOptions::default() }
}

fn welcome(remote: &dyn Remote) -> Vec<u8> {
    engine::welcome(remote).expect("answers").expect("somebody publishes there")
}

/// Copies a folder, as `cp -rp` does.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-rp").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

impl Device {
    fn of(owned: tempfile::TempDir, workspace: Workspace, classes: &[RemoteClass]) -> Device {
        workspace.add_remote(ORIGIN, "memory", classes, &[]).expect("is added");
        let request = workspace.consent_request(ORIGIN).expect("asks");
        workspace.enable_remote(ORIGIN, &request.hash).expect("is enabled");
        Device { workspace, root: owned.path().to_owned(), _owned: owned }
    }

    /// The first device, which publishes metrics.
    pub(crate) fn first() -> Device {
        Device::first_with(&[RemoteClass::Metrics])
    }

    /// The first device, which publishes these classes.
    pub(crate) fn first_with(classes: &[RemoteClass]) -> Device {
        Device::first_on(Arc::new(SystemIo), classes)
    }

    /// The first device, which publishes these classes, on a system.
    pub(crate) fn first_on(io: Arc<dyn Io>, classes: &[RemoteClass]) -> Device {
        let owned = directory();
        let made = OpenOptions { create: true, io, ..options(owned.path().join("keys")) };
        let workspace = made.open(&owned.path().join("w")).expect("is made");
        Device::of(owned, workspace, classes)
    }

    /// Another device, made of what is on the remote and a copy of the first one's keys, which publishes what the first does.
    pub(crate) fn another(first: &Device, remote: &dyn Remote) -> Device {
        Device::another_on(Arc::new(SystemIo), first, remote)
    }

    /// Another device like that, on a system.
    pub(crate) fn another_on(io: Arc<dyn Io>, first: &Device, remote: &dyn Remote) -> Device {
        let classes = first.workspace.remote(ORIGIN).expect("is known").classes;
        let owned = directory();
        let keys = owned.path().join("keys");
        copy(&first.root.join("keys"), &keys);
        let options = OpenOptions { io, ..options(keys) };
        let workspace = clone_from(&welcome(remote), &owned.path().join("w"), options);
        Device::of(owned, workspace.expect("is made"), &classes)
    }

    /// A copy of its folders as they are, keys and all, which is opened later: an image of a machine.
    pub(crate) fn image(&self) -> tempfile::TempDir {
        let owned = directory();
        ["keys", "w"].into_iter().for_each(|name| copy(&self.root.join(name), &owned.path().join(name)));
        owned
    }

    /// Opens an image.
    pub(crate) fn of_image(owned: tempfile::TempDir, io: Arc<dyn Io>) -> runcellar::Result<Device> {
        let options = OpenOptions { io, ..options(owned.path().join("keys")) };
        let workspace = options.open(&owned.path().join("w"))?;
        Ok(Device { workspace, root: owned.path().to_owned(), _owned: owned })
    }

    /// Another device, below a folder.
    pub(crate) fn another_in(folder: &Path, first: &Device, remote: &dyn Remote) -> Device {
        let classes = first.workspace.remote(ORIGIN).expect("is known").classes;
        let owned = tempfile::tempdir_in(folder).expect("a temporary directory");
        let keys = owned.path().join("keys");
        copy(&first.root.join("keys"), &keys);
        let workspace = clone_from(&welcome(remote), &owned.path().join("w"), options(keys));
        Device::of(owned, workspace.expect("is made"), &classes)
    }

    /// Another device whose key file lies beside the first one's, as on one machine.
    pub(crate) fn beside(first: &Device, remote: &dyn Remote) -> Device {
        let owned = directory();
        let keys = owned.path().join("keys");
        std::os::unix::fs::symlink(first.root.join("keys"), &keys).expect("links");
        let workspace = clone_from(&welcome(remote), &owned.path().join("w"), options(keys));
        Device::of(owned, workspace.expect("is made"), &[RemoteClass::Metrics])
    }

    /// Adds the remote again, and agrees to it.
    pub(crate) fn with_remote(self) -> Device {
        Device::of(self._owned, self.workspace, &[RemoteClass::Metrics])
    }

    /// Opens it anew, as another process does.
    pub(crate) fn opened_again(self) -> Device {
        self.opened_with(Arc::new(SystemIo))
    }

    /// Opens it anew, with files that may fail.
    pub(crate) fn opened_with(self, io: Arc<dyn Io>) -> Device {
        let Device { workspace, root, _owned } = self;
        drop(workspace);
        let options = OpenOptions { io, ..options(root.join("keys")) };
        let workspace = options.open(&root.join("w")).expect("opens");
        Device { workspace, root, _owned }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn keys(&self) -> OpenOptions {
        options(self.root.join("keys"))
    }

    pub(crate) fn sync(&self, remote: &dyn Remote) -> Result<Report, Failure> {
        engine::sync(&self.workspace, ORIGIN, remote)
    }

    /// Records a run with so many rows.
    pub(crate) fn record(&self, id: &str, rows: i64) {
        let run = self.workspace.run("p").id(id).config(json!({"lr": 0.5})).start().expect("starts");
        for step in 0..rows {
            run.log([("loss", 1.0 / (step + 1) as f64), ("accuracy", step as f64)]).expect("logs");
        }
        run.finish().expect("finishes");
    }

    pub(crate) fn run(&self, id: &str) -> RunInfo {
        self.workspace.find_run(id).unwrap_or_else(|error| panic!("run {id}: {error}"))
    }

    pub(crate) fn tag(&self, id: &str, tag: &str) {
        self.workspace.tag_run(&self.run(id), &[tag.to_owned()], &[]).expect("is tagged");
    }

    /// Everything that it shows of its runs, in a form that two devices with the same have alike.
    pub(crate) fn state(&self) -> Vec<String> {
        let mut runs = self.workspace.runs(&Selection::default()).expect("lists");
        runs.sort_by(|one, two| one.id.cmp(&two.id));
        runs.iter().map(|run| self.state_of(run)).collect()
    }

    fn state_of(&self, run: &RunInfo) -> String {
        let mut tags = run.tags.clone();
        tags.sort();
        let mut text = format!(
            "{} {} {} {} {:?} {tags:?} {:?} {:?}",
            run.project, run.id, run.name, run.notes, run.state, run.config, run.summary
        );
        text.push_str(&format!(" {:?}", self.workspace.conflicts(run).expect("reads")));
        for metric in ["loss", "accuracy"] {
            let Ok(series) = self.workspace.series(run, metric, None) else { continue };
            let SeriesValues::Float(values) = &series.values else { panic!("{metric} is of floats") };
            let bits: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
            text.push_str(&format!(" {metric} {:?} {:?} {bits:?}", series.steps, series.times));
        }
        text
    }

    #[track_caller]
    pub(crate) fn is_whole(&self) {
        let report = self.workspace.check(CheckOptions { read_data: true }).expect("is checked");
        let errors: Vec<_> = report.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}
