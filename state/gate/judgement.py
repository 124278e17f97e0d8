"""The judgement of a gate: may a run pass, held against an earlier one, or is something slower, broken or missing?"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from state.analysis.comparison import Change, compare
from state.errors import RequestError
from state.gate.common_ground import grounds_words, not_in_common
from state.gate.failed_trials import FailedTrials, failed_trials
from state.plan import LIMIT, Operation
from state.run.records import Run
from state.stats.between_runs import ASSUMED, BetweenRuns
from state.stats.verdict import TELLING
from state.units import format_factor, share_argument


class Row(msgspec.Struct, frozen=True):
    """One operation of a method, judged.

    Attributes:
        method: Its name.
        operation: Save or load.
        reasons: Why it does not pass, a sentence each; empty if it passes.
    """

    method: str
    operation: Operation
    reasons: tuple[str, ...] = ()


class Judgement(msgspec.Struct, frozen=True):
    """What a gate says of a run.

    Attributes:
        rows: Every operation of a method that was measured in A or failed in B; none where nothing can be judged.
        refusal: Why nothing can be judged and what to do, in a sentence; empty if rows were judged.
        notes: What people should know and what keeps nobody from passing, a sentence each.
    """

    rows: tuple[Row, ...] = ()
    refusal: str = ""
    notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Everything that keeps the run from passing, a sentence each."""
        return (self.refusal,) if self.refusal else tuple(reason for row in self.rows for reason in row.reasons)

    @property
    def exit_status(self) -> Literal[0, 1, 2]:
        """For scripts: 0 passes, 1 was judged and found wanting, 2 cannot be judged at all."""
        if self.refusal:
            return 2
        return 1 if self.reasons else 0


def judge(before: Run, after: Run, share: float, *, between: BetweenRuns = ASSUMED, across: bool = False) -> Judgement:
    """Whether run B passes: nothing failed in it, and nothing that A measured is slower, missing or in doubt.

    A row passes if its interval can tell, ends below 25 % more time, and does not show it to be slower; or if its
    median is shown to be slower by at most `share`; or if its interval ends below that.

    Args:
        before: Run A.
        after: Run B.
        share: How much slower a method may be: 0.1 is 10 %.
        between: What equal runs differ by besides the noise of their rounds, as in `state.analysis.comparison.compare`.
        across: Judge runs of different machines, models or settings, too.
    """
    changes = [
        change for change in compare(before, after, between=between, across=across).changes if change.method != LIMIT
    ]
    measured = [change for change in changes if change.before_s is not None]
    failed = failed_trials(after, "B")
    differences = not_in_common(before, after)
    try:
        _check_finished(before, after)
        if not measured:
            raise RequestError(f"nothing was measured in A ({_state(before)})", "choose another run to compare with")
        if differences and not across:
            raise RequestError(grounds_words(differences), "give --across to compare them knowingly")
        if not failed:
            _check_judgeable(measured, after)
    except RequestError as error:
        return Judgement(refusal=str(error))
    reasons = {(change.method, change.operation): _reasons(change, share, failed) for change in measured}
    notes = tuple(note for sentences in failed_trials(before, "A").values() for note in sentences)
    if differences:
        notes = (f"{grounds_words(differences)}: compared all the same, because of --across.", *notes)
    return Judgement(tuple(Row(*kind, sentences) for kind, sentences in (failed | reasons).items()), notes=notes)


def _check_finished(before: Run, after: Run) -> None:
    for label, run in (("A", before), ("B", after)):
        if run.status == "running":
            raise RequestError(f"{label} ({run.run_id}) is still running", "wait for its end")


def _check_judgeable(measured: Sequence[Change], after: Run) -> None:
    common = [change for change in measured if change.after_s is not None]
    if not after.has_results:
        raise RequestError(f"nothing was measured in B ({_state(after)})", "measure it again")
    if not common:
        raise RequestError("nothing was measured in both runs", "measure the same methods in both")
    if len(common) == len(measured) and all(change.low is None for change in common):
        raise RequestError("nothing has three rounds in both runs", "measure with --repeats 3 or more")


def _state(run: Run) -> str:
    """Why a run has no results."""
    failures = [record.failure for record in run.records if record.failure is not None and record.trial.method != LIMIT]
    first = run.refusal or next(iter(failures), None)
    return f"{run.run_id}, {run.status}{f': {first.what}' if first is not None else ''}"


def _reasons(change: Change, share: float, failed: FailedTrials) -> tuple[str, ...]:
    """Why an operation that was measured in A does not pass."""
    name = f"{change.method} {change.operation}"
    broken = failed.get((change.method, change.operation), ())
    if change.after_s is None:
        if broken:
            return broken
        if any(method == change.method for method, _ in failed):  # nobody knows what a save wrote that did not load
            return (f"{name} has no time in B that counts, because a trial of {change.method} failed.",)
        return (f"{name} was measured in A and not in B: measure it in B, too.",)
    untold = change.high is None or change.verdict == "cannot tell" or change.high > 1 + TELLING
    if change.verdict != "slower" and untold and (change.high is None or change.high > 1 + share):
        why = change.why or f"it may take up to {format_factor(change.high or 1.0)} of A's time"
        rounds = "--repeats 3 or more" if change.low is None else "more rounds, or with --precision 5%"
        return (*broken, f"{name} cannot be judged, {why}: measure with {rounds}.")
    if change.verdict == "slower" and (change.ratio or 0) > 1 + share:
        beyond = f"its median by more than {share_argument(share)}"
        return (*broken, f"{name} is slower, {beyond}: B takes {_factor(change)} of A's time.")
    return broken


def _factor(change: Change) -> str:
    """``x1.20 (1.17 to 1.23)``."""
    ratio, low, high = (format_factor(end or 1.0) for end in (change.ratio, change.low, change.high))
    return f"{ratio} ({low[1:]} to {high[1:]})"
