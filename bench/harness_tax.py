"""What measuring costs: the times that we report over those of plain scripts doing the same calls.

    python -m bench.harness_tax --storage DIR --export docs/results

Method after method, ours and the plain script take turns, in alternating order, on the same tensors; both save durably
and load from a cold cache (root is needed to drop it in the plain scripts), with memory at hand before every clock, or
as it was found (`--memory`). Quote the medians of the ratios of one run. Also says where the time between the measured
spans goes.
"""

import asyncio
import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import msgspec
import torch
from safetensors.torch import save_file

from backends.methods import registry
from backends.models.sources import open_source
from backends.process.launcher import Launcher
from backends.process.machine_info import environment
from backends.storage.pagecache import can_drop_caches
from bench.report import Bench, keep, where
from state.analysis.results import method_results
from state.live.session import Session, reduce
from state.needs import MemoryNeed
from state.optimizations import FORMATS
from state.plan import CELL_NAMES, LIMIT, OPERATIONS, Memory, Operation, Plan
from state.run.events import RunRequested, TrialFinished, TrialStarted
from state.run.records import Run
from state.schedule import schedule
from state.stats.intervals import summarise
from state.units import format_bytes, parse_size

#: Method -> the plain script that does the same.
SCRIPTS = {
    **dict.fromkeys(("pytorch", "pytorch-tuned", "pytorch-mmap"), "bench.plain_pytorch"),
    **dict.fromkeys(("safetensors", "safetensors-pread"), "bench.plain_safetensors"),
    **dict.fromkeys(("dcp", "dcp-upstream", "dcp-async", "dcp-safetensors"), "bench.plain_dcp"),
    **dict.fromkeys((*CELL_NAMES, *FORMATS), "bench.plain_tensorstore"),
    "jax": "bench.plain_jax",
    **dict.fromkeys(("orbax", "orbax-async"), "bench.plain_orbax"),
}
METHODS = tuple(SCRIPTS)


class Plain:
    """The plain script of a method; like our worker it has the model in memory and forks.

    Args:
        method: What it does.
        model: Where the tensors are.
        device: Where they are saved from and loaded to.
        need: What it has at hand before its clock; None for what there is.
    """

    def __init__(self, method: str, model: Path, device: str, need: MemoryNeed | None) -> None:
        self._method = method
        arguments = [sys.executable, "-m", SCRIPTS[method], method, str(model), device]
        arguments.append(msgspec.json.encode(need).decode())
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self, storage: Path) -> dict[Operation, float]:
        """One save and one load.

        Raises:
            click.ClickException: If the script failed; it has said why.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        folder = Path(tempfile.mkdtemp(dir=storage))
        try:
            print(folder, file=self._process.stdin, flush=True)
            times = {operation: self._process.stdout.readline() for operation in OPERATIONS}
            if not all(times.values()):
                raise click.ClickException(f"the plain script of {self._method} has failed, see above")
            return {operation: float(seconds) for operation, seconds in times.items()}
        finally:
            shutil.rmtree(folder)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


async def ours(launcher: Launcher, plan: Plan, spans: dict[str, list[float]]) -> Run:
    """One save and one load by us; adds how long everything around the clock took to `spans`."""
    session, start_s, end_s = Session(), 0.0, 0.0
    request = RunRequested("bench", "", plan, environment(Path(plan.storage)))
    async with contextlib.aclosing(launcher.run(request)) as events:
        async for event in events:
            session = reduce(session, event)
            now_s = time.perf_counter()
            match event:
                case TrialStarted() | TrialFinished() if schedule(plan)[event.trial].method == LIMIT:
                    end_s = 0.0
                case TrialStarted():
                    if end_s:
                        spans["from a result to the next fork"].append(now_s - end_s)
                    start_s = now_s
                case TrialFinished():
                    end_s = now_s
                    stages_s = event.result.stages_s
                    rest_s = now_s - start_s - sum(stages_s.values())
                    spans["in the trial, outside its stages (start, mapping the model)"].append(rest_s)
                    for stage in ("warm-up", "settle", "evict", "verify"):
                        if stage in stages_s:
                            spans[stage].append(stages_s[stage])
    assert session.run is not None
    assert all(record.status == "done" for record in session.run.records), session.run
    for result in method_results(session.run):
        if result.delete_s is not None:
            spans["delete"].append(result.delete_s)
    return session.run


async def compare(rounds: int, settings: Plan) -> list[str]:
    """Run, and say what came of it.

    Args:
        rounds: How often.
        settings: Model, methods, storage, device and memory.
    """
    storage, methods, device = Path(settings.storage), settings.methods, settings.device
    source = open_source(settings.model, size_bytes=settings.size_bytes, dtype="auto", seed=0)
    table = source.table()
    views = {t.name: torch.empty(t.shape, dtype=getattr(torch, t.dtype)) for t in table.tensors}
    source.fill(views)
    model = storage / "harness-tax.safetensors"
    save_file(views, model)
    del views
    samples: dict[tuple[str, Operation], list[tuple[float, float]]] = {}
    spans: dict[str, list[float]] = {
        name: []
        for name in (
            *("in the trial, outside its stages (start, mapping the model)", "warm-up", "settle", "evict", "verify"),
            *("from a result to the next fork", "delete"),
        )
    }
    launcher = Launcher()
    try:
        for method in methods:
            plan = Plan(str(model), methods=(method,), repeats=1, storage=str(storage), device=device)
            plan = msgspec.structs.replace(plan, memory=settings.memory)
            need = registry.create(method, plan).memory(device)
            plain = Plain(method, model, device, need if plan.memory == "at-hand" else None)
            try:
                for number in range(rounds):
                    if number % 2:
                        theirs = plain.measure(storage)
                        run = await ours(launcher, plan, spans)
                    else:
                        run = await ours(launcher, plan, spans)
                        theirs = plain.measure(storage)
                    for operation in OPERATIONS:
                        (record,) = run.of(method, operation)
                        assert record.result is not None
                        samples.setdefault((method, operation), []).append((record.result.time_s, theirs[operation]))
            finally:
                plain.close()  # it holds a copy of the model
            print(method, file=sys.stderr)
    finally:
        await launcher.close()
        model.unlink()
    lines = [
        f"{settings.model}, {format_bytes(table.logical_bytes)}, memory {settings.memory.replace('-', ' ')}, "
        f"{rounds} interleaved rounds, medians, 95 % interval of the ratio",
        f"{'method':<30}{'operation':<10}{'ours s':>10}{'plain s':>10}{'ratio':>8}  interval",
    ]
    for (method, operation), pairs in samples.items():
        our_s, plain_s = (statistics.median(times) for times in zip(*pairs, strict=True))
        summary = summarise([our / theirs for our, theirs in pairs])
        assert summary is not None
        span = f"{summary.low:.2f}–{summary.high:.2f}" if summary.low and summary.high else ""
        lines.append(f"{method:<30}{operation:<10}{our_s:>10.3f}{plain_s:>10.3f}{summary.median:>8.3f}  {span}")
    lines.append("\naround the clock, median ms")
    return lines + [f"{name:<62}{1000 * statistics.median(times_s):>8.1f}" for name, times_s in spans.items()]


@click.command(cls=Bench)
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--model", default="open-llama-3b", show_default=True)
@click.option("--size", default="256MiB", show_default=True, help="Of the model.")
@click.option("--rounds", type=click.IntRange(1), default=11, show_default=True)
@click.option(
    "--method",
    "methods",
    type=click.Choice(METHODS),
    multiple=True,
    help="One of them; repeatable. [default: all that can run here]",
)
@click.option("--device", default="cpu", show_default=True, help="Where the tensors are: cpu, cuda or cuda:N.")
@click.option("--memory", type=click.Choice(["at-hand", "as-found"]), default="at-hand", show_default=True)
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Folder for harness_tax-SIZE.txt.")
def main(
    storage: Path,
    model: str,
    size: str,
    rounds: int,
    methods: tuple[str, ...],
    device: str,
    memory: Memory,
    export: Path | None,
) -> None:
    """Compare the times that we report with those of plain scripts."""
    if not can_drop_caches():
        raise click.ClickException("the plain scripts cannot drop the page cache: run this as root")
    entries = registry.entries()
    chosen = methods or tuple(name for name in METHODS if entries[name].unavailable is None)
    if lacking := [f"{name} {why}" for name in chosen if (why := entries[name].unavailable)]:
        raise click.ClickException(f"{'; '.join(lacking)}: install it or name other methods")
    settings = Plan(
        model, parse_size(size), methods=chosen, storage=str(storage.resolve()), device=device, memory=memory
    )
    lines = asyncio.run(compare(rounds, settings))
    options = "".join(f" --method {method}" for method in methods)
    command = (
        f"python -m bench.harness_tax --model {model} --size {size} --rounds {rounds} --device {device} "
        f"--memory {memory}{options}"
    )
    text = "\n".join([command, *where(environment(storage)), "", *lines])
    print(text)
    if export is not None:
        keep(f"{text}\n", export, f"harness_tax-{size}.txt")


if __name__ == "__main__":
    main()
