//! `plot`: terminal plots and pictures.

use crate::support::{Home, log_all, outcome};

fn with_run() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("run1").name("quiet-otter").start().expect("starts");
    let falling: Vec<f64> = (1..=200).map(|step| 1.0 / f64::from(step)).collect();
    log_all(&run, "train/loss", &falling);
    log_all(&run, "val/loss", &falling[..20]);
    log_all(&run, "accuracy", &[0.1, 0.5, 0.9]);
    run.log([("word", "hello")]).expect("logs");
    run.finish().expect("finishes");
    home
}

#[test]
fn a_plot_fits_the_width_that_is_there() {
    let home = with_run();
    for columns in ["40", "80", "133"] {
        let mut command = home.command(["plot", "run1", "train/loss", "val/loss"]);
        let text = outcome(command.env("COLUMNS", columns)).stdout;
        assert!(text.starts_with("quiet-otter\n") && text.contains("train/loss") && text.contains("step"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= columns.parse().expect("a number")), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
    let named = home.ok(["plot", "quiet-otter", "accuracy", "--height", "5", "--width", "50"]);
    assert!(named.starts_with("accuracy\n"), "a line that is alone is the title: {named}");
    let mut command = home.command(["plot", "run1", "accuracy", "--log"]);
    let ascii = outcome(command.env("LC_ALL", "C")).stdout;
    assert!(ascii.is_ascii() && ascii.contains('*'), "{ascii}");
}

#[test]
fn without_metrics_those_that_end_alike_share_a_plot() {
    let home = with_run();
    let text = home.ok(["plot", "run1"]);
    assert_eq!(text.matches("step\n").count(), 2, "two plots: {text}");
    assert!(text.contains("train/loss") && text.contains("val/loss") && text.contains("accuracy\n"), "{text}");
}

#[test]
fn a_picture_is_written_whole_or_not_at_all() {
    let home = with_run();
    let outcome = home.run(["plot", "run1", "train/loss", "-o", "loss.svg", "--width", "640"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    let svg = std::fs::read_to_string(home.path("loss.svg")).expect("reads");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("640"), "{svg}");
    home.ok(["plot", "run1", "-o", "all.svg"]);
    for name in ["loss.pdf", "loss", ".png"] {
        assert_eq!(
            home.fails(2, ["plot", "run1", "-o", name]),
            [format!("runcellar: {name}: a picture is PNG or SVG, into a file that ends in .png or .svg")]
        );
    }
    assert!(
        home.fails(3, ["plot", "run1", "-o", "absent/loss.svg"])[0].starts_with("runcellar: write absent/loss.svg: ")
    );
    let left: Vec<_> =
        std::fs::read_dir(home.path("")).expect("reads").map(|entry| entry.expect("entry").file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[test]
fn metrics_that_cannot_be_drawn_are_named() {
    let home = with_run();
    let lines = home.fails(3, ["plot", "run1", "los"]);
    assert_eq!(lines, ["runcellar: run run1: no metric \"los\"", "  there are train/loss, val/loss, accuracy"]);
    assert_eq!(
        home.fails(2, ["plot", "run1", "word"]),
        ["runcellar: run run1: metric \"word\" is text and cannot be plotted"]
    );
    let run = home.workspace().run("p").id("run2").start().expect("starts");
    let histogram = runcellar::Histogram::new(vec![0.0, 1.0], vec![3.0]).expect("a histogram");
    run.log([("weights", histogram)]).expect("logs");
    run.finish().expect("finishes");
    assert_eq!(
        home.fails(2, ["plot", "run2", "weights"]),
        ["runcellar: run run2: metric \"weights\" is of histograms and cannot be plotted"]
    );
    assert_eq!(home.fails(3, ["plot", "run2"]), ["runcellar: run run2: no metric to plot"]);
    home.fails(2, ["plot", "run1", "--width", "3"]);
}

#[test]
fn json_gives_the_points() {
    let home = with_run();
    let json = home.json(["plot", "run1", "accuracy"]);
    let times = json[0]["times"].as_array().expect("times").clone();
    assert_eq!(times.len(), 3);
    let (steps, values) = ([220, 221, 222], [0.1, 0.5, 0.9]);
    let expected = serde_json::json!([
        {"name": "accuracy", "steps": steps, "values": values, "run": "run1", "times": times}
    ]);
    assert_eq!(json, expected);
    let both = home.json(["plot", "run1", "--metric", "val/loss", "--metric", "accuracy", "--smooth", "0.5"]);
    assert_eq!(both[1]["values"], serde_json::json!(values), "points are as they were logged");
}

/// Returns width and height of a PNG, and whether it ends as one must.
fn png(home: &Home, name: &str) -> (u32, u32) {
    let bytes = std::fs::read(home.path(name)).expect("reads");
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xaeB\x60\x82"));
    let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (side(16), side(20))
}

#[test]
fn a_png_has_the_pixels_that_were_asked_for() {
    let home = with_run();
    home.ok(["plot", "run1", "train/loss", "val/loss", "-o", "loss.png", "--smooth", "0.9", "--log"]);
    assert_eq!(png(&home, "loss.png"), (1440, 800));
    let sized = ["plot", "run1", "-o", "small.PNG", "--width", "300", "--height", "200", "--scale", "1", "--dark"];
    home.ok(sized);
    assert_eq!(png(&home, "small.PNG"), (300, 200));
    let lines = home.fails(2, ["plot", "run1", "-o", "huge.png", "--width", "10000", "--height", "10000"]);
    assert_eq!(lines, ["runcellar: huge.png: 20000 x 20000 pixels are more than 100000000 in all"]);
    assert!(!home.path("huge.png").exists());
    home.fails(2, ["plot", "run1", "-o", "a.png", "--scale", "9"]);
    home.fails(2, ["plot", "run1", "--dark"]);
    home.fails(2, ["plot", "run1", "--smooth", "1"]);
    home.fails(2, ["plot"]);
}

/// Makes three runs of which the first two have a loss, and the last has none.
fn with_runs() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    for (id, name, lr) in [("run1", "otter", 0.1), ("run2", "heron", 0.2), ("run3", "otter", 0.3)] {
        let config = runcellar::json!({"lr": lr});
        let run = workspace.run("birds").id(id).name(name).config(config).start().expect("starts");
        match id {
            "run3" => log_all(&run, "accuracy", &[f64::NAN, f64::NAN]),
            _ => log_all(&run, "loss", &[1.0, lr]),
        }
        run.finish().expect("finishes");
    }
    home
}

#[test]
fn several_runs_share_a_plot_under_their_names() {
    let home = with_runs();
    for args in [
        vec!["plot", "run1", "run2", "--metric", "loss"],
        vec!["plot", "run1", "loss", "heron"],
        vec!["plot", "--where", "config.lr < 0.25", "-m", "loss"],
    ] {
        let text = home.ok(args);
        assert!(text.starts_with("loss\n") && text.matches("step\n").count() == 1, "{text}");
        assert!(text.contains(" otter") && text.contains(" heron"), "{text}");
    }
    // Names that two runs have are told apart by id; a run without the metric is left out and said.
    let outcome = home.run(["plot", "run1", "run2", "run3", "-m", "loss", "-o", "all.svg"]);
    let svg = std::fs::read_to_string(home.path("all.svg")).expect("reads");
    assert!(svg.contains(">otter (run1)</text>") && svg.contains(">heron</text>"), "{svg}");
    assert!(outcome.stderr.contains("1 of the lines are not there"), "{outcome:?}");
    // Without a metric each has a plot of its own.
    let text = home.ok(["plot", "run1", "run2", "run3"]);
    assert!(text.contains("loss\n") && text.contains("accuracy\nno points\n"), "{text}");
    assert!(home.ok(["plot", "run1", "run1", "-m", "loss"]).starts_with("loss\n"), "a run named twice is drawn once");
}

#[test]
fn x_may_be_the_time() {
    let home = Home::with_workspace();
    let clock = crate::support::Clock::three_days_ago();
    let run = home.workspace_at(&clock).run("p").id("run1").start().expect("starts");
    for value in [3.0, 2.0, 1.0] {
        run.log([("loss", value)]).expect("logs");
        clock.advance(3_600_000_000);
    }
    run.finish().expect("finishes");
    let relative = home.ok(["plot", "run1", "loss", "--x", "relative"]);
    assert!(relative.contains("hours since the start\n") && relative.contains("1.5"), "{relative}");
    let time = home.ok(["plot", "run1", "loss", "--x", "time"]);
    assert!(time.contains("time, UTC") && time.contains(":00"), "{time}");
}

#[test]
fn what_cannot_be_drawn_of_several_runs_is_named() {
    let home = with_runs();
    assert_eq!(
        home.fails(3, ["plot", "run1", "run2", "-m", "los"]),
        ["runcellar: run run1: no metric \"los\"", "  there are loss"]
    );
    assert_eq!(home.fails(3, ["plot", "--where", "config.lr > 9"]), ["runcellar: no run matches"]);
    home.fails(2, ["plot", "--where", "config.lr >"]);
    home.fails(3, ["plot", "run1", "absent", "-m", "loss"]);
    assert!(home.fails(2, ["plot", "run2", "otter"])[0].contains("otter"), "a name that two runs have");
    let outcome = home.run(["plot", "run3", "-o", "nothing.png"]);
    assert_eq!(outcome.code, 0, "a picture that says so: {outcome:?}");
}

#[test]
fn a_metric_may_stand_for_the_steps() {
    let home = Home::with_workspace();
    let run = home.workspace().run("p").id("run1").start().expect("starts");
    let definition = runcellar::MetricDefinition {
        name: "val/*".into(),
        step_metric: "epoch".into(),
        ..runcellar::MetricDefinition::default()
    };
    run.define_metric(&definition).expect("defines");
    for step in 0..300 {
        run.log([("loss", 1.0 / f64::from(step + 1))]).expect("logs");
        if step % 100 == 99 {
            run.log([("epoch", f64::from(step / 100)), ("val/loss", 0.5)]).expect("logs");
        }
    }
    run.finish().expect("finishes");
    let label = |args: &[&str]| {
        let text = home.ok(args.iter().copied());
        text.lines().last().expect("a label").trim().to_owned()
    };
    assert_eq!(label(&["plot", "run1", "val/loss"]), "epoch");
    assert_eq!(label(&["plot", "run1", "val/loss", "--x", "step"]), "step");
    assert_eq!(label(&["plot", "run1", "loss"]), "step");
    let over = home.ok(["plot", "run1", "loss", "--x", "epoch"]);
    assert!(over.contains("points without a finite x left out: 100"), "before its first value: {over}");
    let both = home.ok(["plot", "run1", "loss", "val/loss"]);
    assert!(both.contains("step\n") && !both.contains("epoch"), "lines of two kinds: {both}");
    home.ok(["plot", "run1", "-o", "all.svg"]);
    let svg = std::fs::read_to_string(home.path("all.svg")).expect("reads");
    assert!(svg.contains(">step</text>"), "{svg}");
    home.ok(["plot", "run1", "val/loss", "-o", "one.svg"]);
    let svg = std::fs::read_to_string(home.path("one.svg")).expect("reads");
    assert!(svg.contains(">epoch</text>") && !svg.contains(">step</text>"), "{svg}");
    assert_eq!(home.fails(3, ["plot", "run1", "--x", "epok"]), ["runcellar: run run1: no metric \"epok\""]);
}
