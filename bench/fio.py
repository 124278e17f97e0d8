"""Our limit of the storage device beside what fio measures, on the same folder in the same minutes.

    python -m bench.fio --storage DIR

Ours is a trial of the limit, durable and cold, as in every run. fio writes and reads as many bytes, past the page
cache, in requests of the block size and depth that ours chose in its last round, with a sync of the file at the end of
a write. They take turns, and who begins alternates. Quote the medians of one run.
"""

import json
import mmap
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from backends import pagecache
from backends.blocks import Pattern
from backends.limits import PATTERNS, LimitTrial
from backends.patterns import TRY_BYTES
from bench.report import Bench
from state.plan import OPERATIONS, Operation, Plan
from state.units import format_rate, parse_size

PLAN = Plan(methods=("pytorch",))  # which method does not matter here
#: Virtual disks are throttled with credit for bursts: whoever comes right after heavy traffic gets less. So everybody
#: waits this long first.
PAUSE_S = 3.0
#: What fio moves first and discards, as much as ours does in its warm-up.
WARM_UP_BYTES = (1 + len(PATTERNS)) * TRY_BYTES


class Ours:
    """The limit of a plan.

    Args:
        source: What is written.
        folder: Where.
    """

    def __init__(self, source: memoryview, folder: Path) -> None:
        self._source = source
        self._folder = folder / "ours"
        self.patterns: dict[Operation, Pattern] = {}

    def measure(self) -> dict[Operation, float]:
        """Bytes per second of one save and one load."""
        rates: dict[Operation, float] = {}
        for operation in OPERATIONS:
            time.sleep(PAUSE_S)
            trial = LimitTrial(self._source, PLAN, operation, lambda phase, moved_bytes: None)
            result = trial.save(self._folder) if operation == "save" else trial.load(self._folder)
            rates[operation] = len(self._source) / result.time_s
            self.patterns[operation] = Pattern(result.spec["block_bytes"], result.spec["depth"])
        shutil.rmtree(self._folder)
        return rates


def fio(size_bytes: int, folder: Path, patterns: dict[Operation, Pattern], engine: str) -> dict[Operation, float]:
    """Bytes per second that fio writes and reads. Its clock has a resolution of a millisecond."""
    rates: dict[Operation, float] = {}
    path, warm_up = folder / "fio", folder / "fio-warm-up"
    for operation in OPERATIONS:
        time.sleep(PAUSE_S)
        for file, file_bytes in ((warm_up, WARM_UP_BYTES), (path, size_bytes)):
            pagecache.settle(folder)
            pagecache.evict(folder)
            rates[operation] = _run_fio(file, file_bytes, operation, patterns[operation], engine)
    # Deleting may go on in the background (the mount option discard), so nothing is deleted before the last clock.
    path.unlink()
    warm_up.unlink()
    return rates


def _run_fio(path: Path, size_bytes: int, operation: Operation, pattern: Pattern, engine: str) -> float:
    block_bytes, depth = pattern
    mode = "write" if operation == "save" else "read"
    command = [
        *("fio", "--name=limit", f"--filename={path}", f"--rw={mode}", f"--bs={block_bytes}"),
        *(f"--ioengine={engine}", "--direct=1", "--end_fsync=1", "--group_reporting", "--output-format=json"),
    ]
    if engine == "libaio":
        command += [f"--iodepth={depth}", f"--size={size_bytes}"]
    else:  # one request a thread: each takes its part of the file
        part_bytes = -(-size_bytes // depth // block_bytes) * block_bytes
        command += [f"--numjobs={depth}", "--thread", f"--size={part_bytes}", f"--offset_increment={part_bytes}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(output)["jobs"][0][mode]
    rate: float = figures["io_bytes"] / (figures["runtime"] / 1000)
    return rate


@click.command(cls=Bench)
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--size", default="512MiB", show_default=True, help="Of the file.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--engine", type=click.Choice(["libaio", "psync"]), default="libaio", show_default=True, help="fio's.")
def main(storage: Path, size: str, rounds: int, engine: str) -> None:
    """Compare our limit of the storage device with fio's."""
    if shutil.which("fio") is None:
        raise click.ClickException("fio is not installed: there is nothing to compare with (apt install fio).")
    size_bytes = -(-parse_size(size) // mmap.PAGESIZE) * mmap.PAGESIZE
    source = mmap.mmap(-1, size_bytes)
    np.frombuffer(source, np.uint8)[:] = np.random.default_rng(0).integers(0, 256, size_bytes, np.uint8)
    folder = Path(tempfile.mkdtemp(dir=storage.resolve()))
    samples: dict[tuple[str, Operation], list[float]] = {}
    try:
        limit = Ours(memoryview(source), folder)
        limit.measure()  # so that fio knows the patterns in a round that it begins
        for number in range(rounds):
            for who in ("ours", "fio") if number % 2 else ("fio", "ours"):
                rates = limit.measure() if who == "ours" else fio(size_bytes, folder, limit.patterns, engine)
                for operation, rate in rates.items():
                    samples.setdefault((who, operation), []).append(rate)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    finally:
        shutil.rmtree(folder)
    print(f"{size_bytes / 1e6:.0f} MB, {rounds} interleaved rounds, medians, fio with {engine}")
    for operation in OPERATIONS:
        our_rates, fio_rates = samples["ours", operation], samples["fio", operation]
        our_rate, fio_rate = statistics.median(our_rates), statistics.median(fio_rates)
        print(
            f"{operation}: ours {format_rate(our_rate)} ({format_rate(min(our_rates))}–{format_rate(max(our_rates))}), "
            f"fio {format_rate(fio_rate)} ({format_rate(min(fio_rates))}–{format_rate(max(fio_rates))}), "
            f"ours/fio {our_rate / fio_rate:.3f}; last block {limit.patterns[operation].block_bytes / 2**20:g} MiB, "
            f"depth {limit.patterns[operation].depth}"
        )


if __name__ == "__main__":
    main()
