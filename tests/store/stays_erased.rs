//! What was erased here for good does not come back from elsewhere: a copy that is merged, or pieces that are taken in.

use runcellar::artifacts::RemoveOptions;
use runcellar::transfer::Outcome;
use runcellar::{LeftOut, MergeOptions, MergeReport, PurgeOptions, Target, Workspace};

use crate::merge::{copy_of, fill, ids, is_whole, open_other};
use crate::support::Place;
use crate::transfer::{carried, outcomes, take_in};

fn purge(workspace: &Workspace, target: &str) {
    let target: Target = target.parse().expect("a target");
    workspace.purge(&[target], PurgeOptions::default()).expect("purges");
}

/// Merges, and returns what stays erased. Once more nothing is changed.
#[track_caller]
fn merged(mine: &Workspace, other: &Workspace) -> (MergeReport, Vec<String>) {
    let report = mine.merge(other, &MergeOptions::default()).expect("merges");
    let stays = |LeftOut { what, why, damaged }: &LeftOut| {
        assert_eq!((why.as_str(), *damaged), ("it was erased here, and does not come back", false));
        what.clone()
    };
    let mut left: Vec<String> = report.left_out.iter().map(stays).collect();
    left.sort();
    is_whole(mine);
    let again = mine.merge(other, &MergeOptions::default()).expect("merges");
    assert!(again.is_empty() && again.left_out == report.left_out, "{again:?}");
    (report, left)
}

#[test]
fn a_run_that_was_purged_here_does_not_come_back_by_a_merge() {
    let place = Place::new();
    fill(&place);
    let copied = copy_of(&place, "copy");
    let mine = place.open();
    purge(&mine, "one");
    // The copy goes on with it.
    let copy = place.options().open(&copied).expect("opens");
    let run = copy.run("p").id("one").resume(runcellar::Resume::Must).start().expect("goes on");
    run.log([("n", 1_i64)]).expect("logs");
    let (report, left) = merged(&mine, &place.options().open_to_read(&copied).expect("opens"));
    assert_eq!((left, report.new_runs), (vec!["run one".to_owned()], 0));
    assert_eq!(ids(&mine), ["fork"]);
    run.finish().expect("finishes");
    drop(copy);
    let (_, left) = merged(&mine, &place.options().open_to_read(&copied).expect("opens"));
    assert_eq!((left, ids(&mine)), (vec!["run one".to_owned()], vec!["fork".to_owned()]));
}

#[test]
fn media_that_were_purged_here_stay_away_while_their_run_goes_on() {
    let place = Place::new();
    fill(&place);
    let copied = copy_of(&place, "copy");
    let mine = place.open();
    purge(&mine, "class:media@one");
    let copy = place.options().open(&copied).expect("opens");
    let run = copy.run("p").id("one").resume(runcellar::Resume::Must).start().expect("goes on");
    run.log([("later", 1_i64)]).expect("logs");
    run.finish().expect("finishes");
    drop(copy);
    let (report, left) = merged(&mine, &place.options().open_to_read(&copied).expect("opens"));
    assert_eq!((left, report.updated_runs, report.new_files), (vec!["media of run one".to_owned()], 1, 0));
    let one = mine.find_run("one").expect("listed");
    assert_eq!(mine.series(&one, "later", None).expect("reads").steps.len(), 1, "its rows came");
    assert!(
        mine.media(&one).expect("reads").list().iter().all(|info| mine
            .media(&one)
            .expect("reads")
            .read(info.id)
            .is_err())
    );
}

#[test]
fn a_project_that_was_purged_here_does_not_come_back_nor_do_its_later_runs() {
    let place = Place::new();
    fill(&place);
    let copied = copy_of(&place, "copy");
    let mine = place.open();
    purge(&mine, "project:p");
    let copy = place.options().open(&copied).expect("opens");
    copy.run("p").id("later").start().expect("starts").finish().expect("finishes");
    let live = copy.run("p").id("live").start().expect("starts");
    live.log([("n", 1_i64)]).expect("logs");
    copy.run("elsewhere").id("beside").start().expect("starts").finish().expect("finishes");
    let (_, left) = merged(&mine, &place.options().open_to_read(&copied).expect("opens"));
    assert_eq!(left, ["artifact p/weights", "run fork", "run later", "run live", "run one"]);
    assert_eq!(ids(&mine), ["beside"]);
    live.finish().expect("finishes");
    // A project of that name which was made here since is another one, and takes runs.
    mine.run("p").id("new").start().expect("starts").finish().expect("finishes");
    assert_eq!(ids(&mine), ["beside", "new"]);
}

#[test]
fn versions_and_artifacts_that_were_removed_here_do_not_come_back() {
    let place = Place::new();
    fill(&place);
    let copied = copy_of(&place, "copy");
    let mine = place.open();
    let version = mine.artifact("weights:v0").expect("is there");
    mine.remove_version(&version, RemoveOptions { aliases_too: true }).expect("is removed");
    let other = place.options().open_to_read(&copied).expect("opens");
    let (_, left) = merged(&mine, &other);
    assert_eq!(left, ["artifact p/weights:v0"]);
    assert!(mine.artifact("weights:v0").is_err() && mine.artifact("weights:v1").is_ok());
    purge(&mine, "artifact:weights");
    let (_, left) = merged(&mine, &other);
    assert_eq!(left, ["artifact p/weights"]);
    assert!(mine.artifact("weights").is_err());
}

#[test]
fn what_was_purged_here_is_left_out_when_pieces_of_it_are_taken_in() {
    let (place, other) = (Place::new(), Place::new());
    fill(&place);
    let mine = place.open();
    let pieces = carried(&mine, &["one"]);
    purge(&mine, "one");
    purge(&mine, "artifact:weights");
    let taken = take_in(&mine, &pieces).expect("is looked at");
    assert_eq!(outcomes(&taken), [Outcome::Erased, Outcome::Erased]);
    assert_eq!(taken[1].name, "one");
    assert_eq!(ids(&mine), ["fork"]);
    assert!(mine.artifact("weights").is_err());
    is_whole(&mine);
    // Elsewhere it is nobody's business.
    assert_eq!(outcomes(&take_in(&other.open(), &pieces).expect("comes in")), [Outcome::New, Outcome::New]);
    let report = mine.merge(&open_other(&other), &MergeOptions::default()).expect("merges");
    assert!(report.is_empty() && !report.left_out.is_empty(), "{report:?}");
}
