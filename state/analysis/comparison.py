"""Two runs side by side: what changed, whether that is shown, and what differs between them besides."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from state.model import Model
from state.plan import LIMIT, OPERATIONS, OPTIONS, Operation
from state.run.environment import Environment
from state.run.records import Run
from state.stats.between_runs import ASSUMED, BetweenRuns, Rows
from state.stats.intervals import Estimate, median_of, ratio
from state.stats.verdict import Verdict, verdict
from state.units import format_bytes

#: Fields of a plan that say how long to measure, not what.
_NOT_COMPARED: Final = frozenset(
    {"methods", *(option.field for option in OPTIONS if option.declared.section in ("rounds", "limits"))}
)


class Change(msgspec.Struct, frozen=True):
    """One operation of one method in both runs.

    Attributes:
        method: Its name.
        operation: Which half.
        before_s: Median in the first run, None if it was not measured there.
        after_s: Median in the second, likewise.
        ratio: Second over first, of the medians; below 1 is faster. None without both.
        low: Lower end of its 95 % interval, None with fewer than three rounds in either.
        high: Its upper end, likewise.
        verdict: What the interval shows.
        why: Why it cannot tell, or an empty text.
        refused: Whether the two runs measured different things, so that their ratio means nothing.
    """

    method: str
    operation: Operation
    before_s: float | None
    after_s: float | None
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    why: str = ""
    refused: bool = False

    @property
    def estimate(self) -> Estimate | None:
        """The ratio with its interval on the log scale."""
        if self.ratio is None:
            return None
        if self.low is None or self.high is None:
            return Estimate(math.log(self.ratio))
        return Estimate(math.log(self.ratio), math.log(self.low), math.log(self.high))


class Difference(msgspec.Struct, frozen=True):
    """Something that is not the same in both runs, in words."""

    what: str
    before: str
    after: str


class Comparison(msgspec.Struct, frozen=True):
    """Two runs side by side.

    Attributes:
        before: Name of the first run.
        after: Name of the second.
        changes: Every operation of every method that was measured in either run, and at last the limit: what storage
            bounds moves with it.
        differences: What differs in plan, model and environment.
        between: What equal runs differ by besides the noise of their rounds; every interval has it in it.
        warning: Why the changes mean less than they seem to, in a sentence, or an empty text.
    """

    before: str
    after: str
    changes: tuple[Change, ...]
    differences: tuple[Difference, ...]
    between: BetweenRuns = ASSUMED
    warning: str = ""


def compare(before: Run, after: Run, *, between: BetweenRuns = ASSUMED, across: bool = False) -> Comparison:
    """Compare a run with an earlier one.

    Args:
        before: Run A.
        after: Run B.
        between: What equal runs differ by besides the noise of their rounds, which is in every interval, too.
        across: Compare times also where the models differ in size, or the rules for saves or loads differ.
    """
    methods = (*dict.fromkeys((*before.plan.methods, *after.plan.methods)), LIMIT)
    changes = tuple(
        _change(
            method,
            operation,
            before.times_s(method, operation),
            after.times_s(method, operation),
            between,
            "" if across else _incomparable(before, after, operation),
        )
        for method in methods
        for operation in OPERATIONS
        if before.times_s(method, operation) or after.times_s(method, operation)
    )
    return Comparison(
        before.run_id, after.run_id, changes, tuple(_differences(before, after)), between, _warning(before, after)
    )


def rows_of(before: Run, after: Run) -> Rows:
    """The times of every operation of every method in both runs, for `state.stats.between_runs`."""
    return [
        (before.times_s(method, operation), after.times_s(method, operation))
        for method in before.plan.methods
        for operation in OPERATIONS
    ]


def _warning(before: Run, after: Run) -> str:
    """That the memory which trials filled was in another state."""
    states = [
        sorted({r.result.memory for r in run.records if r.result is not None} - {"unknown"}) for run in (before, after)
    ]
    if states[0] == states[1] or not all(states):
        return ""
    words = [" or ".join(of_run) for of_run in states]
    return (
        f"Memory was {words[0]} in A and {words[1]} in B when the clocks started: what the machine's host takes for "
        "giving memory back is a part of the difference."
    )


def _incomparable(before: Run, after: Run, operation: Operation) -> str:
    """Why times of the two runs cannot be compared, or an empty text."""
    sizes = [run.model.logical_bytes if run.model is not None else None for run in (before, after)]
    if None not in sizes and sizes[0] != sizes[1]:
        return f"the models differ ({', '.join(format_bytes(size or 0) for size in sizes)}); --across compares them"
    rule = "durability" if operation == "save" else "cache"
    rules = [getattr(run.plan, rule) for run in (before, after)]
    return f"{operation}s are {rules[0]} in A and {rules[1]} in B" if rules[0] != rules[1] else ""


def _change(
    method: str,
    operation: Operation,
    old: Sequence[float],
    new: Sequence[float],
    between: BetweenRuns,
    refusal: str,
) -> Change:
    before_s, after_s = median_of(old), median_of(new)
    if before_s is None or after_s is None:
        which = "A" if before_s is None else "B"
        return Change(method, operation, before_s, after_s, None, None, None, "cannot tell", f"not measured in {which}")
    change = between.widen(ratio(new, old))
    low, high = (Estimate(end).factor if end is not None else None for end in (change.low, change.high))
    found = verdict(change) if not refusal else "cannot tell"
    why = refusal
    if found == "cannot tell" and not refusal:
        why = "fewer than three rounds" if low is None else "the noise would hide a change of 25 %"
    return Change(method, operation, before_s, after_s, change.factor, low, high, found, why, bool(refusal))


def _differences(before: Run, after: Run) -> Iterator[Difference]:
    plans = (msgspec.structs.asdict(before.plan), msgspec.structs.asdict(after.plan))
    yield from _unequal("", *({k: v for k, v in plan.items() if k not in _NOT_COMPARED} for plan in plans))
    yield from _unequal("model's ", *(_model(run.model) for run in (before, after)))
    yield from _unequal("", *(_environment(run.environment) for run in (before, after)))


def _model(model: Model | None) -> dict[str, Any]:
    if model is None:
        return {}
    return {"tensors": len(model.tensors), "size": format_bytes(model.logical_bytes), "dtypes": ", ".join(model.dtypes)}


def _environment(environment: Environment) -> dict[str, Any]:
    """The record flat: what is nested gets a name of its own."""
    record = msgspec.structs.asdict(environment)
    libraries, variables, filesystem = (record.pop(name) for name in ("libraries", "variables", "filesystem"))
    record.pop("storage")  # the plan has it
    record.update(
        {f"file system's {k}": v for k, v in msgspec.structs.asdict(filesystem).items()}, **libraries, **variables
    )
    return record


def _unequal(prefix: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield Difference(f"{prefix}{name.replace('_', ' ')}", _words(old), _words(new))


def _words(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
