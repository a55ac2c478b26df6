//! `export --media`: media files as files, one folder a run and metric.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use runcellar::{ErrorKind, MediaId, RunInfo, RunMedia, SeriesValues, Value, Window, Workspace};

use crate::capsule::component;
use crate::failure::Failure;
use crate::files::NewFile;
use crate::session::Session;

/// Writes the media of runs below `directory`; returns how many files there are, and how many media are gone.
pub(super) fn write(
    session: &Session,
    workspace: &Workspace,
    runs: &[RunInfo],
    window: Window,
    directory: &Path,
) -> Result<(u64, u64), Failure> {
    let work = session.work("exporting media");
    let mut written = Written::default();
    for (index, run) in runs.iter().enumerate() {
        work.reached("exporting runs", index, runs.len());
        let mut media = None;
        for metric in workspace.metrics(run)? {
            if !matches!(metric.kind, "media" | "mixed") {
                continue;
            }
            let series = workspace.series_in(run, &metric.name, window, None)?;
            if !has_media(&series.values) {
                continue;
            }
            let media = match &media {
                Some(media) => media,
                None => media.insert(workspace.media(run)?),
            };
            let folder = directory.join(component(&run.id)).join(component(&metric.name));
            let mut numbers = HashMap::new();
            for (index, step) in series.steps.iter().enumerate() {
                if let Some(Value::Media(id)) = series.values.get(index) {
                    written.one(media, id, &folder, *step, &mut numbers)?;
                }
            }
        }
    }
    Ok((written.files, written.missing))
}

fn has_media(values: &SeriesValues) -> bool {
    match values {
        SeriesValues::Media(_) => true,
        SeriesValues::Mixed(all) => all.iter().any(|value| matches!(value, Value::Media(_))),
        _ => false,
    }
}

#[derive(Default)]
struct Written {
    files: u64,
    missing: u64,
}

impl Written {
    /// Writes a media file with what is beside it; of a panel, and of what else is made of others, those too.
    fn one(
        &mut self,
        media: &RunMedia,
        id: MediaId,
        folder: &Path,
        step: i64,
        numbers: &mut HashMap<i64, u64>,
    ) -> Result<(), Failure> {
        let Some(info) = media.get(id) else {
            self.missing += 1;
            return Ok(());
        };
        if !info.is_panel() {
            let number = numbers.entry(step).or_default();
            let stem = format!("{step}_{number}");
            *number += 1;
            let ending = if info.format.is_empty() { "bin" } else { &info.format };
            let mut files = vec![(format!("{stem}.{}", component(ending)), media.read(id))];
            for name in &info.companions {
                files.push((format!("{stem}.{}", component(name)), media.read_companion(id, name)));
            }
            std::fs::create_dir_all(folder).map_err(|cause| failed(folder, &cause))?;
            for (name, content) in files {
                match content {
                    Err(gone) if gone.kind() == ErrorKind::NotFound => self.missing += 1,
                    content => {
                        write_file(&folder.join(name), &content?)?;
                        self.files += 1;
                    }
                }
            }
        }
        info.parts.iter().try_for_each(|part| self.one(media, *part, folder, step, numbers))
    }
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut file = NewFile::create(path)?;
    file.write_all(content).map_err(|cause| failed(path, &cause))?;
    file.finish()
}

fn failed(path: &Path, cause: &std::io::Error) -> Failure {
    Failure::file("write", path, cause)
}
