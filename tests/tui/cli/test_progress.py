"""Progress of `ckpt-tui run` where there is no terminal, or not what it seems to be."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from state.history.store import History
from tests.tui.terminal import Terminal

COMMAND = Path(sys.executable).with_name("ckpt-tui")
CURSOR = (b"\x1b[1A", b"\x1b[2K", b"\x1b[?25l")


def arguments(model: Path, storage: Path) -> list[str]:
    return ["run", "--model", str(model), "--storage", str(storage), "--methods", "pytorch", "--repeats", "1"]


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "CI"} | variables


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "CI": "true"}], ids=str)
def test_a_file_gets_lines_and_no_cursor_movements(variables: dict[str, str], small_model: Path, storage: Path) -> None:
    result = subprocess.run(
        [COMMAND, *arguments(small_model, storage)], capture_output=True, check=True, env=environment(**variables)
    )
    assert b"round 1 pytorch save" in result.stderr
    assert b"round 1 pytorch load" in result.stderr
    assert not any(movement in result.stderr for movement in CURSOR)


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": "unknown"}, {"CI": "true"}], ids=str)
def test_a_terminal_whose_cursor_does_not_move_gets_lines(
    variables: dict[str, str], small_model: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [f"{name}={value}" for name, value in variables.items()]
    terminal = Terminal(Path("/usr/bin/env"), *given, str(COMMAND), *arguments(small_model, storage))
    assert terminal.finish() == 0
    assert b"round 1 pytorch save" in terminal.raw
    assert not any(movement in terminal.raw for movement in CURSOR)


def assert_nothing_is_lost(stderr: int | IO[str], small_model: Path, storage: Path, export: Path) -> None:
    """A run whose progress nobody can read ends with its results, its export and its place in the history."""
    result = subprocess.run(
        [COMMAND, *arguments(small_model, storage), "--export", str(export)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        check=False,
        text=True,
    )
    assert result.returncode == 0
    assert "verified" in result.stdout
    assert json.loads(export.read_text())["trials"]
    with History() as history:
        assert len(history.runs()) == 1


@pytest.mark.parametrize("reader", ["exec 0<&-; sleep 60", "head -n 1 >&2; exec 0<&-; sleep 60"], ids=["none", "left"])
def test_a_reader_of_the_progress_that_goes_away_costs_nothing(
    reader: str, small_model: Path, storage: Path, tmp_path: Path
) -> None:
    read_fd, write_fd = os.pipe()
    gone = subprocess.Popen(["sh", "-c", reader], stdin=read_fd, stderr=subprocess.DEVNULL)
    os.close(read_fd)
    try:
        assert_nothing_is_lost(write_fd, small_model, storage, tmp_path / "run.json")
    finally:
        os.close(write_fd)
        gone.kill()
        gone.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_standard_error_costs_nothing(small_model: Path, storage: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert_nothing_is_lost(full, small_model, storage, tmp_path / "run.json")
