//! Workspaces to measure in, and what a process has used.

use std::path::Path;
use std::time::Duration;

use runcellar::{Keys, OpenOptions, RowValue, Run, Workspace};

use crate::series::BenchSeries;

/// Returns a size from the environment.
pub(crate) fn size(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(default)
}

pub(crate) fn directory() -> tempfile::TempDir {
    let base = std::env::var_os("RUNCELLAR_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    tempfile::tempdir_in(base).expect("temporary directory")
}

fn keys(root: &Path) -> Keys {
    Keys { directory: Some(root.join("keys")), ..Keys::default() }
}

pub(crate) fn open(root: &Path) -> Workspace {
    Workspace::open_or_create(root.join("workspace"), keys(root)).expect("opens")
}

/// Opens a workspace and leaves the journals of dead writers as they are.
pub(crate) fn look(root: &Path) -> Workspace {
    let options = OpenOptions { keys: keys(root), recover: false, ..OpenOptions::default() };
    options.open(&root.join("workspace")).expect("opens")
}

/// Logs rows of all series.
pub(crate) fn log(run: &Run, mix: &[BenchSeries], steps: std::ops::Range<usize>) {
    for step in steps {
        run.log_row(None, None, |row| {
            for series in mix {
                row.push(&series.name, RowValue::Float(series.values[step % series.values.len()]));
            }
        })
        .expect("logs");
    }
}

/// Returns the processor time of all threads of this process so far, to 10 ms.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Memory from here on: the most that the process has beyond what it has now.
pub(crate) struct Memory {
    before_mib: f64,
}

impl Memory {
    pub(crate) fn from_here() -> Memory {
        // Forgets the peak; where that is not allowed the figure is too low.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Memory { before_mib: status_mib("VmRSS:") }
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        status_mib("VmHWM:") - self.before_mib
    }
}

fn status_mib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

/// Bytes of all files below a directory.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("lists").filter_map(Result::ok);
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}
