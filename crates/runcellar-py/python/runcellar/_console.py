"""The console of a stored run."""

from __future__ import annotations

from collections.abc import Sequence


class Console(list[str]):
    """The lines that a run wrote to its console, in order of time.

    Attributes
    ----------
    times : list of int
        When each line was first seen, microseconds UTC since 1970.
    streams : list of str
        Where each was written to: ``"stdout"``, ``"stderr"``, ``"both"`` if the two were one and
        the same file (a terminal, mostly), or ``"note"`` for what the store says itself.
    """

    times: list[int]
    streams: list[str]

    def __init__(self, lines: Sequence[str], times: Sequence[int], streams: Sequence[str]) -> None:
        super().__init__(lines)
        self.times = list(times)
        self.streams = list(streams)

    def __str__(self) -> str:
        """Return all lines as one text."""
        return "".join(line + "\n" for line in self)

    def __repr__(self) -> str:
        return f"<runcellar.Console of {len(self)} lines>"
