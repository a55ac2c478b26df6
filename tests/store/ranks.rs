//! Many writers of one run: ranks that a launcher starts, and writers of one step.

use runcellar::{ErrorKind, Launch, Resume, Run, RunState, Selection, Value, Window, Workspace};

use crate::support::rows::assert_points;
use crate::support::{Place, child, is_network};

fn launch(rank: u32, restart: u32) -> Launch {
    Launch { job: "slurm 7.0".into(), joins: true, rank, restart, ordinal: 0 }
}

fn start(workspace: &Workspace, launch: Launch) -> Run {
    workspace.run("digits").launch(launch).start().expect("a rank starts")
}

/// Returns what one rank logged of `loss`, as (step, value).
fn points_of(workspace: &Workspace, run: &str, rank: u32) -> Vec<(i64, Value)> {
    let run = workspace.find_run(run).expect("it is there");
    let series = workspace.series_in(&run, "loss", Window::default().rank(rank), None).expect("it reads");
    assert!(series.ranks.as_ref().is_none_or(|ranks| ranks.iter().all(|found| *found == rank)));
    (0..series.steps.len()).map(|index| (series.steps[index], series.values.get(index).expect("a value"))).collect()
}

#[test]
fn ranks_of_one_launch_record_one_run_each_with_its_own_steps() {
    let place = Place::new();
    let workspace = place.open();
    let ranks: Vec<Run> = (0..3).map(|rank| start(&workspace, launch(rank, 0))).collect();
    for (rank, run) in ranks.iter().enumerate() {
        assert_eq!((run.id(), run.name(), run.step()), (ranks[0].id(), ranks[0].name(), 0));
        assert!(!run.is_resumed() && run.id().len() == 12);
        for step in 0..4 {
            run.log([("loss", (rank * 10 + step) as i64)]).expect("logs");
        }
    }
    ranks[0].log([("only/rank0", 1.0)]).expect("logs");
    ranks[0].finish().expect("finishes");
    let run = workspace.find_run(ranks[0].id()).expect("one run");
    assert_eq!((run.state, run.finished), (RunState::Running, None), "while any rank works");
    assert_eq!(workspace.runs(&Selection::default()).expect("lists").len(), 1);
    ranks[1].finish_as(RunState::Failed, Some(1)).expect("finishes");
    ranks[2].finish().expect("finishes");
    assert_eq!(workspace.find_run(run.id.as_str()).expect("there").state, RunState::Failed, "the worst end stands");

    for rank in 0..3 {
        let expected: Vec<_> = (0..4).map(|step| (step, Value::Int(i64::from(rank) * 10 + step))).collect();
        assert_eq!(points_of(&workspace, &run.id, rank), expected);
    }
    let all = workspace.series(&run, "loss", None).expect("reads");
    assert_eq!(all.steps, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    assert_eq!(all.ranks.as_ref().map(Vec::len), Some(12));
    let table = workspace.history(&run, None, Window::default(), None).expect("reads");
    assert_eq!(table.ranks.as_deref().map(|ranks| &ranks[..4]), Some(&[0, 1, 2, 0][..]));
    assert_eq!(table.steps.len(), 13, "a row for each step and rank");
    let of_one = workspace.history(&run, None, Window::default().steps(1..3).rank(1), None).expect("reads");
    assert_eq!((of_one.steps, of_one.ranks), (vec![1, 2], Some(vec![1, 1])));
    assert!(place.look().check(Default::default()).expect("checks").is_ok());
}

#[test]
fn a_run_of_one_rank_reads_as_ever() {
    let place = Place::new();
    let workspace = place.open();
    let run = start(&workspace, launch(0, 0));
    run.log([("loss", 0.5)]).expect("logs");
    run.finish().expect("finishes");
    let info = workspace.find_run(run.id()).expect("there");
    assert_eq!(workspace.series(&info, "loss", None).expect("reads").ranks, None);
    assert_eq!(workspace.history(&info, None, Window::default(), None).expect("reads").ranks, None);
}

#[test]
fn another_job_project_or_run_of_the_rank_is_another_run() {
    let place = Place::new();
    let workspace = place.open();
    let first = start(&workspace, launch(0, 0)).id().to_owned();
    let second = start(&workspace, Launch { ordinal: 1, ..launch(0, 0) }).id().to_owned();
    let other = start(&workspace, Launch { job: "slurm 7.1".into(), ..launch(0, 0) }).id().to_owned();
    let project = workspace.run("letters").launch(launch(0, 0)).start().expect("starts").id().to_owned();
    let lone = start(&workspace, Launch { joins: false, ..launch(0, 0) }).id().to_owned();
    let named = workspace.run("digits").id("mine").launch(launch(4, 0)).start().expect("starts");
    assert_eq!((named.id(), named.rank()), ("mine", 4));
    let mut all = vec![first, second, other, project, lone];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5);
    // Who does not hold the workspace's keys cannot tell the job from the id: another workspace has another.
    let elsewhere = Place::new();
    assert!(!all.contains(&start(&elsewhere.open(), launch(0, 0)).id().to_owned()));
}

#[test]
fn ranks_that_are_started_again_go_on_with_their_own_steps() {
    let place = Place::new();
    child::play("dies_as_ranks", &place, "3");
    let workspace = place.open();
    let id = workspace.runs(&Selection::default()).expect("lists")[0].id.clone();
    assert_eq!(workspace.find_run(&id).expect("there").state, RunState::Crashed);
    // The job comes back with a rank less.
    let again: Vec<Run> = (0..2).map(|rank| start(&workspace, launch(rank, 1))).collect();
    assert_eq!(
        again.iter().map(|run| (run.id(), run.step(), run.is_resumed())).collect::<Vec<_>>(),
        [(id.as_str(), 5, true), (id.as_str(), 6, true)]
    );
    for run in &again {
        run.log([("loss", -1_i64)]).expect("logs");
        run.finish().expect("finishes");
    }
    assert_eq!(workspace.find_run(&id).expect("there").state, RunState::Finished, "rank 2 is of an earlier start");
    assert_eq!(points_of(&workspace, &id, 0).last(), Some(&(5, Value::Int(-1))));
    assert_eq!(points_of(&workspace, &id, 2).len(), 7);
}

/// Three ranks in one process, which dies: rank r has logged steps 0 to 4 + r.
pub(crate) fn dies_as_ranks(place: &Place, count: &str) {
    let workspace = place.open();
    let count = count.parse().expect("a number");
    let ranks: Vec<Run> = (0..count).map(|rank| start(&workspace, launch(rank, 0))).collect();
    for (rank, run) in ranks.iter().enumerate() {
        for step in 0..5 + rank {
            run.log([("loss", step as i64)]).expect("logs");
        }
    }
    // SAFETY: ends this process at once, as SIGKILL would; nothing runs after it.
    unsafe { libc::_exit(0) };
}

#[test]
fn resume_says_for_ranks_what_it_says_for_runs() {
    let place = Place::new();
    let workspace = place.open();
    let rank = |rank, resume| workspace.run("digits").launch(launch(rank, 0)).resume(resume).start();
    assert_eq!(rank(0, Resume::Must).expect_err("not there").kind(), ErrorKind::NotFound);
    let first = rank(0, Resume::Never).expect("starts");
    let second = rank(1, Resume::Never).expect("joins: it has not recorded this run before");
    assert_eq!(first.id(), second.id());
    assert_eq!(rank(1, Resume::Never).expect_err("there").kind(), ErrorKind::Exists);
    rank(2, Resume::Must).expect("joins");
    let removed = workspace.find_run(first.id()).expect("there");
    workspace.remove_runs(&[removed]).expect("hides");
    let error = rank(3, Resume::Allow).expect_err("removed");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("removed"), "{error}");
}

/// Processes that come at once, some of which do not get the database in time: one run, and every row of every rank.
#[test]
fn ranks_that_race_make_one_run_also_without_the_database() {
    let place = Place::new();
    let workspace = place.open();
    let locked = hold_database(&place);
    let mut ranks: Vec<_> = (0..4).map(|rank| child::start("joins_as_rank", &place, rank)).collect();
    // Half of them start while the database is held, and record into journals of their own.
    // On a network file system nobody waits for it, and some may have ended already.
    while !is_network() && place.journal_files().len() < 4 {
        std::thread::yield_now();
    }
    let seen = place.look();
    let listed = seen.runs(&Selection::default()).expect("lists");
    assert!(listed.len() <= 1, "one run, and no error: {listed:?}");
    drop(locked);
    ranks.extend((4..8).map(|rank| child::start("joins_as_rank", &place, rank)));
    for rank in &mut ranks {
        assert!(rank.wait().expect("waits").success());
    }
    let runs = workspace.runs(&Selection::default()).expect("lists");
    assert_eq!(runs.len(), 1, "{runs:?}");
    let workspace = place.open();
    let run = workspace.runs(&Selection::default()).expect("lists").remove(0);
    assert_eq!(run.state, RunState::Finished);
    for rank in 0..8 {
        let expected: Vec<_> = (0..50).map(|step| (step, Value::Int(step * 100 + i64::from(rank)))).collect();
        assert_eq!(points_of(&workspace, &run.id, rank), expected, "rank {rank}");
    }
    assert!(place.look().check(Default::default()).expect("checks").is_ok());
}

/// Holds the write lock of the database from another process.
fn hold_database(place: &Place) -> Held {
    let script = "import sqlite3,sys; db=sqlite3.connect(sys.argv[1]); db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()";
    let mut child = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(place.database())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("reads");
    assert_eq!(line, "held\n");
    Held(child)
}

struct Held(std::process::Child);

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("ends");
    }
}

pub(crate) fn joins_as_rank(place: &Place, rank: &str) {
    let rank: u32 = rank.parse().expect("a number");
    let workspace = place.open();
    let run = start(&workspace, launch(rank, 0));
    for step in 0..50 {
        run.log([("loss", step * 100 + i64::from(rank))]).expect("logs");
    }
    run.finish().expect("finishes");
}

#[test]
fn values_of_one_step_are_all_kept_whoever_writes_them() {
    let place = Place::new();
    let workspace = place.open();
    let run = workspace.run("digits").id("shared").start().expect("starts");
    let other = workspace.run("digits").id("shared").resume(Resume::Must).start().expect("resumes");
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let run = &run;
            scope.spawn(move || {
                for step in 0..100 {
                    run.log_at(step, [("loss", thread)]).expect("logs");
                }
            });
        }
    });
    for step in 0..100 {
        other.log_at(step, [("loss", 9_i64)]).expect("logs");
    }
    let read = |when: &str| {
        let info = workspace.find_run("shared").expect("there");
        let series = workspace.series(&info, "loss", None).expect("reads");
        assert_eq!(series.steps, (0..100).flat_map(|step| [step; 5]).collect::<Vec<_>>(), "{when}");
        assert!(series.times.chunks(5).all(<[i64]>::is_sorted), "{when}");
        for step in 0..100_usize {
            let mut values: Vec<_> = (0..5).filter_map(|nth| series.values.get(step * 5 + nth)).collect();
            assert_eq!(values.last(), Some(&Value::Int(9)), "{when}: the last written is the last");
            values.sort_by_key(|value| if let Value::Int(value) = value { *value } else { -1 });
            assert_eq!(values, [0, 1, 2, 3, 9].map(Value::Int), "{when}");
        }
        let table = workspace.history(&info, None, Window::default(), None).expect("reads");
        let shown = runcellar::Series {
            steps: table.steps.clone(),
            values: table.columns[0].values.clone(),
            times: table.times.clone(),
            ranks: None,
            sampled: false,
        };
        assert_points(&shown, &(0..100).map(|step| (step, Value::Int(9))).collect::<Vec<_>>(), "the table");
    };
    read("from journals");
    other.finish().expect("finishes");
    run.finish().expect("finishes");
    read("from the database");
}

#[test]
fn auto_goes_on_with_the_last_run_of_the_program_if_that_did_not_end_well() {
    let place = Place::new();
    let workspace = place.open();
    let builder = |program: &str| workspace.run("digits").program(program).directory(place.root()).resume(Resume::Auto);
    let first = builder("train.py").start().expect("starts");
    assert!(!first.is_resumed(), "there is none yet");
    first.log([("loss", 1.0)]).expect("logs");
    assert!(!builder("train.py").start().expect("starts").is_resumed(), "one at work is not resumed");
    first.finish_as(RunState::Failed, Some(1)).expect("finishes");
    let other = builder("eval.py").start().expect("starts");
    other.finish().expect("finishes");
    assert_ne!(other.id(), first.id());
    drop(workspace.run("letters").program("train.py").start().expect("starts"));

    // The newer of two decides: the one above that ended well when its handle went.
    let third = builder("train.py").start().expect("starts");
    assert!(!third.is_resumed());
    third.log([("loss", 2.0)]).expect("logs");
    third.finish_as(RunState::Killed, None).expect("finishes");
    let again = builder("train.py").start().expect("starts");
    assert_eq!((again.id(), again.is_resumed(), again.step()), (third.id(), true, 1));
    again.finish().expect("finishes");
    assert!(!builder("train.py").start().expect("starts").is_resumed(), "it ended well this time");
    let elsewhere = workspace.run("digits").program("train.py").directory("/").resume(Resume::Auto);
    assert!(!elsewhere.start().expect("starts").is_resumed());
}

#[test]
fn auto_goes_on_with_the_run_of_a_job_that_is_started_again() {
    let place = Place::new();
    let workspace = place.open();
    let batch = |restart| Launch { job: "slurm 7".into(), joins: false, restart, ..Launch::default() };
    let builder = |launch| workspace.run("digits").program("train.py").launch(launch).resume(Resume::Auto);
    let first = builder(batch(0)).start().expect("starts");
    first.log([("loss", 1.0)]).expect("logs");
    // The node is gone, and its journal looks as if it were at work.
    let again = builder(batch(1)).start().expect("starts");
    assert_eq!((again.id(), again.step(), again.is_resumed()), (first.id(), 1, true));
    assert!(!builder(Launch { job: "slurm 8".into(), ..batch(1) }).start().expect("starts").is_resumed());
}
