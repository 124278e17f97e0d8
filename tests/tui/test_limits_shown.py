"""What people see of a run's limits while it goes on and afterwards."""

import msgspec
from rich.console import Console

from state.analysis.results import method_results
from state.live.session import Session, reduce
from state.plan import LIMIT, OPERATIONS, Plan
from state.run.environment import Environment
from state.run.events import Event, MachineMeasured, RunFinished, TrialStarted
from state.run.records import Failure, Limits
from state.schedule import schedule
from tests.state.factories import events, request
from tui.cli.progress import render
from tui.text.details import details
from tui.text.log_lines import narrate

PLAN = Plan(methods=("pytorch",), repeats=1)
MEASURED = MachineMeasured(
    Limits(
        memory_copy_bytes_per_s=8e9,
        codec_encode_bytes_per_s=60e6,
        codec_decode_bytes_per_s=250e6,
        file_write_s=0.001,
        file_read_s=0.001,
    )
)


def after(*happened: Event) -> Session:
    session = Session()
    for event in happened:
        session = reduce(session, event)
    return session


def test_the_log_tells_what_the_machine_gives_or_why_nobody_knows() -> None:
    session = after(request(PLAN))
    assert narrate(session, MEASURED) == (
        "one core: memory copies 8.00 GB/s, gzip:1 encodes 60.0 MB/s, decodes 250 MB/s",
    )
    assert narrate(session, MachineMeasured(Limits())) == ()
    (line,) = narrate(session, MachineMeasured(Limits(), Failure("no locks here")))
    assert line == "what the machine gives was not measured: no locks here"


def test_the_limit_shows_while_it_is_measured() -> None:
    number = next(number for number, trial in enumerate(schedule(PLAN)) if trial.method == LIMIT)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(render(after(*events(PLAN, {}), TrialStarted(number, 7, 1000))))
    assert "▶ the device's limit  save start" in shown.get()
    with console.capture() as shown:
        console.print(render(after(*events(PLAN, {}))))
    assert "limit" not in shown.get()


def test_the_details_of_a_method_tell_its_share_and_what_bounds_it() -> None:
    times: dict[tuple[str, str], list[float]] = {
        (method, operation): [s] for method, s in (("pytorch", 4.0), (LIMIT, 3.6)) for operation in OPERATIONS
    }
    happened = events(PLAN, times)
    session = after(*happened[:2], MEASURED, *happened[2:], RunFinished(cancelled=False))
    assert session.run is not None
    run = msgspec.structs.replace(session.run, environment=Environment(cores=2))
    text = details(run, method_results(run)[0])
    assert "90% of the limit, which a plain file of the same bytes reached" in text
    assert "bounded by storage: 90 % of what it gives a plain writer" in text
    assert "bounded by storage: 90 % of what it gives a plain reader" in text
