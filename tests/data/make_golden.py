"""Makes the golden workspace of the current version of the format, tests/data/workspaces/v3.

Run once a version, with the requirements of tests/python, and under a host name that says nothing, as runs record it:
``unshare --uts sh -c 'hostname golden && python tests/data/make_golden.py'``. What is there is never made again: it
stands for what users have. It holds ended runs, forked and rewound ones, a catalogue, an overview, artifacts with versions,
aliases and links, media, code, the tombstones and receipt of a purge, a slot of a key file and one of a recovery code, the
journal of a killed writer, and that of one that found the database locked.
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

from test_reader import Store, same, same_files, shown, shown_files  # noqa: E402

out = HERE / "workspaces/v3"
program = HERE.parents[1] / "target/debug/examples/make_workspace"
build = ["cargo", "build", "-p", "runcellar", "--example", "make_workspace"]
subprocess.run(build, cwd=HERE, check=True)
out.mkdir(parents=True)
store = Store(str(program), out)
store.directory, store.key_file = out / "workspace", out / "workspace.key"
store.make()
(out / "recovery.txt").write_text(store.run("make-files"))
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
for empty in [store.directory / "tmp", *store.directory.glob("packs/*")]:
    if not any(empty.iterdir()):  # a version control system keeps no empty directory
        empty.rmdir()
with tempfile.TemporaryDirectory() as directory:
    copy = Store(str(program), pathlib.Path(directory))
    shutil.copytree(store.directory, copy.directory)
    shutil.copy(store.key_file, copy.key_file)
    read, expected = shown(copy.reader()), copy.read()
    files = shown_files(copy.reader()), json.loads(copy.run("read-files"))
    for name, content in (("expected.json", expected), ("files.json", files[1])):
        text = json.dumps(content, separators=(",", ":"), sort_keys=True)
        (out / name).write_text(text + "\n")
    same(read, expected)
    same_files(*files)
