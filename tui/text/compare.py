"""Two runs side by side, as text."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from state.analysis.comparison import Change, Comparison
from state.gate.failed_trials import failed_trials
from state.history.noise_floor import Noise
from state.plain_text import one_line
from state.plan import LIMIT
from state.run.records import Run
from state.stats.between_runs import BetweenRuns
from state.units import format_factor, format_seconds, format_share
from tui.text.change_words import factor_words
from tui.text.styled import Line, Meaning, Piece

_TIME_WIDTH: Final = 8


def compare_lines(before: Run, after: Run, found: Comparison) -> list[Line]:
    """What changed, and what differs besides.

    Args:
        before: The first run.
        after: The second.
        found: Their comparison.
    """
    lines: list[Line] = [[(summary(found), "strong")]]
    lines += [[(f"{label}  {run.run_id}  {_where(run)}", "dim")] for label, run in (("A", before), ("B", after))]
    lines += [[], *_table(found.changes)]
    if any(change.low is not None for change in found.changes):
        lines.append([(_allowed(found.between), "dim")])
    for label, run in (("A", before), ("B", after)):
        for sentence in itertools.chain.from_iterable(failed_trials(run, label).values()):
            lines.append([(one_line(sentence), "slower")])
    if found.warning:
        lines.append([(f"! {found.warning}", "slower")])
    if found.differences:
        width = max(len(difference.what) for difference in found.differences)
        lines += [[], [("What else differs", "title")]]
        lines += [
            [(f"{d.what:<{width}}  ", "dim"), (d.before, "plain"), (" -> ", "dim"), (d.after, "plain")]
            for d in found.differences
        ]
    else:
        lines += [[], [("Plan, model and machine are the same.", "dim")]]
    return lines


def floor_lines(floor: Noise | None) -> list[Line]:
    """What belongs below a comparison: what noise between equal runs does there, or how to find out."""
    if floor is None:
        return [[("ckpt-tui aa measures the noise between runs of this model under these rules here.", "dim")]]
    return [[], *noise_lines(floor)]


def summary(found: Comparison) -> str:
    """How many changes have which verdict: ``1 slower, 2 faster, 9 no difference shown``."""
    return _counts([change for change in found.changes if change.method != LIMIT])


def _counts(changes: Sequence[Change]) -> str:
    verdicts = ("slower", "faster", "no difference shown", "cannot tell")
    both = [change for change in changes if change.estimate is not None and not change.refused]
    refused = sum(change.refused for change in changes)
    counts = {verdict: sum(change.verdict == verdict for change in both) for verdict in verdicts}
    counts |= {"not compared": refused, "in one run only": len(changes) - len(both) - refused}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count) or "nothing to compare"


def _where(run: Run) -> str:
    model = run.model.name if run.model is not None else run.plan.model
    return f"{model} · {run.plan.storage} · {run.environment.hostname}"


def _name(change: Change) -> str:
    return f"{'plain file' if change.method == LIMIT else change.method} {change.operation}"


def _table(changes: Sequence[Change]) -> Iterator[Line]:
    """A row for each change: both times, the factor in the one direction that factors have, and what is shown."""
    width = max((len(_name(change)) for change in changes), default=0)
    factors = [_factor(change) for change in changes]
    factor_width = max(map(len, factors), default=0)
    head = f"{'':<{width}}{'A, s':>{_TIME_WIDTH}}{'B, s':>{_TIME_WIDTH}}  B's time over A's, 95 % interval"
    yield [(head, "dim")]
    for change, factor in zip(changes, factors, strict=True):
        words = [format_seconds(time_s) if time_s is not None else "" for time_s in (change.before_s, change.after_s)]
        times = "".join(f"{word:>{_TIME_WIDTH}}" for word in words)
        row: list[Piece] = [(f"{_name(change):<{width}}", "plain"), (f"{times}  ", "strong")]
        if factor:
            shown: Meaning = change.verdict if change.verdict in ("faster", "slower") else "dim"
            yield [*row, (f"{factor:<{factor_width}}  ", shown), (change.verdict, shown)]
        else:
            yield [*row, (change.why, "dim")]


def _factor(change: Change) -> str:
    """``x1.08 (0.93–1.25)``; empty where a factor would mean nothing."""
    return factor_words(change.estimate) if change.estimate is not None and not change.refused else ""


def noise_lines(noise: Noise) -> Iterator[Line]:
    """What equal runs differ by."""
    pairs = f"{noise.pairs} pair{'s' if noise.pairs != 1 else ''} of equal runs"
    yield [(f"{pairs}, {len(noise.changes)} comparisons: {_counts(noise.changes)}.", "strong")]
    if noise.typical is not None and noise.large is not None:
        yield [
            (
                f"Noise alone changed medians by {format_factor(noise.typical)} typically and by "
                f"{format_factor(noise.large)} {'in one of twenty' if noise.counted >= 20 else 'at most'}.",
                "plain",
            )
        ]
        yield [(_beyond(noise.between), "plain")]


def _allowed(between: BetweenRuns) -> str:
    """What the intervals have in them besides the noise within the runs."""
    pairs = (
        f"as {between.pairs} pair{'s' if between.pairs != 1 else ''} of equal runs differ"
        if between.pairs
        else "assumed"
    )
    return f"The intervals allow for {format_share(between.deviation)} of noise between runs, {pairs}."


def _beyond(between: BetweenRuns) -> str:
    """What pairs of equal runs show of the noise between runs."""
    if not between.pairs:
        return "The pairs have too few rounds to show how much of that is noise between runs: three or more would."
    return (
        f"Beyond what the noise within the runs explains, they differ by {format_share(between.deviation)} (standard "
        "deviation); later comparisons of this model under these rules allow for that."
    )
