"""Do the same work with runcellar and its peers, and print tables with ratios.

Run ``python tests/python/bench_peers.py`` in an environment that has the package. The peers are
installed from PyPI, each into an environment of its own below ``target/peers``; then everything
runs in a network namespace without a network, where the system allows one. Each measurement is a
process of its own, so that nobody pays for another. docs/BENCHMARKS.md says what is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compare import series, watch
from compare.book import Book
from compare.roster import NOTHING, OURS, PEERS, Peer, install, python_of
from compare.tables import machine, references, tables
from peers import work

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much work is done."""

    rows: int
    repeats: int
    #: Seconds after which a program that logs slowly is stopped; what it did is scaled up.
    patience: float
    #: Lengths of the runs of the size mix.
    lengths: tuple[int, ...]
    noise_rows: int
    runs: int
    killed_rows: int
    calls_divisor: int


FULL = Scale(50_000, 3, 120.0, (50, 1_000, 10_000), 10_000, 1_000, 2_000, 1)
QUICK = Scale(2_000, 1, 5.0, (50, 1_000), 1_000, 20, 200, 20)


class FailedError(Exception):
    """A measurement that did not come to an end."""


class Bench:
    """Runs tasks of `peers/work.py`, each in a directory and process of its own."""

    def __init__(self, directory: Path, scale: Scale) -> None:
        self.directory = directory
        self.scale = scale
        self.numbers = itertools.count()
        #: Files of series, and directories that later measurements go on with, by program.
        self.series: dict[str, str] = {}
        self.columns: list[array[float]] = []
        self.filled: dict[str, Path] = {}
        self.starts: dict[str, Path] = {}
        self.selected: dict[str, Path] = {}
        watch.adopt_orphans()

    def fresh(self) -> Path:
        """Return a new directory."""
        place = self.directory / f"{next(self.numbers)}"
        place.mkdir()
        return place

    def task(self, peer: Peer, task: str, place: Path, **options: Any) -> watch.Outcome:
        """Do one task; raises FailedError with the last words of a process that failed."""
        answer, output = self.directory / "answer.json", self.directory / "output.txt"
        for path in (answer, output):
            path.unlink(missing_ok=True)
        options |= {"task": task, "directory": str(place), "answer": str(answer)}
        script = str(HERE / "peers" / f"{peer.module}.py")
        command = [python_of(peer), script, json.dumps(options)]
        outcome = watch.run(command, self.environment(peer), output)
        killed = task == "die" and outcome.status == -signal.SIGKILL
        if outcome.status and not killed:
            words = output.read_text(errors="replace").strip().splitlines() or ["no word"]
            raise FailedError(f"{peer.name}, {task}: {words[-1][:200]}")
        if answer.exists():
            outcome.answer = json.loads(answer.read_text())
            # A short process may end between two looks.
            outcome.peak_bytes = max(outcome.peak_bytes, outcome.answer["peak"])
        return outcome

    def environment(self, peer: Peer) -> dict[str, str]:
        """Return variables that keep a program in the directory of the measurement."""
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        own = {"HOME": str(home), "RUNCELLAR_CONFIG_DIR": str(home / "runcellar")}
        return kept | own | {"PYTHONDONTWRITEBYTECODE": "1"} | dict(peer.environment)


def kept_in(place: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(path.lstat().st_size for path in place.rglob("*") if path.is_file())


def measure_import(bench: Bench, peer: Peer, book: Book) -> None:
    """Import a program, and nothing else."""
    output = bench.directory / "output.txt"
    command, environment = [python_of(peer), "-c", peer.imports], bench.environment(peer)
    begin = time.perf_counter()
    subprocess.run(command, env=environment, check=False, capture_output=True)
    seconds = time.perf_counter() - begin
    outcome = watch.run(command, environment, output)
    if outcome.status:
        raise FailedError(f"{peer.imports}: {output.read_text().strip().splitlines()[-1]}")
    book.add(peer, import_ms=seconds * 1e3, import_cpu_s=outcome.cpu_s)


def measure_log(bench: Bench, peer: Peer, book: Book) -> None:
    """Cost of one call of 20 scalars."""
    count = max(peer.calls // bench.scale.calls_divisor, 30)
    place = bench.fresh()
    answer = bench.task(peer, "log", place, count=count).answer
    shutil.rmtree(place)
    book.add(peer, p50=answer["p50"], p99=answer["p99"], reference=answer["reference"])


def measure_killed(bench: Bench, peer: Peer, book: Book) -> None:
    """How many rows can be read after SIGKILL right behind the last call."""
    for everyone, name in ((False, "kept"), (True, "kept_all")):
        place, rows = bench.fresh(), min(bench.scale.killed_rows, peer.calls)
        options = {"series": bench.series["mix"], "count": rows, "everyone": everyone}
        outcome = bench.task(peer, "die", place, **options)
        if outcome.lingered:
            book.note(peer, "a process of it lives on after the trainer was killed")
        try:
            answer = bench.task(peer, "read", place, metric=work.NAMES[-1]).answer
            kept = answer["points"] / rows
        except FailedError as failure:
            book.note(peer, f"after SIGKILL: {failure}")
            kept = 0.0
        book.add(peer, **{name: kept})
        shutil.rmtree(place)


def measure_fill(bench: Bench, peer: Peer, book: Book) -> None:
    """CPU time and memory of a whole run; its directory stays, to be read."""
    spent = book.get(peer, "fill_wall_s")
    if spent is not None and spent > bench.scale.patience / 4:
        return
    place, rows = bench.fresh(), bench.scale.rows
    options = {"series": bench.series["mix"], "count": rows, "patience": bench.scale.patience}
    outcome = bench.task(peer, "fill", place, **options)
    scale = rows / outcome.answer["rows"]
    if scale > 1:
        done = f"{outcome.answer['rows']:,} of {rows:,} rows"
        book.note(peer, f"stopped after {bench.scale.patience:.0f} s: {done}, scaled up")
    if outcome.lingered:
        book.note(peer, "a process of it had to be killed after finish")
    book.add(
        peer,
        fill_cpu_s=outcome.cpu_s * scale,
        fill_wall_s=outcome.answer["seconds"] * scale,
        fill_finish_s=outcome.answer["finish"],
        fill_peak_mb=outcome.peak_bytes / 1e6,
    )
    if peer is NOTHING or peer.bulk or peer.name in bench.filled:
        shutil.rmtree(place)
    else:
        bench.filled[peer.name] = place


def measure_read(bench: Bench, peer: Peer, book: Book) -> None:
    """Read one metric of that run in a process that has read nothing yet."""
    if peer.name not in bench.filled:
        if not peer.bulk:
            return
        place = bench.filled[peer.name] = bench.fresh()
        options = {"series": bench.series["mix"], "count": bench.scale.rows, "patience": 0}
        bench.task(peer, "fill", place, bulk=True, **options)
    column = 3
    answer = bench.task(peer, "read", bench.filled[peer.name], metric=work.NAMES[column]).answer
    seconds, points = answer["seconds"], answer["points"]
    expected = bench.columns[column][(points - 1) % len(bench.columns[column])]
    # Single precision is good enough: tensorboardX has no other.
    if not math.isclose(answer["last"], expected, rel_tol=1e-6):
        raise FailedError(f"read {answer['last']} where {expected} was logged")
    book.add(peer, read_points=points, read_ms=seconds * 1e3, read_us=seconds * 1e6 / points)


def measure_sizes(bench: Bench, peer: Peer, book: Book) -> None:
    """Bytes that runs add to a store which has one already."""
    works = [(f"mix_{length}", "mix", length) for length in bench.scale.lengths]
    for name, kind, length in [*works, ("noise", "noise", bench.scale.noise_rows)]:
        place = bench.fresh()
        options = {"series": bench.series[kind], "patience": bench.scale.patience}
        runs = 20 if peer is OURS else max(1, min(5, 2_000 // length))
        bench.task(peer, "store", place, count=1, runs=1, **options)
        before = kept_in(place)
        answer = bench.task(peer, "store", place, count=length, runs=runs, **options).answer
        book.add(peer, **{f"bytes_{name}": (kept_in(place) - before) / answer["points"]})
        shutil.rmtree(place)


def measure_start(bench: Bench, peer: Peer, book: Book) -> None:
    """Start a run in a store that is there, and finish it after 1,000 rows."""
    options = {"series": bench.series["mix"], "count": 100 if peer.bulk else 1_000}
    place = bench.starts.get(peer.name)
    if place is None:
        place = bench.starts[peer.name] = bench.fresh()
        bench.task(peer, "start", place, series=options["series"], count=1)
    answer = bench.task(peer, "start", place, **options).answer
    book.add(peer, first_log_ms=answer["first_log"] * 1e3, finish_ms=answer["finish"] * 1e3)


def measure_select(bench: Bench, peer: Peer, book: Book) -> None:
    """List the runs below a loss in a process that has listed nothing yet."""
    if not peer.selects:
        return
    place = bench.selected.get(peer.name)
    if place is None:
        place = bench.selected[peer.name] = bench.fresh()
        options = {"count": bench.scale.runs, "patience": bench.scale.patience}
        made = bench.task(peer, "make_runs", place, **options).answer["runs"]
        book.add(peer, runs=made)
        if made < bench.scale.runs:
            book.note(peer, f"{made} runs made in {bench.scale.patience:.0f} s")
    answer = bench.task(peer, "select", place, limit=0.25).answer
    book.add(peer, select_ms=answer["seconds"] * 1e3, found=answer["found"])


MEASUREMENTS = (
    (measure_import, True),
    (measure_log, True),
    (measure_killed, False),
    (measure_fill, True),
    (measure_read, True),
    (measure_start, True),
    (measure_sizes, False),
    (measure_select, True),
)


def measure(bench: Bench, peers: Iterable[Peer], book: Book) -> None:
    """Do all measurements, program after program in each repeat, so that all see the same load."""
    failed: set[tuple[str, str]] = set()
    for task, repeated in MEASUREMENTS:
        for repeat in range(bench.scale.repeats if repeated else 1):
            for peer in peers:
                name = task.__name__.removeprefix("measure_")
                if peer is NOTHING and name not in ("import", "fill"):
                    continue
                if (peer.variant and name not in ("log", "killed")) or (peer.name, name) in failed:
                    continue
                print(f"  {name} {repeat + 1}: {peer.name}", file=sys.stderr, flush=True)
                try:
                    task(bench, peer, book)
                except FailedError as failure:
                    failed.add((peer.name, name))
                    book.note(peer, f"not measured: {failure}")


#: Between these lines of a Markdown file the tables are replaced.
BEGIN, END = "<!-- bench_peers.py writes from here -->", "<!-- to here -->"


def write_into(path: Path, text: str) -> None:
    """Put the tables between the marks of a Markdown file, or into a new file."""
    if not path.exists():
        path.write_text(text)
        return
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path}: the lines {BEGIN!r} and {END!r} are expected")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def main() -> None:
    """Install, measure, and print the tables."""
    parser = argparse.ArgumentParser(description="Compare runcellar with its peers.")
    parser.add_argument("--quick", action="store_true", help="little work: to see that all runs")
    parser.add_argument("--only", default="", help="names of peers, with commas; 'none': no peer")
    parser.add_argument("--dir", help="where the files go (default: the temporary directory)")
    parser.add_argument("--patience", type=float, help="seconds until a slow program is stopped")
    parser.add_argument("--markdown", type=Path, help="a file to write the tables into")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    if options.patience is not None:
        scale = dataclasses.replace(scale, patience=options.patience)
    wanted = [peer for peer in PEERS if not options.only or peer.name in options.only.split(",")]
    book = Book()
    if not options.isolated:
        for peer in wanted:
            install(peer)
    isolated = bool(wanted) and watch.leave_the_network()
    peers = [NOTHING, OURS]
    for peer in wanted:
        reason = install(peer)
        if reason is None:
            peers.append(peer)
        else:
            book.note(peer, f"not installed: {reason}")
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        bench = Bench(Path(name), scale)
        bench.columns, source = series.mix()
        for kind, values in (("mix", bench.columns), ("noise", series.noise(scale.noise_rows))):
            bench.series[kind] = f"{name}/{kind}.pickle"
            Path(bench.series[kind]).write_bytes(pickle.dumps(values))
        facts = [*machine(bench.directory), *references(bench.directory)]
        try:
            measure(bench, peers, book)
        except KeyboardInterrupt:
            print("interrupted: the tables have what there is", file=sys.stderr)
    facts.append(("series", source))
    if wanted:
        facts.append(
            ("network", "none" if isolated else "not cut off: the system does not allow it")
        )
    if options.json:
        options.json.write_text(json.dumps({"facts": facts} | vars(book), indent=1))
    text = tables(book, facts, wanted, scale.rows)
    print(text)
    if options.markdown:
        write_into(options.markdown, text)


if __name__ == "__main__":
    main()
