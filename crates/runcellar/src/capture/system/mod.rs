//! System metrics: what the machine and the run's processes use, sampled by a thread of its own.
//!
//! The thread belongs to the process that started the run; a forked child does not sample, as it is part of the tree
//! that is measured.

#[cfg(feature = "nvml")]
mod gpu;
mod machine;
mod processes;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runcellar_format::journal::RowValue;
use runcellar_format::value::Value;

use crate::run::{OwnRow, OwnSeries};

/// Pause between samples. The first ones come sooner, at 1, 3 and 7 seconds: a short run shows something, and one of
/// less than a second pays nothing.
pub const SYSTEM_EVERY: Duration = Duration::from_secs(15);

/// A thread that samples.
pub(super) struct Sampler {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    told: Condvar,
}

/// Returns when a sample is due, counted from the start.
fn due(sample: u32) -> Duration {
    let settled = SYSTEM_EVERY.as_secs().trailing_ones();
    match sample {
        early if early < settled => Duration::from_secs((2 << early) - 1),
        later => SYSTEM_EVERY * (later - settled + 2),
    }
}

impl Sampler {
    /// Starts to sample into `own`; `path` says whose file system is measured.
    pub(super) fn start(own: Arc<OwnSeries>, path: PathBuf) -> std::io::Result<Sampler> {
        let stop = Arc::new(Stop::default());
        let thread = std::thread::Builder::new().name("runcellar-system".into()).spawn({
            let stop = stop.clone();
            move || sample_until(&stop, &own, path)
        })?;
        Ok(Sampler { stop, thread: Some(thread) })
    }

    /// Ends the thread; a sample under way is finished first.
    pub(super) fn stop(mut self) {
        *self.stop.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.told.notify_all();
        if let Some(thread) = self.thread.take() {
            // A sampler that panicked costs the samples that it did not take.
            let _ = thread.join();
        }
    }
}

fn sample_until(stop: &Stop, own: &OwnSeries, path: PathBuf) {
    let begin = Instant::now();
    // Taken now, so that the first sample has something to differ from.
    let mut probe = Probe::new(path);
    for sample in 0.. {
        let stopped = stop.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = due(sample).saturating_sub(begin.elapsed());
        let (stopped, _) =
            stop.told.wait_timeout_while(stopped, wait, |stopped| !*stopped).unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return;
        }
        drop(stopped);
        let found = probe.sample();
        let values = found.iter().map(|(name, value)| (name.as_str(), RowValue::from(value))).collect::<Vec<_>>();
        if !values.is_empty() {
            own.record(&[OwnRow { step: sample.into(), values }]);
        }
    }
}

/// Values found, by name.
type Found = Vec<(String, Value)>;

/// What is looked at, with what it counted when it was looked at last.
pub(super) struct Probe {
    path: PathBuf,
    last: Instant,
    machine: machine::Counters,
    processes: processes::Counters,
    #[cfg(feature = "nvml")]
    gpus: gpu::Gpus,
}

impl Probe {
    pub(super) fn new(path: PathBuf) -> Probe {
        Probe {
            path,
            last: Instant::now(),
            machine: machine::Counters::read(),
            processes: processes::Counters::read(),
            #[cfg(feature = "nvml")]
            gpus: gpu::Gpus::find(),
        }
    }

    /// Takes a sample. What the system does not tell is left out.
    pub(super) fn sample(&mut self) -> Found {
        let now = Instant::now();
        let seconds = now.duration_since(self.last).as_secs_f64();
        let (machine, processes) = (machine::Counters::read(), processes::Counters::read());
        let mut found = Found::new();
        machine.since(&self.machine, seconds, &mut found);
        machine::levels(&self.path, &mut found);
        processes.since(&self.processes, seconds, &mut found);
        #[cfg(feature = "nvml")]
        self.gpus.levels(&mut found);
        (self.last, self.machine, self.processes) = (now, machine, processes);
        found
    }
}

/// Adds a value under the name that users know.
fn add(found: &mut Found, name: &str, value: Value) {
    found.push((format!("\0{}{name}", crate::own::SYSTEM), value));
}

/// Adds a percentage, to a tenth: more is noise, and costs bytes.
fn add_percent(found: &mut Found, name: &str, part: f64, whole: f64) {
    if whole > 0.0 {
        add(found, name, Value::Float((part / whole * 1000.0).round() / 10.0));
    }
}

/// Adds how fast a counter rose, in units a second. One that fell was reset, and says nothing.
fn add_rate(found: &mut Found, name: &str, before: Option<u64>, now: Option<u64>, seconds: f64) {
    if let (Some(before), Some(now)) = (before, now)
        && let Some(rise) = now.checked_sub(before)
        && seconds > 0.0
    {
        add(found, name, Value::Int((rise as f64 / seconds) as i64));
    }
}

/// Adds a size in bytes.
fn add_bytes(found: &mut Found, name: &str, bytes: u64) {
    add(found, name, Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_dense_at_first_and_then_regular() {
        let seconds: Vec<u64> = (0..7).map(|sample| due(sample).as_secs()).collect();
        assert_eq!(seconds, [1, 3, 7, 15, 30, 45, 60]);
    }

    #[test]
    fn a_sample_has_plausible_values_of_machine_and_processes() {
        let mut probe = Probe::new(std::env::temp_dir());
        let mut sum = 0_u64;
        while probe.last.elapsed() < Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let found = probe.sample();
        if cfg!(not(target_os = "linux")) {
            return;
        }
        let get = |name: &str| {
            let value = found.iter().find(|(known, _)| known.strip_prefix("\0system/") == Some(name));
            match value {
                Some((_, Value::Float(value))) => *value,
                Some((_, Value::Int(value))) => *value as f64,
                _ => panic!("no {name} in {found:?}"),
            }
        };
        assert!((0.0..=100.0).contains(&get("cpu")));
        assert!(get("process/cpu") > 0.0, "this process was at work");
        assert!(get("process/memory") > 100_000.0);
        assert!(get("memory") > get("process/memory") / 2.0);
        assert!(get("memory_percent") > 0.0 && get("memory_percent") <= 100.0);
        assert!(get("disk") > 0.0 && get("load") >= 0.0);
        assert!(get("process/count") >= 1.0 && get("process/threads") >= get("process/count"));
        assert!(get("net_in") >= 0.0 && get("net_out") >= 0.0);
        assert!(found.iter().all(|(name, _)| crate::own::system_name(name).is_some()));
    }
}
