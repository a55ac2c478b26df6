//! Rule K1: epoch keys encrypt keys only. Every sealed thing of a real workspace is walked, as an outsider sees it:
//! the clear header of each object names a key; wraps alone name an epoch.

use std::collections::{HashMap, HashSet};

use runcellar_format::journal::{Header, KeySource};
use runcellar_format::seal::Envelope;
use rusqlite::Connection;

use crate::support::{Place, child};

type Id = [u8; 16];

fn ids(connection: &Connection, sql: &str) -> Vec<Id> {
    let mut statement = connection.prepare(sql).expect("SQL");
    statement.query_map([], |row| row.get(0)).expect("rows").map(|id| id.expect("16 bytes")).collect()
}

fn bodies(connection: &Connection, sql: &str) -> Vec<Vec<u8>> {
    let mut statement = connection.prepare(sql).expect("SQL");
    statement.query_map([], |row| row.get(0)).expect("rows").map(|body| body.expect("a blob")).collect()
}

fn key_of(sealed: &[u8]) -> Id {
    Envelope::parse("object", sealed).expect("a sealed object").key.0
}

#[test]
fn objects_name_keys_of_the_key_table_and_wraps_alone_hang_from_an_epoch() {
    let place = Place::new();
    for project in ["one", "two"] {
        let run = place.open().run(project).config(runcellar::json!({"lr": 0.1})).start().expect("starts");
        (0..5_000).for_each(|step| run.log([("n", i64::from(step))]).expect("logs"));
        run.finish().expect("finishes");
    }
    // A run whose journal is left, too.
    child::play("dies_after_rows", &place, 3);
    let headers: Vec<Header> = place
        .journal_files()
        .iter()
        .map(|path| Header::decode(&std::fs::read(path).expect("reads")).expect("a header").0)
        .collect();
    let connection = Connection::open(place.database()).expect("opens");
    let epochs: HashSet<Id> = ids(&connection, "SELECT id FROM epoch").into_iter().collect();
    let keys: HashSet<Id> = ids(&connection, "SELECT id FROM key").into_iter().collect();
    assert_eq!(epochs.len(), 1);
    assert!(keys.is_disjoint(&epochs));

    // No object is sealed under an epoch key, nor under a key that wraps keys.
    let wraps = bodies(&connection, "SELECT wrap FROM key");
    let wrapping: HashSet<Id> = wraps.iter().map(|wrap| key_of(wrap)).collect();
    let mut objects = bodies(&connection, "SELECT body FROM object");
    objects.extend(bodies(&connection, "SELECT body FROM block"));
    assert!(objects.len() > 20, "{}", objects.len());
    for object in &objects {
        let key = key_of(object);
        assert!(keys.contains(&key), "its key is in the key table");
        assert!(!epochs.contains(&key) && !wrapping.contains(&key), "no wrapping key seals an object");
    }
    // Every wrap hangs from the live epoch, directly or through a project's epoch key.
    for wrap in &wraps {
        let key = key_of(wrap);
        assert!(epochs.contains(&key) || keys.contains(&key));
        assert_eq!(wrap.len(), runcellar_format::seal::OVERHEAD_BYTES + 32, "a wrap holds one key and nothing else");
    }
    // An object is no longer than what it says: no wrap hides in one. The epoch's id stands in no object.
    let epoch = epochs.iter().next().expect("one");
    for object in &objects {
        assert!(!object.windows(16).any(|window| window == epoch), "an epoch id in an object");
    }
    // Each run's objects are under keys of that run alone.
    let mut owners: HashMap<Id, HashSet<Id>> = HashMap::new();
    let mut statement =
        connection.prepare("SELECT b.run, k.owner FROM block b JOIN key k ON k.id = substr(b.body, 5, 16)");
    let rows = statement.as_mut().expect("SQL").query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    for (run, owner) in rows.map(|row| row.expect("ids")) {
        owners.entry(run).or_default().insert(owner);
    }
    assert_eq!(owners.len(), 2);
    assert!(owners.iter().all(|(run, owners)| owners.len() == 1 && owners.contains(run)));
    // Journals name a run's key, or are sealed to the ingest key: neither is an epoch.
    assert!(!headers.is_empty());
    for header in headers {
        match header.source {
            KeySource::Run(key) => assert!(keys.contains(&key.0)),
            KeySource::Ingest { generation, .. } => assert_eq!(generation, 1),
        }
    }
}
