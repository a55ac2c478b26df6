//! Quotas: the settings `quota.bytes` of the workspace and `quota.bytes:PROJECT` of a project. Nothing is refused for them;
//! whoever goes beyond one is told.
//!
//! To measure costs a walk over the workspace's files and, for a project, a look at the sizes of all rows. So it is done by a
//! thread when a run starts, at its end, and by `du` and `doctor`; what a put adds is added to what was measured last.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, TryLockError};

use super::{DiskUsage, Workspace, settings};
use crate::{Json, Result};

/// Name of the setting; of a project, a colon and the project follow.
pub(super) const QUOTA: &str = "quota.bytes";

/// A quota, and what of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// The project; none for the workspace.
    pub project: Option<String>,
    /// The most bytes that are wanted.
    pub quota: u64,
    /// Bytes that are used.
    pub used: u64,
}

impl QuotaUse {
    /// Returns true if more is used than is wanted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used > self.quota
    }
}

impl fmt::Display for QuotaUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.project {
            Some(project) => write!(f, "project {project} takes ")?,
            None => f.write_str("the workspace takes ")?,
        }
        let over = if self.is_over() { "over" } else { "of" };
        write!(f, "{}, {over} its quota of {}", Size(self.used), Size(self.quota))
    }
}

/// Bytes in powers of 1024.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let (mut size, mut unit) = (self.0 as f64, "bytes");
        for larger in UNITS {
            // What would round to 1024 belongs to the next unit.
            if size < 1023.95 {
                break;
            }
            (size, unit) = (size / 1024.0, larger);
        }
        let decimals = usize::from(unit != "bytes" && (size * 10.0).round() % 10.0 != 0.0);
        write!(f, "{size:.decimals$} {unit}")
    }
}

/// What a handle knows of quotas.
#[derive(Default)]
pub(crate) struct Known {
    /// What was used when it was measured, and what was added since.
    used: HashMap<Option<String>, u64>,
    told: HashSet<Option<String>>,
}

/// When people are told that they are beyond a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A run starts.
    Start,
    /// So many bytes were put.
    Put(u64),
    /// A run ends. What was told since the workspace was opened is not told again, as at a put.
    End,
}

impl Workspace {
    /// Measures what is used of all quotas that are set, or of those that hold for one project.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn quotas(&self, project: Option<&str>) -> Result<Vec<QuotaUse>> {
        let limits = self.limits(project)?;
        if limits.iter().any(|(project, _)| project.is_some()) {
            return Ok(uses(limits, &self.disk_usage()?));
        }
        let walk = || walkdir::WalkDir::new(self.path()).into_iter().flatten();
        // As in `du`: memory that processes share is no use of the disk. What vanishes meanwhile takes no space.
        let files = walk().filter(|entry| entry.file_type().is_file() && !entry.path().ends_with("cellar.db-shm"));
        let used = |_| files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum();
        let whole = limits.into_iter().next();
        Ok(whole.map(|(project, quota)| QuotaUse { project, quota, used: used(()) }).into_iter().collect())
    }

    /// Returns what is used of all quotas, as it was measured.
    ///
    /// # Errors
    /// If the settings cannot be read.
    pub fn quotas_in(&self, usage: &DiskUsage) -> Result<Vec<QuotaUse>> {
        Ok(uses(self.limits(None)?, usage))
    }

    /// Returns the quotas that are set: the workspace's, then those of projects, or of one.
    fn limits(&self, project: Option<&str>) -> Result<Vec<(Option<String>, u64)>> {
        let settings = self.inner.read(settings::load)?;
        let mut limits = Vec::new();
        for (name, value) in &settings.values {
            let of = match name.strip_prefix(QUOTA) {
                Some("") => None,
                Some(of) => of.strip_prefix(':').map(str::to_owned),
                None => continue,
            };
            let quota = match value.value.json() {
                Ok(Json::Int(quota)) => u64::try_from(quota).unwrap_or(0),
                _ => 0,
            };
            let holds = project.is_none() || of.is_none() || of.as_deref() == project;
            if quota > 0 && holds {
                limits.push((of, quota));
            }
        }
        limits.sort_unstable();
        Ok(limits)
    }

    /// Returns true if a quota holds for a project.
    pub(crate) fn has_quota(&self, project: &str) -> bool {
        self.limits(Some(project)).is_ok_and(|limits| !limits.is_empty())
    }

    /// Warns of quotas of the workspace and a project, if more is used.
    pub(crate) fn warn_of_quotas(&self, project: &str, occasion: Occasion) {
        if let Err(error) = self.try_warn_of_quotas(project, occasion) {
            self.inner.monitor.warn(&format!("what is used of quotas cannot be measured: {error}"));
        }
    }

    fn try_warn_of_quotas(&self, project: &str, occasion: Occasion) -> Result<()> {
        let limits = self.limits(Some(project))?;
        let known = &self.inner.quotas;
        let is_told = |of: &Option<String>| with(known, |known| known.told.contains(of)).unwrap_or(true);
        if occasion != Occasion::Start && limits.iter().all(|(of, _)| is_told(of)) {
            return Ok(());
        }
        let added = match occasion {
            Occasion::Put(bytes) => with(known, |known| known.added(&limits, bytes)).flatten(),
            _ => None,
        };
        let uses = match added {
            Some(uses) => uses,
            None => self.quotas(Some(project))?,
        };
        let new = with(known, |known| known.learn(&uses, occasion)).unwrap_or_default();
        new.iter().for_each(|quota| self.inner.monitor.warn(&quota.to_string()));
        Ok(())
    }
}

impl Known {
    /// Returns what is used when so many bytes have come; none if it was not measured yet.
    fn added(&self, limits: &[(Option<String>, u64)], bytes: u64) -> Option<Vec<QuotaUse>> {
        let of = |(project, quota): &(Option<String>, u64)| {
            let used = self.used.get(project)?.saturating_add(bytes);
            Some(QuotaUse { project: project.clone(), quota: *quota, used })
        };
        limits.iter().map(of).collect()
    }

    /// Takes in what is used, and returns what is to be told.
    fn learn(&mut self, uses: &[QuotaUse], occasion: Occasion) -> Vec<QuotaUse> {
        self.used.extend(uses.iter().map(|quota| (quota.project.clone(), quota.used)));
        let over = uses.iter().filter(|quota| quota.is_over());
        over.filter(|quota| self.told.insert(quota.project.clone()) || occasion == Occasion::Start).cloned().collect()
    }
}

/// Does something with what is known, unless another thread does: it may be one that a fork left behind.
fn with<T>(known: &Mutex<Known>, work: impl FnOnce(&mut Known) -> T) -> Option<T> {
    match known.try_lock() {
        Ok(mut known) => Some(work(&mut known)),
        Err(TryLockError::Poisoned(known)) => Some(work(&mut known.into_inner())),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn uses(limits: Vec<(Option<String>, u64)>, usage: &DiskUsage) -> Vec<QuotaUse> {
    let projects = usage.by_project();
    let used = |project: &Option<String>| match project {
        None => usage.total,
        Some(name) => projects.iter().find(|one| one.project == Some(name)).map_or(0, |one| one.bytes),
    };
    limits.into_iter().map(|(project, quota)| QuotaUse { used: used(&project), project, quota }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_powers_of_1024() {
        let said = |bytes| Size(bytes).to_string();
        assert_eq!((said(0), said(1000)), ("0 bytes".into(), "1000 bytes".into()));
        assert_eq!(
            (said(1 << 20), said(50 << 30), said((3 << 40) / 2)),
            ("1 MiB".into(), "50 GiB".into(), "1.5 TiB".into())
        );
        assert_eq!((said((1 << 20) - 1), said(u64::MAX)), ("1 MiB".into(), "16 EiB".into()));
    }
}
