//! `import`: reads a capsule back into the workspace.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use runcellar::transfer::{CarryOptions, Outcome, Taken};
use runcellar::{Error, ErrorKind, Workspace};

use crate::capsule::reader::CapsuleReader;
use crate::capsule::seal::Opened;
use crate::failure::{Code, Failure};
use crate::render::number::{bytes, count};
use crate::render::visible;
use crate::session::Session;

/// How often a capsule is taken in again because content that it shares was removed meanwhile.
const TAKES_MAX: usize = 4;

/// Read runs and artifacts from a capsule into the workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The capsule is read twice: once to see that all of it is whole and can be taken in, and only then into the workspace. \
What is there already stays as it is, so that the same capsule may be imported again; what was purged there stays away.

Examples:
  runcellar import calm.capsule                      asks for the passphrase
  runcellar import calm.capsule --identity key.txt   made for a recipient of age
  runcellar import calm.capsule --project inbox")]
pub(crate) struct Args {
    /// The capsule
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file with identities of age, one of which opens the capsule; may be repeated
    #[arg(long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,
    /// The project that everything goes into [default: those that it came from, by name]
    #[arg(long)]
    project: Option<String>,
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    runs: Vec<Item<'a>>,
    artifacts: Vec<Item<'a>>,
}

#[derive(serde::Serialize)]
struct Item<'a> {
    name: &'a str,
    project: &'a str,
    outcome: &'static str,
}

impl<'a> Item<'a> {
    fn of(taken: &'a Taken) -> Item<'a> {
        let outcome = match taken.outcome {
            Outcome::New => "imported",
            Outcome::Here => "there already",
            Outcome::Differs => "differs",
            Outcome::Erased => "erased",
        };
        Item { name: &taken.name, project: &taken.project, outcome }
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let capsule = Shared(Arc::new(Mutex::new(Opened::open(&args.file, &args.identities)?)));
    let workspace = session.open()?;
    let options = CarryOptions { project: args.project.clone() };
    let refused = |error: Error| refused(&args.file, error);
    {
        let _work = session.work("looking at the capsule");
        workspace.examine(&mut capsule.pieces(&args.file)?, &options).map_err(refused)?;
    }
    let _work = session.work("importing");
    let all = take_in(&workspace, &capsule, &args.file, &options)?;
    drop(_work);
    answer(session, &all)
}

fn take_in(
    workspace: &Workspace,
    capsule: &Shared,
    path: &Path,
    options: &CarryOptions,
) -> Result<Vec<Taken>, Failure> {
    let mut takes = 0;
    loop {
        takes += 1;
        match workspace.carry_in(&mut capsule.pieces(path)?, options) {
            Err(error) if error.kind() == ErrorKind::Busy && takes < TAKES_MAX => {}
            outcome => return outcome.map_err(|error| refused(path, error)),
        }
    }
}

fn answer(session: &Session, all: &[Taken]) -> Result<(), Failure> {
    let items = |is_run: bool| all.iter().filter(move |taken| taken.is_run == is_run).map(Item::of).collect();
    session.answer(&Shape { runs: items(true), artifacts: items(false) }, || {
        let mut text = String::new();
        for taken in all {
            let what = match taken.is_run {
                true => format!("run {} in {}, {}", taken.name, taken.project, count(taken.amount, "point")),
                false => format!("artifact {}/{}, {}", taken.project, taken.name, bytes(taken.amount)),
            };
            let word = match taken.outcome {
                Outcome::New => "imported",
                Outcome::Here => "there already",
                Outcome::Differs => "there already with other points, and left as it is",
                Outcome::Erased => "was erased here, and does not come back",
            };
            text.push_str(&format!("{}: {word}\n", visible(&what)));
        }
        text
    })?;
    if all.iter().all(|taken| taken.outcome != Outcome::New) {
        session.note("nothing was changed");
    }
    Ok(())
}

/// What is wrong with the capsule, as far as it is the capsule.
fn refused(path: &Path, error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Damaged => Failure::new(Code::Damage, visible(&format!("{}: {error}", path.display())))
            .advise("  nothing of it was taken in"),
        ErrorKind::Exists => Failure::new(Code::Other, visible(&format!("{}: {error}", path.display()))),
        _ => error.into(),
    }
}

/// The opened capsule, which is read more than once.
struct Shared(Arc<Mutex<Opened>>);

impl Shared {
    /// Returns its pieces from the beginning.
    fn pieces(&self, path: &Path) -> Result<CapsuleReader<Handle>, Failure> {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.rewind().map_err(|cause| Failure::file("read", path, &cause))?;
        Ok(CapsuleReader::new(Handle(self.0.clone())))
    }
}

struct Handle(Arc<Mutex<Opened>>);

impl std::io::Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}
