"""What holds for every judgement of a gate; `tests/tui/cli/test_gate.py` has the cases of docs/gate.md."""

from hypothesis import given
from hypothesis import strategies as st

from state.analysis.comparison import compare
from state.gate.judgement import judge
from state.plan import LIMIT, Plan
from state.run.records import Run
from state.stats.between_runs import BetweenRuns
from tests.state.factories import run_of

#: Times that a trial may take, in seconds.
TIMES_S = st.floats(1e-3, 1e3)
SHARES = st.floats(0, 100)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """A run of one or two methods with up to five rounds of any times; some are not measured at all."""
    methods = tuple(draw(st.sets(st.sampled_from(("pytorch", "t5x")), min_size=1)))
    times = {
        (method, operation): draw(st.lists(TIMES_S, max_size=5))
        for method in (*methods, LIMIT)
        for operation in ("save", "load")
    }
    return run_of(Plan(methods=methods, repeats=5), times)


@given(runs(), runs(), SHARES, SHARES)
def test_a_higher_limit_never_fails_what_a_lower_one_lets_pass(
    before: Run, after: Run, one: float, other: float
) -> None:
    low, high = (judge(before, after, share) for share in sorted((one, other)))
    assert high.exit_status <= low.exit_status
    failing = [{(row.method, row.operation) for row in found.rows if row.reasons} for found in (low, high)]
    assert failing[1] <= failing[0]


@given(runs(), runs(), SHARES)
def test_what_passes_was_judged_row_by_row(before: Run, after: Run, share: float) -> None:
    judgement = judge(before, after, share)
    changes = [change for change in compare(before, after).changes if change.method != LIMIT]
    measured = {(c.method, c.operation) for c in changes if c.before_s is not None}
    if judgement.exit_status == 0:
        assert {(row.method, row.operation) for row in judgement.rows} == measured != set()
        assert all(change.after_s is not None for change in changes if change.before_s is not None)
        assert not any(c.verdict == "slower" and c.ratio is not None and c.ratio > 1 + share for c in changes)


@given(runs(), SHARES)
def test_a_run_is_never_slower_than_itself(run: Run, share: float) -> None:
    assert not any("is slower" in reason for reason in judge(run, run, share).reasons)


def test_the_device_is_nobodys_regression() -> None:
    plan = Plan(methods=("pytorch",), repeats=3)
    times = {(method, op): [1.0, 1.02, 0.98] for method in ("pytorch", LIMIT) for op in ("save", "load")}
    slow_device = {kind: [3 * s if kind[0] == LIMIT else s for s in samples] for kind, samples in times.items()}
    assert judge(run_of(plan, times), run_of(plan, slow_device), 0.1).exit_status == 0


def one_method(factor: float, spread: float = 0.02) -> Run:
    samples = [factor * s for s in (1.0, 1 + spread, 1 - spread, 1 + spread / 2, 1 - spread / 2)]
    return run_of(Plan(methods=("pytorch",), repeats=5), {("pytorch", op): samples for op in ("save", "load")})


def test_noise_between_runs_leaves_a_row_in_doubt() -> None:
    before, after = one_method(1.0), one_method(1.2)
    assert judge(before, after, 0.1).exit_status == 1
    assert "is slower" in judge(before, after, 0.1).reasons[0]
    doubted = judge(before, after, 0.1, between=BetweenRuns(0.2, 10))
    assert doubted.exit_status == 1
    assert "cannot be judged, the noise would hide a change of 25 %" in doubted.reasons[0]


def test_a_row_that_may_be_a_quarter_slower_is_in_doubt_whatever_its_width() -> None:
    (reason, _) = judge(one_method(1.0, 0.12), one_method(1.13, 0.12), 0.01).reasons
    assert "cannot be judged, it may take up to x1.3" in reason
    assert judge(one_method(1.0, 0.12), one_method(1.13, 0.12), 0.5).exit_status == 0


def test_exactly_the_limit_passes() -> None:
    before = run_of(Plan(methods=("pytorch",), repeats=3), {("pytorch", op): [1.0] * 3 for op in ("save", "load")})
    after = run_of(Plan(methods=("pytorch",), repeats=3), {("pytorch", op): [1.5] * 3 for op in ("save", "load")})
    assert judge(before, after, 0.5).exit_status == 0
    assert judge(before, after, 0.4999).exit_status == 1
