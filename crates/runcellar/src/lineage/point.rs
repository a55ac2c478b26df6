//! Points in the history of a run, as users name them: `ID?_step=N`.

use std::str::FromStr;

use crate::{Error, Result};

/// A run, and the last step that is meant of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPoint {
    /// The run, as [`crate::Workspace::find_run`] finds it.
    pub run: String,
    /// The last step; none for all.
    pub step: Option<i64>,
}

impl FromStr for HistoryPoint {
    type Err = Error;

    /// Reads `ID?_step=N`, or `ID` alone.
    fn from_str(text: &str) -> Result<Self> {
        let Some((run, query)) = text.rsplit_once('?') else {
            return Ok(HistoryPoint { run: text.to_owned(), step: None });
        };
        let step = query.strip_prefix("_step=").ok_or_else(|| {
            Error::invalid(format!("{text:?}: after the run ?_step=N is expected, found {:?}", format!("?{query}")))
        })?;
        let step = step.parse().map_err(|_| Error::invalid(format!("{text:?}: the step {step:?} is not a number")))?;
        Ok(HistoryPoint { run: run.to_owned(), step: Some(step) })
    }
}

impl std::fmt::Display for HistoryPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.step {
            Some(step) => write!(f, "{}?_step={step}", self.run),
            None => f.write_str(&self.run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_run_and_a_step() {
        let point = |run: &str, step| HistoryPoint { run: run.into(), step };
        assert_eq!("abc".parse::<HistoryPoint>().expect("good"), point("abc", None));
        assert_eq!("abc?_step=17".parse::<HistoryPoint>().expect("good"), point("abc", Some(17)));
        assert_eq!("p/what?_step=-1".parse::<HistoryPoint>().expect("good"), point("p/what", Some(-1)));
        for text in ["abc", "abc?_step=-3"] {
            assert_eq!(text.parse::<HistoryPoint>().expect("good").to_string(), text);
        }
        for bad in ["abc?_step=", "abc?_step=1.5", "abc?step=1", "abc?", "abc?_step=9223372036854775808"] {
            assert!(bad.parse::<HistoryPoint>().expect_err("bad").to_string().contains(bad), "{bad}");
        }
    }
}
