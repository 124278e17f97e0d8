"""What the explorer costs while six methods run: keys, processor, and the methods' own times.

    python -m bench.ui_latency --storage DIR

Three figures, each measured in a pseudo-terminal of 120x36 on the demo model:

- the time from a key (`k`, which flips a switch) until the screen shows what it did, over at least 200 keys;
- the share of a core that the explorer's own process takes, without keys;
- the methods' times with the explorer open over those of `ckpt-tui run`, in alternating order.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import psutil

from bench.pty_app import PtyApp, says

COMMAND = str(Path(sys.executable).with_name("ckpt-tui"))
IDLE_S = 20.0
LEAVE_S = 60.0


def open_explorer(storage: Path, environment: Mapping[str, str], *options: str) -> PtyApp:
    """The explorer with its worker ready."""
    app = PtyApp([COMMAND, "--storage", str(storage), *options], environment)
    app.wait_for(says("q Quit"))
    return app


def leave(app: PtyApp) -> None:
    """Stop what runs, and leave in order."""
    app.send(b"x")
    time.sleep(1.0)
    app.send(b"q")
    deadline_s, seen = time.monotonic() + LEAVE_S, b""
    try:
        while time.monotonic() < deadline_s:
            seen += app.read(1.0)
            if b"Leave?" in seen:  # the run was not stopped yet
                app.send(b"y")
                seen = b""
    except EOFError:
        os.waitpid(app.pid, 0)
        return
    app.close()
    raise TimeoutError(f"the explorer did not end in {LEAVE_S:g} s")


def keys_and_processor(storage: Path, environment: Mapping[str, str], keys: int) -> tuple[list[float], float]:
    """Seconds from each key to its screen, and the explorer's share of a core."""
    app = open_explorer(storage, environment, "--repeats", "20")
    app.send(b"r")
    app.wait_for(says("measure"))
    process = psutil.Process(app.pid)
    start_s, before = time.monotonic(), process.cpu_times()
    while time.monotonic() - start_s < IDLE_S:
        app.read(0.2)
    after = process.cpu_times()
    share = (after.user + after.system - before.user - before.system) / (time.monotonic() - start_s)
    delays_s = []
    for number in range(keys):
        pause_end_s = time.monotonic() + random.uniform(0.1, 0.3)
        while time.monotonic() < pause_end_s:
            app.read(0.02)
        sent_s = app.send(b"k")
        word = "= ts+chunks" if number % 2 == 0 else "= tensorstore"
        delays_s.append(app.wait_for(says(word), 10) - sent_s)
    leave(app)
    return delays_s, share


def times(document: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Method and operation -> seconds."""
    return {
        (result["method"], operation): result[operation]["median_s"]
        for result in document["results"]
        for operation in ("save", "load")
    }


def by_run(storage: Path, environment: Mapping[str, str], seed: int) -> dict[tuple[str, str], float]:
    """The methods' times without the explorer."""
    command = [COMMAND, "run", "--quiet", "--storage", str(storage), "--repeats", "1", "--format", "json"]
    output = subprocess.run([*command, "--seed", str(seed)], env=dict(environment), capture_output=True, check=True)
    return times(json.loads(output.stdout))


def by_explorer(storage: Path, environment: Mapping[str, str], seed: int) -> dict[tuple[str, str], float]:
    """The methods' times with it."""
    app = open_explorer(storage, environment, "--repeats", "1", "--seed", str(seed))
    app.send(b"r")
    app.wait_for(says("all verified"), 300)
    leave(app)
    command = [COMMAND, "history", "show", "last", "--format", "json"]
    output = subprocess.run(command, env=dict(environment), capture_output=True, check=True)
    return times(json.loads(output.stdout))


@click.command()
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--keys", default=200, show_default=True)
@click.option("--rounds", default=5, show_default=True, help="Of both ways to measure.")
def main(storage: Path, keys: int, rounds: int) -> None:
    """Print the three figures."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "HOME": home,
            "XDG_DATA_HOME": f"{home}/data",
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        delays_s, share = keys_and_processor(storage, environment, keys)
        ordered = sorted(delays_s)
        print(
            f"key to screen, {keys} keys: median {1000 * statistics.median(ordered):.0f} ms, "
            f"99th percentile {1000 * ordered[int(0.99 * len(ordered))]:.0f} ms"
        )
        print(f"the explorer's process: {share:.1%} of a core")
        ratios: dict[tuple[str, str], list[float]] = {}
        for number in range(rounds):
            ways = (by_explorer, by_run) if number % 2 else (by_run, by_explorer)
            measured = {way: way(storage, environment, number) for way in ways}
            for key, plain_s in measured[by_run].items():
                ratios.setdefault(key, []).append(measured[by_explorer][key] / plain_s)
        everything = [ratio for samples in ratios.values() for ratio in samples]
        print(f"times with the explorer over those of `ckpt-tui run`, {rounds} interleaved rounds, medians")
        for (method, operation), samples in ratios.items():
            print(f"  {method:<16}{operation:<6}{statistics.median(samples):.3f}")
        if everything:
            print(f"  all             {statistics.median(everything):.3f}")


if __name__ == "__main__":
    main()
