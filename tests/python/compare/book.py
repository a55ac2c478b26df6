"""The figures, while they are collected."""

from __future__ import annotations

import statistics

from compare.roster import Peer


class Book:
    """Figures by program and name; a figure is a list of what the repeats gave."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, list[float]]] = {}
        self.notes: dict[str, list[str]] = {}

    def add(self, peer: Peer, **figures: float) -> None:
        """Add what one repeat gave."""
        for name, value in figures.items():
            self.figures.setdefault(peer.name, {}).setdefault(name, []).append(value)

    def note(self, peer: Peer, text: str) -> None:
        """Keep a remark that the tables are to be read with."""
        notes = self.notes.setdefault(peer.name, [])
        if text not in notes:
            notes.append(text)

    def get(self, peer: Peer, name: str) -> float | None:
        """Return the median of a figure, if it is there."""
        values = self.figures.get(peer.name, {}).get(name)
        return statistics.median(values) if values else None

    def least(self, peer: Peer, name: str) -> float | None:
        """Return the least of a figure, if it is there."""
        return min(self.figures.get(peer.name, {}).get(name, ()), default=None)
