"""Our limit of the storage device beside what fio measures, on the same folder in the same minutes.

    python -m bench.fio --storage DIR

Ours is a trial of the limit, durable and cold, as in every run. fio writes and reads as many bytes, past the page
cache, in requests of the block size and depth that ours chose in its last round, with a sync of the file at the end of
a write. They take turns, and who begins alternates. Quote the medians of one run.

fio's buffers lie in huge pages, as ours do: of a buffer in small pages a virtual disk gets hundreds of pieces a request
and takes up to 1.3 times as long, and more beside other programs, which is what made our limit look too high. Such
pages are set aside beforehand (as root, https://docs.kernel.org/admin-guide/mm/hugetlbpage.html) and given back.
"""

import json
import mmap
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from backends.measuring.device_limit import PATTERNS, LimitTrial
from backends.process.machine_info import environment
from backends.storage import pagecache
from backends.storage.block_sizes import LOOKS, TRY_BYTES
from backends.storage.blocks import Pattern
from bench.report import Bench, keep, where
from state.plan import OPERATIONS, Operation, Plan
from state.stats.intervals import summarise
from state.units import MIB, format_rate, parse_size

PLAN = Plan(methods=("pytorch",))  # which method does not matter here
#: Virtual disks are throttled with credit for bursts: whoever comes right after heavy traffic gets less. So everybody
#: waits this long first.
PAUSE_S = 3.0
#: What fio moves first and discards, as much as ours does in its warm-up.
WARM_UP_BYTES = (1 + LOOKS * len(PATTERNS)) * TRY_BYTES
SET_ASIDE = Path("/proc/sys/vm/nr_hugepages")
#: Huge pages of 2 MiB for the largest of fio's patterns, a buffer each in those of its own.
HUGE_PAGES = max(pattern.depth * -(-pattern.block_bytes // (2 * MIB)) for pattern in PATTERNS) + 8


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


@contextmanager
def huge_pages() -> Iterator[None]:
    """Set huge pages aside for as long as this lasts.

    Raises:
        click.ClickException: If the system gives none.
    """
    try:
        before = SET_ASIDE.read_text()
        SET_ASIDE.write_text(str(int(before) + HUGE_PAGES))
    except OSError as error:
        raise click.ClickException(f"huge pages for fio cannot be set aside ({error}): run this as root") from None
    try:
        if int(SET_ASIDE.read_text()) < int(before) + HUGE_PAGES:
            raise click.ClickException(f"the system has no {HUGE_PAGES} huge pages left: free some memory")
        yield
    finally:
        SET_ASIDE.write_text(before)


def fio(size_bytes: int, folder: Path, patterns: dict[Operation, Pattern], engine: str) -> dict[Operation, float]:
    """Bytes per second that fio writes and reads. Its clock has a resolution of a millisecond.

    Raises:
        click.ClickException: If its buffers cannot lie in huge pages.
    """
    rates: dict[Operation, float] = {}
    path, warm_up = folder / "fio", folder / "fio-warm-up"
    for operation in OPERATIONS:
        time.sleep(PAUSE_S)
        for file, file_bytes in ((warm_up, WARM_UP_BYTES), (path, size_bytes)):
            pagecache.settle(folder)
            pagecache.evict(folder)
            with huge_pages():
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
        *(
            f"--ioengine={engine}",
            "--direct=1",
            "--end_fsync=1",
            "--iomem=mmaphuge",
            "--group_reporting",
            "--output-format=json",
        ),
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


def compare(source: memoryview, storage: Path, rounds: int, engine: str) -> list[str]:
    """Measure in turns, and say what came of it."""
    samples: dict[tuple[str, Operation], list[float]] = {}
    folder = Path(tempfile.mkdtemp(dir=storage.resolve()))
    try:
        limit = Ours(source, folder)
        limit.measure()  # so that fio knows the patterns in a round that it begins
        for number in range(rounds):
            for who in ("ours", "fio") if number % 2 else ("fio", "ours"):
                rates = limit.measure() if who == "ours" else fio(len(source), folder, limit.patterns, engine)
                for operation, rate in rates.items():
                    samples.setdefault((who, operation), []).append(rate)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    finally:
        shutil.rmtree(folder)
    lines = [f"{len(source) / 1e6:.0f} MB, {rounds} interleaved rounds, medians, fio with {engine}"]
    for operation in OPERATIONS:
        ours, theirs = samples["ours", operation], samples["fio", operation]
        share = summarise([our / their for our, their in zip(ours, theirs, strict=True)])
        assert share is not None
        span = f" ({share.low:.2f}–{share.high:.2f})" if share.low and share.high else ""
        pattern = limit.patterns[operation]
        lines.append(
            f"{operation}: ours {rate_words(ours)}, fio {rate_words(theirs)}, ours/fio {share.median:.3f}{span}; "
            f"last block {pattern.block_bytes / MIB:g} MiB, depth {pattern.depth}"
        )
    return lines


def rate_words(rates: list[float]) -> str:
    """Median, and from the lowest to the highest."""
    return f"{format_rate(statistics.median(rates))} ({format_rate(min(rates))}–{format_rate(max(rates))})"


@click.command(cls=Bench)
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--size", default="512MiB", show_default=True, help="Of the file.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--engine", type=click.Choice(["libaio", "psync"]), default="libaio", show_default=True, help="fio's.")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Folder for fio.txt.")
def main(storage: Path, size: str, rounds: int, engine: str, export: Path | None) -> None:
    """Compare our limit of the storage device with fio's."""
    if shutil.which("fio") is None:
        raise click.ClickException("fio is not installed: there is nothing to compare with (apt install fio).")
    size_bytes = -(-parse_size(size) // mmap.PAGESIZE) * mmap.PAGESIZE
    source = mmap.mmap(-1, size_bytes)
    np.frombuffer(source, np.uint8)[:] = np.random.default_rng(0).integers(0, 256, size_bytes, np.uint8)
    lines = [f"python -m bench.fio --size {size} --rounds {rounds} --engine {engine}", *where(environment(storage)), ""]
    lines += compare(memoryview(source), storage, rounds, engine)
    print(*lines, sep="\n")
    if export is not None:
        keep("".join(f"{line}\n" for line in lines), export, "fio.txt")


if __name__ == "__main__":
    main()
