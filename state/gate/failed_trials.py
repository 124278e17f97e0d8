"""What failed in a run, in sentences for people who hold it against another."""

from collections import Counter

from state.plan import LIMIT, OPERATIONS, Operation
from state.run.records import Run

#: Operation of a method -> why its trials failed, a sentence each.
FailedTrials = dict[tuple[str, Operation], tuple[str, ...]]


def failed_trials(run: Run, label: str) -> FailedTrials:
    """Operations of methods of which a trial failed, with a sentence for each way in which they did.

    Args:
        run: Any run; the limit's trials are left out.
        label: What the run is called beside the other: ``A`` or ``B``.
    """
    found: FailedTrials = {}
    for method in dict.fromkeys(record.trial.method for record in run.records if record.trial.method != LIMIT):
        for operation in OPERATIONS:
            records = run.of(method, operation)
            unsaved = (
                {r.trial.round for r in run.of(method, "save") if r.status == "failed"} if operation == "load" else ()
            )
            whats = Counter(
                record.failure.what if record.failure is not None else "no reason was recorded"
                for record in records
                if record.status == "failed" and record.trial.round not in unsaved  # there was nothing to load
            )
            unverified = " and was not verified" if operation == "load" else ""
            sentences = tuple(
                f"{method} {operation} failed in {label} in {count} of {len(records)} rounds{unverified}: {what}."
                for what, count in whats.items()
            )
            if sentences:
                found[method, operation] = sentences
    return found
