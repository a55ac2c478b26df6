"""The report of a check."""

from __future__ import annotations

from typing import Any


class CheckReport(dict[str, Any]):
    """What a check of a workspace found, in the shape that ``runcellar check --json`` prints.

    It is true if nothing is hurt.

    Attributes
    ----------
    ok : bool
        True if nothing is hurt; notes do not count.
    checked : dict of str to int
        How many runs, blocks, journals, chunks and bytes were looked at.
    problems : list of dict
        What is wrong: kind, severity, run, metric, steps, artifact, path, file, repairable and
        message.
    """

    def __init__(self, ok: bool, checked: dict[str, int], problems: list[dict[str, Any]]) -> None:
        super().__init__(ok=ok, checked=checked, problems=problems)

    @property
    def ok(self) -> bool:
        return bool(self["ok"])

    @property
    def checked(self) -> dict[str, int]:
        found: dict[str, int] = self["checked"]
        return found

    @property
    def problems(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self["problems"]
        return found

    def __bool__(self) -> bool:
        return self.ok


CheckReport.__module__ = "runcellar"
