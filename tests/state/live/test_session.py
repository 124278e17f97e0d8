import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from state.analysis.results import method_results
from state.live.session import Session, reduce, run_left_s
from state.plan import LIMIT, Plan
from state.run.events import (
    CheckpointDeleted,
    Event,
    MachineMeasured,
    ModelBuilding,
    ModelReady,
    PhaseEntered,
    RoundAdded,
    RunFinished,
    RunInterrupted,
    RunRefused,
    Sampled,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    WorkerReady,
)
from state.run.records import FINAL, Failure, Limits, SaveResult
from state.schedule import schedule
from tests.state.factories import MODEL, NEEDS, events, load, request, save

PLAN = Plan(methods=("pytorch", "t5x"), repeats=2)  # 12 trials: the limit is measured in each round, too
EVERYTHING = (*PLAN.methods, LIMIT)
FAILURE = Failure("it broke", "mend it")

trials = st.integers(-1, 18)
any_event: st.SearchStrategy[Event] = st.one_of(
    st.builds(WorkerReady, st.just(1), st.just(1), st.just(1.0)),
    st.just(request(PLAN)),
    st.sampled_from([ModelBuilding(MODEL, NEEDS), ModelReady(MODEL, 1.0)]),
    st.sampled_from([MachineMeasured(Limits(gzip_bytes_per_s=1.0)), MachineMeasured(Limits(), FAILURE)]),
    st.just(RunRefused(FAILURE)),
    st.builds(TrialStarted, trials, st.just(77), st.integers(0, 10**9)),
    st.builds(
        PhaseEntered,
        trials,
        st.sampled_from(["warm-up", "settle", "evict", "measure", "sync", "verify"]),
        st.integers(0, 10**9),
    ),
    st.builds(Sampled, trials, st.integers(0, 10**9), st.floats(0, 1e4), st.integers(0, 10**9), st.floats(0, 8)),
    st.builds(TrialFinished, trials, st.sampled_from([save(1.0), load(2.0)])),
    st.builds(TrialFailed, trials, st.just(FAILURE)),
    st.builds(CheckpointDeleted, trials, st.floats(0, 10)),
    st.builds(RunFinished, st.booleans()),
    st.just(RunInterrupted(FAILURE)),
    st.just(RoundAdded()),
)


@settings(max_examples=400)
@given(st.lists(any_event, max_size=60))
def test_any_order_of_events_keeps_the_session_sound(happened: list[Event]) -> None:
    """At most one trial runs, final states stay, counts never fall, progress is monotone, a closed run stays closed."""
    before = reduce(Session(), request(PLAN))
    for event in happened:
        after = reduce(before, event)
        run, old = after.run, before.run
        assert run is not None
        assert old is not None
        running = [number for number, record in enumerate(run.records) if record.status == "running"]
        assert len(running) <= 1
        assert (after.progress is not None) == bool(running)
        if after.progress is not None:
            assert running == [after.progress.trial]
            assert 0 <= after.progress.fraction <= 1
        assert after.done_count == sum(record.status in FINAL for record in run.records)
        for record in run.records:
            assert (record.result is not None) == (record.status == "done")
            assert record.status != "failed" or record.failure is not None
        if event != request(PLAN):  # which begins another run
            assert after.done_count >= before.done_count
            assert len(run.records) >= len(old.records)
            for new_record, old_record in zip(run.records, old.records, strict=False):  # rounds may be added
                assert old_record.status not in FINAL or new_record.status == old_record.status
            if old.status != "running":
                assert run == old
            if before.progress and after.progress and before.progress.trial == after.progress.trial:
                assert after.progress.moved_bytes >= before.progress.moved_bytes
                assert after.progress.elapsed_s >= before.progress.elapsed_s
        before = after


def test_a_run_from_beginning_to_end() -> None:
    session = Session()
    for event in events(PLAN, {(m, op): [1.0, 2.0] for m in EVERYTHING for op in ("save", "load")}):
        session = reduce(session, event)
    session = reduce(session, CheckpointDeleted(0, 0.25))
    session = reduce(session, RunFinished(cancelled=False))
    assert session.run is not None
    assert session.run.status == "finished"
    assert {record.status for record in session.run.records} == {"done"}
    first = session.run.records[0].result
    assert isinstance(first, SaveResult)
    assert first.delete_s == 0.25


def test_bytes_are_counted_from_the_start_of_the_clock() -> None:
    session = Session()
    for event in (
        request(PLAN),
        TrialStarted(0, 7, 1000),
        Sampled(0, 500, 1.0, 10, 0.5),
        PhaseEntered(0, "measure", 600),
        Sampled(0, 850, 2.0, 10, 0.5),
    ):
        session = reduce(session, event)
    progress = session.progress
    assert progress is not None
    assert progress.moved_bytes == 250
    assert progress.fraction == 0.25
    assert progress.rate_bytes_per_s == 250
    assert progress.left_s == 3


def test_a_cancelled_run_keeps_what_was_finished() -> None:
    session = Session()
    for event in [*events(PLAN, {("pytorch", "save"): [1.0]}), RunFinished(cancelled=True)]:
        session = reduce(session, event)
    assert session.run is not None
    assert sorted(record.status for record in session.run.records) == ["cancelled"] * 11 + ["done"]


def test_an_added_round_goes_on_after_the_rounds_before_it() -> None:
    session = Session()
    for event in [*events(PLAN, {("pytorch", "save"): [1.0, 1.0]}), RoundAdded()]:
        session = reduce(session, event)
    assert session.run is not None
    assert session.run.plan == msgspec.structs.replace(PLAN, repeats=3)
    assert tuple(record.trial for record in session.run.records) == schedule(session.run.plan)
    assert [r.status for r in session.run.of("pytorch", "save")] == ["done", "done", "queued"]


def test_a_dead_worker_costs_the_trial_that_ran() -> None:
    session = Session()
    for event in (request(PLAN), TrialStarted(0, 7, 1), RunInterrupted(FAILURE)):
        session = reduce(session, event)
    assert session.worker == "dead"
    assert session.run is not None
    assert session.run.status == "running"
    assert session.run.records[0].failure == FAILURE
    assert reduce(session, WorkerReady(1, 2, 0.1)).worker == "ready"


def test_the_time_left_is_known_once_every_kind_of_trial_was_seen() -> None:
    plan = Plan(methods=("pytorch",), repeats=3)
    limit = {(LIMIT, "save"): [0.5], (LIMIT, "load"): [0.5]}
    session = Session()
    for event in events(plan, limit | {("pytorch", "save"): [2.0]}):
        session = reduce(session, event)
    assert session.run is not None
    assert run_left_s(session.run, session.progress) is None
    for event in events(plan, limit | {("pytorch", "save"): [2.0], ("pytorch", "load"): [1.0]}):
        session = reduce(session, event)
    assert run_left_s(session.run, session.progress) == 8.0 if session.run else False


def test_what_a_worker_that_took_over_could_not_measure_is_kept_from_the_first() -> None:
    session = Session()
    for event in (request(PLAN), MachineMeasured(Limits(gzip_bytes_per_s=1.0)), MachineMeasured(Limits(), FAILURE)):
        session = reduce(session, event)
    assert session.run is not None
    assert session.run.limits == Limits(gzip_bytes_per_s=1.0)
    assert any("was not measured (it broke)" in sentence for sentence in session.run.advice)


def test_a_failed_limit_is_told_in_the_advice_and_nothing_else_fails() -> None:
    plan = Plan(methods=("pytorch",), repeats=2)
    session = Session()
    for event in events(plan, {("pytorch", op): [1.0, 1.0] for op in ("save", "load")}):
        session = reduce(session, event)
    first, second = (n for n, t in enumerate(schedule(plan)) if (t.method, t.operation) == (LIMIT, "load"))
    for event in (TrialFailed(first - 1, FAILURE), TrialFailed(first, Failure("no checkpoint"))):
        session = reduce(session, event)
    assert session.run is not None
    assert "The device's limit was not measured (it broke)" in " ".join(session.run.advice)
    for event in (TrialStarted(second - 1, 7, 1), TrialFinished(second - 1, save(1.0)), TrialStarted(second, 7, 1)):
        session = reduce(session, event)
    session = reduce(reduce(session, TrialFinished(second, load(1.0))), RunFinished(cancelled=False))
    assert session.run is not None
    assert "was not measured in every round (it broke)" in " ".join(session.run.advice)
    assert [result.status for result in method_results(session.run)] == ["done"]
