//! Everything that the store reads from a workspace, as JSON: metadata of all runs, and all points of all metrics.
//!
//! Floats stand there as `f` and their bits in hexadecimal, as JSON knows neither NaN nor -0.0; integers as `i` and
//! digits, texts as `t` and the text. Content of files stands there as its BLAKE3 hash.

use runcellar::artifacts::{DownloadOptions, EntryKind};
use runcellar::{ArtifactVersion, Json, Result, RunInfo, Selection, Workspace};
use serde_json::{Map, Value as Out, json as out};

pub(crate) fn dump(workspace: &Workspace) -> Result<Out> {
    let mut all = Map::new();
    for removed in [false, true] {
        for run in workspace.runs(&Selection { removed, ..Selection::default() })? {
            let mut metrics = Map::new();
            for metric in workspace.metrics(&run)? {
                let series = workspace.series(&run, &metric.name, None)?;
                let point = |at: usize| {
                    let value = series.values.get(at).map_or(Out::Null, |value| leaf(&Json::from(value)));
                    out!([series.steps[at], series.times[at], value])
                };
                metrics.insert(metric.name, (0..series.steps.len()).map(point).collect());
            }
            let summary: Map<String, Out> =
                run.summary.iter().map(|(key, value)| (key.clone(), leaf(&Json::from(value.clone())))).collect();
            let one = out!({
                "project": run.project, "name": run.name, "state": run.state.as_str(), "created": run.created,
                "finished": run.finished, "exit_code": run.exit_code, "tags": run.tags, "notes": run.notes,
                "group": run.group, "job_type": run.job_type, "removed": run.removed, "config": leaf(&run.config),
                "summary": summary, "metrics": metrics,
            });
            all.insert(run.id.clone(), one);
        }
    }
    Ok(Out::Object(all))
}

fn leaf(value: &Json) -> Out {
    match value {
        Json::Null => Out::Null,
        Json::Bool(value) => Out::Bool(*value),
        Json::Int(value) => Out::String(format!("i{value}")),
        Json::Float(value) => Out::String(format!("f{:016x}", value.to_bits())),
        Json::Text(value) => Out::String(format!("t{value}")),
        Json::List(items) => items.iter().map(leaf).collect(),
        Json::Map(members) => Out::Object(members.iter().map(|(key, value)| (key.clone(), leaf(value))).collect()),
    }
}

/// Everything that belongs to artifacts, media and code, what was purged, and what opens the workspace.
pub(crate) fn dump_files(workspace: &Workspace) -> Result<Out> {
    let (mut artifacts, mut media, mut code) = (Map::new(), Map::new(), Map::new());
    for version in workspace.artifacts(None)? {
        artifacts.insert(version.full_name(), version_of(&version)?);
    }
    for run in workspace.runs(&Selection::default())? {
        let (of_media, of_code) = (media_of(workspace, &run)?, code_of(workspace, &run)?);
        media.extend((!of_media.is_empty()).then(|| (run.id.clone(), Out::Object(of_media))));
        code.extend((!of_code.is_empty()).then(|| (run.id.clone(), Out::Object(of_code))));
    }
    let receipts: Vec<Out> = workspace
        .receipts()?
        .iter()
        .map(|receipt| receipt.verify().map(|()| serde_json::from_str(&receipt.to_json()).unwrap_or_default()))
        .collect::<Result<_>>()?;
    let slots: Vec<&str> = workspace.slots()?.iter().map(|slot| slot.kind).collect();
    Ok(out!({"artifacts": artifacts, "media": media, "code": code, "receipts": receipts, "slots": slots}))
}

fn version_of(version: &ArtifactVersion) -> Result<Out> {
    let to = tempfile::tempdir().expect("a temporary directory");
    let got = version.download(to.path(), &DownloadOptions::default())?;
    assert!(got.hurt.is_empty(), "{}: {:?}", version.full_name(), got.hurt);
    let mut entries = Map::new();
    for entry in version.entries(None)? {
        let shown = match entry.kind {
            EntryKind::File { executable, .. } => {
                out!(["file", executable, hash(&std::fs::read(to.path().join(&entry.path)).expect("came out"))])
            }
            EntryKind::Link { target } => out!(["link", target]),
            EntryKind::Directory => out!(["directory"]),
            EntryKind::Reference { uri, size, digest } => out!(["reference", uri, size, digest]),
        };
        entries.insert(entry.path.display().to_string(), shown);
    }
    Ok(out!({
        "type": version.kind, "digest": version.digest, "created": version.created, "aliases": version.aliases,
        "links_to": version.links_to, "description": version.description, "metadata": leaf(&version.metadata),
        "made_by": version.made_by, "used_by": version.used_by, "entries": entries,
    }))
}

fn media_of(workspace: &Workspace, run: &RunInfo) -> Result<Map<String, Out>> {
    let media = workspace.media(run)?;
    let mut found = Map::new();
    for info in media.list().iter().filter(|info| !info.is_panel()) {
        let mut files = Map::from_iter([("content".to_owned(), hash(&media.read(info.id)?))]);
        for name in &info.companions {
            files.insert(name.clone(), hash(&media.read_companion(info.id, name)?));
        }
        found.insert(info.id.to_string(), out!([info.kind, info.format, files]));
    }
    Ok(found)
}

fn code_of(workspace: &Workspace, run: &RunInfo) -> Result<Map<String, Out>> {
    let read = |path: Vec<u8>| -> Result<(String, Out)> {
        let content = workspace.code_file(run, &path)?;
        Ok((String::from_utf8_lossy(&path).into_owned(), hash(&content)))
    };
    workspace.code(run)?.into_iter().map(|entry| read(entry.path)).collect()
}

fn hash(content: &[u8]) -> Out {
    Out::String(blake3::hash(content).to_hex().to_string())
}
