import msgspec
import pytest

from state.analysis.comparison import Change, compare
from state.history.noise_floor import noise_between
from state.plan import LIMIT, Operation, Plan
from state.run.records import MemoryState, Run
from tests.state.factories import ENVIRONMENT, MODEL, run_of

STEADY = [1.0, 1.02, 0.98, 1.01, 0.99]


def measured(*, times: float = 1.0, methods: tuple[str, ...] = ("pytorch",), rounds: int = 5) -> Run:
    plan = Plan(methods=methods, repeats=rounds)
    samples = {(m, op): [times * s for s in STEADY[:rounds]] for m in methods for op in ("save", "load")}
    return run_of(plan, samples)


def one(before: Run, after: Run, method: str = "pytorch", operation: Operation = "save") -> Change:
    (change,) = (c for c in compare(before, after).changes if (c.method, c.operation) == (method, operation))
    return change


@pytest.mark.parametrize(("times", "verdict"), [(1.2, "slower"), (0.8, "faster"), (1.0, "no difference shown")])
def test_a_change_has_a_factor_an_interval_and_a_verdict(times: float, verdict: str) -> None:
    change = one(measured(), measured(times=times))
    assert change.verdict == verdict
    assert change.ratio == pytest.approx(times)
    assert change.low is not None
    assert change.high is not None
    assert change.low <= times <= change.high
    assert change.why == ""


def test_few_rounds_and_much_noise_cannot_tell_and_say_why() -> None:
    assert (few := one(measured(rounds=2), measured(rounds=2))).verdict == "cannot tell"
    assert few.why == "fewer than three rounds"
    plan = Plan(methods=("pytorch",), repeats=3)
    wild = run_of(plan, {("pytorch", "save"): [1.0, 2.0, 4.0], ("pytorch", "load"): [1.0, 1.0, 1.0]})
    noisy = one(wild, wild)
    assert (noisy.verdict, noisy.why) == ("cannot tell", "the noise would hide a change of 25 %")


def test_what_only_one_run_measured_stands_there_without_a_verdict() -> None:
    before, after = measured(methods=("pytorch", "t5x")), measured(methods=("pytorch", "ts+chunks"))
    t5x, chunks = one(before, after, "t5x"), one(before, after, "ts+chunks")
    assert (t5x.before_s, t5x.after_s, t5x.why) == (1.0, None, "not measured in B")
    assert (chunks.before_s, chunks.after_s, chunks.why) == (None, 1.0, "not measured in A")
    assert {c.method for c in compare(before, after).changes} == {"pytorch", "t5x", "ts+chunks"}


def test_the_limit_of_the_device_stands_beside_the_methods() -> None:
    plan = Plan(methods=("pytorch",), repeats=5)
    times = {(m, op): STEADY for m in ("pytorch", LIMIT) for op in ("save", "load")}
    slow = {kind: [2 * s for s in samples] for kind, samples in times.items()}
    found = compare(run_of(plan, times), run_of(plan, slow))
    assert [c.verdict for c in found.changes if c.method == LIMIT] == ["slower", "slower"]


def test_equal_runs_show_what_noise_does() -> None:
    noise = noise_between([(measured(), measured(times=t)) for t in (1.0, 1.02, 1.1)])
    assert (noise.pairs, len(noise.changes)) == (3, 6)
    assert noise.typical == pytest.approx(1.02)
    assert noise.large == pytest.approx(1.1)
    assert noise_between([]).typical is None
    many = noise_between([(measured(), measured(times=1 + k / 100)) for k in range(20)])
    assert many.counted == 40
    assert many.large == pytest.approx(1.18)  # two of forty are above it


def test_models_of_different_size_cannot_be_told_apart_by_time() -> None:
    small = measured()
    large = msgspec.structs.replace(
        measured(times=3), model=msgspec.structs.replace(MODEL, tensors=(*MODEL.tensors, *MODEL.tensors))
    )
    change = one(small, large)
    assert change.verdict == "cannot tell"
    assert change.why == "the models differ (1.00 MB, 2.00 MB); --across compares them"


def test_differences_of_plan_and_machine_are_named_and_lengths_of_measuring_are_not() -> None:
    before = measured()
    plan = msgspec.structs.replace(before.plan, concurrency=16, repeats=3, precision=0.05)
    elsewhere = msgspec.structs.replace(ENVIRONMENT, hostname="there", libraries={"torch": "2.13.0"})
    found = compare(before, msgspec.structs.replace(before, plan=plan, environment=elsewhere)).differences
    assert {(d.what, d.before, d.after) for d in found} == {
        ("concurrency", "128", "16"),
        ("hostname", "here", "there"),
        ("torch", "none", "2.13.0"),
    }
    assert compare(before, before).differences == ()


def test_the_verdict_is_that_of_the_interval_that_is_shown() -> None:
    # Eleven rounds whose medians hardly differ and whose means do: the interval is widened to the ratio of medians.
    plan = Plan(methods=("pytorch",), repeats=11)
    steady = [1.0 + 0.001 * k for k in range(11)]
    lopsided = [0.5] * 5 + [1.02] * 6
    runs = [run_of(plan, {("pytorch", op): s for op in ("save", "load")}) for s in (steady, lopsided)]
    for before, after in (runs, runs[::-1]):
        change = one(before, after)
        assert change.low is not None
        assert change.high is not None
        assert change.ratio is not None
        assert change.low <= change.ratio <= change.high
        assert (change.verdict in ("faster", "slower")) == (not change.low <= 1 <= change.high)


def test_durable_and_buffered_saves_are_not_compared() -> None:
    plan = Plan(methods=("pytorch",), repeats=5, durability="buffered")
    buffered = run_of(plan, {("pytorch", op): STEADY for op in ("save", "load")})
    save, load = one(measured(), buffered), one(measured(), buffered, operation="load")
    assert (save.verdict, save.why) == ("cannot tell", "saves are durable in A and buffered in B")
    assert load.verdict == "no difference shown"
    across = compare(measured(), buffered, across=True).changes
    assert [(c.operation, c.verdict, c.refused) for c in across if c.method == "pytorch"] == [
        ("save", "no difference shown", False),
        ("load", "no difference shown", False),
    ]


def test_memory_in_another_state_is_warned_of() -> None:
    def with_memory(state: MemoryState) -> Run:
        run = measured()
        records = tuple(
            msgspec.structs.replace(r, result=msgspec.structs.replace(r.result, memory=state)) if r.result else r
            for r in run.records
        )
        return msgspec.structs.replace(run, records=records)

    assert compare(with_memory("at hand"), with_memory("at hand")).warning == ""
    assert compare(with_memory("at hand"), measured()).warning == "", "an older run does not say"
    warning = compare(with_memory("at hand"), with_memory("as found")).warning
    assert warning.startswith("Memory was at hand in A and as found in B")
