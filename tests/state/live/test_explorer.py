from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from state.analysis.results import method_results
from state.analysis.steps import SWITCHES
from state.command_line import run_command
from state.live.explorer import (
    Explorer,
    MethodsSelected,
    MethodToggled,
    PlanChanged,
    RunOpened,
    SwitchFlipped,
    ValueStepped,
    explore,
)
from state.optimizations import CELLS
from state.plan import LIMIT, SIX, Plan
from state.run.events import Event, RunFinished, RunRefused, TrialFailed, TrialFinished, TrialStarted, WorkerReady
from state.run.records import FINAL, Failure, Run
from state.schedule import schedule
from tests.state.factories import events, load, request, run_of, save

FAILURE = Failure("it broke", "mend it")
BOTH = {("pytorch", "save"): [1.0], ("pytorch", "load"): [1.0]}

#: What the history may hold: another model, a method that is not installed, a run that goes on elsewhere.
KEPT = tuple(
    msgspec.structs.replace(run_of(plan, BOTH, finished=finished), run_id=run_id)
    for run_id, plan, finished in (
        ("kept-1", Plan(methods=("pytorch",), repeats=1), True),
        ("kept-2", Plan(model="gpt2", methods=("pytorch", "of-a-plugin")), True),
        ("kept-3", Plan(methods=("pytorch", "t5x"), repeats=2), False),
    )
)

trials = st.integers(-1, 13)
user_actions: st.SearchStrategy[Event] = st.one_of(
    st.builds(SwitchFlipped, st.sampled_from(SWITCHES)),
    st.builds(MethodToggled, st.sampled_from([*CELLS, "pytorch", "nonesuch"])),
    st.builds(MethodsSelected, st.sets(st.sampled_from([*CELLS, "pytorch", "nonesuch"])).map(tuple)),
    st.builds(ValueStepped, st.sampled_from(SWITCHES), st.sampled_from([-1, 1])),
    st.builds(PlanChanged, st.builds(Plan, model=st.sampled_from(["demo", "gpt2"]), repeats=st.integers(1, 3))),
    st.builds(RunOpened, st.sampled_from(KEPT)),
)
worker_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(WorkerReady, st.just(1), st.just(1), st.just(1.0)),
    st.builds(TrialStarted, trials, st.just(7), st.just(100)),
    st.builds(TrialFinished, trials, st.sampled_from([save(1.0), load(2.0)])),
    st.builds(TrialFailed, trials, st.just(FAILURE)),
    st.builds(RunFinished, st.booleans()),
    st.just(RunRefused(FAILURE)),
)


def after(explorer: Explorer, *happened: Event) -> Explorer:
    for event in happened:
        explorer = explore(explorer, event)
    return explorer


@settings(max_examples=300)
@given(st.lists(st.one_of(user_actions, worker_events, st.just("run")), max_size=50))
def test_any_order_of_actions_and_events_keeps_the_explorer_sound(happened: list[Event | str]) -> None:
    """Results never vanish, a run that goes on is never replaced, no run is there twice, at most one trial runs, the
    cell is the switches'."""
    explorer = Explorer(Plan())
    for number, event in enumerate(happened):
        before = explorer
        if isinstance(event, str):
            if not explorer.chosen:
                continue
            event = request(explorer.plan_for(explorer.next_methods))
            event = msgspec.structs.replace(event, run_id=f"run-{number}")
        explorer = explore(explorer, event)
        assert CELLS[explorer.cell] == explorer.switches
        assert set(explorer.chosen) <= set(explorer.available)
        assert set(explorer.missing) <= set(explorer.chosen)
        assert explorer.visitor in (None, explorer.cell)
        assert known(before) <= known(explorer)
        ids = [run.run_id for run in everything(explorer)]
        assert len(set(ids)) == len(ids)
        assert not any(run.status == "running" for run in explorer.runs)
        run, old = explorer.session.run, before.session.run
        if old is not None and before.running:
            assert run is not None
            assert run.run_id == old.run_id
            assert explorer.plan == before.plan or not explorer.running
            for new_record, old_record in zip(run.records, old.records, strict=True):
                assert old_record.status not in FINAL or new_record == old_record
        if run is not None:
            assert sum(record.status == "running" for record in run.records) <= 1
            assert 0 <= explorer.session.done_count <= len(run.records)
        if (shown := explorer.shown) is not None:
            assert len({(record.trial, record.run_id) for record in shown.records}) == len(shown.records)


def everything(explorer: Explorer) -> tuple[Run, ...]:
    """All runs, the one in the session last."""
    return (*explorer.runs, *((explorer.session.run,) if explorer.session.run is not None else ()))


def known(explorer: Explorer) -> set[str]:
    """The runs of which anything is known."""
    return {run.run_id for run in everything(explorer) if run.has_outcome}


def test_the_switches_make_the_cell_that_their_names_say() -> None:
    explorer = Explorer(Plan())
    assert explorer.cell == "tensorstore"
    assert after(explorer, SwitchFlipped("chunking")).cell == "ts+chunks"
    assert after(explorer, *(SwitchFlipped(switch) for switch in SWITCHES)).cell == "t5x"
    assert after(explorer, SwitchFlipped("chunking"), SwitchFlipped("chunking")).cell == "tensorstore"


def test_a_cell_that_is_not_selected_takes_part_as_long_as_the_switches_make_it() -> None:
    explorer = after(Explorer(Plan()), SwitchFlipped("concurrency"), SwitchFlipped("chunking"))
    assert explorer.chosen == (*SIX, "ts+concurrency+chunks")
    assert after(explorer, SwitchFlipped("compression")).chosen == SIX
    assert after(explorer, MethodToggled("ts+concurrency+chunks")).chosen == SIX


def test_a_second_run_measures_only_what_is_missing_and_keeps_the_rest() -> None:
    explorer = Explorer(Plan(repeats=1), selected=frozenset({"pytorch"}))
    explorer = after(explorer, *events(explorer.plan_for(("pytorch",)), BOTH), RunFinished(False))
    assert explorer.missing == ()
    assert explorer.next_methods == ("pytorch",)
    explorer = after(explorer, SwitchFlipped("chunking"))
    assert explorer.next_methods == ("ts+chunks",)
    second = msgspec.structs.replace(request(explorer.plan_for(("ts+chunks",))), run_id="20260202-000000-beef")
    number = next(number for number, trial in enumerate(schedule(second.plan)) if trial.method == "ts+chunks")
    explorer = after(explorer, second, TrialStarted(number, 7, 1), TrialFinished(number, save(2.0)))
    shown = explorer.shown
    assert shown is not None
    assert shown.plan.methods == ("pytorch", "ts+chunks")
    of_methods = [record.status for record in shown.records if record.trial.method != LIMIT]
    assert of_methods == ["done", "done", "done", "queued"]


def test_settings_belong_to_a_run_as_long_as_it_goes_on() -> None:
    explorer = after(Explorer(Plan()), request(Plan()))
    assert after(explorer, PlanChanged(Plan(model="gpt2"))).plan.model == "demo"
    assert after(explorer, ValueStepped("concurrency", 1)).plan.concurrency == 128
    stopped = after(explorer, RunFinished(True), PlanChanged(Plan(model="gpt2")))
    assert stopped.plan.model == "gpt2"


def test_results_of_another_model_are_hidden_and_come_back_with_it() -> None:
    explorer = Explorer(Plan(), runs=(run_of(Plan(methods=("pytorch",), repeats=1), BOTH),))
    assert explorer.shown is not None
    other = after(explorer, PlanChanged(Plan(model="gpt2")))
    assert other.shown is None
    assert after(other, PlanChanged(Plan())).shown == explorer.shown


def test_results_of_another_value_are_hidden_for_the_methods_that_use_it_alone() -> None:
    times = {(m, op): [1.0] for m in ("pytorch", "ts+concurrency") for op in ("save", "load")}
    explorer = Explorer(Plan(), runs=(run_of(Plan(methods=("pytorch", "ts+concurrency"), repeats=1), times),))
    shown = after(explorer, ValueStepped("concurrency", -1)).shown
    assert shown is not None
    assert shown.plan.methods == ("pytorch",)


def test_the_twin_is_the_run_that_goes_on() -> None:
    explorer = after(Explorer(Plan()), request(Plan(methods=("t5x",))), SwitchFlipped("chunking"))
    assert explorer.twin == Plan(methods=("t5x",))


def opened(methods: tuple[str, ...], time_s: float, run_id: str, **plan: Any) -> Run:
    """A finished run out of the history."""
    times = {(method, op): [time_s] for method in methods for op in ("save", "load")}
    return msgspec.structs.replace(run_of(Plan(methods=methods, repeats=1, **plan), times), run_id=run_id)


def test_an_opened_run_brings_its_setup_its_methods_and_its_rows() -> None:
    run = opened(("t5x", "ts+chunks", "of-a-plugin"), 3.0, "old", model="gpt2", concurrency=8)
    explorer = after(Explorer(Plan()), SwitchFlipped("concurrency"), SwitchFlipped("chunking"), RunOpened(run))
    assert explorer.plan == run.plan
    assert explorer.chosen == ("t5x", "ts+chunks")
    assert explorer.shown is not None
    assert explorer.shown.run_id == "old"
    assert explorer.missing == ()
    assert not explorer.running


def test_an_opened_run_stands_before_newer_ones_and_hides_none_of_their_other_rows() -> None:
    explorer = after(Explorer(Plan()), *events(Plan(methods=("pytorch",), repeats=1), BOTH), RunFinished(False))
    explorer = after(explorer, RunOpened(opened(("pytorch", "t5x"), 5.0, "old")))
    assert explorer.shown is not None
    assert [row.save.median_s for row in method_results(explorer.shown) if row.save] == [5.0, 5.0]
    again = after(explorer, RunOpened(opened(("t5x",), 7.0, "older")))
    assert again.shown is not None
    assert [(row.method, row.run_id) for row in method_results(again.shown)] == [("pytorch", "old"), ("t5x", "older")]
    assert after(again, RunOpened(opened(("pytorch", "t5x"), 5.0, "old"))).shown == explorer.shown


def test_no_run_is_opened_while_another_goes_on() -> None:
    explorer = after(Explorer(Plan()), request(Plan()))
    assert after(explorer, RunOpened(KEPT[0])) == explorer


def test_an_opened_run_that_goes_on_elsewhere_is_shown_as_far_as_it_is() -> None:
    explorer = after(Explorer(Plan()), RunOpened(KEPT[2]))
    assert not explorer.running
    assert explorer.missing == ("t5x",)


def test_a_selected_group_is_all_that_is_chosen_and_its_plan_has_the_groups_order() -> None:
    explorer = after(Explorer(Plan()), SwitchFlipped("concurrency"), MethodsSelected((*CELLS, "nonesuch")))
    assert explorer.selected == frozenset(CELLS)
    assert explorer.visitor is None
    assert explorer.twin.methods == tuple(CELLS)
    assert run_command(explorer.twin, explorer.groups) == "ckpt-tui run --methods cells --repeats 3"
