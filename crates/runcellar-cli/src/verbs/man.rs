//! `man`: writes manual pages.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::files::NewFile;
use crate::output;
use crate::session::Session;

/// Write the manual: a page for the command and one for each verb
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without DIR the page of the command itself goes to standard output.

Examples:
  runcellar man | man -l -
  runcellar man ~/.local/share/man/man1 && man runcellar-plot")]
pub(crate) struct Args {
    /// Directory for the pages; made if it is not there
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &args.directory else {
        return output::print(&String::from_utf8_lossy(&page(command)?.1));
    };
    std::fs::create_dir_all(directory).map_err(|cause| Failure::file("make", directory, &cause))?;
    let count = write_pages(&command, directory)?;
    session.note(&format!("wrote {count} pages into {}", directory.display()));
    Ok(())
}

/// Writes the page of a command and of everything below it; returns how many.
fn write_pages(command: &Command, directory: &Path) -> Result<usize, Failure> {
    let (name, text) = page(command.clone())?;
    let path = directory.join(name);
    let mut file = NewFile::create(&path)?;
    file.write_all(&text).map_err(|cause| Failure::file("write", &path, &cause))?;
    file.finish()?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    below.map(|below| write_pages(below, directory)).try_fold(1, |count, below| Ok(count + below?))
}

/// Returns the name and the text of one page.
fn page(command: Command) -> Result<(String, Vec<u8>), Failure> {
    let (man, mut text) = (Man::new(command).manual("runcellar").source(env!("CARGO_PKG_VERSION")), Vec::new());
    man.render(&mut text)?;
    Ok((man.get_filename(), text))
}
