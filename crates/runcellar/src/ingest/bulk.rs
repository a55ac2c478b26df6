//! Runs made whole, many in a transaction and without journals: for benchmarks of workspaces with very many runs.

use runcellar_format::record::{RunState, SeriesEntry, Stamped, Start, Tokens};

use super::{fold, statistics, store};
use crate::{Error, Json, Result, Value, Workspace, io};

/// Runs in one transaction.
const RUNS_AT_ONCE: usize = 1_000;

/// A finished run.
#[doc(hidden)]
#[derive(Debug, Clone, Default)]
pub struct WholeRun {
    /// The id.
    pub id: String,
    /// The project.
    pub project: String,
    /// Config, a map.
    pub config: Json,
    /// When it was made, microseconds UTC since 1970.
    pub created: i64,
    /// When it ended.
    pub finished: i64,
    /// Metrics with their smallest and their last value, which is the largest, of 100 points.
    pub metrics: Vec<(String, f64, f64)>,
}

impl Workspace {
    /// Makes runs.
    ///
    /// # Errors
    /// If the workspace cannot be written.
    #[doc(hidden)]
    pub fn make_whole_runs(&self, runs: impl IntoIterator<Item = WholeRun>) -> Result<()> {
        let mut runs = runs.into_iter().peekable();
        while runs.peek().is_some() {
            self.inner.write(None, |tx| {
                for run in runs.by_ref().take(RUNS_AT_ONCE) {
                    let config = Tokens::new(&run.config).map_err(|cause| Error::format("config", cause))?;
                    let start = Start {
                        run: io::random(tx.io)?,
                        project: io::random(tx.io)?,
                        run_id: run.id.clone(),
                        project_name: run.project,
                        name: format!("run-{}", run.id),
                        config,
                        started: run.created,
                        ..Start::default()
                    };
                    let mut data = store::create_run(tx, &start, fold::record_of(&start)?, Vec::new())?;
                    (data.record.state, data.record.finished) = (RunState::Finished, Some(run.finished));
                    for (name, least, last) in run.metrics {
                        let entry = SeriesEntry {
                            points: 100,
                            kinds: 1,
                            first_step: 0,
                            last_step: 99,
                            min: Some(Value::Float(least)),
                            max: Some(Value::Float(last)),
                            sum: 50.0 * (least + last),
                            first: Value::Float(least),
                            last: Value::Float(last),
                            ..statistics::empty(&name)
                        };
                        data.series.absorb(entry);
                        data.record.summary.push((name, Stamped::new(Value::Float(last), 1)));
                    }
                    data.store(tx)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
