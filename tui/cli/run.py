"""A run without the explorer: measure, show progress, keep it, and stop at once when told to."""

import asyncio
import contextlib
import signal
from collections.abc import Callable

from backends.process.launcher import Launcher
from backends.process.machine_info import new_request
from state.errors import RequestError, WorkerError
from state.live.session import Session, reduce
from state.plan import Plan
from state.run.records import Run
from tui.cli.output import tell
from tui.cli.progress import ProgressConsole, ProgressDisplay
from tui.history_thread import Keeper

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def measure_here(plan: Plan, *, quiet: bool, history: bool) -> tuple[Run, int | None]:
    """Measure a plan with its progress on standard error.

    Args:
        plan: What to measure.
        quiet: Show no progress.
        history: Keep the run.

    Returns:
        The run with everything that was finished, and the number of the signal that stopped it, if one did.

    Raises:
        RequestError: If it was refused before anything was measured.
        WorkerError: If no worker can be started, or it was refused for a fault of ours.
    """
    notices: list[str] = []
    keeper = Keeper(notices.append) if history else None
    display = ProgressDisplay(ProgressConsole(), quiet=quiet)
    run, stopped_by = asyncio.run(_measure(plan, display, keeper, notices.append))
    for notice in notices:  # not before the display has left the terminal
        tell(f"ckpt-tui: {notice}")
    if run.refusal is not None and not run.has_results:
        raise (WorkerError if run.refusal.ours else RequestError)(run.refusal.what, run.refusal.do)
    return run, stopped_by


async def _measure(
    plan: Plan, display: ProgressDisplay, keeper: Keeper | None, notice: Callable[[str], None]
) -> tuple[Run, int | None]:
    """Measure a plan to its end, or until a signal stops it; a second signal does not wait for the worker."""
    launcher = Launcher()
    session = Session()
    stopped_by: int | None = None

    def stop(number: int) -> None:
        nonlocal stopped_by
        if stopped_by is None:
            stopped_by = number
            launcher.cancel()
            display.say("stopping: the trial is killed, its files are deleted; Ctrl-C once more does not wait for that")
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
        for what in launcher.undeleted:
            notice(f"{what}: ckpt-tui doctor finds it")
        if keeper is not None:
            await keeper.close()
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
    assert session.run is not None  # its request is the first event
    return session.run, stopped_by
