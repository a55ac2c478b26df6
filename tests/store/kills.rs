//! P3: whoever is killed at whatever moment loses no acknowledged row, and leaves a workspace that opens.
//!
//! A child logs [`rows`] and, when `log()` has returned, says so in a [`Counter`], which survives it. Its parent kills it
//! at a random moment: while it logs, follows a full journal by another, ingests, ends, creates, opens. Then the parent
//! reads back, and so does one more process. `RUNCELLAR_KILLS` says how often (100), `RUNCELLAR_SEED` when.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runcellar::{CheckOptions, Resume, RunState, Selection, Value, Workspace};

use crate::support::child::Counter;
use crate::support::{Heard, Place, Rng, child, count_from, rows};

/// Kills in one workspace before another is begun: its listing is read after each.
const KILLS_EACH: u64 = 25;

#[derive(Default, Debug)]
struct Tally {
    kills: u64,
    while_logging: u64,
    while_ending: u64,
    while_opening: u64,
    while_creating: u64,
    acknowledged: u64,
    beyond: u64,
    torn: u64,
}

fn counter(place: &Place) -> Counter {
    Counter::open(&place.root().join("counter"))
}

/// Lets a moment of up to `limit_us` pass, without giving the processor away.
fn moment(rng: &mut Rng, limit_us: u64) {
    let end = Instant::now() + Duration::from_micros(rng.below(limit_us));
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Kills a child, which may end well at that very moment.
fn end(mut child: Child) {
    child.kill().expect("kills");
    let status = child.wait().expect("waits");
    assert!(status.success() || status.signal() == Some(libc::SIGKILL), "{status}");
}

/// Reads a run back, here and in another process; returns how many rows it has.
fn read_back(place: &Place, id: &str, acknowledged: u64) -> u64 {
    let workspace = place.open_silently();
    let found = found(&workspace, id, acknowledged);
    drop(workspace);
    child::play("reads_back", place, format!("{id} {found}"));
    found
}

fn found(workspace: &Workspace, id: &str, acknowledged: u64) -> u64 {
    let run = match workspace.find_run(id) {
        Ok(run) => run,
        Err(_) if acknowledged == 0 => return 0,
        Err(error) => panic!("{acknowledged} rows were acknowledged: {error}"),
    };
    let found = rows::verify(workspace, &run);
    assert!(found >= acknowledged, "{found} of {acknowledged} acknowledged rows of run {id}");
    assert_ne!(run.state, RunState::Running, "nobody is at work on {id}");
    found
}

pub(crate) fn reads_back(place: &Place, argument: &str) {
    let (id, count) = argument.split_once(' ').expect("two words");
    let count = count.parse().expect("a number");
    assert_eq!(found(&place.open_silently(), id, count), count);
}

/// Logs for ever: run id, journal size, and every how many rows it flushes.
pub(crate) fn logs(place: &Place, argument: &str) {
    let words: Vec<&str> = argument.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let counter = counter(place);
    let run = place.open().run("kills").id(words[0]).journal_bytes(number(1)).start().expect("starts");
    for i in 0.. {
        rows::log(&run, i);
        counter.set(i + 1);
        if (i + 1).is_multiple_of(number(2)) {
            run.flush().expect("flushes");
        }
    }
}

/// Starts, logs and ends short runs: what is acknowledged is run * 1000 + rows, and 999 for the end.
pub(crate) fn starts_and_ends(place: &Place, prefix: &str) {
    let counter = counter(place);
    let workspace = place.open();
    for number in 1.. {
        let run = workspace.run("kills").id(format!("{prefix}-{number}")).journal_bytes(2000).start().expect("starts");
        for i in 0..20 {
            rows::log(&run, i);
            counter.set(number * 1000 + i + 1);
        }
        run.finish().expect("finishes");
        counter.set(number * 1000 + 999);
    }
}

/// Opens, and recovers what others left.
pub(crate) fn opens(place: &Place, _: &str) {
    let counter = counter(place);
    counter.set(1);
    drop(place.open());
}

/// Makes a workspace, and logs a little.
pub(crate) fn makes(place: &Place, id: &str) {
    let counter = counter(place);
    counter.set(1);
    let run = place.open().run("kills").id(id).start().expect("starts");
    for i in 0..20 {
        rows::log(&run, i);
        counter.set(i + 2);
    }
    run.finish().expect("finishes");
}

fn kill_while_logging(place: &Place, id: &str, rng: &mut Rng, tally: &mut Tally) {
    counter(place).set(0);
    let journal_bytes = [1 << 10, 8 << 10, 64 << 10, 1 << 20][rng.below(4) as usize];
    let flush_every = [7, 1000, u64::MAX][rng.below(3) as usize];
    let mut logging = child::start("logs", place, format!("{id} {journal_bytes} {flush_every}"));
    // Some fall before the first row, most after some hundred, a few after whole row groups.
    let target = [0, rng.below(50), rng.below(2000), rng.below(9000)][rng.below(4) as usize];
    counter(place).wait_for(target, &mut logging);
    moment(rng, 3000);
    child::kill(logging);
    let acknowledged = counter(place).get();
    let torn = place.look().check(CheckOptions::default()).expect("is checked");
    tally.torn += torn.problems.iter().filter(|problem| problem.kind.as_str() == "torn_tail").count() as u64;
    let found = read_back(place, id, acknowledged);
    assert!(found <= acknowledged + 1, "{found} rows of {acknowledged} acknowledged and one under way");
    tally.while_logging += 1;
    tally.acknowledged += acknowledged;
    tally.beyond += found - acknowledged;
}

fn kill_while_ending(place: &Place, id: &str, rng: &mut Rng, tally: &mut Tally) {
    counter(place).set(0);
    let mut ending = child::start("starts_and_ends", place, id);
    let (run, moment_in) = (rng.below(6), [1, 10, 20, 999][rng.below(4) as usize]);
    counter(place).wait_for(run * 1000 + moment_in, &mut ending);
    moment(rng, 8000);
    child::kill(ending);
    let (last, rows) = (counter(place).get() / 1000, counter(place).get() % 1000);
    for number in 1..=last + 1 {
        let (acknowledged, ended) = match number.cmp(&last) {
            std::cmp::Ordering::Less => (20, true),
            std::cmp::Ordering::Equal => (rows.min(20), rows == 999),
            std::cmp::Ordering::Greater => (0, false),
        };
        let id = format!("{id}-{number}");
        tally.acknowledged += acknowledged;
        tally.beyond += read_back(place, &id, acknowledged) - acknowledged;
        if ended {
            let state = place.open().find_run(&id).expect("listed").state;
            assert_eq!(state, RunState::Finished, "{id} had ended");
        }
    }
    tally.while_ending += 1;
}

/// Leaves journals of several files, and kills openers at their recovery.
fn kill_while_opening(place: &Place, id: &str, rng: &mut Rng, tally: &mut Tally) {
    counter(place).set(0);
    let mut logging = child::start("logs", place, format!("{id} {} {}", 32 << 10, u64::MAX));
    counter(place).wait_for(500 + rng.below(8000), &mut logging);
    child::kill(logging);
    let acknowledged = counter(place).get();
    for _ in 0..1 + rng.below(3) {
        counter(place).set(0);
        let mut opening = child::start("opens", place, "");
        counter(place).wait_for(1, &mut opening);
        moment(rng, 60_000);
        end(opening);
        tally.kills += 1;
        tally.while_opening += 1;
    }
    let found = read_back(place, id, acknowledged);
    assert!(found <= acknowledged + 1, "{found} rows of {acknowledged} acknowledged and one under way");
    tally.acknowledged += acknowledged;
    tally.kills -= 1;
}

fn kill_while_creating(rng: &mut Rng, tally: &mut Tally) {
    let place = Place::new();
    let mut making = child::start("makes", &place, "made-run");
    counter(&place).wait_for(1, &mut making);
    moment(rng, 40_000);
    end(making);
    let acknowledged = counter(&place).get().saturating_sub(1);
    tally.acknowledged += acknowledged;
    tally.beyond += read_back(&place, "made-run", acknowledged) - acknowledged;
    whole(&place);
    tally.while_creating += 1;
}

/// The workspace is whole, listed in silence, and can be written.
fn whole(place: &Place) {
    place.ten_minutes_pass();
    let workspace = place.open_silently();
    let report = workspace.check(CheckOptions { read_data: true }).expect("is checked");
    assert!(report.is_ok(), "{:#?}", report.problems);
    assert_eq!(place.journal_files(), Vec::<std::path::PathBuf>::new(), "every journal was taken in");
    let run = workspace.run("kills").id("afterwards").resume(Resume::Allow).start().expect("starts");
    run.log([("alive", true)]).expect("logs");
    run.finish().expect("finishes");
    assert!(workspace.runs(&Selection::default()).expect("lists").iter().all(|run| run.state != RunState::Running));
}

#[test]
#[allow(clippy::print_stdout, reason = "figures, for who asks with --nocapture")]
fn killed_at_any_moment_no_acknowledged_row_is_lost() {
    let (mut rng, mut tally) = (Rng::seeded(), Tally::default());
    let wanted = count_from("RUNCELLAR_KILLS", 100);
    let mut place = Place::new();
    while tally.kills < wanted {
        let id = format!("killed-{}", tally.kills);
        match rng.below(100) {
            0..55 => kill_while_logging(&place, &id, &mut rng, &mut tally),
            55..75 => kill_while_ending(&place, &id, &mut rng, &mut tally),
            75..85 => kill_while_opening(&place, &id, &mut rng, &mut tally),
            _ => kill_while_creating(&mut rng, &mut tally),
        }
        tally.kills += 1;
        if tally.kills.is_multiple_of(KILLS_EACH) {
            whole(&place);
            place = Place::new();
        }
    }
    whole(&place);
    println!("{tally:?}");
}

/// A journal of which the last frame is cut at every byte: the rows before it are there, and nothing is said.
#[test]
fn a_frame_cut_at_any_byte_costs_that_frame_alone() {
    let place = Place::new();
    child::play("dies_after_rows", &place, "cut-run");
    let journal = place.journal_files().pop().expect("one journal");
    let whole = std::fs::read(&journal).expect("reads");
    let frame_bytes = 28 + 18 + 8 + 16;
    for cut in 0..frame_bytes {
        std::fs::write(&journal, &whole[..whole.len() - cut]).expect("writes");
        let heard = Arc::new(Heard::default());
        let options = runcellar::OpenOptions { monitor: heard.clone(), recover: false, ..place.options() };
        let workspace = options.open(&place.workspace()).expect("opens");
        let run = workspace.find_run("cut-run").expect("listed");
        let rows = workspace.series(&run, "x", None).expect("reads").steps.len();
        assert_eq!(rows, if cut == 0 { 10 } else { 9 }, "cut by {cut}");
        assert_eq!(heard.all(), Vec::<String>::new());
        let report = workspace.check(CheckOptions::default()).expect("is checked");
        let torn = report.problems.iter().filter(|problem| problem.kind.as_str() == "torn_tail").count();
        assert!(report.is_ok() && torn == usize::from(cut > 0), "cut by {cut}: {:#?}", report.problems);
    }
    let workspace = place.open_silently();
    assert_eq!(workspace.find_run("cut-run").expect("listed").state, RunState::Crashed);
}

/// P4: a byte flipped in a journal costs the frame that holds it, and the metrics that were named there; it is said, the
/// rest is read, ingested too, and the file is kept.
#[test]
fn a_byte_flipped_in_a_journal_costs_its_frame_and_is_reported() {
    let place = Place::new();
    let mut logging = child::start("logs", &place, format!("flipped-run {} {}", 1 << 20, u64::MAX));
    counter(&place).wait_for(300, &mut logging);
    child::kill(logging);
    let journal = place.journal_files().pop().expect("one journal");
    let whole = std::fs::read(&journal).expect("reads");
    let rows = {
        let workspace = place.look();
        rows::verify(&workspace, &workspace.find_run("flipped-run").expect("listed"))
    };
    let mut rng = Rng::seeded();
    // Past the header and the first rows, which name what all others use.
    for _ in 0..40 {
        let at = whole.len() / 4 + rng.below(whole.len() as u64 * 3 / 4) as usize;
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << rng.below(8);
        std::fs::write(&journal, &flipped).expect("writes");
        let workspace = place.look();
        let run = workspace.find_run("flipped-run").expect("listed");
        let series = workspace.series(&run, "n", None).expect("reads");
        let right = |at: usize| series.values.get(at) == Some(Value::Int(series.steps[at]));
        assert!((0..series.steps.len()).all(right), "what is read is right");
        let lost = rows - series.steps.len() as u64;
        // The last frame cannot be told from one that was cut, unless a write follows it.
        assert!(lost == 1 || (lost == 0 && at + 200 > whole.len()), "byte {at} of {}: {lost} rows lost", whole.len());
        let report = workspace.check(CheckOptions::default()).expect("is checked");
        let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind.as_str()).collect();
        assert!(kinds.contains(&"damaged") || kinds.contains(&"torn_tail"), "byte {at}: {kinds:?}");
    }
    let heard = Arc::new(Heard::default());
    let workspace = place.open_with(Arc::new(runcellar::io::SystemIo), heard.clone()).expect("opens");
    let run = workspace.find_run("flipped-run").expect("listed");
    assert_eq!(run.state, RunState::Crashed);
    assert!(workspace.series(&run, "n", None).expect("reads").steps.len() as u64 >= rows - 1);
    let kept = place.journal_files();
    assert!(
        kept.is_empty() || (kept == [journal] && heard.warnings()[0].contains("damaged")),
        "{:?}",
        heard.warnings()
    );
}
