//! An embedded, encrypted store for machine-learning runs.
//!
//! Everything lies in one directory under the user's key. The store is blocking, has no network code and no globals
//! that a caller could see; it reads no environment variable, prints nothing, and takes files, time and randomness
//! through one seam ([`io::Io`]).
//!
//! ```no_run
//! use runcellar::{Keys, Workspace, json};
//!
//! let keys = Keys { file: Some("project.key".into()), ..Keys::default() };
//! let workspace = Workspace::open_or_create("runs", keys)?;
//! let run = workspace.run("digits").config(json!({"lr": 0.1})).start()?;
//! for step in 0..100 {
//!     run.log([("loss", 1.0 / f64::from(step + 1))])?;
//! }
//! run.finish()?;
//! # Ok::<(), runcellar::Error>(())
//! ```
//!
//! The folders are the architecture: [`workspace`] opens, `keys` unlocks, `db` is the only module with SQL, `run` logs
//! into journals, [`media`] keeps pictures and the like, `ingest` turns journals into blocks, [`query`] reads, `check` verifies, `repair`
//! finishes what was left half done. docs/ARCHITECTURE.md says
//! more.

pub mod artifacts;
mod backup;
mod blob;
mod capture;
mod catalogue;
mod check;
mod db;
mod environment;
mod erase;
mod error;
pub mod histogram;
mod ingest;
mod interned;
pub mod io;
mod json;
mod keys;
mod lineage;
pub mod media;
mod merge;
mod monitor;
mod os;
mod own;
pub mod query;
pub mod remotes;
mod repair;
pub mod run;
pub mod secrets;
mod time;
pub mod transfer;
pub mod workspace;

pub use artifacts::{ArtifactDraft, ArtifactVersion};
pub use backup::{BackupOptions, BackupReport, Restored, restore_from};
pub use blob::{CollectOptions, Collected, Hurt};
pub use capture::{CodeFolder, SYSTEM_EVERY, SaveCode, SavedCode, Stream};
pub use check::{CheckOptions, CheckReport, Checked, Problem, ProblemKind, Severity};
pub use environment::{DIRECTORY_NAME, Environment, Launch};
pub use erase::{
    Expiring, ItemKind, Opener, PlannedItem, PurgeOptions, PurgePlan, Purged, Receipt, RunClass, Share, Target,
};
pub use error::{Error, ErrorKind, Result};
pub use histogram::Histogram;
#[doc(hidden)]
pub use ingest::WholeRun;
pub use keys::{Keychain, Keys, Passphrase, PassphrasePrompt};
pub use lineage::{HistoryPoint, Lineage, RewindInfo};
pub use media::{MediaContent, MediaFile, MediaInfo, NewMedia, RunMedia};
pub use merge::{LeftOut, MergeOptions, MergeReport};
pub use monitor::{Monitor, Silent};
pub use os::forbid_core_dumps;
pub use query::{
    ConsoleLine, Filter, Group, GroupStatistics, Groups, History, Listing, MetricInfo, RunInfo, Selection, Series,
    SeriesValues, Source, Window,
};
pub use repair::{Claim, LeftWhy, Repair, RepairAction, RepairDone, RepairLeft, RepairReport};
pub use run::{Resume, Run, RunBuilder};
pub use runcellar_format::MediaId;
#[doc(hidden)]
pub use runcellar_format::catalogue::{from_exact, to_exact};
pub use runcellar_format::journal::RowValue;
pub use runcellar_format::record::{MetricDefinition, RunState};
pub use runcellar_format::value::{Json, Value};
pub use time::rfc3339;
pub use workspace::{
    Creation, Diagnosis, DiskUsage, FileSystemMode, KeySlot, KeysReplaced, OpenOptions, ProjectUsage, QuotaUse,
    RecoveryCode, RunUsage, Usage, UsageKind, Workspace,
};
