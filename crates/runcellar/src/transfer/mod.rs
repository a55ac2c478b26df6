//! Runs and artifact versions on their way from one workspace into another.
//!
//! [`Workspace::carry_run_out`] and [`Workspace::carry_version_out`] give them piece by piece, opened but in the forms of the
//! store, so that nothing is lost or rounded. [`Workspace::carry_in`] takes pieces in; [`Workspace::examine`] goes the same way and
//! writes nothing. What lies between the two, a file or another workspace, is not known here. Pieces that come in are
//! somebody else's: everything in them is decoded and bounded, and figures are counted anew.
//!
//! ```text
//! version, (files, content...)...
//! run, (files, content...)..., record, names..., groups...
//! ```
//!
//! A run becomes visible in one transaction, with its points and files. Its object id stays what it was, so that coming in twice is
//! noticed, and forks and artifacts still name it.

mod arrive;
mod examine;
mod group;
mod note;
mod out;
mod pieces;
mod run;
mod version;

pub use arrive::{CarryOptions, Outcome, Taken};
pub use note::CapsuleNote;
pub use out::{Departing, FileClass};
pub use pieces::{Arriving, Pieces};
