//! The whole machine: processor, memory, network, and the disk of the workspace. Read from /proc where there is one;
//! elsewhere only what POSIX tells is there.

use std::fs::read_to_string;
use std::path::Path;

use runcellar_format::value::Value;

use super::{Found, add, add_bytes, add_percent, add_rate};
use crate::os;

/// What only rises.
pub(super) struct Counters {
    cpu_busy: Option<u64>,
    cpu_all: Option<u64>,
    net_in: Option<u64>,
    net_out: Option<u64>,
}

impl Counters {
    pub(super) fn read() -> Counters {
        let cpu = read_to_string("/proc/stat").ok().and_then(|text| cpu_ticks(&text));
        let net = read_to_string("/proc/net/dev").ok().map(|text| net_bytes(&text, is_device));
        Counters {
            cpu_busy: cpu.map(|(busy, _)| busy),
            cpu_all: cpu.map(|(_, all)| all),
            net_in: net.map(|(bytes, _)| bytes),
            net_out: net.map(|(_, bytes)| bytes),
        }
    }

    /// Adds what happened since `before`.
    pub(super) fn since(&self, before: &Counters, seconds: f64, found: &mut Found) {
        let rise = |now: Option<u64>, before: Option<u64>| now?.checked_sub(before?);
        let (busy, all) = (rise(self.cpu_busy, before.cpu_busy), rise(self.cpu_all, before.cpu_all));
        if let (Some(busy), Some(all)) = (busy, all) {
            add_percent(found, "cpu", busy as f64, all as f64);
        }
        add_rate(found, "net_in", before.net_in, self.net_in, seconds);
        add_rate(found, "net_out", before.net_out, self.net_out, seconds);
    }
}

/// Adds what can be seen at one moment.
pub(super) fn levels(path: &Path, found: &mut Found) {
    let load = read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse().ok());
    if let Some(load) = load {
        add(found, "load", Value::Float(load));
    }
    if let Ok(text) = read_to_string("/proc/meminfo") {
        let bytes = |name: &str| memory_bytes(&text, name);
        if let (Some(all), Some(free)) = (bytes("MemTotal"), bytes("MemAvailable")) {
            let used = all.saturating_sub(free);
            add_bytes(found, "memory", used);
            add_percent(found, "memory_percent", used as f64, all as f64);
        }
        if let (Some(all @ 1..), Some(free)) = (bytes("SwapTotal"), bytes("SwapFree")) {
            add_bytes(found, "swap", all.saturating_sub(free));
        }
    }
    if let Ok(space) = os::disk_space(path) {
        add_bytes(found, "disk", space.used);
        add_percent(found, "disk_percent", space.used as f64, space.all as f64);
    }
}

/// Returns the ticks in which all processors were busy, and all ticks.
fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal; guest time, which follows, is in user and nice already.
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    let idle: u64 = ticks.get(3..5)?.iter().sum();
    Some((all.saturating_sub(idle), all))
}

/// Returns the bytes of a line of /proc/meminfo.
fn memory_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the bytes that came in and went out, over all interfaces but loopback. Bridges and tunnels pass on what a
/// device has counted already, so where there are devices, only these count.
fn net_bytes(dev: &str, is_device: impl Fn(&str) -> bool) -> (u64, u64) {
    let mut all = Vec::new();
    for line in dev.lines() {
        let Some((name, counts)) = line.split_once(':') else { continue };
        let counts: Vec<u64> = counts.split_whitespace().map_while(|count| count.parse().ok()).collect();
        if let (Some(bytes_in), Some(bytes_out)) = (counts.first(), counts.get(8))
            && name.trim() != "lo"
        {
            all.push((is_device(name.trim()), *bytes_in, *bytes_out));
        }
    }
    let devices = all.iter().any(|(device, ..)| *device);
    let counted = all.iter().filter(|(device, ..)| *device || !devices);
    counted.fold((0, 0), |sum, (_, bytes_in, bytes_out)| (sum.0 + bytes_in, sum.1 + bytes_out))
}

fn is_device(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).join("device").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood_and_the_rest_left_out() {
        assert_eq!(cpu_ticks("cpu  10 1 5 80 4 1 1 0 3 0\ncpu0 1 2 3"), Some((18, 102)));
        assert_eq!(cpu_ticks("intr 5"), None);
        assert_eq!(cpu_ticks("cpu  10"), None);
        let meminfo = "MemTotal:       16000 kB\nMemAvailable:   4000 kB\n";
        assert_eq!(memory_bytes(meminfo, "MemAvailable"), Some(4_096_000));
        assert_eq!(memory_bytes(meminfo, "Mem"), None);
        assert_eq!(memory_bytes("MemTotal: x kB", "MemTotal"), None);
    }

    #[test]
    fn bytes_that_a_bridge_passes_on_are_counted_once() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 50 1\n  \
                   br-1: 100 1 0 0 0 0 0 0 50 1\n";
        assert_eq!(net_bytes(dev, |name| name == "eth0"), (100, 50));
        assert_eq!(net_bytes(dev, |_| false), (200, 100), "in a container none is a device");
        assert_eq!(net_bytes("garbage\nx: y", |_| true), (0, 0));
    }
}
