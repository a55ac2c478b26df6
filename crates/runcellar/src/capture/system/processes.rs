//! The run's processes: this one and all that it started, as far as they are still its descendants.
//!
//! Time and bytes of a child that has ended count for the parent that waited for it, so sums over the tree only rise.

use std::fs::{read_dir, read_to_string};

use runcellar_format::value::Value;

use super::{Found, add, add_bytes, add_rate};
use crate::os;

/// Processes that are looked at; a tree of more is measured in part.
const PROCESSES_MAX: usize = 4096;
/// Threads of one process that are asked for children.
const THREADS_MAX: usize = 1024;

/// Sums over the process tree.
#[derive(Default)]
pub(super) struct Counters {
    processes: u64,
    threads: u64,
    cpu_ticks: u64,
    memory_pages: u64,
    read: Option<u64>,
    written: Option<u64>,
}

impl Counters {
    pub(super) fn read() -> Counters {
        let mut sums = Counters::default();
        let mut waiting = vec![std::process::id()];
        while let Some(pid) = waiting.pop() {
            let Some(stat) = read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|text| Stat::parse(&text))
            else {
                continue;
            };
            sums.add(pid, &stat);
            if (sums.processes as usize + waiting.len()) < PROCESSES_MAX {
                add_children(pid, stat.threads, &mut waiting);
            }
        }
        sums
    }

    fn add(&mut self, pid: u32, stat: &Stat) {
        self.processes += 1;
        self.threads += stat.threads;
        self.cpu_ticks += stat.cpu_ticks;
        self.memory_pages += stat.memory_pages;
        if let Ok(io) = read_to_string(format!("/proc/{pid}/io")) {
            let bytes = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
            self.read = sum(self.read, bytes("read_bytes:"));
            self.written = sum(self.written, bytes("write_bytes:"));
        }
    }

    /// Adds what the tree does now, and did since `before`.
    pub(super) fn since(&self, before: &Counters, seconds: f64, found: &mut Found) {
        if self.processes == 0 {
            return;
        }
        let ticks = self.cpu_ticks.saturating_sub(before.cpu_ticks) as f64 / os::clock_ticks_per_second() as f64;
        if seconds > 0.0 {
            add(found, "process/cpu", Value::Float((ticks / seconds * 1000.0).round() / 10.0));
        }
        add_bytes(found, "process/memory", self.memory_pages.saturating_mul(os::page_bytes()));
        add_rate(found, "process/read", before.read, self.read, seconds);
        add_rate(found, "process/written", before.written, self.written, seconds);
        add_bytes(found, "process/count", self.processes);
        add_bytes(found, "process/threads", self.threads);
    }
}

fn sum(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left + right),
        (left, right) => left.or(right),
    }
}

/// What /proc/PID/stat says of a process.
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    memory_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The second field, the name in parentheses, may hold anything, parentheses and spaces too.
        let rest = text.get(text.rfind(')')? + 1..)?;
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        // utime and stime, and those of children that were waited for.
        let cpu_ticks = (14..=17).filter_map(field).sum();
        Some(Stat { cpu_ticks, threads: field(20)?, memory_pages: field(24)? })
    }
}

/// Adds the children of a process; the kernel lists them by the thread that made them.
fn add_children(pid: u32, threads: u64, out: &mut Vec<u32>) {
    let mut of_thread = |thread: &str| {
        let children = read_to_string(format!("/proc/{pid}/task/{thread}/children")).unwrap_or_default();
        out.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    };
    if threads == 1 {
        return of_thread(&pid.to_string());
    }
    let Ok(threads) = read_dir(format!("/proc/{pid}/task")) else { return };
    for thread in threads.take(THREADS_MAX).flatten() {
        if let Some(thread) = thread.file_name().to_str() {
            of_thread(thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_named_like_a_line_of_numbers() {
        let rest = "S 1 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 7 0 100 1000000 250 18446744073709551615 1";
        let stat = Stat::parse(&format!("12 (a) 1 2) S) {rest}")).expect("reads");
        assert_eq!((stat.cpu_ticks, stat.threads, stat.memory_pages), (100, 7, 250));
        assert!(Stat::parse("12 (a").is_none());
        assert!(Stat::parse("12 (a) S 1").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn children_count_while_they_live_and_after() {
        let before = Counters::read();
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.expect("sleep starts");
        let during = Counters::read();
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let after = Counters::read();
        assert!(during.processes > before.processes, "{} > {}", during.processes, before.processes);
        assert!(after.cpu_ticks >= before.cpu_ticks);
    }
}
