//! The page that `show` prints for people.

use std::fmt::Write as _;

use runcellar::artifacts::RunArtifacts;
use runcellar::query::{CodeEntry, Conflict};
use runcellar::{ArtifactVersion, HistoryPoint, Json, Lineage, MetricInfo, RunInfo, RunState, Source, Value};
use unicode_width::UnicodeWidthStr as _;

use crate::failure::listed;
use crate::output::Display;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, number, shorten, time, visible};
use crate::shapes::some;
use crate::verbs::ls::{json_text, state_style, value_text};

/// Width of the labels of the header.
const LABEL_WIDTH: usize = 10;
/// Digits of a commit that people need.
const COMMIT_DIGITS: usize = 12;

/// What is told of a run beside what listings have.
pub(super) struct Told<'a> {
    pub(super) arguments: &'a [String],
    /// Secrets that were redacted.
    pub(super) redacted: usize,
    pub(super) conflicts: &'a [Conflict],
}

/// Returns the page: header, config, metrics, the rest of the summary, and system metrics, each metric with its
/// sparkline.
pub(super) fn page(
    (run, lineage, source, code, told): (&RunInfo, &Lineage, &Source, &[CodeEntry], &Told<'_>),
    (rest, artifacts): (&[&(String, Value)], &RunArtifacts),
    [(metrics, sparks), (system, system_sparks)]: [(&[MetricInfo], &[String]); 2],
    now: i64,
    display: Display,
) -> String {
    let mut page = Page { text: String::new(), display };
    page.header(run, source, now);
    page.field("arguments", &visible(&told.arguments.join(" ")));
    if told.redacted > 0 {
        let redacted = told.redacted;
        page.field("redacted", &format!("{redacted}  runcellar secrets {} lists them", visible(&run.id)));
    }
    page.conflicts(told.conflicts);
    page.code(code);
    page.lineage(lineage);
    page.artifacts(artifacts);
    page.config(&run.config);
    page.metrics("metrics", "steps", metrics, sparks);
    page.summary(rest);
    page.metrics("system", "samples", system, system_sparks);
    page.text
}

/// Returns a time as people read it.
fn date(time: i64) -> String {
    time::rfc3339_us(time).replace('T', " ").chars().take(19).collect::<String>() + " UTC"
}

struct Page {
    text: String,
    display: Display,
}

impl Page {
    fn paint(&self, style: Style, text: &str) -> String {
        style.paint(text, self.display.color)
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// Writes one line of the header; nothing for an empty text.
    fn field(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            let label = self.paint(Style::Dim, &format!("{label:LABEL_WIDTH$}"));
            self.line(&format!("{label}{text}"));
        }
    }

    /// Writes what was set elsewhere and does not stand.
    fn conflicts(&mut self, conflicts: &[Conflict]) {
        for Conflict { field, value, time } in conflicts {
            let text = match value {
                Json::Text(text) => visible(text),
                value => visible(&json_text(value)),
            };
            let lost = self.paint(Style::Yellow, &format!("{} = {text}", visible(field)));
            let when = self.paint(Style::Dim, &format!("  set elsewhere {}; what was set later stands", date(*time)));
            self.field("conflict", &format!("{lost}{when}"));
        }
    }

    fn header(&mut self, run: &RunInfo, source: &Source, now: i64) {
        let state = self.paint(state_style(run.state), run.state.as_str());
        let name = self.paint(Style::Bold, &visible(&run.name));
        self.line(&format!("{name}  {state}"));
        let id = self.paint(Style::Cyan, &visible(&run.id));
        self.field("id", &id);
        self.field("project", &visible(&run.project));
        let ago = self.paint(Style::Dim, &format!("  {}", time::ago(now, run.created)));
        self.field("created", &format!("{}{ago}", date(run.created)));
        let took = number::duration(run.duration_secs(now));
        match run.finished {
            Some(finished) => {
                let took = self.paint(Style::Dim, &format!("  after {took}"));
                self.field("finished", &format!("{}{took}", date(finished)));
            }
            None if run.state == RunState::Running => self.field("running", &format!("for {took}")),
            None => {}
        }
        if let Some(removed) = run.removed {
            let hint = self.paint(Style::Yellow, "hidden; runcellar restore brings it back");
            self.field("removed", &format!("{}  {hint}", date(removed)));
        }
        self.field("tags", &visible(&listed(&run.tags)));
        self.field("group", &visible(&run.group));
        self.field("job type", &visible(&run.job_type));
        let notes: Vec<String> = run.notes.trim_end().split('\n').map(visible).collect();
        self.field("notes", &notes.join(&format!("\n{:LABEL_WIDTH$}", "")));
        let program: Vec<String> = [&run.program, &run.runtime]
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(|text| visible(text))
            .collect();
        self.field("program", &program.join("  "));
        self.field("host", &visible(&run.host));
        self.source(source);
        match run.exit_code {
            Some(0) => self.field("exit code", "0"),
            Some(code) => {
                let code = self.paint(Style::Red, &code.to_string());
                self.field("exit code", &code);
            }
            None => {}
        }
        if run.dropped > 0 {
            let count =
                self.paint(Style::Yellow, &format!("{} could not be kept", number::count(run.dropped, "value")));
            self.field("dropped", &count);
        }
    }

    fn source(&mut self, source: &Source) {
        let commit: String = visible(&source.commit).chars().take(COMMIT_DIGITS).collect();
        if !commit.is_empty() {
            let branch = some(&source.branch).map_or(String::new(), |branch| format!(" on {}", visible(branch)));
            let changed =
                if source.dirty == Some(true) { self.paint(Style::Yellow, ", changed") } else { String::new() };
            let remote = self.paint(Style::Dim, &format!("  {}", visible(&source.remote)));
            self.field("git", &format!("{commit}{branch}{changed}{remote}"));
        }
        if !source.packages.is_empty() {
            self.field("packages", &source.packages.len().to_string());
        }
    }

    fn code(&mut self, code: &[CodeEntry]) {
        if !code.is_empty() {
            let bytes = number::bytes(code.iter().map(|entry| entry.size).sum());
            let files = number::count(code.len() as u64, "file");
            let hint = self.paint(Style::Dim, "  runcellar checkout-code writes them");
            self.field("code", &format!("{files}, {bytes}{hint}"));
        }
    }

    fn lineage(&mut self, lineage: &Lineage) {
        if let Some(HistoryPoint { run, step }) = &lineage.forked_from {
            let rest = step.map_or(String::new(), |step| format!(" at step {step}"));
            self.field("forked", &format!("from {}{rest}", visible(run)));
        }
        for rewind in &lineage.rewinds {
            let hidden = self.paint(Style::Dim, &format!("  {} hidden", number::count(rewind.rows, "row")));
            self.field("rewound", &format!("{} to step {}{hidden}", date(rewind.time), rewind.step));
        }
        if lineage.ranks > 1 {
            self.field("ranks", &lineage.ranks.to_string());
        }
    }

    fn artifacts(&mut self, artifacts: &RunArtifacts) {
        let names = |versions: &[ArtifactVersion]| visible(&listed(versions.iter().map(ArtifactVersion::full_name)));
        self.field("made", &names(&artifacts.made));
        self.field("used", &names(&artifacts.used));
    }

    fn title(&mut self, title: &str) {
        let title = self.paint(Style::Bold, title);
        self.line(&format!("\n{title}"));
    }

    fn config(&mut self, config: &Json) {
        let Json::Map(members) = config else { return };
        if !members.is_empty() {
            self.title("config");
            self.members(members, 1);
        }
    }

    /// Writes the members of a map, one a line, maps inside indented below their name.
    fn members(&mut self, members: &[(String, Json)], depth: usize) {
        let nested = |value: &Json| matches!(value, Json::Map(inner) if !inner.is_empty());
        let scalars = members.iter().filter(|(_, value)| !nested(value));
        let width = scalars.map(|(name, _)| visible(name).width()).max().unwrap_or(0);
        for (name, value) in members {
            let (indent, name) = ("  ".repeat(depth), visible(name));
            match value {
                Json::Map(inner) if !inner.is_empty() => {
                    self.line(&format!("{indent}{name}"));
                    self.members(inner, depth + 1);
                }
                value => {
                    let blank = " ".repeat(width.saturating_sub(name.width()) + 2);
                    let taken = indent.width() + name.width() + blank.width();
                    let room = self.display.width.map_or(usize::MAX, |width| width.saturating_sub(taken).max(8));
                    let value = shorten(&visible(&json_text(value)), room);
                    let name = self.paint(Style::Dim, &name);
                    self.line(&format!("{indent}{name}{blank}{value}"));
                }
            }
        }
    }

    fn metrics(&mut self, title: &str, steps: &'static str, metrics: &[MetricInfo], sparks: &[String]) {
        if metrics.is_empty() {
            return;
        }
        self.title(title);
        let mut table = Table::new(vec![
            Column::left("  name").shrink_to(14).priority(9),
            Column::right("points").priority(4),
            Column::right(steps).priority(3),
            Column::right("min").priority(6),
            Column::right("max").priority(7),
            Column::right("last").shrink_to(8).priority(8),
            Column::left("").priority(5),
        ]);
        let text = |value: &Option<Value>| value.as_ref().map(value_text).unwrap_or_default();
        for (index, metric) in metrics.iter().enumerate() {
            table.push(vec![
                format!("  {}", metric.name).into(),
                Cell::new(metric.points.to_string(), Style::Dim),
                Cell::new(format!("{}..{}", metric.first_step, metric.last_step), Style::Dim),
                text(&metric.min).into(),
                text(&metric.max).into(),
                Cell::new(value_text(&metric.last), Style::Bold),
                Cell::new(sparks.get(index).cloned().unwrap_or_default(), Style::Cyan),
            ]);
        }
        let table = table.render(self.display.width, self.display.color);
        self.text.push_str(&table);
    }

    fn summary(&mut self, rest: &[&(String, Value)]) {
        if rest.is_empty() {
            return;
        }
        self.title("summary");
        let width = rest.iter().map(|(key, _)| visible(key).width()).max().unwrap_or(0);
        for (key, value) in rest {
            let key = visible(key);
            let blank = " ".repeat(width - key.width() + 2);
            let room = self.display.width.map_or(usize::MAX, |columns| columns.saturating_sub(width + 4).max(8));
            let value = shorten(&visible(&value_text(value)), room);
            let key = self.paint(Style::Dim, &key);
            // Writing to a String does not fail.
            let _ = writeln!(self.text, "  {key}{blank}{value}");
        }
    }
}
