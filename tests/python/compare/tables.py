"""The tables that are printed, in Markdown."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench_log import full_commit
from compare.book import Book
from compare.roster import NOTHING, OURS, Peer

#: Figures in which a program can be better than another: name, what it is, and its unit.
COMPARED = (
    ("p50", "`log` call of 20 scalars, p50", "us"),
    ("p99", "`log` call of 20 scalars, p99", "us"),
    ("fill_cpu_s", "CPU of the whole run", "s"),
    ("fill_wall_s", "time of the whole run", "s"),
    ("fill_finish_s", "`finish` of the whole run", "s"),
    ("fill_peak_mb", "peak memory", "MB"),
    ("read_ms", "reading a metric", "ms"),
    ("import_ms", "import", "ms"),
    ("first_log_ms", "start to first `log`", "ms"),
    ("finish_ms", "`finish` after 1,000 rows", "ms"),
    ("select_ms", "filtering runs", "ms"),
)
SIZES = {
    "bytes_mix_50": ("mix, 50 steps", 12.0, 15.0),
    "bytes_mix_1000": ("mix, 1,000 steps", 3.0, 15.0),
    "bytes_mix_10000": ("mix, 10,000 steps", 1.9, 15.0),
    "bytes_noise": ("float64 noise", None, 5.0),
}


def machine(directory: Path) -> list[tuple[str, str]]:
    """Return what this machine is."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    places = {where: kind for _, where, kind, *_ in mounts if directory.is_relative_to(where)}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        ("processor", f"{model}, {os.cpu_count()} cores"),
        ("memory", f"{memory:.0f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("file system", places[max(places, key=len)]),
        ("Python", platform.python_version()),
        ("load before the run", " ".join(f"{load:.2f}" for load in os.getloadavg())),
    ]


def references(directory: Path) -> list[tuple[str, str]]:
    """Measure this machine with what everybody knows."""
    found = []
    try:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    except ImportError:
        pass
    else:
        cipher, text = ChaCha20Poly1305(bytes(32)), bytes(64 << 20)
        spent = []
        for _ in range(3):
            begin = time.perf_counter()
            cipher.encrypt(bytes(12), text, None)
            spent.append(time.perf_counter() - begin)
        found.append(("64 MiB ChaCha20-Poly1305 seal (OpenSSL)", f"{min(spent) * 1e3:.0f} ms"))
    found.append(("one FULL commit of SQLite", f"{full_commit(directory):.2f} ms"))
    return found


def number(value: float | None) -> str:
    """Return a figure with three digits that count."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(value: float | None, ours: float | None) -> str:
    """Return a figure with what it is to runcellar's."""
    if value is None or not ours:
        return number(value)
    return f"{number(value)} ({number(value / ours)}x)"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    out = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    out += [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join(out) + "\n"


Cell = Callable[[Peer], str]


class Tables:
    """Makes the tables of a book."""

    def __init__(self, book: Book, peers: Sequence[Peer]) -> None:
        self.book = book
        self.all = [OURS, *peers]
        self.peers = list(peers)

    def ours(self, name: str) -> float | None:
        """Return a figure of runcellar."""
        return self.book.get(OURS, name)

    def compared(self, name: str, less: float = 0.0) -> Cell:
        """Return a column: a figure, less a constant, with its ratio to runcellar's."""

        def cell(peer: Peer) -> str:
            value, ours = self.book.get(peer, name), self.ours(name)
            if value is None or ours is None or peer is OURS:
                return number(None if value is None else value - less)
            return times(value - less, ours - less)

        return cell

    def by_peer(self, columns: Sequence[tuple[str, Cell]], only: str) -> str:
        """Return a table with a line for each program that has a figure."""
        known = [peer for peer in self.all if self.book.get(peer, only) is not None]
        lines = [[peer.name, *(cell(peer) for _, cell in columns)] for peer in known]
        return table(["", *(title for title, _ in columns)], lines)

    def log(self) -> str:
        """Return the table of one call."""

        def to_reference(peer: Peer) -> str:
            p50, reference = self.book.get(peer, "p50"), self.book.get(peer, "reference")
            return f"{number(p50 / reference)}x" if p50 and reference else "-"

        def kept(name: str) -> Cell:
            def cell(peer: Peer) -> str:
                share = self.book.get(peer, name)
                if share is None:
                    return "-"
                return "all" if share == 1 else "none" if share == 0 else f"{share:.2%}"

            return cell

        columns = [
            ("p50, us", self.compared("p50")),
            ("least p50", lambda peer: number(self.book.least(peer, "p50"))),
            ("p99, us", self.compared("p99")),
            ("p50 to pack + write", to_reference),
            ("rows kept after SIGKILL", kept("kept")),
            ("of all its processes", kept("kept_all")),
        ]
        return self.by_peer(columns, "p50")

    def whole_run(self) -> str:
        """Return the table of a run from init to finish."""
        loop = self.book.get(NOTHING, "fill_cpu_s") or 0.0
        memory = self.book.get(NOTHING, "fill_peak_mb") or 0.0
        bare = self.book.get(NOTHING, "import_cpu_s") or 0.0

        def without_import(peer: Peer) -> float | None:
            spent, imported = (self.book.get(peer, name) for name in ("fill_cpu_s", "import_cpu_s"))
            return None if spent is None or imported is None else spent - loop - (imported - bare)

        columns = [
            ("CPU, s", self.compared("fill_cpu_s")),
            ("beyond the loop", self.compared("fill_cpu_s", loop)),
            ("and the import", lambda peer: times(without_import(peer), without_import(OURS))),
            ("wall, s", self.compared("fill_wall_s")),
            ("of it finish, s", self.compared("fill_finish_s")),
            ("peak memory beyond the loop, MB", self.compared("fill_peak_mb", memory)),
        ]
        return self.by_peer(columns, "fill_cpu_s")

    def sizes(self) -> str:
        """Return the table of stored bytes."""
        columns = [
            (f"{title}, B/point", self.compared(name))
            for name, (title, *_) in SIZES.items()
            if self.ours(name) is not None
        ]
        return self.by_peer(columns, "bytes_mix_50")

    def reading(self) -> str:
        """Return the table of reading back."""

        def found(peer: Peer) -> str:
            shown = (self.book.get(peer, name) for name in ("found", "runs"))
            return " of ".join(f"{value:,.0f}" for value in shown if value is not None) or "-"

        columns = [
            ("points", lambda peer: number(self.book.get(peer, "read_points"))),
            ("one metric, ms", self.compared("read_ms")),
            ("us a point", self.compared("read_us")),
            ("filtering runs, ms", self.compared("select_ms")),
            ("runs found", found),
        ]
        return self.by_peer(columns, "read_ms")

    def starting(self) -> str:
        """Return the table of starting and ending."""
        bare = self.book.get(NOTHING, "import_ms") or 0.0
        columns = [
            ("import, ms beyond a bare interpreter", self.compared("import_ms", bare)),
            ("init() to first log(), ms", self.compared("first_log_ms")),
            ("finish() after 1,000 rows, ms", self.compared("finish_ms")),
        ]
        return self.by_peer(columns, "first_log_ms")

    def goals(self) -> str:
        """Return the table of what was set out for."""
        lines: list[tuple[str, str, str, bool]] = []

        def goal(title: str, value: float | None, limit: float, most: bool, unit: str) -> None:
            if value is not None:
                met = value <= limit if most else value >= limit
                sign = "<=" if most else ">="
                lines.append((title, f"{number(value)}{unit}", f"{sign} {limit:g}{unit}", met))

        def least(name: str, among: Iterable[Peer]) -> tuple[float, str] | None:
            known = [(self.book.get(peer, name), peer.name) for peer in among]
            found = [(value, peer) for value, peer in known if value is not None]
            return min(found) if found else None

        p50, reference = self.ours("p50"), self.book.get(OURS, "reference")
        if p50 and reference:
            goal("`run.log` p50 to pack + write", p50 / reference, 3, True, "x")
        surviving = [peer for peer in self.peers if self.book.get(peer, "kept") == 1]
        if p50 and (best := least("p50", self.peers)):
            goal(
                f"p50 of the fastest peer's call ({best[1]}) to ours", best[0] / p50, 8, False, "x"
            )
        if p50 and (best := least("p50", surviving)):
            title = f"the same, of those that survive SIGKILL ({best[1]})"
            goal(title, best[0] / p50, 30, False, "x")
        cpu, loop = self.ours("fill_cpu_s"), self.book.get(NOTHING, "fill_cpu_s")
        if cpu and loop and (best := least("fill_cpu_s", self.peers)):
            title = f"CPU of the whole run to the best peer's ({best[1]})"
            goal(f"{title}, beyond the loop", (cpu - loop) / (best[0] - loop), 0.1, True, "x")
            goal(f"{title}, with the loop", cpu / best[0], 0.1, True, "x")
        peak, memory = self.ours("fill_peak_mb"), self.book.get(NOTHING, "fill_peak_mb")
        if peak and memory:
            goal("peak memory beyond the loop", peak - memory, 40, True, " MB")
        for name, (title, limit, ratio) in SIZES.items():
            ours = self.ours(name)
            if ours and limit:
                goal(f"bytes a point, {title}", ours, limit, True, "")
            if ours and (best := least(name, self.peers)):
                goal(
                    f"smallest peer ({best[1]}) to ours, {title}", best[0] / ours, ratio, False, "x"
                )
        return table(
            ["goal", "measured", "limit", "met"],
            [
                (title, value, limit, "yes" if met else "**no**")
                for title, value, limit, met in lines
            ],
        )

    def better(self) -> str:
        """Return the table of what peers are better at."""
        figures = [*COMPARED, *((name, size[0], "B/point") for name, size in SIZES.items())]
        lines = []
        for name, title, unit in figures:
            ours = self.ours(name)
            for peer in self.peers:
                value = self.book.get(peer, name)
                if value is not None and ours is not None and value < ours:
                    factor = f"{number(ours / value)}x" if value else "-"
                    mine = f"{number(ours)} {unit}"
                    lines.append((title, peer.name, f"{number(value)} {unit}", mine, factor))
        if not lines:
            return "None in this run.\n"
        return table(["what", "who", "theirs", "ours", "better by"], lines)

    def notes(self) -> str:
        """Return the remarks."""
        known = self.book.notes.items()
        lines = [f"- {name}: {'; '.join(notes)}" for name, notes in known]
        return "\n".join(lines) + "\n" if lines else ""


def tables(book: Book, facts: Iterable[tuple[str, str]], peers: Sequence[Peer], rows: int) -> str:
    """Return all tables, in Markdown."""
    made = Tables(book, peers)
    versions = ", ".join(package for peer in peers for package in peer.packages if not peer.variant)
    bare = f"{number(book.get(NOTHING, 'import_ms'))} ms"
    packed = f"p50 {number(book.get(OURS, 'reference'))} us"
    given = [*facts, ("one bare interpreter", bare), ("struct.pack + os.write", packed)]
    if versions:
        given.append(("peers", versions))
    parts = [
        ("The machine", table(["", ""], given)),
        ("Goals", made.goals()),
        ("Where a peer is better", made.better()),
        ("One call of 20 scalars", made.log()),
        (f"A run of {rows:,} x 20 points, from init() to finish()", made.whole_run()),
        ("Stored bytes a point", made.sizes()),
        ("Reading back, in a new process", made.reading()),
        ("Starting and ending", made.starting()),
        ("Remarks of the run", made.notes()),
    ]
    return "\n".join(f"### {title}\n\n{text}" for title, text in parts if text)
