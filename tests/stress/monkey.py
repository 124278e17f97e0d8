"""Somebody who presses anything at any moment: keys, mouse, sizes of the window, signals, an early end.

``python -m tests.stress.monkey --seeds 0:300`` plays 300 games, each in a real terminal with a real worker, and tells
of every crash, every screen that answers no more, every process and every file that is left. A seed decides what is
pressed; when it arrives, the machine decides.
"""

import contextlib
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import click
import psutil
import pytest

from tests.backends.runs import family, gone, scratch_folders, wait_until
from tests.tui.terminal import Terminal, assert_terminal_restored

COMMAND: Final = Path(sys.executable).with_name("ckpt-tui")
#: Textual's own ways out of an input field, and everything that has a meaning somewhere.
_KEYS: Final = (
    *"rxckzevwhqRp/isyltm?dnagu 0123456789.:-GMB",
    *("\r", "\t", "\x1b[Z", "\x1b", "\x7f", "\x10", "\x11", "\x03", "\x1a", "\x1bOP", "\x1b[3~"),
    *(f"\x1b[{letter}" for letter in "ABCDHF"),
    *(
        "\x1b[5~",
        "\x1b[6~",
        "\x1b[200~pasted\ntext\x1b[201~",
        "\x1b[I",
        "\x1b[O",
        "\x1b[99999;99999R",
        "ü",
        "漢",
        "\x00",
    ),
)
_SIGNALS: Final = (signal.SIGWINCH, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP)
_ENDS: Final = ("q", "q", "q", "INT", "TERM", "HUP", "closed", "KILL")
#: What is started anew after the monkey has left by itself.
_MOST_SECONDS_TO_LEAVE: Final = 20.0
#: Under load, what was typed so long ago may be answered now.
_LAST_KEYS: Final = 12


@dataclass
class Game:
    """What a seed has come to.

    Attributes:
        seed: Of what was pressed.
        did: The end of it, newest last.
        problems: What should not be.
        left_in_s: From the last key to the end of the program, each time that it was left with a key.
    """

    seed: int
    did: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_in_s: list[float] = field(default_factory=list)


def play(seed: int, time_s: float, model: Path) -> Game:
    """One game in folders of its own.

    Args:
        seed: Decides what is pressed, and how it ends.
        time_s: How long until then.
        model: What is measured.
    """
    game = Game(seed)
    with tempfile.TemporaryDirectory(prefix="monkey-", ignore_cleanup_errors=True) as place, at_home(Path(place)):
        try:
            _Player(game, Path(place), model).play(time_s)
        except AssertionError as error:
            game.problems.append(str(error))
    return game


@contextlib.contextmanager
def at_home(place: Path) -> Iterator[None]:
    """Home, history and current folder in one place, which a path that is typed at random does not leave."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            patch.setenv(name, str(place / name.lower()))
        patch.chdir(place)
        yield


class _Quick(Terminal):
    """A terminal that draws nothing until somebody looks: the emulator would be slower than the program."""

    def _draw(self, data: bytes) -> None:
        self.raw += data

    @property
    def text(self) -> str:
        """What the screen shows now."""
        self._stream.feed(self.raw[-(1 << 16) :])
        return super().text


class _Player:
    """Plays one game."""

    def __init__(self, game: Game, place: Path, model: Path) -> None:
        self._game = game
        self._random = random.Random(game.seed)
        self._storage = place / "storage"
        self._storage.mkdir()
        self._model = model
        self._processes: list[psutil.Process] = []
        self._lines, self._columns = self._size()
        self._open()

    def _size(self) -> tuple[int, int]:
        return self._random.randint(16, 60), self._random.randint(60, 200)

    def _open(self) -> None:
        self._terminal = _Quick(
            COMMAND,
            *("--storage", str(self._storage), "--model", str(self._model)),
            *("--methods", "pytorch,safetensors,ts+chunks,ts+compression", "--repeats", "2"),
            columns=self._columns,
            lines=self._lines,
        )
        deadline_s = time.monotonic() + 60
        while not (b"Quit" in self._terminal.raw or b"tab: next" in self._terminal.raw):
            assert self._read(), f"it has ended:\n{self._terminal.text}"
            assert time.monotonic() < deadline_s, f"it does not come up:\n{self._terminal.text}"

    def play(self, time_s: float) -> None:
        end_s = time.monotonic() + time_s
        while time.monotonic() < end_s:
            if not self._act():
                self._check_left("a key")
                self._open()
        self._leave(self._random.choice(_ENDS))

    def _act(self) -> bool:
        """Do anything. Returns whether the program is still there."""
        kind = self._random.choices(("keys", "mouse", "size", "signal", "worker", "wait"), (60, 12, 5, 4, 1, 18))[0]
        match kind:
            case "keys":
                self._send("".join(self._random.choices(_KEYS, k=self._random.choice((1, 1, 1, 2, 5)))))
            case "mouse":
                self._mouse()
            case "size":
                self._lines, self._columns = self._size()
                self._note(f"{self._columns}x{self._lines}")
                self._terminal.process.setwinsize(self._lines, self._columns)
                self._terminal.screen.resize(self._lines, self._columns)
            case "signal":
                self._signal(self._random.choice(_SIGNALS))
            case "worker":
                self._kill_worker()
            case _:
                time.sleep(self._random.uniform(0.0, 0.6))
        self._see()
        return self._read()

    def _note(self, did: str) -> None:
        self._game.did = [*self._game.did[-30:], did]

    def _send(self, keys: str) -> None:
        self._note(repr(keys))
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            self._terminal.process.send(keys)

    def _mouse(self) -> None:
        column, line = self._random.randint(1, self._columns), self._random.randint(1, self._lines)
        button = self._random.choice((0, 0, 0, 2, 35, 64, 65))
        self._send(f"\x1b[<{button};{column};{line}M" + (f"\x1b[<0;{column};{line}m" if button == 0 else ""))

    def _signal(self, number: signal.Signals) -> None:
        self._note(number.name)
        with contextlib.suppress(psutil.Error):
            explorer = psutil.Process(self._terminal.pid)
            explorer.send_signal(number)
            if number in (signal.SIGSTOP, signal.SIGTSTP):
                time.sleep(self._random.uniform(0.0, 0.5))
                explorer.send_signal(signal.SIGCONT)

    def _kill_worker(self) -> None:
        self._note("worker killed")
        with contextlib.suppress(psutil.Error, IndexError):
            self._random.choice(
                [it for it in family(self._terminal.pid) if "backends.process.worker" in it.cmdline()]
            ).kill()

    def _see(self) -> None:
        """Remember every process, so that none is overlooked when its parent has gone."""
        with contextlib.suppress(psutil.Error):
            self._processes = list({*self._processes, *family(self._terminal.pid)})

    def _read(self) -> bool:
        """Take what is drawn. A job that stopped itself goes on: there is no shell that would say `fg`."""
        with contextlib.suppress(psutil.Error):
            explorer = psutil.Process(self._terminal.pid)
            if explorer.status() == psutil.STATUS_STOPPED:
                for process in family(self._terminal.pid):
                    process.send_signal(signal.SIGCONT)
        return self._terminal.read()

    def _leave(self, how: str) -> None:
        self._note(f"end: {how}")
        self._see()
        # Or it was left by what was typed, or is just being left because of that.
        typed = "".join(self._game.did[-_LAST_KEYS:])
        was_there = self._terminal.process.isalive() and "q" not in typed and "\\x11" not in typed
        if how == "q":
            self._answers()
            self._send("\x11")
            self._wait_for_end(agree=True)
        elif how == "closed":
            self._terminal.hang_up()
        else:
            with contextlib.suppress(psutil.Error):
                psutil.Process(self._terminal.pid).send_signal(signal.Signals[f"SIG{how}"])
            self._wait_for_end(agree=False)
        self._check_left(how, was_there=was_there)

    def _answers(self) -> None:
        """The screen is not stuck: with every dialog closed, the help comes and goes."""
        seen_bytes = len(self._terminal.raw)
        deadline_s = time.monotonic() + 15
        while len(self._terminal.raw) == seen_bytes:
            assert time.monotonic() < deadline_s, f"nothing is drawn any more:\n{self._terminal.text}"
            self._send(self._random.choice(("\t", "\x10", "\x1b")))
            time.sleep(0.4)
            if not self._read():
                return
        for _ in range(4):
            self._send("\x1b")
            time.sleep(0.4)
            self._read()

    def _wait_for_end(self, *, agree: bool) -> None:
        """Until it has ended; what it asks before is answered, and ctrl+q pressed again where a run ended meanwhile."""
        began_s = asked_s = time.monotonic()
        seen_bytes = len(self._terminal.raw)
        while self._read():
            now_s = time.monotonic()
            if agree and b"Leave?" in self._terminal.raw[seen_bytes:]:
                self._send("y")
                began_s = asked_s = now_s  # from the answer on, it shall be quick
                seen_bytes = len(self._terminal.raw)
            elif agree and now_s > asked_s + 2.0:
                self._send("\x11")
                asked_s = now_s
            assert now_s < began_s + _MOST_SECONDS_TO_LEAVE, f"it does not end:\n{self._terminal.text}"
        if self._game.did[-1] != "end: KILL":
            self._game.left_in_s.append(time.monotonic() - began_s)

    def _check_left(self, how: str, *, was_there: bool = False) -> None:
        """Nothing but files that were asked for is left, and the status says how it ended."""
        self._note("left")
        if not wait_until(lambda: gone(self._processes), _MOST_SECONDS_TO_LEAVE):
            left = [" ".join(it.cmdline()) for it in self._processes if it.is_running()]
            for process in self._processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            raise AssertionError(f"processes are left: {left}")
        self._processes.clear()
        gone_by_then = wait_until(lambda: not scratch_folders(self._storage), _MOST_SECONDS_TO_LEAVE)
        assert gone_by_then, f"scratch is left: {scratch_folders(self._storage)}"
        words = self._terminal.raw.decode(errors="replace")
        assert "Traceback" not in words, f"a traceback:\n{words[words.index('Traceback') :][:3000]}"
        assert "a fault of its own" not in words, f"a fault:\n{_log()}"
        if how == "closed":
            return
        self._terminal.process.close()
        expected = {"KILL": -signal.SIGKILL, "INT": 130, "TERM": 143, "HUP": 129}.get(how, 0)
        ended = self._terminal.process.exitstatus
        status = -self._terminal.process.signalstatus if ended is None else ended
        # Typed while it is suspended, ctrl+c is no key: without a shell, the terminal sends a signal.
        by_default = -signal.Signals[f"SIG{how}"] if f"SIG{how}" in signal.Signals.__members__ else expected
        possible = (expected,) if was_there else (expected, by_default, 0, 130, -signal.SIGINT)
        assert status in possible, f"status {status} after {how}"
        if how not in ("HUP", "KILL"):  # it leads its session here: no terminal is left to whoever tidies up
            assert_terminal_restored(self._terminal)


def _log() -> str:
    logs = sorted(Path(os.environ["XDG_STATE_HOME"]).rglob("*.log"), key=lambda path: path.stat().st_mtime)
    return logs[-1].read_text()[-4000:] if logs else "no log"


def make_model(folder: Path) -> Path:
    """A model of 1.6 MB."""
    import numpy as np
    from safetensors.numpy import save_file

    path = folder / "small.safetensors"
    rng = np.random.default_rng(7)
    save_file({f"layer.{n}": rng.standard_normal((100, 500), np.float32) for n in range(8)}, path)
    return path


@click.command()
@click.option("--seeds", default="0:300", show_default=True, metavar="FROM:TO")
@click.option("--seconds", "time_s", type=float, default=20.0, show_default=True, help="Of each game.")
@click.option("--jobs", type=int, default=4, show_default=True, help="Games at once.")
def main(seeds: str, time_s: float, jobs: int) -> None:
    """Play, and tell of what should not be."""
    first, last = map(int, seeds.split(":"))
    left_in_s: list[float] = []
    wrong = 0
    with (
        tempfile.TemporaryDirectory(prefix="monkey-model-") as folder,
        ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
    ):
        model = make_model(Path(folder))
        count = last - first
        for game in pool.map(play, range(first, last), [time_s] * count, [model] * count):
            left_in_s += game.left_in_s
            wrong += bool(game.problems)
            for problem in game.problems:
                print(f"seed {game.seed}: {problem}\n  after {' '.join(game.did)}", flush=True)
    left_in_s = sorted(left_in_s) or [math.nan]
    print(
        f"{count} games, seeds {first} to {last - 1}, {time_s:g} s each, {jobs} at once: {wrong} with a problem; "
        f"left {len(left_in_s)} times in {left_in_s[len(left_in_s) // 2]:.2f} s (median), "
        f"{left_in_s[int(len(left_in_s) * 0.95)]:.2f} s (95 %), {left_in_s[-1]:.2f} s (longest)"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
