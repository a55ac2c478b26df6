//! What a purge promises, with the keys in hand: nothing that was purged opens under anything that is known afterwards.

use std::collections::HashSet;

use runcellar_format::ObjectId;
use runcellar_format::seal::{Envelope, OwnerKey};

use crate::db::{Access, Db, ReadTx};
use crate::keys::{KeyRow, Keyring};
use crate::{Keys, PurgeOptions, Result, Workspace};

/// Runs that go; each has five objects at least.
const GOES: usize = 200;

fn record(workspace: &Workspace, id: &str) {
    let run = workspace.run("p").id(id).start().expect("starts");
    (0..3).for_each(|step| run.log([("loss", f64::from(step))]).expect("logs"));
    run.finish().expect("finishes");
}

/// A sealed object as an old copy has it.
struct Sealed {
    run: ObjectId,
    place: runcellar_format::seal::Place,
    body: Vec<u8>,
}

/// Returns every record and block of runs, and all wraps.
fn everything(tx: &ReadTx<'_>, keyring: &Keyring) -> Result<(Vec<Sealed>, Vec<KeyRow>)> {
    use runcellar_format::seal::Kind;
    let workspace = keyring.workspace();
    let mut all = Vec::new();
    for kind in [Kind::Run, Kind::Head, Kind::SeriesPage, Kind::GroupPage] {
        for row in tx.objects(kind, None)? {
            all.push(Sealed { run: row.key.id, place: row.place(workspace), body: row.body });
        }
    }
    for run in tx.block_owners()? {
        tx.blocks(run, |row| {
            let group = crate::db::GroupKey { run: row.run, writer: row.writer, number: row.number };
            let place = crate::db::BlockRow::place(workspace, group, row.part);
            all.push(Sealed { run, place, body: row.body });
            Ok(())
        })?;
    }
    Ok((all, tx.key_rows()?))
}

/// Returns all keys that can be had now: those of the key table, and the root key.
fn keys_of_now(workspace: &Workspace) -> Vec<std::sync::Arc<OwnerKey>> {
    let keys = workspace.inner.read(|tx, keyring| {
        let mut keys = vec![keyring.epoch_key(tx.epoch().id)?];
        for row in tx.key_rows()? {
            keys.push(tx.open_key(keyring, &row)?);
        }
        Ok(keys)
    });
    keys.expect("every key of now opens")
}

#[test]
fn nothing_purged_opens_with_all_keys_of_now_and_everything_else_does() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (path, copy) = (directory.path().join("w"), directory.path().join("copy.db"));
    let keys = Keys { directory: Some(directory.path().join("keys")), ..Keys::default() };
    let workspace = Workspace::open_or_create(&path, keys.clone()).expect("opens");
    let goes: Vec<String> = (0..GOES).map(|number| format!("goes-{number}")).collect();
    goes.iter().for_each(|id| record(&workspace, id));
    record(&workspace, "stays");
    let doomed: HashSet<ObjectId> = goes.iter().map(|id| workspace.find_run(id).expect("listed").object).collect();
    std::fs::File::create(&copy).expect("creates");
    workspace.inner.copy_database(&copy, |_, _| {}).expect("copies");
    let targets: Vec<crate::Target> = goes.iter().map(|id| id.parse().expect("a run")).collect();
    let purged = workspace.purge(&targets, PurgeOptions::default()).expect("purges");
    assert!(purged.receipt.is_complete(), "{}", purged.receipt.to_json());
    drop(workspace);

    let workspace = Workspace::open(&path, keys).expect("opens with the keys of now");
    let now = keys_of_now(&workspace);
    let old = Db::open(&copy, Access::Kept).expect("the copy is a database");
    let found = workspace.inner.read(|_, keyring| old.read(|tx| everything(tx, keyring)));
    let (objects, wraps) = found.expect("reads");
    let (mut gone, mut kept) = (0, 0);
    for object in &objects {
        let id = Envelope::parse("object", &object.body).expect("an envelope").key;
        let by_name = now.iter().find(|key| key.id() == id);
        // Under its own id, and under any other key.
        let opens =
            now.iter().any(|key| OwnerKey::new(id, key.secret().duplicate()).open(&object.place, &object.body).is_ok());
        match doomed.contains(&object.run) {
            true => {
                assert!(by_name.is_none() && !opens, "{:?} of run {}", object.place.kind, object.run);
                gone += 1;
            }
            false => {
                assert!(by_name.is_some() && opens, "{:?} of run {}", object.place.kind, object.run);
                kept += 1;
            }
        }
    }
    assert!(gone >= 1000 && kept >= 5, "{gone} {kept}");
    // No wrap of before opens under a key of now: neither of what went nor of what stays.
    for wrap in &wraps {
        let by = Envelope::parse("wrap", &wrap.wrap).expect("an envelope").key;
        for key in &now {
            let as_if = OwnerKey::new(by, key.secret().duplicate());
            let io = &*workspace.inner.io;
            let opened = workspace.inner.read(|tx, keyring| keyring.rewrap(io, wrap, &as_if, &as_if, tx.epoch().id));
            assert!(opened.is_err(), "key {}", wrap.id);
        }
    }
    assert!(wraps.len() > GOES);
}
