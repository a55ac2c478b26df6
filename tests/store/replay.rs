//! P4: every row deleted, and every row replaced by an older version of itself, is reported by `check`.
//!
//! cellar.db is changed through SQLite itself while no handle of ours is open. A workspace that no longer opens has
//! reported it too, as damage.

use std::collections::BTreeSet;
use std::path::Path;

use runcellar::artifacts::{ArtifactDraft, PutSettings, RemoveOptions};
use runcellar::{CheckOptions, ErrorKind};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::support::{Place, Rng, copy_dir, count_from, everything};

const TABLES: [(&str, &str); 4] =
    [("epoch", "number"), ("key", "id"), ("object", "kind, id, position"), ("block", "run, writer, number, part")];

/// Makes a workspace with two runs and an artifact; `then` runs between the first and the second half of the work.
pub(crate) fn recorded(place: &Place, then: impl FnOnce()) {
    let log = |steps: std::ops::Range<i64>, id: &str| {
        let workspace = place.open();
        let run = workspace.run("p").id(id).resume(runcellar::Resume::Allow).start().expect("starts");
        steps.for_each(|step| {
            run.log_at(step, [("loss", step as f64 * 0.37), ("noise", (step as f64).sin())]).expect("logs")
        });
        run.finish().expect("finishes");
    };
    let put = |shared: usize, own: usize| {
        let mut draft = ArtifactDraft::new("data", "dataset").expect("a name");
        draft.add_bytes("shared", vec![1; shared]).expect("adds");
        draft.add_bytes("own", vec![2; own]).expect("adds");
        let settings = PutSettings { project: "p".into(), ..PutSettings::default() };
        place.open().put_artifact(&draft, &settings).expect("puts").version
    };
    log(0..600, "first");
    log(0..600, "second");
    let version = put(300, 300);
    then();
    log(600..1_300, "first");
    put(300, 400);
    // Drops a key of the first pack and leaves a tombstone.
    place.open().remove_version(&version, RemoveOptions::default()).expect("removes");
}

/// Returns whether the workspace reports that something is wrong with it.
pub(crate) fn reports(place: &Place) -> bool {
    match place.try_open() {
        Ok(workspace) => {
            let report = workspace.check(CheckOptions { read_data: true });
            report.map_or_else(|error| error.kind() == ErrorKind::Damaged, |report| !report.is_ok())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            true
        }
    }
}

pub(crate) fn rows(connection: &Connection, table: &str, key: &str) -> Vec<Vec<Value>> {
    let columns = key.split(", ").count();
    let mut statement = connection.prepare(&format!("SELECT {key} FROM {table} ORDER BY {key}")).expect("SQL");
    let row =
        |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>();
    statement.query_map([], row).expect("rows").map(|row| row.expect("a key")).collect()
}

fn condition(key: &str) -> String {
    key.split(", ").enumerate().map(|(at, column)| format!("{column} = ?{}", at + 1)).collect::<Vec<_>>().join(" AND ")
}

/// Copies the pristine database over the one in use: same inode, so that it is no copy of the workspace.
pub(crate) fn put_back(place: &Place, pristine: &Path) {
    std::fs::copy(pristine, place.database()).expect("copies");
}

/// Of the rows of each kind, or owner, the first and the last, and one in `RUNCELLAR_ROW_EVERY` (10) of the others; 1 takes all.
fn chosen(rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    let (every, mut rng) = (count_from("RUNCELLAR_ROW_EVERY", 10), Rng::seeded());
    let other_kind =
        |at: Option<usize>, row: &Vec<Value>| at.and_then(|at| rows.get(at)).is_none_or(|other| other[0] != row[0]);
    let is_end = |at: usize, row| other_kind(at.checked_sub(1), row) || other_kind(Some(at + 1), row);
    let chosen = rows.iter().enumerate().filter(|(at, row)| is_end(*at, row) || rng.below(every) == 0);
    chosen.map(|(_, row)| row.clone()).collect()
}

#[test]
fn every_deleted_row_is_reported() {
    let place = Place::new();
    everything::record(&place, || {});
    assert!(!reports(&place), "whole before");
    let pristine = place.root().join("pristine.db");
    std::fs::copy(place.database(), &pristine).expect("copies");
    let kinds = rows(&Connection::open(&pristine).expect("opens"), "object", "kind");
    for kind in everything::KINDS {
        assert!(kinds.contains(&vec![Value::Integer(kind)]), "no row of kind {kind} to delete");
    }
    let mut deleted = 0;
    for (table, key) in TABLES {
        let keys = rows(&Connection::open(&pristine).expect("opens"), table, key);
        assert!(!keys.is_empty());
        for row in chosen(keys) {
            put_back(&place, &pristine);
            let connection = Connection::open(place.database()).expect("opens");
            let sql = format!("DELETE FROM {table} WHERE {}", condition(key));
            let gone = connection.execute(&sql, rusqlite::params_from_iter(&row)).expect("deletes");
            assert_eq!(gone, 1);
            connection.close().expect("closes");
            assert!(reports(&place), "{table} {row:?} is gone, and nothing said so");
            deleted += 1;
        }
    }
    assert!(deleted > 60, "{deleted}");
    put_back(&place, &pristine);
    assert!(!reports(&place), "whole again");
}

#[test]
fn every_row_put_back_in_an_older_version_is_reported() {
    let place = Place::new();
    let mut older = Vec::new();
    everything::record(&place, || {
        let copy = place.root().join(format!("older-{}.db", older.len()));
        std::fs::copy(place.database(), &copy).expect("copies");
        older.push(copy);
    });
    let pristine = place.root().join("pristine.db");
    std::fs::copy(place.database(), &pristine).expect("copies");
    let (mut replaced, mut kinds) = (0, BTreeSet::new());
    for older in &older {
        for (table, key) in TABLES {
            let here = condition(key);
            for row in chosen(changed(&pristine, older, table, key)) {
                put_back(&place, &pristine);
                let connection = Connection::open(place.database()).expect("opens");
                connection.execute("ATTACH ?1 AS older", [older.to_string_lossy()]).expect("attaches");
                let sql = format!("DELETE FROM main.{table} WHERE {here}");
                connection.execute(&sql, rusqlite::params_from_iter(&row)).expect("deletes");
                let sql = format!("INSERT INTO main.{table} SELECT * FROM older.{table} WHERE {here}");
                connection.execute(&sql, rusqlite::params_from_iter(&row)).expect("inserts");
                connection.close().expect("closes");
                assert!(reports(&place), "{table} {row:?} is an older one, and nothing said so");
                replaced += 1;
                if let (true, Value::Integer(kind)) = (table == "object", &row[0]) {
                    kinds.insert(*kind);
                }
            }
        }
    }
    assert!(replaced >= 40, "{replaced}");
    for kind in [3, 4, 5, 6, 9, 10, 14, 17, 20] {
        assert!(kinds.contains(&kind), "no older version of a row of kind {kind}: {kinds:?}");
    }
    put_back(&place, &pristine);
    assert!(!reports(&place), "whole again");
}

/// Returns the keys of rows that an older database has otherwise, or has alone. Objects that are gone since, and their keys,
/// too, are left out: put back, they are noise that nothing refers to.
fn changed(now: &Path, older: &Path, table: &str, key: &str) -> Vec<Vec<Value>> {
    let connection = Connection::open(now).expect("opens");
    connection.execute("ATTACH ?1 AS older", [older.to_string_lossy()]).expect("attaches");
    let read_by = match table {
        "object" | "block" => {
            format!(
                "WHERE substr(body, 5, 16) IN (SELECT id FROM main.key) OR ({key}) IN (SELECT {key} FROM main.{table})"
            )
        }
        _ => String::new(),
    };
    let differs = format!("(SELECT * FROM older.{table} {read_by} EXCEPT SELECT * FROM main.{table})");
    rows(&connection, &differs, key)
}

#[test]
fn a_whole_older_copy_put_back_is_noticed_by_the_mirror() {
    let place = Place::new();
    let older = place.root().join("older.db");
    recorded(&place, || {
        std::fs::copy(place.database(), &older).expect("copies");
    });
    put_back(&place, &older);
    let report = place.open().check(CheckOptions::default()).expect("checks");
    assert!(!report.is_ok());
    assert!(report.problems.iter().any(|problem| problem.message.contains("rolled back")), "{:#?}", report.problems);
}

#[test]
fn damage_is_named_by_run_and_steps_and_the_rest_stays_readable() {
    let place = Place::new();
    recorded(&place, || {});
    let connection = Connection::open(place.database()).expect("opens");
    let first: Vec<u8> = connection
        .query_row("SELECT run FROM block GROUP BY run ORDER BY count(*) DESC LIMIT 1", [], |row| row.get(0))
        .expect("a run");
    connection
        .execute(
            "UPDATE block SET body = CAST(substr(body, 1, 100) || x'00' || substr(body, 102) AS BLOB) WHERE run = ?1 AND part = 1",
            [first],
        )
        .expect("damages");
    connection.close().expect("closes");
    let workspace = place.open();
    let report = workspace.check(CheckOptions { read_data: true }).expect("checks");
    assert!(!report.is_ok());
    for problem in &report.problems {
        assert!(problem.run.is_some() && problem.metric.is_some() && problem.steps.is_some(), "{problem:#?}");
    }
    let hurt = report.problems[0].run.clone().expect("named");
    let other = if hurt == "first" { "second" } else { "first" };
    let other = workspace.find_run(other).expect("found");
    assert_eq!(
        workspace.series(&other, "loss", None).expect("reads").steps.len(),
        if hurt == "first" { 600 } else { 1_300 }
    );
    let hurt = workspace.find_run(&hurt).expect("found");
    let metric = report.problems[0].metric.clone().expect("named");
    assert_eq!(workspace.series(&hurt, &metric, None).expect_err("damaged").kind(), ErrorKind::Damaged);
}

/// For the place of another process; keeps the copy out of the way of the pristine one.
#[test]
fn a_copied_workspace_is_whole() {
    let place = Place::new();
    recorded(&place, || {});
    let copy = Place::new();
    copy_dir(&place.workspace(), &copy.root().join("w"));
    copy_dir(&place.keys_dir(), &copy.root().join("keys"));
    assert!(!reports(&copy));
}
