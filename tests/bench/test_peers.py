"""What `bench.peers` concludes from times, and what it admits."""

import msgspec

from bench.peers import all_times, doubts, put_together, verdicts
from state.plan import LIMIT, Operation, Plan, Trial
from state.run import Failure, LoadResult, Run, TrialRecord
from tests.state.factories import run_of

PLAN = Plan(methods=("direct", "dcp"), repeats=3)
NOISE = (0.99, 1.0, 1.01)


def run(*, ours_s: float, peer_s: float, limit_s: float = 1.0) -> Run:
    figures = {"direct": ours_s, "dcp": peer_s, LIMIT: limit_s}
    operations: tuple[Operation, ...] = ("save", "load")
    return run_of(PLAN, {(name, op): [s * n for n in NOISE] for name, s in figures.items() for op in operations})


def said(measured: Run) -> list[str]:
    return [line.rpartition(": ")[2] for line in verdicts(all_times(measured, {})) if line.startswith("load")]


def test_a_verdict_is_yes_only_where_the_figure_is_reached() -> None:
    assert said(run(ours_s=1.05, peer_s=2.0)) == ["yes", "yes", "no peer"]
    assert said(run(ours_s=1.2, peer_s=1.1)) == ["NO", "NO", "dcp"]


def test_a_peer_is_faster_only_if_its_interval_says_so() -> None:
    assert said(run(ours_s=1.0, peer_s=0.99)) == ["yes", "NO", "no peer"]


def test_what_was_not_measured_is_no_yes() -> None:
    times = all_times(run(ours_s=1.0, peer_s=2.0), {})
    del times["direct", "load"], times[LIMIT, "save"]
    assert [line.rpartition(": ")[2] for line in verdicts(times)] == ["NO", "NO"]


def test_a_load_that_is_not_proven_to_be_cold_and_a_trial_that_failed_are_told() -> None:
    measured = run(ours_s=1.0, peer_s=2.0)
    assert doubts(measured) == ["every trial succeeded, and every load is proven to be cold"]

    def spoiled(record: TrialRecord) -> TrialRecord:
        if record.trial == Trial(2, "direct", "load"):
            assert isinstance(record.result, LoadResult)
            return msgspec.structs.replace(record, result=msgspec.structs.replace(record.result, cache="unknown"))
        if record.trial == Trial(1, "dcp", "save"):
            return msgspec.structs.replace(record, status="failed", result=None, failure=Failure("no", "none"))
        return record

    assert doubts(msgspec.structs.replace(measured, records=tuple(map(spoiled, measured.records)))) == [
        "direct: 1 of 3 loads are not proven to be cold",
        "dcp: 1 of 3 saves failed",
    ]


def test_rounds_measured_apart_are_one_run() -> None:
    single = msgspec.structs.replace(PLAN, repeats=1)
    rounds = [run_of(single, {("direct", "save"): [s], ("direct", "load"): [s]}) for s in (1.0, 2.0, 3.0)]
    whole = put_together(rounds, single)
    assert whole.plan == PLAN
    assert whole.times_s("direct", "save") == [1.0, 2.0, 3.0]
