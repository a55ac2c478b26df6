//! The warning of a run that starts or ends in a workspace or project beyond its quota.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::Workspace;
use crate::workspace::Occasion;

/// Measures in a thread of its own: a workspace of a terabyte has sixty thousand files.
pub(super) struct QuotaWatch {
    thread: Mutex<Option<JoinHandle<()>>>,
    is_on: bool,
}

impl QuotaWatch {
    /// Begins to measure, if a quota holds. Without a thread nobody is told before the end.
    pub(super) fn start(workspace: &Workspace, project: &str) -> QuotaWatch {
        let is_on = workspace.has_quota(project);
        let measure = {
            let (workspace, project) = (workspace.clone(), project.to_owned());
            move || workspace.warn_of_quotas(&project, Occasion::Start)
        };
        let thread = is_on.then(|| std::thread::Builder::new().name("runcellar-quota".into()).spawn(measure).ok());
        QuotaWatch { thread: Mutex::new(thread.flatten()), is_on }
    }

    /// Measures again, when all is stored.
    pub(super) fn finish(&self, workspace: &Workspace, project: &str) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // One that panicked has told nothing.
            let _ = thread.join();
        }
        if self.is_on {
            workspace.warn_of_quotas(project, Occasion::End);
        }
    }
}
