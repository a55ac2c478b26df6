"""The names, shapes and defaults that DESIGN section 7 promises."""

from __future__ import annotations

import inspect
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import runcellar as rc


def test_init_has_the_promised_signature() -> None:
    parameters = inspect.signature(rc.init).parameters
    assert list(parameters) == [
        "project",
        *("name", "config", "tags", "notes", "group", "job_type", "id", "resume", "dir"),
        *(
            "key_file",
            "mode",
            "save_code",
            "strict",
            "fork_from",
            "resume_from",
            "system",
            "console",
            "source",
            "redact",
            "sync_timeout",
        ),
    ]
    assert parameters["project"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    for name, parameter in list(parameters.items())[1:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name
        assert parameter.default == {"strict": False, "sync_timeout": 30.0}.get(name)


def test_log_is_a_native_method_that_returns_none(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        assert inspect.ismethoddescriptor(inspect.getattr_static(type(run), "log"))
        assert "log" not in vars(rc.Run)
        assert run.log({"loss": 1.0}) is None
        assert str(inspect.signature(rc.Run.log)) == "(self, /, data, step=None, *, commit=None)"


def test_module_level_names_stand_for_the_active_run(ws_dir: str) -> None:
    assert rc.run is None
    run = rc.init("digits", dir=ws_dir, config={"lr": 0.1})
    assert rc.run is run
    rc.log({"loss": 0.5})
    rc.log({"loss": 0.25}, step=7, commit=True)
    rc.config["seed"] = 3
    rc.summary["best"] = 0.25
    rc.define_metric("loss", summary="min")
    assert run.config == {"lr": 0.1, "seed": 3}
    rc.finish()
    assert rc.run is None
    stored = rc.Workspace(ws_dir).run(run.id)
    assert list(stored.series("loss").steps) == [0, 7]
    assert stored.summary == {"best": 0.25, "loss.min": 0.25}


@pytest.mark.parametrize("use", [lambda: rc.log({}), lambda: rc.config, lambda: rc.summary])
def test_without_a_run_the_error_says_what_to_do(use: object) -> None:
    with pytest.raises(rc.Error, match=r"init\(\)"):
        use()  # type: ignore[operator]
    rc.finish()
    assert not hasattr(rc, "config")


def test_init_while_a_run_is_active_finishes_it(ws_dir: str) -> None:
    first = rc.init("p", dir=ws_dir)
    first.log({"x": 1})
    second = rc.init("p", dir=ws_dir)
    assert rc.run is second
    workspace = rc.Workspace(ws_dir)
    assert workspace.run(first.id).state == "finished"
    assert workspace.run(second.id).state == "running"
    with pytest.raises(rc.StateError):
        first.log({"x": 2})


def test_finishing_an_older_run_leaves_the_active_one(ws_dir: str) -> None:
    first = rc.init("p", dir=ws_dir)
    second = rc.init("p", dir=ws_dir)
    first.finish()
    assert rc.run is second
    second.finish()
    second.finish()


def test_a_run_says_what_it_is(ws_dir: str) -> None:
    run = rc.init(
        "digits",
        dir=ws_dir,
        name="first",
        tags=["a", "b", "a"],
        notes="note",
        group="g",
        job_type="train",
        id="my-run",
    )
    assert (run.id, run.name, run.project, run.dir) == ("my-run", "first", "digits", ws_dir)
    assert (run.step, run.notes, list(run.tags)) == (0, "note", ["a", "b"])
    run.name, run.notes = "second", "other"
    run.tags.add("c")
    run.tags.discard("a")
    assert (run.name, run.notes, list(run.tags)) == ("second", "other", ["b", "c"])
    run.finish()
    stored = rc.Workspace(ws_dir).run("second")
    assert (stored.id, stored.group, stored.job_type) == ("my-run", "g", "train")
    assert (stored.notes, list(stored.tags)) == ("other", ["b", "c"])
    assert repr(run) == "<runcellar.Run my-run (digits/second)>"


def test_a_generated_id_has_12_lower_case_characters(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    assert len(run.id) == 12
    assert set(run.id) <= set("0123456789abcdefghijklmnopqrstuvwxyz")
    assert run.project == "default"
    assert run.name.count("-") == 2


def test_project_comes_from_argument_then_environment(
    ws_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNCELLAR_PROJECT", "from-env")
    assert rc.init(dir=ws_dir).project == "from-env"
    assert rc.init("mine", dir=ws_dir).project == "mine"


def test_stored_runs_have_times_and_circumstances(ws_dir: str) -> None:
    before = datetime.now(timezone.utc)
    with rc.init("p", dir=ws_dir) as run:
        run.log({"x": 1})
        stored = rc.Workspace(ws_dir).run(run.id)
        assert (stored.state, stored.finished, stored.exit_code) == ("running", None, None)
    stored = rc.Workspace(ws_dir).run(run.id)
    second = timedelta(seconds=1)
    assert before - second <= stored.created <= stored.finished <= before + 60 * second
    assert stored.created.tzinfo is timezone.utc
    assert stored.runtime is not None
    assert stored.runtime.startswith("python 3.")
    assert (stored.dropped, stored.notes, stored.group) == (0, None, None)


def test_stored_runs_can_be_changed(ws_dir: str) -> None:
    with rc.init("p", dir=ws_dir, tags=["old"]) as run:
        pass
    workspace = rc.Workspace(ws_dir)
    stored = workspace.run(run.id)
    stored.name = "renamed"
    stored.notes = "noted"
    stored.tags.add("x")
    stored.tags.remove("old")
    stored.tags |= {"y"}
    for seen in (stored, workspace.run("renamed"), workspace.run("p/renamed")):
        assert (seen.id, seen.name, seen.notes) == (run.id, "renamed", "noted")
        assert set(seen.tags) == {"x", "y"}
    with pytest.raises(KeyError):
        stored.tags.remove("never")
    stored.tags = ["z"]
    assert list(workspace.run(run.id).tags) == ["z"]


def test_runs_are_found_by_id_prefix_name_and_project(ws_dir: str) -> None:
    for id, name in (("abcd-1", "one"), ("abcd-2", "two"), ("efgh-1", "two")):
        rc.init("p", dir=ws_dir, id=id, name=name).finish()
    workspace = rc.Workspace(ws_dir)
    assert workspace.run("abcd-1").name == "one"
    assert workspace.run("efgh").id == "efgh-1"
    assert workspace.run("p/one").id == "abcd-1"
    for ambiguous in ("abcd", "two", "p/two"):
        with pytest.raises(rc.AmbiguousError, match="abcd-2") as error:
            workspace.run(ambiguous)
        assert isinstance(error.value, LookupError)
    for missing in ("efg", "three", "q/one"):
        with pytest.raises(rc.NotFoundError):
            workspace.run(missing)


def test_metrics_are_listed_in_order_of_first_use(ws_dir: str) -> None:
    with rc.init("p", dir=ws_dir) as run:
        run.log({"b": 1.5, "a": 3})
        run.log({"b": -0.5, "t": "text"})
    metrics = rc.Workspace(ws_dir).run(run.id).metrics()
    assert [metric["name"] for metric in metrics] == ["b", "a", "t"]
    assert metrics[0] == {
        **{"name": "b", "kind": "float", "points": 2, "first_step": 0, "last_step": 1},
        **{"min": -0.5, "max": 1.5, "last": -0.5},
    }
    assert [metric["kind"] for metric in metrics] == ["float", "int", "text"]


def test_a_disabled_run_records_nothing(ws_dir: str, tmp_path: Path) -> None:
    run = rc.init("p", dir=ws_dir, mode="disabled", config={"a": {"b": (1, 2)}}, tags="t")
    for _ in range(3):
        run.log({"loss": 1.0, "bad": object()})
    run.config["c"] = 1
    run.config.a.b = 3
    run.summary["best"] = 2
    run.tags.add("u")
    assert (run.step, run.disabled, run.dir) == (3, True, None)
    assert run.config == {"a": {"b": 3}, "c": 1}
    assert dict(run.summary) == {"best": 2}
    assert list(run.tags) == ["t", "u"]
    run.define_metric("loss", summary="min")
    run.flush()
    run.finish()
    assert not os.path.exists(ws_dir)
    assert list((tmp_path / "home").iterdir()) == []


def test_offline_is_the_default_mode_and_others_are_refused(ws_dir: str) -> None:
    rc.init(dir=ws_dir, mode="offline").finish()
    with pytest.raises(ValueError, match="mode 'nowhere'"):
        rc.init(dir=ws_dir, mode="nowhere")  # type: ignore[arg-type]


def test_creation_prints_one_line_and_no_recovery_code(
    ws_dir: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rc.init(dir=ws_dir).finish()
    captured = capfd.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    keys = list((tmp_path / "home/.config/runcellar/keys").glob("*.key"))
    assert len(keys) == 1
    assert line.startswith(f"runcellar: created workspace {ws_dir}, key file {keys[0]}")
    rc.init(dir=ws_dir).finish()
    assert capfd.readouterr().err == ""


def test_key_file_argument_says_where_the_key_is(ws_dir: str, tmp_path: Path) -> None:
    key = tmp_path / "elsewhere" / "my.key"
    key.parent.mkdir()
    with rc.init(dir=ws_dir, key_file=key) as run:
        run.log({"x": 1})
    assert key.exists()
    assert rc.Workspace(ws_dir, key).run(run.id).state == "finished"
    with pytest.raises(rc.LockedError):
        rc.Workspace(ws_dir)


def test_the_nearest_workspace_above_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with rc.init(dir=tmp_path / ".runcellar") as run:
        pass
    monkeypatch.chdir(below)
    assert rc.Workspace().run(run.id).project == "default"
    monkeypatch.setenv("RUNCELLAR_DIR", str(tmp_path / "other"))
    with pytest.raises(rc.NotFoundError, match=f"no workspace at {tmp_path / 'other'}"):
        rc.Workspace()


def test_a_check_reports_in_the_shape_of_the_command_line(ws_dir: str) -> None:
    with rc.init(dir=ws_dir) as run:
        run.log({"x": 1})
    for report in (rc.Workspace(ws_dir).check(), rc.Workspace(ws_dir).check(read_data=True)):
        assert report
        assert report.ok is report["ok"] is True
        assert set(report.checked) == {"runs", "blocks", "journals", "chunks", "bytes"}
        assert report.problems == report["problems"] == []
        assert report.checked["runs"] == 1


def test_reading_a_live_run_misses_nothing_that_was_logged(ws_dir: str) -> None:
    run = rc.init(dir=ws_dir)
    stored = rc.Workspace(ws_dir).run(run.id)
    for count in range(1, 50):
        run.log({"x": count})
        assert len(stored.series("x")) == count
        assert run.summary["x"] == count


def test_workspace_describes_itself(ws_dir: str) -> None:
    rc.init(dir=ws_dir).finish()
    workspace = rc.Workspace(dir=ws_dir, key_file=None)
    assert workspace.path == ws_dir
    assert len(workspace.id) == 32
    assert repr(workspace) == f"<runcellar.Workspace {ws_dir}>"


def test_disk_usage_adds_up(ws_dir: str) -> None:
    with rc.init("birds", dir=ws_dir, id="run1") as run:
        for step in range(100):
            run.log({"loss": step / 3})
    workspace = rc.Workspace(ws_dir)
    usage = workspace.du()
    sizes = [path.stat().st_size for path in Path(ws_dir).rglob("*") if path.is_file()]
    assert usage["total"] == sum(sizes)
    for part in ("projects", "runs", "kinds"):
        assert sum(one["bytes"] for one in usage[part]) == usage["total"]
    assert [one["project"] for one in usage["projects"]] == ["birds", None]
    assert usage["runs"][0]["id"] == "run1"
    assert {"metrics", "records", "keys"} <= {kind["kind"] for kind in usage["runs"][0]["kinds"]}
