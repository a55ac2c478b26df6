//! The private module `runcellar._runcellar` under the Python package: what is fast, and what holds state.
//!
//! `run::Recorder` records, `workspace::Workspace` and `stored::StoredRun` read, `table` turns what they read into
//! Python objects and Arrow. The package's Python files add what is convenience only. Nothing here takes the
//! interpreter's lock in a thread of the store: `messages` says why.

mod artifact;
mod backup;
mod check;
mod console;
mod convert;
mod diff;
mod error;
mod exit;
mod fetching;
mod follow;
mod histogram;
mod json;
mod launch;
mod log;
mod media;
mod memory;
mod messages;
mod open;
mod purge;
mod remotes;
mod run;
mod series;
mod stored;
mod table;
mod usage;
mod workspace;

use pyo3::prelude::*;

/// Native part of the `runcellar` package; its names are private to it.
#[pymodule]
mod _runcellar {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::artifact::{Draft, StoredArtifact};
    #[pymodule_export]
    use crate::backup::restore_from;
    #[pymodule_export]
    use crate::exit::finish_all;
    #[pymodule_export]
    use crate::follow::RowFollower;
    #[pymodule_export]
    use crate::histogram::Histogram;
    #[pymodule_export]
    use crate::media::{Content, Data, Entry};
    #[pymodule_export]
    use crate::run::Recorder;
    #[pymodule_export]
    use crate::stored::StoredRun;
    #[pymodule_export]
    use crate::table::{RunTable, Table, TableIterator};
    #[pymodule_export]
    use crate::workspace::Workspace;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("KNOWS_EXIT_STATUS", crate::exit::KNOWS_EXIT_STATUS)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
