//! `clone`: a workspace on this device made of what others published.

use std::path::PathBuf;

use runcellar::remotes::clone_from;
use runcellar_sync::engine;
use runcellar_sync::remote::Options;

use crate::failure::{Code, Failure};
use crate::render::{Style, visible};
use crate::session::Session;
use crate::verbs::remote::classes;
use crate::verbs::sync::{all_came_in, place, refuse_if_offline};

/// Make a workspace here of what other devices published
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It needs a secret that opens the workspace: a key file (--key-file), a passphrase, or a recovery code. This device gets an id and a \
key of its own. Typing this is the consent to read that URL once; the remote is remembered as origin, and is not enabled.

Examples:
  runcellar clone /mnt/disk/runs ~/runs
  runcellar clone s3://bucket/runs --key-file laptop.key --metadata-only")]
pub(crate) struct Args {
    /// Where other devices publish
    url: String,
    /// The directory to make a workspace [default: RUNCELLAR_DIR, else ./.runcellar]
    dir: Option<PathBuf>,
    /// What may go there from here once it is enabled: metrics, and beside them code, media, artifacts
    #[arg(long, value_delimiter = ',', default_value = "metrics", value_name = "CLASS,...")]
    classes: Vec<String>,
    /// Leave files of artifacts, code and media, and points of runs, on the remote until they are read (sets
    /// sync.content)
    #[arg(long)]
    metadata_only: bool,
}

/// What the remote is called here.
const ORIGIN: &str = "origin";

#[derive(serde::Serialize)]
struct Shape {
    workspace: String,
    id: String,
    key_file: Option<String>,
    remote: &'static str,
    runs: u64,
    versions: u64,
    files: u64,
    devices: u64,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    refuse_if_offline()?;
    let path = session.place_for_init(args.dir.clone());
    let url = place::checked(&args.url)?;
    let classes = classes(&args.classes)?;
    let remote = place::open(session, &Options::default(), &url)?;
    let (workspace, report) = {
        let _work = session.work("cloning");
        let nobody = || Failure::new(Code::NotFound, format!("{}: nobody publishes a workspace there", visible(&url)));
        let welcome = engine::welcome(&*remote)?.ok_or_else(nobody)?;
        let workspace = clone_from(&welcome, &path, session.options()).map_err(Failure::opening)?;
        workspace.add_remote(ORIGIN, &url, &classes, &[])?;
        if args.metadata_only {
            workspace.set_setting("sync.content", Some("remote"))?;
            workspace.agree_to_read(ORIGIN)?;
        }
        let report = engine::pull(&workspace, ORIGIN, &*remote)?;
        (workspace, report)
    };
    let shape = Shape {
        workspace: workspace.path().display().to_string(),
        id: workspace.id(),
        key_file: workspace.key_file().map(|file| file.display().to_string()),
        remote: ORIGIN,
        runs: report.merged.new_runs,
        versions: report.merged.new_versions,
        files: report.merged.new_files,
        devices: report.devices,
    };
    session.answer(&shape, || {
        let dim = |text: &str| Style::Dim.paint(text, session.display.color);
        let key_file = shape.key_file.as_ref().map(|file| format!("{}   {}\n", dim("key file"), visible(file)));
        format!(
            "{}  {}\n{}         {}\n{}{}       {}\n{}   {}\n{}      {}\n{}    {}\n",
            dim("workspace"),
            visible(&shape.workspace),
            dim("id"),
            shape.id,
            key_file.unwrap_or_default(),
            dim("runs"),
            shape.runs,
            dim("versions"),
            shape.versions,
            dim("files"),
            shape.files,
            dim("devices"),
            shape.devices
        )
    })?;
    session.note(match args.metadata_only {
        true => "files and rows are fetched from there when they are read; to publish from here, too: runcellar remote enable origin",
        false => "to publish from here, too: runcellar remote enable origin",
    });
    if let Some(place) = workspace.key_file_unnamed() {
        let place = place.display().to_string();
        session.note(&format!(
            "the key file lies elsewhere than usual: name it with --key-file, or copy it to {}",
            visible(&place)
        ));
    }
    all_came_in(session, report.merged.left_out.iter())
}
