//! `key add`: one more way to unlock the workspace.

use std::path::{Path, PathBuf};

use runcellar::KeySlot;

use super::recovery;
use crate::failure::Failure;
use crate::keychain;
use crate::prompt;
use crate::render::visible;
use crate::session::Session;
use crate::shapes::SlotShape;

/// Add a way to unlock the workspace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A new passphrase is asked for twice on the terminal. A recovery code is printed on a terminal, once, and typed back, or \
written into a new file. A key file goes into ~/.config/runcellar/keys, or where -o says; if a key file is there, it gets \
one more key.")]
pub(super) struct Args {
    /// What to add
    kind: Kind,
    /// What key ls calls it
    #[arg(long)]
    name: Option<String>,
    /// Write the recovery code into this new file
    #[arg(long, value_name = "FILE")]
    recovery_out: Option<PathBuf>,
    /// Put the new key file here
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Another key file
    KeyFile,
    /// A passphrase that people remember
    Passphrase,
    /// A passphrase and a new key file, both needed
    TwoFactor,
    /// A recovery code to be kept on paper
    Recovery,
    /// The keychain of the operating system, where this is built in
    Keychain,
    /// A key file for another device
    Device,
}

impl Kind {
    fn default_name(self) -> &'static str {
        match self {
            Kind::KeyFile => "key file",
            Kind::Passphrase => "passphrase",
            Kind::TwoFactor => "two factors",
            Kind::Recovery => "recovery code",
            Kind::Keychain => "keychain",
            Kind::Device => "device",
        }
    }

    fn has_key_file(self) -> bool {
        matches!(self, Kind::KeyFile | Kind::TwoFactor | Kind::Device)
    }
}

#[derive(serde::Serialize)]
struct Shape<'a> {
    #[serde(flatten)]
    slot: SlotShape<'a>,
    key_file: Option<&'a str>,
    recovery_code: Option<&'a str>,
}

pub(super) fn run(session: &Session, args: &Args) -> Result<(), Failure> {
    let Args { kind, .. } = *args;
    if kind != Kind::Recovery && args.recovery_out.is_some() {
        return Err(Failure::usage("--recovery-out goes with a recovery code"));
    }
    if !kind.has_key_file() && args.output.is_some() {
        return Err(Failure::usage("--output goes with a key file"));
    }
    let name = args.name.as_deref().unwrap_or(kind.default_name());
    let out = args.output.as_deref();
    match (kind, out) {
        (Kind::Recovery, _) => recovery::add(session, name, args.recovery_out.as_deref(), &[]),
        (Kind::Keychain, _) if keychain::of_system().is_none() => Err(Failure::usage(
            "keychain: this runcellar was built without it; build runcellar-cli with --features keychain",
        )),
        (Kind::Keychain, _) => answer(session, &session.open()?.add_keychain(name)?, None),
        (Kind::Device, None) => Err(Failure::usage("the key file of another device: say where to put it by -o FILE")),
        (Kind::Device, Some(path)) => {
            let (slot, path) = session.open()?.add_device(name, path)?;
            answer(session, &slot, Some(&path))
        }
        (Kind::KeyFile, out) => {
            let (slot, path) = session.open()?.add_key_file(name, out)?;
            answer(session, &slot, Some(&path))
        }
        (Kind::Passphrase | Kind::TwoFactor, out) => {
            let workspace = session.open()?;
            let passphrase = prompt::for_new()?;
            let (slot, path) = {
                let _work = session.work("stretching the passphrase");
                match kind {
                    Kind::TwoFactor => {
                        workspace.add_two_factor(&passphrase, name, out).map(|(slot, path)| (slot, Some(path)))
                    }
                    _ => workspace.add_passphrase(&passphrase, name).map(|slot| (slot, None)),
                }?
            };
            answer(session, &slot, path.as_deref())
        }
    }
}

fn answer(session: &Session, slot: &KeySlot, key_file: Option<&Path>) -> Result<(), Failure> {
    let key_file = key_file.map(|path| path.display().to_string());
    let shape = Shape { slot: SlotShape::of(slot), key_file: key_file.as_deref(), recovery_code: None };
    session.answer(&shape, || {
        let file = key_file.as_ref().map(|path| format!("key file {}\n", visible(path))).unwrap_or_default();
        format!("added {}  {}  {}\n{file}", slot.id, slot.kind, visible(&slot.name))
    })
}
