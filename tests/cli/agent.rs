//! `sync --watch`: what is new reaches the remotes by itself, from one process a workspace, which ends when it should.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::remote::{enable, home, is_empty};
use crate::support::Home;

/// How long something may take that happens within seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An agent that is ended with the test.
struct Agent(Child);

impl Agent {
    fn start(home: &Home, more: &[&str]) -> Agent {
        let mut command = home.command(["sync", "--watch"]);
        let child = command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let (agent, workspace) = (Agent(child), home.workspace());
        until("an agent is at work", || workspace.agent().expect("looks") == Some(agent.0.id()));
        agent
    }

    fn end(mut self, signal: &str) -> Option<i32> {
        signal_to(self.0.id(), signal);
        self.0.wait().expect("ends").code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already, or the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal_to(pid: u32, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

/// A home whose remote is enabled, and has nothing yet.
fn enabled() -> Home {
    let home = home();
    home.ok(["remote", "add", "origin", "shared"]);
    enable(&home);
    home
}

fn is_sent(home: &Home) -> bool {
    let workspace = home.workspace();
    workspace.unsent("origin").expect("looks").is_empty()
}

#[test]
fn what_is_recorded_reaches_the_remote_by_itself() {
    let home = enabled();
    let agent = Agent::start(&home, &[]);
    until("what was there is sent", || is_sent(&home));
    let run = home.workspace().run("p").id("later").start().expect("starts");
    run.log([("loss", 0.5)]).expect("logs");
    run.finish().expect("finishes");
    until("the run is sent", || is_sent(&home));
    let status = home.json(["sync", "status"]);
    assert_eq!(status["agent"], json!({"running": true, "pid": agent.0.id()}));
    assert!(home.fails(7, ["sync", "--watch"])[0].contains("follows this workspace already"));
    // While a file says so nothing leaves, and afterwards it goes on by itself.
    std::fs::write(home.workspace_path().join("OFFLINE"), "").expect("writes");
    home.ok(["tag", "later", "good"]);
    assert!(!is_sent(&home));
    std::fs::remove_file(home.workspace_path().join("OFFLINE")).expect("removes");
    until("the tag is sent", || is_sent(&home));
    // A remote that is gone for a while costs a wait.
    std::fs::rename(home.path("shared"), home.path("away")).expect("renames");
    home.ok(["note", "later", "well"]);
    let failed = || home.json(["sync", "status"])["remotes"][0]["last_error"].is_object();
    until("the failure is told", failed);
    std::fs::rename(home.path("away"), home.path("shared")).expect("renames");
    until("the note is sent", || is_sent(&home));
    assert_eq!(agent.end("TERM"), Some(0));
    assert_eq!(home.json(["sync", "status"])["agent"], json!({"running": false, "pid": null}));
    home.ok(["check"]);
}

#[test]
fn an_agent_ends_when_it_is_told_to_and_when_nothing_is_to_be_done() {
    let home = enabled();
    assert_eq!(Agent::start(&home, &["--idle", "0"]).end("INT"), Some(130));
    let run = home.workspace().run("p").id("at-work").start().expect("starts");
    run.flush().expect("flushes");
    let mut agent = Agent::start(&home, &["--idle", "1"]);
    until("it was idle for long", || is_sent(&home));
    assert!(agent.0.try_wait().expect("looks").is_none(), "a run is at work");
    run.finish().expect("finishes");
    assert_eq!(agent.0.wait().expect("ends").code(), Some(0));
    assert!(is_sent(&home), "the end of the run was sent before");
}

#[test]
fn an_agent_can_outlive_who_started_it() {
    let home = enabled();
    home.ok(["sync", "--watch", "--detach"]);
    let workspace = home.workspace();
    until("an agent is at work", || workspace.agent().expect("looks").is_some());
    until("what was there is sent", || is_sent(&home));
    assert!(home.fails(7, ["sync", "--watch", "--detach"])[0].contains("already"));
    signal_to(workspace.agent().expect("looks").expect("is at work"), "TERM");
    until("it has ended", || workspace.agent().expect("looks").is_none());
}

#[test]
fn no_agent_starts_where_nothing_may_leave() {
    let home = home();
    assert_eq!(home.run(["sync", "--watch"]).code, 3);
    home.ok(["remote", "add", "origin", "shared"]);
    for args in [&["sync", "--watch"][..], &["sync", "--watch", "--detach"]] {
        assert_eq!(home.run(args).code, 6);
    }
    enable(&home);
    let mut offline = home.command(["sync", "--watch"]);
    assert_eq!(offline.env("RUNCELLAR_OFFLINE", "1").output().expect("runs").status.code(), Some(1));
    for more in [["--dry-run"], ["origin"]] {
        assert_eq!(home.run(["sync", "--watch"].iter().chain(&more)).code, 2);
    }
    assert!(is_empty(&home));
}

#[test]
fn a_systemd_unit_names_program_workspace_and_key() {
    let home = Home::new();
    let odd = home.path("a b%c");
    let odd = odd.to_str().expect("UTF-8");
    home.ok(["init", odd]);
    let unit = home.ok(["sync", "--install", "--workspace", odd]);
    let start = unit.lines().find(|line| line.starts_with("ExecStart=")).expect("a command");
    assert!(start.contains("a b%%c\" --key-file \"") && start.contains(" sync --watch --idle 0 "), "{start}");
    assert!(unit.contains("[Install]\nWantedBy=default.target\n"));
}
