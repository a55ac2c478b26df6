"""Secrets are taken out of what a run records, and said by place."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import runcellar

PASSWORD = "sword-" + "fish-7"


def test_config_is_redacted_in_the_record_and_not_in_the_program(
    ws_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"db": {"password": PASSWORD, "port": 5432}, "lr": 0.5}
    with runcellar.init("p", config=config, dir=ws_dir) as run:
        assert run.config["db"]["password"] == PASSWORD
        run.config["api_key"] = "abc-123-" + "xyz-789"
    stored = runcellar.Workspace(ws_dir).run(run.id).config
    assert stored["db"]["password"].startswith("[redacted password ")
    assert stored["api_key"].startswith("[redacted secret ")
    assert (stored["db"]["port"], stored["lr"]) == (5432, 0.5)
    said = capsys.readouterr().err
    assert f"run {run.id}: 1 secret redacted (config.db.password); runcellar secrets" in said
    assert f"run {run.id}: 2 secrets redacted (config.db.password, config.api_key);" in said
    assert PASSWORD not in said


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_it_can_be_switched_off(how: str, ws_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = False if how == "argument" else None
    if how == "environment":
        monkeypatch.setenv("RUNCELLAR_REDACT", "off")
    with runcellar.init("p", config={"password": PASSWORD}, dir=ws_dir, redact=given) as run:
        pass
    assert runcellar.Workspace(ws_dir).run(run.id).config["password"] == PASSWORD


def test_arguments_and_console_of_a_program_are_redacted(ws_dir: str) -> None:
    program = """
import sys, runcellar
runcellar.init("p", id="r")
print("connecting with password:", sys.argv[2])
print("password=" + sys.argv[2])
"""
    command = [sys.executable, "-c", program, "--password", PASSWORD]
    environment = {**os.environ, "RUNCELLAR_DIR": ws_dir, "RUNCELLAR_CONSOLE": "on"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.count(PASSWORD) == 2, "it arrives where it did before"
    assert "secrets redacted (argv 2, console line" in ended.stderr
    stored = runcellar.Workspace(ws_dir).run("r")
    assert PASSWORD not in str(stored.console())
