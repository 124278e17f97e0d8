"""Real runs through a real launcher and worker, for tests."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from backends.process.launcher import Launcher
from backends.process.machine_info import environment
from backends.storage.ownership import PREFIX
from state.live.session import Session, reduce
from state.plan import Plan
from state.run.events import Event, RunRequested
from state.run.records import Run

Act = Callable[[Launcher, Event], None]


#: A program that makes a scratch folder in the folder given, and says where.
MAKE_SCRATCH = (
    "import sys; from pathlib import Path; from backends.storage.scratch import Scratch;"
    "print(Scratch.create(Path(sys.argv[1]), 'r').folder)"
)


def measure(*plans: Plan, act: Act = lambda launcher, event: None) -> tuple[Run, list[Event]]:
    """Run plans one after the other with one launcher.

    Args:
        plans: What to measure.
        act: Called with every event; may cancel, kill and so on.

    Returns:
        The last run, and all events.
    """

    async def go() -> tuple[Run, list[Event]]:
        launcher, session, seen = Launcher(), Session(), []
        try:
            for number, plan in enumerate(plans):
                request = RunRequested(f"run-{number}", "2026-01-01", plan, environment(Path(plan.storage)))
                async with contextlib.aclosing(launcher.run(request)) as events:
                    async for event in events:
                        seen.append(event)
                        session = reduce(session, event)
                        act(launcher, event)
        finally:
            await launcher.close()
        assert session.run is not None
        return session.run, seen

    return asyncio.run(go())


def statuses(run: Run) -> dict[str, tuple[str, str]]:
    """Method -> states of its save and its load in the first round."""
    return {method: (run.of(method, "save")[0].status, run.of(method, "load")[0].status) for method in run.plan.methods}


def scratch_folders(storage: Path) -> list[Path]:
    """What runs have left in a storage folder."""
    return list(storage.glob(f"{PREFIX}*"))


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Whether a condition comes true in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether none of these processes runs any more."""
    return not any(map(_runs, processes))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def family(pid: int) -> list[psutil.Process]:
    """A process with everything below it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def made_by_a_dead_process(storage: Path) -> Path:
    """A scratch folder whose maker is gone."""
    result = subprocess.run(
        [sys.executable, "-c", MAKE_SCRATCH, str(storage)], capture_output=True, text=True, check=True
    )
    return Path(result.stdout.strip())
