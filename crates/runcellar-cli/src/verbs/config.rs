//! `config`: settings of the workspace.

use clap::Subcommand;
use runcellar::workspace::setting;
use runcellar::{Json, Workspace};

use crate::failure::Failure;
use crate::render::table::{Cell, Column, Table};
use crate::render::{Style, visible};
use crate::session::Session;
use crate::shapes::Nested;

/// Read and change settings of the workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runcellar config                                list all settings
  runcellar config set project.default vision
  runcellar config get project.default
  runcellar config set quota.bytes 200GB          warn when the workspace takes more
  runcellar config set quota.bytes:vision 50GB    or a project
  runcellar config unset project.default          bring the default back")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all settings
    Ls,
    /// Print the value of a setting
    Get {
        /// The setting
        name: String,
    },
    /// Change a setting
    Set {
        /// The setting
        name: String,
        /// Its value
        value: String,
    },
    /// Bring the default of a setting back
    Unset {
        /// The setting
        name: String,
    },
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    name: &'a str,
    value: Nested<'a>,
}

#[derive(serde::Serialize)]
struct ListedShape<'a> {
    name: &'a str,
    value: Nested<'a>,
    default: &'a str,
    about: &'a str,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    match &args.action {
        None | Some(Action::Ls) => list(session, &workspace),
        Some(Action::Get { name }) => answer(session, &workspace, name),
        Some(Action::Set { name, value }) => change(session, &workspace, name, Some(value)),
        Some(Action::Unset { name }) => change(session, &workspace, name, None),
    }
}

fn list(session: &Session, workspace: &Workspace) -> Result<(), Failure> {
    let values = workspace.settings()?;
    let shape: Vec<ListedShape<'_>> = values
        .iter()
        .map(|(name, info, value)| ListedShape { name, value: Nested(value), default: info.default, about: info.about })
        .collect();
    session.answer(&shape, || {
        let about = Column::left("about").shrink_to(12).priority(1);
        let mut table = Table::new(vec![Column::left("name"), Column::left("value").shrink_to(8), about]);
        for (name, info, value) in &values {
            let text = text_of(value);
            let style = if text == info.default { Style::Plain } else { Style::Bold };
            table.push(vec![name.as_str().into(), Cell::new(text, style), Cell::new(info.about, Style::Dim)]);
        }
        table.render(session.display.width, session.display.color)
    })
}

fn answer(session: &Session, workspace: &Workspace, name: &str) -> Result<(), Failure> {
    let value = workspace.setting(name)?;
    session.answer(&Shape { name, value: Nested(&value) }, || visible(&text_of(&value)) + "\n")
}

fn change(session: &Session, workspace: &Workspace, name: &str, text: Option<&str>) -> Result<(), Failure> {
    // The name is looked at before the value, so that a typo in it is what is reported.
    setting(name)?;
    workspace.set_setting(name, text)?;
    let value = workspace.setting(name)?;
    session.answer(&Shape { name, value: Nested(&value) }, || format!("{name} = {}\n", visible(&text_of(&value))))
}

/// Returns a setting as it is typed.
fn text_of(value: &Json) -> String {
    match value {
        Json::Text(text) => text.clone(),
        Json::Int(int) => int.to_string(),
        Json::Bool(bool) => bool.to_string(),
        other => serde_json::to_string(&Nested(other)).unwrap_or_default(),
    }
}
