//! `show`: the JSON object, the page, and finding a run.

use runcellar::{RunState, Stream, json};

use crate::support::{Clock, Home, log_all, outcome};

#[test]
fn the_object_is_that_of_ls_and_more() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    std::fs::create_dir_all(home.path("repo/.git/refs/heads")).expect("creates");
    std::fs::write(home.path("repo/.git/HEAD"), "ref: refs/heads/main\n").expect("writes");
    std::fs::write(home.path("repo/.git/refs/heads/main"), "0123456789abcdef0123456789abcdef01234567\n")
        .expect("writes");
    let run = workspace
        .run("p")
        .id("run1")
        .name("n")
        .program("train.py")
        .directory(home.path("repo"))
        .start()
        .expect("starts");
    log_all(&run, "loss", &[2.0, 0.5, f64::NAN, 1.0]);
    run.log_at(10, [("count", 3_i64)]).expect("logs");
    run.log([("word", "hello")]).expect("logs");
    run.log([("on", true)]).expect("logs");
    run.finish_as(RunState::Failed, Some(3)).expect("finishes");
    let mut shown = home.json(["show", "run1"]);
    let expected = serde_json::json!([
        {"name": "loss", "kind": "float", "points": 4, "first_step": 0, "last_step": 3, "min": 0.5, "max": 2.0, "last": 1.0},
        {"name": "count", "kind": "int", "points": 1, "first_step": 10, "last_step": 10, "min": 3, "max": 3, "last": 3},
        {"name": "word", "kind": "text", "points": 1, "first_step": 10, "last_step": 10, "min": null, "max": null, "last": "hello"},
        {"name": "on", "kind": "bool", "points": 1, "first_step": 11, "last_step": 11, "min": shown["metrics"][3]["min"],
         "max": shown["metrics"][3]["max"], "last": true},
    ]);
    assert_eq!(shown["metrics"], expected);
    assert_eq!(
        shown["git"],
        serde_json::json!({"commit": "0123456789abcdef0123456789abcdef01234567", "branch": "main", "dirty": null, "remote": null})
    );
    assert_eq!((&shown["program"], &shown["exit_code"], &shown["dropped"]), (&"train.py".into(), &3.into(), &0.into()));
    assert_eq!(
        (&shown["forked_from"], &shown["rewinds"], &shown["ranks"]),
        (&serde_json::Value::Null, &serde_json::json!([]), &1.into())
    );
    assert_eq!(shown["artifacts"], serde_json::json!({"made": [], "used": []}));
    let beyond_ls = [
        "metrics",
        "git",
        "packages",
        "code",
        "program",
        "exit_code",
        "dropped",
        "system",
        "forked_from",
        "rewinds",
        "ranks",
        "arguments",
        "redacted",
        "artifacts",
        "conflicts",
    ];
    for extra in beyond_ls {
        shown.as_object_mut().expect("an object").remove(extra);
    }
    assert_eq!(shown, home.json(["ls"])[0]);
    let bare = workspace.run("p").id("run2").start().expect("starts");
    bare.finish().expect("finishes");
    let shown = home.json(["show", "run2"]);
    assert_eq!((&shown["git"], &shown["exit_code"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(shown["metrics"], serde_json::json!([]));
}

#[test]
fn a_run_is_found_by_id_prefix_name_and_project() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (project, id, name) in [("a", "alpha-one", "same"), ("b", "alpha-two", "same"), ("b", "beta", "other")] {
        workspace.run(project).id(id).name(name).start().expect("starts").finish().expect("finishes");
    }
    let id = |wanted: &str| home.json(["show", wanted])["id"].as_str().expect("text").to_owned();
    assert_eq!(id("alpha-one"), "alpha-one");
    assert_eq!(id("alpha-t"), "alpha-two");
    assert_eq!(id("other"), "beta");
    assert_eq!(id("a/same"), "alpha-one");
    let lines = home.fails(2, ["show", "same"]);
    assert_eq!(lines, ["runcellar: run same: it can be alpha-one (a/same) or alpha-two (b/same)"]);
    assert!(home.fails(2, ["show", "alph"])[0].contains("it can be"));
    let lines = home.fails(3, ["show", "bet"]);
    assert_eq!(lines[0], format!("runcellar: no run bet in {}", home.text("w")), "three letters are too few");
    assert_eq!(lines[1], "  runcellar ls lists the runs");
}

#[test]
fn the_page_reads_well() {
    let home = Home::with_workspace();
    let clock = Clock::three_days_ago();
    let workspace = home.workspace_at(&clock);
    let run = workspace
        .run("digits")
        .id("run1")
        .name("quiet-\u{1b}otter")
        .config(json!({"model": {"kind": "mlp", "hidden": [64, 32]}, "seed": 7, "learning_rate": 0.1}))
        .tags(["best"])
        .notes("two\nlines")
        .start()
        .expect("starts");
    let falling: Vec<f64> = (0..40).map(|step| 1.0 - f64::from(step) / 40.0).collect();
    log_all(&run, "loss", &falling);
    run.summary("best_accuracy", 0.975).expect("sets");
    clock.advance(252_000_000);
    run.finish_as(RunState::Failed, Some(1)).expect("finishes");
    let mut command = home.command(["show", "run1"]);
    let page = outcome(command.env("COLUMNS", "80")).stdout;
    let host =
        page.lines().position(|line| line.starts_with("host ")).map(|at| page.lines().nth(at).expect("it is there"));
    let page = page.replace(&format!("{}\n", host.unwrap_or("no host")), "");
    let date = home.json(["show", "run1"])["created"].as_str().expect("text").replace('T', " ")[..19].to_owned();
    let finished = home.json(["show", "run1"])["finished"].as_str().expect("text").replace('T', " ")[..19].to_owned();
    let expected = format!(
        "\
quiet-\u{241b}otter  failed
id        run1
project   digits
created   {date} UTC  3d ago
finished  {finished} UTC  after 4m 12s
tags      best
notes     two
          lines
exit code 1

config
  model
    kind    mlp
    hidden  [64, 32]
  seed           7
  learning_rate  0.1

metrics
  name  points  steps    min  max   last
  loss      40  0..39  0.025    1  0.025  \u{2588}\u{2588}\u{2588}\u{2587}\u{2587}\u{2586}\u{2586}\u{2586}\u{2585}\u{2585}\u{2584}\u{2584}\u{2583}\u{2583}\u{2583}\u{2582}\u{2582}\u{2581}\u{2581}\u{2581}

summary
  best_accuracy  0.975
"
    );
    assert_eq!(page, expected);
}

#[test]
fn the_console_is_shown_as_lines_or_as_objects() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("said").start().expect("starts");
    run.console(Stream::Out, b"\x1b[31mepoch 1\x1b[0m\n  50%\r 100%\n");
    run.console(Stream::Err, b"careful\n");
    run.finish().expect("finishes");
    assert_eq!(home.ok(["show", "said", "--console"]), "epoch 1\n 100%\ncareful\n");
    let lines = home.json(["show", "said", "--console"]);
    let of = |index: usize| (lines[index]["stream"].as_str().expect("text"), lines[index]["text"].as_str());
    assert_eq!((of(0), of(2)), (("stdout", Some("epoch 1")), ("stderr", Some("careful"))));
    assert!(lines[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{lines}");
    assert_eq!(home.json(["show", "said"])["metrics"], serde_json::json!([]));
    let silent = workspace.run("p").id("silent").start().expect("starts");
    silent.finish().expect("finishes");
    let outcome = home.run(["show", "silent", "--console"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
    assert!(outcome.stderr.contains("no console was recorded"), "{outcome:?}");
    assert_eq!(home.run(["show", "said", "--console", "--system"]).code, 2);
}

#[test]
fn system_metrics_are_shown_and_exported_only_where_they_are_asked_for() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("watched").name("n").system(true).start().expect("starts");
    log_all(&run, "loss", &[2.0, 0.5]);
    run.console(Stream::Out, b"a \"line\"\n");
    let info = workspace.find_run("watched").expect("listed");
    // The first sample is due after a second.
    for _ in 0..3000 {
        if !workspace.system_metrics(&info).expect("reads").is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    run.finish().expect("finishes");
    let shown = home.json(["show", "watched"]);
    assert_eq!(shown["metrics"].as_array().map(Vec::len), Some(1));
    let system = shown["system"].as_array().expect("a list");
    assert!(system.iter().any(|metric| metric["name"] == "system/cpu" && metric["first_step"] == 0), "{shown}");
    assert!(!home.ok(["show", "watched"]).contains("system/cpu"));
    assert!(home.ok(["show", "watched", "--system"]).contains("system/cpu"));
    let plain = home.ok(["export", "watched"]);
    assert_eq!(plain.lines().count(), 3, "{plain}");
    let all = home.ok(["export", "watched", "--system", "--console"]);
    assert!(all.starts_with(&plain) && all.contains("watched,p,system/memory,0,"), "{all}");
    assert!(all.lines().any(|line| line.starts_with("watched,p,console,0,") && line.ends_with("\"a \"\"line\"\"\"")));
    assert_eq!(home.run(["export", "watched", "--system", "--wide"]).code, 2);
}

#[test]
fn a_range_of_steps_or_times_is_what_the_metrics_tell_of() {
    let home = Home::with_workspace();
    let clock = Clock::three_days_ago();
    let run = home.workspace_at(&clock).run("p").id("run1").name("n").start().expect("starts");
    log_all(&run, "loss", &[9.0, 2.0, 3.0, 1.0]);
    clock.advance(3_600_000_000);
    log_all(&run, "late", &[5.0]);
    run.finish().expect("finishes");
    let told = |args: &[&str]| {
        let json = home.json(["show", "run1"].iter().chain(args).copied());
        let told = json["metrics"].as_array().expect("metrics").iter().map(|metric| {
            let number = |key: &str| metric[key].as_f64().expect("a number");
            (metric["name"].as_str().expect("a name").to_owned(), number("points"), number("max"), number("last"))
        });
        told.collect::<Vec<_>>()
    };
    let (whole, late) = (("loss".to_owned(), 4.0, 9.0, 1.0), ("late".to_owned(), 1.0, 5.0, 5.0));
    assert_eq!(told(&[]), [whole.clone(), late.clone()]);
    assert_eq!(told(&["--steps", "1:3"]), [("loss".to_owned(), 2.0, 3.0, 3.0)]);
    let created = home.json(["show", "run1"])["created"].as_str().expect("a time").to_owned();
    assert_eq!(told(&["--since", &created]), [whole, late]);
    assert!(told(&["--until", &created]).is_empty());
    let page = home.ok(["show", "run1", "--steps", "1:3"]);
    assert!(page.contains("1..2") && !page.contains("\n  late") && !page.contains("\nsummary"), "{page}");
    home.fails(2, ["show", "run1", "--steps", "3"]);
    home.fails(2, ["show", "run1", "--steps", "1:3", "--console"]);
}
