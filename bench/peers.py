"""Every method, the device's limit and fio on the same bytes in the same minutes: who is how far from the device.

    python -m bench.peers --storage DIR --export docs/results

Durable saves and proven-cold loads, as in every run of ours. Each round measures every method and the limit once, in
an order of its own, and then fio where it is installed, with the block size and depth that the limit chose in that
round, and what it takes to make the memory for as many bytes, in huge pages and without any device: every load needs
that, the limit does not. What stands below the table is asked of `direct` and answered from it.

A round that fails, or is interrupted, ends the measuring; what the rounds before it found is shown and exported.
"""

import asyncio
import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from backends.measuring import memory_at_hand
from backends.methods import registry
from backends.methods.direct import BLOCKS
from backends.methods.groups import groups
from backends.process.launcher import Launcher
from backends.process.machine_info import new_request
from backends.storage.blocks import Pattern, buffers
from backends.storage.buffers import populate
from bench.fio import fio
from bench.report import Bench, keep_run, where
from state.analysis.advice import advise
from state.analysis.results import method_results
from state.analysis.rows import MethodResult
from state.analysis.words import model_line, settings_line
from state.errors import CkptTuiError
from state.live.session import Session, reduce
from state.method_names import expand_methods
from state.plan import LIMIT, OPERATIONS, Operation, Plan
from state.run.records import LoadResult, Run, TrialRecord
from state.stats.intervals import ratio, summarise
from state.units import format_bytes, format_seconds, parse_size

OURS: Final = "direct"
#: The aims: share of the limit, and how much faster than the best peer a durable save is to be.
LIMIT_SHARE: Final = 0.95
BEST_PEER: Final = 1.10
#: References of this bench, which are no methods.
FIO: Final = "fio"
FRESH_MEMORY: Final = "fresh memory"
REFERENCES: Final = (LIMIT, FIO, FRESH_MEMORY)

#: What stands for the folder that was measured.
_STORAGE: Final = "DIR"

Times = dict[tuple[str, Operation], list[float]]


async def measure_round(launcher: Launcher, plan: Plan) -> Run:
    """One round of a plan.

    Raises:
        click.ClickException: If it was refused.
    """
    session = Session()
    async with contextlib.aclosing(launcher.run(new_request(plan))) as events:
        async for event in events:
            session = reduce(session, event)
    run = session.run
    if run is None or run.refusal is not None:
        raise click.ClickException(run.refusal.what if run and run.refusal else "nothing was measured")
    return run


def put_together(rounds: Sequence[Run], plan: Plan) -> Run:
    """Runs of one round each as the run that they are: the same machine, model and settings, in the order measured.

    Whose machine and which folder it was stays behind.
    """
    records: list[TrialRecord] = []
    for number, run in enumerate(rounds, 1):
        trials = [msgspec.structs.replace(record.trial, round=number) for record in run.records]
        records += [msgspec.structs.replace(r, trial=t) for r, t in zip(run.records, trials, strict=True)]
    run = msgspec.structs.replace(
        rounds[0],
        plan=msgspec.structs.replace(plan, repeats=len(rounds), storage=_STORAGE),
        records=tuple(records),
        environment=msgspec.structs.replace(rounds[0].environment, hostname="", storage=_STORAGE),
    )
    return advise(run)


async def measure(plan: Plan, rounds: int, *, with_references: bool = True) -> tuple[Run, Times]:
    """All rounds, and the times of what is measured beside them.

    Raises:
        click.ClickException: If not even the first round could be measured.
    """
    launcher, runs, beside = Launcher(), list[Run](), Times()
    folder = Path(tempfile.mkdtemp(dir=plan.storage))
    try:
        for number in range(1, rounds + 1):
            # Another seed is another order, of the limit, too, and other weights of the same kind.
            run = await measure_round(launcher, msgspec.structs.replace(plan, seed=plan.seed + number))
            runs.append(run)
            for key, time_s in (references(run, folder) if with_references else {}).items():
                beside.setdefault(key, []).append(time_s)
            print(f"round {number} of {rounds}", file=sys.stderr)
    except (click.ClickException, CkptTuiError, OSError, asyncio.CancelledError) as error:  # cancelled: by ctrl-c
        if not runs:
            raise
        print(f"stopped in round {len(runs) + 1}: {error or 'interrupted'}", file=sys.stderr)
    finally:
        await launcher.close()
        shutil.rmtree(folder, ignore_errors=True)  # what was measured is worth more
    return put_together(runs, plan), beside


def references(run: Run, folder: Path) -> dict[tuple[str, Operation], float]:
    """Seconds of fio and of fresh memory, for as many bytes as the model of a round has."""
    if run.model is None:
        return {}
    size_bytes = run.model.logical_bytes
    times_s: dict[tuple[str, Operation], float] = {(FRESH_MEMORY, "load"): fresh_memory_s(size_bytes)}
    if shutil.which("fio") is not None and (chosen := patterns(run)):
        try:
            rates = fio(size_bytes, folder, chosen, "libaio")
        except (
            subprocess.CalledProcessError,
            click.ClickException,
            ValueError,
            LookupError,
            OSError,
        ) as error:  # it answers in words, too
            reason = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
            print(f"fio failed: {reason or error}", file=sys.stderr)
        else:
            times_s |= {(FIO, operation): size_bytes / rate for operation, rate in rates.items()}
    return times_s


def fresh_memory_s(size_bytes: int) -> float:
    """Seconds to make the memory that `direct` loads into, at hand as before every trial."""
    memory_at_hand.claim(size_bytes)
    start_s = time.perf_counter()
    populate(torch.frombuffer(buffers(size_bytes), dtype=torch.uint8))
    return time.perf_counter() - start_s


def patterns(run: Run) -> dict[Operation, Pattern]:
    """What the limit of this run chose; empty if it failed."""
    results = {operation: run.of(LIMIT, operation)[0].result for operation in OPERATIONS}
    if None in results.values():
        return {}
    return {op: Pattern(result.spec["block_bytes"], result.spec["depth"]) for op, result in results.items() if result}


def all_times(run: Run, beside: Times) -> Times:
    """Seconds of all methods and references that have been measured."""
    times = {(name, op): run.times_s(name, op) for name in (*run.plan.methods, LIMIT) for op in OPERATIONS}
    return {key: samples for key, samples in (times | beside).items() if samples}


def table(run: Run, times: Times) -> Table:
    """A row for each, the fastest durable save first."""
    grid = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    grid.add_column("method", no_wrap=True)
    headings = [f"{op} {what}" for op in OPERATIONS for what in ("s", "of limit", f"/ {OURS}", "memory+")]
    for heading in (*headings, "cache", "size", "stall s"):
        grid.add_column(heading, justify="right")
    results = {result.method: result for result in method_results(run)}
    names = dict.fromkeys(name for name, _ in times)
    for name in sorted(names, key=lambda name: statistics.median(times.get((name, "save"), [float("inf")]))):
        result = results.get(name)
        grid.add_row(name, *(cell for op in OPERATIONS for cell in cells(name, op, times, result)), *sizes(result))
    return grid


def cells(name: str, operation: Operation, times: Times, result: MethodResult | None) -> tuple[str, str, str, str]:
    """Median with its interval, share of the limit, times of ours, and memory beyond one copy of the model."""
    samples = times.get((name, operation))
    summary = summarise(samples or ())
    if samples is None or summary is None:
        return "", "", "", ""
    span = f" ({format_seconds(summary.low)}–{format_seconds(summary.high)})" if summary.low and summary.high else ""
    limit_s, ours_s = times.get((LIMIT, operation)), times.get((OURS, operation))
    share = f"{statistics.median(limit_s) / summary.median:.2f}" if limit_s else ""
    against = factor_words(samples, ours_s) if ours_s and name != OURS else ""
    figures = result.of(operation) if result is not None else None
    extra_bytes = figures.extra_rss_bytes if figures is not None else None
    if result is not None and extra_bytes is not None and operation == "load":
        extra_bytes = max(0, extra_bytes - (result.logical_bytes or 0))  # the loaded copy is what a load is for
    memory = format_bytes(extra_bytes) if extra_bytes is not None else ""
    return f"{format_seconds(summary.median)}{span}", share, against, memory


def factor_words(samples: Sequence[float], reference_s: Sequence[float]) -> str:
    """``1.31 (1.22–1.40)``: how many times as long, with its interval."""
    low, value, high = interval(samples, reference_s)
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}–{high:.2f})"


def interval(samples: Sequence[float], reference_s: Sequence[float]) -> tuple[float | None, float, float | None]:
    """Low end, ratio of medians, high end."""
    estimate = ratio(samples, reference_s)
    ends = [
        None if end is None else msgspec.structs.replace(estimate, value=end).factor
        for end in (estimate.low, estimate.high)
    ]
    return ends[0], estimate.factor, ends[1]


def sizes(result: MethodResult | None) -> tuple[str, str, str]:
    """What was proven of the page cache, bytes on disk, and the stall of an asynchronous save."""
    if result is None or result.stored_bytes is None:
        return "", "", ""
    cache = result.load.cache if result.load is not None else None
    stall_s = result.save.stall_median_s if result.save is not None else None
    return cache or "", format_bytes(result.stored_bytes), format_seconds(stall_s) if stall_s is not None else ""


def verdicts(times: Times) -> list[str]:
    """What is asked of `direct`, each with its figure."""
    lines = []
    for operation in OPERATIONS:
        ours_s = times.get((OURS, operation))
        peers = {n: s for (n, op), s in times.items() if op == operation and n not in (OURS, *REFERENCES)}
        if not ours_s or not peers or (LIMIT, operation) not in times:
            lines.append(f"{operation}: {OURS}, a peer or the limit is missing: NO")
            continue
        limit_s = times[LIMIT, operation]
        best = min(peers, key=lambda name: statistics.median(peers[name]))
        aim = BEST_PEER if operation == "save" else 1.0
        lines += [
            f"{operation}: {OURS} reaches {factor_words(limit_s, ours_s)} of the limit (asked: {LIMIT_SHARE:.2f}): "
            f"{reached(limit_s, ours_s, LIMIT_SHARE)}",
            f"{operation}: the best peer, {best}, takes {factor_words(peers[best], ours_s)} times as long "
            f"(aim: {aim:.2f}): {reached(peers[best], ours_s, aim)}",
            f"{operation}: shown to be faster than {OURS}: {', '.join(faster_peers(peers, ours_s)) or 'no peer'}",
        ]
    return lines


def reached(samples: Sequence[float], reference_s: Sequence[float], asked: float) -> str:
    """Whether a ratio is what is asked for, and whether its interval leaves that open."""
    low, value, high = interval(samples, reference_s)
    answer = "yes" if value >= asked else "NO"
    sure = low is not None and high is not None and not low < asked <= high
    return answer if sure else f"{answer} by the medians, not shown"


def faster_peers(peers: dict[str, list[float]], ours_s: Sequence[float]) -> list[str]:
    """Whose interval of the ratio lies below 1 as a whole."""
    ends = {name: interval(samples, ours_s)[2] for name, samples in peers.items()}
    return [name for name, high in ends.items() if high is not None and high < 1]


def doubts(run: Run) -> list[str]:
    """What failed, and which loads are not proven to be cold."""
    lines = []
    for name in (*run.plan.methods, LIMIT):
        for operation in OPERATIONS:
            records = run.of(name, operation)
            failed = sum(record.status != "done" for record in records)
            if failed:
                lines.append(f"{name}: {failed} of {len(records)} {operation}s failed")
        results = [record.result for record in run.of(name, "load")]
        other = sum(isinstance(result, LoadResult) and result.cache != "cold" for result in results)
        if other:
            lines.append(f"{name}: {other} of {len(results)} loads are not proven to be cold")
    return lines or ["every trial succeeded, and every load is proven to be cold"]


@click.command(cls=Bench)
@click.option("--storage", type=click.Path(path_type=Path, exists=True), default=Path(), help="Folder on a disk.")
@click.option("--model", default="open-llama-3b", show_default=True)
@click.option("--size", default="1GB", show_default=True, help="Of the model.")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--methods", default="all", show_default=True, help="As for ckpt-tui run.")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Folder for peers.txt, .json, .csv.")
def main(storage: Path, model: str, size: str, rounds: int, methods: str, export: Path | None) -> None:
    """Compare every method with the device's limit and with `direct`."""
    entries = registry.entries()
    chosen = expand_methods(methods, entries, groups(entries))
    plan = Plan(
        model=model,
        size_bytes=parse_size(size),
        dtype="bfloat16",
        methods=chosen,
        storage=str(storage.resolve()),
        repeats=1,
    )
    run, beside = asyncio.run(measure(plan, rounds))
    times = all_times(run, beside)
    console = Console(width=220, record=True, highlight=False, markup=False)
    command = f"python -m bench.peers --model {model} --size {size} --rounds {rounds} --methods {methods}"
    seeds = f"each round has a seed of its own, {plan.seed + 1} to {plan.seed + run.plan.repeats}: other weights, too"
    console.print(command, *where(run.environment), "", model_line(run), settings_line(run), seeds, sep="\n")
    console.print(table(run, times))
    console.print(
        "/ direct: how many times as long. memory+: how far it rose under the clock, without the loaded model. "
        f"{OURS} holds {format_bytes(BLOCKS.block_bytes * BLOCKS.depth)} of buffers ready before that.\n"
    )
    console.print(*verdicts(times), *doubts(run), sep="\n")
    for result in method_results(run):
        if result.error is not None:
            console.print(f"{result.method} failed: {result.error}")
    if export is not None:
        keep_run(run, console.export_text(), export, "peers")


if __name__ == "__main__":
    main()
