"""`ckpt-tui why`, `compare` and `aa`: what kept runs say, without the explorer."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from state.errors import CkptTuiError, HistoryError, RequestError
from state.export.json import pretty
from state.units import parse_share
from tui.cli.click_options import Parsed, make_plan, plan_options
from tui.cli.history import RUN_REFERENCE, opened_history
from tui.cli.output import json_format_option, standard_output, tell
from tui.text.styled import Line

if TYPE_CHECKING:
    from rich.console import Console

    from state.run.records import Run
    from tui.text.glyphs import Glyphs

_FILE_WIDTH: Final = 100
#: Formats of `compare` that report the judgement of a gate.
_GATE_FORMATS: Final = ("junit", "github")
_REFERENCE: Final = f"{RUN_REFERENCE} A .json file of an exported run will do, too."


def _find(reference: str) -> "Run":
    """A kept run, or one in a file."""
    if reference.lower().endswith(".json"):
        from state.export.json import read_export

        return read_export(Path(reference))
    with opened_history() as kept:
        return kept.find(reference)


@click.command(epilog=_REFERENCE)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@json_format_option
def why(runs: tuple[str, ...], output: str) -> int:
    """Say which switch did what in RUN (the last one): the whole 2x2x2 experiment.

    It takes all eight cells, as `ckpt-tui run --methods cells` measures them, and three rounds or more. The cells of
    several runs are put together, the newest of each; their settings must be those of the newest run.
    """
    from state.analysis.combine import combine
    from state.analysis.conclusion import conclusion
    from state.analysis.effects import effects
    from state.command_line import run_command
    from state.optimizations import CELLS
    from state.plan import CELL_NAMES

    found_runs = sorted((_find(run) for run in runs or ("last",)), key=lambda found: found.created_at)
    plan = found_runs[-1].plan
    found_run = combine(found_runs, plan, CELL_NAMES)
    if found_run is None or not any(method in CELLS for method in found_run.plan.methods):
        raise RequestError(
            f"the run {found_runs[-1].run_id} has none of the eight cells", "measure them: ckpt-tui run --methods cells"
        )
    found = effects(found_run)
    if output == "json":
        return _print_json({"run_id": found_run.run_id, "conclusion": conclusion(found), "effects": found})
    from tui.text.why import missing_line, why_lines

    console, glyphs = _console()
    lines: list[Line] = [[(conclusion(found), "strong")]]
    if missing := missing_line(found, f"{run_command(msgspec.structs.replace(plan, methods=CELL_NAMES))} measures all"):
        lines.append([(missing, "slower")])
    for one in found.values():
        lines += [[], *why_lines(one, found_run.plan, width=console.width, glyphs=glyphs)]
    lines.append([])
    for sentence in found_run.advice:
        lines.append([(f"! {sentence}", "dim")])
    return _print(console, lines)


@click.command(epilog=_REFERENCE.replace("RUN is", "A and B are"))
@click.argument("before", metavar="[A]", default="baseline")
@click.argument("after", metavar="[B]", default="last")
@click.option(
    "--fail-if-slower",
    "limit",
    type=Parsed("percentage", parse_share),
    metavar="PERCENT",
    help="Judge B: exit with 1 if a method is slower than in A by more than this, failed, is missing or in doubt.",
)
@click.option(
    "--across", is_flag=True, help="Compare runs of different machines, models or settings, too; the result says so."
)
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", *_GATE_FORMATS]),
    default="table",
    show_default=True,
    help="Format of the output; junit and github need --fail-if-slower.",
)
def compare(before: str, after: str, limit: float | None, across: bool, output: str) -> int:
    """Compare run B (default: last) with run A (default: baseline).

    A change is slower or faster if its 95 % interval excludes that there is none. Exit status: 0; 2 if the request
    was wrong. With --fail-if-slower: 0 only if everything that A measured was judged in B and nothing is slower by more
    than PERCENT; 1 if something is, if a trial in B failed, or if a method is missing or cannot be judged; 2 if nothing
    can be judged, or the runs are of different machines, models or settings and --across is not given.
    """
    from state.analysis import comparison
    from state.gate.judgement import judge
    from state.history.noise_floor import noise_floor
    from state.stats.between_runs import ASSUMED
    from tui.cli import gate_report
    from tui.text.compare import compare_lines, floor_lines

    if limit is None and output in _GATE_FORMATS:
        raise RequestError(f"--format {output} reports what --fail-if-slower found", "give that option, too")
    old, new = _find(before), _find(after)
    if old.run_id == new.run_id:
        raise RequestError(f"both are the run {old.run_id}", "name two runs; ckpt-tui history lists them")
    floor = None
    with contextlib.suppress(HistoryError), opened_history() as kept:  # two files can be compared without a history
        floor = noise_floor(kept, new)
    between = floor.between if floor is not None else ASSUMED
    found = comparison.compare(old, new, between=between, across=across)
    judgement = judge(old, new, limit, between=between, across=across) if limit is not None else None
    if output == "json":
        document = {**msgspec.structs.asdict(found), "noise_floor": floor}
        if judgement is not None:
            document["gate"] = {
                "fail_if_slower": limit,
                "exit_status": judgement.exit_status,
                "reasons": judgement.reasons,
                "notes": judgement.notes,
            }
        _print_json(document)
    elif judgement is not None and output in _GATE_FORMATS:
        with standard_output():
            click.echo((gate_report.junit if output == "junit" else gate_report.github)(judgement))
    else:
        _print(_console()[0], [*compare_lines(old, new, found), *floor_lines(floor)])
    if judgement is None:
        return 0
    for sentence in gate_report.sentences(judgement):
        tell(f"ckpt-tui: {sentence}")
    return judgement.exit_status


@click.command()
@plan_options
@click.option("--pairs", type=click.IntRange(1, 100), default=1, show_default=True, help="How often to do it.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
@json_format_option
def aa(*, pairs: int, quiet: bool, output: str, **options: Any) -> int:
    """Run the same benchmark twice to measure this machine's noise.

    The runs are kept in the history with the tag aa, and later comparisons of the same model under the same rules in
    this folder quote them. Exit status: 0, 1 if a method failed, 2 if the request was wrong, 128 + N stopped by signal
    N.
    """
    from backends.methods import registry
    from state.analysis.results import all_verified
    from state.history.noise_floor import Pair, compare_equal, equal_pairs, noise_between
    from tui.cli.run import measure_here
    from tui.text.compare import compare_lines, noise_lines

    plan = make_plan(entries=registry.entries(), **options)
    measured: list[Pair] = []
    known: list[Pair] = []
    stopped_by, complete = None, True
    while len(measured) < pairs and stopped_by is None:
        if not quiet:
            tell(f"pair {len(measured) + 1} of {pairs}: two equal runs")
        before, stopped_by = measure_here(plan, quiet=quiet, history=True)
        if stopped_by is None:
            after, stopped_by = measure_here(plan, quiet=quiet, history=True)
        if stopped_by is not None:
            break
        if not measured:
            with contextlib.suppress(HistoryError), opened_history() as kept:
                known = equal_pairs(kept, before)
        _tag(before, after)
        complete = complete and all_verified(before) and all_verified(after)
        measured.append((before, after))
    noise, comparisons = noise_between(measured, known), compare_equal(measured, known)
    if output == "json":
        _print_json({"noise": noise, "comparisons": comparisons})
    else:
        lines = [
            line
            for pair, found in zip(measured, comparisons, strict=True)
            for line in [*compare_lines(*pair, found), []]
        ]
        _print(_console()[0], [*lines, *noise_lines(noise)])
    if stopped_by is not None:
        return 128 + stopped_by
    return 0 if complete else 1


def _tag(*pair: "Run") -> None:
    """Mark two runs as equal, both at once: half a pair would be taken for the half of another."""
    from state.history.noise_floor import TAG

    try:
        with opened_history() as kept:
            for run in pair:
                kept.tag(run.run_id, TAG)
    except CkptTuiError as error:  # nothing could be kept, which was told; the comparison stands
        tell(f"ckpt-tui: {error}")


def _console() -> "tuple[Console, Glyphs]":
    """Standard output, wide enough for every line where it has no width of its own, and the signs that it can show."""
    from rich.console import Console

    from tui.text.glyphs import ASCII, BLOCKS

    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_WIDTH)
    return console, BLOCKS if (console.encoding or "").lower().startswith("utf") else ASCII


def _print(console: "Console", lines: list[Line]) -> int:
    from tui.text.styled import for_output

    with standard_output():
        console.print(for_output(lines), highlight=False, soft_wrap=not console.is_terminal)
    return 0


def _print_json(document: object) -> int:
    with standard_output():
        sys.stdout.write(pretty(document).decode())
    return 0
