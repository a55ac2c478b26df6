//! The options by which verbs read a part of a run: steps and times.

use runcellar::Window;
use runcellar::query::parse_time;

use crate::failure::Failure;

/// Which points are read.
#[derive(Debug, clap::Args)]
pub(crate) struct WindowArgs {
    /// Only these steps: from A to before B; either may be left out
    #[arg(long, value_name = "A:B", allow_hyphen_values = true)]
    steps: Option<String>,
    /// Only what was logged at this time or later: RFC 3339, or a date
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was logged before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl WindowArgs {
    /// Returns true if a part was named.
    pub(crate) fn is_given(&self) -> bool {
        self.steps.is_some() || self.since.is_some() || self.until.is_some()
    }

    /// Reads the options.
    pub(crate) fn read(&self) -> Result<Window, Failure> {
        let mut window = Window::default();
        if let Some(text) = &self.steps {
            let usage = || Failure::usage(format!("--steps {text}: A:B is expected, such as 100:200, 100: or :200"));
            let (from, before) = text.split_once(':').ok_or_else(usage)?;
            if !from.is_empty() {
                window = window.steps(from.parse::<i64>().map_err(|_| usage())?..);
            }
            if !before.is_empty() {
                window = window.steps(..before.parse::<i64>().map_err(|_| usage())?);
            }
        }
        let time = |text: &Option<String>| text.as_deref().map(parse_time).transpose();
        let usage = |error: runcellar::Error| Failure::usage(error.to_string());
        if let Some(since) = time(&self.since).map_err(usage)? {
            window = window.times(since..);
        }
        if let Some(until) = time(&self.until).map_err(usage)? {
            window = window.times(..until);
        }
        Ok(window)
    }
}
