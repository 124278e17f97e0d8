import json

import msgspec
import pytest

from state.analysis.combine import combine
from state.analysis.results import method_results
from state.export.json import to_json
from state.live.session import Session, reduce
from state.plan import LIMIT, OPERATIONS, Plan
from state.run.events import MachineMeasured, RunFinished, TrialFailed, TrialStarted
from state.run.limits import limits_of
from state.run.records import Failure, Limits, Run
from state.schedule import schedule
from tests.state.factories import events, run_of

OLD, NEW = "20260101-000000-aaaa", "20260102-000000-bbbb"
PLAN = Plan(methods=("tensorstore", "pytorch"), repeats=3)
TIMES: dict[tuple[str, str], list[float]] = {
    **{(method, operation): [4.0, 4.0, 4.0] for method in PLAN.methods for operation in OPERATIONS},
    (LIMIT, "save"): [1.0, 2.0, 9.0],
    (LIMIT, "load"): [0.5, 0.5, 0.5],
}


def run(run_id: str, method: str, limit_s: float, limits: Limits) -> Run:
    times: dict[tuple[str, str], list[float]] = {
        (name, operation): [s] for name, s in ((method, 4.0), (LIMIT, limit_s)) for operation in OPERATIONS
    }
    return msgspec.structs.replace(run_of(Plan(methods=(method,), repeats=1), times), run_id=run_id, limits=limits)


def test_the_limit_is_the_model_s_bytes_over_the_median_of_its_rounds() -> None:
    limits = limits_of(run_of(PLAN, TIMES))
    assert limits == Limits(write_bytes_per_s=500_000, read_bytes_per_s=2_000_000)


def test_shares_of_the_limit_compare_medians() -> None:
    for result in method_results(run_of(PLAN, TIMES)):
        assert result.save is not None
        assert result.load is not None
        assert result.save.limit_fraction == pytest.approx(2.0 / 4.0)
        assert result.load.limit_fraction == pytest.approx(0.5 / 4.0)


def test_the_limit_is_known_from_its_first_round_on_and_never_a_row() -> None:
    going = run_of(PLAN, {(LIMIT, "save"): [2.0]}, finished=False)
    assert limits_of(going) == Limits(write_bytes_per_s=500_000)
    assert [result.method for result in method_results(going)] == list(PLAN.methods)
    assert not going.has_results
    assert limits_of(msgspec.structs.replace(going, model=None)) == Limits()


def test_a_limit_whose_file_came_back_wrong_counts_for_nothing() -> None:
    session = Session()
    times = {(LIMIT, "save"): [1.0, 4.0, 4.0]}
    bad = next(n for n, t in enumerate(schedule(PLAN)) if (t.method, t.operation) == (LIMIT, "load"))
    broken = [TrialStarted(bad, 1, 1), TrialFailed(bad, Failure("a bit flipped"))]
    for event in [*events(PLAN, times), *broken]:
        session = reduce(session, event)
    assert session.run is not None
    assert limits_of(session.run).write_bytes_per_s == 250_000


def test_the_file_holds_what_was_measured_of_machine_and_device() -> None:
    session = Session()
    happened = events(PLAN, TIMES)
    happened.insert(2, MachineMeasured(Limits(gzip_bytes_per_s=60e6, file_write_s=0.001)))
    for event in (*happened, RunFinished(cancelled=False)):
        session = reduce(session, event)
    assert session.run is not None
    limits = json.loads(to_json(session.run))["limits"]
    assert list(limits)[:2] == ["write_bytes_per_s", "read_bytes_per_s"]
    assert (limits["write_bytes_per_s"], limits["gzip_bytes_per_s"], limits["file_write_s"]) == (500_000, 60e6, 0.001)
    assert limits["codec_encode_bytes_per_s"] is None


def test_rows_of_several_runs_are_held_against_the_limits_of_their_own() -> None:
    old = run(OLD, "tensorstore", 1.0, Limits(codec_encode_bytes_per_s=1.0))
    new = run(NEW, "pytorch", 2.0, Limits(codec_encode_bytes_per_s=2.0))
    both = combine([old, new], Plan(repeats=1), ("tensorstore", "pytorch"))
    assert both is not None
    assert limits_of(both) == limits_of(both, NEW) == limits_of(new)
    assert limits_of(both, OLD) == limits_of(old)
    assert limits_of(both, "20250101-000000-cccc") == Limits()
    fractions = {result.method: result.save and result.save.limit_fraction for result in method_results(both)}
    assert fractions == {"tensorstore": 0.25, "pytorch": 0.5}
