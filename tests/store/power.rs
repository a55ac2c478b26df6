//! P3, power cuts: what `flush()` and `finish()` returned for is there, whatever the disk did with the rest: dropped it,
//! tore it, wrote it out of order, or brought removed files back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runcellar::run::Run;
use runcellar::{RunState, Value, Workspace};

use crate::support::io::{Call, Gate, Hooked, in_background, is_journal};
use crate::support::power::{Cut, PowerIo};
use crate::support::{Heard, Place, Rng, rows};

const CUTS: [Cut; 4] = [Cut::Drops, Cut::Tears, Cut::Reorders, Cut::Keeps];

struct Recording {
    place: Place,
    io: Arc<PowerIo>,
    workspace: Workspace,
    run: Run,
    logged: u64,
}

impl Recording {
    fn start(journal_bytes: u64) -> Recording {
        let (place, io) = (Place::new(), Arc::new(PowerIo::default()));
        let workspace = place.open_with(io.clone(), Arc::new(Heard::default())).expect("opens");
        let run = workspace.run("p").id("cut-run").journal_bytes(journal_bytes).start().expect("starts");
        Recording { place, io, workspace, run, logged: 0 }
    }

    fn log(&mut self, count: u64) {
        (self.logged..self.logged + count).for_each(|i| rows::log(&self.run, i));
        self.logged += count;
    }

    /// Cuts the power; the lock of the database keeps a commit from being cut in the middle, which is SQLite's to
    /// survive and would not be shown by copying its files one after the other.
    fn cut(&self, cut: Cut, rng: &mut Rng) -> Place {
        let mut connection = rusqlite::Connection::open(self.place.database()).expect("opens");
        connection.busy_timeout(std::time::Duration::from_secs(60)).expect("sets");
        let lock = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("locks");
        let after = self.io.cut(&self.place, cut, rng);
        drop(lock);
        after
    }
}

/// Opens what a cut left; `durable` rows must be there, each row once and as it was logged, and nobody at work.
#[track_caller]
fn survives(after: &Place, cut: Cut, durable: u64, logged: u64, ended: bool) {
    let heard = Arc::new(Heard::default());
    let workspace = after.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.find_run("cut-run").expect("a run that was started is there");
    let found = match cut {
        // A frame in the middle may be gone, and with it names that later rows use: what is left of those is right.
        Cut::Reorders => workspace.series(&run, "n", None).map_or_else(
            |_| Vec::new(),
            |series| {
                let right = |at: usize| series.values.get(at) == Some(Value::Int(series.steps[at]));
                assert!((0..series.steps.len()).all(right) && series.steps.is_sorted_by(|left, right| left < right));
                series.steps
            },
        ),
        _ => rows::verify_found(&workspace, &run),
    };
    assert!(found.iter().take(durable as usize).copied().eq(0..durable as i64), "{cut:?}: {durable} rows were durable");
    assert!(found.last().is_none_or(|last| *last < logged as i64), "{cut:?}: {logged} rows were logged");
    if !matches!(cut, Cut::Reorders) {
        assert_eq!(heard.warnings(), Vec::<String>::new(), "{cut:?}");
    }
    let state = if ended { RunState::Finished } else { RunState::Crashed };
    assert_eq!(run.state, state, "{cut:?}: {:#?}", heard.warnings());
}

#[test]
fn what_was_flushed_survives_every_kind_of_power_cut() {
    let mut rng = Rng::seeded();
    for journal_bytes in [1 << 20, 3000] {
        let mut recording = Recording::start(journal_bytes);
        for _ in 0..12 {
            recording.log(rng.below(120));
            recording.run.flush().expect("flushes");
            let durable = recording.logged;
            recording.log(rng.below(120));
            for cut in CUTS {
                let after = recording.cut(cut, &mut rng);
                survives(&after, cut, durable, recording.logged, false);
            }
        }
        recording.run.finish().expect("finishes");
    }
}

#[test]
fn what_was_finished_survives_every_kind_of_power_cut_once() {
    let mut rng = Rng::seeded();
    for journal_bytes in [1 << 20, 3000] {
        let mut recording = Recording::start(journal_bytes);
        recording.log(400);
        recording.run.finish().expect("finishes");
        for cut in CUTS {
            // Of the journals that were ingested and removed some are there again, as no directory was synced since.
            let after = recording.cut(cut, &mut rng);
            survives(&after, cut, 400, 400, true);
        }
        drop(recording.workspace);
    }
}

#[test]
fn a_run_that_was_started_survives_every_kind_of_power_cut() {
    let mut rng = Rng::seeded();
    for cut in CUTS {
        let mut recording = Recording::start(1 << 20);
        survives(&recording.cut(cut, &mut rng), cut, 0, 0, false);
        recording.log(3);
        survives(&recording.cut(cut, &mut rng), cut, 0, 3, false);
        recording.run.finish().expect("finishes");
    }
}

/// Without a `flush()` the background syncs what was logged, within a second.
#[test]
fn rows_become_durable_without_a_flush() {
    let mut rng = Rng::seeded();
    let mut recording = Recording::start(1 << 20);
    recording.log(100);
    while recording.io.unsynced() > 0 {
        std::thread::yield_now();
    }
    survives(&recording.cut(Cut::Drops, &mut rng), Cut::Drops, 100, 100, false);
    recording.run.finish().expect("finishes");
}

/// `flush()` finds nothing new while the background's sync is still under way; it must wait for that all the same.
#[test]
fn a_flush_waits_for_the_sync_that_is_under_way() {
    let at = |call: Call, path: &Path| call == Call::Sync && is_journal(path) && in_background();
    let gate = Gate::new(at);
    let place = Place::new();
    let workspace = place.open_with(Hooked::shared(gate.clone()), Arc::new(Heard::default())).expect("opens");
    let run = workspace.run("p").start().expect("starts");
    gate.arm();
    rows::log(&run, 0);
    gate.wait();
    let flushed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run.flush().expect("flushes");
            flushed.store(true, Ordering::SeqCst);
        });
        (0..20_000).for_each(|_| std::thread::yield_now());
        assert!(!flushed.load(Ordering::SeqCst), "the row is not durable yet");
        gate.open();
    });
    run.finish().expect("finishes");
}
