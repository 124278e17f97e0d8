"""The command line that does what a plan says."""

import shlex
from collections.abc import Mapping

from state.method_names import NAMED
from state.plan import OPTIONS, Plan


def run_command(plan: Plan, groups: Mapping[str, tuple[str, ...]] = NAMED) -> str:
    """``ckpt-tui run`` with the options that make this plan; most of those at their defaults are left out.

    A shell reads it back as it is.

    Args:
        plan: What to measure.
        groups: Name of a group -> its methods, for plans that measure just these.
    """
    words: list[str] = []
    for option in OPTIONS:
        found = option.words(plan)
        if option.field == "methods":
            names = (name for name, methods in groups.items() if methods == plan.methods and len(methods) > 1)
            found = (found[0], next(names, found[1]))
        words += found
    return shlex.join(["ckpt-tui", "run", *words])
