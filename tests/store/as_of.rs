//! The workspace as it was at a time.

use std::time::{SystemTime, UNIX_EPOCH};

use runcellar::{ErrorKind, HistoryPoint, RunState, Selection, Value, Workspace, json};

use crate::support::rows::assert_points;
use crate::support::{Place, Rng};

/// Returns a time after all that was done before and before all that is done after: clocks of changes count
/// milliseconds.
fn now() -> i64 {
    let us = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64;
    let wait_until = |end: i64| {
        while us() < end {
            std::hint::spin_loop();
        }
    };
    wait_until(us() + 2_000);
    let now = us();
    wait_until(now + 2_000);
    now
}

#[track_caller]
fn assert_loss(workspace: &Workspace, run: &str, expected: std::ops::Range<i64>) {
    let run = workspace.find_run(run).expect("the run is there");
    let points: Vec<_> = expected.map(|step| (step, Value::Int(step))).collect();
    assert_points(&workspace.series(&run, "loss", None).expect("reads"), &points, "loss as of then");
    let metrics = workspace.metrics(&run).expect("reads");
    let loss = metrics.iter().find(|metric| metric.name == "loss").expect("listed");
    assert_eq!((loss.points, loss.last_step), (points.len() as u64, points.len() as i64 - 1));
    assert_eq!(Some(&loss.last), run.summary("loss"));
    assert_eq!(loss.max, Some(loss.last.clone()));
    let table = workspace.history(&run, Some(&["loss".to_owned()]), Default::default(), None).expect("reads");
    assert_eq!(table.steps.len(), points.len());
}

#[test]
fn runs_show_as_they_were() {
    let place = Place::new();
    let workspace = place.open();
    let before = now();
    let run = workspace.run("digits").id("run").name("first").config(json!({"lr": 0.1})).tags(["a"]);
    let run = run.start().expect("starts");
    (0..5_000).for_each(|step| run.log([("loss", step)]).expect("logs"));
    run.summary("note", "early").expect("sets");
    let middle = now();
    (5_000..9_000).for_each(|step| run.log([("loss", step)]).expect("logs"));
    run.log([("late", 1_i64)]).expect("logs");
    run.rename("second").expect("renames");
    run.config("lr", 0.2).expect("sets");
    run.config("new", true).expect("sets");
    run.tag("b").expect("tags");
    run.untag("a").expect("untags");
    run.summary("note", "later").expect("sets");
    let check_middle = |when: &str| {
        let past = workspace.as_of(middle).expect("opens");
        let seen = past.find_run("run").expect("it was there");
        assert_eq!((seen.name.as_str(), seen.state, seen.finished), ("first", RunState::Running, None), "{when}");
        assert_eq!((seen.config.clone(), seen.tags.clone()), (json!({"lr": 0.1}), vec!["a".to_owned()]), "{when}");
        assert_eq!(seen.summary("note"), Some(&Value::Text("early".into())), "{when}");
        assert_eq!(seen.summary("late"), None, "{when}");
        assert!(past.metrics(&seen).expect("reads").iter().all(|metric| metric.name == "loss"), "{when}");
        assert_loss(&past, "run", 0..5_000);
        assert!(past.find_run("second").is_err(), "{when}");
    };
    check_middle("while it is recorded");
    run.finish().expect("finishes");
    let end = now();
    check_middle("when it has ended");
    workspace.remove_runs(&[workspace.find_run("run").expect("there")]).expect("removes");
    check_middle("when it was removed");
    let later = now();

    let past = workspace.as_of(end).expect("opens");
    let seen = past.find_run("second").expect("it had its name");
    assert_eq!((seen.state, seen.removed), (RunState::Finished, None));
    assert_eq!((seen.config.clone(), seen.tags.clone()), (json!({"lr": 0.2, "new": true}), vec!["b".to_owned()]));
    assert_eq!(seen.summary("note"), Some(&Value::Text("later".into())));
    assert_loss(&past, "run", 0..9_000);
    let listed = |time| workspace.as_of(time).expect("opens").runs(&Selection::default()).expect("lists").len();
    assert_eq!([before, middle, end, later].map(listed), [0, 1, 1, 0]);
    assert!(workspace.as_of(later).expect("opens").find_run("run").expect("by its whole id").removed.is_some());
    let nothing = workspace.as_of(before).expect("opens");
    assert_eq!(nothing.find_run("run").expect_err("not yet").kind(), ErrorKind::NotFound);
    assert_eq!(nothing.metrics(&seen).expect_err("not yet").kind(), ErrorKind::NotFound);
    let filtered = Selection::default().filter("summary.loss < 8000 and state = 'running'").expect("a filter");
    assert_eq!(workspace.as_of(middle).expect("opens").runs(&filtered).expect("lists").len(), 1);
}

#[test]
fn rewinds_that_came_later_are_undone() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("digits").id("run").start().expect("starts");
    (0..6_000).for_each(|step| run.log([("loss", step)]).expect("logs"));
    run.finish().expect("finishes");
    let whole = now();
    let back = |step| {
        let point = HistoryPoint { run: "run".into(), step: Some(step) };
        workspace.run("digits").resume_from(point).start().expect("rewinds")
    };
    let again = back(99);
    (100..200).for_each(|step| again.log([("loss", step)]).expect("logs"));
    let once = now();
    again.finish().expect("finishes");
    drop(back(9));
    let twice = now();
    assert_loss(&workspace.as_of(whole).expect("opens"), "run", 0..6_000);
    assert_loss(&workspace.as_of(once).expect("opens"), "run", 0..200);
    assert_loss(&workspace.as_of(twice).expect("opens"), "run", 0..10);
    assert_loss(&workspace, "run", 0..10);
    assert_eq!(workspace.as_of(whole).expect("opens").find_run("run").expect("there").state, RunState::Finished);
    assert_eq!(workspace.as_of(once).expect("opens").find_run("run").expect("there").state, RunState::Running);
}

#[test]
fn every_time_between_two_points_shows_what_was_logged_by_then() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("digits").id("run").start().expect("starts");
    (0..9_500).for_each(|step| run.log([("loss", step)]).expect("logs"));
    let info = workspace.find_run("run").expect("there");
    let times = workspace.series(&info, "loss", None).expect("reads").times;
    let mut rng = Rng::seeded();
    for finished in [false, true] {
        for _ in 0..8 {
            let time = times[rng.below(times.len() as u64) as usize];
            let by_then = times.iter().filter(|at| **at <= time).count() as i64;
            assert_loss(&workspace.as_of(time).expect("opens"), "run", 0..by_then);
        }
        if !finished {
            run.finish().expect("finishes");
        }
    }
}

#[test]
fn the_past_cannot_be_written() {
    let place = Place::new();
    let workspace = place.open();
    drop(workspace.run("digits").id("run").start().expect("starts"));
    let past = workspace.as_of(now()).expect("opens");
    assert!(past.is_read_only().expect("known"));
    let run = past.find_run("run").expect("there");
    assert_eq!(past.rename_run(&run, "other").expect_err("refused").kind(), ErrorKind::ReadOnly);
    assert_eq!(past.remove_runs(&[run]).expect_err("refused").kind(), ErrorKind::ReadOnly);
    assert_eq!(past.run("digits").start().expect_err("refused").kind(), ErrorKind::ReadOnly);
    assert!(place.journal_files().is_empty());
}
