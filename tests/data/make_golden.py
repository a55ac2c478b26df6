"""Makes the golden workspace of the current version of the format, tests/data/workspaces/v2.

Run once a version, with the requirements of tests/python, and under a host name that says nothing, as runs record it:
``unshare --uts sh -c 'hostname golden && python tests/data/make_golden.py'``. What is there is never made again: it
stands for what users have. It holds ended runs, forked and rewound ones, a catalogue, an overview, the journal of a killed
writer, and that of one that found the database locked.
"""

import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "python"))

from test_reader import Store, same, shown  # noqa: E402

out = HERE / "workspaces/v2"
program = HERE.parents[1] / "target/debug/examples/make_workspace"
build = ["cargo", "build", "-p", "runcellar", "--example", "make_workspace"]
subprocess.run(build, cwd=HERE, check=True)
out.mkdir(parents=True)
store = Store(str(program), out)
store.directory, store.key_file = out / "workspace", out / "workspace.key"
store.make()
with store.writer("killed", "40"):
    lock = sqlite3.connect(store.directory / "cellar.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with store.writer("locked-out", "40"):
        lock.execute("ROLLBACK")
        lock.close()
for leftover in ("workspace/cellar.db-shm", "workspace.key.lock"):
    (out / leftover).unlink(missing_ok=True)
for mirror in out.glob("*.root"):
    mirror.unlink()
for empty in ("packs", "tmp"):  # a version control system keeps no empty directory
    (store.directory / empty).rmdir()
with tempfile.TemporaryDirectory() as directory:
    copy = Store(str(program), pathlib.Path(directory))
    shutil.copytree(store.directory, copy.directory)
    shutil.copy(store.key_file, copy.key_file)
    read, expected = shown(copy.reader()), copy.read()
    (out / "expected.json").write_text(
        json.dumps(expected, separators=(",", ":"), sort_keys=True) + "\n"
    )
    same(read, expected)
