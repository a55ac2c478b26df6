//! What `doctor` makes of the facts.

use runcellar::workspace::{FileFacts, FileSystemUse};
use runcellar::{Diagnosis, QuotaUse};

use super::{Finding, Status};
use crate::failure::listed;
use crate::render::number::bytes;

/// Free space below which a note, and below which a warning is given.
const FREE_BYTES_LOW: (u64, u64) = (2 << 30, 200 << 20);

/// Judges the facts, one finding a topic.
pub(super) fn of(facts: &Diagnosis, quotas: &[QuotaUse]) -> Vec<Finding> {
    let one = |name, (status, message)| Finding { name, status, message };
    let mut all = vec![
        one("version", (Status::Ok, format!("runcellar {}, format {}", env!("CARGO_PKG_VERSION"), facts.format))),
        one("opened by", opened_by(facts)),
        one("key file", key_file(facts)),
        one("slots", slots(facts)),
        one("place", place(&facts.directory, "the workspace")),
        one("file system", file_system(&facts.file_system)),
        one("key place", key_place(facts)),
        one("mirror", mirror(facts)),
        one("writing", writing(facts)),
        one("journals", journals(facts)),
        one("sqlite", (Status::Ok, format!("{}, built in", facts.sqlite))),
        one("size", size(facts)),
        one("free space", free_space(facts)),
    ];
    let status = |quota: &QuotaUse| if quota.is_over() { Status::Warning } else { Status::Ok };
    all.extend(quotas.iter().map(|quota| one("quota", (status(quota), quota.to_string()))));
    all
}

fn opened_by(facts: &Diagnosis) -> (Status, String) {
    match facts.slots.iter().find(|slot| slot.in_use) {
        Some(slot) => {
            (Status::Ok, format!("{} {:?} (slot {})", slot.kind, slot.name, &slot.id[..8.min(slot.id.len())]))
        }
        None => (Status::Note, "a slot that keyslots no longer has".to_owned()),
    }
}

fn key_file(facts: &Diagnosis) -> (Status, String) {
    match &facts.key_file {
        Some(file) if file.mode & 0o077 == 0 => {
            (Status::Ok, format!("mode {:03o}, {}", file.mode, file.path.display()))
        }
        Some(file) => {
            let path = file.path.display();
            (Status::Warning, format!("others can read it (mode {:03o}): chmod 600 {path}", file.mode))
        }
        None => (Status::Note, "none in use: the workspace was opened without one".to_owned()),
    }
}

fn slots(facts: &Diagnosis) -> (Status, String) {
    match facts.slots.len() {
        1 => (Status::Warning, "one way in; if it is lost, so is everything: runcellar key add recovery".to_owned()),
        count => (Status::Ok, format!("{count} ways in: {}", listed(facts.slots.iter().map(|slot| slot.kind)))),
    }
}

fn place(file: &FileFacts, what: &str) -> (Status, String) {
    match file.file_system {
        "overlay" => (Status::Warning, format!("{what} lies on a container's overlay and goes with the container")),
        "memory" => (Status::Warning, format!("{what} lies in memory (tmpfs) and goes with a reboot")),
        "network" => (Status::Ok, format!("{what} lies on a network file system")),
        "local" => (Status::Ok, format!("{what} lies on a local file system")),
        _ => (Status::Note, format!("{what} lies on a file system that cannot be told")),
    }
}

fn file_system(used: &FileSystemUse) -> (Status, String) {
    let FileSystemUse { mount, network, forced, locks } = used;
    let why = match forced {
        true => format!("as RUNCELLAR_FILE_SYSTEM says ({mount})"),
        false => mount.clone(),
    };
    let message = match network {
        true => format!("{why}: taken for a network file system; one process at a time writes the database"),
        false => format!("{why}: taken for a local disk; the database is in WAL mode"),
    };
    match (network, locks) {
        (false, Some(true)) => (Status::Ok, message),
        (true, Some(true)) => {
            (Status::Ok, format!("{message}; record locks work on this host, and are not relied on between hosts"))
        }
        (true, Some(false)) => {
            (Status::Note, format!("{message}; there are no record locks, heartbeats take their place"))
        }
        (false, Some(false)) => {
            (Status::Error, format!("{message}, but there are no record locks: set RUNCELLAR_FILE_SYSTEM=network"))
        }
        (_, None) => (Status::Note, format!("{message}; whether record locks work could not be tried")),
    }
}

fn key_place(facts: &Diagnosis) -> (Status, String) {
    let Some(file) = &facts.key_file else { return (Status::Ok, "no key file in use".to_owned()) };
    if let Some(exposed) = &facts.key_file_exposed {
        return (Status::Warning, exposed.clone());
    }
    let (status, mut message) = place(file, "the key file");
    let apart = file.device != facts.directory.device;
    if apart {
        message.push_str(", another than the workspace's: each can be lost alone");
    } else {
        message.push_str(", the same as the workspace's: a backup of it holds both");
    }
    (if apart && status == Status::Ok { Status::Note } else { status }, message)
}

fn mirror(facts: &Diagnosis) -> (Status, String) {
    let Some(mirror) = &facts.mirror else {
        return (Status::Note, "no directory of key files, so an older copy put back would not be noticed".to_owned());
    };
    match (&mirror.problem, mirror.written, mirror.writable) {
        (Some(problem), ..) => (Status::Error, format!("the workspace was {problem}")),
        (None, _, false) => (
            Status::Note,
            format!("{} cannot be written, so an older copy put back would not be noticed", mirror.path.display()),
        ),
        (None, true, true) => (Status::Ok, "an older copy put back would be noticed".to_owned()),
        (None, false, true) => (Status::Note, "not written yet; the next write makes it".to_owned()),
    }
}

fn writing(facts: &Diagnosis) -> (Status, String) {
    if facts.read_only {
        return (Status::Note, "the workspace can only be read here".to_owned());
    }
    if facts.directory.mode & 0o077 != 0 {
        let message =
            format!("others can look into the workspace's directory (mode {:03o}): chmod 700 it", facts.directory.mode);
        return (Status::Note, message);
    }
    (Status::Ok, "the workspace can be written, by this user alone".to_owned())
}

fn journals(facts: &Diagnosis) -> (Status, String) {
    match (facts.journals_live, facts.journals_left) {
        (0, 0) => (Status::Ok, "no run is being recorded".to_owned()),
        (live, 0) => (Status::Ok, format!("{live} of writers at work")),
        (live, left) => {
            (Status::Note, format!("{live} of writers at work, {left} left by dead ones; any other verb takes them in"))
        }
    }
}

fn size(facts: &Diagnosis) -> (Status, String) {
    let sizes = format!("cellar.db {}, journals {}", bytes(facts.database_bytes), bytes(facts.journal_bytes));
    match facts.temporary_bytes {
        0 => (Status::Ok, sizes),
        left => (Status::Note, format!("{sizes}, left in tmp/ {}", bytes(left))),
    }
}

fn free_space(facts: &Diagnosis) -> (Status, String) {
    let status = match facts.free_bytes {
        free if free < FREE_BYTES_LOW.1 => Status::Warning,
        free if free < FREE_BYTES_LOW.0 => Status::Note,
        _ => Status::Ok,
    };
    (status, bytes(facts.free_bytes))
}
