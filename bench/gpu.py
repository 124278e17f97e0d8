"""Saves that begin on a GPU and loads that end there, against what the link to it and the storage give.

    python -m bench.gpu --storage DIR --export docs/results

Each round is one of `bench.peers` with the tensors on the GPU. Beside it the link is measured with pinned memory, and
`direct`'s buffers alone, without storage: that is how fast tensors come out of a GPU in pieces. The bound of a save is
the slower of storage and link, of a load likewise. The same calls by hand are compared by
``python -m bench.harness_tax --device cuda``.
"""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Final

import click
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from backends.measuring.machine_limits import transfer_rates
from backends.methods import registry
from backends.methods.direct import GPU_BLOCKS
from backends.methods.groups import groups
from backends.process.model_building import check_device
from backends.storage.blocks import in_blocks
from backends.storage.buffers import Lanes
from bench.peers import OURS, Times, all_times, doubts, factor_words, measure, reached
from bench.report import Bench, keep_run, where
from state.analysis.words import model_line, settings_line
from state.errors import RequestError
from state.method_names import expand_methods
from state.plan import LIMIT, OPERATIONS, Operation, Plan
from state.run.records import Run
from state.stats.intervals import summarise
from state.units import format_rate, format_seconds, parse_size

#: The aims: of the link, by pinned buffers; of the slower of link and storage, by `direct`.
LINK_SHARE: Final = 0.90
BOUND_SHARE: Final = 0.95
_ROUNDS: Final = 7


def link_rates(device: torch.device, *, pinned: bool) -> dict[Operation, float]:
    """Bytes per second of one large copy: to the host (save), to the GPU (load)."""
    samples = [transfer_rates(device, pinned=pinned) for _ in range(_ROUNDS)]
    return {
        operation: statistics.median(rates[number] or 0.0 for rates in samples)
        for number, operation in enumerate(OPERATIONS)
    }


def buffer_rates(device: torch.device, size_bytes: int) -> dict[Operation, float]:
    """Bytes per second through `direct`'s buffers, without storage."""
    lanes = Lanes(GPU_BLOCKS, device)
    tensor = torch.zeros(size_bytes, dtype=torch.uint8, device=device)
    works = {
        "save": lambda slot, start, end: lanes.gather(slot, [tensor[start:end]]),
        "load": lambda slot, start, end: lanes.deliver(slot, 0, tensor[start:end]),
    }
    rates: dict[Operation, float] = {}
    for operation in OPERATIONS:
        times_s = []
        for _ in range(_ROUNDS + 1):  # the first brings the threads up
            torch.cuda.synchronize(device)
            start_s = time.perf_counter()
            in_blocks(lanes.threads, works[operation], 0, size_bytes, GPU_BLOCKS)
            times_s.append(time.perf_counter() - start_s)
        rates[operation] = size_bytes / statistics.median(times_s[1:])
    return rates


def bounds_s(run: Run, times: Times, link: dict[Operation, float]) -> dict[Operation, list[float]]:
    """Seconds of the slower of storage and link, in each round."""
    size_bytes = run.model.logical_bytes if run.model is not None else 0
    return {op: [max(time_s, size_bytes / link[op]) for time_s in times.get((LIMIT, op), [])] for op in OPERATIONS}


def table(run: Run, times: Times, bounds: dict[Operation, list[float]]) -> Table:
    """A row for each method, the fastest save first."""
    grid = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    grid.add_column("method", no_wrap=True)
    for operation in OPERATIONS:
        grid.add_column(f"{operation} s", justify="right")
        grid.add_column("of the bound", justify="right")
    medians_s = {name: statistics.median(samples) for (name, op), samples in times.items() if op == "save"}
    for name in sorted(medians_s, key=lambda name: medians_s[name]):
        row = [name]
        for operation in OPERATIONS:
            samples = times.get((name, operation), [])
            summary = summarise(samples)
            share = factor_words(bounds[operation], samples) if summary and bounds[operation] else ""
            row += [format_seconds(summary.median) if summary else "", share]
        grid.add_row(*row)
    return grid


def verdicts(
    times: Times,
    bounds: dict[Operation, list[float]],
    link: dict[Operation, float],
    buffers: dict[Operation, float],
) -> list[str]:
    """What is asked, each with its figure."""
    lines = []
    for operation in OPERATIONS:
        share = buffers[operation] / link[operation]
        lines.append(
            f"{operation}: {OURS}'s buffers reach {share:.2f} of the pinned link (asked: {LINK_SHARE:.2f}): "
            f"{'yes' if share >= LINK_SHARE else 'NO'}"
        )
        ours_s = times.get((OURS, operation))
        if not ours_s or not bounds[operation]:
            lines.append(f"{operation}: {OURS} or the limit is missing: NO")
            continue
        lines.append(
            f"{operation}: {OURS} reaches {factor_words(bounds[operation], ours_s)} of the slower of link and storage "
            f"(asked: {BOUND_SHARE:.2f}): {reached(bounds[operation], ours_s, BOUND_SHARE)}"
        )
    return lines


@click.command(cls=Bench)
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--model", default="open-llama-3b", show_default=True)
@click.option("--size", default="4GB", show_default=True, help="Of the model.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--methods", default="fastest,pytorch,dcp,ts+chunks", show_default=True, help="As for ckpt-tui run.")
@click.option("--device", default="cuda", show_default=True)
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Folder for gpu.txt, .json, .csv.")
def main(storage: Path, model: str, size: str, rounds: int, methods: str, device: str, export: Path | None) -> None:
    """Compare saves from a GPU and loads to it with what link and storage give."""
    check_device(device)
    if not device.startswith("cuda"):
        raise RequestError(f"{device} is no GPU", "choose cuda or cuda:N")
    entries = registry.entries()
    plan = Plan(
        model=model,
        size_bytes=parse_size(size),
        dtype="bfloat16",
        device=device,
        methods=expand_methods(methods, entries, groups(entries)),
        storage=str(storage.resolve()),
        repeats=1,
    )
    gpu = torch.device(device)
    link, pageable = link_rates(gpu, pinned=True), link_rates(gpu, pinned=False)
    buffers = buffer_rates(gpu, plan.size_bytes or 0)
    torch.cuda.empty_cache()
    run, _ = asyncio.run(measure(plan, rounds, with_references=False))
    times = all_times(run, {})
    bounds = bounds_s(run, times, link)
    console = Console(width=160, record=True, highlight=False, markup=False)
    command = (
        f"python -m bench.gpu --model {model} --size {size} --rounds {rounds} --methods {methods} --device {device}"
    )
    console.print(command, *where(run.environment), torch.cuda.get_device_name(gpu), "", sep="\n")
    console.print(model_line(run), settings_line(run), sep="\n")
    for what, rates in (("pinned", link), ("pageable", pageable), (f"{OURS}'s buffers", buffers)):
        console.print(f"{what}: {format_rate(rates['save'])} to the host, {format_rate(rates['load'])} to the GPU")
    console.print(table(run, times, bounds))
    console.print(*verdicts(times, bounds, link, buffers), *doubts(run), sep="\n")
    if export is not None:
        keep_run(run, console.export_text(), export, "gpu")


if __name__ == "__main__":
    main()
