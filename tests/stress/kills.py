"""Kills at random, and somebody who cleans up all the time.

``python -m tests.stress.kills --kills 200`` kills the program, its worker or a trial at any moment, while another run
goes on in the same storage, and while `doctor`'s clean-up goes round and round beside them, here and in a PID namespace
of its own, where none of those processes exists. The other run has to end whole; what the killed leave has to be gone.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import psutil

from tests.backends.runs import family, gone, scratch_folders, wait_until
from tests.stress.monkey import at_home, make_model

COMMAND: Final = Path(sys.executable).with_name("ckpt-tui")
_METHODS: Final = "pytorch,safetensors,ts+chunks,ts+concurrency+chunks"
#: What `doctor --yes` does about leftovers, without its ten seconds of measuring memory.
_CLEAN: Final = """
import sys
from pathlib import Path
from backends.storage import scratch
from state.errors import CkptTuiError
while True:
    for orphan in scratch.orphans(Path(sys.argv[1])):
        if not orphan.doubt:
            try:
                scratch.remove(orphan.folder)
                print("removed", orphan.owner.run_id if orphan.owner else "?", flush=True)
            except CkptTuiError as error:
                print("refused", error, flush=True)
"""
_ELSEWHERE: Final = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@contextlib.contextmanager
def cleaners(storage: Path, log: Path) -> Iterator[int]:
    """Two that clean up while the body runs: one here, one in a PID namespace of its own, where that is permitted.

    Args:
        storage: Where.
        log: What they say goes there.

    Yields:
        How many there are.
    """
    ways: list[tuple[str, ...]] = [()]
    if subprocess.run([*_ELSEWHERE, "true"], capture_output=True, check=False).returncode == 0:
        ways.append(_ELSEWHERE)
    with log.open("w") as file:
        running = [
            subprocess.Popen([*way, sys.executable, "-c", _CLEAN, str(storage)], stdout=file, stderr=file)
            for way in ways
        ]
        try:
            yield len(running)
            assert all(process.poll() is None for process in running), log.read_text()
        finally:
            for process in running:
                process.kill()
                process.wait()


def start(storage: Path, model: Path, *, rounds: int, seed: int) -> subprocess.Popen[str]:
    """A run of its own, which says as JSON what it measured."""
    return subprocess.Popen(
        [
            *(COMMAND, "run", "--storage", str(storage), "--model", str(model), "--methods", _METHODS, "--quiet"),
            *("--repeats", str(rounds), "--seed", str(seed), "--format", "json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_one(random_: random.Random, storage: Path, model: Path) -> tuple[str, str | None]:
    """Start a run and kill one of its processes at any moment.

    Returns:
        What was killed, and what is wrong with what came of it.
    """
    run = start(storage, model, rounds=2, seed=random_.randrange(1000))
    time.sleep(random_.uniform(0.0, 6.0))
    processes = []
    victim = "nobody"
    with contextlib.suppress(psutil.Error):
        processes = family(run.pid)
        chosen = random_.choice(processes)
        victim = "the program" if chosen.pid == run.pid else " ".join(chosen.cmdline()[-3:])[:60]
        chosen.kill()
    told, _ = run.communicate(timeout=120)
    if "Traceback" in told:
        return victim, told
    if run.returncode not in (0, 1, -signal.SIGKILL):
        return victim, f"exit status {run.returncode}: {told[-1000:]}"
    if not wait_until(lambda: gone(processes), 20):
        return victim, "processes are left"
    return victim, None


def whole(told: str, returncode: int | None) -> str | None:
    """What is wrong with a run that nobody touched."""
    if returncode != 0 or '"failed"' in told:
        return f"the run that nobody killed has lost something (exit status {returncode}): {told[-2000:]}"
    return None


@click.command()
@click.option("--kills", type=int, default=200, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--storage", "parent", type=click.Path(path_type=Path, exists=True), default=Path(), show_default=True)
def main(kills: int, seed: int, parent: Path) -> None:
    """Kill, and tell of what should not be."""
    random_ = random.Random(seed)
    wrong: list[str] = []
    victims: dict[str, int] = {}
    others = 0
    with tempfile.TemporaryDirectory(prefix="kills-", dir=parent) as name, at_home(Path(name)):
        place = Path(name)
        storage, log = place / "storage", place / "cleaners.log"
        storage.mkdir()
        model = make_model(place)
        with cleaners(storage, log) as count:
            other = start(storage, model, rounds=8, seed=1)
            for number in range(kills):
                victim, problem = kill_one(random_, storage, model)
                victims[victim] = victims.get(victim, 0) + 1
                if problem:
                    wrong.append(f"kill {number} of {victim}: {problem}")
                    print(wrong[-1], flush=True)
                if other.poll() is not None or number == kills - 1:
                    others += 1
                    told, _ = other.communicate(timeout=300)
                    if problem := whole(told, other.returncode):
                        wrong.append(problem)
                        print(problem, flush=True)
                    other = start(storage, model, rounds=8, seed=number)
            os.killpg(other.pid, signal.SIGKILL)
            other.communicate()
            if not wait_until(lambda: not scratch_folders(storage), 20):
                wrong.append(f"left: {scratch_folders(storage)}")
        said = log.read_text()
    removed, refused = (len(re.findall(f"^{word}", said, re.MULTILINE)) for word in ("removed", "refused"))
    print(
        f"{kills} kills ({', '.join(f'{n} of {who}' for who, n in sorted(victims.items(), key=lambda it: -it[1]))}); "
        f"{others} runs beside them, untouched; {count} cleaners removed {removed} folders and were refused {refused} "
        f"times: {len(wrong)} problems"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
