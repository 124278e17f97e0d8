"""What the explorer knows, and how it changes: (explorer, event) -> explorer. No I/O, no clock, no screen."""

from collections.abc import Mapping
from functools import cached_property

import msgspec

from state.analysis.combine import combine, comparable
from state.analysis.results import method_results
from state.analysis.rows import MethodResult
from state.analysis.steps import SWITCHES, Switch, step
from state.live.session import Session, reduce
from state.method_names import NAMED
from state.optimizations import CELL_OF
from state.plan import CELL_NAMES, SIX, Plan
from state.run.events import Event, RunRequested
from state.run.records import Run


class SwitchFlipped(Event, frozen=True, tag="switch-flipped"):
    """Somebody turned an optimization on or off."""

    switch: Switch


class ValueStepped(Event, frozen=True, tag="value-stepped"):
    """Somebody asked for the next larger (1) or smaller (-1) value of an optimization."""

    switch: Switch
    direction: int


class MethodToggled(Event, frozen=True, tag="method-toggled"):
    """Somebody selected a method, or took it out."""

    method: str


class MethodsSelected(Event, frozen=True, tag="methods-selected"):
    """Somebody wants just these methods."""

    methods: tuple[str, ...]


class PlanChanged(Event, frozen=True, tag="plan-changed"):
    """Somebody changed a value of the setup or of a switch; the methods of this plan do not matter."""

    plan: Plan


class RunOpened(Event, frozen=True, tag="run-opened"):
    """Somebody took a run out of the history to look at it and to go on from it."""

    run: Run


class Explorer(msgspec.Struct, frozen=True, dict=True):
    """Everything that the explorer's screen shows.

    Attributes:
        plan: The setup and the values of the switches; its methods do not matter.
        available: Every method there is, in the order in which people see them.
        switches: Which of concurrency, chunking and compression are on.
        selected: Methods that people have ticked.
        visitor: The cell that the switches make, as long as it takes part only because of them.
        session: The worker and the run that goes on, went last, or was opened after that.
        runs: The runs before that one, in the order in which they went or were opened.
        groups: Names for several methods at once -> these.
    """

    plan: Plan
    available: tuple[str, ...] = (*SIX, *(name for name in CELL_NAMES if name not in SIX))
    switches: tuple[bool, bool, bool] = (False, False, False)
    selected: frozenset[str] = frozenset(SIX)
    visitor: str | None = None
    session: Session = Session()
    runs: tuple[Run, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: NAMED)

    @property
    def cell(self) -> str:
        """The method that the three switches make."""
        return CELL_OF[self.switches]

    @property
    def running(self) -> bool:
        """Whether a run goes on."""
        return self.session.run is not None and self.session.run.status == "running"

    @property
    def chosen(self) -> tuple[str, ...]:
        """The methods that take part, in the order in which people see them."""
        return tuple(name for name in self.available if name in self.selected or name == self.visitor)

    @cached_property
    def shown(self) -> Run | None:
        """What is known of every method under the settings chosen now; None without any."""
        last = (self.session.run,) if self.session.run is not None else ()
        return combine((*self.runs, *last), self.plan, self.available)

    @cached_property
    def results(self) -> tuple[MethodResult, ...]:
        """The rows of `shown`."""
        return method_results(self.shown) if self.shown is not None else ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The chosen methods of which no round is complete under the settings chosen now."""
        shown = self.shown
        return tuple(method for method in self.chosen if shown is None or not shown.measured(method))

    @property
    def next_methods(self) -> tuple[str, ...]:
        """What the next run would measure: what is missing, or everything once more."""
        return self.missing or self.chosen

    def plan_for(self, methods: tuple[str, ...]) -> Plan:
        """The plan of a run of these methods, in the order of the group that they are, if they are one.

        Raises:
            RequestError: If there are none.
        """
        methods = next((group for group in self.groups.values() if set(group) == set(methods)), methods)
        return msgspec.structs.replace(self.plan, methods=methods)

    @property
    def twin(self) -> Plan:
        """The plan of the run that goes on, or of the one that would be next.

        Raises:
            RequestError: If no method is chosen.
        """
        if self.session.run is not None and self.running:
            return self.session.run.plan
        return self.plan_for(self.next_methods)

    @property
    def queued(self) -> frozenset[str]:
        """The methods that the run that goes on will still measure, as the plan has them now."""
        run = self.session.run
        if run is None or not self.running:
            return frozenset()
        waiting = {record.trial.method for record in run.records if record.status == "queued"}
        return frozenset(method for method in waiting if comparable(run, self.plan, method))


def is_same_run(one: Explorer, other: Explorer) -> bool:
    """Whether the same is measured and shown in both, so that what follows from it can stay."""
    return one.session.run is other.session.run and one.runs is other.runs and one.plan is other.plan


def explore(explorer: Explorer, event: Event) -> Explorer:
    """The explorer after an event. An event that does not fit changes nothing."""
    after = _after(explorer, event)
    if is_same_run(explorer, after):
        vars(after).update(vars(explorer))  # what is cached takes longer to compute than a sample may take
    return after


def _after(explorer: Explorer, event: Event) -> Explorer:
    match event:
        case SwitchFlipped():
            number = SWITCHES.index(event.switch)
            concurrency, chunking, compression = (on != (i == number) for i, on in enumerate(explorer.switches))
            switches = (concurrency, chunking, compression)
            cell = CELL_OF[switches]
            visitor = None if cell in explorer.selected or cell not in explorer.available else cell
            return msgspec.structs.replace(explorer, switches=switches, visitor=visitor)
        case MethodToggled() if event.method in explorer.available:
            chosen = event.method in explorer.chosen
            selected = explorer.selected - {event.method} if chosen else explorer.selected | {event.method}
            visitor = None if event.method == explorer.visitor else explorer.visitor
            return msgspec.structs.replace(explorer, selected=selected, visitor=visitor)
        case MethodsSelected():
            selected = frozenset(event.methods) & frozenset(explorer.available)
            return msgspec.structs.replace(explorer, selected=selected, visitor=None)
        case ValueStepped() if not explorer.running:
            return msgspec.structs.replace(explorer, plan=step(explorer.plan, event.switch, event.direction))
        case PlanChanged() if not explorer.running:
            return msgspec.structs.replace(explorer, plan=event.plan)
        case RunOpened():
            return explorer if explorer.running else _open(explorer, event.run)
        case RunRequested() if explorer.running:
            return explorer
        case RunRequested():
            explorer = msgspec.structs.replace(explorer, runs=_past(explorer))
    return msgspec.structs.replace(explorer, session=reduce(explorer.session, event))


def _past(explorer: Explorer) -> tuple[Run, ...]:
    """The runs that stay when another takes the place of the one in the session."""
    last = explorer.session.run
    return (*explorer.runs, last) if last is not None and last.has_outcome else explorer.runs


def _open(explorer: Explorer, run: Run) -> Explorer:
    """The explorer with a run's setup and methods, and its rows before all others."""
    run = run.stopped() if run.status == "running" else run  # it goes on elsewhere, or nowhere
    return msgspec.structs.replace(
        explorer,
        plan=run.plan,
        selected=frozenset(run.plan.methods) & frozenset(explorer.available),
        visitor=None,
        session=msgspec.structs.replace(explorer.session, run=run, progress=None),
        runs=tuple(earlier for earlier in _past(explorer) if earlier.run_id != run.run_id),
    )
