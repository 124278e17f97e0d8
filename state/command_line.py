"""The command line that does what a plan says."""

import shlex
from collections.abc import Mapping
from typing import Final

from state.plan import CELL_NAMES, SIX, Plan
from state.units import duration_argument, share_argument, size_argument

_DEFAULT = Plan()
#: The groups of methods that are the same everywhere.
NAMED: Final[Mapping[str, tuple[str, ...]]] = {"six": SIX, "cells": CELL_NAMES}


def run_command(plan: Plan, groups: Mapping[str, tuple[str, ...]] = NAMED) -> str:
    """``ckpt-tui run`` with the options that make this plan; those at their defaults are left out, but for the rounds.

    A shell reads it back as it is.

    Args:
        plan: What to measure.
        groups: Name of a group -> its methods, for plans that measure just these.
    """
    group = next((name for name, methods in groups.items() if methods == plan.methods and len(methods) > 1), None)
    options = {
        "--model": plan.model if plan.model != _DEFAULT.model else None,
        "--size": size_argument(plan.size_bytes) if plan.size_bytes is not None else None,
        "--dtype": plan.dtype if plan.dtype != _DEFAULT.dtype else None,
        "--with-optimizer": "" if plan.with_optimizer else None,
        "--device": plan.device if plan.device != _DEFAULT.device else None,
        "--methods": group or ",".join(plan.methods),
        "--concurrency": str(plan.concurrency) if plan.concurrency != _DEFAULT.concurrency else None,
        "--chunk-size": size_argument(plan.chunk_bytes) if plan.chunk_bytes != _DEFAULT.chunk_bytes else None,
        "--codec": str(plan.codec) if plan.codec != _DEFAULT.codec else None,
        "--storage": plan.storage if plan.storage != _DEFAULT.storage else None,
        "--repeats": str(plan.repeats),
        "--precision": share_argument(plan.precision) if plan.precision is not None else None,
        "--budget": duration_argument(plan.budget_s) if plan.budget_s is not None else None,
        "--cache": plan.cache if plan.cache != _DEFAULT.cache else None,
        "--durability": plan.durability if plan.durability != _DEFAULT.durability else None,
        "--memory": plan.memory if plan.memory != _DEFAULT.memory else None,
        "--seed": str(plan.seed) if plan.seed != _DEFAULT.seed else None,
        "--stall-timeout": f"{plan.stall_timeout_s:g}" if plan.stall_timeout_s != _DEFAULT.stall_timeout_s else None,
        "--timeout": f"{plan.timeout_s:g}" if plan.timeout_s is not None else None,
    }
    words = [word for option, value in options.items() if value is not None for word in (option, value) if word]
    return shlex.join(["ckpt-tui", "run", *words])
