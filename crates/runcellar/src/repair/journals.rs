//! Journals that were left: of dead writers, and of such as are taken over.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use runcellar_format::JournalId;
use runcellar_format::record::Start;

use super::{Claim, LeftWhy, RepairAction, RepairDone, RepairLeft, RepairReport, journal_named};
use crate::ingest::{self, Claims, Standing};
use crate::workspace::{Inner, JOURNALS};
use crate::{Error, ErrorKind, Result};

/// How long this waits for the turn to write on a network file system.
const TURN_WAIT: Duration = Duration::from_secs(20);

struct Found {
    id: JournalId,
    path: PathBuf,
    /// None if it cannot be read.
    standing: Option<Standing>,
    start: Option<Box<Start>>,
}

pub(super) fn repair(inner: &Inner, claim: &Claim, report: &mut RepairReport) -> Result<()> {
    let claims = claims_of(claim)?;
    let found = find(inner)?;
    if let Some(missing) = claims.named.iter().find(|named| found.iter().all(|journal| journal.id != **named)) {
        return Err(Error::new(ErrorKind::NotFound, format!("journal {missing}: there is none")));
    }
    ingest::recover_claiming(inner, &claims, TURN_WAIT)?;
    let still: HashMap<JournalId, PathBuf> = ingest::journal_files(inner)?.into_iter().collect();
    for journal in found {
        let file = format!("{JOURNALS}/{}.jnl", journal.id);
        let (run, host) = journal.start.map(|start| (start.run_id, start.host)).unzip();
        let claimed = claims.named.contains(&journal.id);
        if !still.contains_key(&journal.id) {
            let action = match journal.standing {
                Some(Standing::Heard | Standing::Silent) if claimed => RepairAction::Claimed,
                Some(Standing::Silent) if claims.silent => RepairAction::Claimed,
                // Its writer has ended meanwhile, and took it in itself.
                Some(Standing::AtWork | Standing::Heard) => continue,
                _ => RepairAction::Ingested,
            };
            report.done.push(RepairDone { action, file, run, host });
            continue;
        }
        let why = match journal.standing {
            Some(Standing::AtWork) => LeftWhy::AtWork,
            Some(Standing::Heard) if !claimed => LeftWhy::Heard,
            Some(Standing::Silent) if !claimed && !claims.silent => LeftWhy::Silent,
            _ => LeftWhy::Damaged,
        };
        report.left.push(RepairLeft { why, file, run, host, claimed });
    }
    Ok(())
}

fn claims_of(claim: &Claim) -> Result<Claims> {
    Ok(match claim {
        Claim::None => Claims::default(),
        Claim::Silent => Claims { silent: true, ..Claims::default() },
        Claim::Named(names) => {
            Claims { named: names.iter().map(|name| journal_named(name)).collect::<Result<_>>()?, ..Claims::default() }
        }
    })
}

fn find(inner: &Inner) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for (id, path) in ingest::journal_files(inner)? {
        match ingest::look(inner, id, &path) {
            Ok(None) => {}
            Ok(Some(lying)) => all.push(Found { id, path, standing: Some(lying.standing), start: lying.start }),
            // Recovery says what is wrong with it.
            Err(_) => all.push(Found { id, path, standing: None, start: None }),
        }
    }
    all.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(all)
}
