//! Readers that hang up, and interrupts.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::support::{Home, log_all};

#[test]
fn a_reader_that_hangs_up_ends_it_quietly() {
    let home = Home::with_workspace();
    let workspace = home.workspace();
    let run = workspace.run("p").start().expect("starts");
    let many: Vec<f64> = (0..30_000).map(f64::from).collect();
    log_all(&run, "loss", &many);
    run.finish().expect("finishes");
    for args in [&["export"][..], &["export", "--format", "jsonl"], &["export", "--wide"], &["plot", "--json"]] {
        let args: Vec<&str> = args.iter().copied().chain((args[0] == "plot").then(|| run.id())).collect();
        let mut child = home.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut first = [0; 10];
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut first).expect("something comes");
        drop(stdout);
        let output = child.wait_with_output().expect("ends");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
    }
    let help =
        Command::new("sh").arg("-c").arg(format!("{} --help | true", crate::support::BINARY)).output().expect("runs");
    assert!(help.stderr.is_empty());
}

#[test]
fn a_full_disk_behind_stdout_is_said() {
    let home = Home::with_workspace();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
    let output = home.command(["export"]).stdout(full).output().expect("runs");
    assert_eq!(output.status.code(), Some(8));
    assert!(output.stderr.starts_with(b"runcellar: standard output: No space left on device"));
}
