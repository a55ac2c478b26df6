//! The rows of a run as they are logged, for `StoredRun.follow`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use runcellar::RunState;
use runcellar::query::{FollowedRow, Follower};

use crate::convert::{self, Datetimes};
use crate::error::{self, Result};
use crate::messages::Messages;

/// Iterator over the rows of a run, those that are there and those that come.
#[pyclass(frozen, module = "runcellar")]
pub(crate) struct RowFollower {
    state: Mutex<State>,
    messages: Arc<Messages>,
    poll_every: Duration,
    silence_max: Option<Duration>,
}

struct State {
    follower: Follower,
    waiting: VecDeque<FollowedRow>,
    /// It has said all there is, or was silent for too long.
    ended: bool,
}

/// Reads a number of seconds that is not below 0.
fn seconds(py: Python<'_>, name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| error::invalid(py, format!("{name}={value}: seconds from 0 on are expected")))
}

impl RowFollower {
    pub(crate) fn new(
        py: Python<'_>,
        follower: Follower,
        messages: Arc<Messages>,
        poll: f64,
        timeout: Option<f64>,
    ) -> PyResult<RowFollower> {
        let poll_every = seconds(py, "poll", poll)?;
        let silence_max = timeout.map(|timeout| seconds(py, "timeout", timeout)).transpose()?;
        let state = State { follower, waiting: VecDeque::new(), ended: false };
        Ok(RowFollower { state: Mutex::new(state), messages, poll_every, silence_max })
    }

    /// Waits for a row, at most until the next look; `None` if there is none yet.
    fn look(&self) -> runcellar::Result<Option<FollowedRow>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() && !state.ended {
            // The state is that of the same look: rows that come before the end are in it.
            let rows = state.follower.poll()?;
            state.ended = state.follower.state() != RunState::Running;
            state.waiting.extend(rows);
        }
        Ok(state.waiting.pop_front())
    }

    fn has_ended(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended
    }
}

#[pymethods]
impl RowFollower {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> Result<Option<Bound<'py, PyDict>>> {
        let start = Instant::now();
        loop {
            let found = py.detach(|| self.look());
            self.messages.drain(py)?;
            if let Some(row) = found? {
                return Ok(Some(to_dict(py, &row)?));
            }
            if self.has_ended() || self.silence_max.is_some_and(|most| start.elapsed() >= most) {
                return Ok(None);
            }
            py.detach(|| std::thread::sleep(self.poll_every));
            py.check_signals()?;
        }
    }
}

fn to_dict<'py>(py: Python<'py>, row: &FollowedRow) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("step", row.step)?;
    dict.set_item("time", Datetimes::new(py)?.at(row.time)?)?;
    for (name, value) in &row.values {
        dict.set_item(name, convert::value_to_python(py, value)?)?;
    }
    Ok(dict)
}
