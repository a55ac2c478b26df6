//! Asking for a passphrase on the terminal, without echo, once.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use runcellar::Passphrase;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Code, Failure};
use crate::output;

/// The longest line that is read.
const BYTES_MAX: usize = 4096;

/// The terminal as it was before its echo was switched off.
static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<(File, Termios)>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Switches the echo on again if a prompt had switched it off.
pub(crate) fn restore_terminal() {
    if let Some((tty, modes)) = before().take() {
        // There is nobody left to tell.
        let _ = tcsetattr(&tty, OptionalActions::Flush, &modes);
        let _ = (&tty).write_all(b"\n");
    }
}

/// Restores the terminal however the prompt ends.
struct NoEcho;

impl NoEcho {
    fn begin(tty: &File) -> io::Result<NoEcho> {
        let modes = tcgetattr(tty)?;
        let mut silent = modes.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        *before() = Some((tty.try_clone()?, modes));
        let guard = NoEcho;
        tcsetattr(tty, OptionalActions::Flush, &silent)?;
        Ok(guard)
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        restore_terminal();
    }
}

fn terminal() -> Option<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty").ok()
}

/// Reads a line, byte by byte: what is typed ahead stays for whoever comes next.
fn read_line(tty: &File) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(BYTES_MAX));
    let mut byte = Zeroizing::new([0]);
    while line.len() < BYTES_MAX && (&*tty).read(&mut *byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let text = std::str::from_utf8(&line).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
}

fn taken(mut text: Zeroizing<String>) -> Passphrase {
    std::mem::take(&mut *text).into()
}

/// Asks for the passphrase that opens a workspace; `None` without a terminal.
pub(crate) fn to_open() -> Option<Passphrase> {
    let tty = terminal()?;
    let _silent = NoEcho::begin(&tty).ok()?;
    (&tty).write_all(b"passphrase: ").ok()?;
    read_line(&tty).ok().map(taken)
}

/// Asks for a line that may be seen, on the terminal; `None` without one, and at its end.
pub(crate) fn visible_line(question: &str) -> Option<Zeroizing<String>> {
    let tty = terminal()?;
    (&tty).write_all(question.as_bytes()).ok()?;
    read_line(&tty).ok().filter(|line| !line.is_empty())
}

/// Asks on the terminal whether to go on; without one nobody does.
pub(crate) fn confirms(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    output::to_stderr(question);
    let mut line = String::new();
    let read = io::stdin().lock().take(BYTES_MAX as u64).read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}

fn failed(cause: io::Error) -> Failure {
    Failure::new(Code::Other, format!("terminal: {cause}"))
}

fn needed() -> Failure {
    Failure::new(Code::Locked, "passphrase needed (no terminal)")
}

/// Asks for the passphrase of a file that somebody made.
pub(crate) fn secret() -> Result<Zeroizing<String>, Failure> {
    let tty = terminal().ok_or_else(needed)?;
    let _silent = NoEcho::begin(&tty).map_err(failed)?;
    output::to_stderr("passphrase: ");
    read_line(&tty).map_err(failed)
}

/// Asks twice for a new passphrase.
pub(crate) fn for_new() -> Result<Passphrase, Failure> {
    new_secret().map(taken)
}

/// Asks twice for the passphrase of a file that is to be made.
pub(crate) fn new_secret() -> Result<Zeroizing<String>, Failure> {
    let tty = terminal().ok_or_else(needed)?;
    let ask = |prompt: &str| {
        let _silent = NoEcho::begin(&tty)?;
        output::to_stderr(prompt);
        read_line(&tty)
    };
    let first = ask("new passphrase: ").map_err(failed)?;
    if first.is_empty() {
        return Err(Failure::usage("the passphrase is empty"));
    }
    let second = ask("the same passphrase: ").map_err(failed)?;
    if first != second {
        return Err(Failure::usage("the two passphrases differ"));
    }
    Ok(first)
}
