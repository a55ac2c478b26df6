//! Files of runs and artifacts: how simulated devices make them, and what they show of them.

use std::sync::Arc;

use runcellar::artifacts::{ArtifactDraft, DownloadOptions, PutSettings};
use runcellar::{ArtifactVersion, CodeFolder, ErrorKind, NewMedia, Run, Selection, SeriesValues, Workspace, json};

use crate::devices::Device;

/// File of a version that no other has.
const OWN: &str = "own.txt";
/// File of a version that others have, too, but for a part of it.
const SHARED: &str = "shared.bin";

/// A version as it is shown. Numbers are each device's own, and so is the alias that follows from them.
#[derive(Debug)]
pub(super) struct Shown {
    /// What its own file holds.
    pub(super) text: String,
    /// Names of the project and the artifact or collection.
    pub(super) artifact: String,
    line: String,
}

/// A folder in memory, where the system has such.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

pub(super) fn log_picture(run: &Run, text: &str) {
    let picture = NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({"caption": text}),
        content: Arc::new(format!("a picture of {text}").into_bytes()),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("sample".into(), picture)], |_| {}).expect("logs");
}

pub(super) fn log_code(run: &Run, text: &str) {
    let source = folder();
    std::fs::write(source.path().join("train.py"), format!("# of {text}\n")).expect("writes");
    let folder = CodeFolder { root: source.path().to_owned(), ..CodeFolder::default() };
    assert_eq!(run.log_code(&folder).expect("is kept").files, 1);
}

/// Puts a version that has a file of its own, and one that begins as others do.
pub(super) fn put(workspace: &Workspace, artifact: (&str, &str), text: &str, run: Option<&str>, aliases: &[&str]) {
    let (project, name) = artifact;
    let mut draft = ArtifactDraft::new(name, "model").expect("a name");
    draft.add_bytes(OWN, text.as_bytes().to_vec()).expect("adds");
    let shared = [&[7; 3000][..], text.as_bytes()].concat();
    draft.add_bytes(SHARED, shared).expect("adds");
    let settings = PutSettings {
        project: project.into(),
        run: run.map(str::to_owned),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ..PutSettings::default()
    };
    workspace.put_artifact(&draft, &settings).expect("is put");
}

/// Lists the versions of all artifacts, collections among them.
pub(super) fn all_versions(workspace: &Workspace) -> Vec<ArtifactVersion> {
    let artifacts = workspace.artifacts(None).expect("lists");
    let names = artifacts.iter().map(|artifact| format!("{}/{}", artifact.project, artifact.name));
    let mut names: Vec<String> = names.collect();
    names.dedup();
    names.iter().flat_map(|name| workspace.artifact_versions(name).expect("lists")).collect()
}

/// Reads what a version's own file holds.
pub(super) fn text_of(version: &ArtifactVersion) -> String {
    text_or_hurt(version).unwrap_or_else(|hurt| panic!("{}: {hurt}", version.full_name()))
}

/// Does so if its content can be read.
pub(super) fn text_if_there(version: &ArtifactVersion) -> Option<String> {
    text_or_hurt(version).ok()
}

fn text_or_hurt(version: &ArtifactVersion) -> Result<String, String> {
    let folder = folder();
    let got = version.download(&folder.path().join("to"), &DownloadOptions::default()).expect("downloads");
    if !got.hurt.is_empty() {
        return Err(format!("{:?}", got.hurt));
    }
    let read = |name: &str| std::fs::read(folder.path().join("to").join(name)).expect("reads");
    let (own, shared) = (read(OWN), read(SHARED));
    assert!(shared.len() == 3000 + own.len() && shared.ends_with(&own), "{}", version.full_name());
    Ok(String::from_utf8(own).expect("text"))
}

/// Returns all versions and links with what is known of them.
pub(super) fn versions(device: &Device) -> Vec<Shown> {
    let workspace = &device.workspace;
    let shown = |version: ArtifactVersion| {
        let text = text_of(&version);
        let runs = workspace.runs_of_version(&version).expect("reads");
        let ids = |runs: &[runcellar::RunInfo]| {
            let mut ids: Vec<String> = runs.iter().map(|run| run.id.clone()).collect();
            ids.sort();
            ids
        };
        let mut aliases = version.aliases.clone();
        aliases.retain(|alias| alias != "latest");
        aliases.sort();
        let line = format!(
            "{}/{} {text} {aliases:?} {} made by {:?}, used by {:?}",
            version.project,
            version.name,
            if version.links_to.is_some() { "linked" } else { "" },
            ids(&runs.made),
            ids(&runs.used)
        );
        Shown { text, artifact: format!("{}/{}", version.project, version.name), line }
    };
    all_versions(workspace).into_iter().map(shown).collect()
}

/// Returns what a device shows of files of runs and of artifacts, in a form that two devices with the same have alike.
pub(super) fn files(device: &Device) -> Vec<String> {
    let workspace = &device.workspace;
    let mut shown: Vec<String> = versions(device).into_iter().map(|version| version.line).collect();
    for run in workspace.runs(&Selection::default()).expect("lists") {
        for file in workspace.code(&run).expect("lists") {
            let text = workspace.code_file(&run, &file.path).expect("reads");
            shown.push(format!("{} {:?} {:?}", run.id, String::from_utf8(file.path), String::from_utf8(text)));
        }
        let Ok(series) = workspace.series(&run, "sample", None) else { continue };
        let SeriesValues::Media(ids) = series.values else { panic!("sample is of media") };
        let media = workspace.media(&run).expect("lists");
        for (step, id) in series.steps.iter().zip(ids) {
            let what = media.get(id).map(|info| format!("{:?}", info.metadata));
            let content: Result<_, ErrorKind> = media.read(id).map(String::from_utf8).map_err(|error| error.kind());
            shown.push(format!("{} {step} {what:?} {content:?}", run.id));
        }
    }
    shown.sort();
    shown
}
