//! What an agent takes that has nothing to do, and how soon it sends a run that ended.
//!
//! `cargo bench -p runcellar-cli --bench agent`; `RUNCELLAR_BENCH_SECS` says how long the idle agent is looked at. The
//! processor's time is that of /proc/PID/stat, which has the threads that ended, too.

#![allow(clippy::print_stdout, reason = "a benchmark says what it found")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runcellar::{Keys, Workspace};

/// What an idle agent may take of a core.
const IDLE_SHARE_MAX: f64 = 0.001;
/// How soon a run that ended is to be on the remote.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// Runs that are timed.
const RUNS: usize = 10;
/// Ticks of a second in /proc, on Linux everywhere.
const TICKS: f64 = 100.0;

fn call(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runcellar"));
    command.args(args).env_clear().env("HOME", home).env("RUNCELLAR_DIR", home.join("w")).current_dir(home);
    command
}

fn ok(home: &Path, args: &[&str]) -> String {
    let output = call(home, args).output().expect("runs");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nothing to be done if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cpu_secs(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("reads");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let fields: Vec<f64> = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse().expect("ticks")).collect();
    fields.iter().sum::<f64>() / TICKS
}

fn main() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let home = home.path();
    ok(home, &["init"]);
    std::fs::create_dir(home.join("shared")).expect("makes");
    let added = ok(home, &["remote", "add", "origin", "shared", "--json"]);
    let added: serde_json::Value = serde_json::from_str(&added).expect("JSON");
    ok(home, &["remote", "enable", "origin", "--consent", added["consent_hash"].as_str().expect("a hash")]);
    let keys = Keys { directory: Some(home.join(".config/runcellar/keys")), ..Keys::default() };
    let workspace = Workspace::open(home.join("w"), keys).expect("opens");
    let mut agent = call(home, &["sync", "--watch", "--idle", "0"]);
    let agent = Ended(agent.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"));
    let sent = || workspace.unsent("origin").expect("looks").is_empty();
    let mut waits = Vec::new();
    for _ in 0..RUNS {
        let run = workspace.run("p").start().expect("starts");
        (0..1_000_i64).for_each(|n| run.log([("n", n)]).expect("logs"));
        run.finish().expect("finishes");
        let ended = Instant::now();
        while !sent() {
            std::thread::sleep(Duration::from_millis(10));
        }
        waits.push(ended.elapsed());
    }
    waits.sort_unstable();
    println!(
        "a run that ended is on the remote after {:.0?} (median), {:.0?} (longest); {:.2} of what is allowed",
        waits[RUNS / 2],
        waits[RUNS - 1],
        waits[RUNS - 1].as_secs_f64() / SENT_WITHIN.as_secs_f64()
    );
    let secs = std::env::var("RUNCELLAR_BENCH_SECS").map_or(60, |secs| secs.parse().expect("a number"));
    std::thread::sleep(Duration::from_secs(3));
    let (before, began) = (cpu_secs(agent.0.id()), Instant::now());
    std::thread::sleep(Duration::from_secs(secs));
    let share = (cpu_secs(agent.0.id()) - before) / began.elapsed().as_secs_f64();
    println!("idle for {secs} s: {:.4}% of a core; {:.2} of what is allowed", share * 100.0, share / IDLE_SHARE_MAX);
}
