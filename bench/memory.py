"""What the whole program takes of memory, and what its plan said before the run.

    python -m bench.memory --storage DIR --export docs/results

Each method saves and loads once, in a run of its own. From outside, memory of the screen's process, the worker and its
children is summed up several times a second: pages that they share are counted once, mapped files apart, since the
system can have those back at any time. To look at a large process takes it a while, so no time stands here.
"""

import asyncio
import contextlib
import threading
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

import click
import msgspec
import psutil

from backends.methods import registry
from backends.methods.groups import groups
from backends.process.launcher import Launcher
from backends.process.machine_info import environment, new_request
from bench.report import Bench, keep, where
from state.method_names import expand_methods
from state.needs import Needs
from state.plan import LIMIT, OPERATIONS, Plan
from state.run.events import ModelBuilding, TrialFailed, TrialStarted
from state.schedule import schedule
from state.units import format_bytes, parse_size

#: Between two looks, in seconds.
_PAUSE_S: Final = 0.05
_METHODS: Final = "pytorch,ts+chunks,ts+concurrency+chunks,safetensors,dcp,direct"


class Memory(NamedTuple):
    """Bytes of several processes, each page counted once.

    Attributes:
        own_bytes: What they have made: heaps, and memory that they share.
        mapped_bytes: Pages of files: libraries, checkpoints.
    """

    own_bytes: int
    mapped_bytes: int


def look(pid: int) -> Memory:
    """Memory of a process and of all its descendants, by their proportional sets (proc(5), smaps_rollup)."""
    own = mapped = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(OSError):  # it has ended
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                kib = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
                own += 1024 * (kib["Pss_Anon"] + kib["Pss_Shmem"])
                mapped += 1024 * kib["Pss_File"]
    return Memory(own, mapped)


class Watcher:
    """Looks at this process and its descendants until told to stop. The highest that it saw stands under a label."""

    def __init__(self) -> None:
        self.label = ""
        self.peaks: dict[str, Memory] = defaultdict(lambda: Memory(0, 0))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        pid = psutil.Process().pid
        while not self._stop.wait(_PAUSE_S):
            label, seen = self.label, look(pid)
            self.peaks[label] = Memory(*map(max, zip(self.peaks[label], seen, strict=True)))

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()


class Measured(NamedTuple):
    """One run of one method.

    Attributes:
        needs: What was planned.
        peaks: ``save``, ``load``, ``limit`` or nothing for what comes before -> the highest that was seen.
        failed: What did not work.
    """

    needs: Needs
    peaks: dict[str, Memory]
    failed: tuple[str, ...]


async def measure(launcher: Launcher, plan: Plan) -> Measured:
    """Save and load once, and look.

    Raises:
        click.ClickException: If the run was refused.
    """
    planned: Needs | None = None
    failed: list[str] = []
    trials = schedule(plan)
    watcher = Watcher()
    try:
        async with contextlib.aclosing(launcher.run(new_request(plan))) as events:
            async for event in events:
                match event:
                    case ModelBuilding():
                        planned = event.needs
                    case TrialStarted():
                        watcher.label = trials[event.trial].operation if trials[event.trial].method != LIMIT else LIMIT
                    case TrialFailed():
                        failed.append(f"{trials[event.trial].operation}: {event.failure.what}")
    finally:
        watcher.close()
    if planned is None:
        raise click.ClickException("refused: see ckpt-tui run with the same options")
    return Measured(planned, watcher.peaks, tuple(failed))


def row(method: str, measured: Measured) -> str:
    """What was planned, what was seen of the whole program at any time, and what of it while saving and loading."""
    memory, peaks = measured.needs.memory, measured.peaks
    peak_bytes = max((peak.own_bytes for peak in peaks.values()), default=0)
    share = f"{memory.total_bytes / peak_bytes:.2f}" if peak_bytes else ""
    parts = [peaks.get(operation, Memory(0, 0)) for operation in OPERATIONS]
    times = "".join(f"{part.own_bytes / memory.model_bytes:>9.2f}" for part in parts)
    mapped = "".join(f"{format_bytes(part.mapped_bytes):>14}" for part in parts)
    return f"{method:<28}{format_bytes(memory.total_bytes):>10}{format_bytes(peak_bytes):>10}{share:>14}{times}{mapped}"


async def measure_all(plan: Plan) -> list[str]:
    """A line for each method."""
    launcher = Launcher()
    lines = [
        f"{'method':<28}{'planned':>10}{'peak':>10}{'planned/peak':>14}{'save x':>9}{'load x':>9}"
        f"{'mapped, save':>14}{'mapped, load':>14}"
    ]
    model_bytes = 0
    try:
        for method in plan.methods:
            measured = await measure(launcher, msgspec.structs.replace(plan, methods=(method,)))
            model_bytes = measured.needs.memory.model_bytes
            found = [row(method, measured), *(f"    {failure}" for failure in measured.failed)]
            print(*found, sep="\n", flush=True)
            lines += found
    finally:
        await launcher.close()
    return [f"the model: {format_bytes(model_bytes)}; x: in models", "", *lines]


@click.command(cls=Bench)
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--model", default="open-llama-3b", show_default=True)
@click.option("--size", help="Of the model. [default: its own]")
@click.option("--methods", default=_METHODS, show_default=True, help="As for ckpt-tui run.")
@click.option("--with-optimizer", is_flag=True, help="As for ckpt-tui run.")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Folder for memory-MODEL-SIZE.txt.")
def main(storage: Path, model: str, size: str | None, methods: str, with_optimizer: bool, export: Path | None) -> None:
    """Compare the memory that a run takes with what its plan says."""
    entries = registry.entries()
    plan = Plan(
        model=model,
        size_bytes=parse_size(size) if size else None,
        with_optimizer=with_optimizer,
        methods=expand_methods(methods, entries, groups(entries)),
        storage=str(storage.resolve()),
        repeats=1,
    )
    lines = asyncio.run(measure_all(plan))
    command = f"python -m bench.memory --model {model}{f' --size {size}' if size else ''} --methods {methods}"
    text = "\n".join([command + " --with-optimizer" * with_optimizer, *where(environment(storage)), "", *lines])
    print(text)
    if export is not None:
        keep(f"{text}\n", export, f"memory-{Path(model).name}-{size or 'full'}.txt")


if __name__ == "__main__":
    main()
