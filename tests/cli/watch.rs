//! `watch`: rows as they are logged, until the run ends or somebody has seen enough.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::Home;

fn watch(home: &Home, run: &str) -> (Child, impl Iterator<Item = serde_json::Value>) {
    let mut command = home.command(["watch", run, "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let rows = lines.map(|line| serde_json::from_str(&line.expect("reads")).expect("JSON"));
    (child, rows)
}

#[test]
fn rows_show_as_they_are_logged_and_the_end_of_the_run_ends_it() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("watched-run").start().expect("starts");
    run.log([("n", 0_i64)]).expect("logs");
    let (mut child, mut rows) = watch(&home, "watched-run");
    for n in 0..20_i64 {
        let row = rows.next().expect("a row");
        assert_eq!((&row["step"], &row["values"]["n"]), (&n.into(), &n.into()));
        // The next is logged when this one was seen: none is shown late.
        run.log([("n", n + 1)]).expect("logs");
    }
    assert_eq!(rows.next().expect("a row")["step"], 20);
    run.finish().expect("finishes");
    assert_eq!(rows.next().expect("a line"), serde_json::json!({"state": "finished"}));
    assert!(rows.next().is_none());
    assert_eq!(child.wait().expect("waits").code(), Some(0));
    let whole = home.ok(["watch", "watched-run", "--json", "-n", "2"]);
    assert_eq!(whole.lines().count(), 3, "the last two rows and the state: {whole}");
}

#[test]
fn an_interrupt_ends_it_with_130_and_hurts_nobody() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("watched-run").start().expect("starts");
    run.log([("n", 0_i64)]).expect("logs");
    let (mut child, mut rows) = watch(&home, "watched-run");
    assert_eq!(rows.next().expect("a row")["step"], 0);
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(child.wait().expect("waits").code(), Some(130));
    assert!(rows.next().is_none(), "no line after that, and no half one");
    run.finish().expect("finishes");
}

#[test]
fn a_run_that_is_not_there_is_not_found() {
    assert_eq!(Home::with_workspace().run(["watch", "nobody"]).code, 3);
}
