//! Following a run from another handle: each row once, in order, whatever becomes of its journals meanwhile.

use runcellar::query::Follower;
use runcellar::{Resume, RunState, Value};

use crate::support::child::Counter;
use crate::support::{Place, child, is_network};

fn numbers(follower: &mut Follower) -> Vec<i64> {
    let rows = follower.poll().expect("polls");
    let number = |values: &[(String, Value)]| match values {
        [(name, Value::Int(number))] if name == "n" => *number,
        other => panic!("{other:?}"),
    };
    rows.iter().map(|row| number(&row.values)).collect()
}

/// Polls until the run has ended and nothing is left.
fn rest(follower: &mut Follower) -> Vec<i64> {
    let mut all = Vec::new();
    // The close frame is seen by one poll, and the state by the next.
    for _ in 0..3 {
        all.extend(numbers(follower));
    }
    all
}

#[test]
fn each_row_is_yielded_once_through_rollovers_and_ingest() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").journal_bytes(20_000).start().expect("starts");
    let look = place.look();
    let info = look.find_run(run.id()).expect("there");
    let keys = Some(vec!["n".to_owned()]);
    let (mut often, mut seldom) = (look.follow(&info, keys.clone()), look.follow(&info, keys.clone()));
    let (mut found, mut found_seldom) = (Vec::new(), Vec::new());
    let total = 12_000;
    for number in 0..total {
        run.log([("n", Value::Int(number)), ("other", Value::Float(0.5))]).expect("logs");
        if number % 3 == 0 {
            run.log([("other", Value::Bool(true))]).expect("logs");
        }
        if number % 53 == 0 {
            let new = numbers(&mut often);
            assert_eq!(new.last(), Some(&number), "a row is there as soon as it is logged");
            found.extend(new);
        }
        if number % 5_000 == 4_999 {
            found_seldom.extend(numbers(&mut seldom));
        }
    }
    assert_eq!(often.state(), RunState::Running);
    run.finish().expect("finishes");
    found.extend(rest(&mut often));
    found_seldom.extend(rest(&mut seldom));
    let expected: Vec<i64> = (0..total).collect();
    assert!(found == expected, "{} of {total}", found.len());
    assert!(found_seldom == expected, "{} of {total}", found_seldom.len());
    let mut late = place.look().follow(&info, keys);
    assert!(rest(&mut late) == expected, "of a run that has ended");
    for follower in [&often, &seldom, &late] {
        assert_eq!(follower.state(), RunState::Finished);
    }
    assert_eq!(often.poll().expect("polls"), []);
}

#[test]
fn a_follower_goes_on_with_a_run_that_is_resumed() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("p").id("the-run").start().expect("starts");
    run.log([("n", 0)]).expect("logs");
    let info = workspace.find_run("the-run").expect("there");
    let mut follower = workspace.follow(&info, None);
    assert_eq!(numbers(&mut follower), [0]);
    run.finish().expect("finishes");
    assert_eq!(rest(&mut follower), [0; 0]);
    assert_eq!(follower.state(), RunState::Finished);
    let run = workspace.run("p").id("the-run").resume(Resume::Must).start().expect("starts");
    run.log([("n", 1)]).expect("logs");
    assert_eq!(rest(&mut follower), [1]);
    assert_eq!(follower.state(), RunState::Running);
    run.finish().expect("finishes");
}

/// The writer is another process, which is killed: the follower has each acknowledged row once, before and after somebody
/// takes in what it left, and learns that the run has crashed.
#[test]
fn a_follower_of_a_writer_that_is_killed_has_each_row_once_and_learns_of_the_end() {
    let place = Place::new();
    let counter = Counter::open(&place.root().join("counter"));
    let mut writer = child::start("logs", &place, format!("followed-run {} 50", 32 << 10));
    counter.wait_for(10, &mut writer);
    let look = place.look();
    let info = look.find_run("followed-run").expect("there");
    let mut follower = look.follow(&info, Some(vec!["n".to_owned()]));
    let mut found = Vec::new();
    while found.len() < 2000 {
        found.extend(numbers(&mut follower));
    }
    assert_eq!(follower.state(), RunState::Running);
    child::kill(writer);
    let acknowledged = counter.get() as usize;
    found.extend(rest(&mut follower));
    assert!(found.len() >= acknowledged, "{} of {acknowledged}", found.len());
    drop(place.open_silently());
    assert_eq!(rest(&mut follower), [0; 0], "what is taken in is not yielded again");
    assert_eq!(follower.state(), RunState::Crashed);
    assert!(found.iter().copied().eq(0..found.len() as i64), "each once, in order");
    assert!(is_network() || place.journal_files().is_empty());
}
