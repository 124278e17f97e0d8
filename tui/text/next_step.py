"""What to do next, in one line, where nothing runs."""

from collections.abc import Mapping

import msgspec

from state.analysis.ranking import Fastest, fastest
from state.analysis.results import method_results
from state.analysis.words import rounds_words
from state.live.explorer import Explorer
from state.plan import OPERATIONS
from state.units import counted


def hint(explorer: Explorer, keys: Mapping[str, str]) -> str:
    """A sentence for the state that the explorer is in.

    Args:
        explorer: What is known.
        keys: Action -> key.
    """
    run = explorer.session.run
    as_planned = run is not None and msgspec.structs.replace(run.plan, methods=explorer.plan.methods) == explorer.plan
    if run is not None and run.refusal is not None and as_planned:
        return f"refused: {run.refusal.what}: {run.refusal.do}"
    if explorer.session.worker == "dead":
        return f"the worker has died: {keys['run']} starts a new one, {keys['log']} shows the log"
    if not explorer.chosen:
        return f"no method is selected: {keys['select']} selects the highlighted one"
    if run is None:
        waiting = " (libraries are still being imported)" if explorer.session.worker == "starting" else ""
        what = f"{counted(len(explorer.next_methods), 'method')}, {rounds_words(explorer.plan.repeats)}"
        return f"press {keys['run']}: {what} of saves and loads, first results within seconds{waiting}"
    failed = sum(result.status == "failed" for result in method_results(run))
    outcome = "stopped" if run.status == "cancelled" else f"{failed} failed" if failed else "all verified"
    best = [_fastest_words(found) for operation in OPERATIONS if (found := fastest(run, operation)) is not None]
    if best:
        outcome += f" · fastest: {', '.join(best)}"
    if explorer.missing:
        return f"{outcome} · {keys['run']} measures what is missing: {', '.join(explorer.missing)}"
    switches = " ".join(keys[name] for name in ("concurrency", "chunking", "compression"))
    return f"{outcome} · flip {switches} · {keys['run']} measures all again · {keys['export']} exports"


def _fastest_words(found: Fastest) -> str:
    """``save direct``, ``save direct or 2 more`` where others are not shown to be slower, or that nobody is shown."""
    if found.nobody_slower:
        return f"{found.operation} not shown"
    return f"{found.operation} {found.method}{f' or {len(found.alike)} more' if found.alike else ''}"
