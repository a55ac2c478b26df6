//! What a call of the command takes from start to end, beside a process that does nothing.
//!
//! `cargo bench -p runcellar-cli --bench command`. The workspace holds three runs, so what is measured is the start:
//! linking, arguments, the key, SQLite.

use std::path::Path;
use std::process::{Command, Stdio};

use criterion::{Criterion, criterion_group, criterion_main};
use runcellar::{Keys, Workspace};

/// Returns a call that sees nothing of the machine's environment.
fn call(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runcellar"));
    command.args(args).env_clear().env("HOME", home).env("RUNCELLAR_DIR", home.join("w"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start_up(c: &mut Criterion) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let home = home.path();
    assert!(call(home, &["init"]).status().expect("starts").success());
    let keys = Keys { directory: Some(home.join(".config/runcellar/keys")), ..Keys::default() };
    let workspace = Workspace::open(home.join("w"), keys).expect("opens");
    for name in ["one", "two", "three"] {
        let run = workspace.run("bench").name(name).start().expect("starts");
        for step in 0..1_000 {
            run.log([("loss", 1.0 / f64::from(step + 1))]).expect("logs");
        }
        run.finish().expect("finishes");
    }
    drop(workspace);
    let picture = home.join("loss.png").display().to_string();
    let mut group = c.benchmark_group("one call");
    group.sample_size(40);
    for (name, args) in [
        ("--version", &["--version"][..]),
        ("ls", &["ls"]),
        ("show", &["show", "one"]),
        ("plot to a PNG", &["plot", "one", "two", "three", "-m", "loss", "-o", &picture]),
    ] {
        group.bench_function(name, |b| b.iter(|| assert!(call(home, args).status().expect("starts").success())));
    }
    let nothing = || Command::new("true").env_clear().env("PATH", "/usr/bin:/bin").status();
    group.bench_function("reference: true", |b| b.iter(|| assert!(nothing().expect("starts").success())));
    group.finish();
}

criterion_group!(benches, start_up);
criterion_main!(benches);
