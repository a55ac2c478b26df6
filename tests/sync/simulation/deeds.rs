//! What people do on their devices.

use runcellar::artifacts::RemoveOptions;
use runcellar::{ArtifactVersion, CollectOptions, Json, Resume, RunInfo, Selection};

use super::World;
use super::facts::{Deed, ONCE};
use super::shown::{all_versions, log_code, log_picture, put, text_if_there, text_of};

/// The tag that keeps a run at home.
const LOCAL_ONLY: &str = "local_only";

impl World {
    /// A project, of which all devices may have had their own before they heard of each other.
    fn project(&mut self) -> &'static str {
        ["p", "q"][usize::from(self.dice.one_in(3))]
    }

    pub(super) fn record(&mut self, at: usize) {
        let is_at_home = self.dice.one_in(20);
        // Many rows stand in a segment of their own.
        let most = if self.dice.one_in(6) { 1_400 } else { 4 };
        let (project, rows) = (self.project(), 1 + self.dice.below(most) as i64);
        let has_files = self.has_files();
        let (has_code, has_picture) = (has_files && self.dice.one_in(6), has_files && self.dice.one_in(6));
        self.recorded += 1;
        let id = format!("{}-{:03}", if is_at_home { "home" } else { "run" }, self.recorded);
        self.note(at, &format!("records {id} of {project}, {rows} rows, code {has_code}, picture {has_picture}"));
        let mut builder = self.members[at].device.workspace.run(project).id(&id).config(runcellar::json!({"lr": 0.5}));
        if is_at_home {
            builder = builder.tags([LOCAL_ONLY]);
            self.facts.at_home.insert(id.clone());
            self.members[at].at_home.insert(id.clone());
        }
        let run = builder.start().expect("starts");
        for step in 0..rows {
            run.log([("loss", 1.0 / (step + 1) as f64), ("accuracy", step as f64)]).expect("logs");
        }
        if has_code {
            log_code(&run, &id);
        }
        if has_picture {
            log_picture(&run, &id);
        }
        run.finish().expect("finishes");
        self.did(at, Deed::Rows(id.clone(), rows));
        if has_picture {
            self.did(at, Deed::Picture(id));
        }
    }

    /// A run that this device has, and which may leave it.
    fn run_of(&mut self, at: usize) -> Option<RunInfo> {
        let mut runs = self.members[at].device.workspace.runs(&Selection::default()).expect("lists");
        runs.retain(|run| !self.facts.at_home.contains(&run.id));
        runs.sort_by(|one, two| one.id.cmp(&two.id));
        (!runs.is_empty()).then(|| runs.swap_remove(self.dice.below(runs.len())))
    }

    /// A version that this device has, or a link to one, and its own text.
    fn version_of(&mut self, at: usize) -> Option<(ArtifactVersion, String)> {
        let workspace = &self.members[at].device.workspace;
        // What others erased since the last sync is not where it was left: docs/SYNC.md.
        let leaves = workspace.setting("sync.content").expect("reads") == Json::Text("remote".to_owned());
        let text = |version: &ArtifactVersion| if leaves { text_if_there(version) } else { Some(text_of(version)) };
        let mut versions: Vec<(ArtifactVersion, String)> = all_versions(workspace)
            .into_iter()
            .filter_map(|version| text(&version).map(|text| (version, text)))
            .collect();
        versions.sort_by(|one, two| (&one.1, one.0.links_to.is_some()).cmp(&(&two.1, two.0.links_to.is_some())));
        (!versions.is_empty()).then(|| versions.swap_remove(self.dice.below(versions.len())))
    }

    /// Goes on with a run.
    pub(super) fn resume(&mut self, at: usize) {
        let Some(run) = self.run_of(at) else { return };
        let id = run.id;
        let has_picture = self.has_files() && self.dice.one_in(4) && !self.facts.has(&Deed::PurgeMedia(id.clone()));
        self.note(at, &format!("resumes {id}, picture {has_picture}"));
        let builder = self.members[at].device.workspace.run(&run.project).id(&id);
        let run = builder.resume(Resume::Must).start().expect("resumes");
        run.log([("loss", 0.5), ("accuracy", 1.0)]).expect("logs");
        if has_picture {
            log_picture(&run, &format!("{id} again"));
        }
        run.finish().expect("finishes");
        self.did(at, Deed::Rows(id.clone(), 1));
        if has_picture {
            self.did(at, Deed::Picture(id));
        }
    }

    /// Says something of a run, as others may do at the same time.
    pub(super) fn edit(&mut self, at: usize) {
        let Some(run) = self.run_of(at) else { return };
        let what = self.dice.below(6);
        let word = format!("word-{}", self.dice.below(100));
        let shared = format!("tag-{}", self.dice.below(3));
        let words = ["renames", "annotates", "tags", "untags", "tags by another name", "takes a tag away of"];
        self.note(at, &format!("{} {}", words[what], run.id));
        let workspace = self.members[at].device.workspace.clone();
        match what {
            0 => workspace.rename_run(&run, &word).expect("renames"),
            1 => workspace.annotate_run(&run, &word).expect("annotates"),
            2 => workspace.tag_run(&run, &[shared], &[]).expect("tags"),
            3 => workspace.tag_run(&run, &[], &[shared]).expect("untags"),
            4 => {
                let tag = format!("only-{}", self.facts.len());
                workspace.tag_run(&run, std::slice::from_ref(&tag), &[]).expect("tags");
                self.did(at, Deed::Tag(run.id, tag));
            }
            _ => {
                let Some(tag) = run.tags.iter().find(|tag| tag.starts_with("only-")).cloned() else { return };
                workspace.tag_run(&run, &[], std::slice::from_ref(&tag)).expect("untags");
                self.did(at, Deed::Untag(run.id, tag));
            }
        }
    }

    /// Hides a run, or shows all again.
    pub(super) fn hide(&mut self, at: usize) {
        let workspace = self.members[at].device.workspace.clone();
        if self.dice.one_in(2) {
            let Some(run) = self.run_of(at) else { return };
            self.note(at, &format!("hides {}", run.id));
            return workspace.remove_runs(&[run]).expect("hides");
        }
        self.note(at, "shows all");
        workspace.restore_runs(&self.hidden(at)).expect("restores");
    }

    pub(super) fn hidden(&self, at: usize) -> Vec<RunInfo> {
        let removed = Selection { removed: true, ..Selection::default() };
        self.members[at].device.workspace.runs(&removed).expect("lists")
    }

    /// Collects garbage. By a clock that is years ahead, what was hidden was so for long.
    pub(super) fn collect(&mut self, at: usize) {
        let now = self.dice.one_in(2);
        let before = self.hidden(at);
        self.members[at].device.workspace.collect_garbage(CollectOptions { now }).expect("collects");
        let after: Vec<String> = self.hidden(at).into_iter().map(|run| run.id).collect();
        let gone: Vec<String> = before.into_iter().map(|run| run.id).filter(|id| !after.contains(id)).collect();
        self.note(at, &format!("collects garbage, now {now}, which erases {gone:?}"));
        gone.into_iter().for_each(|id| self.did(at, Deed::PurgeRun(id)));
    }

    /// Does something with artifacts.
    pub(super) fn artifacts(&mut self, at: usize) {
        let what = self.dice.below(8);
        if what < 3 {
            return self.put(at);
        }
        let Some((version, text)) = self.version_of(at) else { return self.put(at) };
        let name = version.full_name();
        let words = ["is used", "gets an alias", "is linked", "is removed", "is removed"];
        self.note(at, &format!("{name} ({text}) {}", words[what - 3]));
        let workspace = self.members[at].device.workspace.clone();
        match what {
            3 => {
                let Some(run) = self.run_of(at) else { return };
                workspace.use_version(&version, &run).expect("uses");
            }
            4 => {
                let alias = ["best", "prod"][self.dice.below(2)].to_owned();
                workspace.tag_version(&version, &[alias], &[]).expect("names");
            }
            5 => {
                let collection = ["registry/good", "registry/other", ONCE][self.dice.below(3)];
                if collection == ONCE && self.facts.has(&Deed::Link(text.clone())) {
                    return;
                }
                self.note(at, &format!("{text} goes into {collection}"));
                workspace.link_version(&version, collection, &["staging".to_owned()]).expect("links");
                if collection == ONCE {
                    self.did(at, Deed::Link(text));
                }
            }
            _ => {
                workspace.remove_version(&version, RemoveOptions { aliases_too: true }).expect("removes");
                match version.links_to {
                    None => self.did(at, Deed::PurgeVersion(text)),
                    Some(_) if name.starts_with(ONCE) => self.did(at, Deed::Unlink(text)),
                    Some(_) => {}
                }
            }
        }
    }

    fn put(&mut self, at: usize) {
        let (project, name) = (self.project(), ["model", "data"][self.dice.below(2)]);
        let text = format!("version-{:03}", self.facts.len());
        let aliases: &[&str] = if self.dice.one_in(3) { &["best"] } else { &[] };
        let run = if self.dice.one_in(2) { self.run_of(at).map(|run| run.id) } else { None };
        self.note(at, &format!("puts {text} as {project}/{name} {aliases:?} made by {run:?}"));
        put(&self.members[at].device.workspace, (project, name), &text, run.as_deref(), aliases);
        self.did(at, Deed::Version(text));
    }

    /// Replaces the keys, with or without something erased.
    pub(super) fn replace_keys(&mut self, at: usize) {
        // As the command does before it replaces keys: so all that are there are known.
        if self.sync(at).is_err() {
            return;
        }
        let workspace = self.members[at].device.workspace.clone();
        let (target, deed) = match self.dice.below(6) {
            0..2 => {
                self.note(at, "rotates");
                workspace.rotate_keys().expect("rotates");
                self.replaced += 1;
                return;
            }
            2..4 => {
                let Some(run) = self.run_of(at) else { return };
                (run.id.clone(), Deed::PurgeRun(run.id))
            }
            4 => {
                let Some(run) = self.run_of(at) else { return };
                (format!("class:media@{}", run.id), Deed::PurgeMedia(run.id))
            }
            _ => {
                let Some((version, text)) = self.version_of(at) else { return };
                if version.links_to.is_some() {
                    return;
                }
                (format!("artifact:{}", version.full_name()), Deed::PurgeVersion(text))
            }
        };
        self.note(at, &format!("purges {target}"));
        match workspace.purge(&[target.parse().expect("a target")], Default::default()) {
            Ok(_) => {
                self.did(at, deed);
                self.replaced += 1;
            }
            // There may be no media.
            Err(error) => assert!(target.starts_with("class:media"), "{target}: {error}"),
        }
    }
}
