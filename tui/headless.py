"""A run without the explorer: measure, show progress, and stop at once when told to."""

import asyncio
import contextlib
import signal

from backends.host import new_request
from backends.launcher import Launcher
from state.plan import Plan
from state.run import Run
from state.session import Session, reduce
from tui.keeper import Keeper
from tui.progress import ProgressDisplay

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def measure(plan: Plan, display: ProgressDisplay, keeper: Keeper | None) -> tuple[Run, int | None]:
    """Measure a plan to its end, or until a signal stops it; a second signal does not wait for the worker.

    Args:
        plan: What to measure.
        display: Where to show progress.
        keeper: Of the history; None leaves the run out of it.

    Returns:
        The run with everything that was finished, and the number of the signal that stopped it, if one did.

    Raises:
        WorkerError: If no worker can be started.
    """
    launcher = Launcher()
    session = Session()
    stopped_by: int | None = None

    def stop(number: int) -> None:
        nonlocal stopped_by
        if stopped_by is None:
            stopped_by = number
            launcher.cancel()
        else:
            launcher.kill()

    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        with display.shown():
            async with contextlib.aclosing(launcher.run(new_request(plan))) as events:
                async for event in events:
                    session = reduce(session, event)
                    display.update(session, event)
                    if keeper is not None and session.run is not None:
                        keeper.note(event, session.run)
    finally:
        await launcher.close()
        if keeper is not None:
            await keeper.close()
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
    assert session.run is not None  # its request is the first event
    return session.run, stopped_by
