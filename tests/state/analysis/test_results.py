import msgspec
import pytest

from state.analysis.results import method_results
from state.analysis.rows import MethodResult
from state.live.session import Session, reduce
from state.optimizations import BASELINE
from state.plan import OPERATIONS, Plan
from state.run.events import RunFinished, TrialFailed, TrialStarted
from state.run.records import Failure, MemoryState, Run
from state.schedule import schedule
from tests.state.factories import events, run_of

PLAN = Plan(methods=("tensorstore", "pytorch"), repeats=3)
TIMES = {
    ("tensorstore", "save"): [8.0, 10.0, 12.0],
    ("tensorstore", "load"): [4.0, 4.0, 4.0],
    ("pytorch", "save"): [1.0, 2.0, 5.0],
    ("pytorch", "load"): [8.0, 8.0, 8.0],
}


def by_method(run: Run) -> dict[str, MethodResult]:
    return {result.method: result for result in method_results(run)}


def test_a_save_whose_load_was_stopped_has_no_number_and_is_no_baseline() -> None:
    plan = Plan(methods=("tensorstore", "pytorch"), repeats=1)
    session = Session()
    for event in events(plan, {("tensorstore", "save"): [4.0], ("pytorch", "save"): [1.0], ("pytorch", "load"): [1.0]}):
        session = reduce(session, event)
    running = session.run
    assert running is not None
    tensorstore, pytorch = method_results(running)
    assert tensorstore.save is not None
    assert pytorch.save is not None
    assert pytorch.save.speedup_vs_tensorstore == 4.0
    stopped = reduce(session, RunFinished(cancelled=True)).run
    assert stopped is not None
    tensorstore, pytorch = method_results(stopped)
    assert tensorstore.save is None
    assert pytorch.save is not None
    assert pytorch.save.speedup_vs_tensorstore is None


def test_a_complete_run_has_medians_ranges_and_factors() -> None:
    results = by_method(run_of(PLAN, TIMES))
    save, load = results["pytorch"].save, results["pytorch"].load
    assert save is not None
    assert load is not None
    assert sorted(save.samples_s) == [1.0, 2.0, 5.0]
    assert save.median_s == 2.0
    assert save.low_s is not None
    assert save.high_s is not None
    assert save.low_s < 1.0 < 5.0 < save.high_s  # three samples that lie so far apart say little of the median
    assert save.verdict_vs_tensorstore == "cannot tell"
    assert load.verdict_vs_tensorstore == "slower"
    assert (load.speedup_low, load.speedup_high) == pytest.approx((0.5, 0.5))
    assert save.speedup_vs_tensorstore == 5.0
    assert load.speedup_vs_tensorstore == 0.5
    assert save.returned_median_s == 1.0
    assert load.cache == "cold"
    assert results["pytorch"].status == "done"
    assert results["pytorch"].verified
    assert results["tensorstore"].save is not None
    assert results["tensorstore"].save.speedup_vs_tensorstore == 1.0
    assert results["tensorstore"].save.verdict_vs_tensorstore is None  # against itself there is nothing to show


def test_a_rate_is_all_bytes_over_all_time() -> None:
    save = by_method(run_of(PLAN, TIMES))["pytorch"].save
    assert save is not None
    assert save.rate_bytes_per_s == pytest.approx(3 * 1_000_000 / 8.0)  # the mean of the rates would be 566,667


def test_without_the_baseline_there_is_no_factor() -> None:
    plan = Plan(methods=("pytorch",), repeats=1)
    save = by_method(run_of(plan, {("pytorch", "save"): [1.0], ("pytorch", "load"): [1.0]}))["pytorch"].save
    assert save is not None
    assert save.speedup_vs_tensorstore is None
    assert save.low_s is None


def test_a_failed_load_is_a_failed_method_that_was_not_verified() -> None:
    session = Session()
    plan = Plan(methods=("pytorch", "t5x"), repeats=2)
    bad = next(n for n, t in enumerate(schedule(plan)) if (t.round, t.method, t.operation) == (2, "t5x", "load"))
    times = {(m, op): [1.0, 1.0] for m in plan.methods for op in ("save", "load")}
    times["t5x", "load"] = [1.0]
    broken = [TrialStarted(bad, 1, 1), TrialFailed(bad, Failure("a bit flipped", "do not trust it"))]
    for event in [*events(plan, times), *broken, RunFinished(cancelled=False)]:
        session = reduce(session, event)
    assert session.run is not None
    results = by_method(session.run)
    assert results["t5x"].status == "failed"
    assert results["t5x"].error == "a bit flipped"
    assert not results["t5x"].verified
    assert results["t5x"].rounds_done == 1
    assert results["t5x"].save is not None
    assert len(results["t5x"].save.samples_s) == 1, "the save of the round whose load failed wrote nobody knows what"
    assert results["pytorch"].verified


def test_a_method_that_never_came_back_right_has_no_numbers_and_is_no_baseline() -> None:
    session = Session()
    plan = Plan(methods=("tensorstore", "pytorch"), repeats=1)
    bad = next(n for n, trial in enumerate(schedule(plan)) if (trial.method, trial.operation) == (BASELINE, "load"))
    times = {(m, op): [1.0] for m in plan.methods for op in ("save", "load") if (m, op) != (BASELINE, "load")}
    broken = [TrialStarted(bad, 1, 1), TrialFailed(bad, Failure("a bit flipped", "do not trust it"))]
    for event in [*events(plan, times), *broken, RunFinished(cancelled=False)]:
        session = reduce(session, event)
    assert session.run is not None
    results = by_method(session.run)
    assert (results[BASELINE].save, results[BASELINE].load, results[BASELINE].stored_bytes) == (None, None, None)
    assert results["pytorch"].save is not None
    assert results["pytorch"].save.speedup_vs_tensorstore is None


def test_a_run_that_goes_on_shows_what_is_there() -> None:
    results = by_method(run_of(PLAN, {("tensorstore", "save"): [8.0]}, finished=False))
    assert results["tensorstore"].status == "running"
    assert results["tensorstore"].load is None
    assert not results["tensorstore"].verified
    assert results["pytorch"].status == "queued"


def test_the_switches_of_a_cell_stand_in_its_row() -> None:
    plan = Plan(methods=("t5x", "pytorch"), repeats=1, concurrency=9)
    results = by_method(run_of(plan, {}, finished=False))
    assert (results["t5x"].concurrency, results["t5x"].chunk_bytes, results["t5x"].codec) == (9, 64 * 2**20, "gzip:1")
    assert (results["pytorch"].concurrency, results["pytorch"].codec) == (None, None)


@pytest.mark.parametrize(
    ("states", "row"),
    [
        (("at hand", "at hand"), "at hand"),
        (("at hand", "partly at hand"), "partly at hand"),
        (("as found", "as found"), "as found"),
        (("at hand", "unknown"), "unknown"),
    ],
)
def test_a_row_has_the_memory_of_its_worst_round(states: tuple[MemoryState, MemoryState], row: str) -> None:
    plan = Plan(methods=("pytorch",), repeats=2)
    run = run_of(plan, {("pytorch", op): [1.0, 1.1] for op in OPERATIONS})
    records = tuple(
        msgspec.structs.replace(r, result=msgspec.structs.replace(r.result, memory=states[r.trial.round - 1]))
        if r.result is not None
        else r
        for r in run.records
    )
    (result,) = method_results(msgspec.structs.replace(run, records=records))
    assert result.save is not None
    assert result.save.memory == row
