"""Put, verify and get one file beside cp, restic and borg, all through their commands.

Run ``python tests/python/bench_blobs.py [--megabytes N] [--files N]`` in an environment that has
the package and its command. restic and borg are used if they are installed (Debian: ``restic``,
``borgbackup``). The content is random bytes, then float32 weights (normal, standard deviation
0.02), then many files of 4 KiB beside tar. CPU is user and system time of the whole process tree;
ratios are within the run, of medians where a command is run several times.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COPIES = 5
REPEATS = 3


@dataclass
class Cost:
    """What a command took: seconds of processor and wall time."""

    cpu: float
    wall: float


def run(arguments: list[str], environment: dict[str, str]) -> Cost:
    """Run a command and return what it and its children took."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)}: code {done.returncode}: {done.stderr}")
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(cpu, wall)


def median(costs: list[Cost]) -> Cost:
    """Return the median of what the same command took several times."""
    return Cost(statistics.median(c.cpu for c in costs), statistics.median(c.wall for c in costs))


def bytes_below(path: Path) -> int:
    """Return the sizes of all files below a directory."""
    return sum(found.stat().st_size for found in path.rglob("*") if found.is_file())


def measure(
    command: str, name: str, content: Path, root: Path, environment: dict[str, str]
) -> None:
    """Measure one file and print a line for each program."""
    copy, store, repository, archive = root / "copy", root / "w", root / "restic", root / "borg"
    script = f"cp {content} {copy} && sync {copy}"
    cp = median([run(["sh", "-c", script], environment) for _ in range(COPIES)])
    size = content.stat().st_size

    def say(what: str, cost: Cost, stored: int | None = None) -> None:
        kept = f"  stored {stored / size:8.3%}" if stored is not None else ""
        ratios = f"{cost.cpu / cp.cpu:6.2f}x {cost.wall / cp.wall:6.2f}x"
        print(f"{name:8} {what:22} cpu {cost.cpu:6.2f} s  wall {cost.wall:6.2f} s  {ratios}{kept}")

    print(f"{name}: {size >> 20} MiB; ratios to cp and sync, medians")
    say("cp, sync", cp)

    def put_anew(more: list[str]) -> Cost:
        shutil.rmtree(store, ignore_errors=True)
        run([command, "init", str(store)], environment)
        return run([command, "artifact", "put", name, str(content), *more], environment)

    def get_anew() -> Cost:
        shutil.rmtree(root / "got", ignore_errors=True)
        fetch = [command, "artifact", "get", name, "-o", str(root / "got")]
        return run(fetch, environment)

    for what, more in (("runcellar put", []), ("runcellar put --compress", ["--compress"])):
        cost = median([put_anew(more) for _ in range(REPEATS)])
        say(what, cost, bytes_below(store))
    verify = [command, "artifact", "verify", name]
    say("runcellar verify", median([run(verify, environment) for _ in range(REPEATS)]))
    say("runcellar get", median([get_anew() for _ in range(REPEATS)]))
    if shutil.which("restic"):
        for mode in ("auto", "max"):
            shutil.rmtree(repository, ignore_errors=True)
            run(["restic", "init", "-r", str(repository)], environment)
            backup = ["restic", "-r", str(repository), "--compression", mode, "backup"]
            cost = run([*backup, str(content)], environment)
            say(f"restic backup, {mode}", cost, bytes_below(repository))
    if shutil.which("borg"):
        run(["borg", "init", "-e", "repokey-blake2", str(archive)], environment)
        cost = run(["borg", "create", f"{archive}::a", str(content)], environment)
        say("borg create", cost, bytes_below(archive))
    for path in (store, repository, archive, root / "got"):
        shutil.rmtree(path, ignore_errors=True)


def measure_files(command: str, count: int, root: Path, environment: dict[str, str]) -> None:
    """Measure many files of 4 KiB beside tar."""
    source, archive, store = root / "small", root / "small.tar", root / "w"
    for number in range(count):
        path = source / str(number // 100) / str(number % 100)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(4096))
    run(["sync"], environment)
    packed = run(["sh", "-c", f"tar cf {archive} -C {root} small && sync {archive}"], environment)
    run([command, "init", str(store)], environment)
    put = run([command, "artifact", "put", "small", str(source)], environment)
    stored = bytes_below(store)
    (root / "x").mkdir()
    unpacked = run(["tar", "xf", str(archive), "-C", str(root / "x")], environment)
    fetch = [command, "artifact", "get", "small", "-o", str(root / "got")]
    got = run(fetch, environment)
    print(f"{count} files of 4 KiB; ratios to tar")
    for what, ours, theirs in (("put", put, packed), ("get", got, unpacked)):
        ratios = f"cpu {ours.cpu / theirs.cpu:5.2f}x  wall {ours.wall / theirs.wall:5.2f}x"
        print(f"{what}: {ours.wall:6.2f} s to {theirs.wall:6.2f} s of wall time, {ratios}")
    print(f"stored {stored / (count * 4096):8.3%} of the content")


def main() -> None:
    """Measure both contents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=256, help="size of the file")
    parser.add_argument("--files", type=int, default=10_000, help="how many small files")
    parser.add_argument("--dir", help="where the files go (default: the temporary directory)")
    parser.add_argument("--command", help="the command (default: that of the environment)")
    options = parser.parse_args()
    command = options.command or str(Path(sysconfig.get_path("scripts")) / "runcellar")
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        root = Path(directory)
        own = {
            "RUNCELLAR_DIR": str(root / "w"),
            "RUNCELLAR_CONFIG_DIR": str(root / "config"),
            "RESTIC_PASSWORD": "bench",
            "RESTIC_CACHE_DIR": str(root / "cache"),
            "BORG_PASSPHRASE": "bench",
            "BORG_BASE_DIR": str(root / "base"),
        }
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(root)} | own
        content = root / "content"
        with content.open("wb") as file:
            for _ in range(options.megabytes):
                file.write(rng.bytes(1 << 20))
        measure(command, "random", content, root, environment)
        with content.open("wb") as file:
            for _ in range(options.megabytes):
                file.write((rng.normal(size=1 << 18) * 0.02).astype("float32").tobytes())
        measure(command, "weights", content, root, environment)
        content.unlink()
        measure_files(command, options.files, root, environment)


if __name__ == "__main__":
    main()
