"""A run's limits as they stand: what was measured of the machine, and what the device gave the limit's own trials."""

import msgspec

from state.plan import LIMIT, OPERATIONS, Operation
from state.run.records import Limits, Run, trusted
from state.stats.intervals import median_of


def limits_of(run: Run, run_id: str = "") -> Limits:
    """Everything that is known of a run's limits so far.

    The device's rates are the model's bytes over the median time of the limit's trials, so that a share of the limit
    compares two medians of the same rounds.

    Args:
        run: A run, perhaps with rows of others.
        run_id: Whose limits; the run's own without a name.
    """
    own = run_id in ("", run.run_id)
    name = "" if own else run_id
    limits = run.limits if own else run.other_limits.get(run_id, Limits())
    saves, loads = trusted(*([r for r in run.of(LIMIT, operation) if r.run_id == name] for operation in OPERATIONS))
    size_bytes = run.model.logical_bytes if run.model is not None else 0
    write_s = median_of([result.time_s for result in saves])
    read_s = median_of([result.time_s for result in loads])
    return msgspec.structs.replace(
        limits,
        write_bytes_per_s=size_bytes / write_s if size_bytes and write_s else None,
        read_bytes_per_s=size_bytes / read_s if size_bytes and read_s else None,
    )


def limit_s(run: Run, operation: Operation) -> float | None:
    """What the device takes to save or load the model's bytes, in seconds; None before that was measured."""
    limits = limits_of(run)
    rate_bytes_per_s = limits.write_bytes_per_s if operation == "save" else limits.read_bytes_per_s
    return run.model.logical_bytes / rate_bytes_per_s if run.model is not None and rate_bytes_per_s else None
