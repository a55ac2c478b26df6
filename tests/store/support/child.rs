//! Other processes: this test binary, started again to play a role.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::Place;

const ROLE: &str = "RUNCELLAR_TEST_ROLE";
const PLACE: &str = "RUNCELLAR_TEST_PLACE";
const ARGUMENT: &str = "RUNCELLAR_TEST_ARGUMENT";

/// What a child does: its place, and the argument that its parent gave.
pub(crate) type Role = fn(&Place, &str);

const ROLES: &[(&str, Role)] = &[
    ("dies_backing_up", crate::backup::dies_backing_up),
    ("dies_restoring", crate::backup::dies_restoring),
    ("logs_some_and_stays", crate::backup::logs_some_and_stays),
    ("dies_merging", crate::merge::dies_merging),
    ("logs_until_killed", crate::backup::logs_until_killed),
    ("restores", crate::backup::restores),
    ("forks_and_puts", crate::blobs::forks_and_puts),
    ("puts_and_removes", crate::blobs::puts_and_removes),
    ("puts_the_same", crate::blobs::puts_the_same),
    ("dies_putting", crate::artifacts_faults::dies_putting),
    ("puts", crate::artifacts_faults::puts),
    ("dies_starting", crate::liveness::dies_starting),
    ("lists_and_reads", crate::writers::lists_and_reads),
    ("dies_with_many_runs", crate::liveness::dies_with_many_runs),
    ("dies_with_many_rows", crate::liveness::dies_with_many_rows),
    ("opens_with_few_descriptors", crate::liveness::opens_with_few_descriptors),
    ("logs_and_ends", crate::writers::logs_and_ends),
    ("logs_in_threads", crate::writers::logs_in_threads),
    ("opens_silently", crate::liveness::opens_silently),
    ("forks_and_drops", crate::forks::forks_and_drops),
    ("forks_and_uses_all", crate::forks::forks_and_uses_all),
    ("forks_often", crate::forks::forks_often),
    ("forks_on_a_full_disk", crate::forks::forks_on_a_full_disk),
    ("forks_while_held", crate::forks::forks_while_held),
    ("logs_media", crate::media::logs_media),
    ("forks_with_media", crate::media::forks_with_media),
    ("forks_and_is_copied", crate::nonces::forks_and_is_copied),
    ("goes_on_in_a_copy", crate::nonces::goes_on_in_a_copy),
    ("logs", crate::kills::logs),
    ("makes", crate::kills::makes),
    ("opens", crate::kills::opens),
    ("dies_as_ranks", crate::ranks::dies_as_ranks),
    ("forks_and_rewinds", crate::lineage::forks_and_rewinds),
    ("leaves_a_journal", crate::lineage::leaves_a_journal),
    ("joins_as_rank", crate::ranks::joins_as_rank),
    ("plays_session", crate::properties::plays_session),
    ("reads_back", crate::kills::reads_back),
    ("starts_and_ends", crate::kills::starts_and_ends),
    ("creates", crate::creation::creates),
    ("dies_creating", crate::creation::dies_creating),
    ("reads_only", crate::creation::reads_only),
    ("logs_without_permission", crate::faults::logs_without_permission),
    ("dies_after_rows", crate::values::dies_after_rows),
    ("dies_on_a_network", crate::network::dies_on_a_network),
    ("dies_purging", crate::purge::dies_purging),
    ("reads_on", crate::purge::reads_on),
    ("logs_while_it_is_purged", crate::purge::logs_while_it_is_purged),
    ("dies_rotating", crate::rotation::dies_rotating),
    ("dies_ingesting", crate::network::dies_ingesting),
    ("records_some", crate::network::records_some),
    ("stops_in_its_turn", crate::network::stops_in_its_turn),
    ("plants_and_waits", crate::planted::plants_and_waits),
];

/// Not a test: the door through which a child gets to its role.
#[test]
fn plays_its_role() {
    let Ok(name) = std::env::var(ROLE) else { return };
    let (_, role) = ROLES.iter().find(|(known, _)| *known == name).expect("a known role");
    role(&Place::at(std::env::var_os(PLACE).expect("a place")), &std::env::var(ARGUMENT).unwrap_or_default());
}

/// Returns the command that plays a role. What it prints goes nowhere, what it panics with to our standard error.
pub(crate) fn command(role: &str, place: &Place, argument: impl ToString) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["support::child::plays_its_role", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(PLACE, place.root()).env(ARGUMENT, argument.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

pub(crate) fn start(role: &str, place: &Place, argument: impl ToString) -> Child {
    command(role, place, argument).spawn().expect("a child starts")
}

/// Plays a role to its end, and fails if it fails.
#[track_caller]
pub(crate) fn play(role: &str, place: &Place, argument: impl ToString) {
    let argument = argument.to_string();
    let Output { status, stderr, .. } =
        command(role, place, &argument).stderr(Stdio::piped()).output().expect("a child starts");
    assert!(status.success(), "role {role} {argument}: {status}\n{}", String::from_utf8_lossy(&stderr));
}

/// Kills a child and waits for it; panics if it ended on its own.
#[track_caller]
pub(crate) fn kill(mut child: Child) {
    let early = child.try_wait().expect("waits");
    assert!(early.is_none(), "the child ended on its own: {early:?}");
    child.kill().expect("kills");
    let status = child.wait().expect("waits");
    assert_eq!(status.signal(), Some(libc::SIGKILL), "killed by us");
}

/// Stops a child, and waits until each of its threads has: one may be in the middle of a write.
pub(crate) fn stop(child: &Child) {
    // SAFETY: the child is ours and not reaped.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGSTOP) }, 0);
    wait_until_stopped(child);
}

/// Waits until a child has stopped, or stopped itself.
pub(crate) fn wait_until_stopped(child: &Child) {
    let (pid, mut status) = (child.id() as i32, 0);
    // SAFETY: the child is ours and not reaped; `status` is writable for the length of the call.
    let stopped = unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED) };
    assert!(stopped == pid && libc::WIFSTOPPED(status), "status {status:#x}");
}

/// Lets a stopped child go on.
pub(crate) fn go_on(child: &Child) {
    // SAFETY: the child is ours and not reaped.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGCONT) }, 0);
}

/// A number that one process tells another: kept by a file, so that it survives the writer.
pub(crate) struct Counter(File);

impl Counter {
    pub(crate) fn open(path: &Path) -> Counter {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        Counter(file.expect("a file for a counter"))
    }

    /// One write(2).
    pub(crate) fn set(&self, value: u64) {
        self.0.write_all_at(&value.to_le_bytes(), 0).expect("writes");
    }

    pub(crate) fn get(&self) -> u64 {
        let mut bytes = [0; 8];
        match self.0.read_at(&mut bytes, 0).expect("reads") {
            8 => u64::from_le_bytes(bytes),
            _ => 0,
        }
    }

    /// Waits until the counter is at least `value`, or the child has ended.
    pub(crate) fn wait_for(&self, value: u64, child: &mut Child) {
        while self.get() < value && child.try_wait().expect("waits").is_none() {
            std::thread::yield_now();
        }
    }
}
