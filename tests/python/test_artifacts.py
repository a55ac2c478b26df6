"""Artifacts from Python: put together, logged, used, taken out."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import runcellar as rc


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of two files and a link."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("one", encoding="utf-8")
    (folder / "sub" / "b.bin").write_bytes(b"\x00\x01" * 1000)
    (folder / "link").symlink_to("a.txt")
    return folder


def test_an_artifact_is_logged_used_and_taken_out(ws_dir: str, data: Path) -> None:
    model = rc.Artifact("model", type="model", description="d", metadata={"acc": {"top1": 0.5}})
    model.add_dir(data)
    model.add_file(data / "a.txt", name="copies/a.txt")
    model.add_reference("s3://bucket/big.bin?x=1", size=5, digest="sha256:00")
    with model.new_file("labels.txt") as text:
        text.write("cat\u00e9\n")
    with model.new_file("raw", mode="wb") as raw:
        raw.write(b"\xff\x00")
    with rc.init("digits", dir=ws_dir) as run:
        stored = run.log_artifact(model, aliases=["best"])
        assert stored.wait() is stored
        assert (stored.name, stored.version, stored.project) == ("model", "v0", "digits")
        assert stored.full_name == "digits/model:v0"
        assert (stored.type, stored.aliases) == ("model", ["latest", "best"])
        assert (stored.description, stored.metadata) == ("d", {"acc": {"top1": 0.5}})
        assert (stored.file_count, stored.size) == (5, 3 + 2000 + 3 + 6 + 2)
        assert len(stored.digest) == 64
        again = run.log_artifact(model)
        assert (again.version, again.digest) == ("v0", stored.digest)
    with rc.init("digits", dir=ws_dir) as other:
        used = other.use_artifact("model:best")
        folder = used.download("out")
        assert folder == "out"
    assert Path("out/sub/b.bin").read_bytes() == b"\x00\x01" * 1000
    assert Path("out/labels.txt").read_text(encoding="utf-8") == "cat\u00e9\n"
    assert os.readlink("out/link") == "a.txt"
    assert not Path("out/big.bin").exists()
    workspace = rc.Workspace(ws_dir)
    found = workspace.artifact("model")
    assert found.made_by() == [run.id]
    assert found.used_by() == [other.id]
    artifacts = workspace.run(run.id).artifacts()
    assert [one.full_name for one in artifacts["made"]] == ["digits/model:v0"]
    assert artifacts["used"] == []
    files = {one["path"]: one for one in found.files()}
    assert list(files) == sorted(files)
    assert files["big.bin"]["uri"] == "s3://bucket/big.bin?x=1"
    assert (files["big.bin"]["kind"], files["big.bin"]["size"]) == ("reference", 5)
    assert files["link"]["target"] == "a.txt"
    assert [one["path"] for one in found.files("**/*.bin")] == ["big.bin", "sub/b.bin"]


def test_a_path_is_an_artifact_of_its_name(ws_dir: str, data: Path) -> None:
    with rc.init("digits", dir=ws_dir) as run:
        assert run.log_artifact(data / "a.txt").name == "a.txt"
        assert run.log_artifact(str(data), "best", name="set", type="dataset").aliases == [
            "latest",
            "best",
        ]
        stored = rc.log_artifact(data, name="set", metadata={"n": 2})
        assert (stored.version, rc.use_artifact("set:best").version) == ("v0", "v0")
        with pytest.raises(rc.InvalidArgumentError):
            run.log_artifact(rc.Artifact("x"), name="y")


def test_what_goes_wrong_is_raised_and_names_the_file(ws_dir: str, data: Path) -> None:
    with rc.init("digits", dir=ws_dir) as run:
        for name in ("a/b", "..", "", "nul\0", "x" * 300, "a:b"):
            with pytest.raises(rc.InvalidArgumentError):
                rc.Artifact(name)
        model = rc.Artifact("model")
        with pytest.raises(rc.Error, match="absent"):
            model.add_file("absent")
        with pytest.raises(rc.UnsupportedTypeError):
            model.metadata = {"x": object()}
        model.add_dir(data)
        with pytest.raises(rc.ExistsError):
            model.add_file(data / "a.txt")
        with pytest.raises(rc.InvalidArgumentError), model.new_file("../out") as file:
            file.write("x")
        with pytest.raises(rc.InvalidArgumentError), model.new_file("x", mode="r"):  # type: ignore[arg-type]
            pass
        with pytest.raises(KeyError), model.new_file("left-out") as file:
            raise KeyError
        for alias in ("v3", "latest", "a/b"):
            with pytest.raises(rc.InvalidArgumentError):
                run.log_artifact(model, aliases=alias)
        (data / "a.txt").unlink()
        with pytest.raises(rc.Error, match=r"a\.txt"):
            run.log_artifact(model)
        with pytest.raises(rc.NotFoundError):
            run.use_artifact("model")
        assert len(rc.Workspace(ws_dir).artifacts()) == 0


def test_sockets_are_left_out_with_a_warning(ws_dir: str, data: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(data / "socket"))
        with (
            rc.init("digits", dir=ws_dir) as run,
            pytest.warns(rc.RuncellarWarning, match="socket"),
        ):
            assert run.log_artifact(data).file_count == 2


def test_versions_are_listed_compared_tagged_and_linked(ws_dir: str, data: Path) -> None:
    with rc.init("digits", dir=ws_dir) as run:
        first = run.log_artifact(data, name="set")
        (data / "a.txt").write_text("changed", encoding="utf-8")
        (data / "new").write_text("new", encoding="utf-8")
        second = run.log_artifact(data, name="set")
        link = run.link_artifact(first, "registry/chosen", aliases=["production"])
    assert (link.full_name, link.links_to) == ("registry/chosen:v0", "digits/set:v0")
    assert first.diff(second) == {
        "added": ["new"],
        "removed": [],
        "changed": ["a.txt"],
        "unchanged": 2,
    }
    assert first.tag("good", "best").aliases == ["best", "good"]
    assert second.tag("best", remove=[]).aliases == ["latest", "best"]
    assert first.tag(remove="good").aliases == []
    assert second.describe("a text", {"k": 1}).metadata == {"k": 1}
    workspace = rc.Workspace(ws_dir)
    workspace.link_artifact("set:v1", "chosen", "next")
    workspace.artifact("chosen:production").verify()
    table = workspace.artifacts("registry")
    assert table["version"] == ["v0", "v1"]
    assert table["links_to"] == ["digits/set:v0", "digits/set:v1"]
    row = workspace.artifacts("digits")[1]
    assert (row["aliases"], row["description"], row["metadata"]) == (
        ["latest", "best"],
        "a text",
        {"k": 1},
    )
    with pytest.raises(rc.InvalidArgumentError):
        workspace.link_artifact(first, "digits/set")


def test_damage_is_raised_and_the_rest_comes_out(ws_dir: str, tmp_path: Path) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(os.urandom(700_000))
    with rc.init("digits", dir=ws_dir) as run:
        stored = run.log_artifact(folder)
    (pack,) = Path(ws_dir, "packs").glob("*/*.pack")
    content = bytearray(pack.read_bytes())
    content[1000] ^= 1
    pack.write_bytes(content)
    with pytest.raises(rc.DamagedError, match="a: "):
        stored.verify()
    with pytest.raises(rc.DamagedError, match="a: "):
        stored.download("out")
    assert sorted(os.listdir("out")) == ["b", "c"]


def test_names_that_are_not_utf8_come_back(ws_dir: str, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    odd = os.fsencode(folder) + b"/odd \xff.npy"
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    with rc.init("digits", dir=ws_dir) as run:
        stored = run.log_artifact(folder)
    (entry,) = stored.files("*.npy")
    assert os.fsencode(entry["path"]) == b"odd \xff.npy"
    stored.download("out", glob="*.npy")
    assert os.listdir(b"out") == [b"odd \xff.npy"]


def test_a_run_that_records_nothing_logs_nowhere(ws_dir: str, data: Path) -> None:
    with rc.init("digits", dir=ws_dir, mode="disabled") as run:
        stored = run.log_artifact(data, name="set").wait()
        assert (stored.name, stored.file_count, stored.created) == ("set", 0, None)
        with pytest.raises(rc.StateError):
            stored.download("out")
        with pytest.raises(rc.StateError):
            run.use_artifact("set")
    assert not Path(ws_dir).exists()


def test_the_projects_own_artifact_comes_first(ws_dir: str, data: Path) -> None:
    for project in ("one", "two"):
        with rc.init(project, dir=ws_dir) as run:
            run.log_artifact(data, name="set")
    with rc.init("two", dir=ws_dir) as run:
        assert run.use_artifact("set").project == "two"
        assert run.use_artifact("one/set:v0").project == "one"
    with rc.init("three", dir=ws_dir) as run, pytest.raises(rc.AmbiguousError, match="one/set"):
        run.use_artifact("set")


def test_a_new_file_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from runcellar import _artifact

    monkeypatch.setattr(_artifact, "NEW_FILE_BYTES_MAX", 10)
    model = rc.Artifact("model")
    with model.new_file("small", mode="wb") as file:
        file.write(b"0123456789")
    with (
        pytest.raises(rc.InvalidArgumentError, match="large"),
        model.new_file("large", mode="wb") as file,
    ):
        file.write(b"0123456789a")


def test_a_workspace_takes_artifacts_without_a_run(
    ws_dir: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rc.init("p", dir=ws_dir).finish()
    workspace = rc.Workspace(ws_dir)
    model = rc.Artifact("raw", type="dataset")
    model.add_dir(data)
    stored = workspace.put_artifact(model, "vision", "first")
    assert (stored.full_name, stored.aliases, stored.made_by()) == (
        "vision/raw:v0",
        ["latest", "first"],
        [],
    )
    again = workspace.put_artifact(model, project="vision", aliases=["a", "b"], compress=True)
    assert again.version == "v0"
    assert workspace.artifact("raw:b").aliases == ["latest", "a", "b", "first"]
    assert workspace.put_artifact(model).project == "default"
    monkeypatch.setenv("RUNCELLAR_PROJECT", "of-environment")
    assert workspace.put_artifact(model).project == "of-environment"
    for wrong in ["v3", "latest", ""]:
        with pytest.raises(rc.InvalidArgumentError):
            workspace.put_artifact(model, "vision", wrong)
    with pytest.raises(rc.InvalidArgumentError):
        workspace.put_artifact(model, "a/b")
    with pytest.raises(TypeError):
        workspace.put_artifact("data")  # type: ignore[arg-type]
    missing = rc.Artifact("raw")
    missing.add_file(data / "a.txt")
    (data / "a.txt").unlink()
    with pytest.raises(rc.NotFoundError, match=r"a\.txt"):
        workspace.put_artifact(missing, "vision")
    assert len(workspace.artifacts("vision")) == 1
