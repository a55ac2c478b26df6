"""The installed package: no network code, a light import, the command, an example that runs."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest
import runcellar as rc
from runcellar import _runcellar

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sysconfig.get_path("scripts")) / "runcellar"


def need_command() -> None:
    """Skip where the wheel was built by maturin alone; CI builds it as users do."""
    if not COMMAND.exists() and os.environ.get("CI") != "true":
        pytest.skip("the wheel was built without the command")


def imported_symbols() -> set[str]:
    """Return the names that the native module asks the dynamic linker for."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is needed to list symbols")
    listed = subprocess.run(
        [nm, "--dynamic", "--undefined-only", str(_runcellar.__file__)],
        check=True,
        capture_output=True,
        text=True,
    )
    return {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines() if line.strip()}


def test_the_extension_imports_no_network_symbol() -> None:
    """P1: no code in the extension could open a connection, resolve a name, or listen.

    A pair of sockets connects nobody: Rust makes one where it starts a process.
    """
    symbols = imported_symbols()
    assert "write" in symbols
    network = re.compile(
        r"socket|connect|bind|listen|accept4?|send(to|mmsg)?|recv(from|mmsg)"
        r"|shutdown|getaddrinfo|freeaddrinfo|gai_strerror|getnameinfo|gethostby\w+|getpeername"
        r"|getsockname|getsockopt|setsockopt|inet_\w+|res_\w+|getservby\w+|if_nameto\w+"
    )
    assert {symbol for symbol in symbols if network.fullmatch(symbol)} == set()


def test_the_extension_starts_git_the_console_forwarder_and_the_command_alone() -> None:
    sources = (ROOT / "crates").glob("*/src/**/*.rs")
    starting = [
        path.relative_to(ROOT / "crates").as_posix()
        for path in sources
        if "Command::new(" in path.read_text().split("#[cfg(test)]")[0]
    ]
    # Sync asks programs for credentials that a profile names; the extension does not link it.
    apart = ("runcellar-cli/", "runcellar-sync/")
    linked = [path for path in starting if not path.startswith(apart)]
    assert sorted(linked) == [
        "runcellar-py/src/console/mod.rs",
        "runcellar-py/src/fetching.rs",
        "runcellar/src/capture/git/process.rs",
    ]
    assert imported_symbols() & {"execve", "execv", "system", "popen"} == set()


def test_importing_loads_nothing_heavy() -> None:
    script = "import json, sys; before = set(sys.modules); import runcellar; "
    script += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    heavy = {
        *("numpy", "pandas", "pyarrow", "ctypes", "asyncio", "socket", "ssl", "subprocess"),
        *("multiprocessing", "logging", "inspect", "dataclasses", "datetime", "argparse", "json"),
        *("importlib.metadata", "email", "http", "urllib", "threading", "tempfile", "sqlite3"),
    }
    assert loaded & heavy == set()


def test_recording_needs_no_numpy(ws_dir: str) -> None:
    script = f"""
import sys
for name in ("numpy", "pandas", "pyarrow"):
    sys.modules[name] = None
import runcellar as rc
with rc.init(dir={ws_dir!r}, config={{"a": 1}}) as run:
    run.log({{"x": 1.5}})
stored = rc.Workspace({ws_dir!r}).run(run.id)
assert stored.history()["x"] == [1.5]
assert stored.summary == {{"x": 1.5}}
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_package_ships_its_types_and_needs_only_numpy() -> None:
    package = Path(rc.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_runcellar.pyi").is_file()
    assert _runcellar.__file__.endswith(".abi3.so")
    assert rc.__version__ == metadata.version("runcellar")
    needed = [one for one in metadata.requires("runcellar") or [] if "extra ==" not in one]
    assert [re.split(r"\W", one)[0] for one in needed] == ["numpy"]


def test_documented_examples_are_python() -> None:
    import doctest

    from runcellar import _fields, _run, _series, _session

    for module in (rc, _fields, _run, _series, _session):
        assert doctest.testmod(module).failed == 0


def test_the_command_comes_with_the_package(ws_dir: str) -> None:
    need_command()
    with rc.init("digits", dir=ws_dir, name="one") as run:
        run.log({"loss": 0.5})
    for command in ([str(COMMAND)], [sys.executable, "-m", "runcellar"]):
        done = subprocess.run(
            [*command, "--workspace", ws_dir, "ls", "--json"],
            check=True,
            capture_output=True,
            text=True,
        )
        (listed,) = json.loads(done.stdout)
        assert (listed["id"], listed["summary"]) == (run.id, {"loss": 0.5})


def run_command(*arguments: str) -> str:
    need_command()
    done = subprocess.run([str(COMMAND), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def test_a_diff_is_what_the_command_prints(ws_dir: str) -> None:
    for name in ["left", "right"]:
        with rc.init("p", id=name, config={"name": name, "lr": 0.5}, dir=ws_dir) as run:
            run.log({"loss": len(name)})
    printed = json.loads(run_command("diff", "left", "right", "--json", "--workspace", ws_dir))
    found = rc.Workspace(ws_dir).diff("left", "right")
    assert printed == found
    assert list(printed) == list(found)


def test_the_command_and_the_package_say_the_same(ws_dir: str) -> None:
    config = {"lr": 0.1, "nan": float("nan"), "big": 2**53 + 1, "deep": {"list": [1.0, None]}}
    with rc.init("digits", dir=ws_dir, config=config, tags=["t"], notes="n") as run:
        run.log({"loss": 0.5, "n": 3, "flag": True})
    rc.init("digits", dir=ws_dir).finish()
    workspace = rc.Workspace(ws_dir)
    assert json.loads(run_command("--workspace", ws_dir, "check", "--json")) == workspace.check()
    assert json.loads(run_command("--workspace", ws_dir, "du", "--json")) == workspace.du()
    listed = json.loads(run_command("--workspace", ws_dir, "ls", "--json"))
    table = workspace.runs()
    assert [one["id"] for one in listed] == table["id"]
    for one, row in zip(listed, table):
        for key in ("name", "project", "state", "tags", "group", "job_type", "notes"):
            assert one[key] == row[key]
        for key in ("created", "finished"):
            assert one[key] == row[key].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    texts = table.to_arrow().to_pydict()
    assert [one["config"] for one in listed] == [json.loads(text) for text in texts["config"]]
    assert [one["summary"] for one in listed] == [json.loads(text) for text in texts["summary"]]
    shown = json.loads(run_command("--workspace", ws_dir, "show", run.id, "--json"))
    assert shown["metrics"] == workspace.run(run.id).metrics()


def test_the_default_project_is_a_setting_of_the_workspace(ws_dir: str) -> None:
    rc.init(dir=ws_dir).finish()
    run_command("--workspace", ws_dir, "config", "set", "project.default", "vision")
    assert rc.init(dir=ws_dir).project == "vision"


def test_without_the_command_the_module_says_so(tmp_path: Path) -> None:
    script = "import sysconfig, runpy, sys; sysconfig.get_path = lambda *_: '/nowhere'; "
    script += "sys.argv = ['runcellar', 'ls']; runpy.run_module('runcellar', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "not installed" in done.stderr


def test_the_example_trains_and_records(ws_dir: str) -> None:
    importlib.import_module("sklearn")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/sklearn_digits.py"), "--dir", ws_dir, "--epochs=5"],
        check=True,
        capture_output=True,
        text=True,
    )
    (row,) = rc.Workspace(ws_dir).runs()
    assert (row["project"], row["state"]) == ("sklearn-digits", "finished")
    assert row["id"] in done.stdout
    stored = rc.Workspace(ws_dir).run(row["id"])
    steps = 5 * 23
    assert len(stored.series("train/loss")) == steps
    assert stored.summary["best_val_accuracy"] > 0.8
    assert stored.series("val/accuracy").values.max() == stored.summary["best_val_accuracy"]
    assert stored.config["optimizer"] == {"lr": 0.1, "schedule": "cosine"}
    assert len(stored.history()) == steps
