//! The catalogue: listings with it say what listings by records say, whatever was changed, killed or damaged.

use std::collections::BTreeMap;

use proptest::prelude::*;
use runcellar::query::filter::Field;
use runcellar::{ErrorKind, Json, OpenOptions, RunInfo, RunState, Selection, Value, Workspace, json};

use crate::support::{Heard, Place, Rng, copy_dir};

/// Everything that a listing says of the runs that show and of those that do not.
fn listed(workspace: &Workspace) -> Vec<String> {
    let all = [false, true].map(|removed| {
        let runs = workspace.runs(&Selection { removed, ..Selection::default() }).expect("lists");
        runs.iter().map(shown).collect::<Vec<_>>()
    });
    all.concat()
}

/// All of a run but how it is held; floats by their bits.
fn shown(run: &RunInfo) -> String {
    let config = runcellar_format::catalogue::to_exact(&run.config).expect("shallow");
    let summary = run.summary.iter().map(|(key, value)| {
        let value = runcellar_format::catalogue::to_exact(&value.clone().into()).expect("shallow");
        format!("{key}={value}")
    });
    let summary: Vec<String> = summary.collect();
    let mut rest = run.clone();
    (rest.config, rest.summary) = (Json::Null, Vec::new());
    format!("{rest:?} {config} {summary:?}")
}

/// Runs of the same workspace by their records, without a catalogue: those that this handle sees before a fold.
fn by_records(place: &Place) -> Vec<String> {
    let copy = Place::new();
    copy_dir(&place.workspace(), &copy.workspace());
    copy_dir(&place.keys_dir(), &copy.keys_dir());
    let connection = rusqlite::Connection::open(copy.database()).expect("opens");
    connection.execute("DELETE FROM object WHERE kind = 17", []).expect("deletes");
    drop(connection);
    listed(&copy.look())
}

fn record(workspace: &Workspace, id: &str, lr: f64, loss: f64) {
    let config = json!({"lr": lr, "model": {"name": "net", "sizes": [1, 2.5, null], "drop.out": 0.5}, "none": null});
    let run = workspace.run("digits").id(id).config(config).tags(["a", "b"]).start().expect("starts");
    for step in 0..3 {
        run.log_at(step, [("loss", loss / (step + 1) as f64), ("acc", loss * step as f64)]).expect("logs");
    }
    run.finish().expect("finishes");
}

fn ids(workspace: &Workspace, filter: &str, order: &str) -> Vec<String> {
    let selection = Selection::default().filter(filter).expect(filter).order_by(order).expect(order);
    workspace.runs(&selection).expect("lists").into_iter().map(|run| run.id).collect()
}

#[test]
fn a_listing_is_the_same_with_and_without_a_catalogue() {
    let place = Place::new();
    let workspace = place.open();
    for number in 0..100 {
        record(&workspace, &format!("run-{number:03}"), f64::from(number) / 8.0, f64::from(number % 10));
    }
    let before = listed(&workspace);
    let asked = |workspace: &Workspace| {
        [
            ids(workspace, "config.lr > 3 and summary.loss < 1", "summary.loss,-config.lr"),
            ids(workspace, "config.model.drop.out = 0.5 and max(loss) >= 8", "-max(loss),id"),
            ids(workspace, "mean(acc) > 2 and 2.5 in config.model.sizes and first(acc) = 0", "-created"),
            ids(workspace, "config.none exists or config.model exists or state != 'finished'", "id"),
            ids(workspace, "at_best(loss).acc = 6 and 'b' in tags and duration < 1h", "id"),
        ]
    };
    let (first, memory) = (asked(&workspace), before.clone());
    assert!(first.iter().take(3).all(|found| !found.is_empty()) && first[3].is_empty() && first[4].len() == 10);
    assert!(workspace.fold_catalogue().expect("folds"), "there is something to do");
    assert!(!workspace.fold_catalogue().expect("folds"), "there is nothing left to do");
    // This handle had everything in memory; another has to read the blocks.
    for workspace in [workspace, place.open_silently()] {
        assert_eq!(listed(&workspace), memory);
        assert_eq!(asked(&workspace), first);
        assert!(workspace.check(runcellar::CheckOptions { read_data: true }).expect("checks").problems.is_empty());
    }
    assert_eq!(by_records(&place), memory);
}

#[test]
fn every_kind_of_change_shows_after_a_fold() {
    let place = Place::new();
    let workspace = place.open();
    for number in 0..10 {
        record(&workspace, &format!("run-{number}"), 0.1, 1.0);
    }
    workspace.fold_catalogue().expect("folds");
    let other = place.open_silently();
    assert_eq!(other.runs(&Selection::default()).expect("lists").len(), 10);
    let find = |id: &str| workspace.find_run(id).expect("found");
    workspace.rename_run(&find("run-0"), "renamed").expect("renames");
    workspace.annotate_run(&find("run-1"), "noted").expect("notes");
    workspace.tag_run(&find("run-2"), &["c".into()], &["a".into()]).expect("tags");
    workspace.remove_runs(&[find("run-3"), find("run-4")]).expect("removes");
    workspace.restore_runs(&[find("run-4")]).expect("restores");
    let resumed = workspace.run("digits").id("run-5").resume(runcellar::Resume::Must).start().expect("resumes");
    resumed.log([("loss", 0.125)]).expect("logs");
    resumed.summary("best", 7_i64).expect("sets");
    record(&workspace, "new-run", 0.5, 2.0);
    let looks = |workspace: &Workspace| {
        let by_id: BTreeMap<String, RunInfo> = workspace
            .runs(&Selection::default())
            .expect("lists")
            .into_iter()
            .map(|run| (run.id.clone(), run))
            .collect();
        assert_eq!(by_id.len(), 10, "one is hidden, one is new");
        assert_eq!((by_id["run-0"].name.as_str(), by_id["run-1"].notes.as_str()), ("renamed", "noted"));
        assert_eq!(by_id["run-2"].tags, ["b", "c"]);
        assert!(!by_id.contains_key("run-3") && by_id.contains_key("run-4"));
        assert_eq!(by_id["run-5"].summary("loss"), Some(&Value::Float(0.125)), "what a live journal holds shows");
        assert_eq!((by_id["run-5"].state, by_id["run-5"].summary("best")), (RunState::Running, Some(&Value::Int(7))));
        assert_eq!(
            ids(workspace, "name = 'renamed' or config.lr = 0.5 or min(loss) < 0.2", "id"),
            ["new-run", "run-0", "run-5"]
        );
        assert_eq!(workspace.find_run("renamed").expect("by name").id, "run-0");
    };
    for workspace in [&workspace, &other, &place.look()] {
        looks(workspace);
    }
    workspace.fold_catalogue().expect("folds");
    for workspace in [&workspace, &other, &place.look()] {
        looks(workspace);
    }
    resumed.finish().expect("finishes");
    for workspace in [&workspace, &other, &place.look()] {
        assert_eq!(workspace.find_run("run-5").expect("found").state, RunState::Finished);
        assert_eq!(ids(workspace, "state = 'running'", "id"), Vec::<String>::new());
    }
    assert_eq!(listed(&other), by_records(&place));
}

#[test]
fn rewriting_a_block_takes_its_key_away() {
    let place = Place::new();
    let workspace = place.open();
    let keys = || {
        let connection = rusqlite::Connection::open_with_flags(
            place.database(),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
        );
        let connection = connection.expect("opens");
        let mut statement = connection.prepare("SELECT hex(owner) FROM key WHERE purpose = 69").expect("prepares");
        let owners = statement.query_map([], |row| row.get::<_, String>(0)).expect("queries");
        let keys: Vec<String> = owners.map(|owner| owner.expect("reads")).collect();
        let mut statement = connection
            .prepare("SELECT DISTINCT hex(id) FROM object WHERE kind = 17 AND id <> zeroblob(16)")
            .expect("prepares");
        let blocks = statement.query_map([], |row| row.get::<_, String>(0)).expect("queries");
        assert_eq!(keys, blocks.map(|id| id.expect("reads")).collect::<Vec<_>>(), "each block has its key");
        keys
    };
    record(&workspace, "first", 0.1, 1.0);
    drop(workspace);
    let fold = || assert!(place.open_silently().fold_catalogue().expect("folds"));
    fold();
    let before = keys();
    record(&place.open_silently(), "second", 0.1, 1.0);
    fold();
    let after = keys();
    assert!(before.len() == 1 && after.len() == 1 && before != after, "the short block went with its key");
    assert_eq!(listed(&place.open_silently()).len(), 2);
}

#[test]
fn damage_in_the_catalogue_loses_no_run_and_is_named() {
    let place = Place::new();
    let workspace = place.open();
    for number in 0..20 {
        record(&workspace, &format!("run-{number:02}"), f64::from(number), 1.0);
    }
    workspace.fold_catalogue().expect("folds");
    let (whole, wanted) = (listed(&workspace), ids(&workspace, "config.lr > 4 and max(loss) > 0", "id"));
    drop(workspace);
    let damages = [
        "UPDATE object SET body = CAST(substr(body, 1, 100) || zeroblob(8) || substr(body, 109) AS BLOB) WHERE kind = 17 AND position = 0 AND id <> zeroblob(16)",
        "UPDATE object SET body = CAST(substr(body, 1, length(body) - 20) || zeroblob(20) AS BLOB) WHERE kind = 17 AND position > 0",
        "DELETE FROM object WHERE kind = 17 AND position > 0",
        "DELETE FROM object WHERE kind = 17 AND id <> zeroblob(16)",
        "UPDATE object SET body = zeroblob(200) WHERE kind = 17 AND id = zeroblob(16)",
        "DELETE FROM key WHERE purpose = 69",
        "DELETE FROM object WHERE kind = 17 AND id = zeroblob(16)",
    ];
    for damage in damages {
        let copy = Place::new();
        copy_dir(&place.workspace(), &copy.workspace());
        copy_dir(&place.keys_dir(), &copy.keys_dir());
        let connection = rusqlite::Connection::open(copy.database()).expect("opens");
        assert!(connection.execute(damage, []).expect(damage) > 0, "{damage}");
        drop(connection);
        let heard = std::sync::Arc::new(Heard::default());
        let options = OpenOptions { monitor: heard.clone(), ..copy.options() };
        let workspace = options.open(&copy.workspace()).expect("opens");
        assert_eq!(ids(&workspace, "config.lr > 4 and max(loss) > 0", "id"), wanted, "{damage}");
        assert_eq!(listed(&workspace), whole, "{damage}");
        let gone = damage.starts_with("DELETE FROM object WHERE kind = 17 AND id = z");
        let said = heard.warnings().iter().any(|warning| warning.contains("catalogue"));
        assert!(said || gone, "{damage}: {:?}", heard.all());
        let report = workspace.check(runcellar::CheckOptions { read_data: true }).expect("checks");
        assert!(!report.is_ok(), "{damage}");
        assert!(report.problems.iter().any(|problem| problem.message.contains("catalogue")), "{damage}: {report:?}");
    }
}

#[test]
fn a_copy_goes_on_with_the_catalogue_under_a_device_of_its_own() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "before", 0.1, 1.0);
    workspace.fold_catalogue().expect("folds");
    record(&workspace, "between", 0.2, 1.0);
    drop(workspace);
    let copy = Place::new();
    copy_dir(&place.workspace(), &copy.workspace());
    copy_dir(&place.keys_dir(), &copy.keys_dir());
    let copied = copy.open();
    record(&copied, "after", 0.3, 1.0);
    copied.rename_run(&copied.find_run("before").expect("found"), "renamed").expect("renames");
    for fold in [false, true] {
        if fold {
            copied.fold_catalogue().expect("folds");
        }
        for workspace in [&copied, &copy.look()] {
            assert_eq!(ids(workspace, "config.lr > 0", "config.lr"), ["before", "between", "after"]);
            assert_eq!(workspace.find_run("renamed").expect("found").id, "before");
        }
    }
    assert_eq!(ids(&place.open(), "config.lr > 0", "config.lr"), ["before", "between"]);
}

#[test]
fn a_run_too_large_for_a_block_is_listed_all_the_same() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "small", 0.1, 1.0);
    let run = workspace
        .run("digits")
        .id("large")
        .config(Json::Map(vec![("text".into(), Json::Text("x".repeat(300 << 10)))]))
        .start()
        .expect("starts");
    run.finish().expect("finishes");
    let run = workspace.run("digits").id("wide").start().expect("starts");
    run.log((0..5_000).map(|number| (format!("metric-{number}"), 1.0)).collect::<Vec<_>>()).expect("logs");
    run.finish().expect("finishes");
    // A map that holds a name twice has no columns to stand in.
    let twice = Json::Map(vec![("inner".into(), Json::Map(vec![("a".into(), 1.into()), ("a".into(), 2.into())]))]);
    workspace.run("digits").id("twice").config(twice).start().expect("starts").finish().expect("finishes");
    let before = listed(&workspace);
    workspace.fold_catalogue().expect("folds");
    for workspace in [workspace, place.open_silently()] {
        assert_eq!(listed(&workspace), before);
        assert_eq!(ids(&workspace, "config.inner.a = 1", "id"), ["twice"]);
        assert_eq!(ids(&workspace, "max(\"metric-4999\") = 1 or config.text like 'x%'", "id"), ["large", "wide"]);
        assert!(workspace.check(runcellar::CheckOptions { read_data: true }).expect("checks").is_ok());
    }
}

#[test]
fn many_fold_while_runs_are_recorded_and_none_is_lost() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "first", 0.1, 1.0);
    std::thread::scope(|scope| {
        for number in 0..3 {
            let place = &place;
            scope.spawn(move || {
                let workspace = place.open();
                for run in 0..8 {
                    record(&workspace, &format!("run-{number}-{run}"), 0.1, 1.0);
                    match workspace.fold_catalogue() {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
                    }
                    assert!(workspace.runs(&Selection::default()).expect("lists").len() > run);
                }
            });
        }
    });
    assert_eq!(workspace.runs(&Selection::default()).expect("lists").len(), 25);
    assert_eq!(listed(&workspace), by_records(&place));
    let report = workspace.check(runcellar::CheckOptions { read_data: true }).expect("checks");
    assert!(report.is_ok(), "{:?}", report.problems);
}

#[test]
fn a_handle_that_must_not_write_folds_nothing() {
    let place = Place::new();
    let workspace = place.open();
    record(&workspace, "only", 0.1, 1.0);
    let rows = || {
        let connection =
            rusqlite::Connection::open_with_flags(place.database(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
        let sql = "SELECT count(*) FROM object WHERE kind = 17";
        connection.expect("opens").query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counts")
    };
    drop(workspace);
    assert_eq!(place.look().runs(&Selection::default()).expect("lists").len(), 1);
    assert_eq!(rows(), 0);
}

#[test]
fn groups_count_every_member_whatever_is_shown() {
    let place = Place::new();
    let workspace = place.open();
    for number in 0..12_u32 {
        record(&workspace, &format!("run-{number:02}"), f64::from(number % 3), f64::from(number));
    }
    workspace.run("other").id("nan").start().expect("starts").finish().expect("finishes");
    let by = [Field::parse("config.lr").expect("a field")];
    let of = runcellar::query::parse_fields("max(loss), summary.loss").expect("fields");
    let selection = Selection { limit: Some(1), ..Selection::default() };
    let mut seen = Vec::new();
    for fold in [false, true] {
        if fold {
            workspace.fold_catalogue().expect("folds");
        }
        let mut groups = workspace.group_runs(&selection, &by, &of).expect("groups");
        let runs: Vec<(Option<Json>, u64)> =
            groups.groups.iter().map(|group| (group.key[0].clone(), group.runs)).collect();
        let float = |value| Some(Json::Float(value));
        assert_eq!(runs, [(float(0.0), 4), (float(1.0), 4), (float(2.0), 4), (None, 1)]);
        // 0, 3, 6, 9: the mean is 4.5, the sum of squares 45.
        let figures = &groups.groups[0].statistics[0];
        assert_eq!((figures.count, figures.mean, figures.deviation), (4, Some(4.5), Some(15.0_f64.sqrt())));
        assert_eq!((&figures.min, &figures.max), (&Some(Value::Float(0.0)), &Some(Value::Float(9.0))));
        assert_eq!(groups.groups[3].statistics[0].count, 0);
        groups.order_by("-runs,-max(loss).mean").expect("keys");
        assert_eq!(groups.groups[0].key[0], float(2.0));
        assert_eq!(groups.order_by("runs, loss").expect_err("no key").column(), Some(7));
        let all = workspace.group_runs(&selection, &by, &[]).expect("groups");
        assert_eq!(all.of, runcellar::query::parse_fields("summary.acc,summary.loss").expect("fields"));
        seen.push((groups, all));
    }
    assert_eq!(seen[0], seen[1]);
}

/// What a step of a random history does.
#[derive(Debug, Clone)]
enum Deed {
    Record(u8, Json),
    Rename(u8),
    Remove(u8),
    Restore(u8),
    Tag(u8),
    Fold,
    Reopen,
}

fn value() -> impl Strategy<Value = Json> {
    let floats = [0x7ff8_0000_0000_0001, 0xfff0_0000_0000_0000, 0x8000_0000_0000_0000, 0x3ff0_0000_0000_0001];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Int),
        any::<f64>().prop_map(Json::Float),
        proptest::sample::select(floats.to_vec()).prop_map(|bits| Json::Float(f64::from_bits(bits))),
        "[a-c.]{0,3}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Json::List),
            proptest::collection::vec(("[a-c.\\\\]{0,2}", inner), 0..4).prop_map(Json::Map),
        ]
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    let run = 0_u8..12;
    let config = proptest::collection::btree_map("[a-c.]{1,2}", value(), 0..5);
    prop_oneof![
        4 => (run.clone(), config).prop_map(|(run, config)| Deed::Record(run, Json::Map(config.into_iter().collect()))),
        1 => run.clone().prop_map(Deed::Rename),
        1 => run.clone().prop_map(Deed::Remove),
        1 => run.clone().prop_map(Deed::Restore),
        1 => run.prop_map(Deed::Tag),
        2 => Just(Deed::Fold),
        1 => Just(Deed::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_history_lists_as_its_records_do(deeds in proptest::collection::vec(deed(), 1..14), seed in any::<u64>()) {
        let place = Place::new();
        let (mut workspace, mut rng) = (place.open(), Rng(seed));
        for deed in deeds {
            let found = |run: u8| workspace.find_run(&format!("run-{run:02}")).ok();
            match deed {
                Deed::Record(run, config) => {
                    let run = workspace.run("p").id(format!("run-{run:02}")).config(config).resume(runcellar::Resume::Allow);
                    let run = match run.start() {
                        // One that was removed is not gone on with.
                        Err(removed) if removed.kind() == ErrorKind::NotFound => continue,
                        started => started.expect("starts"),
                    };
                    let key = ["loss", "acc", "a.b"][rng.below(3) as usize];
                    let value = match rng.below(4) {
                        0 => Value::Float(f64::from_bits(rng.next())),
                        1 => Value::Int(rng.next().cast_signed()),
                        2 => Value::Bool(true),
                        _ => Value::Text("text".into()),
                    };
                    run.summary(key, value).expect("sets");
                    run.log([("x", rng.below(9) as f64)]).expect("logs");
                    run.finish().expect("finishes");
                }
                Deed::Rename(run) => found(run).into_iter().for_each(|run| workspace.rename_run(&run, "new").expect("renames")),
                Deed::Remove(run) => found(run).into_iter().for_each(|run| workspace.remove_runs(&[run]).expect("removes")),
                Deed::Restore(run) => found(run).into_iter().for_each(|run| workspace.restore_runs(&[run]).expect("restores")),
                Deed::Tag(run) => found(run).into_iter().for_each(|run| workspace.tag_run(&run, &["t".into()], &[]).expect("tags")),
                Deed::Fold => drop(workspace.fold_catalogue().expect("folds")),
                Deed::Reopen => workspace = place.open(),
            }
            prop_assert_eq!(listed(&workspace).len(), listed(&place.look()).len());
        }
        let truth = by_records(&place);
        prop_assert_eq!(listed(&workspace), truth.clone());
        prop_assert_eq!(listed(&place.look()), truth);
        let field = Field::Config("a.b".into());
        let filter = "config.a.b exists or config.\"a.\".c > 0 or summary.a.b = true or max(x) > 4";
        let fresh = ids(&workspace, filter, "config.a.b,-summary.loss");
        workspace.fold_catalogue().expect("folds");
        prop_assert_eq!(ids(&place.open(), filter, "config.a.b,-summary.loss"), fresh, "{}", field);
        let report = workspace.check(runcellar::CheckOptions { read_data: true }).expect("checks");
        prop_assert!(report.is_ok(), "{:?}", report.problems);
    }
}
