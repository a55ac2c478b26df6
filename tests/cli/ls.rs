//! `ls`: the JSON array, filters, order, limits, and the table.

use std::process::Command;

use runcellar::json;

use crate::support::{Clock, Home, log_all, outcome};

/// Replaces what differs between two runs of a test: times, durations and ids.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"20") {
        out.push_str(&rest[..at]);
        let end = at + 1 + rest[at + 1..].find('"').expect("a closing quote");
        let time = &rest[at + 1..end];
        assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[19] == b'.', "RFC 3339, 6 digits: {time}");
        out.push_str("\"TIME\"");
        rest = &rest[end + 1..];
    }
    out + rest
}

#[test]
fn the_array_has_exactly_the_promised_members() {
    let home = Home::with_workspace();
    let clock = Clock::three_days_ago();
    let workspace = home.workspace_at(&clock);
    let run = workspace
        .run("digits")
        .id("run1")
        .name("first")
        .config(json!({"lr": 0.1, "n": {"layers": [64, 32], "none": null, "on": true}, "one": 1.0, "int": 1}))
        .tags(["b", "a"])
        .start()
        .expect("starts");
    run.log([("loss", 0.1 + 0.2), ("whole", 3.0)]).expect("logs");
    run.log([("nan", f64::NAN), ("up", f64::INFINITY), ("down", f64::NEG_INFINITY), ("zero", -0.0)]).expect("logs");
    run.summary("best", 7_i64).expect("sets");
    run.summary("text", "a\u{1b}[31m\"b\"").expect("sets");
    clock.advance(90_000_000);
    run.finish().expect("finishes");
    let run = workspace.run("digits").id("run2").name("second").group("g").job_type("train").notes("n").start();
    let text = home.ok(["ls", "--json", "--sort", "id"]);
    let first = r#"{"id":"run1","name":"first","project":"digits","state":"finished","created":"TIME","#.to_owned()
        + r#""finished":"TIME","duration_s":90.0,"tags":["b","a"],"group":null,"job_type":null,"notes":null,"#
        + r#""config":{"lr":0.1,"n":{"layers":[64,32],"none":null,"on":true},"one":1.0,"int":1},"#
        + r#""summary":{"loss":0.30000000000000004,"whole":3.0,"nan":"NaN","up":"Infinity","down":"-Infinity","#
        + r#""zero":-0.0,"best":7,"text":"a\u001b[31m\"b\""}}"#;
    let second =
        r#","id":"run2","name":"second","project":"digits","state":"running","created":"TIME","finished":null,"#;
    let masked = masked(&text);
    assert!(masked.starts_with(&format!("[{first},{{")), "{masked}");
    assert!(masked.contains(&second[1..]), "{masked}");
    assert!(
        masked.ends_with(
            "\"tags\":[],\"group\":\"g\",\"job_type\":\"train\",\"notes\":\"n\",\"config\":{},\"summary\":{}}]\n"
        ),
        "{masked}"
    );
    drop(run);
}

#[test]
fn filters_orders_and_limits_apply() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (index, lr) in [0.1, 0.01, 0.001, 0.5].into_iter().enumerate() {
        let project = if index < 3 { "a" } else { "b" };
        let run = workspace
            .run(project)
            .id(format!("run{index}"))
            .config(json!({"opt": {"lr": lr}}))
            .start()
            .expect("starts");
        log_all(&run, "val loss", &[lr * 2.0]);
        run.finish().expect("finishes");
    }
    let ids = |args: &[&str]| -> Vec<String> {
        let runs = home.json([&["ls"], args].concat());
        runs.as_array().expect("an array").iter().map(|run| run["id"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(ids(&[]), ["run3", "run2", "run1", "run0"]);
    assert_eq!(ids(&["--where", "config.opt.lr >= 0.1"]), ["run3", "run0"]);
    assert_eq!(ids(&["--where", "summary.\"val loss\" < 0.1 and project = 'a'"]), ["run2", "run1"]);
    assert_eq!(ids(&["--sort", "-config.opt.lr"]), ["run3", "run0", "run1", "run2"]);
    assert_eq!(ids(&["--sort", "project,-config.opt.lr", "--limit", "2"]), ["run0", "run1"]);
    assert_eq!(ids(&["--project", "b"]), ["run3"]);
    assert_eq!(ids(&["--limit", "0"]).len(), 4);
    assert_eq!(ids(&["--removed"]), Vec::<String>::new());
}

#[test]
fn a_filter_that_is_not_understood_shows_where() {
    let home = Home::with_workspace();
    let lines = home.fails(2, ["ls", "--where", "config.lr > 0.1 and stat = failed"]);
    assert_eq!(
        lines,
        [
            "runcellar: column 21: unknown field \"stat\" (did you mean \"state\"?)",
            "  config.lr > 0.1 and stat = failed",
            "                      ^",
        ]
    );
    let lines = home.fails(2, ["ls", "--sort", "created,-los", "--json"]);
    assert!(lines[0].starts_with("runcellar: column 9: unknown sort key \"los\""), "{lines:?}");
    // Wide letters before the column take two columns of the terminal each.
    let lines = home.fails(2, ["ls", "--where", "name = '\u{5b66}\u{7fd2}' nad id = x"]);
    assert_eq!(lines[2].trim_end_matches('^').len(), 2 + "name = ''".len() + 4 + 1, "{lines:?}");
}

#[test]
fn tables_show_fifty_rows_and_json_all() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for _ in 0..53 {
        workspace.run("many").start().expect("starts").finish().expect("finishes");
    }
    let outcome = home.run(["ls"]);
    assert_eq!(outcome.stdout.lines().count(), 1 + 50);
    assert_eq!(outcome.stderr, "runcellar: note: the first 50 of 53 runs; --limit 0 shows all\n");
    assert_eq!(home.ok(["ls", "--limit", "0"]).lines().count(), 1 + 53);
    assert_eq!(home.ok(["ls", "--limit", "3"]).lines().count(), 1 + 3);
    assert_eq!(home.json(["ls"]).as_array().map(Vec::len), Some(53));
}

fn sweep(home: &Home) {
    let clock = Clock::three_days_ago();
    let workspace = home.workspace_at(&clock);
    for (index, lr) in [0.1, 0.02, 0.003].into_iter().enumerate() {
        let run = workspace
            .run("digits")
            .id(format!("id{index}"))
            .name(["quiet-otter", "brave-wolf-with-a-long-name", "\u{5b66}\u{7fd2}\u{1b}[2J"][index])
            .config(json!({"optimizer": {"lr": lr, "name": "sgd"}, "epochs": 20}))
            .tags(["sweep"])
            .start()
            .expect("starts");
        run.log([("train/loss", 0.5 / (index as f64 + 1.0)), ("val/accuracy", 0.9 + index as f64 * 0.03125)])
            .expect("logs");
        clock.advance(252_000_000);
        let state = if index == 1 { runcellar::RunState::Failed } else { runcellar::RunState::Finished };
        run.finish_as(state, None).expect("finishes");
    }
}

fn table(home: &Home, columns: &str) -> String {
    let mut command: Command = home.command(["ls"]);
    outcome(command.env("COLUMNS", columns)).stdout
}

#[test]
fn a_wide_table_shows_what_differs_and_what_is_measured() {
    let home = Home::with_workspace();
    sweep(&home);
    let expected = "\
id   name                         state     created  duration  optimizer.lr  val/accuracy  train/loss  tags
id2  \u{5b66}\u{7fd2}\u{241b}[2J                     finished  3d ago     4m 12s         0.003        0.9625     0.16667  sweep
id1  brave-wolf-with-a-long-name  failed    3d ago     4m 12s          0.02       0.93125        0.25  sweep
id0  quiet-otter                  finished  3d ago     4m 12s           0.1           0.9         0.5  sweep
";
    assert_eq!(table(&home, "200"), expected);
    assert_eq!(home.ok(["ls"]), expected, "a pipe has no width");
}

#[test]
fn a_narrow_table_keeps_what_matters_and_names_the_rest() {
    let home = Home::with_workspace();
    sweep(&home);
    let expected = "\
id   name                        state     optimizer.lr  val/accuracy
id2  \u{5b66}\u{7fd2}\u{241b}[2J                    finished         0.003        0.9625
id1  brave-wolf-with-a-long-na\u{2026}  failed            0.02       0.93125
id0  quiet-otter                 finished           0.1           0.9
4 not shown: created, duration, train/loss, tags
";
    assert_eq!(table(&home, "69"), expected);
    for columns in ["1", "12", "40", "80"] {
        let text = table(&home, columns);
        let width: usize = columns.parse().expect("a number");
        assert!(text.lines().all(|line| line.chars().count() <= width), "{columns}: {text}");
    }
}

#[test]
fn an_empty_workspace_says_so_on_stderr() {
    let home = Home::with_workspace();
    let outcome = home.run(["ls"]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", "runcellar: note: no runs\n"));
}

#[test]
fn a_run_that_is_still_logged_shows_with_its_latest_values() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("live").id("live").start().expect("starts");
    log_all(&run, "loss", &[3.0, 2.0, 1.5]);
    let json = home.json(["ls"]);
    assert_eq!((&json[0]["state"], &json[0]["summary"]["loss"]), (&"running".into(), &1.5.into()));
    assert!(json[0]["duration_s"].is_f64() && json[0]["finished"].is_null());
}

#[test]
fn functions_filter_sort_and_show() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (id, losses) in [("low1", [3.0, 0.5, 2.0]), ("high", [9.0, 8.0, 7.0]), ("low2", [1.0, 0.25, 4.0])] {
        let run = workspace.run("p").id(id).config(json!({"amp": true})).start().expect("starts");
        for (step, loss) in (0..).zip(losses) {
            run.log_at(step, [("val loss", loss), ("acc", loss * 2.0)]).expect("logs");
        }
        run.finish().expect("finishes");
    }
    let ids = |filter: &str, sort: &str| {
        let text = home.ok(["ls", "--json", "--where", filter, "--sort", sort]);
        let all: Vec<String> =
            ["low1", "high", "low2"].iter().filter(|id| text.contains(*id)).map(|id| (*id).to_owned()).collect();
        let mut all: Vec<(usize, String)> = all.into_iter().map(|id| (text.find(&id).expect("found"), id)).collect();
        all.sort();
        all.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids("min(\"val loss\") < 1 and config.amp", "-max(acc),id"), ["low2", "low1"]);
    assert_eq!(ids("at_best('val loss').acc = 1", "id"), ["low1"]);
    assert_eq!(ids("mean(acc) > 15 or not config.amp", "id"), ["high"]);
    assert_eq!(
        ids("created > now-1h and created >= 2026-01-01 and duration < 2h30m", "last(acc)"),
        ["low1", "low2", "high"]
    );
    let table = home.ok(["ls", "--sort", "-max(acc),id", "--where", "at_best(\"val loss\").acc > 0"]);
    let head = table.lines().next().expect("a header");
    assert!(head.contains("max(acc)") && head.contains("at_best(\"val loss\").acc"), "{table}");
    assert!(table.lines().nth(1).expect("a row").contains("18"), "{table}");
    let wrong = home.run(["ls", "--sort", "created, median(acc)"]);
    assert_eq!(
        (wrong.code, wrong.stderr.contains("column 10: unknown sort key \"median(acc)\"")),
        (2, true),
        "{}",
        wrong.stderr
    );
}

#[test]
fn groups_are_of_all_members() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for number in 0..6_i64 {
        let config = if number == 5 { json!({"other": 1}) } else { json!({"lr": 0.5, "amp": true}) };
        let run = workspace.run("p").id(format!("run{number}")).config(config);
        let run = if number == 0 { run.config(json!({"lr": 1, "amp": true})) } else { run }.start().expect("starts");
        run.log([("loss", number as f64)]).expect("logs");
        run.finish().expect("finishes");
    }
    let text =
        home.ok(["ls", "--group-by", "config.lr", "--of", "summary.loss,max(loss)", "--json", "--sort", "-runs"]);
    let first = r#"[{"group":{"config.lr":0.5},"runs":4,"stats":{"summary.loss":{"n":4,"mean":2.5,"sd":1.2909944487358056,"min":1.0,"max":4.0,"non_finite":0},"max(loss)":{"n":4,"mean":2.5,"sd":1.2909944487358056,"min":1.0,"max":4.0,"non_finite":0}}},"#;
    assert!(text.starts_with(first), "{text}");
    let one = r#"{"group":{"config.lr":1},"runs":1,"stats":{"summary.loss":{"n":1,"mean":0.0,"sd":null,"min":0.0,"max":0.0,"non_finite":0}"#;
    assert!(text.contains(one) && text.contains(r#"{"group":{"config.lr":null},"runs":1"#), "{text}");
    let table = home.ok(["ls", "--group-by", "config.lr", "--limit", "1"]);
    assert!(table.contains("runs  loss mean  loss sd") && table.contains("2.5"), "{table}");
    assert_eq!(table.lines().count(), 2, "one group is shown: {table}");
    assert_eq!(home.run(["ls", "--of", "summary.loss"]).code, 2, "what are figures of without groups");
    assert_eq!(home.run(["ls", "--group-by", "lr"]).code, 2, "no field");
    assert_eq!(home.run(["ls", "--group-by", "config.lr", "--sort", "loss"]).code, 2, "no key");
}
