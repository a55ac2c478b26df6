//! Reading back all that this device published, and comparing it with what is here.

use runcellar::Workspace;
use runcellar::remotes::{Exchange, Repair};

use super::Outcome;
use super::names::{head_of, pack_of, segment_of, welcome_of};
use super::pull::settled;
use crate::remote::{ObjectName, Remote};
use crate::{Error, ErrorKind};

/// What is not on a remote as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is missing or altered.
    pub wrong: Vec<Wrong>,
}

/// Reads back everything that this device published on a remote, and finds out whether it is what was published. Segments are
/// proven by their hashes, up to the one that is remembered here; packs are compared byte by byte.
///
/// What was not sent yet is another question: [`Workspace::unsent`]. What is wrong is sent again by the next [`super::sync`],
/// but for a head: a remote that lost that went back in time.
///
/// # Errors
/// As [`super::sync`]; what is missing or altered is no error.
pub fn verify(workspace: &Workspace, name: &str, remote: &dyn Remote) -> Outcome<Verified> {
    workspace.may_send(name)?;
    let exchange = workspace.exchange(name)?;
    let mut verified = Verified::default();
    let published = exchange.published()?;
    if published.to < published.from {
        return Ok(verified);
    }
    let prefix = exchange.prefix();
    let mut previous = None;
    for number in published.from..=published.to {
        previous = verified
            .look(remote, &segment_of(&prefix, number)?, |sealed| exchange.verify_segment(number, previous, sealed))?;
    }
    if !verified.wrong.is_empty() {
        exchange.mark(Repair::All)?;
    }
    verified.look(remote, &head_of(&prefix)?, |sealed| exchange.verify_head(sealed, previous))?;
    if verified.look(remote, &welcome_of(&prefix)?, |welcome| exchange.verify_welcome(welcome))?.is_none() {
        exchange.mark(Repair::Welcome)?;
    }
    verify_packs(&exchange, remote, &published.packs, &mut verified)?;
    Ok(verified)
}

fn verify_packs(
    exchange: &Exchange,
    remote: &dyn Remote,
    packs: &[runcellar::remotes::PackName],
    verified: &mut Verified,
) -> Outcome<()> {
    for pack in packs {
        let outcome = verified.look(remote, &pack_of(pack)?, |bytes| exchange.verify_pack(pack, bytes));
        match outcome {
            // Collected, or written anew: the next sync says so there, too.
            Err(super::Failure::Store(error)) if error.kind() == runcellar::ErrorKind::NotFound => {}
            looked => {
                if looked?.is_none() {
                    exchange.mark(Repair::Pack(pack))?;
                }
            }
        }
    }
    Ok(())
}

impl Verified {
    /// Reads an object and compares it; returns what the comparison gave, none if the object is wrong.
    fn look<T>(
        &mut self,
        remote: &dyn Remote,
        name: &ObjectName,
        compare: impl Fn(&[u8]) -> runcellar::Result<T>,
    ) -> Outcome<Option<T>> {
        let looked = settled(|| {
            let missing = || Error::new(ErrorKind::Damaged, "it is missing");
            let bytes = remote.get(name, None)?.ok_or_else(missing)?;
            Ok((compare(&bytes)?, bytes.len() as u64))
        });
        let wrong = |what: String| Wrong { object: name.to_string(), what };
        match looked {
            Ok((value, bytes)) => {
                self.objects += 1;
                self.bytes += bytes;
                Ok(Some(value))
            }
            Err(super::Failure::Remote(error)) if error.kind() == ErrorKind::Damaged => {
                self.wrong.push(wrong(error.to_string()));
                Ok(None)
            }
            Err(super::Failure::Store(error)) if error.kind() == runcellar::ErrorKind::Damaged => {
                self.wrong.push(wrong(error.to_string()));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }
}
