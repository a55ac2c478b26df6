//! Finishing what was left half done and mending what can be: journals of dead writers, packs, and files that nobody needs.
//!
//! Nothing that was acknowledged is thrown away: a journal goes when its rows stand in the database. What opening does by
//! itself is done here, too, and said. Each kind of thing to mend has a module of its own, which adds to the report.

mod indexes;
mod journals;
mod packs;
mod temporary;

use runcellar_format::JournalId;

use crate::{Error, ErrorKind, Result, Workspace};

/// Whose journals are taken over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Claim {
    /// Those of nobody: journals whose writer may come back stay.
    #[default]
    None,
    /// All whose writer is presumed to be dead: another host's, that was silent for ten minutes.
    Silent,
    /// These, by id or file name, unless their writer is seen at work; whether or not they were silent.
    Named(Vec<String>),
}

/// What to repair.
#[derive(Debug, Clone, Default)]
pub struct Repair {
    /// Whose journals are taken over.
    pub claim: Claim,
}

/// What was done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairAction {
    /// The journal of a dead writer was ingested and removed.
    Ingested,
    /// The journal of a writer that is only presumed to be dead was ingested and removed.
    Claimed,
    /// The file was of no use to anybody and was removed.
    Removed,
    /// What the database knew of the pack was lost or damaged, and was taken from the pack again; of cellar.db itself, its
    /// indexes were made anew.
    Rebuilt,
    /// What stands around the chunks of the pack was damaged, and was written again.
    Rewritten,
    /// Damaged chunks of the pack lie whole in other packs: these are read from now on.
    Replaced,
    /// Nothing can open the pack: it was moved to `quarantine/`.
    SetAside,
}

impl RepairAction {
    /// Returns the word that reports use.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            RepairAction::Ingested => "ingested",
            RepairAction::Claimed => "claimed",
            RepairAction::Removed => "removed",
            RepairAction::Rebuilt => "rebuilt",
            RepairAction::Rewritten => "rewritten",
            RepairAction::Replaced => "replaced",
            RepairAction::SetAside => "set_aside",
        }
    }
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairDone {
    /// What.
    pub action: RepairAction,
    /// The file, relative to the workspace.
    pub file: String,
    /// The id of its run, if it told.
    pub run: Option<String>,
    /// The host that its writer was on, if it told.
    pub host: Option<String>,
}

/// Why a file was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftWhy {
    /// Its writer is at work.
    AtWork,
    /// Its writer is on another host, and was heard of within ten minutes.
    Heard,
    /// Its writer is on another host, and was silent for ten minutes: ingested, and kept in case it comes back.
    Silent,
    /// It is damaged, or could not be ingested: `check` says more.
    Damaged,
    /// It was written to within ten minutes, so somebody may be at it.
    Recent,
}

impl LeftWhy {
    /// Returns the word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LeftWhy::AtWork => "at_work",
            LeftWhy::Heard => "heard",
            LeftWhy::Silent => "silent",
            LeftWhy::Damaged => "damaged",
            LeftWhy::Recent => "recent",
        }
    }
}

/// One thing that was left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairLeft {
    /// Why.
    pub why: LeftWhy,
    /// The file, relative to the workspace.
    pub file: String,
    /// The id of its run, if it told.
    pub run: Option<String>,
    /// The host that its writer is on, if it told.
    pub host: Option<String>,
    /// True if it was claimed by name.
    pub claimed: bool,
}

/// What [`Workspace::repair`] did and what it left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// What was done.
    pub done: Vec<RepairDone>,
    /// What was left.
    pub left: Vec<RepairLeft>,
}

impl Workspace {
    /// Finishes what was left half done, and makes whole again what can be told from elsewhere. Warnings go to the monitor.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if a journal that is claimed is not there, [`ErrorKind::Busy`] if another process is writing
    /// the database, [`ErrorKind::ReadOnly`].
    pub fn repair(&self, repair: &Repair) -> Result<RepairReport> {
        let inner = &*self.inner;
        if self.is_read_only()? {
            return Err(Error::new(ErrorKind::ReadOnly, "the workspace cannot be written"));
        }
        let mut report = RepairReport::default();
        indexes::repair(inner, &mut report)?;
        journals::repair(inner, &repair.claim, &mut report)?;
        packs::repair(inner, &mut report)?;
        temporary::repair(inner, &mut report)?;
        Ok(report)
    }
}

/// Reads the name of a journal: its id, its file's name, or a path to it.
fn journal_named(name: &str) -> Result<JournalId> {
    let file = name.rsplit('/').next().unwrap_or(name);
    JournalId::from_hex(file.strip_suffix(".jnl").unwrap_or(file))
        .ok_or_else(|| Error::invalid(format!("journal {name}: a journal's name is 32 hexadecimal digits")))
}
