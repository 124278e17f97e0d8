"""Several runs as one table: what was measured of each method last, under the settings that are chosen now."""

from collections.abc import Sequence
from typing import Final

import msgspec

from state.analysis.advice import advise
from state.plan import LIMIT, OPTIONS, Plan
from state.run.records import Run

#: Fields of a plan that change what every method does: results that differ in one of them share no table.
_CONTEXT: Final = tuple(
    option.field for option in OPTIONS if option.declared.section not in ("methods", "rounds", "limits")
)


def comparable(run: Run, plan: Plan, method: str) -> bool:
    """Whether a run measures a method exactly as the plan would: same tensors, disk, rules and switches."""
    same = all(getattr(run.plan, field) == getattr(plan, field) for field in _CONTEXT)
    return same and method in run.plan.methods and run.plan.optimizations(method) == plan.optimizations(method)


def _same_ground(run: Run, other: Run) -> bool:
    """Whether two runs happened on one machine, disk and set of weights, which a plan only names.

    Runs that were opened or imported may differ in that although their plans agree.
    """
    places = [(r.environment.hostname, r.environment.cpu, r.environment.filesystem.source) for r in (run, other)]
    weights = {r.model.fingerprint for r in (run, other) if r.model is not None}
    return places[0] == places[1] and len(weights) <= 1


def _latest(runs: Sequence[Run], plan: Plan, method: str) -> Run | None:
    """The newest run that says something of a method, or else the newest that would.

    A run that was stopped within the first round of a method says nothing of it, so that older results stay.
    """
    fitting = [run for run in reversed(runs) if comparable(run, plan, method)]
    return next((run for run in fitting if _tells(run, method)), fitting[0] if fitting else None)


def _tells(run: Run, method: str) -> bool:
    records = [record for record in run.records if record.trial.method == method]
    if any(record.status == "failed" for record in records) or run.measured(method):
        return True
    return run.status == "running" and any(record.result for record in records)


def combine(runs: Sequence[Run], plan: Plan, methods: Sequence[str]) -> Run | None:
    """One run that holds, for each method, the records of the newest run that measured it as `plan` would.

    Only runs on the newest one's machine, disk and weights take part: figures from two machines share no table.

    A row from another run than the newest names it in `TrialRecord.run_id`, and the advice says so: noise between
    runs is larger than within one. Every run brings its limits along, so that each row is held against those of its
    own.

    Args:
        runs: Oldest first.
        plan: The settings that count now; its methods and rounds do not matter.
        methods: Of which methods, in the order wanted.

    Returns:
        The combined run, named after the newest that takes part; None if none does.
    """
    fitting = [run for run in runs if any(comparable(run, plan, method) for method in methods)]
    fitting = [run for run in fitting if _same_ground(run, fitting[-1])]
    sources = {method: run for method in methods if (run := _latest(fitting, plan, method)) is not None}
    taking_part = [run for run in fitting if run in sources.values()]
    if not taking_part:
        return None
    newest = taking_part[-1]
    if len(taking_part) == 1 and newest.plan.methods == tuple(sources):
        return newest
    records = tuple(
        msgspec.structs.replace(record, run_id="" if run is newest else run.run_id)
        for method, run in (*sources.items(), *((LIMIT, run) for run in taking_part))
        for record in run.records
        if record.trial.method == method
    )
    model = next((run.model for run in reversed(taking_part) if run.model is not None), None)
    joined = msgspec.structs.replace(plan, methods=tuple(sources), repeats=newest.plan.repeats)
    combined = advise(
        msgspec.structs.replace(
            newest,
            plan=joined,
            records=records,
            model=model,
            other_limits={run.run_id: run.limits for run in taking_part[:-1]},
        )
    )
    if len(taking_part) > 1:
        names = ", ".join(run.run_id for run in taking_part)
        several = (f"The rows come from {len(taking_part)} runs ({names}): noise between runs is in their ratios.",)
        combined = msgspec.structs.replace(combined, advice=(*combined.advice, *several))
    return combined
