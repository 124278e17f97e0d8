"""`ckpt-tui run` on a real terminal."""

import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.backends.runs import family, gone, scratch_folders, wait_until
from tests.tui.terminal import Terminal

COMMAND = Path(sys.executable).with_name("ckpt-tui")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 36), (200, 60)])
def test_progress_is_live_and_the_end_has_a_table_and_bars(columns: int, lines: int, storage: Path) -> None:
    terminal = Terminal(
        COMMAND,
        *("run", "--size", "17MiB", "--storage", str(storage), "--methods", "pytorch,tensorstore", "--repeats", "1"),
        columns=columns,
        lines=lines,
    )
    terminal.wait_for(lambda text: re.search(r"▶ (pytorch|tensorstore) +(save|load) [a-z-]+", text))
    assert terminal.finish() == 0
    assert re.search(r"pytorch .*verified", terminal.text) or columns == 80
    assert re.search(r"^tensorstore +[\d.]+ █+$", terminal.text, re.MULTILINE)
    widest = max(len(line) for line in terminal.text.splitlines())
    assert min(columns, 100) - 2 <= widest <= columns, "the bars fill the terminal up to their own limit"
    assert b"\x1b[?25h" in terminal.raw  # the cursor is back
    assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l")
    assert scratch_folders(storage) == []


@pytest.mark.parametrize("columns", [40, 60])
def test_on_a_narrow_terminal_names_and_figures_stay_readable(columns: int, small_model: Path, storage: Path) -> None:
    methods = ("pytorch", "ts+concurrency+compression")
    terminal = Terminal(
        COMMAND,
        *("run", "--model", str(small_model), "--storage", str(storage), "--methods", ",".join(methods)),
        *("--repeats", "1"),
        columns=columns,
        lines=60,
    )
    assert terminal.finish() == 0
    lines = [line.rstrip() for line in terminal.text.splitlines()]
    for method in methods:
        after = lines[lines.index(method) + 1 :]
        assert re.fullmatch(r"  save s +[\d.]+", after[0])
        assert re.fullmatch(r"  load s +[\d.]+", after[1])


def test_bytes_rate_and_time_left_are_shown_as_estimates(storage: Path) -> None:
    terminal = Terminal(
        COMMAND, "run", "--storage", str(storage), "--methods", "tensorstore", "--repeats", "1", columns=120
    )
    terminal.wait_for(lambda text: re.search(r"≈ \d+%, [\d.]+ MB, [\d.]+ MB/s, \d:\d\d left", text))
    terminal.process.sendintr()
    assert terminal.finish() == 130


def test_ctrl_c_stops_at_once_and_leaves_the_terminal_as_it_was(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    terminal = Terminal(
        COMMAND,
        *("run", "--model", str(small_model), "--storage", str(storage), "--methods", "pytorch,is-slow"),
        *("--repeats", "1", "--seed", "3"),
    )
    terminal.wait_for(lambda text: "▶ is-slow" in text and "measure" in text)
    below = family(terminal.pid)[1:]
    assert below
    terminal.process.sendintr()
    assert terminal.finish(timeout_s=10) == 130
    assert re.search(r"pytorch .*verified", terminal.text)
    assert "Traceback" not in terminal.text
    assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l")
    assert wait_until(lambda: gone(below))
    assert scratch_folders(storage) == []


def test_a_closed_terminal_ends_the_run_and_leaves_nothing(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    terminal = Terminal(COMMAND, "run", "--model", str(small_model), "--storage", str(storage), "--methods", "is-slow")
    terminal.wait_for(lambda text: "measure" in text)
    processes = family(terminal.pid)
    terminal.hang_up()
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP, "although nothing can be written any more"
    psutil.wait_procs(processes, timeout=15)
    assert gone(processes)
    assert scratch_folders(storage) == []


def test_colours_are_left_out_where_nobody_wants_them(
    small_model: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal(
        COMMAND,
        *("run", "--model", str(small_model), "--storage", str(storage), "--methods", "pytorch", "--repeats", "1"),
    )
    assert terminal.finish() == 0
    assert re.search(rb"\x1b\[[0-9;]*3[0-9]", terminal.raw) is None
