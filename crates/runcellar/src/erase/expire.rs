//! What goes when garbage is collected: runs that `rm` hid long ago, and what retention sets an end to.

use runcellar_format::seal::Kind;

use super::rows::erase;
use super::scope::Scope;
use crate::blob::{Class, Collected, remove_files};
use crate::workspace::settings;
use crate::{Json, Result, RunInfo, Selection, Workspace};

const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// How long a run that `rm` hid can be brought back for certain.
const HIDDEN_DAYS: i64 = 30;
/// Runs that are erased in one transaction.
const RUNS_AT_ONCE: usize = 64;

/// Settings of retention; of a project, a colon and the project follow.
const RUNS: &str = "retention.days";
const CODE: &str = "retention.code.days";
const MEDIA: &str = "retention.media.days";

/// What the next collection of garbage takes away.
#[derive(Debug, Clone, Default)]
pub struct Expiring {
    /// Runs that `rm` hid more than 30 days ago: they are erased.
    pub erased: Vec<RunInfo>,
    /// Runs that ended longer ago than their retention: they are hidden as by `rm`.
    pub hidden: Vec<RunInfo>,
    /// Runs whose code is kept no longer: it is erased, and they stay.
    pub code: Vec<RunInfo>,
    /// Runs whose media are kept no longer: they are erased, and the runs stay.
    pub media: Vec<RunInfo>,
}

impl Workspace {
    /// Says what the next collection of garbage takes away. Changes nothing.
    ///
    /// # Errors
    /// If the workspace cannot be read.
    pub fn expiring(&self) -> Result<Expiring> {
        let now = self.inner.io.wall_us();
        let settings = self.inner.read(settings::load)?;
        // The project's own setting, else the workspace's; 0 keeps all.
        let days = |name: &str, project: &str| -> Result<Option<i64>> {
            let own = format!("{name}:{project}");
            let set = settings.values.iter().any(|(known, _)| *known == own);
            Ok(match settings::value(&settings, if set { &own } else { name })? {
                Json::Int(days) if days > 0 => Some(days),
                _ => None,
            })
        };
        let is_over = |name: &str, run: &RunInfo| -> Result<bool> {
            let Some(days) = days(name, &run.project)? else { return Ok(false) };
            Ok(run.finished.is_some_and(|ended| ended < now.saturating_sub(days * DAY_US)))
        };
        let shown = self.runs(&Selection::default())?;
        let hidden = self.runs(&Selection { removed: true, ..Selection::default() })?;
        let mut found = Expiring::default();
        for run in &shown {
            if is_over(RUNS, run)? {
                found.hidden.push(run.clone());
            }
        }
        for run in shown.iter().chain(&hidden) {
            for (name, class, list) in [(CODE, Class::Code, &mut found.code), (MEDIA, Class::Media, &mut found.media)] {
                if is_over(name, run)? && self.has_files(run, class)? {
                    list.push(run.clone());
                }
            }
        }
        let is_long_ago = |run: &RunInfo| run.removed.is_some_and(|removed| removed < now - HIDDEN_DAYS * DAY_US);
        found.erased = hidden.into_iter().filter(is_long_ago).collect();
        Ok(found)
    }

    fn has_files(&self, run: &RunInfo, class: Class) -> Result<bool> {
        let positions = class.positions();
        self.inner.read(|tx, _| Ok(tx.positions(Kind::Manifest, run.object)?.iter().any(|at| positions.contains(at))))
    }

    /// Takes away what has expired.
    pub(crate) fn expire(&self, collected: &mut Collected) -> Result<()> {
        let Expiring { erased, hidden, code, media } = self.expiring()?;
        for runs in erased.chunks(RUNS_AT_ONCE) {
            let scope = Scope { runs: runs.iter().map(|run| run.object).collect(), ..Scope::default() };
            self.erase_expired(&scope, collected)?;
        }
        for (class, runs) in [(Class::Code, code), (Class::Media, media)] {
            for runs in runs.chunks(RUNS_AT_ONCE) {
                let classes = runs.iter().map(|run| (run.object, class)).collect();
                self.erase_expired(&Scope { classes, ..Scope::default() }, collected)?;
            }
        }
        collected.erased += erased.len() as u64;
        collected.hidden += hidden.len() as u64;
        self.remove_runs(&hidden)
    }

    fn erase_expired(&self, scope: &Scope, collected: &mut Collected) -> Result<()> {
        let erased = self.inner.write(None, |tx| erase(tx, scope))?;
        remove_files(&self.inner, &erased.packs, collected);
        Ok(())
    }
}
