//! Asking `git`, within limits: it is given a time and a size, may not use the network, and runs nothing that the
//! repository names.
//!
//! A repository may be a stranger's: its configuration and attributes name programs (filters, diff drivers, hooks, a
//! file system monitor, transports). All of these are switched off here, filters one by one, since git has no switch for
//! them; so what passes through a filter (Git LFS, git-crypt) is looked at as it stands in the work tree.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::os;

/// What `sh` runs, with the work tree and the words for git as arguments. The shell ends at once, and git goes on
/// without it: nobody who waits for children of this process meets it. After git's output come a NUL, `end` and its exit code.
const SCRIPT: &str = r#"
command -v git >/dev/null || exit 3
top=$1
shift
quiet() {
    git --no-pager -C "$top" -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.pager=cat \
        -c core.alternateRefsCommand= -c core.untrackedCache=false -c submodule.recurse=false \
        -c status.submoduleSummary=false -c protocol.allow=never -c credential.helper= "$@"
}
{
    names=$(quiet config --name-only --get-regexp '^filter\..')
    while IFS= read -r name; do
        case $name in
        *=*) exit 1 ;;
        *.clean | *.smudge | *.process) set -- -c "$name=" "$@" ;;
        *.required) set -- -c "$name=false" "$@" ;;
        esac
    done <<NAMES
$names
NAMES
    quiet "$@"
    printf '\0end %d' $?
} &
"#;

/// Variables that make git look elsewhere, or run something.
const REMOVED: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_TRACE2",
    "GIT_TRACE2_EVENT",
    "GIT_TRACE2_PERF",
];

/// A git that was started and has not answered yet. One that is dropped is killed.
pub(in crate::capture) struct GitProcess {
    output: std::io::PipeReader,
    /// The process group of git and what it started.
    group: u32,
    ended: bool,
}

/// What git answered: its output, and its exit code.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::capture) struct Answer {
    pub(in crate::capture) output: Vec<u8>,
    pub(in crate::capture) code: i32,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) enum Silence {
    /// It was not done in time.
    Late,
    /// It answered more than was asked for.
    TooLong,
    /// It was killed, or could not be read.
    Broken,
}

impl GitProcess {
    /// Starts git in a work tree; none where there is no git.
    ///
    /// Costs a millisecond or two in the calling thread, so that the shell has ended before the caller starts children
    /// of its own, and waits for them.
    pub(in crate::capture) fn start(work_tree: &Path, words: &[&str]) -> Option<GitProcess> {
        let (output, to_output) = std::io::pipe().ok()?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "sh"]).arg(work_tree).args(words);
        for name in REMOVED {
            command.env_remove(name);
        }
        command
            .env("GIT_WORK_TREE", work_tree)
            .env("GIT_CEILING_DIRECTORIES", work_tree.parent().unwrap_or(work_tree))
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "false")
            .env("GIT_NO_LAZY_FETCH", "1")
            // An empty list of transports: git before 2.44 knows no other way not to fetch what a partial clone lacks.
            .env("GIT_ALLOW_PROTOCOL", "")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(to_output)
            .stderr(Stdio::null());
        os::lead_a_group(&mut command);
        let mut shell = command.spawn().ok()?;
        // It holds the end of the pipe that git writes to.
        drop(command);
        let group = shell.id();
        match shell.wait() {
            Ok(status) if !status.success() => None,
            // If somebody else has waited for the shell, it has started git, or no output will come.
            _ => Some(GitProcess { output, group, ended: false }),
        }
    }

    /// Waits for the answer until `deadline`.
    pub(in crate::capture) fn answer(mut self, deadline: Instant, bytes_max: usize) -> Result<Answer, Silence> {
        let mut output = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            if !os::wait_until_readable(&self.output, deadline) {
                // All of it may be there: a child that another thread forked holds the pipe open.
                return take_apart(output).ok_or(Silence::Late);
            }
            match self.output.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => output.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Silence::Broken),
            }
            if output.len() > bytes_max {
                return Err(Silence::TooLong);
            }
        }
        self.ended = true;
        take_apart(output).ok_or(Silence::Broken)
    }
}

impl Drop for GitProcess {
    fn drop(&mut self) {
        if !self.ended {
            os::kill_group(self.group);
        }
    }
}

/// Parts the output from the exit code behind it.
fn take_apart(mut output: Vec<u8>) -> Option<Answer> {
    let end = output.iter().rposition(|byte| *byte == 0)?;
    let code = std::str::from_utf8(output.get(end + 1..)?).ok()?.strip_prefix("end ")?.parse().ok()?;
    output.truncate(end);
    Some(Answer { output, code })
}
