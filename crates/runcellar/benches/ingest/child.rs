//! This program, started again to play a role: so that it can die, or have its memory measured.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROLE: &str = "RUNCELLAR_BENCH_ROLE";
const PLACE: &str = "RUNCELLAR_BENCH_PLACE";
const ARGUMENT: &str = "RUNCELLAR_BENCH_ARGUMENT";

type Role = fn(&Path, &str);

const ROLES: &[(&str, Role)] = &[
    ("dies", crate::recover::dies),
    ("writes", crate::writers::writes),
    ("records", crate::long::records),
    ("checks", crate::long::checks),
    ("reads", crate::long::reads),
    ("charts", crate::long::charts),
];

/// Plays the role that the environment names; returns false if there is none.
pub(crate) fn play() -> bool {
    let Ok(name) = std::env::var(ROLE) else { return false };
    let (_, role) = ROLES.iter().find(|(known, _)| *known == name).expect("a known role");
    role(Path::new(&std::env::var_os(PLACE).expect("a place")), &std::env::var(ARGUMENT).unwrap_or_default());
    true
}

/// Starts a child, which waits at [`ready`] for [`Started::go`].
pub(crate) fn start(role: &str, place: &Path, argument: impl ToString) -> Started {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(ROLE, role)
        .env(PLACE, place)
        .env(ARGUMENT, argument.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    Started { child, out }
}

pub(crate) struct Started {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Started {
    /// Returns the next line that the child prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("reads");
        line.trim().to_owned()
    }

    pub(crate) fn go(&mut self) {
        self.child.stdin.as_mut().expect("piped").write_all(b"go\n").expect("writes");
    }

    pub(crate) fn wait(mut self) {
        self.child.wait().expect("waits");
    }
}

/// Plays a role to its end and returns the numbers that it prints.
pub(crate) fn play_out(role: &str, place: &Path, argument: impl ToString) -> Vec<f64> {
    let mut child = start(role, place, argument);
    let numbers = child.line().split(' ').filter_map(|word| word.parse().ok()).collect();
    child.wait();
    numbers
}

/// Tells the parent that this child is ready, and waits until it says go.
pub(crate) fn ready() {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("reads");
}
