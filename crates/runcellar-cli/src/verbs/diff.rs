//! `diff`: two runs side by side, and what differs in their code.

use clap_complete::engine::ArgValueCompleter;
use runcellar::query::{CodePair, Pair, RunDiff};
use runcellar::{Json, RunInfo};

use crate::complete;
use crate::failure::Failure;
use crate::render::number::exact_number;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, visible};
use crate::session::Session;
use crate::shapes::{Nested, RunName};
use crate::verbs::ls::json_text;

/// Show two runs side by side: config, summary, packages and where the code comes from
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only what differs is shown; --all shows the rest, too.

Examples:
  runcellar diff brave-otter-12 calm-fox-3
  runcellar diff brave-otter-12 calm-fox-3 --all --json")]
pub(crate) struct Args {
    /// The one run
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    left: String,
    /// The other run
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    right: String,
    /// Show what both have alike, too
    #[arg(long)]
    all: bool,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    runs: [RunName<'a>; 2],
    source: Vec<PairShape<'a>>,
    config: Vec<PairShape<'a>>,
    summary: Vec<PairShape<'a>>,
    packages: Vec<PairShape<'a>>,
    code: Vec<CodeShape>,
}

#[derive(serde::Serialize)]
struct CodeShape {
    path: String,
    change: &'static str,
    diff: Option<String>,
}

#[derive(serde::Serialize)]
struct PairShape<'a> {
    name: &'a str,
    left: Option<Nested<'a>>,
    right: Option<Nested<'a>>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let (left, right) = (workspace.find_run(&args.left)?, workspace.find_run(&args.right)?);
    let (mut diff, code) = {
        let _work = session.work("reading runs");
        (workspace.diff(&left, &right)?, workspace.code_diff(&left, &right)?)
    };
    let code: Vec<CodeShape> = code.iter().map(code_shape).collect();
    if !args.all {
        diff.leave_out_equal();
    }
    let is_empty = diff.sections().iter().all(|(_, pairs)| pairs.is_empty()) && code.is_empty();
    if session.json || !is_empty {
        let shape = Shape {
            runs: [RunName::of(&left), RunName::of(&right)],
            source: shapes(&diff.source),
            config: shapes(&diff.config),
            summary: shapes(&diff.summary),
            packages: shapes(&diff.packages),
            code,
        };
        let text = || {
            let table = table(&left, &right, &diff).render(session.display.width, session.display.color);
            table + &code_text(&shape.code, session.display.color)
        };
        session.answer(&shape, text)?;
    }
    if is_empty && !session.json {
        session.note("no differences in config, summary, packages, code and where it comes from");
    }
    Ok(())
}

fn shapes(pairs: &[Pair]) -> Vec<PairShape<'_>> {
    fn shape(pair: &Pair) -> PairShape<'_> {
        let Pair { name, left, right } = pair;
        PairShape { name, left: left.as_ref().map(Nested), right: right.as_ref().map(Nested) }
    }
    pairs.iter().map(shape).collect()
}

fn table(left: &RunInfo, right: &RunInfo, diff: &RunDiff) -> Table {
    let (names, columns) = (Column::left("").shrink_to(12), |run: &RunInfo| Column::left(&run.name).shrink_to(12));
    let mut table = Table::new(vec![names.priority(2), columns(left).priority(1), columns(right).priority(1)]);
    table.push(vec!["id".into(), Cell::new(&left.id, Style::Cyan), Cell::new(&right.id, Style::Cyan)]);
    for (title, pairs) in diff.sections() {
        if !pairs.is_empty() {
            table.push(Vec::new());
            table.push(vec![Cell::new(title, Style::Bold)]);
        }
        for pair in pairs {
            let (left, right) = texts(pair);
            let style = if pair.is_equal() { Style::Dim } else { Style::Plain };
            table.push(vec![
                Cell::new(format!("  {}", pair.name), Style::Dim),
                Cell::new(left, style),
                Cell::new(right, style),
            ]);
        }
    }
    table
}

/// Returns what differs in a file: as a diff, if both sides are texts.
fn code_shape(pair: &CodePair) -> CodeShape {
    CodeShape { path: pair.name(), change: pair.change(), diff: pair.unified() }
}

/// Returns diffs for people: on a terminal nothing in them drives it.
fn code_text(files: &[CodeShape], color: bool) -> String {
    let mut text = String::new();
    for file in files {
        text.push_str(&format!(
            "\n{}\n",
            Style::Bold.paint(&format!("{} {}", file.change, visible(&file.path)), color)
        ));
        for line in file.diff.iter().flat_map(|diff| diff.lines()) {
            let style = match line.as_bytes().first() {
                Some(b'+') => Style::Green,
                Some(b'-') => Style::Red,
                Some(b'@') => Style::Cyan,
                _ => Style::Plain,
            };
            let line: Vec<String> = line.split('\t').map(visible).collect();
            text.push_str(&style.paint(&line.join("\t"), color));
            text.push('\n');
        }
    }
    text
}

/// Returns how the two sides are shown: numbers in as many digits as it takes to tell them apart.
fn texts(pair: &Pair) -> (String, String) {
    let shown = |side: &Option<Json>| side.as_ref().map(json_text).unwrap_or_default();
    let (left, right) = (shown(&pair.left), shown(&pair.right));
    if left != right || pair.is_equal() {
        return (left, right);
    }
    let exact = |side: &Option<Json>| match side {
        Some(Json::Float(value)) => exact_number(*value),
        other => shown(other),
    };
    (exact(&pair.left), exact(&pair.right))
}
