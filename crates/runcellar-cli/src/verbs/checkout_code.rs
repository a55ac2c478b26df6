//! `checkout-code`: writes the code that is kept with a run.

use std::path::{Path, PathBuf};

use clap_complete::engine::ArgValueCompleter;
use runcellar::Source;

use crate::complete;
use crate::failure::{Code, Failure};
use crate::render::number::count;
use crate::render::visible;
use crate::session::Session;

/// Write the code that is kept with a run into a directory, and say how to get its commit
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The diff is written as DIR/diff.patch. Nothing is applied, and git is not started: the commands are printed.

Examples:
  runcellar checkout-code brave-otter-12 code
  runcellar checkout-code brave-otter-12 code --force    overwrite files that are there")]
pub(crate) struct Args {
    /// The run
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    run: String,
    /// The directory; it is made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

#[derive(serde::Serialize)]
struct Shape {
    directory: String,
    files: Vec<String>,
    bytes: u64,
    commands: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let workspace = session.open()?;
    let run = workspace.find_run(&args.run)?;
    let (code, source) = (workspace.code(&run)?, workspace.source(&run)?);
    let done = {
        let _work = session.work("writing code");
        workspace.checkout_code(&run, &args.directory, args.force)?
    };
    for hurt in &done.hurt {
        session.warn(&format!("{}: {}", hurt.path, hurt.error));
    }
    let has_diff = code.iter().any(|entry| entry.path == b"diff.patch" && entry.size > 0);
    let shape = Shape {
        directory: args.directory.display().to_string(),
        files: code.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect(),
        bytes: done.bytes,
        commands: commands(&source, &args.directory, has_diff),
    };
    session.answer(&shape, || {
        let files = count(done.files, "file");
        let mut text = format!("{files} in {}\n", visible(&shape.directory));
        if !shape.commands.is_empty() {
            text.push_str("\nThe commit it belongs to:\n");
            shape.commands.iter().for_each(|command| text.push_str(&format!("  {}\n", visible(command))));
        }
        text
    })?;
    match done.hurt.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Code::Damage, format!("{} did not come out", count(done.hurt.len() as u64, "file")))),
    }
}

/// Returns what a person types to get the tree that the run was started in.
fn commands(source: &Source, directory: &Path, has_diff: bool) -> Vec<String> {
    if source.commit.is_empty() {
        return Vec::new();
    }
    let commit = quoted(&source.commit);
    let mut commands = match source.remote.as_str() {
        "" => vec![format!("git worktree add --detach tree {commit}")],
        remote => vec![format!("git clone -- {} tree", quoted(remote)), format!("git -C tree checkout {commit}")],
    };
    if has_diff {
        let patch = directory.join("diff.patch");
        // From inside the tree, so its path must not depend on where one stands.
        let patch = std::path::absolute(&patch).unwrap_or(patch);
        commands.push(format!("git -C tree apply {}", quoted(&patch.to_string_lossy())));
    }
    commands
}

/// Returns a text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-:@%+=,".contains(letter);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_one_word_and_no_option() {
        let source = Source { commit: "abc".into(), remote: "--upload-pack=touch 'x'".into(), ..Source::default() };
        let all = commands(&source, Path::new("/a b"), true);
        let expected = [
            "git clone -- '--upload-pack=touch '\\''x'\\''' tree",
            "git -C tree checkout abc",
            "git -C tree apply '/a b/diff.patch'",
        ];
        assert_eq!(all, expected);
        assert!(commands(&Source::default(), Path::new("x"), true).is_empty());
    }
}
