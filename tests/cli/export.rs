//! `export`: what comes out is what went in, bit for bit.

use std::collections::BTreeMap;

use runcellar::Value;

use crate::support::{Home, log_all};

/// Floats that a careless writer changes.
const FLOATS: [f64; 14] = [
    0.1,
    0.30000000000000004,
    -0.0,
    0.0,
    1.0,
    1e16,
    123_456_789_012_345_680.0,
    5e-324,
    f64::MAX,
    f64::MIN_POSITIVE,
    -1.7976931348623157e308,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
const NASTY: &str = "a, \"b\"\nc";

/// Reads CSV as RFC 4180 has it. A field is (text, was it quoted).
fn read_csv(text: &str) -> Vec<Vec<(String, bool)>> {
    let (mut rows, mut row, mut field, mut quoted, mut inside) = (Vec::new(), Vec::new(), String::new(), false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if inside && letters.peek() == Some(&'"') => field.push(letters.next().expect("peeked")),
            '"' => (inside, quoted) = (!inside, true),
            ',' if !inside => row.push((std::mem::take(&mut field), std::mem::take(&mut quoted))),
            '\n' if !inside => {
                row.push((std::mem::take(&mut field), std::mem::take(&mut quoted)));
                rows.push(std::mem::take(&mut row));
            }
            letter => field.push(letter),
        }
    }
    assert!(row.is_empty() && field.is_empty(), "the last line ends");
    rows
}

fn texts(rows: &[Vec<(String, bool)>]) -> Vec<Vec<&str>> {
    rows.iter().map(|row| row.iter().map(|(text, _)| text.as_str()).collect()).collect()
}

fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

fn with_runs() -> Home {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p,q").id("run1").start().expect("starts");
    log_all(&run, "loss", &FLOATS);
    for (step, text) in ["plain", NASTY, "", " padded "].into_iter().enumerate() {
        run.log_at(step as i64, [(NASTY, text)]).expect("logs");
    }
    run.log_at(50, [("mixed", Value::Int(9_007_199_254_740_993)), ("flag", Value::Bool(true))]).expect("logs");
    run.log_at(51, [("mixed", Value::Float(0.5)), ("flag", Value::Bool(false))]).expect("logs");
    run.finish().expect("finishes");
    let run = workspace.run("other").id("run2").start().expect("starts");
    run.log_at(-3, [("loss", 2.5)]).expect("logs");
    run.log_at(-3, [("loss", 3.5)]).expect("logs");
    run.log_at(7, [("time", 1.0)]).expect("logs");
    run.finish().expect("finishes");
    home
}

#[test]
fn csv_gives_every_point_back_bit_for_bit() {
    let home = with_runs();
    let rows = read_csv(&home.ok(["export", "--format", "csv"]));
    let rows = texts(&rows);
    assert_eq!(rows[0], ["run", "project", "metric", "step", "time", "value"]);
    let of = |metric: &str| rows.iter().filter(|row| row[0] == "run1" && row[2] == metric).cloned().collect::<Vec<_>>();
    let back: Vec<u64> = of("loss").iter().map(|row| bits(row[5].parse().expect("a float"))).collect();
    assert_eq!(back, FLOATS.map(bits));
    assert!(of("loss").iter().all(|row| row[1] == "p,q" && row[4].len() == 27 && row[4].ends_with('Z')));
    assert_eq!(
        of("loss").iter().map(|row| row[3]).collect::<Vec<_>>(),
        (0..14).map(|step| step.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(of(NASTY).iter().map(|row| row[5]).collect::<Vec<_>>(), ["plain", NASTY, "", " padded "]);
    assert_eq!(of("mixed").iter().map(|row| row[5]).collect::<Vec<_>>(), ["9007199254740993", "0.5"]);
    assert_eq!(of("flag").iter().map(|row| row[5]).collect::<Vec<_>>(), ["true", "false"]);
    // Both points of one step, in the order written.
    let second: Vec<_> = rows.iter().filter(|row| row[0] == "run2").map(|row| (row[2], row[3], row[5])).collect();
    assert_eq!(second, [("loss", "-3", "2.5"), ("loss", "-3", "3.5"), ("time", "7", "1.0")]);
}

#[test]
fn json_lines_keep_types() {
    let home = with_runs();
    let text = home.ok(["export", "--format", "jsonl", "run1"]);
    let first = text.lines().next().expect("a line");
    assert!(first.starts_with(r#"{"run":"run1","project":"p,q","metric":"loss","step":0,"time":"20"#), "{first}");
    assert!(first.ends_with(r#"Z","value":0.1}"#), "{first}");
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |metric: &str| {
        rows.iter().filter(|row| row["metric"] == metric).map(|row| row["value"].clone()).collect::<Vec<_>>()
    };
    for (value, float) in of("loss").iter().zip(FLOATS) {
        match value.as_str() {
            Some(text) => assert_eq!(bits(text.parse().expect("a float")), bits(float)),
            None => assert!(value.is_f64() && value.as_f64().map(bits) == Some(bits(float)), "{value}"),
        }
    }
    assert_eq!(of("mixed"), [serde_json::json!(9_007_199_254_740_993_i64), serde_json::json!(0.5)]);
    assert_eq!(of("flag"), [true, false]);
    assert_eq!(of(NASTY), ["plain", NASTY, "", " padded "]);
}

#[test]
fn wide_rows_have_one_step_each() {
    let home = with_runs();
    let rows = read_csv(&home.ok(["export", "--wide"]));
    assert_eq!(texts(&rows)[0], ["run", "project", "step", "time", "loss", NASTY, "mixed", "flag", "metric.time"]);
    let by_step: BTreeMap<(String, i64), &Vec<(String, bool)>> =
        rows[1..].iter().map(|row| ((row[0].0.clone(), row[2].0.parse().expect("a step")), row)).collect();
    assert_eq!(by_step.len(), 14 + 2 + 2);
    let row = |run: &str, step: i64| by_step[&(run.to_owned(), step)];
    let absent = (String::new(), false);
    let empty = (String::new(), true);
    assert_eq!(row("run1", 2)[5], empty, "an empty text is not an absent one");
    assert_eq!((&row("run1", 5)[5], &row("run1", 5)[8]), (&absent, &absent));
    assert_eq!(row("run1", 50)[6].0, "9007199254740993");
    assert_eq!(row("run2", -3)[4].0, "3.5", "the last written stands");
    assert_eq!(row("run2", 7)[8].0, "1.0");
    let lines = home.ok(["export", "--wide", "--format", "jsonl", "run2"]);
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&rows[0]["loss"], &rows[1]["metric.time"]), (&3.5.into(), &1.0.into()));
    assert!(rows[1].get("loss").is_none());
}

#[test]
fn a_file_takes_its_name_when_it_is_whole() {
    let home = with_runs();
    std::fs::write(home.path("runs.csv"), "old").expect("writes");
    let outcome = home.run(["export", "-o", "runs.csv", "--where", "project = 'other'"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{outcome:?}");
    assert_eq!(outcome.stderr, "runcellar: note: wrote 3 rows of 1 run to runs.csv\n");
    assert_eq!(read_csv(&std::fs::read_to_string(home.path("runs.csv")).expect("reads")).len(), 1 + 3);
    home.ok(["export", "-o", "runs.jsonl", "run2"]);
    assert!(
        std::fs::read_to_string(home.path("runs.jsonl")).expect("reads").starts_with('{'),
        "the name says the format"
    );
    assert_eq!(home.ok(["export", "-o", "-", "run2"]), home.ok(["export", "run2"]));
    // Through a link the file behind it is replaced, and a device is written to, not replaced.
    std::os::unix::fs::symlink("runs.csv", home.path("link.csv")).expect("links");
    home.ok(["export", "-o", "link.csv", "run1"]);
    assert!(std::fs::symlink_metadata(home.path("link.csv")).expect("is there").is_symlink());
    assert!(std::fs::read_to_string(home.path("runs.csv")).expect("reads").contains("run1"));
    home.ok(["export", "-o", "/dev/null", "--format", "csv"]);
    let full = home.run(["export", "-o", "/dev/full"]);
    assert_eq!(full.code, 8, "{full:?}");
    assert!(full.stderr.starts_with("runcellar: write /dev/full: No space left on device"), "{full:?}");
}

#[test]
fn what_cannot_be_exported_is_named() {
    let home = with_runs();
    assert!(home.fails(3, ["export", "run1", "absent"])[0].starts_with("runcellar: no run absent in "));
    home.fails(2, ["export", "run1", "--where", "id = 'run1'"]);
    home.fails(2, ["export", "--format", "parquet"]);
    let outcome = home.run(["export", "--where", "id = 'absent'"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "run,project,metric,step,time,value\n"));
}

#[test]
fn ranks_have_a_column_where_it_is_asked_for() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let launch = |rank| runcellar::Launch { job: "j".into(), joins: true, rank, ..Default::default() };
    let ranks: Vec<_> = (0..2).map(|rank| workspace.run("p").launch(launch(rank)).start().expect("starts")).collect();
    let id = ranks[0].id().to_owned();
    ranks.iter().for_each(|run| log_all(run, "loss", &[0.5]));
    drop(ranks);
    let plain = home.ok(["export"]);
    assert!(plain.starts_with("run,project,metric,step,time,value\n"), "{plain}");
    let long = home.ok(["export", "--rank-column"]);
    let lines: Vec<&str> = long.lines().collect();
    assert_eq!(lines[0], "run,project,metric,step,time,value,rank");
    assert!(lines[1].ends_with(",0.5,0") && lines[2].ends_with(",0.5,1"), "{long}");
    let wide = home.ok(["export", "--wide", "--rank-column"]);
    assert!(wide.starts_with("run,project,step,time,rank,loss\n"), "{wide}");
    assert_eq!(wide.lines().count(), 3, "a row for each step and rank");
    let json = home.ok(["export", "--wide", "--format", "jsonl"]);
    assert!(json.lines().nth(1).is_some_and(|line| line.contains("\"rank\":1")), "{json}");
    assert_eq!(home.json(["show", &id])["ranks"], 2);
}

#[test]
fn media_become_files_with_safe_names_and_rows_name_them_by_id() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").id("run1").start().expect("starts");
    let image = |bytes: &[u8]| runcellar::NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: runcellar::Json::Map(Vec::new()),
        content: std::sync::Arc::new(bytes.to_vec()),
        companions: vec![("static.svg".into(), std::sync::Arc::new(b"<svg/>".to_vec()))],
        parts: Vec::new(),
    };
    let panel = runcellar::NewMedia::panel(vec![image(b"one"), image(b"two")]);
    let media = vec![("../up/val".to_owned(), panel), ("x".to_owned(), image(b"three"))];
    run.log_media(Some(7), Some(true), media, |row| row.push("loss", runcellar::RowValue::Float(0.5))).expect("logs");
    run.finish().expect("finishes");
    drop(workspace);
    let out = home.path("out");
    home.ok(["export", "--media", out.to_str().expect("UTF-8"), "run1"]);
    let read = |name: &str| std::fs::read(out.join("run1").join(name)).expect("is there");
    assert_eq!(read("%2E.%2Fup%2Fval/7_0.png"), b"one");
    assert_eq!(read("%2E.%2Fup%2Fval/7_1.png"), b"two");
    assert_eq!(read("x/7_0.png"), b"three");
    assert_eq!(read("x/7_0.static.svg"), b"<svg/>");
    let rows = home.ok(["export", "--format", "jsonl"]);
    let row = rows.lines().find(|line| line.contains("\"x\"")).expect("a row of x");
    let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
    assert_eq!(row["value"].as_str().map(str::len), Some(32));
    assert!(home.ok(["show", "run1"]).contains("media"));
}
