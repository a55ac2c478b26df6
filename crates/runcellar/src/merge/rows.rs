//! The rows of a run, sealed anew under its key here: row groups, pages, overviews, and how far its writers were ingested.

use runcellar_format::record::{Body, GroupPage};
use runcellar_format::seal::Kind;
use runcellar_format::{ObjectId, WriterId};

use crate::db::{GroupKey, ReadTx, WriteTx};
use crate::ingest::data::RunData;
use crate::ingest::{groups, store};
use crate::keys::Keyring;
use crate::{Error, Result};

/// Copies all rows of `theirs`; `mine` has none. Numbers, places and steps stay what they are, so that what refers to
/// them (rewinds, overviews) holds here.
pub(super) fn copy(
    to: &mut WriteTx<'_>,
    (from, from_keys): (&ReadTx<'_>, &Keyring),
    theirs: &RunData,
    mine: &mut RunData,
) -> Result<()> {
    let key = mine.key()?;
    for row in from.objects(Kind::GroupPage, Some(theirs.object))? {
        let mut page: GroupPage = theirs.group_page(from, from_keys, &row)?;
        for entry in &mut page.entries {
            let group: GroupKey = groups::group_key(theirs, entry);
            let open = |part| groups::open_part(from, from_keys, theirs, group, part);
            let parts = (0..entry.parts).map(open).collect::<Result<Vec<_>>>()?;
            entry.sum = to.put_group(group, &key, &parts)?.0;
        }
        let body = page.to_body().map_err(|cause| Error::format(format_args!("run {}", mine.record.id), cause))?;
        mine.put_page(to, Kind::GroupPage, row.key.position, &body)?;
    }
    copy_series(to, (from, from_keys), theirs, mine)?;
    copy_pages(to, (from, from_keys), theirs, mine, Kind::Overview)?;
    let (head, known) = (&mut mine.head, &theirs.head);
    (head.points, head.rows, head.next_group) = (known.points, known.rows, known.next_group);
    for writer in writers(theirs) {
        if let Some(row) = writer_row(from, from_keys, theirs.object, writer)? {
            store::put_writer(to, &key, writer, &row)?;
        }
    }
    Ok(())
}

/// Copies the series of `theirs` with their statistics; `mine` has none.
pub(super) fn copy_series(
    to: &mut WriteTx<'_>,
    from: (&ReadTx<'_>, &Keyring),
    theirs: &RunData,
    mine: &mut RunData,
) -> Result<()> {
    mine.head.series = theirs.head.series;
    copy_pages(to, from, theirs, mine, Kind::SeriesPage)
}

fn copy_pages(
    to: &mut WriteTx<'_>,
    (from, from_keys): (&ReadTx<'_>, &Keyring),
    theirs: &RunData,
    mine: &mut RunData,
    kind: Kind,
) -> Result<()> {
    for row in from.objects(kind, Some(theirs.object))? {
        let body = from.open_object(from_keys, &row)?;
        mine.put_page(to, kind, row.key.position, &body)?;
    }
    Ok(())
}

/// The writers that a run knows of.
pub(super) fn writers(data: &RunData) -> impl Iterator<Item = WriterId> {
    data.record.sessions.iter().map(|session| WriterId(session.writer))
}

/// Returns how far a writer of this run was ingested.
pub(super) fn writer_row(
    tx: &ReadTx<'_>,
    keyring: &Keyring,
    run: ObjectId,
    writer: WriterId,
) -> Result<Option<runcellar_format::record::WriterRow>> {
    Ok(store::writer_row(tx, keyring, writer)?.filter(|row| row.run == run.0))
}
