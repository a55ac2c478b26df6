"""The documents name tests for each promise: a test that is named and is not there fails here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["docs/PRIVACY.md", "docs/RELIABILITY.md", "docs/CAPSULE.md"]
# `module::a_test` of a folder of tests, or of the sources if the module is one of theirs.
NAMED = re.compile(r"`((?:[a-z_0-9]+::)+)([a-z_0-9]+)(\.\.\.)?`")
FILES = re.compile(r"`((?:tests|crates)/[A-Za-z_0-9/.-]+\.(?:rs|py|sh))`")
TESTS = re.compile(r"fn ([a-z_0-9]+)\s*(?:<[^>]*>)?\(")


def functions(module: str) -> set[str]:
    """Return the functions of a module: a file of that name with tests in it."""
    found: set[str] = set()
    last = module.removesuffix("::").rsplit("::", 1)[-1]
    for folder in ["tests/store", "tests/cli", "tests/format", "tests/sync"]:
        for path in [ROOT / folder / f"{last}.rs", ROOT / folder / last / "mod.rs"]:
            if path.exists():
                found |= set(TESTS.findall(path.read_text()))
    names = [part for part in module.split("::") if part and part != "tests"]
    sources = ROOT / "crates"
    for path in [
        *sources.glob(f"*/src/**/{names[-1]}.rs"),
        *sources.glob(f"*/src/**/{names[-1]}/**/*.rs"),
    ]:
        found |= set(TESTS.findall(path.read_text()))
    return found


def named(text: str) -> list[tuple[str, str, bool]]:
    """Return what a text names: the module, the test, and whether its name is cut off."""
    return [(module, test, bool(dots)) for module, test, dots in NAMED.findall(text)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    missing = [
        f"{module}{test}"
        for module, test, cut in named(text)
        if "_" in test
        and not any(name == test or (cut and name.startswith(test)) for name in functions(module))
    ]
    missing += [file for file in FILES.findall(text) if not (ROOT / file).exists()]
    assert missing == []


def test_every_promise_names_a_test() -> None:
    text = (ROOT / "docs/PRIVACY.md").read_text()
    rows = re.findall(r"^\| P(\d+) [^|]*\|([^|]*)\|", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 11))
    for number, tests in rows:
        assert named(tests) or FILES.findall(tests), f"P{number} names no test"


def test_a_test_that_is_not_there_is_found_out() -> None:
    assert named("`replay::every_deleted_row_is_reported`") == [
        ("replay::", "every_deleted_row_is_reported", False)
    ]
    assert "every_deleted_row_is_reported" in functions("replay::")
    assert "no_such_test" not in functions("replay::")
