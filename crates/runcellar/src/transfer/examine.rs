//! Looking at what comes in, without writing.

use std::collections::HashSet;
use std::sync::PoisonError;

use runcellar_format::record::{CarriedRun, CarriedVersion};

use super::arrive::{Outcome, Taken, Worker};
use super::pieces::{FilesIn, Queue, refused};
use super::run::{self, Counted};
use super::{FileClass, version};
use crate::blob::What;
use crate::workspace::Inner;
use crate::{Error, Result};

/// Bytes of content that are passed over at once.
const PASS_BYTES: usize = 64 << 10;

pub(super) struct Examiner<'a> {
    pub(super) inner: &'a Inner,
    /// Ids of the runs that came so far.
    pub(super) ids: HashSet<String>,
}

impl Worker for Examiner<'_> {
    fn version(&mut self, carried: &CarriedVersion, files: &mut FilesIn<'_, '_>) -> Result<Taken> {
        let here = version::find(self.inner, carried)?;
        let amount = pass(files)?;
        Ok(here.unwrap_or_else(|| version::taken(carried, carried.version.number, amount, Outcome::New)))
    }

    fn run(&mut self, carried: &CarriedRun, queue: &mut Queue<'_>) -> Result<Taken> {
        if !self.ids.insert(carried.id.clone()) {
            return Err(refused(format_args!("run {}: comes twice", carried.id)));
        }
        let here = run::find(self.inner, carried)?;
        pass(&mut queue.files(FileClass::Code))?;
        pass(&mut queue.files(FileClass::Media))?;
        let record = run::record(queue, carried)?;
        let mut counted = Counted::new(run::names(queue)?, &record)?;
        while let Some(group) = queue.group()? {
            counted.add(&group)?;
        }
        Ok(run::taken(carried, here, counted.points))
    }
}

/// Reads files to their ends; returns how many bytes they have.
pub(super) fn pass(files: &mut FilesIn<'_, '_>) -> Result<u64> {
    let (mut all, mut buffer) = (0, vec![0; PASS_BYTES]);
    for source in files {
        let source = source?;
        let What::Stream(stream) = source.what else { continue };
        let mut content = stream.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut len = 0_u64;
        loop {
            let read = content
                .read(&mut buffer)
                .map_err(|cause| Error::new(crate::ErrorKind::Damaged, cause.to_string()).with_cause(cause))?;
            len += read as u64;
            if read == 0 {
                break;
            }
        }
        if len != stream.size {
            let path = source.path.escape_ascii();
            return Err(refused(format_args!("{path}: {len} bytes where {} are listed", stream.size)));
        }
        all += len;
    }
    Ok(all)
}
