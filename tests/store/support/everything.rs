//! A workspace with sealed objects of every kind that there is, made in stages so that most rows have older versions.

use std::sync::Arc;

use runcellar::artifacts::{ArtifactDraft, PutSettings, RemoveOptions};
use runcellar::{CodeFolder, NewMedia, PurgeOptions, Resume, Workspace, json};

use super::{Place, Rng};

/// The number of every kind of object in the table of objects: docs/FORMAT.md, "Sealed object".
pub(crate) const KINDS: [i64; 18] = [2, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 17, 18, 20, 22, 23, 24, 25];

/// Records a workspace; `staged` is called between its stages, when nobody has it open.
pub(crate) fn record(place: &Place, mut staged: impl FnMut()) {
    for stage in 0..3_u64 {
        let workspace = place.open();
        log(&workspace, "first", 600);
        log(&workspace, "goes", 20);
        workspace.find_run("first").expect("listed");
        with_files(place, &workspace, stage);
        put(&workspace, stage);
        workspace.set_setting("console", Some(if stage == 1 { "off" } else { "on" })).expect("sets");
        if stage == 0 {
            // Enough row groups for overviews.
            (0..70).for_each(|_| log(&workspace, "long", 3));
        }
        if stage == 1 {
            let first = workspace.artifact("data:v0").expect("is there");
            workspace.remove_version(&first, RemoveOptions::default()).expect("removes");
        }
        workspace.fold_catalogue().expect("folds");
        if stage == 2 {
            workspace.purge(&["goes".parse().expect("a run")], PurgeOptions::default()).expect("purges");
        }
        drop(workspace);
        if stage < 2 {
            staged();
        }
    }
}

fn log(workspace: &Workspace, id: &str, rows: i64) {
    let run = workspace.run("p").id(id).resume(Resume::Allow).start().expect("starts");
    for row in 0..rows {
        run.log([("loss", row as f64 * 0.37), ("noise", (row as f64).sin())]).expect("logs");
    }
    run.finish().expect("finishes");
}

/// A run with media and code.
fn with_files(place: &Place, workspace: &Workspace, stage: u64) {
    let folder = place.root().join("code");
    std::fs::create_dir_all(&folder).expect("creates");
    std::fs::write(folder.join("train.py"), format!("print({stage})\n")).expect("writes");
    let run = workspace.run("q").id("with-files").resume(Resume::Allow).start().expect("starts");
    let image = NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({}),
        content: Arc::new(vec![stage as u8; 500]),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    run.log_media(None, None, vec![("image".into(), image)], |_| {}).expect("logs");
    run.log_code(&CodeFolder { root: folder, ..CodeFolder::default() }).expect("keeps");
    run.finish().expect("finishes");
}

fn put(workspace: &Workspace, stage: u64) {
    let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
    for (path, seed) in [("same", 9), ("own", stage)] {
        let mut rng = Rng(seed);
        draft.add_bytes(path, std::iter::repeat_with(|| rng.next() as u8).take(600).collect()).expect("adds");
    }
    let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
    workspace.put_artifact(&draft, &settings).expect("puts");
}
