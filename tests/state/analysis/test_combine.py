import csv
import io

import msgspec

from state.analysis.combine import combine
from state.analysis.results import method_results
from state.analysis.table import TABLE_HEADINGS, table_rows
from state.export.csv import to_csv, to_samples_csv
from state.plan import Plan
from state.run.environment import FileSystem
from state.run.records import Run
from tests.state.factories import run_of

PLAN = Plan(repeats=1)
OLD = "20260101-000000-aaaa"
NEW = "20260102-000000-bbbb"


def run(run_id: str, **times_s: float) -> Run:
    methods = tuple(name.replace("_", "+") for name in times_s)
    times = {(m, op): [s] for m, s in zip(methods, times_s.values(), strict=True) for op in ("save", "load")}
    return msgspec.structs.replace(run_of(Plan(methods=methods, repeats=1), times), run_id=run_id)


def test_one_run_is_shown_as_it_is() -> None:
    only = run(OLD, tensorstore=4.0, t5x=1.0)
    assert combine([only], PLAN, ("tensorstore", "t5x", "pytorch")) is only
    assert combine([], PLAN, ("t5x",)) is None


def test_each_method_comes_from_the_newest_run_that_measured_it() -> None:
    both = combine([run(OLD, tensorstore=4.0, t5x=1.0), run(NEW, t5x=2.0)], PLAN, ("tensorstore", "t5x"))
    assert both is not None
    tensorstore, t5x = method_results(both)
    assert (tensorstore.run_id, t5x.run_id) == (OLD, NEW)
    assert t5x.save is not None
    assert t5x.save.median_s == 2.0
    assert t5x.save.speedup_vs_tensorstore == 2.0


def test_a_factor_across_runs_is_an_estimate_everywhere_and_the_advice_says_why() -> None:
    both = combine([run(OLD, tensorstore=4.0), run(NEW, t5x=2.0)], PLAN, ("tensorstore", "t5x"))
    assert both is not None
    tensorstore, t5x = method_results(both)
    assert tensorstore.save is not None
    assert t5x.save is not None
    assert (tensorstore.save.estimated, t5x.save.estimated) == (False, True)
    assert dict(zip(TABLE_HEADINGS, table_rows(both)[1], strict=True))["save vs tensorstore"].startswith("≈x2.00")
    assert f"2 runs ({OLD}, {NEW})" in both.advice[-1]
    rows = list(csv.DictReader(io.StringIO(to_csv(both).decode())))
    assert [(row["method"], row["run_id"], row["estimated"]) for row in rows if row["operation"] == "save"] == [
        ("tensorstore", OLD, "false"),
        ("t5x", NEW, "true"),
    ]
    samples = list(csv.DictReader(io.StringIO(to_samples_csv(both).decode())))
    assert {(row["method"], row["run_id"]) for row in samples} == {
        *(("tensorstore", OLD), ("t5x", NEW)),
        *(("limit", OLD), ("limit", NEW)),
    }


def test_a_run_that_measured_nothing_yet_does_not_hide_older_results() -> None:
    empty = msgspec.structs.replace(run_of(Plan(methods=("t5x",), repeats=1), {}, finished=False), run_id=NEW)
    shown = combine([run(OLD, t5x=1.0), empty], PLAN, ("t5x",))
    assert shown is not None
    (result,) = method_results(shown)
    assert result.run_id == OLD


def test_what_was_measured_under_other_rules_is_not_shown() -> None:
    warm = run_of(Plan(methods=("t5x",), repeats=1, cache="warm"), {("t5x", "save"): [1.0]})
    assert combine([warm], PLAN, ("t5x",)) is None
    assert combine([warm], msgspec.structs.replace(PLAN, cache="warm"), ("t5x",)) is warm


def test_figures_of_another_machine_disk_or_set_of_weights_share_no_table() -> None:
    here = run(NEW, t5x=2.0)
    there = run(OLD, tensorstore=4.0)
    assert here.model is not None
    for field, value in (
        ("environment", msgspec.structs.replace(here.environment, hostname="elsewhere")),
        ("environment", msgspec.structs.replace(here.environment, filesystem=FileSystem("ext4", "/", "/dev/y"))),
        ("model", msgspec.structs.replace(here.model, fingerprint="others")),
    ):
        strange = msgspec.structs.replace(there, **{field: value})
        assert combine([strange, here], PLAN, ("tensorstore", "t5x")) is here
    assert combine([there, here], PLAN, ("tensorstore", "t5x")) is not here
    unknown = msgspec.structs.replace(here, model=None)
    shown = combine([there, unknown], PLAN, ("tensorstore", "t5x"))
    assert shown is not None
    assert shown.plan.methods == ("tensorstore", "t5x"), "its weights are not known yet"
