"""The code that is kept with a run: by argument, variable or setting, and by `log_code`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import runcellar as rc
from conftest import Script

GIT = shutil.which("git")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a changed work tree, the current directory, with a file that git does not know."""
    assert GIT, "git is needed to make repositories"
    top = tmp_path / "tree"
    top.mkdir()
    monkeypatch.chdir(top)
    (top / "train.py").write_text("print(1)\n")
    (top / ".gitignore").write_text("secret.py\n")
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([GIT, "init", "--quiet", "--initial-branch=main"], check=True)
    subprocess.run([GIT, "add", "."], check=True)
    subprocess.run([GIT, *who, "commit", "--quiet", "--message", "first"], check=True)
    (top / "train.py").write_text("print(2)\n")
    (top / "loose.py").write_text("loose = True\n")
    (top / "secret.py").write_text("held = 'back'\n")
    return top


def _kept(ws_dir: str, run: rc.Run) -> list[str]:
    return sorted(rc.Workspace(ws_dir).run(run.id).code())


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, []),
        (False, []),
        ("none", []),
        ("diff", ["diff.patch"]),
        ("untracked", ["diff.patch", "untracked/loose.py"]),
        (".", ["diff.patch", "source/loose.py", "source/train.py"]),
        (Path("train.py"), ["diff.patch", "main/train.py"]),
    ],
)
def test_what_is_kept_is_what_was_said(
    ws_dir: str, tree: Path, said: bool | str | Path | None, kept: list[str]
) -> None:
    run = rc.init(dir=ws_dir, save_code=said)
    run.finish()
    assert _kept(ws_dir, run) == kept


def test_true_keeps_the_main_file(ws_dir: str, tree: Path, script: Script) -> None:
    done = script(f"import runcellar as rc; rc.init(dir={ws_dir!r}, id='main1', save_code=True)")
    assert done.returncode == 0, done.stderr
    stored = rc.Workspace(ws_dir).run("main1")
    assert sorted(stored.code()) == ["diff.patch", "main/main_script.py"]
    with pytest.raises(rc.NotFoundError):
        rc.Workspace(ws_dir).run(rc.init(dir=ws_dir).id).checkout_code(tree / "none")


def test_argument_comes_before_variable_and_that_before_the_setting(
    ws_dir: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNCELLAR_SAVE_CODE", "untracked")
    run = rc.init(dir=ws_dir)
    run.finish()
    assert _kept(ws_dir, run) == ["diff.patch", "untracked/loose.py"]
    run = rc.init(dir=ws_dir, save_code="diff")
    run.finish()
    assert _kept(ws_dir, run) == ["diff.patch"]
    run = rc.init(dir=ws_dir, save_code=False)
    run.finish()
    assert _kept(ws_dir, run) == []
    monkeypatch.setenv("RUNCELLAR_SAVE_CODE", "nowhere/at/all")
    with pytest.raises(rc.InvalidArgumentError, match="RUNCELLAR_SAVE_CODE='nowhere/at/all'"):
        rc.init(dir=ws_dir)
    with pytest.raises(rc.InvalidArgumentError, match="save_code='all'"):
        rc.init(dir=ws_dir, save_code="all")


def test_a_folder_is_logged_as_functions_choose_and_never_what_is_ignored(
    ws_dir: str, tree: Path
) -> None:
    (tree / "notes.txt").write_text("words\n")
    (tree / "binary.py").write_bytes(b"\0")
    run = rc.init(dir=ws_dir)
    assert run.log_code() == ["binary.py: not a text"]
    asked: list[str] = []

    def is_text(path: str) -> bool:
        asked.append(path)
        return path.endswith(".txt")

    run.log_code(".", "texts", include_fn=is_text)
    run.log_code(tree, "few", exclude_fn=lambda path, root: path != f"{root}/train.py")
    with pytest.raises(rc.NotFoundError):
        run.log_code("not/there")
    with pytest.raises(rc.InvalidArgumentError):
        run.log_code(name="a/b")
    run.finish()
    assert _kept(ws_dir, run) == [
        "few/train.py",
        "source/loose.py",
        "source/train.py",
        "texts/notes.txt",
    ]
    assert str(tree / "secret.py") not in asked
    stored = rc.Workspace(ws_dir).run(run.id)
    assert stored.checkout_code(tree / "out") == _kept(ws_dir, run)
    assert (tree / "out" / "source" / "loose.py").read_text() == "loose = True\n"
    with pytest.raises(rc.ExistsError):
        stored.checkout_code(tree / "out")
    assert stored.checkout_code(tree / "out", force=True)
    with rc.init(dir=ws_dir, mode="disabled") as nothing:
        assert nothing.log_code() == []


def test_cells_of_a_notebook_are_the_main_file(
    ws_dir: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = ["", "x = 1\n", "token = 'ghp_16C7e42F292c6912E7710c838347Ae178B4a'"]
    shell = types.SimpleNamespace(user_ns={"In": cells})
    notebook = types.SimpleNamespace(get_ipython=lambda: shell)
    run = rc.init(dir=ws_dir, save_code="main")
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    run.finish()
    stored = rc.Workspace(ws_dir).run(run.id)
    assert "main/notebook.py" in stored.code()
    stored.checkout_code(tree / "out")
    script = (tree / "out" / "main" / "notebook.py").read_text()
    assert script.startswith("# %%\nx = 1\n\n# %%\ntoken = '[redacted ")
    assert "ghp_" not in script
