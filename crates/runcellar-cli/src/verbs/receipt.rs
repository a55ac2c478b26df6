//! `receipt`: shows and verifies what purges left in writing.

use std::path::PathBuf;

use clap::Subcommand;
use runcellar::Receipt;

use crate::failure::{Code, Failure};
use crate::render::Style;
use crate::render::table::{Cell, Column, Table};
use crate::session::Session;

/// Show and verify receipts of purges
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A receipt says by random ids what a purge erased, what was looked at afterwards, and who could still open older \
copies; the device that purged has signed it.

Examples:
  runcellar receipt show
  runcellar receipt show 4f09c1 > receipt.json
  runcellar receipt verify receipt.json")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the receipts of the workspace, or print one
    Show {
        /// The beginning of its id
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
    /// Check that a receipt was not altered since it was signed; exit code 5 if it was
    Verify {
        /// The receipt
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(serde::Serialize)]
struct Verified<'a> {
    ok: bool,
    id: &'a str,
    complete: bool,
    public_key: &'a str,
}

/// Takes JSON of the store as it is.
pub(crate) fn parsed(json: &str) -> Result<serde_json::Value, Failure> {
    serde_json::from_str(json).map_err(|cause| Failure::new(Code::Damage, format!("receipt: {cause}")))
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Show { id: None } => list(session),
        Action::Show { id: Some(id) } => {
            let receipts = session.open()?.receipts()?;
            let mut found = receipts.iter().filter(|receipt| receipt.id().starts_with(id.as_str()));
            match (found.next(), found.next()) {
                (Some(receipt), None) => session.answer(&parsed(&receipt.to_json())?, || receipt.to_json()),
                (None, _) => Err(Failure::new(Code::NotFound, format!("no receipt {id}"))),
                (Some(_), Some(_)) => Err(Failure::usage(format!("receipt {id}: several begin so"))),
            }
        }
        Action::Verify { file } => {
            let text = std::fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?;
            let receipt = Receipt::parse(&text)?;
            receipt.verify()?;
            let shape = Verified {
                ok: true,
                id: receipt.id(),
                complete: receipt.is_complete(),
                public_key: receipt.public_key(),
            };
            session.answer(&shape, || {
                let state = if receipt.is_complete() { "complete" } else { "not complete when it was written" };
                format!("receipt {} is as device key {} signed it: {state}\n", receipt.id(), receipt.public_key())
            })
        }
    }
}

fn list(session: &Session) -> Result<(), Failure> {
    let receipts = session.open()?.receipts()?;
    let shapes = receipts.iter().map(|receipt| parsed(&receipt.to_json())).collect::<Result<Vec<_>, _>>()?;
    session.answer(&shapes, || {
        let mut table = Table::new(vec![
            Column::left("id").shrink_to(8),
            Column::left("time"),
            Column::left("erased"),
            Column::left("state"),
        ]);
        for receipt in &receipts {
            table.push(vec![
                Cell::new(receipt.id(), Style::Cyan),
                receipt.time().into(),
                Cell::new(receipt.targets().len().to_string(), Style::Plain),
                if receipt.is_complete() { "complete" } else { "not complete yet" }.into(),
            ]);
        }
        table.render(session.display.width, session.display.color)
    })
}
