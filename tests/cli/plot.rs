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
    assert_eq!(
        home.fails(2, ["plot", "run1", "-o", "loss.png"]),
        ["runcellar: loss.png: plots are written as SVG, into a file that ends in .svg"]
    );
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
    home.fails(2, ["plot", "run1", "--width", "3"]);
}

#[test]
fn json_gives_the_points() {
    let home = with_run();
    let json = home.json(["plot", "run1", "accuracy"]);
    assert_eq!(json, serde_json::json!([{"name": "accuracy", "steps": [220, 221, 222], "values": [0.1, 0.5, 0.9]}]));
}
