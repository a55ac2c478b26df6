"""P1 by construction: what the store, the format crate and the extension link.

The bans of deny.toml are held here without cargo-deny, on the dependency graph that cargo itself
resolves.
"""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def linked(package: str) -> set[str]:
    """Return the names of all crates that `package` links, with every feature on."""
    command = ["cargo", "tree", "--offline", "--package", package, "--edges", "normal"]
    command += ["--prefix", "none", "--format", "{p}", "--all-features"]
    tree = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {line.split()[0] for line in tree.stdout.splitlines() if line.strip()}


@pytest.fixture(scope="module")
def policy() -> dict[str, object]:
    """Return deny.toml."""
    return tomllib.loads((ROOT / "deny.toml").read_text())


@pytest.mark.parametrize("package", ["runcellar-format", "runcellar", "runcellar-py"])
def test_no_network_crate_is_linked(
    package: str, policy: dict[str, dict[str, list[dict[str, str]]]]
) -> None:
    assert shutil.which("cargo"), "cargo is needed to know what is linked"
    banned = {entry["crate"] for entry in policy["bans"]["deny"]}
    crates = linked(package)
    assert package in crates
    assert crates & (banned | {"runcellar-sync"}) == set()


@pytest.mark.parametrize("package", ["runcellar-sync", "runcellar-cli"])
def test_one_way_to_the_network_is_linked_by_sync_alone(
    package: str, policy: dict[str, dict[str, list[dict[str, str]]]]
) -> None:
    banned = {entry["crate"] for entry in policy["bans"]["deny"] if "wrappers" not in entry}
    assert {"reqwest", "hyper", "tokio", "openssl-sys", "aws-lc-sys"} <= banned
    crates = linked(package)
    assert crates & banned == set()
    assert ("ureq" in crates) == ("runcellar-sync" in crates)


FORBIDDEN = {
    "runcellar-format": [
        "std::fs",
        "std::time",
        "std::net",
        "std::thread",
        "std::env",
        "getrandom",
        "rusqlite",
    ],
    "runcellar": [
        "std::net",
        "std::env",
        "println!",
        "print!(",
        "std::process::Command",
        "async fn",
    ],
    "runcellar-sync": ["rusqlite", "OwnerKey", "std::net::Tcp"],
}

#: Whether a work tree differs from its commit only git can tell: it is started if the caller asks.
ALLOWED = {
    "runcellar/src/capture/git/process.rs": {"std::process::Command"},
    "runcellar/src/os/process.rs": {"std::process::Command"},
}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_what_must_never_be_in_a_crate_is_not_there(package: str) -> None:
    """docs/ARCHITECTURE.md, "The crates", last column; tests beside the code do as they like."""
    sources = sorted((ROOT / "crates" / package / "src").rglob("*.rs"))
    assert sources
    found = []
    for path in sources:
        if "tests" in path.parts[path.parts.index("src") :]:
            continue
        code = path.read_text().split("#[cfg(test)]\nmod tests {")[0]
        lines = [line for line in code.splitlines() if not line.lstrip().startswith("//")]
        allowed = ALLOWED.get(path.relative_to(ROOT / "crates").as_posix(), set())
        for word in set(FORBIDDEN[package]) - allowed:
            found += [f"{path.name}: {line.strip()}" for line in lines if word in line]
    assert found == []


def test_the_bincode_exception_is_written_down(
    policy: dict[str, dict[str, list[dict[str, str]]]],
) -> None:
    exceptions = {entry["id"]: entry["reason"] for entry in policy["advisories"]["ignore"]}
    assert set(exceptions) == {"RUSTSEC-2025-0141"}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    versions = [crate["version"] for crate in lock["package"] if crate["name"] == "bincode"]
    assert versions == ["2.0.1"]
