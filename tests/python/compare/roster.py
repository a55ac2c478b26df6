"""The programs that are compared, and how each gets an interpreter of its own."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

ENVIRONMENTS = Path(__file__).resolve().parents[3] / "target" / "peers"


@dataclasses.dataclass(frozen=True)
class Peer:
    """A program, how to install it, and where it is not measured like the others."""

    name: str
    module: str
    #: What pip installs, the program first; empty if it is part of this interpreter.
    packages: tuple[str, ...] = ()
    imports: str = "pass"
    environment: tuple[tuple[str, str], ...] = ()
    #: True for a second way of logging: only what differs is measured.
    variant: bool = False
    #: Rows of the measurement of one call.
    calls: int = 20_000
    bulk: bool = False
    selects: bool = False


NOTHING = Peer("bare interpreter", "use_nothing")
OURS = Peer(
    "runcellar",
    "use_runcellar",
    imports="import runcellar",
    environment=(("RUNCELLAR_CONSOLE", "off"), ("RUNCELLAR_SYSTEM", "off")),
    calls=100_000,
    selects=True,
)
MLFLOW = Peer(
    "mlflow",
    "use_mlflow",
    ("mlflow==3.17.2",),
    imports="import mlflow",
    environment=(("MLFLOW_DISABLE_TELEMETRY", "true"), ("DO_NOT_TRACK", "true")),
    calls=300,
    bulk=True,
    selects=True,
)
PEERS = (
    Peer("wandb", "use_wandb", ("wandb==0.31.0",), imports="import wandb"),
    MLFLOW,
    dataclasses.replace(
        MLFLOW,
        name="mlflow, asynchronous",
        environment=(*MLFLOW.environment, ("MLFLOW_ENABLE_ASYNC_LOGGING", "true")),
        variant=True,
    ),
    # 3.29.1, the newest, finds a run only after its server has indexed it.
    Peer("aim", "use_aim", ("aim==3.28.0",), imports="import aim", calls=3_000, selects=True),
    Peer(
        "trackio",
        "use_trackio",
        ("trackio==0.43.0",),
        imports="import trackio",
        environment=(("HF_HUB_OFFLINE", "1"), ("GRADIO_ANALYTICS_ENABLED", "False")),
        selects=True,
    ),
    Peer(
        "neptune-scale",
        "use_neptune",
        ("neptune-scale==0.30.0",),
        imports="import neptune_scale",
        calls=3_000,
    ),
    Peer(
        "tensorboardX",
        "use_tensorboardx",
        ("tensorboardX==2.6.5", "tensorboard==2.21.0"),
        imports="import tensorboardX",
    ),
)


def python_of(peer: Peer) -> str:
    """Return the interpreter that has a program."""
    if not peer.packages:
        return sys.executable
    return str(ENVIRONMENTS / peer.name.split(",")[0] / "bin" / "python")


def install(peer: Peer) -> str | None:
    """Install a program into its own environment; return why that failed."""
    if not peer.packages or peer.variant:
        return None
    place = ENVIRONMENTS / peer.name
    stamp = place / "installed.txt"
    if stamp.exists() and stamp.read_text() == " ".join(peer.packages):
        return None
    base = shutil.which("python3.11") or sys.executable
    pip = [python_of(peer), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([base, "-m", "venv", str(place)], [*pip, *peer.packages]):
        print("  " + " ".join(command[-len(peer.packages) - 3 :]), file=sys.stderr, flush=True)
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    stamp.write_text(" ".join(peer.packages))
    return None
