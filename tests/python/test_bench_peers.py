"""The comparison with other programs runs, as far as it needs none of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "bench_peers.py"


def test_all_measurements_of_runcellar_come_to_an_end(tmp_path: Path) -> None:
    notes, figures = tmp_path / "notes.md", tmp_path / "figures.json"
    begin, end = "<!-- bench_peers.py writes from here -->", "<!-- to here -->"
    notes.write_text(f"# Kept\n\n{begin}\nold figures\n{end}\n\nkept too\n")
    command = [sys.executable, str(SCRIPT), "--quick", "--only", "none", "--dir", str(tmp_path)]
    # However slow the machine is, nothing is stopped half-way.
    command += ["--patience", "3600", "--markdown", str(notes), "--json", str(figures)]
    subprocess.run(command, check=True, env=dict(os.environ), capture_output=True, text=True)
    book = json.loads(figures.read_text())
    # A measurement that fails leaves a note, and no figure.
    assert book["notes"] == {}
    found = book["figures"]["runcellar"]
    assert found["kept"] == found["kept_all"] == [1.0]
    assert found["read_points"] == [2000]
    assert found["found"] == [5]
    names = {"p50", "fill_cpu_s", "fill_peak_mb", "bytes_mix_1000", "bytes_noise", "first_log_ms"}
    assert names <= found.keys()
    text = notes.read_text()
    assert text.startswith("# Kept\n")
    assert text.endswith("kept too\n")
    assert "old figures" not in text
    assert "| runcellar |" in text
