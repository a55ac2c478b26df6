//! Makes workspaces that other readers are tested against, and says what the store reads from them.
//!
//! `make_workspace make DIR KEY_FILE` makes one with runs of every kind of value; `make-files DIR KEY_FILE` adds artifacts,
//! media, code, a purge and a recovery code, which it prints; `leave DIR KEY_FILE ID [ROWS]` starts a run, says `ready` and
//! waits to be killed; `read DIR KEY_FILE` prints all runs as JSON, `read-files DIR KEY_FILE` the rest.
#![allow(clippy::print_stdout, reason = "a program for tests")]

mod dump;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use runcellar::artifacts::{Links, PutSettings, RemoveOptions};
use runcellar::run::Removal;
use runcellar::{
    ArtifactDraft, CodeFolder, Histogram, HistoryPoint, Keys, MetricDefinition, NewMedia, PurgeOptions, Result, Resume,
    RowValue, Run, RunState, Value, Workspace, json,
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let keys = |file: &str| Keys { file: Some(file.into()), ..Keys::default() };
    match args.as_slice() {
        ["make", dir, key_file] => make(Path::new(dir), keys(key_file)),
        ["leave", dir, key_file, id] => leave(Path::new(dir), keys(key_file), id, 300),
        ["leave", dir, key_file, id, rows] => {
            leave(Path::new(dir), keys(key_file), id, rows.parse().expect("a number of rows"))
        }
        ["read", dir, key_file] => {
            let workspace = Workspace::open(dir, keys(key_file));
            workspace.and_then(|workspace| dump::dump(&workspace)).map(|runs| println!("{runs:#}"))
        }
        ["make-files", dir, key_file] => make_files(Path::new(dir), keys(key_file)),
        ["read-files", dir, key_file] => {
            let workspace = Workspace::open(dir, keys(key_file));
            workspace.and_then(|workspace| dump::dump_files(&workspace)).map(|files| println!("{files:#}"))
        }
        _ => panic!("make DIR KEY_FILE, leave DIR KEY_FILE ID [ROWS], or read DIR KEY_FILE"),
    }
    .expect("a workspace that can be used");
}

fn make(dir: &Path, keys: Keys) -> Result<()> {
    let workspace = Workspace::open_or_create(dir, keys)?;
    let config = json!({
        "lr": 0.1,
        "layers": [64, 32],
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": true, "none": null},
        "smallest": (i64::MIN),
        "\u{fc}ber": "gr\u{fc}\u{df}e"
    });
    let run = workspace.run("digits").id("full").name("plain-owl-1").config(config).tags(["x", "y"]).start()?;
    let best = MetricDefinition {
        name: "loss".into(),
        summary: vec!["min".into(), "mean".into()],
        goal: "minimize".into(),
        ..MetricDefinition::default()
    };
    run.define_metric(&best)?;
    log_all(&run, 300)?;
    run.tag("z")?;
    run.notes("first line\nsecond line")?;
    run.summary("note", "by hand")?;
    run.summary("gone", 1)?;
    run.remove(Removal::Summary("gone"))?;
    run.remove(Removal::Config("smallest"))?;
    run.config("late", json!({"added": [true, null]}))?;
    run.finish()?;

    let failed = workspace.run("digits").id("failed").group("g").job_type("eval").start()?;
    failed.log([("loss", 2.5)])?;
    failed.finish_as(RunState::Failed, Some(3))?;
    workspace.run("other/project").id("empty").start()?.finish()?;

    // Two writers, one after the other, and late rows of the second.
    let first = workspace.run("digits").id("resumed").config(json!({"a": 1, "b": 1})).start()?;
    log_all(&first, 70)?;
    first.finish_as(RunState::Killed, None)?;
    let second = workspace.run("digits").id("resumed").resume(Resume::Must).config(json!({"b": 2})).start()?;
    log_all(&second, 50)?;
    second.log_at(3, [("loss", -1.0)])?;
    second.finish()?;

    let hidden = workspace.run("digits").id("hidden").start()?;
    hidden.finish()?;

    // What another run logged, up to a step, and then its own; and a run that goes on from an earlier step.
    let at = |run: &str, step: i64| HistoryPoint { run: run.to_owned(), step: Some(step) };
    let forked = workspace.run("digits").id("forked").fork_from(at("full", 120)).start()?;
    log_all(&forked, 20)?;
    forked.finish()?;
    let before = workspace.run("digits").id("rewound").start()?;
    log_all(&before, 60)?;
    before.finish()?;
    let after = workspace.run("digits").resume_from(at("rewound", 33)).start()?;
    log_all(&after, 10)?;
    after.finish()?;

    // More row groups than an overview speaks of: writers do not share one.
    for writer in 0..70 {
        let run = workspace.run("digits").id("sessions").resume(Resume::Allow).start()?;
        (0..9).try_for_each(|row| run.log([("loss", f64::from(writer * 9 + row) / 100.0)]))?;
        run.finish()?;
    }

    workspace.fold_catalogue()?;
    workspace.remove_runs(&[workspace.find_run("hidden")?])?;
    workspace.tag_run(&workspace.find_run("full")?, &["w".into()], &["x".into()])
}

/// Artifacts with versions, one of which was removed, aliases, links and uses; media of a run and its code; a purge.
fn make_files(dir: &Path, keys: Keys) -> Result<()> {
    let workspace = Workspace::open(dir, keys)?;
    let place = tempfile::tempdir().expect("a temporary directory");
    let write = |path: &str, content: &[u8]| {
        let path = place.path().join(path);
        std::fs::create_dir_all(path.parent().expect("below the place")).expect("can be made");
        std::fs::write(path, content).expect("can be written");
    };

    let run = workspace.run("digits").id("with-files").start()?;
    let picture = NewMedia {
        kind: "image".into(),
        format: "png".into(),
        metadata: json!({"caption": "of noise"}),
        content: Arc::new(noise(1, 50_000)),
        companions: Vec::new(),
        parts: Vec::new(),
    };
    let figure = NewMedia {
        kind: "plotly".into(),
        format: "json".into(),
        content: Arc::new(b"{}".to_vec()),
        companions: vec![("static.png".into(), Arc::new(noise(2, 5_000)))],
        ..picture.clone()
    };
    let panel = NewMedia::panel(vec![picture.clone(), figure.clone()]);
    run.log_media(None, None, vec![("picture".into(), picture)], |row| row.push("loss", RowValue::Float(0.5)))?;
    run.log_media(None, None, vec![("figure".into(), figure), ("panel".into(), panel)], |_| {})?;
    write("code/train.py", b"print(1)\n");
    write("code/deep/model.py", "weights = 0\n".repeat(5_000).as_bytes());
    run.log_code(&CodeFolder { root: place.path().join("code"), ..CodeFolder::default() })?;
    run.finish()?;

    let settings = |run: Option<&str>, compress: bool| PutSettings {
        project: "digits".into(),
        run: run.map(str::to_owned),
        compress,
        aliases: Vec::new(),
    };
    let weights = |seed: u64| -> Vec<u8> {
        let bytes = noise(seed, 100_000);
        bytes.iter().flat_map(|byte| ((f32::from(*byte) - 127.5) * 1e-3).to_le_bytes()).collect()
    };
    write("tree/run.sh", b"#!/bin/sh\n");
    std::fs::set_permissions(place.path().join("tree/run.sh"), Permissions::from_mode(0o755)).expect("our own");
    std::fs::create_dir_all(place.path().join("tree/empty")).expect("can be made");
    std::os::unix::fs::symlink("../elsewhere", place.path().join("tree/link")).expect("can be made");
    let mut draft = ArtifactDraft::new("data", "dataset")?;
    draft.description = "three versions of noise".into();
    draft.metadata = json!({"rows": 3, "nested": {"of": ["noise"]}});
    draft.add_dir(&place.path().join("tree"), Some("tree"), Links::Keep)?;
    draft.add_bytes("noise", noise(3, 400_000))?;
    draft.add_bytes("nothing", Vec::new())?;
    draft.add_bytes("text", "some words again\n".repeat(10_000).into_bytes())?;
    draft.add_reference("s3://bucket/big", "elsewhere", Some(5), Some("sha256:00"))?;
    for (number, seed) in (4..).take(3).enumerate() {
        let mut version = draft.clone();
        version.add_bytes("weights", [weights(seed), noise(seed, 100_000)].concat())?;
        workspace.put_artifact(&version, &settings((number == 0).then_some("with-files"), number == 2))?;
    }
    let [first, second, third] = [0, 1, 2].map(|number| workspace.artifact(&format!("digits/data:v{number}")));
    let (first, third) = (workspace.tag_version(&first?, &["best".into()], &[])?, third?);
    workspace.use_version(&first, &workspace.find_run("full")?)?;
    workspace.link_version(&third, "noises", &["production".into()])?;
    workspace.remove_version(&second?, RemoveOptions::default())?;

    let secret = workspace.run("digits").id("purged").start()?;
    secret.log([("loss", 1.5)])?;
    secret.finish()?;
    workspace.purge(&["purged".parse()?], PurgeOptions::default())?;
    println!("{}", workspace.add_recovery_code("paper")?.1);
    Ok(())
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut content);
    content
}

fn leave(dir: &Path, keys: Keys, id: &str, rows: i64) -> Result<()> {
    let workspace = Workspace::open_or_create(dir, keys)?;
    let run = workspace.run("left behind").id(id).config(json!({"lr": 0.5})).tags(["t"]).start()?;
    log_all(&run, rows)?;
    run.summary("note", "before the end")?;
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// Logs rows with every kind of value, dense and sparse, and those that formats like to lose.
fn log_all(run: &Run, rows: i64) -> Result<()> {
    const ODD: [u64; 8] = [
        0x7ff8_0000_0000_0000,
        0xfff8_0000_0000_0001,
        0x7ff0_0000_0000_0001,
        0x8000_0000_0000_0000,
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
        1,
        0x7fef_ffff_ffff_ffff,
    ];
    let mut noise = 1_u64;
    for row in 0..rows {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (noise >> 11) as f64 / (1_u64 << 53) as f64;
        let odd = ODD[(row % 8) as usize];
        let mut values: Vec<(&str, Value)> = vec![
            ("loss", Value::Float((random * 1e4).round() / 1e4)),
            ("single", Value::from(random as f32)),
            ("double", Value::Float(random.sqrt())),
            ("odd/floats", Value::Float(f64::from_bits(odd))),
            ("odd/singles", Value::from(f32::from_bits((odd >> 32) as u32 | 1))),
            ("count", Value::Int(row * 3)),
            ("extremes", Value::Int([i64::MIN, i64::MAX, -1, 0][(row % 4) as usize])),
            ("noise", Value::Int(noise.cast_signed())),
            ("better", Value::Bool(random < 0.3)),
            ("constant", Value::Float(-0.0)),
            ("line", Value::Text(format!("row {row}: \u{1f989} {:x}", noise >> 40))),
            ("mode", Value::Text("train".into())),
            ("mixed", if row % 3 == 0 { Value::Text(row.to_string()) } else { Value::Float(random) }),
        ];
        if row % 40 == 7 {
            values.push(("eval/accuracy", Value::Float((random * 100.0).floor() / 100.0)));
            values.push(("eval/best", Value::Bool(row > 100)));
            let edges = (0..=12).map(|edge| f64::from(edge) / 4.0 + if row > 100 { 1.0 } else { 0.0 }).collect();
            let counts = (0..12).map(|bin| ((row * 31 + bin * 17) % 97) as f64).collect();
            values.push(("weights", Histogram::new(edges, counts).expect("a histogram").into()));
        }
        run.log(values)?;
    }
    run.log_at(5, [("loss", 5.5)])?;
    run.log_at(5, [("loss", 6.5)])
}
