//! Smoke.
use runcellar::*;
#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys { directory: Some(dir.path().join("keys")), ..Keys::default() };
    let ws = Workspace::open_or_create(dir.path().join("w"), keys.clone()).unwrap();
    let run = ws.run("p").config(json!({"lr": 0.1, "n": {"a": [1, 2]}})).tags(["x"]).start().unwrap();
    for i in 0..10_000 {
        run.log([("loss", 1.0 / f64::from(i + 1)), ("acc", f64::from(i % 17) * 0.5)]).unwrap();
    }
    let info = ws.find_run(run.id()).unwrap();
    assert_eq!(info.state, RunState::Running);
    let s = ws.series(&info, "loss", None).unwrap();
    assert_eq!(s.steps.len(), 10_000);
    run.finish().unwrap();
    let info = ws.find_run(run.id()).unwrap();
    assert_eq!(info.state, RunState::Finished);
    let s = ws.series(&info, "loss", None).unwrap();
    assert_eq!(s.steps.len(), 10_000);
    assert_eq!(s.values.get(9_999), Some(Value::Float(1e-4)));
    drop(run);
    drop(ws);
    let ws = Workspace::open(dir.path().join("w"), keys).unwrap();
    println!("{:?}", ws.runs(&Selection::default()).unwrap());
    println!("{:?}", ws.metrics(&info).unwrap());
    let h = ws.history(&info, None, Some((5, 8)), None).unwrap();
    println!("{h:?}");
    let out = std::process::Command::new("find")
        .arg(dir.path())
        .args(["-type", "f", "-size", "+0", "-printf", "%p %s\n"])
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&out.stdout));
}
