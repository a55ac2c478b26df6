"""P6 and P9: a reader that knows only docs/FORMAT.md reads what the store wrote, bit by bit.

Workspaces come from the store itself (the example ``make_workspace``) and from tests/data/workspaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cellar_blobs as blobs
import cellar_reader as reader
import pytest
from blake3 import blake3
from cellar_reader import FormatError, Workspace

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = sorted((ROOT / "tests/data/workspaces").glob("v*"))
STATES = ("running", "finished", "failed", "crashed", "killed")


@pytest.fixture(scope="session")
def program() -> str:
    """Builds the program that makes workspaces, and returns its path."""
    command = ["cargo", "build", "-q", "--message-format=json", "-p", "runcellar"]
    command += ["--example", "make_workspace"]
    built = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(one["executable"] for one in messages if one.get("executable"))


@pytest.fixture
def store(program: str, tmp_path: Path) -> Store:
    return Store(program, tmp_path)


class Store:
    """The store, as a program that works on one workspace."""

    def __init__(self, program: str, directory: Path) -> None:
        self.program = program
        self.directory, self.key_file = directory / "w", directory / "k.key"

    def command(self, verb: str, *args: str) -> list[str]:
        return [self.program, verb, str(self.directory), str(self.key_file), *args]

    def make(self) -> None:
        subprocess.run(self.command("make"), check=True)

    def run(self, verb: str) -> str:
        """Runs the program and returns what it prints."""
        return subprocess.run(self.command(verb), check=True, capture_output=True, text=True).stdout

    def read(self) -> dict[str, Any]:
        """Opens the workspace, which takes in what dead writers left, and returns all runs."""
        return json.loads(self.run("read"))

    @contextlib.contextmanager
    def writer(self, run: str, *args: str) -> Iterator[subprocess.Popen[str]]:
        """Runs a writer that has logged and waits; kills it in the end."""
        command = self.command("leave", run, *args)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def reader(self) -> Workspace:
        return Workspace(self.directory, self.key_file)

    def journals(self) -> list[Path]:
        return sorted((self.directory / "journals").glob("*.jnl"))


def leaf(value: Any) -> Any:
    """Writes a value as expected.json does: floats as bits."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return "f" + struct.pack(">d", value).hex()
    if isinstance(value, (int, str)):
        return f"{'i' if isinstance(value, int) else 't'}{value}"
    if isinstance(value, list):
        return [leaf(item) for item in value]
    return {key: leaf(item) for key, item in value.items()}


def points(all_points: list[Any]) -> list[Any]:
    """Returns points as the store gives them: integers among floats as floats if that is exact."""
    kinds = {type(value) for *_, value in all_points}
    as_float = float if kinds == {int, float} else (lambda value: value)
    return [[step, when, leaf(as_float(value))] for step, when, _, value in all_points]


def shown(workspace: Workspace) -> dict[str, Any]:
    """Returns all runs as the store shows them."""
    out = {}
    for run in workspace.runs.values():
        defined = {one.name for one in run.metrics if one.summary}
        summary = {key: leaf(value) for key, (value, _) in run.summary.items() if key not in defined}
        out[run.id] = {
            "project": workspace.projects[run.project],
            "state": STATES[run.state],
            "created": run.created,
            "finished": run.finished,
            "exit_code": run.exit_code,
            "tags": list(dict.fromkeys(run.tags.values())),
            **{key: getattr(run, key)[0] for key in ("name", "notes", "group", "job_type", "removed")},
            "config": {key: leaf(value) for key, (value, _) in run.config.items()},
            "summary": summary,
            "metrics": {name: points(values) for name, values in run.points.items()},
        }
    return out


def shown_files(workspace: Workspace) -> dict[str, Any]:
    """Returns versions of artifacts, media and code as the store shows them: content as its hash."""

    def hashed(content: bytes) -> str:
        return blake3(content).hexdigest()

    def entry(what: Any) -> list[Any]:
        if what is None:
            return ["directory"]
        if isinstance(what, bytes):
            return ["link", what.decode()]
        return ["file", what[1], hashed(what[0])] if isinstance(what[0], bytes) else ["reference", *what]

    artifacts = {}
    for (project, name, number), (version, content) in blobs.versions(workspace).items():
        entries = {path.decode(): entry(what) for path, what in content.items()}
        facts = {"digest": version.digest.hex(), "description": version.description}
        artifacts[f"{project}/{name}:v{number}"] = facts | {"entries": entries}
    media, code = {}, {}
    for run in workspace.runs.values():
        for number, (said, files) in blobs.media(workspace, run).items():
            if said.kind != "panel":
                hashes = {name: hashed(content) for name, content in files.items()}
                media.setdefault(run.id, {})[number] = [said.kind, said.format, hashes]
        for path, content in blobs.code(workspace, run).items():
            code.setdefault(run.id, {})[path.decode()] = hashed(content)
    return {"artifacts": artifacts, "media": media, "code": code}


def same_files(read: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compares what the reader shows of files with what the store did."""
    assert read["media"] == expected["media"] and read["code"] == expected["code"]
    assert read["artifacts"].keys() == expected["artifacts"].keys()
    for name, wanted in expected["artifacts"].items():
        found = read["artifacts"][name]
        assert found == {key: wanted[key] for key in found}, name


def same(read: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compares piece by piece: the difference of two large dicts says nothing."""
    assert read.keys() == expected.keys()
    for run, wanted in expected.items():
        metrics, found = wanted.pop("metrics"), read[run].pop("metrics")
        assert read[run] == wanted, run
        assert found.keys() == metrics.keys(), run
        for name, values in metrics.items():
            assert found[name] == values, f"{run} {name}"


def test_runs_and_metrics_read_bit_for_bit(store: Store) -> None:
    store.make()
    read = shown(store.reader())
    assert len(read) == 8 and sum(len(run["metrics"]) for run in read.values()) > 25
    same(read, store.read())


def test_a_journal_that_sigkill_left_is_read(store: Store) -> None:
    store.make()
    with store.writer("killed"):
        live = shown(store.reader())["killed"]
        assert live["state"] == "running" and len(live["metrics"]["loss"]) == 302
    assert len(store.journals()) == 1
    read = shown(store.reader())
    assert read["killed"]["state"] == "crashed"
    same(read, store.read())
    assert not store.journals(), "the store has taken it in"
    same(shown(store.reader()), store.read())


def test_a_half_ingested_journal_adds_only_what_the_database_has_not(store: Store) -> None:
    with store.writer("long", "9000"):
        wait_for_blocks(store.directory / "cellar.db")
    assert len(store.journals()) == 1
    read = shown(store.reader())
    assert len(read["long"]["metrics"]["loss"]) == 9002
    same(read, store.read())


def wait_for_blocks(database: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        db = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
        count = db.execute("SELECT count(*) FROM block").fetchone()[0]
        db.close()
        if count:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was ingested in a minute")


def test_a_journal_sealed_to_the_ingest_key_is_read(store: Store) -> None:
    store.make()
    lock = sqlite3.connect(store.directory / "cellar.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with store.writer("locked out"):
        lock.execute("ROLLBACK")
        lock.close()
    [journal] = store.journals()
    assert journal.read_bytes()[50] == 2, "key source"
    read = shown(store.reader())
    assert read["locked out"]["project"] == "left behind" and read["locked out"]["state"] == "crashed"
    same(read, store.read())


def test_several_journals_of_several_writers_are_read(store: Store) -> None:
    with store.writer("one"), store.writer("two"), store.writer("three"):
        assert len(store.journals()) == 3
    read = shown(store.reader())
    assert {run["state"] for run in read.values()} == {"crashed"}
    same(read, store.read())


def test_a_torn_tail_costs_the_last_frame_and_damage_its_own(store: Store) -> None:
    with store.writer("torn"):
        pass
    [journal] = store.journals()
    whole = journal.read_bytes()
    for changed in (whole[:-1], whole[: len(whole) // 2], bit_flipped(whole, len(whole) // 2)):
        journal.write_bytes(changed)
        rows = len(shown(store.reader())["torn"]["metrics"]["loss"])
        assert rows in {302, 301} or (len(changed) < len(whole) - 1 and 0 < rows < 302)
    for at in (20, 30, 45, 60, 80, 100):
        journal.write_bytes(bit_flipped(whole, at))
        with pytest.raises(FormatError):
            store.reader()


def bit_flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM block WHERE rowid = (SELECT max(rowid) FROM block)",
        "DELETE FROM object WHERE kind = 8 AND position = 3",
        "DELETE FROM object WHERE kind = 6",
        "UPDATE object SET seq = seq + 1 WHERE kind = 4",
        "UPDATE object SET tag = zeroblob(32) WHERE kind = 2 AND tag = (SELECT max(tag) FROM object WHERE kind = 2)",
        "UPDATE block SET part = part + 100 WHERE part = 1",
        "UPDATE epoch SET parent = id",
        "CREATE TABLE more (x)",
    ],
)
def test_rows_that_are_gone_or_changed_are_noticed(store: Store, damage: str) -> None:
    store.make()
    store.reader()
    db = sqlite3.connect(store.directory / "cellar.db")
    db.execute(damage)
    db.commit()
    db.close()
    with pytest.raises(FormatError):
        store.reader()


def test_another_key_file_opens_nothing(store: Store, tmp_path: Path) -> None:
    store.make()
    other = Store(store.program, tmp_path / "other")
    other.directory.parent.mkdir()
    other.make()
    with pytest.raises(FormatError):
        Workspace(store.directory, other.key_file)


@pytest.mark.parametrize("golden", GOLDEN, ids=[path.name for path in GOLDEN])
def test_golden_workspaces_read_as_they_did(golden: Path, tmp_path: Path) -> None:
    copy = tmp_path / golden.name
    shutil.copytree(golden, copy)
    os.chmod(copy / "workspace.key", 0o600)
    workspace = Workspace(copy / "workspace", copy / "workspace.key")
    same(shown(workspace), json.loads((golden / "expected.json").read_text()))
    if (golden / "files.json").exists():
        same_files(shown_files(workspace), json.loads((golden / "files.json").read_text()))


def test_there_is_a_golden_workspace_of_each_version() -> None:
    assert [path.name for path in GOLDEN] == ["v1", "v2", "v3"]
    assert [(path / "files.json").exists() for path in GOLDEN] == [False, False, True]


def vectors(name: str) -> list[dict[str, Any]]:
    """Reads a file of golden vectors: fields by name, hexadecimal digits as bytes."""
    text = (ROOT / "tests/data/vectors" / name).read_text()
    out = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        fields = dict((line + " ").split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines)
        if fields:
            out.append({key: value.strip() for key, value in fields.items()})
    return out


def ends_as(vector: dict[str, Any], decode: Any) -> Any:
    """Decodes what a vector holds, which is refused or not as it says."""
    if vector["outcome"] == "accepted":
        return decode()
    with pytest.raises((FormatError, ValueError, reader.zstandard.ZstdError)):
        decode()
    return None


@pytest.mark.parametrize("vector", vectors("seal.txt"), ids=lambda vector: vector["name"])
def test_sealed_objects(vector: dict[str, Any]) -> None:
    data = {key: bytes.fromhex(vector[key]) for key in ("workspace", "key id", "key", "object", "part", "device", "sealed")}
    where = {"part": data["part"], "device": data["device"], "seq": int(vector["sequence"])}
    where |= {"at": int(vector["position"]), "sub": int(vector["second position"])}
    place = data["workspace"], int(vector["kind"]), data["object"], data["sealed"]
    text = ends_as(vector, lambda: reader.unseal((data["key id"], data["key"]), *place, **where))
    assert text is None or text.hex() == vector["value"]


@pytest.mark.parametrize("vector", vectors("journals.txt"), ids=lambda vector: vector["name"])
def test_frames(vector: dict[str, Any]) -> None:
    workspace, key_id, key, data = (bytes.fromhex(vector[name]) for name in ("workspace", "key id", "key", "bytes"))
    length = 51 + 4 + data[51]
    if data[50] == 2:
        info = b"runcellar 1 journal key" + workspace + data[10:42]
        key = reader.HPKE.decrypt(data[59:length], reader.pair(key, key_id), info)
    keys = reader.derive("runcellar 1 journal", key + data[: length + 24], 96)
    assert keys[32:64] == data[length + 24 : length + 56]
    found = reader.frames(data, length + 56, keys, workspace, data[10:26])
    expected = vector.get("found", vector.get("value", "")).split(", ")
    frames = [one for one in expected if one and not one.startswith(("damage", "tail"))]
    assert [f"{sequence} {text.hex()}" for sequence, text in found] == [one if " " in one else f"{one} " for one in frames]


BODIES = {"project": "Project", "run record": "RunRecord", "run head": "RunHead", "series page": "SeriesPage"}
BODIES |= {"group page": "GroupPage", "root row": "RootRow", "writer row": "WriterRow", "start": "Start"}
BODIES |= {"close": "Close", "event": "Event"}


@pytest.mark.parametrize("vector", vectors("bodies.txt"), ids=lambda vector: vector["name"])
def test_bodies(vector: dict[str, Any]) -> None:
    if vector["kind"] in BODIES:
        ends_as(vector, lambda: reader.body(BODIES[vector["kind"]], bytes.fromhex(vector["bytes"])))


@pytest.mark.parametrize("vector", vectors("records.txt"), ids=lambda vector: vector["name"])
def test_records(vector: dict[str, Any]) -> None:
    ends_as(vector, lambda: list(reader.records(bytes.fromhex(vector["bytes"]), {})))


@pytest.mark.parametrize("vector", vectors("derivations.txt"), ids=lambda vector: vector["name"])
def test_derivations(vector: dict[str, Any]) -> None:
    data = {key: bytes.fromhex(vector[key]) for key in ("secret", "salt", "label", "place", "parent") if key in vector}
    if vector["of"] == "pair":
        assert reader.pair(data["secret"], data["salt"]).public_key().public_bytes_raw().hex() == vector["value"]
    elif vector["of"] == "sealed to a pair":
        private, info = reader.pair(data["secret"], data["salt"]), data["label"] + data["place"]
        assert reader.HPKE.decrypt(bytes.fromhex(vector["value"]), private, info).hex() == vector["text"]
    elif vector["of"] == "lookup tag":
        text = int(vector["kind"]).to_bytes(2, "little") + data["parent"] + vector["text"].encode()
        assert reader.keyed(data["secret"], b"runcellar 1 lookup" + text).hex() == vector["value"]
