"""The installed explorer in a real terminal, with real workers on a real disk."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from state.history.store import History
from tests.backends.runs import family, gone, made_by_a_dead_process, scratch_folders, wait_until
from tests.tui.terminal import Terminal, assert_terminal_restored

COMMAND = Path(sys.executable).with_name("ckpt-tui")
SIX_DONE = re.compile(r"(✓.*\n?){6}")


def open_explorer(storage: Path, *options: str, columns: int = 120, lines: int = 36) -> Terminal:
    """The explorer, as soon as it has drawn itself."""
    terminal = Terminal(COMMAND, "--storage", str(storage), *options, columns=columns, lines=lines)
    terminal.wait_for(lambda text: "q Quit" in text or "tab: next" in text)
    return terminal


def press(terminal: Terminal, *keys: str) -> None:
    """Send keys, one after the other."""
    for key in keys:
        terminal.process.send(key)
        time.sleep(0.4 if key == "\x1b" else 0.05)  # an escape that is followed at once is the start of a sequence


def explorer_process(terminal: Terminal) -> psutil.Process:
    """The process that draws, whatever started it."""
    for process in family(terminal.pid):
        if "explore" in " ".join(process.cmdline()) or str(COMMAND) in process.cmdline():
            return process
    raise AssertionError("there is no explorer")


def test_six_methods_toggle_rerun_export_and_read_back(small_model: Path, storage: Path, tmp_path: Path) -> None:
    terminal = open_explorer(storage, "--model", str(small_model), "--repeats", "1")
    press(terminal, "r")  # at once, whatever the worker is still importing
    terminal.wait_for(lambda text: "all verified" in text, timeout_s=90)
    assert terminal.text.count("✓") == 6
    assert "█" in terminal.text
    press(terminal, "c", "k")
    terminal.wait_for(lambda text: "r measures what is missing: ts+concurrency+chunks" in text)
    press(terminal, "r")
    terminal.wait_for(lambda text: text.count("✓") == 7)
    press(terminal, "e")
    terminal.wait_for(lambda text: "Export" in text and "Folder" in text)
    press(terminal, "\x1b[Z", "\x1b[Z")  # nothing is lost by walking through the form
    press(terminal, "\x1b")
    terminal.wait_for(lambda text: "Folder" not in text)
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0
    assert_terminal_restored(terminal)
    assert scratch_folders(storage) == []
    with History() as history:
        assert [entry.done for entry in history.runs()] == [4, 14]


def test_a_run_of_yesterday_is_opened_out_of_the_history(small_model: Path, storage: Path) -> None:
    terminal = open_explorer(storage, "--model", str(small_model), "--repeats", "1", "--methods", "pytorch,t5x")
    press(terminal, "h")
    terminal.wait_for(lambda text: "No runs yet" in text)
    press(terminal, "\x1b", "r")
    terminal.wait_for(lambda text: "all verified" in text, timeout_s=90)
    row = next(line for line in terminal.text.splitlines() if "✓ t5x" in line)
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0

    terminal = open_explorer(storage)
    assert "✓" not in terminal.text
    press(terminal, "h")
    terminal.wait_for(lambda text: "✓ 6/6" in text and "small" in text and "verified" in text)
    press(terminal, "n", *"mine", "\r")
    terminal.wait_for(lambda text: "mine" in text and "A name for" not in text)
    press(terminal, "\r")
    terminal.wait_for(lambda text: "all verified" in text and "Optimizations" in text)
    assert row in terminal.text
    assert terminal.text.count("✓") == 2
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0
    assert_terminal_restored(terminal)
    with History() as history:
        assert history.find("mine").plan.methods == ("pytorch", "t5x")


def test_an_export_from_the_terminal_can_be_read_back(
    small_model: Path, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    terminal = open_explorer(storage, "--model", str(small_model), "--repeats", "1", "--methods", "pytorch,t5x")
    press(terminal, "r")
    terminal.wait_for(lambda text: "all verified" in text, timeout_s=90)
    press(terminal, "e")
    terminal.wait_for(lambda text: "a row per trial" in text)
    press(terminal, "\r")
    terminal.wait_for(lambda text: text.count("wrote ") == 2, timeout_s=60)
    press(terminal, "\x1b", "q")
    assert terminal.finish(timeout_s=30) == 0
    (written,) = tmp_path.glob("ckpt-tui-*.csv")
    rows = list(csv.DictReader(written.open(newline="")))
    assert [(row["method"], row["operation"], row["verified"]) for row in rows] == [
        (method, operation, "true") for method in ("pytorch", "t5x") for operation in ("save", "load")
    ]
    assert next(tmp_path.glob("ckpt-tui-*.png")).read_bytes().startswith(b"\x89PNG")


def test_stop_is_instant_resizing_harmless_and_leaving_a_run_asks(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    terminal = open_explorer(storage, "--model", str(small_model), "--methods", "pytorch,is-slow", "--seed", "3")
    press(terminal, "r")
    terminal.wait_for(lambda text: "is-slow save measure" in text, timeout_s=90)
    for lines, columns in ((5, 20), (24, 80), (60, 200), (36, 120)):
        terminal.process.setwinsize(lines, columns)
        terminal.screen.resize(lines, columns)
        time.sleep(0.3)
        terminal.read()
    terminal.wait_for(lambda text: "is-slow save measure" in text and "Optimizations" in text)
    trial = [process for process in family(terminal.pid) if "backends.process.worker" in " ".join(process.cmdline())][
        1:
    ]
    press(terminal, "q")
    terminal.wait_for(lambda text: "Leave?" in text)
    press(terminal, "\r")
    terminal.wait_for(lambda text: "Leave?" not in text)
    press(terminal, "x")
    terminal.wait_for(lambda text: "stopped" in text, timeout_s=5)
    assert gone(trial)
    assert scratch_folders(storage) == []
    processes = family(terminal.pid)
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0
    assert wait_until(lambda: gone(processes))
    assert_terminal_restored(terminal)


def test_a_killed_worker_costs_one_trial(small_model: Path, storage: Path, faulty_methods: None) -> None:
    terminal = open_explorer(
        storage, "--model", str(small_model), "--methods", "pytorch,is-slow,t5x", "--seed", "3", "--repeats", "1"
    )
    press(terminal, "r")
    terminal.wait_for(lambda text: "is-slow save measure" in text, timeout_s=90)
    worker = next(p for p in family(terminal.pid) if "backends.process.worker" in " ".join(p.cmdline()))
    worker.kill()
    terminal.wait_for(lambda text: "1 failed" in text, timeout_s=90)
    assert terminal.text.count("✓") == 2
    assert "Traceback" not in terminal.text
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0
    assert scratch_folders(storage) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(
    number: signal.Signals, small_model: Path, storage: Path, faulty_methods: None
) -> None:
    terminal = open_explorer(storage, "--model", str(small_model), "--methods", "is-slow")
    press(terminal, "r")
    terminal.wait_for(lambda text: "is-slow save measure" in text, timeout_s=90)
    processes = family(terminal.pid)
    explorer_process(terminal).send_signal(number)
    assert terminal.finish(timeout_s=30) == 128 + number
    assert wait_until(lambda: gone(processes))
    assert scratch_folders(storage) == []
    if number != signal.SIGHUP:  # after a hang-up there is no terminal to restore
        assert_terminal_restored(terminal)
    assert "Traceback" not in terminal.text


def test_a_signal_is_heard_although_the_terminal_takes_nothing_more(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    terminal = open_explorer(storage, "--model", str(small_model), "--methods", "is-slow", columns=200, lines=60)
    press(terminal, "r")
    terminal.wait_for(lambda text: "is-slow save measure" in text, timeout_s=90)
    explorer = explorer_process(terminal)
    worker = [
        process for process in explorer.children(recursive=True) if "backends.process.worker" in process.cmdline()
    ]
    assert worker
    for _ in range(60):  # each draws the whole screen anew, and nobody reads
        explorer.send_signal(signal.SIGCONT)
        press(terminal, "t")
    explorer.send_signal(signal.SIGTERM)
    _, status = os.waitpid(explorer.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGTERM
    terminal.hang_up()  # who tidies up the terminal waits for it, too
    assert wait_until(lambda: gone(worker))
    assert scratch_folders(storage) == []


def test_a_closed_terminal_of_an_idle_explorer_leaves_nothing(storage: Path) -> None:
    terminal = in_a_shell("--storage", str(storage))
    processes = family(terminal.pid)
    assert len(processes) >= 3
    terminal.hang_up()
    psutil.wait_procs(processes, timeout=20)
    assert gone(processes)


def test_a_closed_terminal_leaves_nothing(small_model: Path, storage: Path, faulty_methods: None) -> None:
    terminal = open_explorer(storage, "--model", str(small_model), "--methods", "is-slow")
    press(terminal, "r")
    terminal.wait_for(lambda text: "is-slow save measure" in text, timeout_s=90)
    processes = family(terminal.pid)
    terminal.hang_up()
    psutil.wait_procs(processes, timeout=20)
    assert gone(processes)
    assert scratch_folders(storage) == []


def test_a_terminal_that_is_not_our_own_may_go_without_a_signal(storage: Path) -> None:
    terminal = Terminal(Path("/usr/bin/setsid"), "--wait", str(COMMAND), "--storage", str(storage))
    terminal.wait_for(lambda text: "q Quit" in text)
    processes = family(terminal.pid)[1:]
    assert len(processes) >= 2
    terminal.hang_up()
    psutil.wait_procs(processes, timeout=20)
    assert gone(processes)


def in_a_shell(*options: str) -> Terminal:
    """The explorer as a job of an interactive shell, which stays when it ends."""
    terminal = Terminal(Path("/bin/bash"), "--norc", "-i")
    terminal.process.sendline(" ".join([f"PS1='ready> '; {COMMAND}", *options]))
    terminal.wait_for(lambda text: "q Quit" in text)
    return terminal


def test_kill_9_gives_the_terminal_back_and_leaves_no_process(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    terminal = in_a_shell(
        "--storage", str(storage), "--model", str(small_model), "--methods", "pytorch,is-slow --seed 3"
    )
    press(terminal, "r")
    terminal.wait_for(lambda text: "is-slow save measure" in text, timeout_s=90)
    explorer = explorer_process(terminal)
    below = explorer.children(recursive=True)
    assert any("backends.process.worker" in " ".join(process.cmdline()) for process in below)
    explorer.kill()
    terminal.wait_for(lambda text: "it was killed; finished results are in" in text, timeout_s=15)
    assert wait_until(lambda: gone(below))
    assert scratch_folders(storage) == []
    assert_terminal_restored(terminal)
    terminal.process.sendline("stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo | sort | xargs echo modes:")
    terminal.wait_for(lambda text: "modes: echo icanon" in text, timeout_s=15)
    with History() as history:
        (entry,) = history.runs()
        assert (entry.status, entry.done) == ("cancelled", 4)
        assert history.get(entry.run_id).measured("pytorch")
    terminal.process.close()


def test_a_key_that_is_held_down_suspends_once_and_stops_nothing_else(storage: Path) -> None:
    terminal = open_explorer(storage)
    explorer = explorer_process(terminal)
    terminal.process.send("\x1a" * 6)
    for _ in range(6):
        if wait_until(lambda: explorer.status() == psutil.STATUS_STOPPED, 1):
            os.killpg(explorer.pid, signal.SIGCONT)
    terminal.screen.reset()
    terminal.wait_for(lambda text: "Optimizations" in text and "q Quit" in text, timeout_s=15)
    terminal.settle(1.0)
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0
    assert_terminal_restored(terminal)


def test_suspend_goes_back_to_the_shell_and_fg_returns(small_model: Path, storage: Path) -> None:
    terminal = in_a_shell("--storage", str(storage), "--model", str(small_model))
    press(terminal, "\x1a")
    terminal.wait_for(lambda text: "Stopped" in text, timeout_s=15)
    terminal.process.sendline("echo in the $((40 + 2)) shell")
    terminal.wait_for(lambda text: "in the 42 shell" in text, timeout_s=15)
    terminal.process.sendline("fg")
    terminal.wait_for(lambda text: "Optimizations" in text and "q Quit" in text, timeout_s=15)
    press(terminal, "q")
    terminal.wait_for(lambda text: "ready> " in text, timeout_s=15)  # what was drawn over it is not restored by pyte
    terminal.process.close()


@pytest.mark.parametrize(
    "how", ["kill %1", "kill -HUP %1", "kill -INT {pid}; kill -CONT {pid}", "kill -CONT {pid}; sleep 0.3; kill {pid}"]
)
def test_a_suspended_explorer_ends_when_it_is_told_to(how: str, small_model: Path, storage: Path) -> None:
    terminal = in_a_shell("--storage", str(storage), "--model", str(small_model))
    below = family(terminal.pid)[1:]
    explorer = next(process for process in below if str(COMMAND) in process.cmdline())
    press(terminal, "\x1a")
    terminal.wait_for(lambda text: "Stopped" in text, timeout_s=15)
    terminal.process.sendline(how.format(pid=explorer.pid))
    assert wait_until(lambda: gone(below), 15)
    terminal.process.sendline("stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo | sort | xargs echo modes:")
    terminal.wait_for(lambda text: "modes: echo icanon" in text, timeout_s=15)
    terminal.process.close()


def test_after_a_stop_and_a_continue_from_outside_the_whole_screen_is_drawn_again(
    small_model: Path, storage: Path
) -> None:
    terminal = open_explorer(storage, "--model", str(small_model))
    explorer = explorer_process(terminal)
    threads = explorer.num_threads()
    stops = 8  # more than the threads that the pool of the event loop may still start meanwhile
    for _ in range(stops):
        explorer.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: explorer.status() == psutil.STATUS_STOPPED)
        terminal.screen.reset()  # what somebody else did to it
        explorer.send_signal(signal.SIGCONT)
        terminal.wait_for(lambda text: "Optimizations" in text and "q Quit" in text, timeout_s=15)
    assert explorer.num_threads() < threads + stops, "each leaves a thread behind"
    terminal.settle(1.0)  # what is typed while it takes the terminal back is lost
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0
    assert_terminal_restored(terminal)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_be_drawn_on_is_one_sentence(
    term: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    terminal = Terminal(COMMAND, "--storage", str(storage))
    assert terminal.finish() == 2
    assert f"cannot draw on a {term} terminal (TERM): use ckpt-tui run" in terminal.text
    assert b"\x1b" not in terminal.raw


@pytest.mark.parametrize("window", [(0, 0), (0, 120), (50, 0)])
def test_a_window_without_a_size_is_taken_for_a_usual_one_until_it_has_one(
    window: tuple[int, int], storage: Path
) -> None:
    terminal = Terminal(COMMAND, "--storage", str(storage), lines=window[0], columns=window[1], screen=(60, 130))
    terminal.wait_for(lambda text: "q Quit" in text)

    def is_at_rest() -> bool:
        drawn_bytes = len(terminal.raw)
        terminal.settle()
        return len(terminal.raw) == drawn_bytes

    assert wait_until(is_at_rest, 30), "it draws the same again and again"
    terminal.process.setwinsize(60, 130)
    terminal.wait_for(lambda text: "q Quit" in text.splitlines()[-1])
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0


def test_columns_and_lines_do_not_overrule_the_window(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    terminal = open_explorer(storage, columns=120, lines=36)
    assert "q Quit" in terminal.text.splitlines()[-1]
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0


def test_leftovers_of_a_killed_run_are_offered_for_removal(storage: Path) -> None:
    folder = made_by_a_dead_process(storage)
    terminal = open_explorer(storage)
    terminal.wait_for(lambda text: "Leftovers" in text)
    press(terminal, "y")
    assert wait_until(lambda: not folder.exists())
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0


def test_a_wrong_setting_is_one_sentence(storage: Path) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "ckpt-tui" / "settings.toml"
    path.parent.mkdir(parents=True)
    path.write_text('theme = "pink"')
    terminal = Terminal(COMMAND, "--storage", str(storage), columns=200)
    assert terminal.finish() == 2
    assert "settings.toml cannot be used" in terminal.text
    assert "Traceback" not in terminal.text


WRONG_SETTINGS = {
    'repeats = "many"': "'many' is no whole number",
    "repeats = 0": "0 rounds are out of range",
    "seed = 1.5": "'1.5' is no whole number",
    'size = "x"': "'x' is not a size",
    'storage = "/no/such"': "the storage folder /no/such does not exist",
    'storage = ""': "the storage has no name",
    'methods = "nope"': "there is no method 'nope'",
    'cache = "luke"': "'luke' is not one of",
    "timeout = -1": "'-1' is no time",
    'with-optimizer = "perhaps"': "'perhaps' is not a valid boolean",
    'budget = "3min"': "without a precision none are added",
    "nonsense = 1": "name 'nonsense' under [defaults]",
    "repeats = 5\ncodec = 'bzip2'": "bzip2",
    "repeats = 5\nconcurrency = 0": "a concurrency of 0 is out of range",
}


@pytest.mark.parametrize("lines", WRONG_SETTINGS)
def test_a_wrong_default_is_told_with_its_file_and_key(lines: str) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "ckpt-tui" / "settings.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f"[defaults]\n{lines}\n")
    result = subprocess.run([COMMAND], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert str(path) in result.stderr
    assert lines.splitlines()[-1].partition(" ")[0] in result.stderr
    assert WRONG_SETTINGS[lines] in result.stderr
    assert "repeats = 5" not in result.stderr, "somebody else is to blame"


def test_a_wrong_default_does_no_harm_where_the_command_line_says_something_else(storage: Path) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "ckpt-tui" / "settings.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[defaults]\nstorage = "/mnt/not-plugged-in"\n')
    terminal = open_explorer(storage)
    press(terminal, "q")
    assert terminal.finish(timeout_s=30) == 0


def test_settings_choose_theme_keys_and_defaults(storage: Path) -> None:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "ckpt-tui" / "settings.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'ascii = true\n[keys]\nquit = "f10"\n[defaults]\nstorage = "{storage}"\nrepeats = 7\nsize = "20MB"'
    )
    terminal = Terminal(COMMAND)
    terminal.wait_for(lambda text: "f10 Quit" in text)
    assert "7 rounds" in terminal.text
    assert "demo 20MB" in terminal.text
    assert "+- Methods" in terminal.text
    press(terminal, "q", "\x1b[21~")
    assert terminal.finish(timeout_s=30) == 0


def test_without_a_terminal_it_says_what_to_use(storage: Path) -> None:
    result = subprocess.run([COMMAND], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert result.returncode == 2
    assert result.stderr == "ckpt-tui: the explorer needs a terminal: use ckpt-tui run where there is none.\n"


def test_why_says_which_switch_did_it_after_all_cells_were_measured(small_model: Path, storage: Path) -> None:
    terminal = open_explorer(storage, "--model", str(small_model), "--repeats", "3", "--methods", "cells")
    press(terminal, "w")
    terminal.wait_for(lambda text: "Nothing is measured" in text)
    press(terminal, "r")
    terminal.wait_for(lambda text: "cells are missing" in text or "The eight cells" in text, timeout_s=90)
    terminal.wait_for(lambda text: "From tensorstore to t5x" in text and "trial " not in text, timeout_s=150)
    assert re.search(r"Chunking|chunking|No switch|What does it", terminal.text)
    assert "64x64 tiles" in terminal.text
    press(terminal, "v")
    terminal.wait_for(lambda text: "load time, s" in text)
    press(terminal, "\x1b", "h")
    terminal.wait_for(lambda text: "1 run" in text and "8 x3" in text)
    press(terminal, "\x1b", "q")
    assert terminal.finish() == 0
